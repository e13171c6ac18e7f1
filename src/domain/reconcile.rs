//! Turns state and poll into new state and events: decides when an incident opens, is updated and ends, and not who is notified.
//!
//! Properties, held by tables and by generated histories:
//! - A poll that failed opens and resolves no drift and no missing session.
//! - The same polls from the same state give the same events; `now` is a parameter and ids are derived from the event.
//! - An open incident leaves the state only by an end that is an event.
//! - A session about which nothing changed adds nothing to the delta.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::announcement::Announcement;
use super::evaluate::{Neighbours, count_values};
use super::event::{Event, EventKind};
use super::incident::{End, Facts, Incident, IncidentKey, Phase, Window};
use super::observation::{Digest, Observation};
use super::plan::{Due, SourcePlan};
use super::policy::Severity;
use super::schedule::ScheduleKey;
use super::session::SessionId;
use super::snapshot::Snapshot;
use super::state::{Delta, Presence, SessionState, SourceState, UnauditedRow};

mod assess;
mod breaker;
mod columns;
mod drift;
mod past;
mod presence;
mod session;
mod track;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use assess::{Assessed, Assessment, assess};

/// The outcome of one attempt to read a source.
#[derive(Debug)]
pub enum PollOutcome {
    Snapshot(Snapshot),
    /// The snapshot is the last one again, and `settled` has said that it can change nothing.
    Unchanged(Digest),
    /// The reason in words.
    Unreachable(String),
    /// The source was not polled, because of the cooldown after a failure; the reason of that failure.
    Cooldown(String),
}

/// Advances `state` by one poll of the sessions that are `due`.
pub fn reconcile(plan: &SourcePlan, state: &SourceState, poll: &PollOutcome, due: &Due, now: DateTime<Utc>) -> Delta {
    let mut delta = Delta { record: state.record.clone(), ..Delta::default() };
    delta.record.polls += 1;
    delta.record.last_poll = Some(now);
    let partial = match due {
        Due::Sessions(_) => partial_schedules(plan, due),
        Due::All | Due::Schedules(_) => BTreeSet::new(),
    };
    let context = PollContext { plan, state, now, poll: delta.record.polls, partial: &partial };
    match poll {
        PollOutcome::Unreachable(reason) => context.unreachable(reason, true, &mut delta),
        PollOutcome::Cooldown(reason) => context.unreachable(reason, false, &mut delta),
        PollOutcome::Snapshot(snapshot) => context.snapshot(snapshot, due, &mut delta),
        PollOutcome::Unchanged(digest) => context.unchanged(*digest, due, &mut delta),
    }
    delta
}

/// Takes up a plan that may differ from the one that judged so far, at start and after a reload.
///
/// Ends the incidents of sessions, or of the whole source, that the configuration no longer audits. A session whose schedule
/// changed keeps the time of its own last good poll: later polls of its former schedule do not cover it.
pub fn take_up(plan: Option<&SourcePlan>, state: &SourceState, now: DateTime<Utc>) -> Delta {
    let mut delta = Delta { record: state.record.clone(), ..Delta::default() };
    let audited = |id: &SessionId| plan.is_some_and(|plan| plan.sessions.contains_key(id));
    for (id, session) in state.sessions.iter().filter(|(id, _)| !audited(id)) {
        let open = session.incidents.iter().filter(|incident| incident.is_open()).collect::<Vec<_>>();
        delta.announcements.extend(Announcement::removed(id, &open, now));
        for incident in &session.incidents {
            end(incident.clone(), End::Removed, now, &mut delta);
        }
        // The last snapshot counted it as audited.
        let there = u64::from(!matches!(session.record.presence, Presence::Missing { .. })).min(delta.record.audited);
        delta.record.audited -= there;
        delta.record.unaudited += there;
        delta.retired.push(id.clone());
        let what = EventKind::SessionRetired { id: id.clone() };
        delta.events.push(Event { at: now, session: Some(id.clone()), what });
    }
    if plan.is_none() {
        for incident in state.unreachable.iter().chain(&state.changed) {
            end(incident.clone(), End::Removed, now, &mut delta);
        }
    }
    let sessions = plan.into_iter().flat_map(|plan| &plan.sessions);
    let known = sessions.filter_map(|(id, session)| Some((id, session, state.sessions.get(id)?)));
    for (id, session, known) in known {
        if let Some(record) = known.record.moved_to(session.schedule.key_ref(), state.last_verdict(known)) {
            delta.sessions.insert(id.clone(), SessionState { record, ..known.clone() });
        }
    }
    delta
}

/// What the other sessions of a snapshot tell.
fn neighbours(plan: &SourcePlan, state: &SourceState, snapshot: &Snapshot) -> Neighbours {
    let depending = plan.sessions.values().filter(|session| session.policy.depends_on_others());
    let seen = depending.filter_map(|session| Some((session, &**snapshot.seen(&session.key.id)?)));
    let counts = count_values(seen, &plan.mapping);
    let returned = snapshot.settings.iter().cloned().collect::<std::collections::HashSet<_>>();
    let known = state.known_settings.union(&returned).cloned().collect();
    Neighbours { counts, known, returned }
}

/// One poll of one source: what all parts of the decision read.
#[derive(Clone, Copy)]
struct PollContext<'a> {
    plan: &'a SourcePlan,
    state: &'a SourceState,
    now: DateTime<Utc>,
    /// The number of this poll, part of the ids of incidents and announcements that it finds.
    poll: u64,
    /// Schedules of which only some sessions are polled.
    partial: &'a BTreeSet<ScheduleKey>,
}

fn partial_schedules(plan: &SourcePlan, due: &Due) -> BTreeSet<ScheduleKey> {
    let left_out = plan.sessions.values().filter(|session| !due.includes(session));
    left_out.map(|session| session.schedule.key()).collect()
}

impl PollContext<'_> {
    fn unreachable(&self, reason: &str, polled: bool, delta: &mut Delta) {
        let mut incident = self.state.unreachable.clone().unwrap_or_else(|| {
            let window = Window { last_good: self.state.record.last_success, first_bad: self.now };
            Incident::found(
                &self.plan.name,
                self.poll,
                IncidentKey::Unreachable,
                Severity::Critical,
                window,
                Facts::default(),
            )
        });
        incident.facts.reason = reason.to_owned();
        if polled {
            incident.poll_failed();
        }
        self.open_at_once(&mut incident, delta);
        self.begin_by_now(&mut incident);
        delta.unreachable = Some(incident);
    }

    fn snapshot(&self, snapshot: &Snapshot, due: &Due, delta: &mut Delta) {
        delta.record.last_success = Some(self.now);
        if let Some(incident) = &self.state.unreachable {
            end(incident.clone(), End::VisibleAgain, self.now, delta);
        }
        self.note_ids(snapshot, delta);
        let fresh = |setting: &&_| !self.state.known_settings.contains(*setting);
        delta.new_settings = snapshot.settings.iter().filter(fresh).cloned().collect();
        delta.digest = snapshot.digest;
        self.note_schedules(due, delta);
        let Assessment { sessions, neighbours, columns, failures } = self.assess(snapshot, due);
        for assessed in sessions {
            self.session(assessed, &neighbours, delta);
        }
        self.source_changed(snapshot, &columns.needed, failures, delta);
        self.forget(columns, delta);
    }

    /// The last snapshot again, by which nothing changes but the times.
    fn unchanged(&self, digest: Digest, due: &Due, delta: &mut Delta) {
        delta.record.last_success = Some(self.now);
        delta.digest = Some(digest);
        self.note_schedules(due, delta);
    }

    /// Notes the schedules of the sessions that were due. A poll of chosen sessions says nothing of the other sessions of their
    /// schedules.
    fn note_schedules(&self, due: &Due, delta: &mut Delta) {
        // Most sessions have the schedule of the one before.
        let mut last = None;
        for session in self.plan.sessions.values().filter(|session| due.includes(session)) {
            let schedule_key = session.schedule.key_ref();
            if last.replace(schedule_key) != Some(schedule_key) && !self.partial.contains(schedule_key) {
                delta.schedules.insert(schedule_key.clone(), self.now);
            }
        }
    }

    /// Counts the audited and unaudited sessions, and notes ids that are new.
    fn note_ids(&self, snapshot: &Snapshot, delta: &mut Delta) {
        let unaudited = others(snapshot.ids(), self.plan.sessions.keys()).collect::<Vec<_>>();
        delta.record.audited = (snapshot.len() - unaudited.len()) as u64;
        delta.record.unaudited = unaudited.len() as u64;
        delta.unaudited = Some(listed(snapshot, &unaudited)).filter(|rows| *rows != self.state.unaudited);
        let first = self.state.record.last_success.is_none();
        for id in others(snapshot.ids(), self.state.known_ids.iter()) {
            delta.new_ids.push(id.clone());
            if first || self.plan.sessions.contains_key(id) {
                continue;
            }
            let name = snapshot.seen(id).and_then(|observation| observation.name());
            let what = EventKind::SessionFound { id: id.clone(), name: name.clone() };
            delta.events.push(Event { at: self.now, session: Some(id.clone()), what });
            let found = Announcement::unaudited(&self.plan.name, self.poll, id.clone(), name, self.now);
            delta.announcements.push(found);
        }
    }

    /// Opens what needs no confirmation.
    fn open_at_once(&self, incident: &mut Incident, delta: &mut Delta) {
        if !incident.is_open() {
            incident.phase = Phase::Open { since: self.now, good: 0 };
            opened(incident, self.now, delta);
        }
    }

    /// Makes an incident begin no later than now. If the clock was ahead when it began and was set back since, its beginning
    /// would lie in the future.
    fn begin_by_now(&self, incident: &mut Incident) {
        let Window { last_good, first_bad } = incident.window;
        let first_bad = first_bad.min(self.now);
        incident.window = Window { last_good: last_good.map(|at| at.min(first_bad)), first_bad };
    }
}

/// The `ids` that `known` does not have. Both are in order, so one pass over both is enough.
fn others<'s, 'k>(
    ids: impl Iterator<Item = &'s SessionId>,
    known: impl Iterator<Item = &'k SessionId>,
) -> impl Iterator<Item = &'s SessionId> {
    let mut known = known.peekable();
    ids.filter(move |id| {
        while known.next_if(|other| other < id).is_some() {}
        known.next_if_eq(id).is_none()
    })
}

/// The first of the sessions that are not audited, for people to see.
fn listed(snapshot: &Snapshot, unaudited: &[&SessionId]) -> Vec<UnauditedRow> {
    /// A source may return any number of them.
    const LISTED: usize = 200;
    /// Characters of a name.
    const NAME: usize = 200;
    let name = |id: &SessionId| Some(snapshot.seen(id)?.name()?.chars().take(NAME).collect());
    unaudited.iter().take(LISTED).map(|id| UnauditedRow { id: (*id).clone(), name: name(id) }).collect()
}

fn opened(incident: &Incident, now: DateTime<Utc>, delta: &mut Delta) {
    let Facts { expected, found, reason, .. } = incident.facts.clone();
    let what = EventKind::Opened {
        incident: incident.id,
        key: incident.key.clone(),
        severity: incident.severity,
        expected,
        found,
        reason,
    };
    delta.events.push(Event { at: now, session: incident.key.session().cloned(), what });
}

/// Ends an incident: written, with an event if it was open.
fn end(mut incident: Incident, why: End, now: DateTime<Utc>, delta: &mut Delta) {
    let was_open = incident.is_open();
    let why = if was_open { why } else { End::Unconfirmed };
    incident.phase = Phase::Ended { at: now, end: why };
    if was_open {
        let what = EventKind::Ended {
            incident: incident.id,
            key: incident.key.clone(),
            severity: incident.severity,
            end: why,
            found: incident.facts.found.clone(),
        };
        delta.events.push(Event { at: now, session: incident.key.session().cloned(), what });
    }
    match incident.key {
        IncidentKey::Unreachable => delta.unreachable = Some(incident),
        IncidentKey::SourceChanged => delta.changed = Some(incident),
        _ => delta.incidents.push(incident),
    }
}

/// The settings whose raw values differ between two observations.
fn changed_settings(before: &Observation, after: &Observation) -> BTreeSet<super::setting::SettingKey> {
    if before.same(after) {
        return BTreeSet::new();
    }
    let differs = |setting: &&super::setting::SettingKey| before.raw(setting) != after.raw(setting);
    let all = before.shape.settings().iter().chain(after.shape.settings());
    all.filter(differs).cloned().collect()
}
