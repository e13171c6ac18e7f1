//! Skips the evaluation of a snapshot or a session where the same raw values can only lead to the same verdicts.
//!
//! A session is skipped only while nothing about it counts polls or depends on the time: the last poll read it, the present plan
//! evaluated it, it has no incident, suspected or open, and it breaks no rule. After a start or a new plan everything is
//! evaluated. The generated histories of `reconcile` check that a skip changes nothing.

use std::collections::BTreeSet;

use super::evaluate::Verdict;
use super::observation::{Digest, Observation};
use super::plan::{Due, SourcePlan};
use super::schedule::ScheduleKey;
use super::session::Session;
use super::state::{Delta, Presence, SessionState, SourceState};

/// What the present plan has evaluated. It is never stored, so a state that was loaded has none.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// The schedules of which all sessions were judged, by any snapshot.
    schedules: BTreeSet<ScheduleKey>,
    /// The last snapshot, and the schedules that were judged by it.
    last: Option<(Digest, BTreeSet<ScheduleKey>)>,
}

impl Judged {
    /// Remembers what a poll judged. A new setting can make optional rules apply, also to sessions that were not due, so the
    /// schedules begin again.
    pub(super) fn note(&mut self, delta: &Delta) {
        let polled_at = || delta.schedules.keys().cloned();
        if !delta.new_settings.is_empty() {
            self.schedules.clear();
        }
        self.schedules.extend(polled_at());
        self.last = match (self.last.take(), delta.digest) {
            (_, None) => None,
            (Some((digest, mut known)), Some(new)) if digest == new => {
                known.extend(polled_at());
                Some((digest, known))
            }
            (_, Some(new)) => Some((new, polled_at().collect())),
        };
    }

    /// Whether all sessions of a schedule were judged by the present plan.
    pub fn has(&self, schedule_key: &ScheduleKey) -> bool {
        self.schedules.contains(schedule_key)
    }
}

/// The last snapshot, if the same one again would change nothing but the times of polls at the sessions that are `due`.
pub fn settled(plan: &SourcePlan, state: &SourceState, due: &Due) -> Option<Digest> {
    let (digest, judged) = state.judged.last.as_ref()?;
    // A poll of chosen sessions is noted with each of them.
    if state.unreachable.is_some() || state.changed.is_some() || matches!(due, Due::Sessions(_)) {
        return None;
    }
    let mut known = state.sessions.iter();
    let mut sessions = plan.sessions.iter().filter(|(_, session)| due.includes(session));
    let settled = sessions.all(|(id, session)| {
        let before = known.find(|(other, _)| *other >= id).filter(|(other, _)| *other == id);
        judged.contains(session.schedule.key_ref()) && before.is_some_and(|(_, before)| rests(session, before))
    });
    settled.then_some(*digest)
}

/// Whether nothing about a session counts polls or depends on the time.
fn rests(session: &Session, before: &SessionState) -> bool {
    before.record.presence == Presence::Seen { at: None }
        && before.observation.is_some()
        && before.incidents.is_empty()
        && before.record.noncompliant.iter().all(|noncompliant| noncompliant.verdict == Verdict::NotApplicable)
        && before.record.schedule_key == *session.schedule.key_ref()
        && !session.policy.depends_on_time()
}

/// Whether one session, seen as `seen`, needs no judging. `new_settings`: whether the snapshot has a setting that none had before.
pub(super) fn quiet(
    state: &SourceState,
    session: &Session,
    before: &SessionState,
    seen: &Observation,
    new_settings: bool,
) -> bool {
    rests(session, before)
        && !session.policy.depends_on_others()
        && (!new_settings || before.record.noncompliant.is_empty())
        && state.judged.has(session.schedule.key_ref())
        && before.observation.as_ref().is_some_and(|before| before.same(seen))
}

#[cfg(test)]
mod tests;
