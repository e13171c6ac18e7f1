//! Alerting: decides which recipients are notified of what, from the committed incidents and the log of earlier notifications.
//!
//! Level-triggered: it compares all incidents with the notification log and derives the notifications that are due now, so it can
//! run at any time, any number of times: after a commit, at its own next wake-up, at start.
//!
//! Properties, held by tables, by generated histories and by the engine's death tests:
//! - The same incidents and the same log give the same notifications under the same ids.
//! - A recipient is notified of an end exactly if it was notified of the beginning.
//! - A clock that is set back lengthens no wait and repeats nothing: a time in the future counts as now.
//!
//! The stages, a file each: [`recipients`] finds the recipients of an incident, [`repeat`] the change that each is due,
//! [`inhibition`], [`severity`] and [`grace_period`] can hold it back with a reason, and [`grouping`] makes notifications of the
//! rest. `repeat` comes before the stages that hold back, because a reminder that is not due yet is not held back.
//! [`undeliverable`] adds the addresses that refuse mail.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::announcement::Announcement;
use super::delivery::{NotifiedRecipient, UndeliverableAddress};
use super::incident::{Incident, IncidentKind};
use super::name::Name;
use super::notification::{About, Change, Item, Notification, Role};
use super::plan::{Alerts, Plans, SourcePlan};
use super::session::{Session, SessionKey};
use super::source_change::SourceChange;

pub mod grace_period;
pub mod grouping;
pub mod inhibition;
pub mod log;
pub mod recipients;
pub mod repeat;
pub mod severity;
pub mod undeliverable;
pub mod working_set;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use log::{LogChange, LogEntry, LogKey};
pub use working_set::WorkingSet;

/// Why an incident is held back as long as something lasts; counted once for an incident and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    SourceUnreachable,
    SourceChanged,
    BelowSeverity,
    GracePeriod,
}

impl SuppressionReason {
    pub const ALL: [Self; 4] = [Self::SourceUnreachable, Self::SourceChanged, Self::BelowSeverity, Self::GracePeriod];

    /// The metric label and the stored form.
    pub fn label(self) -> &'static str {
        match self {
            Self::SourceUnreachable => "source_unreachable",
            Self::SourceChanged => "source_changed",
            Self::BelowSeverity => "below_severity",
            Self::GracePeriod => "grace_period",
        }
    }

    /// Whether the metric counts it: a grace period is over by itself, in the course of every outage.
    pub fn is_counted(self) -> bool {
        self != Self::GracePeriod
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }
}

/// An incident that was held back for a reason for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suppression {
    pub incident: Uuid,
    pub reason: SuppressionReason,
}

/// Why a stage did not pass an incident on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    pub reason: SuppressionReason,
    /// When time alone may let it pass; `None` if something else has to happen first.
    pub until: Option<DateTime<Utc>>,
}

/// The result of a stage: the incident passes, or the reason why not.
pub type Passed = Result<(), Stop>;

/// One incident with everything that the stages need.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub incident: &'a Incident,
    pub alerts: &'a Alerts,
    /// When it began; never later than `now`, even if the clock was ahead then.
    pub since: DateTime<Utc>,
    /// The incident's source is unreachable, which is an incident of its own.
    pub source_unreachable: bool,
    /// What changed under the rules of the incident's source, which is an incident of its own.
    pub source_change: Option<&'a SourceChange>,
    pub now: DateTime<Utc>,
}

impl Case<'_> {
    /// Takes it through the stages that can hold it back. `blind`: see [`Recipient`].
    pub fn pass(&self, change: Change, blind: bool) -> Passed {
        inhibition::pass(self, change, blind)?;
        severity::pass(self)?;
        grace_period::pass(self, change, blind)
    }
}

/// The notifications that are due now: to commit together, and then to apply to the working set.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    pub notifications: Vec<Notification>,
    pub suppressions: Vec<Suppression>,
    pub log: Vec<LogChange>,
    /// Announcements that have no more recipients to notify.
    pub announced: Vec<Uuid>,
    /// Recipients to add to undeliverable addresses.
    pub addresses_notified: Vec<(Uuid, NotifiedRecipient)>,
    /// Undeliverable addresses that have ended, with no more recipients to notify.
    pub addresses_ended: Vec<Uuid>,
    /// Undeliverable addresses about which no recipient can be notified.
    pub addresses_unheard: Vec<Arc<UndeliverableAddress>>,
    /// When the next notification is due if nothing changes before.
    pub next: Option<DateTime<Utc>>,
}

impl Evaluation {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.notifications.is_empty()
            && self.suppressions.is_empty()
            && self.log.is_empty()
            && self.announced.is_empty()
            && self.addresses_notified.is_empty()
            && self.addresses_ended.is_empty()
    }

    /// Sets the subjects of the composed notifications: a follow-up refers to the subject of the first.
    pub fn entitle(&mut self, subjects: &BTreeMap<Uuid, String>) {
        let of_incidents = self.log.iter_mut().map(|change| &mut change.entry.opening);
        let of_addresses = self.addresses_notified.iter_mut().map(|(_, notified)| &mut notified.opening);
        for opening in of_incidents.chain(of_addresses) {
            if let Some(subject) = subjects.get(&opening.notification) {
                opening.subject.clone_from(subject);
            }
        }
    }

    /// Gives sessions that could not be checked, and have no name in the configuration, the name that the source returned.
    pub fn name_sessions(&mut self, name: impl Fn(&SessionKey) -> Option<String>) {
        let items = self.notifications.iter_mut().flat_map(|notification| &mut notification.items);
        for item in items {
            if let About::Incident { blind: Some(sessions), .. } = &mut item.about {
                for session in sessions.iter_mut().filter(|session| session.name.is_none()) {
                    session.name = name(&session.key);
                }
            }
        }
    }

    fn wake(&mut self, at: Option<DateTime<Utc>>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

/// One item that is due to one recipient.
#[derive(Debug, Clone)]
pub(crate) struct DueItem {
    pub to: Address,
    pub item: Item,
}

/// Derives the notifications that are due over `channel` at `now`.
pub fn evaluate(plans: &Plans, channel: &Name, known: &mut WorkingSet, now: DateTime<Utc>) -> Evaluation {
    known.tidy(now);
    let known = &*known;
    let mut result = Evaluation::default();
    let mut due = Vec::new();
    let mut held = Vec::new();
    for incident in known.incidents() {
        if incident.is_ended() {
            due.extend(ends(plans, channel, known, incident));
        } else if let Some(plan) = plans.get(&incident.source) {
            open(plan, channel, known, incident, now, Sinks { due: &mut due, held: &mut held, result: &mut result });
        }
    }
    for announcement in known.announcements() {
        result.announced.push(announcement.id());
        due.extend(announced(plans, channel, known, announcement));
    }
    undeliverable::derive(plans, known, &mut due, &mut result);
    let mut counted = HashSet::new();
    let new = |s: &Suppression| counted.insert(*s) && !known.is_suppressed(*s);
    result.suppressions.retain(new);
    result.notifications = grouping::group(plans, channel, known, due, &held, now);
    result.addresses_notified = undeliverable::notified(&result.notifications);
    result.log.extend(log::changes(channel, known, &result.notifications, now));
    result.log.extend(log::set_right(known, &result.log, now));
    result
}

/// An announcement is due to each of its recipients once.
fn announced(plans: &Plans, channel: &Name, known: &WorkingSet, announcement: &Announcement) -> Vec<DueItem> {
    let (about, source) = match announcement {
        Announcement::Unaudited(found) => (About::Unaudited(found.clone()), &found.source),
        Announcement::Removed(removed) => (About::Removed(removed.clone()), &removed.source),
        Announcement::Forgotten(forgotten) => (About::Forgotten(forgotten.clone()), &forgotten.source),
        Announcement::Reload(refused) => {
            return of_program(plans, &About::Reload(refused.clone()), &refused.recipients);
        }
        Announcement::Credential(ending) => {
            return of_program(plans, &About::Credential(ending.clone()), &ending.recipients);
        }
    };
    let plan = plans.get(source);
    let mut recipients = match (announcement, plan) {
        (Announcement::Removed(removed), _) if !removed.recipients.is_empty() => {
            let kept = removed.recipients.iter().cloned();
            kept.map(|(to, role)| Recipient { to, role, blind: false }).collect()
        }
        (_, Some(plan)) => recipients::of_source(plan),
        (_, None) => Vec::new(),
    };
    if let Announcement::Removed(removed) = announcement {
        // The recipients of its incidents are notified of the end of each.
        let key = |to: &Address| LogKey { channel: channel.clone(), to: to.clone() };
        let entries = || removed.incidents.iter().filter_map(|incident| known.log().of(*incident));
        recipients.retain(|member| !entries().any(|entries| entries.contains_key(&key(&member.to))));
    }
    let zone = plan.map_or(chrono_tz::UTC, |plan| plan.contacts.zone);
    let due =
        |member: Recipient| DueItem { to: member.to, item: Item { about: about.clone(), zone, role: member.role } };
    recipients.into_iter().map(due).collect()
}

/// What concerns the program as a whole is due to the recipients that are kept with it.
fn of_program(plans: &Plans, about: &About, recipients: &[(Address, Role)]) -> Vec<DueItem> {
    let due = |(to, role): &(Address, Role)| DueItem {
        to: to.clone(),
        item: Item { about: about.clone(), zone: recipients::zone_of(plans, to), role: *role },
    };
    recipients.iter().map(due).collect()
}

/// Collects the outcome of the stages for one incident.
struct Sinks<'a> {
    due: &'a mut Vec<DueItem>,
    held: &'a mut Vec<(Arc<Incident>, SuppressionReason)>,
    result: &'a mut Evaluation,
}

/// Takes an open incident through the stages, for each of its recipients.
fn open(
    plan: &SourcePlan,
    channel: &Name,
    known: &WorkingSet,
    incident: &Arc<Incident>,
    now: DateTime<Utc>,
    to: Sinks<'_>,
) {
    let Sinks { due, held, result } = to;
    let case = Case {
        incident,
        alerts: &plan.alerts,
        since: known.since(incident, now),
        source_unreachable: incident.kind() != IncidentKind::Unreachable && known.is_unreachable(&incident.source),
        source_change: known.source_change(&incident.source),
        now,
    };
    let entries = known.log().of(incident.id);
    let others = entries.is_some_and(|entries| entries.keys().any(|key| key.channel == *channel));
    for member in recipients::of_incident(plan, incident) {
        let key = LogKey { channel: channel.clone(), to: member.to.clone() };
        let entry = entries.and_then(|entries| entries.get(&key));
        let change = match repeat::due(&case, entry, others) {
            Ok(change) => change,
            Err(at) => {
                result.wake(at);
                continue;
            }
        };
        match case.pass(change, member.blind) {
            Ok(()) => {
                result.wake(repeat::next_reminder(&case, now));
                let blind = member.blind.then(|| recipients::blind_sessions(plan, incident, &member.to));
                let about = About::Incident { incident: Arc::clone(incident), change, blind };
                let zone = zone(Some(plan), incident);
                due.push(DueItem { to: member.to, item: Item { about, zone, role: member.role } });
            }
            Err(Stop { reason, until }) => {
                result.wake(until);
                held.push((Arc::clone(incident), reason));
                // Blind recipients wait longer than those who are notified first, whose wait is the one that counts.
                if !(member.blind && reason == SuppressionReason::GracePeriod) {
                    result.suppressions.push(Suppression { incident: incident.id, reason });
                }
            }
        }
    }
}

/// The end is due to each recipient who was notified of the beginning, whatever the configuration says now.
fn ends<'a>(
    plans: &'a Plans,
    channel: &'a Name,
    known: &'a WorkingSet,
    incident: &'a Arc<Incident>,
) -> impl Iterator<Item = DueItem> + use<'a> {
    let end = match incident.phase {
        super::incident::Phase::Ended { end, .. } => Some(end),
        _ => None,
    };
    let entries = known.log().of(incident.id).into_iter().flatten();
    let due = move |(key, entry): (&'a LogKey, &'a LogEntry)| {
        let end = end.filter(|_| key.channel == *channel && !entry.ended)?;
        let plan = plans.get(&incident.source);
        let blind = |plan| recipients::blind_sessions(plan, incident, &key.to);
        let blind = entry.blind.then(|| plan.map(blind).unwrap_or_default());
        let about = About::Incident { incident: Arc::clone(incident), change: Change::Ended(end), blind };
        Some(DueItem { to: key.to.clone(), item: Item { about, zone: zone(plan, incident), role: entry.role } })
    };
    entries.filter_map(due)
}

/// The zone of the times that the readers of an incident see.
fn zone(plan: Option<&SourcePlan>, incident: &Incident) -> chrono_tz::Tz {
    let session = plan.zip(incident.key.session()).and_then(|(plan, id)| plan.sessions.get(id));
    session.map(Session::zone).or(plan.map(|plan| plan.contacts.zone)).unwrap_or(chrono_tz::UTC)
}

/// A recipient of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub to: Address,
    pub role: Role,
    /// Notified only once the incident has lasted for `blind_after`, in a wording of its own.
    pub blind: bool,
}
