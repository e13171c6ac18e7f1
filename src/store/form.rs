//! Converts times and documents to columns and back.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Fault;

/// Nanoseconds since 1970: the clock's whole precision, so that a loaded time equals the recorded one. The years 1678 to 2262
/// fit; a time outside them becomes the end of that range.
pub(super) fn stamp(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(if time.timestamp() < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn time(stamp: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(stamp)
}

pub(super) fn doc<T: Serialize>(value: &T) -> Result<String, Fault> {
    Ok(serde_json::to_string(value)?)
}

/// Reads a document; `what` names it for the reader of the error.
pub(super) fn read<T: DeserializeOwned>(text: &str, what: impl FnOnce() -> String) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::unreadable(what(), error))
}

/// A row count or limit as SQLite counts.
pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A number that the database holds and that is never negative there.
pub(super) fn number<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}
