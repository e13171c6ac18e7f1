//! Readings: the meaning of a raw value as a typed value, missing, or unreadable with the reason.
//!
//! How OrderWise sends a bit or a schedule is not documented, so the spellings in use are understood and every other one is
//! unreadable, with the spelling in the reason. Guessing would cause false alarms or hide drift.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub mod addresses;
pub mod flag;
pub mod interval;
pub mod time;

/// A raw value as a source sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawValue {
    #[serde(rename = "null")]
    Null,
    #[serde(rename = "b")]
    Flag(bool),
    /// A number, digit for digit as it was sent: nothing is lost beyond 64 bits.
    #[serde(rename = "n")]
    Number(Arc<str>),
    #[serde(rename = "t")]
    Text(Arc<str>),
    /// An object or array, as JSON.
    #[serde(rename = "j")]
    Nested(Arc<str>),
    /// The column came more than once in the row, so none of its values can be trusted.
    #[serde(rename = "repeated")]
    Repeated,
}

impl RawValue {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// The value as text without stray spaces; `None` for null and for a repeated column.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Null | Self::Repeated => None,
            Self::Flag(true) => Some("true"),
            Self::Flag(false) => Some("false"),
            Self::Number(text) | Self::Text(text) | Self::Nested(text) => Some(trim(text)),
        }
    }

    /// The value for people, as it was sent; `None` for a repeated column, which has no one value.
    pub fn as_sent(&self) -> Option<&str> {
        match self {
            Self::Repeated => None,
            Self::Null => Some("null"),
            other => Some(other.as_text().filter(|text| !text.is_empty()).unwrap_or(EMPTY)),
        }
    }
}

/// Stray spaces: white space, and the NUL and no-break space with which databases pad.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
}

/// How an empty value is shown.
const EMPTY: &str = "(empty)";

/// How the value of a setting is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Text,
    /// Text that is compared without regard to case.
    Choice,
    Flag,
    Interval,
    Addresses,
    Time,
}

impl Kind {
    /// Every kind with its name in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("choice", Self::Choice),
        ("flag", Self::Flag),
        ("interval", Self::Interval),
        ("addresses", Self::Addresses),
        ("time", Self::Time),
    ];
}

/// A value that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Choice(Cow<'a, str>),
    Flag(bool),
    /// In seconds.
    Interval(u64),
    /// An interval setting that says that there is none, such as `Manual`; as written.
    NoSchedule(Cow<'a, str>),
    /// As written; split by [`addresses::split`].
    Addresses(Cow<'a, str>),
    Time(DateTime<Utc>),
}

impl Value<'_> {
    /// Whether both mean the same: text by letters, choices and addresses without regard to case, addresses in any order.
    pub fn same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Choice(a), Value::Choice(b)) => same_ignoring_case(a, b),
            (Value::Addresses(a), Value::Addresses(b)) => addresses::same(a, b),
            (Value::NoSchedule(_), Value::NoSchedule(_)) => true,
            (a, b) => a == b,
        }
    }
}

/// Equality without regard to case, beyond ASCII too.
pub fn same_ignoring_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Choice(text) | Value::Addresses(text) if text.is_empty() => f.write_str(EMPTY),
            Value::Text(text) | Value::Choice(text) | Value::Addresses(text) | Value::NoSchedule(text) => {
                f.write_str(text)
            }
            Value::Flag(true) => f.write_str("ticked"),
            Value::Flag(false) => f.write_str("unticked"),
            Value::Interval(seconds) => f.write_str(&interval::every(*seconds)),
            Value::Time(at) => write!(f, "{}", time::utc(*at)),
        }
    }
}

/// Why a setting that is missing cannot be verified.
pub const NOT_RETURNED: &str = "the source did not return it";

/// The meaning of the raw value of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<'a> {
    Value(Value<'a>),
    /// The source did not return the setting.
    Missing,
    /// The value is not understood; the reason says why.
    Unreadable(String),
}

/// Reads a raw value as `kind`. `zone` is where times without a zone of their own were written.
pub fn read(raw: &RawValue, kind: Kind, zone: chrono_tz::Tz) -> Reading<'_> {
    if *raw == RawValue::Repeated {
        return Reading::Unreadable("the column came more than once in the row".to_owned());
    }
    let text = raw.as_text();
    match kind {
        Kind::Text => Reading::Value(Value::Text(Cow::Borrowed(text.unwrap_or_default()))),
        Kind::Choice => Reading::Value(Value::Choice(Cow::Borrowed(text.unwrap_or_default()))),
        Kind::Addresses => Reading::Value(Value::Addresses(Cow::Borrowed(text.unwrap_or_default()))),
        Kind::Flag => strict(text, flag::parse(text).map(Value::Flag), "a tick-box value such as true or 0"),
        Kind::Interval => {
            let none = || text.filter(|text| interval::is_none(text)).map(|text| Value::NoSchedule(text.into()));
            let parsed = interval::parse(text).map(Value::Interval).or_else(none);
            strict(text, parsed, "an interval such as 5 or Every 5 minutes")
        }
        Kind::Time => {
            strict(text, time::parse(text, zone).map(Value::Time), "a date and time such as 2026-01-31 14:05")
        }
    }
}

fn strict<'a>(text: Option<&str>, parsed: Option<Value<'a>>, wanted: &str) -> Reading<'a> {
    match (parsed, text) {
        (Some(value), _) => Reading::Value(value),
        (None, None) => Reading::Unreadable(format!("the source returned null, which is not {wanted}")),
        (None, Some("")) => Reading::Unreadable(format!("the source returned an empty value, which is not {wanted}")),
        (None, Some(text)) => {
            Reading::Unreadable(format!("the source returned {}, which is not {wanted}", quote(text)))
        }
    }
}

/// Longest piece of an outside text that is quoted in a reason, in characters.
const QUOTED: usize = 60;

/// An outside text for a reason: cut to a readable length, with control and direction marks made visible.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for (at, c) in text.chars().enumerate() {
        if at == QUOTED {
            quoted.push('…');
            break;
        }
        quoted.push(visible(c));
    }
    quoted.push('"');
    quoted
}

/// The character to show for `c`: itself, or a replacement if it cannot be shown.
pub fn visible(c: char) -> char {
    if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Control characters, line separators, and marks that change the direction or hide text: never shown as they are.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{061C}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_utc(raw: &RawValue, kind: Kind) -> Reading<'_> {
        read(raw, kind, chrono_tz::UTC)
    }

    #[test]
    fn null_is_an_empty_text_and_an_unreadable_flag_or_interval() {
        for kind in [Kind::Text, Kind::Choice, Kind::Addresses] {
            assert!(matches!(read_utc(&RawValue::Null, kind), Reading::Value(v) if v.to_string() == "(empty)"));
        }
        for kind in [Kind::Flag, Kind::Interval, Kind::Time] {
            for (raw, word) in
                [(RawValue::Null, "null"), (RawValue::text("  "), "empty"), (RawValue::text("perhaps"), "perhaps")]
            {
                let Reading::Unreadable(reason) = read_utc(&raw, kind) else { panic!("{raw:?} as {kind:?}") };
                assert!(reason.contains(word), "{reason}");
            }
        }
    }

    #[test]
    fn text_loses_stray_spaces_and_keeps_its_case() {
        let raw = RawValue::text("VP255R \0");
        assert_eq!(read_utc(&raw, Kind::Text), Reading::Value(Value::Text("VP255R".into())));
        let (a, b) = (Value::Choice("Web Service".into()), Value::Choice("WEB service".into()));
        assert!(a.same(&b));
        assert!(!Value::Text("a".into()).same(&Value::Text("A".into())));
    }

    #[test]
    fn a_repeated_column_is_unreadable_as_any_kind() {
        for (_, kind) in Kind::ALL {
            assert!(matches!(read_utc(&RawValue::Repeated, kind), Reading::Unreadable(_)));
        }
    }

    #[test]
    fn a_schedule_that_is_switched_off_is_a_value_in_each_of_its_words() {
        let (manual, never) = (RawValue::text("Manual"), RawValue::text(" never "));
        let read = |raw| match read_utc(raw, Kind::Interval) {
            Reading::Value(value) => value,
            other => panic!("{other:?}"),
        };
        assert!(read(&manual).same(&read(&never)));
        assert!(!read(&manual).same(&Value::Interval(0)));
        assert_eq!(read(&manual).to_string(), "Manual");
    }

    #[test]
    fn a_value_is_shown_as_it_was_sent() {
        let table = [
            (RawValue::Null, Some("null")),
            (RawValue::text("  "), Some("(empty)")),
            (RawValue::text(" perhaps "), Some("perhaps")),
            (RawValue::Number("2".into()), Some("2")),
            (RawValue::Repeated, None),
        ];
        for (raw, shown) in table {
            assert_eq!(raw.as_sent(), shown, "{raw:?}");
        }
    }

    #[test]
    fn times_that_differ_are_shown_apart() {
        let raw = RawValue::text("2026-01-31T14:05:07+01:00");
        let Reading::Value(value) = read_utc(&raw, Kind::Time) else { panic!("{raw:?}") };
        assert_eq!(value.to_string(), "2026-01-31 13:05:07 UTC");
    }

    #[test]
    fn a_quoted_text_is_short_and_shows_its_marks() {
        let quoted = quote(&format!("a\u{202E}b\n{}", "x".repeat(500)));
        assert!(quoted.starts_with("\"a\u{FFFD}b\u{FFFD}x"));
        assert!(quoted.chars().count() < 70);
    }
}
