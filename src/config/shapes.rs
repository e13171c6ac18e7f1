//! The shapes of single values, whatever the key: text, flag, number, duration, size, path, one of several words. Those with a
//! grammar of their own, such as an address or a time zone, are in `words`; lists and mappings in `containers`.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::declaration::Shape;
use super::report::{Report, suggestion};
use super::tree::{Form, Node, Value};
use super::unit::{self, Unfit};
use crate::domain::reading::quote;

/// What the schema adds to the pattern of a text, so that `${NAME}` may stand anywhere: its value is known at run time only.
const OR_VARIABLE: &str = r"|\$\{";

/// A schema of a text that matches `pattern`.
pub(super) fn text_like(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": format!("{pattern}{OR_VARIABLE}") })
}

/// What a value is, for "not ...": its text where it has one.
pub(super) fn described(node: &Node) -> String {
    node.scalar().map_or_else(|| node.sort().to_owned(), |text| super::mask::user_info(&quote(text)))
}

/// Any single value as text: numbers and `true` too, as they are written. Not empty.
pub(super) struct Text;

impl Shape for Text {
    type Value = String;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<String> {
        match node.scalar() {
            Some(text) if !text.trim().is_empty() => return Some(text.to_owned()),
            Some(_) => report.problem(node.place, format!("{} must not be empty", quote(key))),
            None => report.problem(node.place, format!("{} must be text, not {}", quote(key), node.sort())),
        }
        None
    }

    fn schema() -> Json {
        json!({ "type": ["string", "number", "boolean"], "pattern": r"\S" })
    }

    fn words() -> String {
        "text".to_owned()
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Shape for Flag {
    type Value = bool;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<bool> {
        if let Value::Scalar(_, Form::Flag(flag)) = node.value {
            return Some(flag);
        }
        report.problem(node.place, format!("{key:?} must be true or false, not {}", described(node)));
        None
    }

    fn schema() -> Json {
        json!({ "type": ["boolean", "string"], "pattern": r"^\$\{" })
    }

    fn words() -> String {
        "true or false".to_owned()
    }
}

/// A whole number of type `T` from `MIN` to `MAX`.
pub(super) struct Whole<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Shape for Whole<T, MIN, MAX> {
    type Value = T;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<T> {
        let number = node.scalar().and_then(|text| text.parse().ok()).filter(|number| (MIN..=MAX).contains(number));
        if number.is_none() {
            report.problem(node.place, format!("{key:?} must be a {}, not {}", Self::words(), described(node)));
        }
        number.and_then(|number| T::try_from(number).ok())
    }

    fn schema() -> Json {
        json!({ "type": ["integer", "string"], "minimum": MIN, "maximum": MAX, "pattern": r"^\+?[0-9]+$|\$\{" })
    }

    fn words() -> String {
        let range = if MAX == u64::MAX { format!("of {MIN} or more") } else { format!("from {MIN} to {MAX}") };
        format!("whole number {range}")
    }
}

/// A duration longer than 0.
pub(super) struct Span;

impl Shape for Span {
    type Value = Duration;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
        let duration = SpanOrZero::parse(report, node, key)?;
        if duration.is_zero() {
            report.problem(node.place, format!("{key:?} must be longer than 0"));
            return None;
        }
        Some(duration)
    }

    fn schema() -> Json {
        text_like(r"^0*[1-9][0-9]*\s*[smhd]$")
    }

    fn words() -> String {
        "duration".to_owned()
    }
}

/// A duration, or `0`.
pub(super) struct SpanOrZero;

impl SpanOrZero {
    fn parse(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
        let message = match node.scalar().map_or(Err(Unfit::Form), unit::read_duration) {
            Ok(duration) => return Some(duration),
            Err(Unfit::TooLarge) => format!("{key:?} is longer than the ten years allowed"),
            Err(Unfit::Form) => {
                format!("{key:?} must be a duration such as 90s, 5m, 24h or 30d, not {}", described(node))
            }
        };
        report.problem(node.place, message);
        None
    }
}

impl Shape for SpanOrZero {
    type Value = Duration;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
        if node.scalar() == Some("0") { Some(Duration::ZERO) } else { Self::parse(report, node, key) }
    }

    fn schema() -> Json {
        let pattern = format!(r"^([0-9]+\s*[smhd]|0)${OR_VARIABLE}");
        json!({ "type": ["string", "integer"], "pattern": pattern, "minimum": 0, "maximum": 0 })
    }

    fn words() -> String {
        "duration, or 0".to_owned()
    }
}

/// As [`SpanOrZero`]; a list of them, which grows, is in the contract and not built.
pub(super) struct Repeat;

impl Shape for Repeat {
    type Value = Duration;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
        if node.items().is_some() {
            report.problem_with(node.place, format!("a list for {key:?} is not available yet"), "give one duration");
            return None;
        }
        SpanOrZero::read(report, node, key)
    }

    fn schema() -> Json {
        SpanOrZero::schema()
    }

    fn words() -> String {
        SpanOrZero::words()
    }
}

/// A size in bytes, larger than 0.
pub(super) struct Size;

impl Shape for Size {
    type Value = u64;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<u64> {
        let message = match node.scalar().map_or(Err(Unfit::Form), unit::read_size) {
            Ok(0) => format!("{key:?} must be larger than 0"),
            Ok(size) => return Some(size),
            Err(Unfit::TooLarge) => format!("{key:?} is larger than the 1024GiB allowed"),
            Err(Unfit::Form) => format!("{key:?} must be a size such as 16MiB, not {}", described(node)),
        };
        report.problem_with(node.place, message, "units: B, KiB, MiB, GiB");
        None
    }

    fn schema() -> Json {
        text_like(r"^0*[1-9][0-9]*\s*(B|KiB|MiB|GiB)$")
    }

    fn words() -> String {
        "size".to_owned()
    }
}

/// A path, relative to the file in which it is written.
pub(super) struct FilePath;

impl Shape for FilePath {
    type Value = PathBuf;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<PathBuf> {
        Some(report.folder(node.place.file).join(Text::read(report, node, key)?))
    }

    fn schema() -> Json {
        Text::schema()
    }

    fn words() -> String {
        "path".to_owned()
    }
}

/// A closed set of words.
pub(super) trait Words: Sized + Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
    /// In the contract, but not built.
    const LATER: &'static [&'static str] = &[];
}

/// One word of a closed set.
pub(super) struct Choice<W>(PhantomData<W>);

impl<W: Words> Shape for Choice<W> {
    type Value = W;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<W> {
        let text = node.scalar().unwrap_or_default();
        let known = W::WORDS.iter().map(|(word, _)| *word);
        let found = W::WORDS.iter().find(|(word, _)| *word == text);
        if found.is_none() && W::LATER.contains(&text) {
            let available = known.collect::<Vec<_>>().join(", ");
            let message = format!("{}: {text:?} is not available yet", quote(key));
            report.problem_with(node.place, message, format!("available: {available}"));
        } else if found.is_none() {
            let message = format!("{} cannot be {}", quote(key), described(node));
            report.problem_with(node.place, message, suggestion(text, known));
        }
        found.map(|(_, value)| *value)
    }

    fn schema() -> Json {
        let words = W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"\$\{" }] })
    }

    fn words() -> String {
        let words = W::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>();
        words.join(", ")
    }
}
