//! How long to wait before trying again.

use std::time::Duration;

use chrono::TimeDelta;

/// Doubling waits between a first and a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

/// The waits between attempts to send a notification.
pub const DELIVERY: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_mins(15) };

/// A notification that was tried for this long is given up. Only the time that the dispatcher ran counts: not sleep of the
/// machine, downtime of the program, or a clock that was set forward.
pub const DELIVERY_ENDS_AFTER: TimeDelta = TimeDelta::hours(72);

/// The longest wait that a server may ask for. Quotas of mail servers count by the day at most, so an honest server asks for no
/// more, and within [`DELIVERY_ENDS_AFTER`] there are still four attempts.
pub const DELIVERY_LONGEST_ASKED: Duration = Duration::from_hours(24);

/// The longest wait with jitter, unless a server asked for more. A notification that is due later than this without such a wish
/// was recorded or delayed by a clock that has been set back since.
pub const DELIVERY_LONGEST_WAIT: TimeDelta = TimeDelta::minutes(20);

impl Backoff {
    /// The wait after the `failures`th failure in a row (1 is the first).
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        self.first.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The same with jitter: between 75 % and 125 %, chosen by `seed`, so that many waits do not end together.
    pub fn after_jittered(&self, failures: u32, seed: u64) -> Duration {
        // The finaliser of SplitMix64: spreads neighbouring seeds evenly.
        let mut mixed = seed.wrapping_add(u64::from(failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 27;
        let share = u32::try_from(mixed % 51).unwrap_or_default();
        self.after(failures) * (75 + share) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_to_the_longest() {
        let waits = (1..=10).map(|n| DELIVERY.after(n).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(DELIVERY.after(u32::MAX), DELIVERY.longest);
    }

    #[test]
    fn jitter_stays_within_a_quarter_and_spreads() {
        let waits =
            (0..200).map(|seed| DELIVERY.after_jittered(5, seed).as_secs()).collect::<std::collections::BTreeSet<_>>();
        assert!(waits.iter().all(|wait| (60..=100).contains(wait)), "{waits:?}");
        assert!(waits.len() > 20, "{waits:?}");
    }
}
