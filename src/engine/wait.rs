//! Waits for a time by the clock, beside other events.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// Longest sleep: a clock that is set, or a machine that wakes up, is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Sleeps until `at` by `clock`, in pieces, so that a clock that is set is noticed; without `at`, for ever. If the clock was set
/// back it returns at once, because `at` was computed while the clock was ahead and the caller must compute it again.
pub async fn until(at: Option<DateTime<Utc>>, clock: &dyn Clock) {
    let Some(at) = at else { return std::future::pending().await };
    let mut before = clock.now();
    loop {
        let now = clock.now();
        let left = (at - now).to_std().unwrap_or_default();
        if left.is_zero() || now < before {
            return;
        }
        before = now;
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tokio::time::Instant;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::world::start;

    /// How long a wait of one hour lasts if the clock moves by `jump` after ten seconds.
    async fn waited(jump: TimeDelta) -> Duration {
        let clock = ManualClock::new(start());
        let began = Instant::now();
        let jumps = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            clock.advance(jump);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = until(Some(start() + TimeDelta::hours(1)), &clock) => {}
            () = jumps => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_either_way_ends_the_wait_within_half_a_minute() {
        for jump in [TimeDelta::hours(2), TimeDelta::days(4_000), TimeDelta::hours(-2), TimeDelta::days(-20_000)] {
            let waited = waited(jump).await;
            assert!(waited <= LONGEST_SLEEP, "{jump}: {waited:?}");
        }
    }
}
