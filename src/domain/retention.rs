//! The clock that retention goes by. What is deleted cannot be brought back, so a wall clock that jumps ahead is not believed
//! until it has proved steady.
//!
//! Properties:
//! - It advances by time in which the process ran, measured by the monotonic clock, and is never ahead of the wall clock.
//! - Where the wall clock is ahead of it, be it after downtime or by a jump, it catches up at once when the wall clock has kept
//!   the same lead for a day of running, or where the operator trusts the clock.
//! - A wall clock that is set back takes it along: that deletes less, never more.
//!
//! Rows that were written while the wall clock was far behind look old. `Store::prune` removes nothing until retention has
//! passed the beginning of the store, so such rows are not taken for history that is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long the process must run beside a wall clock that is ahead before retention believes it.
const CONFIRMED_AFTER: Duration = Duration::from_hours(24);

/// How much the lead of the wall clock may change meanwhile. A clock that is only slewed changes less in a day.
const STEADY: TimeDelta = TimeDelta::minutes(1);

/// See the module.
#[derive(Debug, Clone)]
pub struct RetentionClock {
    at: DateTime<Utc>,
    /// By how much the wall clock was ahead when it was last found to have jumped.
    lead: TimeDelta,
    /// How long the process has run since then.
    steady: Duration,
}

impl RetentionClock {
    /// At the start of the process. `seen`: what the clock showed when a process last ran. `trusted`: the operator says that the
    /// wall clock is right.
    pub fn new(seen: Option<DateTime<Utc>>, now: DateTime<Utc>, trusted: bool) -> Self {
        let at = seen.filter(|_| !trusted).map_or(now, |seen| seen.min(now));
        Self { at, lead: now - at, steady: Duration::ZERO }
    }

    /// Advances the clock after the process has run for `elapsed` by the monotonic clock.
    pub fn advance(&mut self, elapsed: Duration, now: DateTime<Utc>) {
        let ran = TimeDelta::from_std(elapsed).ok().and_then(|elapsed| self.at.checked_add_signed(elapsed));
        self.at = ran.unwrap_or(now).min(now);
        self.steady += elapsed;
        let lead = now - self.at;
        if (lead - self.lead).abs() > STEADY {
            (self.lead, self.steady) = (lead, Duration::ZERO);
        }
        if self.steady >= CONFIRMED_AFTER {
            (self.at, self.lead, self.steady) = (now, TimeDelta::zero(), Duration::ZERO);
        }
    }

    /// The time that retention may reckon from.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// How far the wall clock is ahead of the trusted time.
    pub fn lead(&self) -> TimeDelta {
        self.lead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::world::start;

    const ROUND: Duration = Duration::from_secs(15);
    const YEARS: TimeDelta = TimeDelta::days(4 * 365);

    /// Runs for `hours` beside a wall clock that goes right from `now` on; returns the time at the end.
    fn run(clock: &mut RetentionClock, now: DateTime<Utc>, hours: u64) -> DateTime<Utc> {
        let rounds = hours * 240;
        for round in 1..=rounds {
            clock.advance(ROUND, now + TimeDelta::seconds(i64::try_from(round * 15).unwrap()));
        }
        now + TimeDelta::hours(i64::try_from(hours).unwrap())
    }

    #[test]
    fn a_start_years_ahead_is_believed_after_a_day_of_running_and_no_sooner() {
        let mut clock = RetentionClock::new(Some(start()), start() + YEARS, false);
        let now = run(&mut clock, start() + YEARS, 23);
        assert_eq!(clock.at(), start() + TimeDelta::hours(23));
        let now = run(&mut clock, now, 1);
        assert_eq!((clock.at(), clock.lead()), (now, TimeDelta::zero()));
    }

    #[test]
    fn starts_that_are_cut_short_never_add_up_to_a_day() {
        let mut seen = start();
        for _ in 0..10 {
            let mut clock = RetentionClock::new(Some(seen), start() + YEARS, false);
            run(&mut clock, start() + YEARS, 12);
            seen = clock.at();
        }
        assert_eq!(seen, start() + TimeDelta::hours(120));
    }

    #[test]
    fn a_clock_that_jumps_again_begins_another_day() {
        let mut clock = RetentionClock::new(Some(start()), start(), false);
        let now = run(&mut clock, start() + YEARS, 23);
        let now = run(&mut clock, now + TimeDelta::hours(1), 23);
        assert_eq!(clock.at(), start() + TimeDelta::hours(46));
        run(&mut clock, now, 2);
        assert!(clock.lead().is_zero());
    }

    #[test]
    fn an_operator_who_trusts_the_clock_need_not_wait_and_a_clock_set_back_is_followed_at_once() {
        let mut clock = RetentionClock::new(Some(start()), start() + YEARS, true);
        assert_eq!(clock.at(), start() + YEARS);
        clock.advance(ROUND, start());
        assert_eq!(clock.at(), start());
        assert_eq!(RetentionClock::new(Some(start() + YEARS), start(), false).at(), start());
        assert_eq!(RetentionClock::new(None, start(), false).at(), start(), "a new store has nothing to delete");
    }

    /// A stretch of running, after a jump of the wall clock, and perhaps a restart.
    fn stretches() -> impl Strategy<Value = Vec<(i64, u64, bool)>> {
        let jump = prop_oneof![Just(0), -3_600i64..3_600, -100_000_000i64..100_000_000];
        proptest::collection::vec((jump, 0u64..20 * 3_600, any::<bool>()), 1..12)
    }

    proptest! {
        #[test]
        fn without_a_day_of_steady_running_it_advances_by_no_more_than_the_process_ran(history in stretches()) {
            let mut wall = start();
            let mut clock = RetentionClock::new(Some(start()), wall, false);
            for (jump, runs, restart) in history {
                // Within the tolerance two stretches are one.
                let jump = if jump.abs() > 60 { jump } else { 61 };
                wall += TimeDelta::seconds(jump);
                if restart {
                    clock = RetentionClock::new(Some(clock.at()), wall, false);
                }
                let before = clock.at();
                for _ in 0..runs / 15 {
                    wall += TimeDelta::seconds(15);
                    clock.advance(ROUND, wall);
                    prop_assert!(clock.at() <= wall, "it is ahead of the wall clock");
                }
                let ran = TimeDelta::seconds(i64::try_from(runs).unwrap());
                prop_assert!(clock.at() - before <= ran, "{} in {ran}", clock.at() - before);
            }
        }
    }
}
