//! From the bytes of a JSON answer to rows of cells, with nothing lost.
//!
//! The answer is one array of flat objects. Every cell is first taken as the raw piece of JSON that it is, which keeps
//! numbers digit for digit and equal keys apart, and walks nested values without recursion, so that depth costs no
//! stack. Rows of the same shape share their columns, and cells of the same text share it with the row above: what repeats
//! allocates nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::{Failure, FetchError};
use crate::domain::observation::{Answer, Row};
use crate::domain::reading::{Cell, quote};

/// Said wherever a source answers without a single session.
pub(super) const NO_SESSIONS: &str = "it returned no sessions";

/// Reads the body of an answer.
pub fn read(body: &[u8]) -> Result<Answer, FetchError> {
    let text = text(body)?;
    match text.bytes().next() {
        None => Err(empty()),
        Some(b'[') => rows(text),
        Some(_) if text == "null" => Err(empty()),
        Some(_) => Err(malformed(format!("it answered with {}", not_an_array(text)))),
    }
}

/// The text of a body without its byte order mark and the spaces around it.
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

fn rows(text: &str) -> Result<Answer, FetchError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rows = deserializer.deserialize_seq(Rows).and_then(|rows| deserializer.end().map(|()| rows));
    match rows {
        Ok(rows) if rows.is_empty() => Err(empty()),
        Ok(rows) => Ok(Answer { rows }),
        Err(error) => Err(malformed(broken(&error))),
    }
}

/// Why JSON could not be read. The messages of `serde_json` about syntax hold nothing from outside.
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

/// Says what came where an array was expected.
pub(super) fn not_an_array(text: &str) -> String {
    if is_web_page(text) {
        return "a web page (HTML) instead of data".to_owned();
    }
    if text.starts_with('{') {
        return format!("a single object instead of a list of sessions: {}", quote(text));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => format!("a single value instead of a list of sessions: {}", quote(text)),
        Err(error) if error.is_eof() => "a text that is cut off instead of data".to_owned(),
        Err(_) => format!("text that is not JSON: {}", quote(text)),
    }
}

/// Whether a text is mark-up: neither JSON nor a token starts like that.
pub(super) fn is_web_page(text: &str) -> bool {
    text.starts_with('<')
}

struct Rows;

impl<'de> Visitor<'de> for Rows {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sessions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Row>, A::Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut shapes = Shapes::default();
        loop {
            let above = rows.last().map(|row| row.cells.as_slice()).unwrap_or_default();
            let Some(row) = seq.next_element_seed(OneRow { shapes: &mut shapes, above, at: rows.len() + 1 })? else {
                return Ok(rows);
            };
            rows.push(row);
        }
    }
}

/// The column lists met so far.
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
    /// The columns of a row that differs from the one above: `own` from where it differs, else a shorter row.
    fn settle(&mut self, own: Option<Vec<Box<str>>>, len: usize) -> Arc<[Box<str>]> {
        if own.is_none() && len == self.above.len() {
            return Arc::clone(&self.above);
        }
        let columns = own.unwrap_or_else(|| self.above[..len].to_vec());
        let known = self.known.get(columns.as_slice()).cloned();
        let columns = known.unwrap_or_else(|| {
            let columns: Arc<[Box<str>]> = Arc::from(columns);
            self.known.insert(Arc::clone(&columns));
            columns
        });
        self.above = Arc::clone(&columns);
        columns
    }
}

struct OneRow<'a> {
    shapes: &'a mut Shapes,
    /// The cells of the row above: most columns say the same in every row, and then share one text.
    above: &'a [Cell],
    /// Counted from one, for people.
    at: usize,
}

impl OneRow<'_> {
    fn not_an_object<E: serde::de::Error>(&self, came: &str) -> E {
        E::custom(format_args!("entry {} of its answer is {came} instead of an object", self.at))
    }
}

impl<'de> DeserializeSeed<'de> for OneRow<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut cells = Vec::with_capacity(self.shapes.above.len());
        let mut own: Option<Vec<Box<str>>> = None;
        loop {
            let at = cells.len();
            let above = if own.is_none() { self.shapes.above.get(at).map(AsRef::as_ref) } else { None };
            match map.next_key_seed(KeySeed { above })? {
                None => break,
                Some(None) => {}
                Some(Some(key)) => own.get_or_insert_with(|| self.shapes.above[..at].to_vec()).push(key),
            }
            cells.push(map.next_value_seed(CellSeed { above: self.above.get(at) })?);
        }
        cells.shrink_to_fit();
        let columns = self.shapes.settle(own, cells.len());
        Ok(Row { columns, cells })
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

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Row, E> {
        Err(self.not_an_object(&format!("the text {}", quote(text))))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Row, E> {
        Err(self.not_an_object("null"))
    }
}

/// Reads a key: none where it is the one of the row above at this place.
struct KeySeed<'a> {
    above: Option<&'a str>,
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
        Ok(if self.above == Some(key) { None } else { Some(key.into()) })
    }
}

/// Reads a cell; where its text is that of the cell above, both share it.
struct CellSeed<'a> {
    above: Option<&'a Cell>,
}

impl CellSeed<'_> {
    fn shared(&self, text: &str) -> Arc<str> {
        match self.above {
            Some(Cell::Text(above) | Cell::Number(above) | Cell::Nested(above)) if **above == *text => {
                Arc::clone(above)
            }
            _ => text.into(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes().first() {
            Some(b'n') => Cell::Null,
            Some(b't') => Cell::Flag(true),
            Some(b'f') => Cell::Flag(false),
            Some(b'"') => Cell::Text(self.shared(&unquote(raw).map_err(D::Error::custom)?)),
            Some(b'[' | b'{') => Cell::Nested(self.shared(raw)),
            _ => Cell::Number(self.shared(raw)),
        })
    }
}

/// The text of a JSON string that is known to be well-formed but for its `\u` escapes.
fn unquote(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let inner = &raw[1..raw.len() - 1];
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str::<String>(raw);
    text.map(Cow::Owned).map_err(|_| "its answer holds a text with a \\u escape that is no character")
}
