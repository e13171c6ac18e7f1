//! What the value of a setting must be, and the comparison itself.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use regex::Regex;

use super::address::Address;
use super::reading::{Kind, NOT_RETURNED, RawValue, Reading, Value, addresses, interval, read};
use super::session::Params;

/// A value in a rule: written there, or filled from the session's params.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    Literal(String),
    /// The param's name. If the session has no such param, any value satisfies the rule where `or_present` holds; otherwise the
    /// configuration has refused the session.
    Param {
        name: String,
        or_present: bool,
    },
}

impl Operand {
    /// The one value; the first where a param has several.
    pub fn resolve<'a>(&'a self, params: &'a Params) -> Option<&'a str> {
        self.resolve_all(params).and_then(|values| values.first()).map(String::as_str)
    }

    /// All values; `None` where the session has no such param.
    pub fn resolve_all<'a>(&'a self, params: &'a Params) -> Option<&'a [String]> {
        match self {
            Self::Literal(text) => Some(std::slice::from_ref(text)),
            Self::Param { name, .. } => params.get(name).map(Vec::as_slice),
        }
    }
}

/// What a rule demands of a setting.
#[derive(Debug, Clone)]
pub enum Expectation {
    Ticked,
    Unticked,
    Equals(Operand),
    OneOf(Vec<Operand>),
    NotOneOf(Vec<Operand>),
    Matches(Regex),
    Every(Duration),
    AtMost(Duration),
    /// The address is among those of the setting.
    Includes(Operand),
    Present,
    /// A time that is no longer ago than this.
    Within(Duration),
    /// Every member of a group is ticked, and there are at least `count` that can be read.
    AllTicked {
        count: usize,
    },
    /// The pinned value.
    Unchanged,
    /// No two audited sessions of the source share the value.
    Unique,
}

/// What a comparison needs besides the value.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    pub params: &'a Params,
    pub zone: Tz,
    pub now: DateTime<Utc>,
}

/// The result of comparing one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    Met,
    /// The value that was found, in words.
    Unmet {
        found: String,
    },
    /// Why it could not be compared.
    Unclear(String),
}

impl Expectation {
    /// The kind that the expectation needs, where it needs one; otherwise the setting's own kind holds.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Ticked | Self::Unticked | Self::AllTicked { .. } => Some(Kind::Flag),
            Self::Every(_) | Self::AtMost(_) => Some(Kind::Interval),
            Self::Includes(_) => Some(Kind::Addresses),
            Self::Within(_) => Some(Kind::Time),
            _ => None,
        }
    }

    /// The operands, for checks of the configuration.
    pub fn operands(&self) -> &[Operand] {
        match self {
            Self::Equals(operand) | Self::Includes(operand) => std::slice::from_ref(operand),
            Self::OneOf(list) | Self::NotOneOf(list) => list,
            _ => &[],
        }
    }

    /// Compares one value, read as `kind`. `Unchanged`, `Unique` and `AllTicked` need more than one value and are decided in
    /// `evaluate`.
    pub fn compare(&self, raw: &RawValue, kind: Kind, around: Surroundings<'_>) -> Compared {
        let value = match read(raw, kind, around.zone) {
            Reading::Value(value) => value,
            Reading::Unreadable(reason) => return Compared::Unclear(reason),
            Reading::Missing => return Compared::Unclear(NOT_RETURNED.to_owned()),
        };
        match self.meets(&value, raw, kind, around) {
            Ok(true) => Compared::Met,
            Ok(false) => Compared::Unmet { found: value.to_string() },
            Err(reason) => Compared::Unclear(reason),
        }
    }

    fn meets(&self, value: &Value<'_>, raw: &RawValue, kind: Kind, around: Surroundings<'_>) -> Result<bool, String> {
        // One of them, where the operand is a list.
        let equals = |operand: &Operand| match operand.resolve_all(around.params) {
            Some(texts) => any(texts, |text| equal(value, text, kind, around.zone)),
            None => Ok(present(value)),
        };
        // Without its param, an operand excludes only the absence of a value.
        let excludes = |operand: &Operand| match operand.resolve_all(around.params) {
            Some(_) => equals(operand),
            None => Ok(!present(value)),
        };
        Ok(match self {
            Self::Ticked => *value == Value::Flag(true),
            Self::Unticked => *value == Value::Flag(false),
            Self::Equals(operand) => equals(operand)?,
            Self::OneOf(list) => any(list, equals)?,
            Self::NotOneOf(list) => !any(list, excludes)?,
            Self::Matches(regex) => regex.is_match(raw.as_text().unwrap_or_default()),
            Self::Every(wanted) => matches!(value, Value::Interval(seconds) if *seconds == wanted.as_secs()),
            Self::AtMost(most) => {
                matches!(value, Value::Interval(seconds) if *seconds > 0 && *seconds <= most.as_secs())
            }
            Self::Includes(operand) => match operand.resolve(around.params) {
                Some(text) => {
                    let wanted = Address::parse(text).map_err(|e| e.to_string())?;
                    matches!(value, Value::Addresses(list) if addresses::includes(list, &wanted))
                }
                None => present(value),
            },
            Self::Within(oldest) => match value {
                Value::Time(at) => (around.now - *at).to_std().is_ok_and(|age| age <= *oldest) || *at > around.now,
                _ => false,
            },
            Self::Present | Self::Unchanged | Self::Unique | Self::AllTicked { .. } => present(value),
        })
    }

    /// The demand in words, with the params filled in: `unticked`, `every 5 minutes`, `Web Service`.
    pub fn describe<'a>(&'a self, params: &'a Params) -> Cow<'a, str> {
        let one = |operand: &'a Operand| operand.resolve(params).unwrap_or("any value");
        let all = |operand: &'a Operand| match operand.resolve_all(params) {
            Some(texts) => texts.join(", "),
            None => String::from("any value"),
        };
        let list = |operands: &'a [Operand]| operands.iter().map(all).collect::<Vec<_>>().join(", ");
        match self {
            Self::Ticked => "ticked".into(),
            Self::Unticked => "unticked".into(),
            Self::Equals(operand) => one(operand).into(),
            Self::OneOf(operands) => format!("one of: {}", list(operands)).into(),
            Self::NotOneOf(operands) => format!("none of: {}", list(operands)).into(),
            Self::Matches(regex) => format!("text that matches {regex}").into(),
            Self::Every(every) => interval::every(every.as_secs()).into(),
            Self::AtMost(most) => format!("at most {} apart", interval::span(most.as_secs())).into(),
            Self::Includes(operand) => match operand.resolve(params) {
                Some(address) => format!("an address list that includes {address}").into(),
                None => "a usable address".into(),
            },
            Self::Present => "any value".into(),
            Self::Within(oldest) => format!("not older than {}", interval::span(oldest.as_secs())).into(),
            Self::AllTicked { count } => format!("all {count} ticked").into(),
            Self::Unchanged => "unchanged".into(),
            Self::Unique => "a value that no other session of the source has".into(),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(&Params::new()))
    }
}

fn any<T>(list: &[T], equals: impl Fn(&T) -> Result<bool, String>) -> Result<bool, String> {
    for item in list {
        if equals(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `text`, read the way the value was, is the same value.
fn equal(value: &Value<'_>, text: &str, kind: Kind, zone: Tz) -> Result<bool, String> {
    match read(&RawValue::text(text), kind, zone) {
        Reading::Value(wanted) => Ok(value.same(&wanted)),
        Reading::Unreadable(_) | Reading::Missing => {
            Err(format!("the rule's own value {text:?} is not valid for this setting"))
        }
    }
}

/// Whether the value is usable: text that is not empty, a valid mail address.
pub fn present(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) | Value::Choice(text) => !text.is_empty(),
        Value::Addresses(text) => addresses::any_usable(text),
        Value::NoSchedule(_) => false,
        Value::Flag(_) | Value::Interval(_) | Value::Time(_) => true,
    }
}
