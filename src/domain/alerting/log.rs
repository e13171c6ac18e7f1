//! The notification log: for each incident, which recipient was notified over which channel, and when last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::WorkingSet;
use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::notification::{About, Change, Notification, Opening, Role};

/// A recipient in a channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogKey {
    pub channel: Name,
    pub to: Address,
}

/// The last notification of one incident to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    pub opening: Opening,
    /// The role in which the recipient was notified of the beginning.
    pub role: Role,
    pub blind: bool,
    /// The revision of the incident in the last notification.
    pub revision: u32,
    pub notified_at: DateTime<Utc>,
    pub reminders: u32,
    /// The recipient was notified of the end.
    pub ended: bool,
}

/// An entry to insert or replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChange {
    pub incident: Uuid,
    pub key: LogKey,
    pub entry: LogEntry,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct NotificationLog(HashMap<Uuid, BTreeMap<LogKey, LogEntry>>);

impl NotificationLog {
    /// The entries of an incident.
    pub fn of(&self, incident: Uuid) -> Option<&BTreeMap<LogKey, LogEntry>> {
        self.0.get(&incident)
    }

    pub(super) fn put(&mut self, change: LogChange) {
        self.0.entry(change.incident).or_default().insert(change.key, change.entry);
    }

    /// Whether no recipient still has to be notified of the end of an incident.
    pub(super) fn is_settled(&self, incident: Uuid) -> bool {
        self.of(incident).is_none_or(|entries| entries.values().all(|entry| entry.ended))
    }

    pub(super) fn forget(&mut self, incident: Uuid) {
        self.0.remove(&incident);
    }
}

/// The changes of the log that recording `notifications` makes.
pub(super) fn changes(
    channel: &Name,
    known: &WorkingSet,
    notifications: &[Notification],
    now: DateTime<Utc>,
) -> Vec<LogChange> {
    let notified = notifications.iter().flat_map(|notified| notified.items.iter().map(move |item| (notified, item)));
    let change = |(notified, item): (&Notification, &crate::domain::notification::Item)| {
        let About::Incident { incident, change, blind } = &item.about else { return None };
        let key = LogKey { channel: channel.clone(), to: notified.to.clone() };
        let before = known.log().of(incident.id).and_then(|entries| entries.get(&key)).cloned();
        let mut entry = before.unwrap_or_else(|| LogEntry {
            // `Evaluation::entitle` sets the subject once the notification is composed.
            opening: Opening { notification: notified.id, subject: String::new() },
            role: item.role,
            blind: blind.is_some(),
            revision: incident.revision,
            notified_at: now,
            reminders: 0,
            ended: false,
        });
        (entry.revision, entry.notified_at) = (incident.revision, now);
        match change {
            Change::StillOpen(number) => entry.reminders = *number,
            Change::Ended(_) => entry.ended = true,
            Change::Opened | Change::Handover | Change::Updated => {}
        }
        Some(LogChange { incident: incident.id, key, entry })
    };
    notified.filter_map(change).collect()
}

/// Entries with a time in the future, from a clock that was ahead: they count from now, so that no reminder waits for that time.
pub(super) fn set_right(known: &WorkingSet, changed: &[LogChange], now: DateTime<Utc>) -> Vec<LogChange> {
    let changed = changed.iter().map(|change| (change.incident, &change.key)).collect::<BTreeSet<_>>();
    let ahead = known.log().0.iter().flat_map(|(incident, entries)| entries.iter().map(move |e| (*incident, e)));
    let ahead = ahead.filter(|(incident, (key, entry))| {
        entry.notified_at > now && !entry.ended && !changed.contains(&(*incident, *key))
    });
    let right = |(incident, (key, entry)): (Uuid, (&LogKey, &LogEntry))| LogChange {
        incident,
        key: key.clone(),
        entry: LogEntry { notified_at: now, ..entry.clone() },
    };
    ahead.map(right).collect()
}
