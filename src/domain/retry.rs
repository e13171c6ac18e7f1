//! When a source has to be polled besides its schedules: looks that came to nothing are owed, and the grace period that ends with
//! what cannot be seen has to be told.
//!
//! Properties:
//! - Whatever was due and not seen stays owed until a poll has seen it; one question serves a whole source, so the next poll
//!   takes all that is owed with it, whoever it is for.
//! - Patience that ended while a poll was under way, or of a schedule that the poll was not for, is polled right after.
//! - A poll that began when the grace period had ended has had its chance to tell: it is not asked for again, whatever else is polled
//!   then, so a poll that follows at once is always one that can come to something. A session that has gone missing meanwhile
//!   is one of which it may tell nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::incident::{ENOUGH_POLLS, Incident, IncidentKind};
use super::plan::SourcePlan;
use super::schedule::ScheduleKey;
use super::state::SourceState;

/// A poll that failed is repeated after this long, if its schedule does not come round sooner: a session that is polled once
/// a year must not wait for a year.
const RETRY: TimeDelta = TimeDelta::minutes(5);

/// A source whose grace period is over by a single failed poll is polled again after this long: the second poll tells, or finds
/// that it was the process that stood still. While the source is held back, nothing is asked and this is repeated.
const SECOND_POLL: TimeDelta = TimeDelta::seconds(30);

/// An audit that could not be recorded is repeated after this long: until then nobody is told what it found.
const RECORD_RETRY: TimeDelta = TimeDelta::seconds(30);

/// A source that this machine could not ask is asked again after this long: nothing is known of it meanwhile, and no failure of
/// its own says to spare it.
const ASK_RETRY: TimeDelta = TimeDelta::seconds(10);

/// What one poll came to, as far as another one hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollEnd {
    Seen,
    Unreachable,
    /// This machine could not ask.
    NotAsked,
    NotRecorded,
}

/// When a poll was made, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct FinishedPoll<'a> {
    pub due: &'a BTreeSet<ScheduleKey>,
    pub began: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub came: PollEnd,
}

/// See the module. One for each source.
#[derive(Debug, Default)]
pub struct Retries {
    schedules: BTreeSet<ScheduleKey>,
    /// When what is owed is polled, if nothing else is before.
    retry: Option<DateTime<Utc>>,
    /// When the grace period ends with sessions of a schedule.
    impatient: BTreeMap<ScheduleKey, DateTime<Utc>>,
    /// Incidents of sessions that were polled after the grace period had ended, and still are untold.
    had_chance: BTreeSet<Uuid>,
}

impl Retries {
    /// When the next poll is to be made; `None` where the schedules are enough.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.impatient.values().copied().chain(self.retry).min()
    }

    /// What a poll that begins `now` is to be made for, besides what is due by its schedule.
    pub fn take(&mut self, now: DateTime<Utc>) -> BTreeSet<ScheduleKey> {
        let impatient = self.impatient.extract_if(.., |_, end| *end <= now).map(|(schedule_key, _)| schedule_key);
        let schedules = std::mem::take(&mut self.schedules).into_iter().chain(impatient).collect();
        self.retry = None;
        schedules
    }

    /// The same where the clock was set back: everything that waits for a time, which was reckoned by a clock that was ahead.
    pub fn take_all(&mut self) -> BTreeSet<ScheduleKey> {
        self.take(DateTime::<Utc>::MAX_UTC)
    }

    /// Notes a poll. `state` is what is known of the source after it.
    pub fn note(&mut self, poll: FinishedPoll<'_>, plan: &SourcePlan, state: &SourceState) {
        let rate_limiter = match poll.came {
            PollEnd::Seen => None,
            PollEnd::Unreachable => Some(RETRY),
            PollEnd::NotAsked => Some(ASK_RETRY),
            PollEnd::NotRecorded => Some(RECORD_RETRY),
        };
        if let Some(rate_limiter) = rate_limiter {
            self.schedules.extend(poll.due.iter().cloned());
            self.retry = Some(poll.ended + rate_limiter);
        }
        self.impatient.clear();
        let had_chance = std::mem::take(&mut self.had_chance);
        // A clock that was set back within the poll was ahead when it began.
        let began = poll.began.min(poll.ended);
        for (incident, end) in untold(plan, state, poll.ended) {
            let schedule_key = match incident.key.session() {
                // The source: whatever is polled tells.
                None => None,
                Some(id) => match plan.sessions.get(id) {
                    Some(session) => Some(session.schedule.key()),
                    None => continue,
                },
            };
            let over = end <= began;
            let seen = poll.came == PollEnd::Seen
                && schedule_key.as_ref().is_some_and(|schedule_key| poll.due.contains(schedule_key));
            if over && (seen || had_chance.contains(&incident.id)) {
                self.had_chance.insert(incident.id);
                continue;
            }
            match (schedule_key, poll.came) {
                (None, _) if !over => self.retry = self.retry.map(|retry| retry.min(end.max(poll.ended))),
                (Some(schedule_key), _) if !over => self.ends(schedule_key, end.max(poll.ended)),
                (Some(schedule_key), PollEnd::Seen) => self.ends(schedule_key, poll.ended),
                (Some(schedule_key), PollEnd::Unreachable | PollEnd::NotAsked | PollEnd::NotRecorded) => {
                    _ = self.schedules.insert(schedule_key);
                }
                (None, _) if incident.failed_polls < ENOUGH_POLLS => {
                    self.retry = self.retry.map(|retry| retry.min(poll.ended + SECOND_POLL));
                }
                (None, _) => {}
            }
        }
    }

    fn ends(&mut self, schedule_key: ScheduleKey, at: DateTime<Utc>) {
        self.impatient.entry(schedule_key).and_modify(|end| *end = at.min(*end)).or_insert(at);
    }
}

/// What cannot be seen, nobody has been told of, and somebody will have to be, with when. What was first met later than `now`
/// was met by a clock that was ahead, and counts from now.
fn untold<'a>(
    plan: &'a SourcePlan,
    state: &'a SourceState,
    now: DateTime<Utc>,
) -> impl Iterator<Item = (&'a Incident, DateTime<Utc>)> + use<'a> {
    // Patience beyond the end of the calendar never ends.
    let grace_period = TimeDelta::from_std(plan.alerts.unreachable_after).ok();
    let waits = |incident: &&Incident| {
        matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable)
            && incident.severity >= plan.alerts.min_severity
            && incident.is_open()
            && incident.told_at.is_none()
    };
    let end = move |incident: &'a Incident| {
        Some((incident, incident.window.first_bad.min(now).checked_add_signed(grace_period?)?))
    };
    state.incidents().filter(waits).filter_map(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Due;
    use crate::domain::reading::RawValue;
    use crate::domain::reconcile::PollOutcome;
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

        /// A poll at what is due by its schedule, and all that is owed: what it was made for.
        fn poll(&mut self, scheduled: &[&ScheduleKey], began: DateTime<Utc>, came: PollEnd) -> BTreeSet<ScheduleKey> {
            let mut due = self.retries.take(began);
            due.extend(scheduled.iter().copied().cloned());
            self.note(&due, began, began, came);
            due
        }

        fn note(&mut self, due: &BTreeSet<ScheduleKey>, began: DateTime<Utc>, ended: DateTime<Utc>, came: PollEnd) {
            self.world.now = began;
            let poll = match came {
                PollEnd::Seen => {
                    let snapshot = Snapshot::read(&self.world.answer(), &self.world.plan.mapping, began);
                    Some(PollOutcome::Snapshot(snapshot.unwrap()))
                }
                PollEnd::Unreachable => Some(PollOutcome::Unreachable(String::from("refused"))),
                PollEnd::NotAsked | PollEnd::NotRecorded => None,
            };
            if let Some(poll) = poll {
                let decision = self.world.decide(&poll, &Due::Schedules(due.clone()));
                self.world.state.apply(decision.delta);
            }
            self.retries.note(FinishedPoll { due, began, ended, came }, &self.world.plan, &self.world.state);
        }

        /// All that is owed meets a source that is held back.
        fn hold(&mut self, at: DateTime<Utc>) {
            let due = self.retries.take(at);
            self.world.now = at;
            let decision = self.world.decide(&PollOutcome::Held(String::from("refused")), &Due::Schedules(due.clone()));
            self.world.state.apply(decision.delta);
            let made = FinishedPoll { due: &due, began: at, ended: at, came: PollEnd::Unreachable };
            self.retries.note(made, &self.world.plan, &self.world.state);
        }

        fn both(&self) -> BTreeSet<ScheduleKey> {
            BTreeSet::from([self.often.clone(), self.seldom.clone()])
        }
    }

    #[test]
    fn a_poll_that_failed_is_owed_to_every_rhythm_that_it_was_for() {
        let paces = [
            (PollEnd::Unreachable, TimeDelta::minutes(5)),
            (PollEnd::NotAsked, TimeDelta::seconds(10)),
            (PollEnd::NotRecorded, TimeDelta::seconds(30)),
        ];
        for (came, rate_limiter) in paces {
            let mut case = Case::new();
            let (often, seldom) = (case.often.clone(), case.seldom.clone());
            case.poll(&[&often, &seldom], minutes(0), came);
            assert_eq!(case.retries.next(), Some(minutes(0) + rate_limiter));
            // The schedule of the one comes round first; the other is seen with it, and not in a year.
            let seen = case.poll(&[&often], minutes(0) + TimeDelta::seconds(5), PollEnd::Seen);
            assert_eq!(seen, case.both());
            assert_eq!(case.retries.next(), None);
            assert!(case.retries.take(minutes(600)).is_empty(), "a debt is paid once");
        }
    }

    #[test]
    fn what_keeps_failing_stays_owed() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.plan.alerts.unreachable_after = std::time::Duration::MAX;
        case.poll(&[&seldom], minutes(0), PollEnd::Unreachable);
        for minute in 1..20 {
            let due = case.poll(&[&often], minutes(minute), PollEnd::Unreachable);
            assert_eq!(due, case.both());
            assert_eq!(case.retries.next(), Some(minutes(minute + 5)));
        }
    }

    #[test]
    fn the_end_of_patience_with_a_source_is_not_waited_past() {
        let mut case = Case::new();
        let often = case.often.clone();
        case.poll(&[&often], minutes(0), PollEnd::Unreachable);
        case.poll(&[&often], minutes(57), PollEnd::Unreachable);
        assert_eq!(case.retries.next(), Some(minutes(60)));
        // A poll that began before the end and was over after it could not tell; the next one can.
        let due = BTreeSet::from([often]);
        case.note(&due, minutes(59), minutes(61), PollEnd::Unreachable);
        assert_eq!(case.retries.next(), Some(minutes(61)));
        case.poll(&[], minutes(61), PollEnd::Unreachable);
        assert!(case.world.state.unreachable.as_ref().unwrap().told_at.is_some());
        assert_eq!(case.retries.next(), Some(minutes(66)));
    }

    #[test]
    fn a_source_whose_patience_is_over_by_one_failed_poll_is_polled_again_soon() {
        let mut case = Case::new();
        let due = case.both();
        // The process was stopped within the exchange, for three hours.
        case.note(&due, minutes(0), minutes(180), PollEnd::Unreachable);
        assert_eq!(case.retries.next(), Some(minutes(180)));
        case.hold(minutes(180));
        assert_eq!(case.retries.next(), Some(minutes(180) + SECOND_POLL));
        case.poll(&[], minutes(181), PollEnd::Unreachable);
        assert!(case.world.state.unreachable.as_ref().unwrap().told_at.is_some());
        assert_eq!(case.retries.next(), Some(minutes(186)));
    }

    #[test]
    fn a_clock_set_back_makes_no_end_of_patience_wait_longer_than_patience_from_now() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        let day = 24 * 60;
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(day), PollEnd::Seen);
        // Set back while nothing was going on: the one that waits for a time is polled now, and waits anew.
        assert!(case.retries.take(minutes(0)).is_empty());
        let due = case.retries.take_all();
        assert_eq!(due, BTreeSet::from([seldom.clone()]));
        case.note(&due, minutes(0), minutes(0), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(60)));
        // Set back within a poll.
        let due = case.both();
        let mut case = Case::new();
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.note(&due, minutes(day), minutes(0), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(60)));
    }

    #[test]
    fn the_end_of_patience_with_a_session_is_looked_at_whatever_its_schedule() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(60)));
        assert_eq!(case.poll(&[&often], minutes(59), PollEnd::Seen), BTreeSet::from([often.clone()]), "not before");
        // It ended while a poll at the other was under way: right after, and not next year.
        let due = BTreeSet::from([often.clone()]);
        case.note(&due, minutes(59), minutes(62), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(62)));
        case.note(&due, minutes(61), minutes(63), PollEnd::Seen);
        assert_eq!(case.retries.next(), Some(minutes(63)));
        assert_eq!(case.poll(&[], minutes(63), PollEnd::Seen), BTreeSet::from([seldom]));
        assert!(case.world.state.incidents().all(|incident| incident.told_at.is_some()));
        assert_eq!(case.retries.next(), None);
    }

    #[test]
    fn a_poll_that_had_its_chance_and_told_nobody_is_not_asked_for_again_and_again() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        let due = case.both();
        // As if it had been decided to tell nobody.
        case.retries.note(
            FinishedPoll { due: &due, began: minutes(60), ended: minutes(60), came: PollEnd::Seen },
            &case.world.plan,
            &case.world.state,
        );
        assert_eq!(case.retries.next(), None);
    }

    #[test]
    fn a_session_that_went_missing_before_patience_ended_is_looked_at_once_and_not_beside_every_other() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        let rows = case.world.rows.clone();
        case.world.rows.retain(|(session, _)| session != "2");
        case.poll(&[&often, &seldom], minutes(30), PollEnd::Seen);
        let untold = |case: &Case| case.world.state.incidents().filter(|incident| incident.told_at.is_none()).count();
        assert_eq!(untold(&case), 1, "of the missing session people were told");
        assert_eq!(case.retries.next(), Some(minutes(60)));
        assert_eq!(case.poll(&[&often], minutes(60), PollEnd::Seen), case.both());
        assert_eq!(case.retries.next(), None);
        for minute in 61..70 {
            // A poll that failed is owed, and not to those that had their chance.
            let (made, next) =
                if minute == 65 { (PollEnd::Unreachable, Some(minutes(70))) } else { (PollEnd::Seen, None) };
            assert_eq!(case.poll(&[&often], minutes(minute), made), BTreeSet::from([often.clone()]));
            assert_eq!(case.retries.next(), next);
        }
        // It is back, and as unreadable as before: the poll that sees it tells.
        case.world.rows = rows;
        case.poll(&[&seldom], minutes(70), PollEnd::Seen);
        assert_eq!(untold(&case), 0);
        assert!(case.retries.had_chance.is_empty());
    }

    #[test]
    fn grace_period_that_ended_while_the_store_took_nothing_waits_for_the_store() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &RawValue::text("perhaps"));
        case.poll(&[&often, &seldom], minutes(0), PollEnd::Seen);
        let due = case.poll(&[&often], minutes(60), PollEnd::NotRecorded);
        assert_eq!(due, case.both());
        assert_eq!(case.retries.next(), Some(minutes(60) + TimeDelta::seconds(30)));
        assert_eq!(case.poll(&[], minutes(61), PollEnd::Seen), case.both());
        assert!(case.world.state.incidents().all(|incident| incident.told_at.is_some()));
    }
}
