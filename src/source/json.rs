//! Parses a JSON response into rows of raw values.
//!
//! The response is one array of flat objects. The parser keeps each value as its piece of JSON, so numbers keep every digit,
//! equal keys stay apart, and a nested value needs no recursion. Rows of one shape share their columns, and a value that
//! equals the one above shares its text, so repetition allocates nothing. `limits` counts memory before it is taken.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue as RawJson;

use super::limits::Limits;
use super::{Failure, FetchError, Quoted};
use crate::domain::observation::{RawSnapshot, Row};
use crate::domain::reading::RawValue;
use crate::secret::Redactor;

/// The reason for a response without a session.
pub(super) const NO_SESSIONS: &str = "it returned no sessions";

/// The text of a parser error whose cause `limits` knows.
const OVER_LIMIT: &str = "it is over a limit";

/// Reads a body; its own length is the limit.
pub fn read(body: &[u8]) -> Result<RawSnapshot, FetchError> {
    read_within(body, body.len() as u64, &Redactor::default())
}

/// Reads a body of at most `max_body` bytes, which also bounds the memory of the rows. Removes the secrets of `redactor` from rows
/// and reasons.
pub fn read_within(body: &[u8], max_body: u64, redactor: &Redactor) -> Result<RawSnapshot, FetchError> {
    let text = text(body)?;
    match text.bytes().next() {
        None => Err(empty()),
        Some(b'[') => rows(text, Limits::new(max_body), redactor),
        Some(_) if text == "null" => Err(empty()),
        Some(_) => Err(not_an_array(text, redactor)),
    }
}

/// The text of a body, without byte order mark and surrounding spaces.
fn text(body: &[u8]) -> Result<&str, FetchError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format!("its answer is not UTF-8 text (byte {} cannot be read)", error.valid_up_to() + 1))
    })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text).trim())
}

fn empty() -> FetchError {
    FetchError::new(Failure::Empty, NO_SESSIONS)
}

fn malformed(reason: impl Into<String>) -> FetchError {
    FetchError::new(Failure::Malformed, reason)
}

fn rows(text: &str, mut limits: Limits, redactor: &Redactor) -> Result<RawSnapshot, FetchError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rows = deserializer.deserialize_seq(RowsVisitor { limits: &mut limits, redactor });
    match rows.and_then(|rows| deserializer.end().map(|()| rows)) {
        Ok(rows) if rows.is_empty() => Err(empty()),
        Ok(rows) => Ok(RawSnapshot { rows }),
        Err(error) => Err(limits.overrun().unwrap_or_else(|| malformed(broken(&error)))),
    }
}

/// The reason of a parse error. `serde_json` quotes nothing from outside in its messages about syntax.
fn broken(error: &serde_json::Error) -> String {
    let place =
        if error.line() == 0 { String::new() } else { format!(" (line {}, column {})", error.line(), error.column()) };
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    match error.classify() {
        Category::Eof => format!("its answer is cut off{place}"),
        Category::Data => format!("{reason}{place}"),
        Category::Syntax | Category::Io => format!("its answer is not valid JSON: {reason}{place}"),
    }
}

/// Describes a response that is not an array.
fn not_an_array(text: &str, redactor: &Redactor) -> FetchError {
    let quoted = Some(Quoted::of(text, redactor));
    let (came, quoted) = match serde_json::from_str::<IgnoredAny>(text) {
        _ if is_web_page(text) => ("a web page (HTML) instead of data", None),
        _ if text.starts_with('{') => ("a single object instead of a list of sessions", quoted),
        Ok(_) => ("a single value instead of a list of sessions", quoted),
        Err(error) if error.is_eof() => ("truncated text instead of data", None),
        Err(_) => ("text that is not JSON", quoted),
    };
    malformed(format!("it answered with {came}")).quoting(quoted)
}

/// Whether a text is markup: neither JSON nor a token begins with `<`.
pub(super) fn is_web_page(text: &str) -> bool {
    text.starts_with('<')
}

struct RowsVisitor<'a> {
    limits: &'a mut Limits,
    redactor: &'a Redactor,
}

impl<'de> Visitor<'de> for RowsVisitor<'_> {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sessions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Row>, A::Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut shapes = Shapes::default();
        loop {
            let above = rows.last().map(|row| row.raw_values.as_slice()).unwrap_or_default();
            let seed = RowSeed {
                shapes: &mut shapes,
                above,
                at: rows.len() + 1,
                limits: &mut *self.limits,
                redactor: self.redactor,
            };
            let Some(row) = seq.next_element_seed(seed)? else { return Ok(rows) };
            rows.push(row);
        }
    }
}

/// The column lists so far.
struct Shapes {
    /// Of the row above.
    above: Arc<[Box<str>]>,
    known: HashSet<Arc<[Box<str>]>>,
}

impl Default for Shapes {
    fn default() -> Self {
        Self { above: Arc::from([]), known: HashSet::new() }
    }
}

impl Shapes {
    /// The columns of a row: `own` if it differs from the row above, otherwise the first `len` columns of that row.
    fn settle(&mut self, own: Option<Names>, len: usize, limits: &mut Limits) -> Option<Arc<[Box<str>]>> {
        if own.is_none() && len == self.above.len() {
            return Some(Arc::clone(&self.above));
        }
        let Names { columns, taken } = match own {
            Some(names) => names,
            None => Names::of(&self.above[..len], limits)?,
        };
        let columns = if let Some(known) = self.known.get(columns.as_slice()) {
            limits.give_back(taken);
            Arc::clone(known)
        } else {
            let columns: Arc<[Box<str>]> = Arc::from(columns);
            self.known.insert(Arc::clone(&columns));
            columns
        };
        self.above = Arc::clone(&columns);
        Some(columns)
    }
}

/// The columns of a row that differs from the one above, and their memory in bytes.
struct Names {
    columns: Vec<Box<str>>,
    taken: u64,
}

impl Names {
    /// `None`: over a limit.
    fn of(columns: &[Box<str>], limits: &mut Limits) -> Option<Self> {
        let taken = limits.names(columns.iter().map(AsRef::as_ref))?;
        Some(Self { columns: columns.to_vec(), taken })
    }

    fn push(&mut self, column: Box<str>, limits: &mut Limits) -> Option<()> {
        self.taken += limits.names([column.as_ref()])?;
        self.columns.push(column);
        Some(())
    }
}

struct RowSeed<'a> {
    shapes: &'a mut Shapes,
    /// The raw values of the row above. Most columns have the same value in every row, and then share its text.
    above: &'a [RawValue],
    /// The number of the row, from 1.
    at: usize,
    limits: &'a mut Limits,
    redactor: &'a Redactor,
}

impl RowSeed<'_> {
    fn not_an_object<E: serde::de::Error>(&self, came: &str) -> E {
        E::custom(format_args!("entry {} of its answer is {came} instead of an object", self.at))
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let Self { shapes, above, limits, redactor, .. } = self;
        let full = || A::Error::custom(OVER_LIMIT);
        if !limits.row() {
            return Err(full());
        }
        let mut raw_values = Vec::with_capacity(shapes.above.len());
        let mut own: Option<Names> = None;
        loop {
            let at = raw_values.len();
            let expected = if own.is_none() { shapes.above.get(at).map(AsRef::as_ref) } else { None };
            match map.next_key_seed(KeySeed { above: expected, redactor })? {
                None => break,
                Some(None) => {}
                Some(Some(key)) => {
                    let names = match &mut own {
                        Some(names) => names,
                        None => own.insert(Names::of(&shapes.above[..at], limits).ok_or_else(full)?),
                    };
                    names.push(key, limits).ok_or_else(full)?;
                }
            }
            raw_values.push(map.next_value_seed(RawValueSeed { above: above.get(at), limits, redactor })?);
        }
        raw_values.shrink_to_fit();
        let columns = shapes.settle(own, raw_values.len(), limits).ok_or_else(full)?;
        Ok(Row { columns, raw_values })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Row, A::Error> {
        Err(self.not_an_object("a list"))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Row, E> {
        Err(self.not_an_object(if value { "true" } else { "false" }))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Row, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Row, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Row, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Row, E> {
        Err(self.not_an_object("a string"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Row, E> {
        Err(self.not_an_object("null"))
    }
}

/// Reads a key; `None` if the row above has the same key at this place.
struct KeySeed<'a> {
    above: Option<&'a str>,
    redactor: &'a Redactor,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<Box<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        if self.above == Some(key) {
            return Ok(None);
        }
        let key = self.redactor.value(key);
        Ok(if self.above == Some(&*key) { None } else { Some(key.into()) })
    }
}

/// Reads a raw value; shares the text of the value above if it is the same.
struct RawValueSeed<'a> {
    above: Option<&'a RawValue>,
    limits: &'a mut Limits,
    redactor: &'a Redactor,
}

impl RawValueSeed<'_> {
    /// The value above holds no secret any more, so only a different text is searched.
    fn shared<E: serde::de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        let above = |text: &str| self.above.and_then(|above| same_text(above, text));
        if let Some(above) = above(text) {
            return Ok(above);
        }
        let text = self.redactor.value(text);
        if let Some(above) = above(&text).filter(|_| matches!(text, Cow::Owned(_))) {
            return Ok(above);
        }
        if self.limits.text(&text) { Ok(text.as_ref().into()) } else { Err(E::custom(OVER_LIMIT)) }
    }
}

/// The text of `above` if it equals `text`.
pub(super) fn same_text(above: &RawValue, text: &str) -> Option<Arc<str>> {
    match above {
        RawValue::Text(above) | RawValue::Number(above) | RawValue::Nested(above) if **above == *text => {
            Some(Arc::clone(above))
        }
        _ => None,
    }
}

impl<'de> DeserializeSeed<'de> for RawValueSeed<'_> {
    type Value = RawValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        let raw = <&RawJson as serde::Deserialize>::deserialize(deserializer)?.get();
        if !self.limits.value() {
            return Err(D::Error::custom(OVER_LIMIT));
        }
        Ok(match raw.as_bytes().first() {
            Some(b'n') => RawValue::Null,
            Some(b't') => RawValue::Flag(true),
            Some(b'f') => RawValue::Flag(false),
            Some(b'"') => RawValue::Text(self.shared(&unquote(raw).map_err(D::Error::custom)?)?),
            Some(b'[' | b'{') => RawValue::Nested(self.shared(raw)?),
            _ => {
                let number = self.shared(raw)?;
                // A number from which a secret was removed is a text.
                if number.as_bytes().contains(&b'[') { RawValue::Text(number) } else { RawValue::Number(number) }
            }
        })
    }
}

/// The text of a JSON string; only its `\u` escapes can be invalid.
fn unquote(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let inner = &raw[1..raw.len() - 1];
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str::<String>(raw);
    text.map(Cow::Owned).map_err(|_| "its answer holds a string with a \\u escape that is not a character")
}
