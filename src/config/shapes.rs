//! The shapes of single values, whatever the key: text, flag, number, duration, size, path, one of several words. Those with a
//! grammar of their own, such as an address or a time zone, are in `words`; lists and mappings in `containers`.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::declaration::{Shape, shape};
use super::report::{Report, suggestion};
use super::tree::{Form, Node, Value};
use super::unit::{self, Unfit};
use crate::domain::reading::quote;

/// What the schema adds to the pattern of a text, so that `${NAME}` may stand anywhere: its value is known at run time only.
const OR_VARIABLE: &str = r"|\$\{";

/// A schema of a text that matches `pattern`.
pub(super) fn text_like(title: &str, pattern: &str) -> Json {
    json!({ "title": title, "type": "string", "pattern": format!("{pattern}{OR_VARIABLE}") })
}

/// A schema of any text that is not empty.
pub(super) fn any_text(title: &str) -> Json {
    json!({ "title": title, "type": ["string", "number", "boolean"], "pattern": r"\S" })
}

/// What a value is, for "not ...": its text where it has one.
pub(super) fn described(node: &Node) -> String {
    node.scalar().map_or_else(|| node.sort().to_owned(), |text| super::mask::user_info(&quote(text)))
}

/// Any single value as text: numbers and `true` too, as they are written. Not empty.
pub(super) struct Text;

shape!(Text, String, any_text("text"), |report, node, key| match node.scalar() {
    Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
    Some(_) => report.refuse(node, format!("{} must not be empty", quote(key))),
    None => report.refuse(node, format!("{} must be text, not {}", quote(key), node.sort())),
});

/// `true` or `false`.
pub(super) struct Flag;

shape!(
    Flag,
    bool,
    json!({ "title": "true or false", "type": ["boolean", "string"], "pattern": r"^\$\{" }),
    |report, node, key| match node.value {
        Value::Scalar(_, Form::Flag(flag)) => Some(flag),
        _ => report.refuse(node, format!("{key:?} must be true or false, not {}", described(node))),
    }
);

/// A whole number of type `T` from `MIN` to `MAX`.
pub(super) struct Whole<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Whole<T, MIN, MAX> {
    fn title() -> String {
        let range = if MAX == u64::MAX { format!("of {MIN} or more") } else { format!("from {MIN} to {MAX}") };
        format!("whole number {range}")
    }
}

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Shape for Whole<T, MIN, MAX> {
    type Value = T;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<T> {
        let number = node.scalar().and_then(|text| text.parse().ok()).filter(|number| (MIN..=MAX).contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .or_else(|| report.refuse(node, format!("{key:?} must be a {}, not {}", Self::title(), described(node))))
    }

    fn schema() -> Json {
        let pattern = r"^\+?[0-9]+$|\$\{";
        json!({ "title": Self::title(), "type": ["integer", "string"], "minimum": MIN, "maximum": MAX, "pattern": pattern })
    }
}

/// A whole percentage from `1%` to `100%`.
pub(super) struct Percent;

shape!(Percent, u8, text_like("percentage from 1% to 100%", "^(0*[1-9][0-9]?|0*100)%$"), |report, node, key| {
    let digits = node.scalar().and_then(|text| text.strip_suffix('%')).filter(|digits| !digits.starts_with('+'));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.filter(|number| (1..=100).contains(number)).or_else(|| {
        report.refuse(node, format!("{key:?} must be a percentage from 1% to 100%, not {}", described(node)))
    })
});

/// A duration longer than 0.
pub(super) struct Span;

shape!(Span, Duration, text_like("duration", r"^0*[1-9][0-9]*\s*[smhd]$"), |report, node, key| {
    let duration = duration(report, node, key)?;
    if duration.is_zero() {
        return report.refuse(node, format!("{key:?} must be longer than 0"));
    }
    Some(duration)
});

/// A duration, or `0`.
pub(super) struct SpanOrZero;

shape!(
    SpanOrZero,
    Duration,
    {
        let pattern = format!(r"^([0-9]+\s*[smhd]|0)${OR_VARIABLE}");
        let types = ["string", "integer"];
        json!({ "title": "duration, or 0", "type": types, "pattern": pattern, "minimum": 0, "maximum": 0 })
    },
    |report, node, key| if node.scalar() == Some("0") { Some(Duration::ZERO) } else { duration(report, node, key) }
);

fn duration(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
    match node.scalar().map_or(Err(Unfit::Form), unit::read_duration) {
        Ok(duration) => Some(duration),
        Err(Unfit::TooLarge) => report.refuse(node, format!("{key:?} is longer than the ten years allowed")),
        Err(Unfit::Form) => {
            let message = format!("{key:?} must be a duration such as 90s, 5m, 24h or 30d, not {}", described(node));
            report.refuse(node, message)
        }
    }
}

/// As [`SpanOrZero`]; a list of them, which grows, is in the contract and not built.
pub(super) struct Repeat;

shape!(Repeat, Duration, SpanOrZero::schema(), |report, node, key| {
    if node.items().is_some() {
        return report.refuse_with(node, format!("a list for {key:?} is not available yet"), "give one duration");
    }
    SpanOrZero::read(report, node, key)
});

/// A size in bytes, larger than 0.
pub(super) struct Size;

shape!(Size, u64, text_like("size", r"^0*[1-9][0-9]*\s*(B|KiB|MiB|GiB)$"), |report, node, key| {
    let message = match node.scalar().map_or(Err(Unfit::Form), unit::read_size) {
        Ok(0) => format!("{key:?} must be larger than 0"),
        Ok(size) => return Some(size),
        Err(Unfit::TooLarge) => format!("{key:?} is larger than the 1024GiB allowed"),
        Err(Unfit::Form) => format!("{key:?} must be a size such as 16MiB, not {}", described(node)),
    };
    report.refuse_with(node, message, "units: B, KiB, MiB, GiB")
});

/// A path, relative to the file in which it is written.
pub(super) struct FilePath;

shape!(FilePath, PathBuf, any_text("path"), |report, node, key| {
    Some(report.folder(node.place.file).join(Text::read(report, node, key)?))
});

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
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if W::LATER.contains(&text) {
            let available = known.collect::<Vec<_>>().join(", ");
            let message = format!("{}: {text:?} is not available yet", quote(key));
            return report.refuse_with(node, message, format!("available: {available}"));
        }
        report.refuse_with(node, format!("{} cannot be {}", quote(key), described(node)), suggestion(text, known))
    }

    fn schema() -> Json {
        let words = W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let title = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        json!({ "title": title, "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"\$\{" }] })
    }
}
