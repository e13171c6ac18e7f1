//! Why a recipient was notified or an incident held back, in words.

use serde::Serialize;

use super::words::count;
use crate::domain::alerting::SuppressionReason;
use crate::domain::incident::IncidentKey;
use crate::domain::notification::{AboutKey, Because, Reason, SuppressedIncident};

/// Most reasons in one line; more are counted.
const IN_LINE: usize = 3;

/// Why one item is in a notification.
pub fn because(because: &Because) -> String {
    let Because { about, change, role, blind, .. } = because;
    let late = if *blind { ", because it has lasted for blind_after" } else { "" };
    format!("{}: {change}; notified as {}{late}", what(about), role.label())
}

/// What an item is about: `drift of export (rule export-off) in erp/14`.
pub fn what(about: &AboutKey) -> String {
    match about {
        AboutKey::Incident { source, key } => {
            let kind = key.kind().label();
            let place = key.session().map_or_else(|| source.to_string(), |session| format!("{source}/{session}"));
            match key.rule() {
                Some((rule, setting)) => format!("{kind} of {setting} (rule {rule}) in {place}"),
                None => format!("{kind}: {place}"),
            }
        }
        AboutKey::Unaudited { source, session } => format!("unaudited session: {source}/{session}"),
        AboutKey::Forgotten { source } => format!("columns of {source} that are no longer returned"),
        AboutKey::Removed { source, session } => format!("removed session: {source}/{session}"),
        AboutKey::Reload => "refused configuration".to_owned(),
        AboutKey::Credential { key } => format!("expiring credential: {key}"),
        AboutKey::Undeliverable { address } => format!("undeliverable: {address}"),
    }
}

/// A reason as scripts read it: each line as it is stored, with its words.
#[derive(Serialize)]
pub struct ReasonDocument<'a> {
    because: Vec<InWords<'a, Because>>,
    suppressions: Vec<InWords<'a, SuppressedIncident>>,
    more: usize,
}

#[derive(Serialize)]
struct InWords<'a, T> {
    what: String,
    #[serde(flatten)]
    line: &'a T,
}

impl<'a> From<&'a Reason> for ReasonDocument<'a> {
    fn from(Reason { because, suppressions, more }: &'a Reason) -> Self {
        Self {
            because: because.iter().map(|line| InWords { what: what(&line.about), line }).collect(),
            suppressions: suppressions.iter().map(|line| InWords { what: what(&line.about), line }).collect(),
            more: *more,
        }
    }
}

/// Why notification `number` went to its recipient, in brackets, to follow its subject; empty for a test message. For several
/// `sessions` it names the command instead, so that a line about one session shows nothing about another.
pub fn why(number: i64, sessions: usize, reason: &Reason) -> String {
    if reason.because.is_empty() {
        return String::new();
    }
    if sessions > 1 {
        return format!(
            " (about {}; for the reasons: driftwise notifications show {number})",
            count(sessions, "session")
        );
    }
    let mut reasons = reason.because.iter().take(IN_LINE).map(because).collect::<Vec<_>>();
    if reason.because.len() > IN_LINE {
        reasons.push(format!("and {} more", reason.because.len() - IN_LINE));
    }
    format!(" (why: {})", reasons.join("; "))
}

/// Why an incident was held back, as a clause.
pub fn suppression(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::BelowSeverity => "it is below min_severity",
        SuppressionReason::SourceUnreachable => "one notification reports that the whole source cannot be read",
        SuppressionReason::GracePeriod => "it had not lasted for its grace period, unreachable_after",
        SuppressionReason::SourceChanged => "one notification reports that the whole source changed",
    }
}

/// The same in the history.
pub fn held_back(key: &IncidentKey, reason: SuppressionReason) -> String {
    format!("{}: no notification, because {}", super::event::about(key), suppression(reason))
}
