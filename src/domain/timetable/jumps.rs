//! Generated jumps of the clock: days, years, to 1970, and corrections of seconds, between ticks that come by another clock.

use proptest::prelude::*;

use super::tests::{plan, utc};
use super::*;
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;
use crate::domain::world::{World, start};

/// Pairs of seconds: how long the clock goes right, and by how much it then jumps.
fn history() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let day = 86_400i64;
    let jump = prop_oneof![
        4 => -20i64..20,
        2 => -7_200i64..7_200,
        2 => -400 * day..400 * day,
        1 => -56 * 365 * day..60 * 365 * day,
    ];
    proptest::collection::vec((0i64..1_200, jump), 1..10)
}

proptest! {
    #[test]
    fn wherever_the_clock_goes_a_schedule_is_due_once_in_each_period_and_never_silent(
        history in history(),
        minutes in prop_oneof![Just(1i64), Just(5)],
        step in 1i64..4,
    ) {
        let expression = format!("*/{minutes} * * * *");
        let plan = plan("erp", &[(&expression, "Europe/London")]);
        let mut now = start();
        let mut timetable = Timetable::new(std::iter::once(&plan), now);
        // A period, and the correction within which a time does not fire again.
        let longest = TimeDelta::minutes(minutes) + SET_BACK + WIDEST_SHIFT;
        for (seconds, jump) in history {
            let mut calls = 0;
            for _ in 0..seconds / step {
                now += TimeDelta::seconds(step);
                let due = timetable.take_due(now);
                prop_assert!(due.len() <= 1);
                calls += due.len();
                let next = timetable.upcoming().next().map(|(_, _, at)| at).expect("it is always planned");
                prop_assert!(next > now && next - now <= longest, "at {now} the next is {next}");
            }
            let periods = usize::try_from(seconds / (minutes * 60)).unwrap();
            // One more for the time that the jump passed over, and one at either end.
            prop_assert!(calls <= periods + 2, "{calls} calls in {seconds} s");
            prop_assert!(calls + 1 >= periods, "{calls} calls in {seconds} s");
            now = (now + TimeDelta::seconds(jump)).max(DateTime::UNIX_EPOCH);
        }
    }
}

#[test]
fn a_clock_that_starts_far_ahead_and_is_set_right_goes_on_at_once() {
    for from in ["1970-01-01T00:00:01Z", "2199-12-31T23:59:59Z"] {
        for to in ["2026-11-23T09:00:00Z", "1970-01-01T00:00:10Z"] {
            let plan = plan("erp", &[("*/5 * * * *", "UTC"), ("0 9 * * MON", "Europe/London")]);
            let mut timetable = Timetable::new(std::iter::once(&plan), utc(from));
            timetable.take_due(utc(from) + TimeDelta::seconds(1));
            timetable.take_due(utc(to));
            for (_, schedule_key, at) in timetable.upcoming() {
                assert!(
                    at - utc(to) <= TimeDelta::days(7) + WIDEST_SHIFT,
                    "{} {from} {to}: {at}",
                    schedule_key.as_str()
                );
            }
            let first = |timetable: &Timetable| timetable.upcoming().map(|(_, _, at)| at).min().unwrap();
            assert!(first(&timetable) - utc(to) <= TimeDelta::minutes(5) + WIDEST_SHIFT);
            let at = first(&timetable);
            assert!(!timetable.take_due(at).is_empty());
        }
    }
}

/// Polls the source at `at`.
fn polled(world: &mut World, at: DateTime<Utc>) {
    world.now = at - TimeDelta::minutes(1);
    world.poll();
}

#[test]
fn a_restart_counts_only_schedules_that_passed_while_the_process_was_down() {
    let mut world = World::new();
    assert_eq!(missed(&world.plan, &world.state, start()), 0, "a new store");
    let shift = shift(&world.plan.name, TimeDelta::minutes(1));
    polled(&mut world, start() + shift + TimeDelta::seconds(1));
    let after = |seconds| missed(&world.plan, &world.state, start() + shift + TimeDelta::seconds(seconds));
    assert_eq!([after(2), after(59), after(60)], [0, 0, 0], "the next minute, shifted, has not passed");
    assert_eq!([after(61), after(86_400)], [1, 1], "missed runs count once a schedule");
    assert_eq!(after(-3_600), 0, "a clock set back has passed nothing");
}

#[test]
fn a_failed_poll_was_made_in_time_and_a_new_schedule_was_not_due_before() {
    let mut world = World::new();
    polled(&mut world, start());
    world.now = start() + TimeDelta::hours(1);
    world.poll_now(&PollOutcome::Unreachable(String::from("refused")));
    assert_eq!(missed(&world.plan, &world.state, world.now + TimeDelta::seconds(1)), 0);
    world.set("1", "export", &RawValue::Flag(false));
    polled(&mut world, start() + TimeDelta::hours(2));
    let session = world.plan.sessions.values_mut().next().unwrap();
    session.schedule = Schedule::parse("*/2 * * * *", chrono_tz::UTC, start()).unwrap();
    assert_eq!(missed(&world.plan, &world.state, start() + TimeDelta::hours(9)), 1, "only the one that was there");
}
