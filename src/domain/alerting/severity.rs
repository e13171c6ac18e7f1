//! Severity: holds back incidents below `min_severity`. An end skips this stage, whatever the limit is by then.

use super::{Case, Passed, Stop, SuppressionReason};

/// See the module.
pub fn pass(case: &Case<'_>) -> Passed {
    if case.incident.severity < case.alerts.min_severity {
        return Err(Stop { reason: SuppressionReason::BelowSeverity, until: None });
    }
    Ok(())
}
