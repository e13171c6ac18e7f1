//! Single values: the type of a plain word in YAML 1.2, and substitution of `${NAME}`.

use super::environment::{Environment, is_variable_name};
use super::tree::Form;

/// The type of an unquoted word in the core schema of YAML 1.2: `yes` is text, `true` is not.
pub(super) fn form(text: &str) -> Form {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Form::Null,
        "true" | "True" | "TRUE" => return Form::Flag(true),
        "false" | "False" | "FALSE" => return Form::Flag(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let based = |prefix: &str, radix| {
        text.strip_prefix(prefix).is_some_and(|s| !s.is_empty() && s.chars().all(|c| c.is_digit(radix)))
    };
    if digits(unsigned) || based("0x", 16) || based("0o", 8) {
        return Form::Whole;
    }
    let starts_like_a_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let only_number_signs = unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if starts_like_a_number && only_number_signs && unsigned.parse::<f64>().is_ok() {
        return Form::Decimal;
    }
    Form::Text
}

/// Fills `${NAME}` and `${NAME:-default}` from the environment; `$$` is a dollar, and so is a dollar before anything else.
/// `None`: the text has no dollar. The error never holds a value.
pub(super) fn interpolate(text: &str, environment: &dyn Environment) -> Result<Option<String>, String> {
    if !text.contains('$') {
        return Ok(None);
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                return Err("\"${\" has no closing \"}\"; for the two characters themselves write \"$${\"".to_owned());
            };
            filled.push_str(&variable(inside, environment)?);
            rest = after;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

fn variable(inside: &str, environment: &dyn Environment) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_variable_name(name) {
        return Err("the text between \"${\" and \"}\" is not the name of an environment variable".to_owned());
    }
    match (environment.variable(name).filter(|value| !value.is_empty() || default.is_none()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set; set it, or give a default as in ${{{name}:-default}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_are_what_yaml_1_2_says() {
        let cases = [
            ("yes", Form::Text),
            ("on", Form::Text),
            ("true", Form::Flag(true)),
            ("FALSE", Form::Flag(false)),
            ("", Form::Null),
            ("~", Form::Null),
            ("null", Form::Null),
            ("14", Form::Whole),
            ("-14", Form::Whole),
            ("0x1F", Form::Whole),
            ("1.5", Form::Decimal),
            ("1e3", Form::Decimal),
            ("5m", Form::Text),
            ("infinity", Form::Text),
            ("127.0.0.1", Form::Text),
            ("2026-01-01", Form::Text),
        ];
        for (text, expected) in cases {
            assert_eq!(form(text), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_filled_in() {
        let environment = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let filled = |text: &str| interpolate(text, &environment);
        assert_eq!(filled("plain"), Ok(None));
        let cases = [
            ("${A}", "one"),
            ("x${A}y${A}", "xoneyone"),
            ("${B:-two}", "two"),
            ("${B:-}", ""),
            ("${A:-two}", "one"),
            ("${EMPTY}", ""),
            ("${EMPTY:-two}", "two"),
            ("$${A}", "${A}"),
            ("^a$", "^a$"),
            ("pa$word", "pa$word"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text), Ok(Some(expected.to_owned())), "{text}");
        }
        for (bad, words) in [("${B}", "B is not set"), ("${A", "closing"), ("${A B}", "name"), ("${}", "name")] {
            assert!(filled(bad).unwrap_err().contains(words), "{bad}");
        }
    }
}
