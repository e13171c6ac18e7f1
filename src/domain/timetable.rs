//! The next due time of each schedule of each source, advanced as time passes.
//!
//! Properties:
//! - A schedule is due once for each of its times, also if the clock is corrected by a little around one.
//! - Times that passed unnoticed (a machine asleep, a busy process) fall due once, at the next tick.
//! - A clock that is set back does not silence a schedule.
//! - Sources do not all fall due in the same instant.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::name::Name;
use super::plan::SourcePlan;
use super::schedule::{Schedule, ScheduleKey};
use super::state::SourceState;

/// Longest shift of a source against its schedule; shorter for a quick schedule.
const WIDEST_SHIFT: TimeDelta = TimeDelta::seconds(30);

/// A clock that goes back by less is taken as corrected: times that fired within it do not fire again.
const SET_BACK: TimeDelta = TimeDelta::seconds(10);

/// A trigger that is later than this is reported as late. Ticks come once a second.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(10);

/// See the module.
#[derive(Debug)]
pub struct Timetable {
    entries: Vec<DueEntry>,
    /// The last tick, to see a clock that was set back.
    ticked: DateTime<Utc>,
}

#[derive(Debug)]
struct DueEntry {
    source: Name,
    schedule_key: ScheduleKey,
    schedule: Schedule,
    shift: TimeDelta,
    next: Option<DateTime<Utc>>,
    /// The time of the schedule that it was last due for.
    fired: Option<DateTime<Utc>>,
}

impl DueEntry {
    fn new(source: &Name, schedule: &Schedule, now: DateTime<Utc>) -> Self {
        let shift = shift(source, schedule.gap_after(now));
        Self {
            source: source.clone(),
            schedule_key: schedule.key(),
            schedule: schedule.clone(),
            shift,
            next: next(schedule, shift, now),
            fired: None,
        }
    }

    /// Plans the next time from `now` on, or from the last one where the clock is only a little behind it.
    fn plan(&mut self, now: DateTime<Utc>) {
        let corrected = self.fired.filter(|fired| *fired > now && *fired - now < SET_BACK);
        self.next = next(&self.schedule, self.shift, corrected.unwrap_or(now));
    }
}

/// A schedule of a source that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    pub source: Name,
    pub schedule_key: ScheduleKey,
    /// Found much later than it was due: the process or the machine was asleep.
    pub late: bool,
}

impl Timetable {
    /// The timetable of all `plans` from `now` on.
    pub fn new<'a>(plans: impl Iterator<Item = &'a SourcePlan>, now: DateTime<Utc>) -> Self {
        let mut timetable = Self { entries: Vec::new(), ticked: now };
        timetable.replace_plans(plans, now);
        timetable
    }

    /// Takes up other plans, after a reload. A schedule that stays keeps its times; one that is new to its source counts from
    /// `now`.
    pub fn replace_plans<'a>(&mut self, plans: impl Iterator<Item = &'a SourcePlan>, now: DateTime<Utc>) {
        let before = std::mem::take(&mut self.entries).into_iter();
        let mut before = before.map(|e| ((e.source.clone(), e.schedule_key.clone()), e)).collect::<HashMap<_, _>>();
        for plan in plans {
            let mut known = HashSet::new();
            for session in plan.sessions.values() {
                let key = session.schedule.key();
                if known.insert(key.clone()) {
                    let stays = before.remove(&(plan.name.clone(), key));
                    self.entries.push(stays.unwrap_or_else(|| DueEntry::new(&plan.name, &session.schedule, now)));
                }
            }
        }
    }

    /// The schedules that are due at `now`. Each gets its next due time.
    pub fn take_due(&mut self, now: DateTime<Utc>) -> Vec<Trigger> {
        let set_back = now < self.ticked;
        self.ticked = now;
        let mut due = Vec::new();
        for entry in &mut self.entries {
            match entry.next {
                Some(at) if at <= now => {
                    let (source, schedule_key) = (entry.source.clone(), entry.schedule_key.clone());
                    due.push(Trigger { source, schedule_key, late: now - at > NOTICEABLE });
                    entry.fired = Some(at);
                    entry.plan(now);
                }
                // This due time comes from a clock that was ahead: compute it again, so that the schedule does not wait for it.
                _ if set_back => entry.plan(now),
                _ => {}
            }
        }
        due
    }

    /// When each schedule is due next.
    pub fn upcoming(&self) -> impl Iterator<Item = (&Name, &ScheduleKey, DateTime<Utc>)> {
        self.entries.iter().filter_map(|entry| Some((&entry.source, &entry.schedule_key, entry.next?)))
    }
}

/// How many schedules of a source were due while the process did not run: since it last polled the source, and before it
/// started at `now`. A schedule that no poll has been made for yet was not due, and one whose last poll failed was polled.
pub fn missed(plan: &SourcePlan, state: &SourceState, now: DateTime<Utc>) -> u64 {
    let schedules = plan.sessions.values().map(|session| (session.schedule.key(), &session.schedule));
    let missed = |(schedule_key, schedule): &(ScheduleKey, &Schedule)| {
        let polled = state.schedules.get(schedule_key).copied().max(state.record.last_poll);
        let known = polled.filter(|_| state.schedules.contains_key(schedule_key));
        let shift = shift(&plan.name, schedule.gap_after(now));
        known.and_then(|polled| next(schedule, shift, polled)).is_some_and(|due| due < now)
    };
    schedules.collect::<BTreeMap<_, _>>().into_iter().filter(missed).count() as u64
}

fn next(schedule: &Schedule, shift: TimeDelta, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    schedule.next_after(now - shift).map(|at| at + shift)
}

/// The shift of a source, always the same for one gap: up to a tenth of the gap between two runs, in whole seconds.
fn shift(source: &Name, gap: TimeDelta) -> TimeDelta {
    let widest = (gap / 10).min(WIDEST_SHIFT).num_seconds().unsigned_abs();
    // FNV-1a: stable over versions of the compiler, unlike the standard hasher.
    let hash = source
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    TimeDelta::seconds(i64::try_from(hash % (widest + 1)).unwrap_or_default())
}

#[cfg(test)]
mod jumps;
#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;
    use crate::domain::world::{World, id, name, start};

    pub(super) fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    pub(super) fn plan(source: &str, expressions: &[(&str, &str)]) -> SourcePlan {
        let mut plan = World::new().plan;
        plan.name = name(source);
        let template = plan.sessions.remove(&id("1")).unwrap();
        plan.sessions.clear();
        for (n, (expression, zone)) in expressions.iter().enumerate() {
            let mut session = template.clone();
            session.key.id = id(&n.to_string());
            session.schedule = Schedule::parse(expression, zone.parse().unwrap(), start()).unwrap();
            plan.sessions.insert(session.key.id.clone(), session);
        }
        plan
    }

    #[test]
    fn each_time_of_a_schedule_is_due_once() {
        let plan = plan("a", &[("*/5 * * * *", "UTC"), ("*/5 * * * *", "UTC"), ("0 * * * *", "UTC")]);
        let mut timetable = Timetable::new(std::iter::once(&plan), start());
        let mut due = std::collections::HashMap::<String, u32>::new();
        for second in 1..=7200 {
            for trigger in timetable.take_due(start() + TimeDelta::seconds(second)) {
                *due.entry(trigger.schedule_key.as_str().to_owned()).or_default() += 1;
                assert!(!trigger.late);
            }
        }
        assert!((23..=24).contains(&due["*/5 * * * * UTC"]), "{due:?}");
        assert!((1..=2).contains(&due["0 * * * * UTC"]), "{due:?}");
    }

    #[test]
    fn times_that_passed_while_asleep_fall_due_once_and_late() {
        let plan = plan("a", &[("*/5 * * * *", "UTC")]);
        let mut timetable = Timetable::new(std::iter::once(&plan), start());
        let due = timetable.take_due(start() + TimeDelta::hours(9));
        assert_eq!(due.len(), 1);
        assert!(due[0].late);
        assert!(timetable.take_due(start() + TimeDelta::hours(9) + TimeDelta::seconds(1)).is_empty());
    }

    #[test]
    fn a_clock_set_back_does_not_silence_a_schedule() {
        let plan = plan("a", &[("*/5 * * * *", "UTC")]);
        let mut timetable = Timetable::new(std::iter::once(&plan), start());
        timetable.take_due(start() + TimeDelta::days(30));
        let mut due = 0;
        for minute in 0..60 {
            due += timetable.take_due(start() + TimeDelta::minutes(minute)).len();
        }
        assert!(due >= 11, "{due}");
    }

    #[test]
    fn a_clock_that_is_corrected_around_a_time_fires_once_for_it() {
        for (expression, step) in
            [("*/5 * * * *", 100), ("*/5 * * * *", 9_000), ("* * * * * *", 400), ("* * * * * *", 3_500)]
        {
            let plan = plan("a", &[(expression, "UTC")]);
            let mut timetable = Timetable::new(std::iter::once(&plan), start());
            let at = timetable.upcoming().next().unwrap().2;
            assert_eq!(timetable.take_due(at + TimeDelta::milliseconds(50)).len(), 1);
            let back = at + TimeDelta::milliseconds(50 - step);
            let mut due = 0;
            for passed in (0..=step - 50).step_by(50) {
                due += timetable.take_due(back + TimeDelta::milliseconds(passed)).len();
            }
            assert_eq!(due, 0, "{expression} {step}");
            let next = timetable.upcoming().next().unwrap().2;
            assert!(next > at);
            assert_eq!(timetable.take_due(next).len(), 1, "{expression} {step}");
        }
    }

    /// The times at which a schedule is due, in its zone, by a clock that ticks every second or, under load, every few.
    fn calls(expression: &str, zone: &str, from: &str, hours: i64) -> Vec<DateTime<chrono_tz::Tz>> {
        let plan = plan("erp", &[(expression, zone)]);
        let mut timetable = Timetable::new(std::iter::once(&plan), utc(from));
        let shift = timetable.entries[0].shift;
        let mut calls = Vec::new();
        let mut second = 0;
        while second < hours * 3600 {
            second += 1 + second % 3;
            let now = utc(from) + TimeDelta::seconds(second);
            for trigger in timetable.take_due(now) {
                assert!(!trigger.late, "{expression} in {zone} at {now}");
                calls.push((now - shift).with_timezone(&zone.parse().unwrap()));
            }
        }
        calls
    }

    #[test]
    fn over_both_clock_changes_a_daily_schedule_is_due_once_a_day_at_its_local_time() {
        for (zone, from) in [
            ("Europe/London", "2026-03-28T00:00:00Z"),
            ("Europe/London", "2026-10-24T00:00:00Z"),
            ("America/New_York", "2026-03-07T05:00:00Z"),
            ("America/New_York", "2026-10-31T04:00:00Z"),
        ] {
            let daily = calls("0 9 * * *", zone, from, 70);
            let local = daily.iter().map(|at| at.format("%H:%M").to_string()).collect::<Vec<_>>();
            assert_eq!(local, ["09:00", "09:00", "09:00"], "{zone} from {from}");
            let even = calls("*/5 * * * *", zone, from, 48);
            assert_eq!(even.len(), 48 * 12, "{zone} from {from}");
            let gap =
                |pair: &[DateTime<chrono_tz::Tz>]| (pair[1] - pair[0] - TimeDelta::minutes(5)).num_seconds().abs();
            assert!(even.windows(2).all(|pair| gap(pair) <= 3), "{zone} from {from}");
        }
        // 01:30 comes twice in autumn and is due once; 02:30 never comes in spring and is due right after.
        let fall = calls("30 1 * * *", "America/New_York", "2026-10-31T04:00:00Z", 50);
        assert_eq!(fall.len(), 2, "{fall:?}");
        let spring = calls("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 30);
        let spring = spring.iter().map(|at| at.format("%d %H:%M %z").to_string()).collect::<Vec<_>>();
        assert_eq!(spring, ["08 03:00 -0400"]);
    }

    #[test]
    fn sources_are_spread_and_quick_schedules_are_not_shifted() {
        let names = (0..50).map(|n| name(&format!("erp-{n}"))).collect::<Vec<_>>();
        let shifts = names.iter().map(|n| shift(n, TimeDelta::minutes(5))).collect::<std::collections::BTreeSet<_>>();
        assert!(shifts.len() > 15 && shifts.iter().all(|s| *s <= WIDEST_SHIFT), "{shifts:?}");
        assert!(names.iter().all(|n| shift(n, TimeDelta::seconds(5)).is_zero()));
    }

    /// All times at which `expression` is due in `zone`, ticking every 20 seconds.
    fn times(expression: &str, zone: &str, from: &str, hours: i64) -> Vec<String> {
        let schedule = Schedule::parse(expression, zone.parse().unwrap(), utc(from)).unwrap();
        let end = utc(from) + TimeDelta::hours(hours);
        let mut at = utc(from);
        let mut times = Vec::new();
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= end) {
            times.push(next.with_timezone(&schedule.zone()).format("%m-%d %H:%M %z").to_string());
            at = next;
        }
        times
    }

    #[test]
    fn a_local_schedule_is_right_on_both_sides_of_both_clock_changes() {
        assert_eq!(
            times("0 9 * * *", "Europe/London", "2026-03-28T00:00:00Z", 60),
            ["03-28 09:00 +0000", "03-29 09:00 +0100", "03-30 09:00 +0100"]
        );
        assert_eq!(
            times("0 9 * * *", "Europe/London", "2026-10-24T00:00:00Z", 60),
            ["10-24 09:00 +0100", "10-25 09:00 +0000", "10-26 09:00 +0000"]
        );
        assert_eq!(
            times("0 9 * * *", "America/New_York", "2026-03-07T00:00:00Z", 64),
            ["03-07 09:00 -0500", "03-08 09:00 -0400", "03-09 09:00 -0400"]
        );
        assert_eq!(
            times("0 9 * * *", "America/New_York", "2026-10-31T00:00:00Z", 64),
            ["10-31 09:00 -0400", "11-01 09:00 -0500", "11-02 09:00 -0500"]
        );
    }

    #[test]
    fn an_even_schedule_skips_and_repeats_nothing_when_clocks_change() {
        for (zone, from) in [
            ("Europe/London", "2026-03-29T00:00:00Z"),
            ("Europe/London", "2026-10-25T00:00:00Z"),
            ("America/New_York", "2026-03-08T05:00:00Z"),
            ("America/New_York", "2026-11-01T04:00:00Z"),
        ] {
            let schedule = Schedule::parse("*/5 * * * *", zone.parse().unwrap(), utc(from)).unwrap();
            let mut at = utc(from);
            for _ in 0..60 {
                let next = schedule.next_after(at).unwrap();
                assert_eq!(next - at, TimeDelta::minutes(5), "{zone} after {at}");
                at = next;
            }
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_due_once_and_one_that_never_comes_is_due_right_after() {
        let fall = times("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", 40);
        assert_eq!(fall, ["10-25 01:30 +0100", "10-26 01:30 +0000"]);
        let spring = times("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", 40);
        assert_eq!(spring, ["03-29 02:00 +0100", "03-30 01:30 +0100"]);
    }

    #[test]
    fn rare_schedules_fire_when_their_day_comes() {
        assert_eq!(times("0 12 29 2 *", "UTC", "2026-01-01T00:00:00Z", 24 * 365 * 3), ["02-29 12:00 +0000"]);
        assert_eq!(times("0 0 1 1 *", "UTC", "2026-06-01T00:00:00Z", 24 * 365), ["01-01 00:00 +0000"]);
        let never = Schedule::parse("0 0 30 2 *", chrono_tz::UTC, Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap());
        assert_eq!(never.unwrap_err(), crate::domain::schedule::ScheduleError::Never);
    }
}
