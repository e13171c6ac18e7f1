//! When people are told, and who stands behind all sources.

use std::time::Duration;

use crate::domain::address::Address;
use crate::domain::plan::Alerts;
use crate::domain::policy::Severity;

use super::fields::{Fields, Keys};
use super::report::Report;
use super::tree::Node;

pub(super) const KEYS: Keys = Keys {
    of: "\"alerts\"",
    known: &["confirm_polls", "resolve_polls", "remind_every", "min_severity", "unreachable_after", "fallback"],
    later: &["digest"],
};

/// The severities by the words of the configuration.
pub(super) const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

const REMIND_EVERY: Duration = Duration::from_hours(24);
const UNREACHABLE_AFTER: Duration = Duration::from_hours(1);

/// Three and a half days of polls every five minutes; whoever writes more has most likely slipped by a zero.
const MOST_LOOKS: u64 = 1000;

/// The alerts, and the fallback for customers without one of their own.
pub(super) fn read(report: &mut Report, node: Option<&Node>) -> (Alerts, Vec<Address>) {
    let mut alerts = Alerts {
        confirm_polls: 1,
        resolve_polls: 1,
        remind_every: Some(REMIND_EVERY),
        min_severity: Severity::Warning,
        unreachable_after: UNREACHABLE_AFTER,
    };
    let Some(fields) = node.and_then(|node| Fields::new(report, node, KEYS)) else {
        return (alerts, Vec::new());
    };
    let polls = |report: &mut Report, key| {
        fields.whole(report, key, 1..=MOST_LOOKS).and_then(|polls| u32::try_from(polls).ok()).unwrap_or(1)
    };
    alerts.confirm_polls = polls(report, "confirm_polls");
    alerts.resolve_polls = polls(report, "resolve_polls");
    if let Some(every) = fields.duration_or_zero(report, "remind_every") {
        alerts.remind_every = (!every.is_zero()).then_some(every);
    }
    alerts.min_severity = fields.choice(report, "min_severity", &SEVERITIES).unwrap_or(alerts.min_severity);
    alerts.unreachable_after = fields.duration_or_zero(report, "unreachable_after").unwrap_or(UNREACHABLE_AFTER);
    (alerts, fields.addresses(report, "fallback").unwrap_or_default())
}
