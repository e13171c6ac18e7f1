//! Random numbers from a seed, which is printed and can be set, so that a failed run can be repeated.

use std::time::Duration;

/// The numbers of `SplitMix64`: the same ones for the same seed.
pub struct Dice(u64);

impl Dice {
    /// Reads the seed from this environment variable, or chooses a new one, and prints it.
    #[expect(clippy::print_stdout, reason = "the seed with which a failed run is repeated")]
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

    /// A random time before `end`.
    pub fn before(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(end.as_micros()).unwrap().max(1)))
    }
}

/// A number from the environment: the length of a run, or its seed.
#[expect(clippy::disallowed_methods, reason = "how long a run is comes from the environment")]
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
