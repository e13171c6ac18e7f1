//! The memory of alerting: open incidents, ended ones whose end is not notified yet, announcements, undeliverable addresses, and
//! the notification log.
//!
//! It is loaded at start and then updated by the commits of audits and of alerting. Undeliverable addresses are read before each
//! evaluation, because the dispatcher records them. The store has all of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::log::NotificationLog;
use super::{Evaluation, LogChange, Suppression};
use crate::domain::announcement::Announcement;
use crate::domain::delivery::UndeliverableAddress;
use crate::domain::incident::{Incident, IncidentKind, Phase};
use crate::domain::name::{Name, Rename};
use crate::domain::source_change::SourceChange;
use crate::domain::state::Delta;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct WorkingSet {
    incidents: BTreeMap<Uuid, Arc<Incident>>,
    announcements: BTreeMap<Uuid, Announcement>,
    undeliverable: Vec<Arc<UndeliverableAddress>>,
    log: NotificationLog,
    suppressed: HashSet<Suppression>,
    /// The open incidents of whole sources: the end of an earlier one of the same kind may still be due.
    of_sources: HashMap<Name, BTreeMap<IncidentKind, Uuid>>,
    /// Beginnings that replace a time in the future, which a clock that was ahead recorded.
    since: HashMap<Uuid, DateTime<Utc>>,
}

/// The part of the store that is loaded at start.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Open ones, and ended ones whose end is not notified yet.
    pub incidents: Vec<Incident>,
    pub announcements: Vec<Announcement>,
    pub log: Vec<LogChange>,
    pub suppressed: Vec<Suppression>,
}

impl WorkingSet {
    pub fn new(recorded: Recorded) -> Self {
        let mut set = Self::default();
        for change in recorded.log {
            set.log.put(change);
        }
        set.suppressed.extend(recorded.suppressed);
        set.announcements.extend(recorded.announcements.into_iter().map(|a| (a.id(), a)));
        recorded.incidents.into_iter().for_each(|incident| set.put(incident));
        set
    }

    /// Applies the committed delta of an audit. True if alerting has to run.
    pub fn note(&mut self, delta: &Delta) -> bool {
        let changed = delta.all_incidents().filter(|i| !is_suspected(i));
        let before = delta.announcements.len();
        self.announcements.extend(delta.announcements.iter().map(|a| (a.id(), a.clone())));
        changed.cloned().fold(before > 0, |_, incident| {
            self.put(incident);
            true
        })
    }

    /// Takes in an announcement that no audit made.
    pub fn announce(&mut self, announcement: Announcement) {
        self.announcements.insert(announcement.id(), announcement);
    }

    /// Replaces the undeliverable addresses by those that the store has now: those that refuse mail, and ended ones not yet settled.
    pub fn set_undeliverable(&mut self, addresses: Vec<UndeliverableAddress>) {
        self.undeliverable = addresses.into_iter().map(Arc::new).collect();
    }

    /// Applies a committed evaluation.
    pub fn apply(&mut self, evaluation: &Evaluation) {
        for change in &evaluation.log {
            self.log.put(change.clone());
        }
        for id in &evaluation.announced {
            self.announcements.remove(id);
        }
        self.suppressed.extend(&evaluation.suppressions);
    }

    /// Moves everything about a source to its new name; ids stay, and with them the notification log.
    pub fn rename(&mut self, rename: &Rename) {
        for incident in self.incidents.values_mut().filter(|incident| incident.source == rename.from) {
            Arc::make_mut(incident).source.clone_from(&rename.to);
        }
        for announcement in self.announcements.values_mut() {
            announcement.rename(rename);
        }
        if let Some(open) = self.of_sources.remove(&rename.from) {
            self.of_sources.insert(rename.to.clone(), open);
        }
    }

    fn put(&mut self, incident: Incident) {
        if is_suspected(&incident) {
            return;
        }
        if incident.key.session().is_none() {
            let open = self.of_sources.entry(incident.source.clone()).or_default();
            if incident.is_open() {
                open.insert(incident.kind(), incident.id);
            } else if open.get(&incident.kind()) == Some(&incident.id) {
                open.remove(&incident.kind());
            }
        }
        self.incidents.insert(incident.id, Arc::new(incident));
    }

    /// Drops incidents with nothing left to notify, and corrects beginnings that lie in the future. An ended incident is dropped
    /// here and not when it arrives, because the notification of its beginning may be on its way to the log at that moment.
    pub(super) fn tidy(&mut self, now: DateTime<Utc>) {
        let settled = |incident: &Incident, log: &NotificationLog| incident.is_ended() && log.is_settled(incident.id);
        let over =
            self.incidents.extract_if(.., |_, incident| settled(incident, &self.log)).collect::<BTreeMap<_, _>>();
        for id in over.keys() {
            self.log.forget(*id);
            self.since.remove(id);
        }
        if !over.is_empty() {
            self.suppressed.retain(|suppression| !over.contains_key(&suppression.incident));
        }
        for (id, incident) in &self.incidents {
            let since = self.since.get(id).copied().unwrap_or(incident.window.first_bad);
            if since > now {
                self.since.insert(*id, now);
            }
        }
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.incidents.values()
    }

    pub(super) fn announcements(&self) -> impl Iterator<Item = &Announcement> {
        self.announcements.values()
    }

    pub(super) fn undeliverable(&self) -> &[Arc<UndeliverableAddress>] {
        &self.undeliverable
    }

    pub(super) fn log(&self) -> &NotificationLog {
        &self.log
    }

    pub(super) fn is_unreachable(&self, source: &Name) -> bool {
        self.of_source(source, IncidentKind::Unreachable).is_some()
    }

    /// What changed under the rules of a source, while that lasts.
    pub(super) fn source_change(&self, source: &Name) -> Option<&SourceChange> {
        self.of_source(source, IncidentKind::SourceChanged)?.facts.change.as_deref()
    }

    fn of_source(&self, source: &Name, kind: IncidentKind) -> Option<&Arc<Incident>> {
        self.incidents.get(self.of_sources.get(source)?.get(&kind)?)
    }

    pub(super) fn is_suppressed(&self, suppression: Suppression) -> bool {
        self.suppressed.contains(&suppression)
    }

    /// When an incident began; never later than `now`, even if the clock was ahead then.
    pub(super) fn since(&self, incident: &Incident, now: DateTime<Utc>) -> DateTime<Utc> {
        let first_bad = incident.window.first_bad;
        self.since.get(&incident.id).copied().map_or(first_bad, |since| since.min(first_bad)).min(now)
    }
}

fn is_suspected(incident: &Incident) -> bool {
    matches!(incident.phase, Phase::Suspected { .. })
}
