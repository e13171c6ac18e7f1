//! Repeat: compares an open incident with the log and finds the notification that a recipient is due: the beginning, a changed
//! value, a reminder, or none yet.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Case, LogEntry};
use crate::domain::notification::Change;

/// The change to notify, or when the next reminder is due. `others`: another recipient was notified over this channel before.
pub fn due(case: &Case<'_>, entry: Option<&LogEntry>, others: bool) -> Result<Change, Option<DateTime<Utc>>> {
    let Some(entry) = entry else { return Ok(if others { Change::Handover } else { Change::Opened }) };
    if entry.revision < case.incident.revision {
        return Ok(Change::Updated);
    }
    // A time in the future was noted by a clock that was ahead.
    match next_reminder(case, entry.notified_at.min(case.now)) {
        Some(due) if due <= case.now => Ok(Change::StillOpen(entry.reminders + 1)),
        due => Err(due),
    }
}

/// When a recipient who was notified at `notified_at` is reminded; `None` if reminders are off.
pub fn next_reminder(case: &Case<'_>, notified_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // An interval beyond the end of the calendar never ends.
    notified_at.checked_add_signed(TimeDelta::from_std(case.alerts.remind_every?).ok()?)
}
