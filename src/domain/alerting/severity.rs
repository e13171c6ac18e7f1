//! Holds what is less severe than `min_severity`. The end of what was notified passes, whatever the limit is by then.

use super::{Case, Passed, Stop, SuppressionReason};

/// See the module.
pub fn pass(case: &Case<'_>) -> Passed {
    if case.incident.severity < case.alerts.min_severity {
        return Err(Stop::Suppressed(SuppressionReason::BelowSeverity));
    }
    Ok(())
}
