//! When a session is polled: a cron expression in a zone, asked of croner each time so that it is right across clock changes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::reading::visible;

/// A cron expression of five or six fields (seconds first) in a time zone. Cheap to clone.
#[derive(Clone)]
pub struct Schedule {
    cron: Arc<Cron>,
    expression: Arc<str>,
    zone: Tz,
    key: ScheduleKey,
}

/// Why an expression cannot be a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("{0}")]
    Syntax(String),
    #[error("a schedule has 5 fields (minute hour day month weekday) or 6 (seconds first), and this has {0}")]
    Fields(usize),
    #[error("the step /{step} is larger than its field, which has {size} values")]
    Step { step: u64, size: u64 },
    #[error("it can never fire: no such date exists")]
    Never,
}

impl Schedule {
    /// `now` is only used to see that the expression will ever fire.
    pub fn parse(expression: &str, zone: Tz, now: DateTime<Utc>) -> Result<Self, ScheduleError> {
        let expression = expression.trim();
        let fields = expression.split_whitespace().count();
        if !expression.starts_with('@') && fields != 5 && fields != 6 {
            return Err(ScheduleError::Fields(fields));
        }
        steps_fit(expression)?;
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(expression).map_err(|e| ScheduleError::Syntax(plain(&e.to_string())))?;
        let key = ScheduleKey(Arc::from(format!("{expression} {zone}")));
        let schedule = Self { cron: Arc::new(cron), expression: Arc::from(expression), zone, key };
        schedule.next_after(now).ok_or(ScheduleError::Never)?;
        Ok(schedule)
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// In English: `Every 5 minutes`, `At 09:00, on Monday`.
    pub fn words(&self) -> String {
        let words = self.cron.describe();
        let words = words.trim_end_matches('.');
        words.strip_prefix("At every").map_or_else(|| words.to_owned(), |rest| format!("Every{rest}"))
    }

    /// The first time after `at`; `None` where there is none any more.
    ///
    /// When clocks go back, an hour comes twice. croner passes over the second one, or asked within it answers with the first: an
    /// even schedule would be silent for an hour.
    ///
    /// So it is also asked as if the clocks had not changed. That answer counts if it is sooner and its local time is one of the
    /// schedule's. A time of day that has passed once does not come again.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = at.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false).ok().map(|next| next.with_timezone(&Utc));
        let next = next.filter(|next| *next > at);
        let unchanged = self.cron.find_next_occurrence(&local.fixed_offset(), false).ok()?.with_timezone(&Utc);
        if next.is_some_and(|next| next <= unchanged) {
            return next;
        }
        let matches = self.cron.is_time_matching(&unchanged.with_timezone(&self.zone)).unwrap_or_default();
        if matches { Some(unchanged) } else { next.or_else(|| self.next_after(at + TimeDelta::hours(1))) }
    }

    /// The time between the next two runs after `at`: the time over which sources can be spread.
    pub fn gap_after(&self, at: DateTime<Utc>) -> TimeDelta {
        let first = self.next_after(at);
        let second = first.and_then(|first| self.next_after(first));
        first.zip(second).map_or(TimeDelta::zero(), |(first, second)| second - first)
    }

    /// Sessions with the same schedule are always due together, so one time of the last poll serves them all.
    pub fn key(&self) -> ScheduleKey {
        self.key.clone()
    }

    /// See [`Schedule::key`].
    pub fn key_ref(&self) -> &ScheduleKey {
        &self.key
    }
}

/// croner takes any step and lets one past the end of its field fire only at the start of it: a mistake without an error.
fn steps_fit(expression: &str) -> Result<(), ScheduleError> {
    /// Values of seconds, minutes, hours, days of the month, months, days of the week.
    const SIZES: [u64; 6] = [60, 60, 24, 31, 12, 7];
    let fields = expression.split_whitespace().collect::<Vec<_>>();
    for (field, size) in fields.iter().rev().zip(SIZES.into_iter().rev()) {
        let mut steps = field.split(',').filter_map(|part| part.split_once('/')?.1.parse::<u64>().ok());
        if let Some(step) = steps.find(|step| *step > size) {
            return Err(ScheduleError::Step { step, size });
        }
    }
    Ok(())
}

/// croner quotes the expression as it is, control characters included.
fn plain(text: &str) -> String {
    text.chars().map(visible).collect()
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone)
    }
}

/// The identity of a schedule: its expression and zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ScheduleKey(Arc<str>);

impl PartialOrd for ScheduleKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScheduleKey {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most are clones of one key.
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl ScheduleKey {
    /// The key of no schedule, for a session that was last polled on a schedule that it no longer has.
    pub fn none() -> Self {
        Self(Arc::from(""))
    }

    pub fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_described_in_english() {
        for (expression, words) in [
            ("*/5 * * * *", "Every 5 minutes"),
            ("*/5 * * * * *", "Every 5 seconds"),
            ("* * * * *", "Every minute"),
            ("7 * * * *", "At minute 7 past every hour"),
            ("30 6 * * *", "At 06:30"),
            ("0 9 * * MON,FRI", "At 09:00, on Monday and Friday"),
            ("0 18 L * *", "At 18:00, on the last day of the month"),
        ] {
            let schedule = Schedule::parse(expression, Tz::UTC, DateTime::UNIX_EPOCH).unwrap();
            assert_eq!(schedule.words(), words);
        }
    }

    #[test]
    fn a_step_past_the_end_of_its_field_is_refused() {
        let now = DateTime::UNIX_EPOCH;
        for (expression, fits) in [
            ("*/59 * * * *", true),
            ("*/60 * * * *", true),
            ("*/61 * * * *", false),
            ("*/61 * * * * *", false),
            ("0 */25 * * *", false),
            ("0 0-23/24 * * *", true),
            ("0 0 1,5/32 * *", false),
            ("0 0 1 */13 *", false),
            ("0 0 * * */8", false),
        ] {
            let parsed = Schedule::parse(expression, Tz::UTC, now);
            assert_eq!(parsed.is_ok(), fits, "{expression}: {parsed:?}");
            assert!(fits || matches!(parsed, Err(ScheduleError::Step { .. })), "{expression}");
        }
    }
}
