//! Waiting for a time by the clock, for everything that waits for more than one thing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// Longest sleep: a clock that is set, or a machine that wakes up, is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Sleeps until `at` by `clock`, in pieces, so that a clock that is set is noticed; for ever without a time. Where the clock
/// was set back it returns at once: `at` was reckoned by a clock that was ahead, and is to be reckoned anew.
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
