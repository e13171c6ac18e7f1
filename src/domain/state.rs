//! The state of a source between two polls: the store keeps it, `reconcile` advances it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::announcement::Announcement;
use super::evaluate::{PinnedValue, PinnedValues, Verdict};
use super::event::Event;
use super::incident::{Incident, IncidentKind};
use super::name::Name;
use super::observation::{Digest, Observation};
use super::policy::Severity;
use super::reading::RawValue;
use super::schedule::ScheduleKey;
use super::session::SessionId;
use super::setting::SettingKey;
use super::settled::Judged;
use super::source_change::SourceChange;

/// The state of one source.
#[derive(Debug, Clone, Default)]
pub struct SourceState {
    pub record: SourceRecord,
    /// When the sessions of a schedule were last polled with success.
    pub schedules: BTreeMap<ScheduleKey, DateTime<Utc>>,
    pub unreachable: Option<Incident>,
    /// The incident of kind source changed.
    pub changed: Option<Incident>,
    pub sessions: BTreeMap<SessionId, SessionState>,
    /// Every id that the source ever returned.
    pub known_ids: BTreeSet<SessionId>,
    /// Every setting that the source ever returned, but for those that were forgotten.
    pub known_settings: HashSet<SettingKey>,
    pub judged: Judged,
    /// Sessions of the last snapshot that the configuration does not audit: the first of them, in the order of their ids. Never
    /// stored, so empty between a start and the first poll.
    pub unaudited: Vec<UnauditedRow>,
}

/// A row of a snapshot whose session the configuration does not audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnauditedRow {
    pub id: SessionId,
    /// As the source returns it.
    pub name: Option<String>,
}

/// What is written of a source at every poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceRecord {
    /// How many polls there were.
    pub polls: u64,
    pub last_poll: Option<DateTime<Utc>>,
    pub last_success: Option<DateTime<Utc>>,
    /// Audited and unaudited sessions in the last snapshot.
    pub audited: u64,
    pub unaudited: u64,
}

/// The state of one audited session.
#[derive(Debug, Clone)]
pub struct SessionState {
    pub record: SessionRecord,
    /// At the last poll that saw the session; `None` before the first.
    pub observation: Option<Arc<Observation>>,
    pub pinned: Arc<PinnedValues>,
    /// Suspected and open, never ended.
    pub incidents: Vec<Incident>,
}

/// What is written of a session when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The schedule on which it was last polled, which has the time of that poll.
    pub schedule_key: ScheduleKey,
    pub presence: Presence,
    /// The findings that are not compliant, as of the last poll that saw the session.
    pub noncompliant: Vec<NonCompliance>,
    /// Values that settings had before, oldest first; bounded, see [`PastValue`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastValue>,
}

/// A value that a setting had before: a rule that is added later is judged by it, to find since when the setting is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastValue {
    pub setting: SettingKey,
    /// `None` where the source did not return the setting.
    pub raw: Option<RawValue>,
    /// The last poll that found this value.
    pub last_seen: DateTime<Utc>,
    /// The poll that found another one.
    pub replaced: DateTime<Utc>,
}

impl PastValue {
    /// Most values of one setting, so that one that changes at every poll does not displace the others.
    pub const MOST_OF_ONE: usize = 3;
    /// Most values of a session.
    pub const MOST: usize = 24;
}

/// Whether the last poll could see the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "presence", rename_all = "lowercase")]
pub enum Presence {
    /// `at`: the time of the poll that saw it, if that poll did not cover all sessions of its schedule.
    Seen {
        #[serde(default)]
        at: Option<DateTime<Utc>>,
    },
    /// `seen`: the last poll that saw it, if any ever did.
    Missing {
        seen: Option<DateTime<Utc>>,
    },
    Ambiguous {
        seen: Option<DateTime<Utc>>,
        reason: String,
    },
}

/// A finding that is not compliance, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonCompliance {
    pub rule: Name,
    pub setting: SettingKey,
    pub severity: Severity,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The last poll that found it compliant, if any.
    pub last_good: Option<DateTime<Utc>>,
}

impl SourceState {
    /// When the session was last seen, and so judged; `None` before that.
    pub fn last_verdict(&self, session: &SessionState) -> Option<DateTime<Utc>> {
        match &session.record.presence {
            Presence::Seen { at } => self.schedules.get(&session.record.schedule_key).copied().max(*at),
            Presence::Missing { seen } | Presence::Ambiguous { seen, .. } => *seen,
        }
    }

    /// The name that the source returned for a session, as last seen.
    pub fn name_of(&self, session: &SessionId) -> Option<String> {
        self.sessions.get(session)?.observation.as_ref()?.name()
    }

    /// All incidents that are suspected or open.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let own = self.unreachable.iter().chain(&self.changed);
        own.chain(self.sessions.values().flat_map(|session| &session.incidents))
    }

    /// What changed under the rules of the source, while that lasts.
    pub fn source_change(&self) -> Option<&SourceChange> {
        self.changed.as_ref()?.facts.change.as_deref()
    }

    /// Forgets what was judged, because another plan applies: the next poll evaluates everything.
    pub fn plan_changed(&mut self) {
        self.judged = Judged::default();
    }

    /// Moves the state to the new name of its source. Another plan applies under that name.
    pub fn rename(&mut self, name: &Name) {
        let incidents = self.sessions.values_mut().flat_map(|session| &mut session.incidents);
        incidents
            .chain(&mut self.unreachable)
            .chain(&mut self.changed)
            .for_each(|incident| incident.source.clone_from(name));
        self.plan_changed();
    }

    /// Applies a committed delta.
    pub fn apply(&mut self, delta: Delta) {
        self.judged.note(&delta);
        self.record = delta.record;
        self.schedules.extend(delta.schedules);
        if let Some(incident) = delta.unreachable {
            self.unreachable = (!incident.is_ended()).then_some(incident);
        }
        if let Some(incident) = delta.changed {
            self.changed = (!incident.is_ended()).then_some(incident);
        }
        for id in &delta.retired {
            self.sessions.remove(id);
        }
        self.sessions.extend(delta.sessions);
        self.known_ids.extend(delta.new_ids);
        self.known_settings.extend(delta.new_settings);
        if let Some(unaudited) = delta.unaudited {
            self.unaudited = unaudited;
        }
        for setting in &delta.forgotten {
            self.known_settings.remove(setting);
        }
    }
}

impl SessionRecord {
    /// The record of a session that was polled last on another schedule than `schedule_key`, at `polled_at`; `None` where the
    /// record can stay.
    pub fn moved_to(&self, schedule_key: &ScheduleKey, polled_at: Option<DateTime<Utc>>) -> Option<Self> {
        let stays = self.schedule_key == *schedule_key || self.schedule_key == ScheduleKey::none();
        match self.presence {
            Presence::Seen { .. } if !stays => Some(Self {
                schedule_key: ScheduleKey::none(),
                presence: Presence::Seen { at: polled_at },
                ..self.clone()
            }),
            _ => None,
        }
    }
}

impl Delta {
    /// Every incident that changed.
    pub fn all_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.unreachable.iter().chain(&self.changed).chain(&self.incidents)
    }
}

impl SessionState {
    pub fn incident(&self, kind: IncidentKind) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.kind() == kind)
    }

    pub fn open(&self, kind: IncidentKind) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(move |incident| incident.kind() == kind && incident.is_open())
    }
}

/// What one poll changes: written in one transaction, then applied. Its size grows with what changed.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    pub record: SourceRecord,
    /// Schedules whose poll succeeded, with its time.
    pub schedules: BTreeMap<ScheduleKey, DateTime<Utc>>,
    /// Of the snapshot, where the source gave one; remembered, never written.
    pub digest: Option<Digest>,
    /// See [`SourceState::unaudited`]; `None` where they are the same.
    pub unaudited: Option<Vec<UnauditedRow>>,
    /// The incident of a source that cannot be read, if it changed; an ended one is only to be written.
    pub unreachable: Option<Incident>,
    /// The same for source changed.
    pub changed: Option<Incident>,
    /// The new state of each session that changed.
    pub sessions: BTreeMap<SessionId, SessionState>,
    /// Observations that differ from the one before.
    pub observations: Vec<(SessionId, Arc<Observation>)>,
    pub pinned: Vec<(SessionId, SettingKey, PinnedValue)>,
    /// Every session incident that changed, ended ones too.
    pub incidents: Vec<Incident>,
    pub new_ids: Vec<SessionId>,
    pub new_settings: Vec<SettingKey>,
    /// Settings that no row has any more and no rule needs.
    pub forgotten: Vec<SettingKey>,
    /// Sessions that the configuration does not audit any more.
    pub retired: Vec<SessionId>,
    pub events: Vec<Event>,
    /// Announcements to notify once.
    pub announcements: Vec<Announcement>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_its_own_last_poll_when_its_schedule_changes() {
        let (old, new, none) = (ScheduleKey::from_stored("old"), ScheduleKey::from_stored("new"), ScheduleKey::none());
        let time = |second| DateTime::from_timestamp(second, 0);
        let ambiguous = Presence::Ambiguous { seen: time(3), reason: "two rows".to_owned() };
        let moved = Some((none.clone(), time(9)));
        // Its schedule so far, what the last poll saw, the schedule now, and schedule and time in its record after that.
        let table = [
            (&old, Presence::Seen { at: None }, &old, None),
            (&old, Presence::Seen { at: time(5) }, &old, None),
            (&old, Presence::Seen { at: None }, &new, moved.clone()),
            (&old, Presence::Seen { at: time(5) }, &new, moved),
            // The record already has a time of its own.
            (&none, Presence::Seen { at: time(5) }, &new, None),
            // The last poll saw neither: the record says when an earlier one did.
            (&old, Presence::Missing { seen: time(3) }, &new, None),
            (&old, ambiguous, &new, None),
        ];
        for (schedule_key, presence, now, expected) in table {
            let record = SessionRecord {
                schedule_key: schedule_key.clone(),
                presence,
                noncompliant: Vec::new(),
                past: Vec::new(),
            };
            let moved = record.moved_to(now, time(9));
            let found = moved.as_ref().map(|record| match record.presence {
                Presence::Seen { at } => (record.schedule_key.clone(), at),
                _ => panic!("{record:?}"),
            });
            assert_eq!(found, expected, "{record:?} to {now:?}");
            // Later polls of either schedule, which did not cover the session, do not count.
            if let Some(record) = moved {
                let session = SessionState { record, observation: None, pinned: Arc::default(), incidents: Vec::new() };
                let mut state = SourceState::default();
                state.schedules.extend([(old.clone(), time(100).unwrap()), (new.clone(), time(200).unwrap())]);
                assert_eq!(state.last_verdict(&session), time(9));
            }
        }
    }
}
