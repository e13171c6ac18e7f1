//! What a run is made of: how long, with which seed, and which families of attacks.

use super::dice::number;

/// Attacks that can be switched on and off. The world that changes and fails, restarts, and a mail server with ordinary troubles
/// are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Everything that a mail server can say.
    Smtp,
    /// A clock that jumps.
    Clock,
    /// A log that is full, deaf or gone.
    Log,
    /// Secrets that are repeated wherever a server can.
    Secrets,
    /// Few descriptors, and visitors who take them.
    Fds,
}

/// What the gate attacks with.
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
    /// Attacks go on for so long; absent in the gate, which does one round.
    pub minutes: Option<u64>,
    /// Steps of a round.
    pub steps: u64,
    families: Vec<Family>,
}

impl Plan {
    /// As `scripts/attack` sets it; without that, what the gate runs.
    pub fn from_environment() -> Self {
        let seed = number("DRIFTWISE_ATTACK_SEED", u64::from(std::process::id()));
        let minutes = std::env::var("DRIFTWISE_ATTACK_MINUTES").ok().map(|text| text.parse().unwrap());
        let families = match std::env::var("DRIFTWISE_ATTACK_ONLY") {
            Ok(words) => words.split(',').filter(|word| !word.is_empty()).map(family).collect(),
            Err(_) => IN_GATE.to_vec(),
        };
        Self { seed, minutes, steps: 60, families }
    }

    /// Where nothing was asked for, a machine without what it takes may pass over this; not one that is meant to run everything.
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
