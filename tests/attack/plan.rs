//! The plan of a run: how long it takes, its seed, and its families of attacks.

use super::dice::number;

/// Attacks that can be switched on and off. A world that changes and fails, restarts, and a mail server with ordinary trouble are
/// always on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All replies of the grammar.
    Smtp,
    /// A clock that jumps.
    Clock,
    /// A log that is full, unread or closed.
    Log,
    /// Secrets that servers repeat wherever they can.
    Secrets,
    /// Few descriptors, and visitors who use them up.
    Fds,
}

/// The families that the gate runs.
pub const IN_GATE: &[Family] = &[Family::Smtp, Family::Clock, Family::Log, Family::Secrets, Family::Fds];

impl Family {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Smtp, "smtp"),
        (Self::Clock, "clock"),
        (Self::Log, "log"),
        (Self::Secrets, "secrets"),
        (Self::Fds, "fds"),
    ];
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// How long attacks go on; `None` in the gate, which does one round.
    pub minutes: Option<u64>,
    /// Steps of a round.
    pub steps: u64,
    families: Vec<Family>,
}

impl Plan {
    /// The plan that `scripts/attack` sets; otherwise that of the gate.
    pub fn from_environment() -> Self {
        let seed = number("DRIFTWISE_ATTACK_SEED", u64::from(std::process::id()));
        let minutes = std::env::var("DRIFTWISE_ATTACK_MINUTES").ok().map(|text| text.parse().unwrap());
        let families = match std::env::var("DRIFTWISE_ATTACK_ONLY") {
            Ok(words) => words.split(',').filter(|word| !word.is_empty()).map(family).collect(),
            Err(_) => IN_GATE.to_vec(),
        };
        Self { seed, minutes, steps: 60, families }
    }

    /// Whether a machine without the tools may skip the run: not if a time was asked for, and not on CI, which must run
    /// everything.
    pub fn may_be_skipped(&self) -> bool {
        self.minutes.is_none() && std::env::var_os("CI").is_none()
    }

    pub fn has(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

fn family(word: &str) -> Family {
    let known = Family::ALL.iter().find(|(_, known)| *known == word.trim());
    known.unwrap_or_else(|| panic!("no family {word:?}; there are smtp, clock, log, secrets and fds")).0
}
