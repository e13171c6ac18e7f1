//! When a source has to be looked at besides its schedules: looks that came to nothing are owed, and patience that ends with
//! what cannot be seen has to be told.
//!
//! Properties:
//! - Whatever was due and not seen stays owed until a look has seen it; one question serves a whole source, so the next look
//!   takes all that is owed with it, whoever it is for.
//! - Patience that ended while a look was under way, or of a rhythm that the look was not for, is looked at right after.
//! - A look that began when patience had ended has had its chance to tell: it is not asked for again, whatever else is looked at
//!   then, so a look that follows at once is always one that can come to something. A session that has gone missing meanwhile
//!   is one of which it may tell nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::incident::{ENOUGH_POLLS, Incident, IncidentKind};
use super::plan::SourcePlan;
use super::schedule::Rhythm;
use super::state::SourceState;

/// A look that failed is repeated after this long, if its schedule does not come round sooner: a session that is looked at once
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

/// What one look came to, as far as another one hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    Seen,
    Unreachable,
    /// This machine could not ask.
    NotAsked,
    NotRecorded,
}

/// When a look was made, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    pub due: &'a BTreeSet<Rhythm>,
    pub began: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub came: Came,
}

/// See the module. One for each source.
#[derive(Debug, Default)]
pub struct Owed {
    rhythms: BTreeSet<Rhythm>,
    /// When what is owed is looked at, if nothing else is before.
    retry: Option<DateTime<Utc>>,
    /// When patience ends with sessions of a rhythm.
    impatient: BTreeMap<Rhythm, DateTime<Utc>>,
    /// Incidents of sessions that were looked at after patience had ended, and still are untold.
    had_chance: BTreeSet<Uuid>,
}

impl Owed {
    /// When the next look is to be made; `None` where the schedules are enough.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.impatient.values().copied().chain(self.retry).min()
    }

    /// What a look that begins `now` is to be made for, besides what is due by its schedule.
    pub fn take(&mut self, now: DateTime<Utc>) -> BTreeSet<Rhythm> {
        let impatient = self.impatient.extract_if(.., |_, end| *end <= now).map(|(rhythm, _)| rhythm);
        let rhythms = std::mem::take(&mut self.rhythms).into_iter().chain(impatient).collect();
        self.retry = None;
        rhythms
    }

    /// The same where the clock was set back: everything that waits for a time, which was reckoned by a clock that was ahead.
    pub fn take_all(&mut self) -> BTreeSet<Rhythm> {
        self.take(DateTime::<Utc>::MAX_UTC)
    }

    /// Notes a look. `state` is what is known of the source after it.
    pub fn note(&mut self, look: Made<'_>, plan: &SourcePlan, state: &SourceState) {
        let pace = match look.came {
            Came::Seen => None,
            Came::Unreachable => Some(RETRY),
            Came::NotAsked => Some(ASK_RETRY),
            Came::NotRecorded => Some(RECORD_RETRY),
        };
        if let Some(pace) = pace {
            self.rhythms.extend(look.due.iter().cloned());
            self.retry = Some(look.ended + pace);
        }
        self.impatient.clear();
        let had_chance = std::mem::take(&mut self.had_chance);
        // A clock that was set back within the look was ahead when it began.
        let began = look.began.min(look.ended);
        for (incident, end) in untold(plan, state, look.ended) {
            let rhythm = match incident.thing.session() {
                // The source: whatever is looked at tells.
                None => None,
                Some(id) => match plan.sessions.get(id) {
                    Some(session) => Some(session.schedule.rhythm()),
                    None => continue,
                },
            };
            let over = end <= began;
            let seen = look.came == Came::Seen && rhythm.as_ref().is_some_and(|rhythm| look.due.contains(rhythm));
            if over && (seen || had_chance.contains(&incident.id)) {
                self.had_chance.insert(incident.id);
                continue;
            }
            match (rhythm, look.came) {
                (None, _) if !over => self.retry = self.retry.map(|retry| retry.min(end.max(look.ended))),
                (Some(rhythm), _) if !over => self.ends(rhythm, end.max(look.ended)),
                (Some(rhythm), Came::Seen) => self.ends(rhythm, look.ended),
                (Some(rhythm), Came::Unreachable | Came::NotAsked | Came::NotRecorded) => {
                    _ = self.rhythms.insert(rhythm);
                }
                (None, _) if incident.failed_polls < ENOUGH_POLLS => {
                    self.retry = self.retry.map(|retry| retry.min(look.ended + SECOND_POLL));
                }
                (None, _) => {}
            }
        }
    }

    fn ends(&mut self, rhythm: Rhythm, at: DateTime<Utc>) {
        self.impatient.entry(rhythm).and_modify(|end| *end = at.min(*end)).or_insert(at);
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
    let patience = TimeDelta::from_std(plan.alerts.unreachable_after).ok();
    let waits = |incident: &&Incident| {
        matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable)
            && incident.severity >= plan.alerts.mail_from
            && incident.is_open()
            && incident.told_at.is_none()
    };
    let end = move |incident: &'a Incident| {
        Some((incident, incident.window.first_bad.min(now).checked_add_signed(patience?)?))
    };
    state.incidents().filter(waits).filter_map(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Due;
    use crate::domain::reading::Cell;
    use crate::domain::reconcile::SourceLook;
    use crate::domain::schedule::Schedule;
    use crate::domain::sighting::Sighting;
    use crate::domain::world::{World, id, start};

    /// Session 1 every minute, session 2 once a year.
    struct Case {
        world: World,
        owed: Owed,
        often: Rhythm,
        seldom: Rhythm,
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
            let rhythm = |id| world.plan.sessions[id].schedule.rhythm();
            let (often, seldom) = (rhythm(&often), rhythm(&seldom));
            Self { world, owed: Owed::default(), often, seldom }
        }

        /// A look at what is due by its schedule, and all that is owed: what it was made for.
        fn look(&mut self, scheduled: &[&Rhythm], began: DateTime<Utc>, came: Came) -> BTreeSet<Rhythm> {
            let mut due = self.owed.take(began);
            due.extend(scheduled.iter().copied().cloned());
            self.note(&due, began, began, came);
            due
        }

        fn note(&mut self, due: &BTreeSet<Rhythm>, began: DateTime<Utc>, ended: DateTime<Utc>, came: Came) {
            self.world.now = began;
            let look = match came {
                Came::Seen => {
                    let sighting = Sighting::read(&self.world.answer(), &self.world.plan.mapping, began);
                    Some(SourceLook::Answer(sighting.unwrap()))
                }
                Came::Unreachable => Some(SourceLook::Unreachable(String::from("refused"))),
                Came::NotAsked | Came::NotRecorded => None,
            };
            if let Some(look) = look {
                let decision = self.world.decide(&look, &Due::Rhythms(due.clone()));
                self.world.state.apply(decision.delta);
            }
            self.owed.note(Made { due, began, ended, came }, &self.world.plan, &self.world.state);
        }

        /// All that is owed meets a source that is held back.
        fn hold(&mut self, at: DateTime<Utc>) {
            let due = self.owed.take(at);
            self.world.now = at;
            let decision = self.world.decide(&SourceLook::Held(String::from("refused")), &Due::Rhythms(due.clone()));
            self.world.state.apply(decision.delta);
            let made = Made { due: &due, began: at, ended: at, came: Came::Unreachable };
            self.owed.note(made, &self.world.plan, &self.world.state);
        }

        fn both(&self) -> BTreeSet<Rhythm> {
            BTreeSet::from([self.often.clone(), self.seldom.clone()])
        }
    }

    #[test]
    fn a_look_that_failed_is_owed_to_every_rhythm_that_it_was_for() {
        let paces = [
            (Came::Unreachable, TimeDelta::minutes(5)),
            (Came::NotAsked, TimeDelta::seconds(10)),
            (Came::NotRecorded, TimeDelta::seconds(30)),
        ];
        for (came, pace) in paces {
            let mut case = Case::new();
            let (often, seldom) = (case.often.clone(), case.seldom.clone());
            case.look(&[&often, &seldom], minutes(0), came);
            assert_eq!(case.owed.next(), Some(minutes(0) + pace));
            // The schedule of the one comes round first; the other is seen with it, and not in a year.
            let seen = case.look(&[&often], minutes(0) + TimeDelta::seconds(5), Came::Seen);
            assert_eq!(seen, case.both());
            assert_eq!(case.owed.next(), None);
            assert!(case.owed.take(minutes(600)).is_empty(), "a debt is paid once");
        }
    }

    #[test]
    fn what_keeps_failing_stays_owed() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.plan.alerts.unreachable_after = std::time::Duration::MAX;
        case.look(&[&seldom], minutes(0), Came::Unreachable);
        for minute in 1..20 {
            let due = case.look(&[&often], minutes(minute), Came::Unreachable);
            assert_eq!(due, case.both());
            assert_eq!(case.owed.next(), Some(minutes(minute + 5)));
        }
    }

    #[test]
    fn the_end_of_patience_with_a_source_is_not_waited_past() {
        let mut case = Case::new();
        let often = case.often.clone();
        case.look(&[&often], minutes(0), Came::Unreachable);
        case.look(&[&often], minutes(57), Came::Unreachable);
        assert_eq!(case.owed.next(), Some(minutes(60)));
        // A look that began before the end and was over after it could not tell; the next one can.
        let due = BTreeSet::from([often]);
        case.note(&due, minutes(59), minutes(61), Came::Unreachable);
        assert_eq!(case.owed.next(), Some(minutes(61)));
        case.look(&[], minutes(61), Came::Unreachable);
        assert!(case.world.state.unreachable.as_ref().unwrap().told_at.is_some());
        assert_eq!(case.owed.next(), Some(minutes(66)));
    }

    #[test]
    fn a_source_whose_patience_is_over_by_one_failed_poll_is_polled_again_soon() {
        let mut case = Case::new();
        let due = case.both();
        // The process was stopped within the exchange, for three hours.
        case.note(&due, minutes(0), minutes(180), Came::Unreachable);
        assert_eq!(case.owed.next(), Some(minutes(180)));
        case.hold(minutes(180));
        assert_eq!(case.owed.next(), Some(minutes(180) + SECOND_POLL));
        case.look(&[], minutes(181), Came::Unreachable);
        assert!(case.world.state.unreachable.as_ref().unwrap().told_at.is_some());
        assert_eq!(case.owed.next(), Some(minutes(186)));
    }

    #[test]
    fn a_clock_set_back_makes_no_end_of_patience_wait_longer_than_patience_from_now() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        let day = 24 * 60;
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.look(&[&often, &seldom], minutes(day), Came::Seen);
        // Set back while nothing was going on: the one that waits for a time is looked at now, and waits anew.
        assert!(case.owed.take(minutes(0)).is_empty());
        let due = case.owed.take_all();
        assert_eq!(due, BTreeSet::from([seldom.clone()]));
        case.note(&due, minutes(0), minutes(0), Came::Seen);
        assert_eq!(case.owed.next(), Some(minutes(60)));
        // Set back within a look.
        let due = case.both();
        let mut case = Case::new();
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.note(&due, minutes(day), minutes(0), Came::Seen);
        assert_eq!(case.owed.next(), Some(minutes(60)));
    }

    #[test]
    fn the_end_of_patience_with_a_session_is_looked_at_whatever_its_schedule() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.look(&[&often, &seldom], minutes(0), Came::Seen);
        assert_eq!(case.owed.next(), Some(minutes(60)));
        assert_eq!(case.look(&[&often], minutes(59), Came::Seen), BTreeSet::from([often.clone()]), "not before");
        // It ended while a look at the other was under way: right after, and not next year.
        let due = BTreeSet::from([often.clone()]);
        case.note(&due, minutes(59), minutes(62), Came::Seen);
        assert_eq!(case.owed.next(), Some(minutes(62)));
        case.note(&due, minutes(61), minutes(63), Came::Seen);
        assert_eq!(case.owed.next(), Some(minutes(63)));
        assert_eq!(case.look(&[], minutes(63), Came::Seen), BTreeSet::from([seldom]));
        assert!(case.world.state.incidents().all(|incident| incident.told_at.is_some()));
        assert_eq!(case.owed.next(), None);
    }

    #[test]
    fn a_look_that_had_its_chance_and_told_nobody_is_not_asked_for_again_and_again() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.look(&[&often, &seldom], minutes(0), Came::Seen);
        let due = case.both();
        // As if it had been decided to tell nobody.
        case.owed.note(
            Made { due: &due, began: minutes(60), ended: minutes(60), came: Came::Seen },
            &case.world.plan,
            &case.world.state,
        );
        assert_eq!(case.owed.next(), None);
    }

    #[test]
    fn a_session_that_went_missing_before_patience_ended_is_looked_at_once_and_not_beside_every_other() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.look(&[&often, &seldom], minutes(0), Came::Seen);
        let rows = case.world.rows.clone();
        case.world.rows.retain(|(session, _)| session != "2");
        case.look(&[&often, &seldom], minutes(30), Came::Seen);
        let untold = |case: &Case| case.world.state.incidents().filter(|incident| incident.told_at.is_none()).count();
        assert_eq!(untold(&case), 1, "of the missing session people were told");
        assert_eq!(case.owed.next(), Some(minutes(60)));
        assert_eq!(case.look(&[&often], minutes(60), Came::Seen), case.both());
        assert_eq!(case.owed.next(), None);
        for minute in 61..70 {
            // A look that failed is owed, and not to those that had their chance.
            let (made, next) = if minute == 65 { (Came::Unreachable, Some(minutes(70))) } else { (Came::Seen, None) };
            assert_eq!(case.look(&[&often], minutes(minute), made), BTreeSet::from([often.clone()]));
            assert_eq!(case.owed.next(), next);
        }
        // It is back, and as unreadable as before: the look that sees it tells.
        case.world.rows = rows;
        case.look(&[&seldom], minutes(70), Came::Seen);
        assert_eq!(untold(&case), 0);
        assert!(case.owed.had_chance.is_empty());
    }

    #[test]
    fn patience_that_ended_while_the_store_took_nothing_waits_for_the_store() {
        let mut case = Case::new();
        let (often, seldom) = (case.often.clone(), case.seldom.clone());
        case.world.set("2", "export", &Cell::text("perhaps"));
        case.look(&[&often, &seldom], minutes(0), Came::Seen);
        let due = case.look(&[&often], minutes(60), Came::NotRecorded);
        assert_eq!(due, case.both());
        assert_eq!(case.owed.next(), Some(minutes(60) + TimeDelta::seconds(30)));
        assert_eq!(case.look(&[], minutes(61), Came::Seen), case.both());
        assert!(case.world.state.incidents().all(|incident| incident.told_at.is_some()));
    }
}
