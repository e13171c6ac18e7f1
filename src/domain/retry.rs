//! Retries: when to poll a source in addition to its schedules, because a poll failed.
//!
//! Properties:
//! - A due schedule stays pending until a poll has read its sessions; one exchange serves a whole source, so the next poll
//!   covers all pending schedules.
//! - After a first failure, of a whole source or of the settings of one session, a second poll comes before the grace period ends: alerting asks for a second failed poll, and a session that is polled once a year must not wait for it.
//! - A reload loses no pending poll: what was due stays due to its sessions, on whatever schedule they are then.
//! - No poll is made only to let a grace period end: alerting wakes up by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::incident::{Incident, IncidentKind};
use super::plan::SourcePlan;
use super::schedule::ScheduleKey;
use super::state::{Presence, SourceState};

/// A poll that failed is repeated after this long, if its schedule does not come round sooner: a session that is polled once
/// a year must not wait for a year.
const RETRY: TimeDelta = TimeDelta::minutes(5);

/// No poll is repeated sooner, however short the grace period.
const SOONEST: TimeDelta = TimeDelta::seconds(1);

/// Wait before an audit that could not be recorded is repeated. Until then its findings are not notified.
const RECORD_RETRY: TimeDelta = TimeDelta::seconds(30);

/// A poll that this machine could not make is repeated after this long: soon, because the source did not fail and needs no rest.
const ASK_RETRY: TimeDelta = TimeDelta::seconds(10);

/// The part of a poll's outcome that decides on a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEnd {
    Seen,
    Unreachable,
    /// This machine could not make the poll.
    NotAsked,
    NotRecorded,
}

/// A finished poll: the schedules that it was for, when it ended and how.
#[derive(Debug, Clone, Copy)]
pub struct FinishedPoll<'a> {
    pub due: &'a BTreeSet<ScheduleKey>,
    pub ended: DateTime<Utc>,
    pub came: PollEnd,
}

/// See the module. One for each source.
#[derive(Debug, Default)]
pub struct Retries {
    schedules: BTreeSet<ScheduleKey>,
    /// When the pending schedules are polled, if no other poll comes before.
    next: Option<DateTime<Utc>>,
}

impl Retries {
    /// When the next poll is to be made; `None` where the schedules are enough.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// The schedules that the next poll covers in addition to those that are due.
    pub fn take(&mut self) -> BTreeSet<ScheduleKey> {
        self.next = None;
        std::mem::take(&mut self.schedules)
    }

    /// Notes a poll. `state`: the state of the source after it.
    pub fn note(&mut self, poll: FinishedPoll<'_>, plan: &SourcePlan, state: &SourceState) {
        let soon = before_grace_period_ends(plan.alerts.unreachable_after);
        match poll.came {
            PollEnd::Seen => {
                let failed = failed_once(plan, state).collect::<BTreeSet<_>>();
                if !failed.is_empty() {
                    self.add(&failed, poll.ended + soon);
                }
            }
            PollEnd::Unreachable => {
                let first = state.unreachable.as_ref().is_some_and(failed_for_the_first_time);
                self.add(poll.due, poll.ended + if first { soon } else { RETRY });
            }
            PollEnd::NotAsked => self.add(poll.due, poll.ended + ASK_RETRY),
            PollEnd::NotRecorded => self.add(poll.due, poll.ended + RECORD_RETRY),
        }
    }

    /// Puts off what is due until `at`, where it cannot be polled before.
    pub fn postpone(&mut self, due: &BTreeSet<ScheduleKey>, at: Option<DateTime<Utc>>) {
        if let (false, Some(at)) = (due.is_empty(), at) {
            self.add(due, at);
        }
    }

    fn add(&mut self, schedules: &BTreeSet<ScheduleKey>, at: DateTime<Utc>) {
        self.schedules.extend(schedules.iter().cloned());
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// `due` under `plan`, which a reload may have replaced since it fell due: with the schedules on which its sessions are now, and
/// those of sessions that were never polled. `state` is from before the plan is taken up, so it has the schedule on which each
/// session was last polled.
pub fn due_under(due: &BTreeSet<ScheduleKey>, plan: &SourcePlan, state: &SourceState) -> BTreeSet<ScheduleKey> {
    let others = plan.sessions.values().filter(|session| !due.contains(session.schedule.key_ref()));
    let moved = others.filter(|session| {
        let known = state.sessions.get(&session.key.id);
        known.is_none_or(|known| due.contains(&known.record.schedule_key))
    });
    due.iter().cloned().chain(moved.map(|session| session.schedule.key())).collect()
}

/// How long before the end of the grace period a second poll has failed, so that a third still fits.
fn before_grace_period_ends(grace_period: Duration) -> TimeDelta {
    TimeDelta::from_std(grace_period / 3).unwrap_or(RETRY).clamp(SOONEST, RETRY)
}

fn failed_for_the_first_time(incident: &Incident) -> bool {
    incident.is_open() && incident.failed_polls < Incident::POLLS_COUNTED
}

/// The schedules of sessions with settings that only one poll so far could not read. For a missing session another poll reads
/// none.
fn failed_once<'a>(plan: &'a SourcePlan, state: &'a SourceState) -> impl Iterator<Item = ScheduleKey> + use<'a> {
    let failed = state.sessions.iter().filter(|(_, session)| {
        !matches!(session.record.presence, Presence::Missing { .. })
            && session.incident(IncidentKind::Unverifiable).is_some_and(failed_for_the_first_time)
    });
    failed.filter_map(|(id, _)| plan.sessions.get(id)).map(|session| session.schedule.key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Due;
    use crate::domain::reading::RawValue;
    use crate::domain::reconcile::{PollOutcome, reconcile};
    use crate::domain::schedule::Schedule;
    use crate::domain::snapshot::Snapshot;
    use crate::domain::world::{World, id, start};

    /// Session 1 every minute, session 2 once a year.
    struct Case {
        world: World,
        retries: Retries,
        often: ScheduleKey,
        seldom: ScheduleKey,
    }

    fn minutes(minutes: i64) -> DateTime<Utc> {
        start() + TimeDelta::minutes(minutes)
    }

    impl Case {
        fn new() -> Self {
            let mut world = World::new();
            let yearly = Schedule::parse("0 0 1 1 *", chrono_tz::UTC, start()).unwrap();
            let [often, seldom] = ["1", "2"].map(id);
            world.plan.sessions.get_mut(&seldom).unwrap().schedule = yearly;
            let schedule_key = |id| world.plan.sessions[id].schedule.key();
            let (often, seldom) = (schedule_key(&often), schedule_key(&seldom));
            Self { world, retries: Retries::default(), often, seldom }
        }

        /// Polls the due schedules and all pending ones; returns the schedules that the poll covered.
        fn poll(&mut self, scheduled: &[&ScheduleKey], ended: DateTime<Utc>, came: PollEnd) -> BTreeSet<ScheduleKey> {
            let mut due = self.retries.take();
            due.extend(scheduled.iter().copied().cloned());
            self.world.now = ended;
            let poll = match came {
                PollEnd::Seen => {
                    let snapshot = Snapshot::read(&self.world.raw_snapshot(), &self.world.plan.mapping, ended);
                    Some(PollOutcome::Snapshot(snapshot.unwrap()))
                }
                PollEnd::Unreachable => Some(PollOutcome::Unreachable(String::from("refused"))),
                PollEnd::NotAsked | PollEnd::NotRecorded => None,
            };
            if let Some(poll) = poll {
                let (plan, state) = (&self.world.plan, &self.world.state);
                let delta = reconcile(plan, state, &poll, &Due::Schedules(due.clone()), ended);
                self.world.state.apply(delta);
            }
            self.retries.note(FinishedPoll { due: &due, ended, came }, &self.world.plan, &self.world.state);
            due
        }

        fn both(&self) -> BTreeSet<ScheduleKey> {
            BTreeSet::from([self.often.clone(), self.seldom.clone()])
        }
    }

    #[test]
    fn a_poll_that_failed_is_repeated_for_every_schedule_that_it_was_for() {
        let waits = [
            (PollEnd::Unreachable, TimeDelta::minutes(5)),
            (PollEnd::NotAsked, TimeDelta::seconds(10)),
            (PollEnd::NotRecorded, TimeDelta::seconds(30)),
        ];
        for (came, wait) in waits {
            let mut case = Case::new();
            let (often, seldom) = (case.often.clone(), case.seldom.clone());
            case.poll(&[&often, &seldom], minutes(0), came);
            assert_eq!(case.retries.next(), Some(minutes(0) + wait));
            // The more frequent schedule comes first, and its poll covers the other one too.
            let seen = case.poll(&[&often], minutes(0) + TimeDelta::seconds(5), PollEnd::Seen);
            assert_eq!(seen, case.both());
            assert_eq!(case.retries.next(), None);
            assert!(case.retries.take().is_empty(), "a debt is paid once");
        }
    }

    #[test]
    fn what_is_due_follows_its_sessions_to_their_schedules() {
        const LATER: &str = "0 0 2 1 *";
        // The sessions on another schedule now, the schedules that were due, the sessions that are polled.
        let table: [(&[&str], &[&str], &[&str]); 7] = [
            (&[], &["1"], &["1"]),
            (&["2"], &["1"], &["1"]),
            (&["2"], &["2"], &["2"]),
            (&["1", "2"], &["2"], &["1", "2"]), // They are on the same one now.
            (&["1", "2"], &[], &[]),
            // A session that was never polled.
            (&["3"], &[], &["3"]),
            (&["2", "3"], &["1"], &["1", "2", "3"]),
        ];
        for (moved, due, polled) in table {
            let mut case = Case::new();
            let (often, seldom) = (case.often.clone(), case.seldom.clone());
            case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
            let due = due.iter().map(|session| if *session == "1" { often.clone() } else { seldom.clone() }).collect();
            let plan = &mut case.world.plan;
            for session in moved {
                let key = id(session);
                let mut edited = plan.sessions.get(&key).unwrap_or(&plan.sessions[&id("1")]).clone();
                edited.schedule = Schedule::parse(LATER, chrono_tz::UTC, start()).unwrap();
                edited.key.id = key.clone();
                plan.sessions.insert(key, edited);
            }
            let due = Due::Schedules(due_under(&due, plan, &case.world.state));
            let covered = plan.sessions.values().filter(|session| due.includes(session));
            assert_eq!(covered.map(|session| session.key.id.as_str()).collect::<Vec<_>>(), polled, "{moved:?}");
        }
    }

    #[test]
    fn what_keeps_failing_stays_pending() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.poll(&[&seldom], minutes(0), PollEnd::Unreachable);
        for minute in 1..200 {
            let due = case.poll(&[&often], minutes(minute), PollEnd::Unreachable);
            assert_eq!(due, case.both());
            assert_eq!(case.retries.next(), Some(minutes(minute + 5)), "the end of the grace period needs no poll");
        }
    }

    #[test]
    fn a_second_poll_is_made_before_the_grace_period_ends() {
        for (grace_period, wait) in [(90, 30), (3_600, 300), (1, 1), (0, 1)] {
            let mut case = Case::new();
            let often = case.often.clone();
            case.world.plan.alerts.unreachable_after = Duration::from_secs(grace_period);
            case.poll(&[&often], minutes(0), PollEnd::Unreachable);
            assert_eq!(case.retries.next(), Some(minutes(0) + TimeDelta::seconds(wait)), "{grace_period} s");
            case.poll(&[], minutes(2), PollEnd::Unreachable);
            assert_eq!(case.retries.next(), Some(minutes(7)), "{grace_period} s: from then on at the slow rate");
        }
    }

    #[test]
    fn a_session_that_could_not_be_read_is_polled_once_more_whatever_its_schedule() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(5)));
        assert_eq!(case.poll(&[], minutes(5), PollEnd::Seen), BTreeSet::from([seldom.clone()]));
        assert_eq!(case.retries.next(), None, "two failed polls are enough");
        assert_eq!(case.poll(&[&often], minutes(6), PollEnd::Seen), BTreeSet::from([often]));
    }

    #[test]
    fn a_missing_session_is_not_polled_again_for_settings_that_could_not_be_read() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        case.world.rows.retain(|(session, _)| session != "2");
        case.poll(&[], minutes(5), PollEnd::Seen);
        assert_eq!(case.retries.next(), None);
    }
}
