//! Grace period: holds back an unreachable source or an unverifiable setting until it has lasted for `unreachable_after`, or for
//! `blind_after` for owners and fallback.
//!
//! A recipient who was already notified does not wait a second time, whatever the clock says. A grace period also needs a second
//! failed poll: a process that was frozen within one exchange has seen one failure, however long it took.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Case, Passed, Stop, SuppressionReason};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::notification::Change;

/// See the module.
pub fn pass(case: &Case<'_>, change: Change, blind: bool) -> Passed {
    match case.incident.kind() {
        _ if change.is_follow_up() => return Ok(()),
        IncidentKind::Drift | IncidentKind::Missing | IncidentKind::SourceChanged => return Ok(()),
        IncidentKind::Unverifiable | IncidentKind::Unreachable => {}
    }
    let (first, later) = (case.alerts.unreachable_after, case.alerts.blind_after);
    let lasts = if blind { later.max(first) } else { first };
    if lasts == Duration::ZERO {
        return Ok(());
    }
    // A period beyond the end of the calendar never ends.
    let end = TimeDelta::from_std(lasts).ok().and_then(|lasts| case.since.checked_add_signed(lasts));
    let over = end.is_some_and(|end| end <= case.now);
    if over && case.incident.failed_polls >= Incident::POLLS_COUNTED {
        return Ok(());
    }
    Err(Stop { reason: SuppressionReason::GracePeriod, until: end.filter(|_| !over) })
}
