//! Why something was notified or held back, in words.

use super::words::count;
use crate::domain::alerting::SuppressionReason;
use crate::domain::incident::IncidentKey;
use crate::domain::notification::{Because, Reason};

/// Reasons in one line; more are counted.
const IN_LINE: usize = 3;

/// Why one item is in a notification.
pub fn because(because: &Because) -> String {
    let Because { what, change, role, blind, .. } = because;
    let late = if *blind { ", because it has lasted for blind_after" } else { "" };
    format!("{what}: {change}; notified as {}{late}", role.label())
}

/// Why notification `number` went to its recipient, in brackets to follow its subject; nothing for a test message. For several
/// `sessions` it names the command instead, so that a line about one session shows nothing of another.
pub fn why(number: i64, sessions: usize, reason: &Reason) -> String {
    if reason.because.is_empty() {
        return String::new();
    }
    if sessions > 1 {
        return format!(" (why, for {}: driftwise notifications show {number})", count(sessions, "session"));
    }
    let mut reasons = reason.because.iter().take(IN_LINE).map(because).collect::<Vec<_>>();
    if reason.because.len() > IN_LINE {
        reasons.push(format!("and {} more", reason.because.len() - IN_LINE));
    }
    format!(" (why: {})", reasons.join("; "))
}

/// Why an incident was held back.
pub fn held_back(key: &IncidentKey, reason: SuppressionReason) -> String {
    let why = match reason {
        SuppressionReason::BelowSeverity => "it is below min_severity",
        SuppressionReason::SourceUnreachable => "one notification says for the whole source that it cannot be read",
        SuppressionReason::GracePeriod => "it had not lasted for its grace period, unreachable_after",
        SuppressionReason::SourceChanged => "one notification says for the whole source that it changed",
    };
    format!("{}: no notification, because {why}", super::event::about(key))
}
