//! Decodes the text of a file, and parses the rows of CSV as spreadsheets write it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::observation::{RawSnapshot, Row};
use crate::domain::reading::RawValue;
use crate::source::limits::Limits;
use crate::source::{Failure, FetchError, json};

/// Most fields of a line. The CSV parser keeps a whole line with the ends of all its fields in memory.
const MOST_FIELDS: usize = 250_000;

fn malformed(reason: impl Into<String>) -> FetchError {
    FetchError::new(Failure::Malformed, reason)
}

/// UTF-8, or the UTF-16 that Excel calls "Unicode text". A byte order mark decides, and is dropped.
pub fn decode(body: &[u8]) -> Result<Cow<'_, str>, FetchError> {
    let wide = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = units.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
        text.ok()
            .filter(|_| rest.is_empty())
            .map(Cow::Owned)
            .ok_or_else(|| malformed("the file is not complete UTF-16 text"))
    };
    match body {
        [0xFF, 0xFE, units @ ..] => wide(units, u16::from_le_bytes),
        [0xFE, 0xFF, units @ ..] => wide(units, u16::from_be_bytes),
        text => narrow(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)),
    }
}

fn narrow(text: &[u8]) -> Result<Cow<'_, str>, FetchError> {
    std::str::from_utf8(text).map(Cow::Borrowed).map_err(|error| {
        let line = text[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        malformed(format!("the file is not UTF-8 text (line {line}); save it as CSV UTF-8"))
    })
}

/// Parses the rows below a header, of a file that may have `max_body` bytes.
pub fn read(text: &str, max_body: u64) -> Result<RawSnapshot, FetchError> {
    if text.trim().is_empty() {
        return Err(FetchError::new(Failure::Empty, json::NO_SESSIONS));
    }
    if json::is_web_page(text.trim_start()) {
        return Err(malformed("the file is a web page (HTML) instead of CSV"));
    }
    // Quotes come in pairs. A truncated file, or one still being written, may end within quotes, which CSV parsers accept.
    if text.bytes().filter(|byte| *byte == b'"').fold(false, |open, _| !open) {
        return Err(malformed("the file is truncated: a quote is never closed"));
    }
    let delimiter = delimiter(text);
    let mut limits = Limits::new(max_body);
    rows(text, delimiter, &mut limits).map_err(|error| limits.overrun().unwrap_or(error))
}

fn rows(text: &str, delimiter: u8, limits: &mut Limits) -> Result<RawSnapshot, FetchError> {
    let exceeded = || malformed("it exceeds the limits");
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    if most_fields(text, delimiter) > MOST_FIELDS {
        return Err(FetchError::new(Failure::TooLarge, "it has a line of more than 250,000 fields"));
    }
    let header = reader.headers().map_err(|error| broken(&error))?;
    limits.names(header).ok_or_else(exceeded)?;
    let columns: Arc<[Box<str>]> = header.iter().map(Box::from).collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| broken(&error))? {
        let above = rows.last().map(|row| row.raw_values.as_slice()).unwrap_or_default();
        let raw_values = raw_values(&record, above, limits).filter(|_| limits.row()).ok_or_else(exceeded)?;
        rows.push(Row { columns: Arc::clone(&columns), raw_values });
    }
    if rows.is_empty() {
        return Err(FetchError::new(Failure::Empty, json::NO_SESSIONS));
    }
    Ok(RawSnapshot { rows })
}

/// The raw values of a line; a value equal to the one above shares its text. None if they exceed the limits.
fn raw_values(record: &csv::StringRecord, above: &[RawValue], limits: &mut Limits) -> Option<Vec<RawValue>> {
    let mut raw_values = Vec::with_capacity(record.len());
    for (at, text) in record.iter().enumerate() {
        let shared = above.get(at).and_then(|above| json::same_text(above, text));
        if !limits.value() || shared.is_none() && !limits.text(text) {
            return None;
        }
        raw_values.push(shared.map_or_else(|| RawValue::text(text), RawValue::Text));
    }
    Some(raw_values)
}

/// The largest number of fields in a line.
fn most_fields(text: &str, delimiter: u8) -> usize {
    let (mut quoted, mut fields, mut most) = (false, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => fields = 0,
            byte if byte == delimiter && !quoted => {
                fields += 1;
                most = most.max(fields + 1);
            }
            _ => {}
        }
    }
    most
}

/// The most frequent separator in the header, outside quotes: Excel's separator depends on the country.
fn delimiter(text: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0usize), (b';', 0), (b'\t', 0)];
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => counts.iter_mut().filter(|(mark, _)| *mark == byte).for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    // Of equal counts the first: a comma, also if there is no separator.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(mark, _)| *mark)
}

fn broken(error: &csv::Error) -> FetchError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            malformed(format!("line {line} of the file has {len} fields where the header has {expected_len}"))
        }
        _ => malformed("the file is not valid CSV"),
    }
}
