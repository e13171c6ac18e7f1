//! What a recipient of an open incident is owed, by the log: the beginning, a changed value, a reminder, or nothing yet.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Case, LogEntry};
use crate::domain::notification::Change;

/// What is owed, or when the next reminder will be. `others`: somebody was told of it over this channel before.
pub fn owed(case: &Case<'_>, entry: Option<&LogEntry>, others: bool) -> Result<Change, Option<DateTime<Utc>>> {
    let Some(entry) = entry else { return Ok(if others { Change::Handover } else { Change::Opened }) };
    if entry.revision < case.incident.revision {
        return Ok(Change::Updated);
    }
    let Some(every) = case.alerts.remind_every else { return Err(None) };
    // An interval beyond the end of the calendar never ends. A time in the future was noted by a clock that was ahead.
    let notified_at = entry.notified_at.min(case.now);
    let due = TimeDelta::from_std(every).ok().and_then(|every| notified_at.checked_add_signed(every));
    match due {
        Some(due) if due <= case.now => Ok(Change::StillOpen(entry.reminders + 1)),
        due => Err(due),
    }
}
