//! Keeps secrets out of reports: recognises keys that hold one, and cuts source lines.

use std::sync::LazyLock;

use regex::Regex;

use super::environment::is_variable_name;
use super::keys;

/// Replaces a secret.
pub(super) const HIDDEN: &str = "***";

/// Parts of a key that make its value a probable secret, also if the key is misspelled.
const TELLTALES: [&str; 9] = ["pass", "pwd", "secret", "token", "bearer", "credential", "hash", "api_key", "apikey"];

/// Keys that hold a secret: the declared ones, and those in the contract that are not built.
static SECRET_KEYS: LazyLock<Vec<&str>> =
    LazyLock::new(|| keys::secrets().chain(["client_secret", "bearer", "token", "secret"]).collect());

/// Whether to hide the value of `key`.
pub(super) fn names_a_secret(key: &str) -> bool {
    if key.len() > 64 {
        return true;
    }
    let key = key.to_lowercase();
    TELLTALES.iter().any(|part| key.contains(part))
        || SECRET_KEYS
            .iter()
            .any(|secret| strsim::damerau_levenshtein(secret, &key) <= 1 + usize::from(secret.len() > 6))
}

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"["']?([A-Za-z0-9_.-]+)["']?(?:\s*:|\s)"#).expect("valid"));

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static USER_INFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"//[^/\s]*@|[^\s/:@"'{,]+:[^\s/@]*@"#).expect("valid"));

/// Whether anything in `text` hints at a secret.
pub(super) fn hints_at_a_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    TELLTALES.iter().any(|part| text.contains(part))
}

/// `line` with secrets hidden: the text behind a key that names one, and a sign-in inside a URL. A reference (`{ env: NAME }`)
/// is shown.
pub(super) fn line(line: &str) -> String {
    for found in KEY.captures_iter(line) {
        let (Some(whole), Some(key)) = (found.get(0), found.get(1)) else { continue };
        if names_a_secret(key.as_str()) && !is_reference(&line[whole.end()..]) {
            let shown = line[..whole.end()].trim_end();
            return format!("{} {HIDDEN}", user_info(shown));
        }
    }
    user_info(line)
}

/// Whether `key` looks like a key and not like a secret.
pub(super) fn is_plainly_a_key(key: &str) -> bool {
    key.len() <= 40 && key.starts_with(|c: char| c.is_ascii_lowercase()) && {
        key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-')
    }
}

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static FIRST_KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"^[\s\-\[\]{},]*(?:["']?([A-Za-z0-9_.-]+)["']?\s*:(?:\s+|$))?"#).expect("valid"));

/// `line` of a file that is not valid YAML, whose structure is unknown: shows only values of declared keys that hold no secret.
pub(super) fn harmless_line(line: &str) -> String {
    let mut shown = 0;
    while shown < line.len() {
        let rest = &line[shown..];
        let Some(found) = FIRST_KEY.captures(rest) else { break };
        let after = &rest[found[0].len()..];
        let key = found.get(1).map(|key| key.as_str());
        let opens = after.is_empty() || after.starts_with(['{', '[', '#']);
        let value = match key {
            Some(key) if keys::is_harmless(key) && !names_a_secret(key) => after.find([',', '}', ']']),
            Some(key) if opens && is_plainly_a_key(key) && !names_a_secret(key) => Some(0),
            Some(_) if after == HIDDEN => None,
            None if after.is_empty() || after.starts_with('#') => None,
            _ => return format!("{}{HIDDEN}", &line[..shown]),
        };
        shown += found[0].len() + value.unwrap_or(after.len());
    }
    line.to_owned()
}

/// Hides a sign-in inside a URL.
pub(super) fn user_info(text: &str) -> String {
    let hidden = |found: &regex::Captures<'_>| {
        let slashes = if found[0].starts_with("//") { "//" } else { "" };
        format!("{slashes}{HIDDEN}@")
    };
    USER_INFO.replace_all(text, hidden).into_owned()
}

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static LOCAL_PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?:"[^"]*"|[^\s<>()\[\]{}:;,"'“”‘’]+)@"#).expect("valid"));

/// `text` without the part of mail addresses before the `@`, for logs: `…@acme.example`. Our own messages have one spelling of an
/// `@`; what a mail server may write needs `notify/email/mask.rs`.
pub fn mask_addresses(text: &str) -> String {
    LOCAL_PART.replace_all(text, "…@").into_owned()
}

/// Whether a value is empty (it follows on the next lines) or a reference to the secret.
fn is_reference(value: &str) -> bool {
    let value = value.split(" #").next().unwrap_or_default().trim();
    let Some(inside) = value.strip_prefix('{') else {
        return value.is_empty();
    };
    let inside = inside.trim_end_matches(|c: char| c == '}' || c == ',' || c.is_whitespace());
    match inside.split_once(':') {
        Some((key, name)) if key.trim() == "env" => is_variable_name(name.trim()),
        Some((key, path)) if key.trim() == "file" => !path.contains([',', ':']),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_behind_a_secret_key_is_hidden_and_nothing_else() {
        let cases = [
            ("  password: hunter2", "  password: ***"),
            ("  pasword: hunter2", "  pasword: ***"),
            ("  PassWord : hunter2", "  PassWord : ***"),
            ("smtp: { host: h, password: hunter2, port: 1 }", "smtp: { host: h, password: ***"),
            (r#"smtp: {"password": "hunter2"}"#, r#"smtp: {"password": ***"#),
            (r#"smtp: {"password":"hunter2"}"#, r#"smtp: {"password": ***"#),
            ("  credential_hash: aHVudGVyMg==", "  credential_hash: ***"),
            ("  password: { env: ACME }", "  password: { env: ACME }"),
            ("  password: { env: ACME } # why", "  password: { env: ACME } # why"),
            ("  password: { file: /run/x }", "  password: { file: /run/x }"),
            ("  password: { env: hunter 2 }", "  password: ***"),
            ("  password: { value: hunter2 }", "  password: ***"),
            ("  base_url: https://u:hunter2@h/OWAPI", "  base_url: https://***@h/OWAPI"),
            ("  base_url: https://h/OWAPI", "  base_url: https://h/OWAPI"),
            ("  port: 587", "  port: 587"),
            ("  password:", "  password:"),
            ("a: { username: u, password hunter2 }", "a: { username: u, password ***"),
            ("  base_url: https:/u:hunter2@h", "  base_url: https:/***@h"),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text), expected);
        }
    }

    #[test]
    fn an_address_in_a_log_keeps_only_its_domain() {
        for (text, expected) in [
            ("\"it@acme.example\" is no recipient", "\"…@acme.example\" is no recipient"),
            ("Jo <jo@a.example>, a@b, x", "Jo <…@a.example>, …@b, x"),
            ("\"Jo \\\"jo doe\\\"@a.example\"", "\"Jo \\…@a.example\""),
            ("owners: o'brien@a.example", "owners: o'…@a.example"),
            ("driftwise.yaml:3:1: unknown key", "driftwise.yaml:3:1: unknown key"),
            ("the parameter @since", "the parameter @since"),
        ] {
            assert_eq!(mask_addresses(text), expected);
        }
    }

    #[test]
    fn keys_that_hold_no_secret_are_shown() {
        for key in [
            "base_url", "username", "host", "port", "path", "tls", "owners", "setting", "session", "sources", "bare",
            "then",
        ] {
            assert!(!names_a_secret(key), "{key}");
        }
    }
}
