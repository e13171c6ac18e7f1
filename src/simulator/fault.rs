//! The faults of the stand-in.

use std::time::Duration;

use serde_json::Value;

/// A kind of fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Refuses the sign-in and every token.
    Unauthorized,
    /// The export refuses the token.
    TokenExpired,
    Forbidden,
    NotFound,
    /// With this `Retry-After`, if any.
    RateLimited(Option<String>),
    ServerError,
    BadRequest,
    Redirect,
    Html,
    EmptyArray,
    Null,
    NoContent,
    Truncated,
    NotUtf8,
    /// Endless rows.
    TooLarge,
    /// The complete response in pieces, with this pause before each.
    Slow(Duration),
    /// No response.
    Stall,
    /// The connection breaks in the middle of the body.
    Drop,
    ArrayOfNumbers,
    Object,
    /// The first session has two rows.
    DuplicateRows,
    /// No row has this column.
    MissingColumn(String),
    /// The first session has no row.
    MissingSession,
    /// Each row has this column twice.
    RepeatedKey(String),
    GzipBomb,
}

/// A fault and how many times it will still occur; `None`: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub mode: Mode,
    pub times: Option<u32>,
}

/// Why a fault cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("unknown fault; known: {0}")]
    Unknown(String),
    #[error("{0} must be {1}")]
    Wrong(&'static str, &'static str),
}

/// Every fault by its name over HTTP, with its default parameter.
fn all() -> [(&'static str, Mode); 25] {
    [
        ("unauthorized", Mode::Unauthorized),
        ("token_expired", Mode::TokenExpired),
        ("forbidden", Mode::Forbidden),
        ("not_found", Mode::NotFound),
        ("rate_limited", Mode::RateLimited(Some("2".to_owned()))),
        ("server_error", Mode::ServerError),
        ("bad_request", Mode::BadRequest),
        ("redirect", Mode::Redirect),
        ("html", Mode::Html),
        ("empty_array", Mode::EmptyArray),
        ("null", Mode::Null),
        ("no_content", Mode::NoContent),
        ("truncated", Mode::Truncated),
        ("not_utf8", Mode::NotUtf8),
        ("too_large", Mode::TooLarge),
        ("slow", Mode::Slow(Duration::from_millis(100))),
        ("stall", Mode::Stall),
        ("drop", Mode::Drop),
        ("array_of_numbers", Mode::ArrayOfNumbers),
        ("object", Mode::Object),
        ("duplicate_rows", Mode::DuplicateRows),
        ("missing_column", Mode::MissingColumn("transfer_type".to_owned())),
        ("missing_session", Mode::MissingSession),
        ("repeated_key", Mode::RepeatedKey("export".to_owned())),
        ("gzip_bomb", Mode::GzipBomb),
    ]
}

/// The names of all faults, for people.
pub(super) fn names() -> String {
    all().map(|(name, _)| name).join(", ")
}

impl Mode {
    /// Its name over HTTP.
    pub fn name(&self) -> &'static str {
        let same = |mode: &Self| std::mem::discriminant(mode) == std::mem::discriminant(self);
        all().into_iter().find(|(_, mode)| same(mode)).map_or("", |(name, _)| name)
    }
}

impl Fault {
    /// Reads `{"fault": NAME, "times": N or null}` with, for some, `retry_after`, `delay_ms` or `column`.
    pub fn from_json(json: &Value) -> Result<Self, FaultError> {
        let name = json.get("fault").and_then(Value::as_str).ok_or(FaultError::Wrong("fault", "a name"))?;
        let times = given(json, "times").map(|times| times.as_u64().and_then(|times| u32::try_from(times).ok()));
        let times = times.map(|times| times.ok_or(FaultError::Wrong("times", "a number or null"))).transpose()?;
        let (_, mut mode) =
            all().into_iter().find(|(known, _)| *known == name).ok_or_else(|| FaultError::Unknown(names()))?;
        match &mut mode {
            Mode::RateLimited(wait) => match json.get("retry_after") {
                None => {}
                Some(Value::Null) => *wait = None,
                Some(Value::String(text)) => *wait = Some(text.clone()),
                Some(other) => *wait = Some(other.to_string()),
            },
            Mode::Slow(pause) => {
                if let Some(delay) = given(json, "delay_ms") {
                    let delay = delay.as_u64().ok_or(FaultError::Wrong("delay_ms", "a number"))?;
                    *pause = Duration::from_millis(delay);
                }
            }
            Mode::MissingColumn(column) | Mode::RepeatedKey(column) => {
                if let Some(name) = given(json, "column") {
                    name.as_str().ok_or(FaultError::Wrong("column", "a name"))?.clone_into(column);
                }
            }
            _ => {}
        }
        Ok(Self { mode, times })
    }
}

fn given<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json.get(key).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_is_a_fault_and_the_error_for_others_lists_the_names() {
        for (name, mode) in all() {
            let fault = Fault::from_json(&json!({ "fault": name, "times": 2 })).unwrap();
            assert_eq!(fault, Fault { mode, times: Some(2) });
            assert_eq!(fault.mode.name(), name);
        }
        let error = Fault::from_json(&json!({ "fault": "fire" })).unwrap_err();
        assert!(error.to_string().contains("gzip_bomb"), "{error}");
        assert!(Fault::from_json(&json!({ "fault": "null", "times": -1 })).is_err());
    }
}
