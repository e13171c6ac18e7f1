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

/// Why notification `number` about so many sessions went to its recipient, in brackets after its subject; nothing for a test
/// message. That of several sessions belongs into no line about one of them.
pub fn why(number: i64, sessions: usize, reason: &Reason) -> String {
    if reason.because.is_empty() {
        return String::new();
    }
    if sessions > 1 {
        return format!(" (why, for {}: driftwise notifications show {number})", count(sessions, "session"));
    }
    let mut reasons = reason.because.iter().take(IN_LINE).map(because).collect::<Vec<_>>();
    if reason.because.len() > IN_LINE {
        reasons.push(format!("{} more", count(reason.because.len() - IN_LINE, "reason")));
    }
    format!(" (why: {})", reasons.join("; "))
}

/// Why an incident was held back.
pub fn held_back(key: &IncidentKey, reason: SuppressionReason) -> String {
    let about = super::event::about(key);
    let why = match reason {
        SuppressionReason::BelowSeverity => "it is below min_severity",
        SuppressionReason::SourceUnreachable => "the source cannot be read, which is notified for the whole source",
        SuppressionReason::SourceChanged => "it follows from a change of the whole source, which is notified instead",
    };
    format!("No notification of {}: {why}", lower(&about))
}

/// Within a sentence: what stands for the session or the source, but not the label of a setting.
fn lower(about: &str) -> String {
    about.strip_prefix("The ").map_or_else(|| about.to_owned(), |rest| format!("the {rest}"))
}
