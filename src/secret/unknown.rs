//! Removes text that resembles a secret: a server may quote a token that it has just issued.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::redactor::REDACTED;

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static JWT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*").expect("valid"));

#[expect(clippy::expect_used, reason = "as above")]
static SCHEME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?i)\b(basic|bearer|negotiate|digest)(\s+)([^\s"',;<>]{8,})"#).expect("valid"));

#[expect(clippy::expect_used, reason = "as above")]
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"[\w-]*(?:token|passw(?:or)?d|pwd|secret|api[_-]?key|credential|authorization)[\w-]*";
    // As they are, within a text of JSON, or percent-encoded.
    let (mark, equals) = (r#"(?:\\*["']|%22)"#, "(?:[:=]|%3[AD])");
    let value = r#"\\+["'][^"'\\]*(?:\\+["'])?|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&"'<>(){}\[\]]+"#;
    Regex::new(&format!(r"(?i)({name}{mark}?\s*{equals}\s*)({value})")).expect("valid")
});

/// Removes tokens by their form, credentials after the name of a scheme, and values after the name of a secret.
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    if !JWT.is_match(text) && !SCHEME.is_match(text) && !FIELD.is_match(text) {
        return Cow::Borrowed(text);
    }
    let scheme = |found: &Captures<'_>| {
        if is_word(&found[3]) { found[0].to_owned() } else { format!("{}{}{REDACTED}", &found[1], &found[2]) }
    };
    let text = JWT.replace_all(text, REDACTED);
    let text = SCHEME.replace_all(&text, scheme);
    let field = |found: &Captures<'_>| {
        let mark = if found[2].starts_with('"') { "\"" } else { "" };
        format!("{}{mark}{REDACTED}{mark}", &found[1])
    };
    Cow::Owned(FIELD.replace_all(&text, field).into_owned())
}

/// Whether the text after a scheme is a word of a sentence ("basic authentication"): short, without digits, and not in mixed
/// case.
fn is_word(text: &str) -> bool {
    let text = text.trim_end_matches(['.', ':']);
    let rest = text.get(1..).unwrap_or_default();
    let one_case = rest.bytes().all(|b| b.is_ascii_lowercase()) || text.bytes().all(|b| b.is_ascii_uppercase());
    text.len() < 16 && one_case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_resembles_a_secret_is_removed() {
        let cases = [
            ("new eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.sig-1 given", "new [redacted] given"),
            ("you sent Basic dXNlcjpwYXNz", "you sent Basic [redacted]"),
            ("Authorization: Bearer abcdefghijklmnop", "Authorization: [redacted] [redacted]"),
            (r#"{"access_token":"abc\"def","expires":3}"#, r#"{"access_token":"[redacted]","expires":3}"#),
            (r#"{"token": "cut off"#, r#"{"token": "[redacted]""#),
            (r#"{"sent":"{\"token\":\"abc\",\"x\":1}"}"#, r#"{"sent":"{\"token\":[redacted],\"x\":1}"}"#),
            ("%22token%22%3A%22abc%22", "%22token%22%3A[redacted]"),
            ("?x=1&api_key=abc&y=2", "?x=1&api_key=[redacted]&y=2"),
            ("client_secret = 'abc'", "client_secret = [redacted]"),
            ("Password: hunter2!", "Password: [redacted]"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn words_about_secrets_stay() {
        for text in [
            "basic authentication is off",
            "the token has expired",
            "Bearer tokens are refused.",
            "Login failed for user 'driftwise-api'",
            "Invalid column name 'session_id'",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}
