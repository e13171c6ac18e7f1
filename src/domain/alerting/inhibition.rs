//! Inhibition: holds back incidents and reminders that follow from an incident of the source.
//!
//! While a source is unreachable, it holds back the unverifiable incidents of its sessions, and all reminders. An incident that
//! was found before passes: it was true when it was committed, and its recipients may have to act.
//!
//! While a source has changed, it holds back the drifts that the change explains, a critical one for `unreachable_after` and any
//! other for `blind_after`, counted from the poll that found the change: a change that lasts longer is taken as real. It holds
//! back unverifiable incidents that the change explains as long as that lasts, except for recipients who are notified of them
//! after `blind_after` anyway.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Case, Passed, Stop, SuppressionReason};
use crate::domain::incident::{IncidentKey, IncidentKind};
use crate::domain::notification::Change;
use crate::domain::policy::Severity;
use crate::domain::source_change::SourceChange;

/// See the module. `blind`: the recipient is only notified because it has lasted long.
pub fn pass(case: &Case<'_>, change: Change, blind: bool) -> Passed {
    let follows = case.incident.kind() == IncidentKind::Unverifiable || matches!(change, Change::StillOpen(_));
    if case.source_unreachable && follows {
        return Err(Stop { reason: SuppressionReason::SourceUnreachable, until: None });
    }
    let Some(of_source) = case.source_change else { return Ok(()) };
    let held = Err(Stop { reason: SuppressionReason::SourceChanged, until: None });
    match &case.incident.key {
        IncidentKey::Drift { .. } if matches!(change, Change::Opened | Change::Handover) => {
            match held_until(case, of_source) {
                Some(end) if end > case.now => Err(Stop { reason: SuppressionReason::SourceChanged, until: Some(end) }),
                _ => Ok(()),
            }
        }
        IncidentKey::Unverifiable { .. } if !blind => {
            let unread = &case.incident.facts.unread;
            let explained = unread.iter().all(|unread| of_source.explains_unread(&unread.rule, &unread.setting));
            if explained && !unread.is_empty() { held } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// Until when a drift is held back; `None` if the change does not explain it. A drift from before the change has another
/// cause.
fn held_until(case: &Case<'_>, of_source: &SourceChange) -> Option<DateTime<Utc>> {
    let IncidentKey::Drift { session, rule, setting } = &case.incident.key else { return None };
    let failure = of_source.failure(rule, setting)?;
    if !failure.sessions.contains(session) || case.incident.window.first_bad < failure.since {
        return None;
    }
    let critical = case.incident.severity == Severity::Critical;
    let lasts = if critical { case.alerts.unreachable_after } else { case.alerts.blind_after };
    // A period beyond the end of the calendar never ends.
    let lasts = TimeDelta::from_std(lasts).unwrap_or(TimeDelta::MAX);
    Some(failure.since.min(case.now).checked_add_signed(lasts).unwrap_or(DateTime::<Utc>::MAX_UTC))
}
