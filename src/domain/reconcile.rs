//! State and look to new state and events: when an incident opens, is updated and ends, and what people are told.
//!
//! Properties, held by tables and by generated histories:
//! - A poll that could not see opens and resolves no drift and no missing session.
//! - One opening is told once, over restarts too: what was told is part of the state.
//! - The same looks from the same state give the same events; `now` is a parameter and ids come from what happened.
//! - An open incident leaves the state only by an end that is an event.
//! - A session about which nothing changed adds nothing to the delta.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::evaluate::{Neighbours, count_values};
use super::event::{Event, EventKind};
use super::incident::{ENOUGH_POLLS, End, Facts, Incident, IncidentKey, Phase, Window};
use super::observation::{Digest, Observation};
use super::plan::{Due, SourcePlan};
use super::policy::Severity;
use super::schedule::ScheduleKey;
use super::session::{Session, SessionId};
use super::settled;
use super::snapshot::Snapshot;
use super::state::{Delta, SourceState};

mod drift;
mod presence;
mod session;
mod track;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

/// What one attempt to read a source came to.
#[derive(Debug)]
pub enum PollOutcome {
    Snapshot(Snapshot),
    /// The answer is the last one again, and `settled` has said that it can change nothing.
    Unchanged(Digest),
    /// The reason in words.
    Unreachable(String),
    /// The source was not polled, because it failed a moment ago; the reason of that failure.
    Held(String),
}

/// Something that people are to be told, with the incident as it is after the poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub what: News,
    pub subject: About,
}

/// What is new about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Opened,
    /// What was found before.
    Updated {
        before: String,
    },
    Ended(End),
    StillOpen,
    Found,
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Incident(Box<Incident>),
    /// A session that nobody audits.
    Unaudited {
        id: SessionId,
        name: Option<String>,
    },
}

/// Advances `state` by one poll at the sessions that are `due`.
pub fn reconcile(plan: &SourcePlan, state: &SourceState, poll: &PollOutcome, due: &Due, now: DateTime<Utc>) -> Delta {
    let mut delta = Delta { record: state.record.clone(), ..Delta::default() };
    delta.record.polls += 1;
    delta.record.last_poll = Some(now);
    let partial = match due {
        Due::Sessions(_) => partial_schedules(plan, due),
        Due::All | Due::Schedules(_) => BTreeSet::new(),
    };
    let step = Step { plan, state, now, poll: delta.record.polls, partial: &partial };
    match poll {
        PollOutcome::Unreachable(reason) => step.unreachable(reason, true, &mut delta),
        PollOutcome::Held(reason) => step.unreachable(reason, false, &mut delta),
        PollOutcome::Snapshot(snapshot) => step.answered(snapshot, due, &mut delta),
        PollOutcome::Unchanged(digest) => step.unchanged(*digest, due, &mut delta),
    }
    delta
}

/// Ends what is still open of sessions, or of the whole source, that the configuration does not audit any more.
pub fn retire(plan: Option<&SourcePlan>, state: &SourceState, now: DateTime<Utc>) -> Delta {
    let mut delta = Delta { record: state.record.clone(), ..Delta::default() };
    let audited = |id: &SessionId| plan.is_some_and(|plan| plan.sessions.contains_key(id));
    for (id, session) in state.sessions.iter().filter(|(id, _)| !audited(id)) {
        for incident in &session.incidents {
            end(incident.clone(), End::NoLongerAudited, now, &mut delta);
        }
        delta.retired.push(id.clone());
        let what = EventKind::SessionRetired { id: id.clone() };
        delta.events.push(Event { at: now, session: Some(id.clone()), what });
    }
    if let (None, Some(incident)) = (plan, &state.unreachable) {
        end(incident.clone(), End::NoLongerAudited, now, &mut delta);
    }
    delta
}

/// What the other sessions of an answer tell.
pub fn neighbours(plan: &SourcePlan, state: &SourceState, snapshot: &Snapshot) -> Neighbours {
    let depending = plan.sessions.values().filter(|session| session.policy.depends_on_others());
    let seen = depending.filter_map(|session| Some((session, &**snapshot.seen(&session.key.id)?)));
    let counts = count_values(seen, &plan.mapping);
    let mut known = state.known_settings.clone();
    known.extend(snapshot.settings.iter().cloned());
    Neighbours { counts, known }
}

/// One poll at one source: what all parts of the decision read.
#[derive(Clone, Copy)]
struct Step<'a> {
    plan: &'a SourcePlan,
    state: &'a SourceState,
    now: DateTime<Utc>,
    /// The number of this poll, part of the ids of what it finds.
    poll: u64,
    /// Schedules of which only some sessions are polled.
    partial: &'a BTreeSet<ScheduleKey>,
}

fn partial_schedules(plan: &SourcePlan, due: &Due) -> BTreeSet<ScheduleKey> {
    let left_out = plan.sessions.values().filter(|session| !due.includes(session));
    left_out.map(|session| session.schedule.key()).collect()
}

impl Step<'_> {
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
        self.tell_when_patience_ends(&mut incident, delta);
        delta.unreachable = Some(incident);
    }

    fn answered(&self, snapshot: &Snapshot, due: &Due, delta: &mut Delta) {
        delta.record.last_success = Some(self.now);
        if let Some(incident) = &self.state.unreachable {
            end(incident.clone(), End::VisibleAgain, self.now, delta);
        }
        self.note_ids(snapshot, delta);
        let fresh = |setting: &&_| !self.state.known_settings.contains(*setting);
        delta.new_settings = snapshot.settings.iter().filter(fresh).cloned().collect();
        delta.answer = snapshot.digest;
        // Seldom needed: a session that rests asks nothing of the others.
        let neighbours = LazyCell::new(|| neighbours(self.plan, self.state, snapshot));
        // All three are in the order of their ids.
        let (mut known, mut rows) = (self.state.sessions.iter().peekable(), snapshot.walk());
        let mut schedule_key = None;
        for (id, session) in self.plan.sessions.iter().filter(|(_, session)| due.includes(session)) {
            self.polled_at(session, &mut schedule_key, delta);
            while known.next_if(|(other, _)| *other < id).is_some() {}
            let before = known.next_if(|(other, _)| *other == id).map(|(_, before)| before);
            let found = rows.to(id);
            let whole = !self.partial.contains(session.schedule.key_ref());
            let quiet = before.zip(found.seen()).filter(|_| whole).is_some_and(|(before, seen)| {
                settled::quiet(self.state, session, before, seen, !delta.new_settings.is_empty())
            });
            if !quiet {
                self.session(session, before, found.poll(), &neighbours, delta);
            }
        }
    }

    /// The last answer again, by which nothing changes but the times.
    fn unchanged(&self, digest: Digest, due: &Due, delta: &mut Delta) {
        delta.record.last_success = Some(self.now);
        delta.answer = Some(digest);
        let mut schedule_key = None;
        for session in self.plan.sessions.values().filter(|session| due.includes(session)) {
            self.polled_at(session, &mut schedule_key, delta);
        }
    }

    /// Notes the schedule of a session that was due. `last`: of the one before, which most share. A poll at chosen sessions says
    /// nothing of the others that have their schedule.
    fn polled_at<'s>(&self, session: &'s Session, last: &mut Option<&'s ScheduleKey>, delta: &mut Delta) {
        let schedule_key = session.schedule.key_ref();
        if *last != Some(schedule_key) {
            *last = Some(schedule_key);
            if !self.partial.contains(schedule_key) {
                delta.schedules.insert(schedule_key.clone(), self.now);
            }
        }
    }

    /// Counts who is audited and who is not, and notes ids that were never seen before.
    fn note_ids(&self, snapshot: &Snapshot, delta: &mut Delta) {
        let mut rows = snapshot.walk();
        let audited = self.plan.sessions.keys().filter(|id| rows.to(id).has_rows()).count();
        delta.record.audited = audited as u64;
        delta.record.unaudited = (snapshot.len() - audited) as u64;
        let first = self.state.record.last_success.is_none();
        for id in self.new_ids(snapshot) {
            delta.new_ids.push(id.clone());
            if first || self.plan.sessions.contains_key(id) {
                continue;
            }
            let name = snapshot.seen(id).and_then(|observation| observation.name());
            let what = EventKind::SessionFound { id: id.clone(), name: name.clone() };
            delta.events.push(Event { at: self.now, session: Some(id.clone()), what });
            delta.notices.push(Notice { what: News::Found, subject: About::Unaudited { id: id.clone(), name } });
        }
    }

    /// The ids that were never seen before, in order.
    fn new_ids<'s>(&self, snapshot: &'s Snapshot) -> Vec<&'s SessionId> {
        let mut known = self.state.known_ids.iter().peekable();
        let new = |id: &&SessionId| {
            while known.next_if(|other| other < id).is_some() {}
            known.next_if_eq(id).is_none()
        };
        snapshot.ids().filter(new).collect()
    }

    /// Opens what needs no confirmation.
    fn open_at_once(&self, incident: &mut Incident, delta: &mut Delta) {
        if !incident.is_open() {
            incident.phase = Phase::Open { since: self.now, good: 0 };
            opened(incident, self.now, delta);
        }
    }

    /// Tells of what cannot be seen, once it has lasted longer than anybody should have to wait, and more than one poll has met it.
    fn tell_when_patience_ends(&self, incident: &mut Incident, delta: &mut Delta) {
        if incident.told_at.is_some() {
            self.remind(incident, delta);
            return;
        }
        // By a clock that was ahead when it began, and was set back since, it would last from then on only.
        let Window { last_good, first_bad } = incident.window;
        let first_bad = first_bad.min(self.now);
        incident.window = Window { last_good: last_good.map(|at| at.min(first_bad)), first_bad };
        let lasted = (self.now - first_bad).to_std().unwrap_or_default();
        let mailed = incident.severity >= self.plan.alerts.min_severity;
        let grace = self.plan.alerts.unreachable_after;
        // Who wants no grace period is told by the first poll.
        let met = grace.is_zero() || incident.failed_polls >= ENOUGH_POLLS;
        if mailed && met && lasted >= grace {
            self.tell(News::Opened, incident, delta);
        }
    }

    /// Reminds of what people were told and is still so; tells what has come to matter enough since it opened.
    fn remind(&self, incident: &mut Incident, delta: &mut Delta) {
        if incident.severity < self.plan.alerts.min_severity {
            return;
        }
        let Some(told_at) = incident.told_at else {
            self.tell(News::Opened, incident, delta);
            return;
        };
        let Some(every) = self.plan.alerts.remind_every else { return };
        // As above: nobody waits for the time by a clock that was ahead.
        let told_at = told_at.min(self.now);
        incident.told_at = Some(told_at);
        if (self.now - told_at).to_std().is_ok_and(|since| since >= every) {
            self.tell(News::StillOpen, incident, delta);
        }
    }

    /// Has people told, and remembers when.
    fn tell(&self, what: News, incident: &mut Incident, delta: &mut Delta) {
        if incident.severity >= self.plan.alerts.min_severity {
            incident.told_at = Some(self.now);
        }
        notify(what, incident, delta);
    }
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

/// Ends an incident: written, an event and a notice if it was open, and nothing but written if it was only suspected.
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
        if !incident.told.is_empty() {
            notify(News::Ended(why), &incident, delta);
        }
    }
    match incident.key {
        IncidentKey::Unreachable => delta.unreachable = Some(incident),
        _ => delta.incidents.push(incident),
    }
}

fn notify(what: News, incident: &Incident, delta: &mut Delta) {
    delta.notices.push(Notice { what, subject: About::Incident(Box::new(incident.clone())) });
}

/// Settings that two observations do not agree about.
fn changed_settings(before: &Observation, after: &Observation) -> BTreeSet<super::setting::SettingKey> {
    if before.same(after) {
        return BTreeSet::new();
    }
    let differs = |setting: &&super::setting::SettingKey| before.raw(setting) != after.raw(setting);
    let all = before.shape.settings().iter().chain(after.shape.settings());
    all.filter(differs).cloned().collect()
}
