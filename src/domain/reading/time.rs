//! Times: OrderWise dates carry no zone, so they are read in the zone of the session. They are written in UTC.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// A date, a date and time, or RFC 3339 with a zone of its own; `None` for anything else.
///
/// A local time that comes twice when clocks go back is taken as the later one; one that never comes is unreadable.
pub fn parse(text: Option<&str>, zone: Tz) -> Option<DateTime<Utc>> {
    let text = text?;
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let local = formats
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN)))?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(_, at) => Some(at.with_timezone(&Utc)),
        LocalResult::None => None,
    }
}

/// To the second, in a form that sorts.
pub const EXACT: &str = "%Y-%m-%d %H:%M:%S";

/// `2026-11-23 09:05:07 UTC`.
pub fn utc(at: DateTime<Utc>) -> String {
    format!("{} UTC", at.format(EXACT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_read_in_the_sessions_zone() {
        let london = chrono_tz::Europe::London;
        let cases = [
            ("2026-07-01 12:00:00", Some("2026-07-01T11:00:00Z")),
            ("2026-07-01T12:00:00.5", Some("2026-07-01T11:00:00.5Z")),
            ("2026-01-01 12:00", Some("2026-01-01T12:00:00Z")),
            ("2026-01-01", Some("2026-01-01T00:00:00Z")),
            ("2026-07-01T12:00:00+02:00", Some("2026-07-01T10:00:00Z")),
            ("2026-10-25 01:30:00", Some("2026-10-25T01:30:00Z")),
            ("2026-03-29 01:30:00", None),
            ("01/07/2026", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|at| DateTime::parse_from_rfc3339(at).unwrap().with_timezone(&Utc));
            assert_eq!(parse(Some(text), london), expected, "{text}");
        }
    }
}
