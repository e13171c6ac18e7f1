//! Inhibition: while a source is unreachable, holds back the unverifiable incidents of its sessions, and all reminders.
//!
//! An incident that was found before passes: it was true when it was committed, and its recipients may have to act.

use super::{Case, Passed, Stop, SuppressionReason};
use crate::domain::incident::IncidentKind;
use crate::domain::notification::Change;

/// See the module.
pub fn pass(case: &Case<'_>, change: Change) -> Passed {
    let follows = case.incident.kind() == IncidentKind::Unverifiable || matches!(change, Change::StillOpen(_));
    if case.source_unreachable && follows {
        return Err(Stop::Suppressed(SuppressionReason::SourceUnreachable));
    }
    Ok(())
}
