//! Random moments that a seed repeats, and waiting for a condition.

use std::time::{Duration, Instant};

/// Longest that anything here may take.
const GRACE: Duration = Duration::from_secs(40);

/// Waits until `done` says so, and fails with `what` if it never does.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < GRACE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The numbers of `SplitMix64`: the same for the same seed.
pub struct Dice(u64);

impl Dice {
    /// The seed is printed, and can be given in this variable of the environment.
    pub fn of(variable: &str) -> Self {
        let seed = number(variable, u64::from(std::process::id()));
        println!("{variable}={seed}");
        Self::seeded(seed)
    }

    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A moment before `end`.
    pub fn before(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(end.as_micros()).unwrap().max(1)))
    }
}

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
