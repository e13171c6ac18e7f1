//! Every encoding of every kind of secret, and text that is not secret.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

const USER: &str = "driftwise-api";
const PASSWORD: &str = "c4n4ry/of+the s\"ourcé";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.c4n4ry-token_0123456789.abcdefghij";

fn redactor(password: &str) -> Redactor {
    let secret = SecretString::from(password);
    Redactor::new(&[KnownSecret::password(secret.clone()), KnownSecret::pair(USER, &secret), KnownSecret::token(TOKEN)])
}

fn percent(text: &str, wanted: impl Fn(u8) -> bool, upper: bool) -> String {
    let escape = |byte: u8| match (wanted(byte), upper) {
        (false, _) => char::from(byte).to_string(),
        (true, true) => format!("%{byte:02X}"),
        (true, false) => format!("%{byte:02x}"),
    };
    text.bytes().map(escape).collect()
}

/// Encodings of a text in which a server can repeat it.
fn spellings(text: &str) -> Vec<String> {
    let reserved = |byte: u8| !byte.is_ascii_alphanumeric();
    let json = serde_json::to_string(text).unwrap();
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
    let mut all = vec![
        text.to_owned(),
        text.to_lowercase(),
        percent(text, reserved, true),
        percent(text, reserved, false),
        percent(text, |_| true, true),
        percent(text, |_| true, false),
        percent(&percent(text, reserved, true), |byte| byte == b'%', true),
        percent(text, |byte| reserved(byte) && byte != b' ', true).replace(' ', "+"),
        json[1..json.len() - 1].to_owned(),
        serde_json::to_string(&json).unwrap(),
        units.to_uppercase().replace("\\U", "\\u"),
        units,
        text.chars().map(|c| format!("&#{};", u32::from(c))).collect::<Vec<_>>().concat(),
        text.replace('"', "&quot;").replace('&', "&amp;"),
        text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(),
    ];
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", "."] {
            let longer = format!("{before}{text}{after}");
            all.push(STANDARD.encode(&longer));
            all.push(URL_SAFE.encode(&longer));
            all.push(percent(&STANDARD.encode(&longer), reserved, true));
        }
    }
    all
}

#[test]
fn every_spelling_of_every_secret_is_removed_from_quotes_and_rows() {
    let redactor = redactor(PASSWORD);
    for secret in [PASSWORD, &format!("{USER}:{PASSWORD}"), TOKEN] {
        for spelling in spellings(secret) {
            for text in [format!("/a?b={spelling}&c"), format!("Basic {spelling}"), spelling.clone()] {
                for redacted in [redactor.quote(&text), redactor.value(&text)] {
                    assert!(redacted.contains(REDACTED), "{text}");
                    let left = redacted.replace(REDACTED, "");
                    let rest = text.replace(&spelling, "");
                    // The Base64 of the text before and after stays, and may end with `%3D%3D`.
                    assert!(left.len() <= rest.len() + 12, "{text}: {redacted}");
                }
            }
        }
    }
}

#[test]
fn pieces_of_secrets_are_removed_where_text_is_quoted() {
    let redactor = redactor("c4n4ry-of-the-source");
    for piece in ["c4n4ry-of-the", "of-the-source", "4n4ry-of-t", "c4n4ry-token_0123", "_0123456789.abcd"] {
        assert_eq!(redactor.quote(&format!("cut {piece}!")), format!("cut {REDACTED}!"));
    }
    assert_eq!(redactor.value("token_0123456789"), REDACTED, "a piece of a token in a row");
    assert_eq!(redactor.value("the-source code"), "the-source code", "words of a password in a row");
}

#[test]
fn text_without_secrets_stays_unchanged() {
    let redactor = redactor("simulated");
    for text in ["", "a", "Shopify_Orders", USER, "Login failed for user driftwise-api", "15% & more", "simul ated"] {
        assert!(matches!(redactor.quote(text), Cow::Borrowed(same) if same == text), "{text}");
        assert!(matches!(redactor.value(text), Cow::Borrowed(same) if same == text), "{text}");
    }
    let nothing = Redactor::default();
    assert_eq!(nothing.value(PASSWORD), PASSWORD);
    assert_eq!(nothing.quote("simulated"), "simulated");
}

#[test]
fn short_secrets_are_removed_unless_that_would_damage_values() {
    let cases = [
        ("ab", "ab", "ab"),
        ("ab", "table", "table"),
        ("ab", "driftwise-api:ab", REDACTED),
        ("ab", "ZHJpZnR3aXNlLWFwaTphYg==", "[redacted]g=="),
        ("main", "MAIN", REDACTED),
        ("main", "main-1", "[redacted]-1"),
        ("main", "remained", "remained"),
        ("1234", "1234", "1234"),
        ("1234", "no 1234!", "no [redacted]!"),
        ("12345678", "12345678", REDACTED),
        ("longer-one", "xlonger-onex", "x[redacted]x"),
    ];
    for (password, value, expected) in cases {
        assert_eq!(redactor(password).value(value), expected, "{password} in {value}");
    }
    assert_eq!(redactor("main").quote("remained"), "re[redacted]ed", "a quote is only for people");
}

#[test]
fn adjacent_secrets_and_secrets_in_other_alphabets_are_removed_completely() {
    let redactor = redactor("pässwörd");
    assert_eq!(redactor.value("pässwördpässwörd"), REDACTED);
    assert_eq!(redactor.quote("p%E4ssw%F6rd"), REDACTED, "Latin-1");
    assert_eq!(redactor.quote("é pässwör"), "é [redacted]");
}

#[test]
fn a_redactor_does_not_show_its_secrets() {
    assert_eq!(format!("{:?}", redactor(PASSWORD)), "Redactor { .. }");
}

/// A server chooses its tokens and responses, and must not be able to slow the search down.
#[test]
fn a_search_is_fast_for_any_token_and_text() {
    let tokens = ["a".repeat(64 << 10), "abcdefg ".repeat(8 << 10), "aaaab".repeat(13 << 10)];
    for token in tokens {
        let redactor = Redactor::new(&[KnownSecret::token(token.as_str())]);
        for text in ["a".repeat(1 << 20), "aaab".repeat(1 << 18), "%61".repeat(1 << 18), "\\".repeat(1 << 20)] {
            let started = std::time::Instant::now();
            let _ = redactor.value(&text);
            assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_redactor(text in "(.|c4n4|ry/of|eyJhb|%63|\\\\u0063|&#99;){0,40}", before in ".{0,9}") {
        let redactor = redactor(PASSWORD);
        let _ = (redactor.quote(&text), redactor.value(&text));
        let echoed = format!("{before} {TOKEN} {text}");
        prop_assert!(!redactor.value(&echoed).contains(TOKEN));
    }
}
