//! What a reload has to know of the configuration in force, and what it says of one that is refused.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::app::watch::Fingerprint;
use crate::config::{Config, Problem, Problems};
use crate::domain::address::Address;
use crate::domain::notification::Role;

/// What is to be known of the configuration in force.
pub(in crate::app) struct InForce {
    pub accepted: DateTime<Utc>,
    /// Whom it names for a refused reload: the operators, or else the fallback.
    pub recipients: Vec<(Address, Role)>,
    /// The files that it was read from, and the folders in which others may appear.
    pub paths: Vec<PathBuf>,
    pub watched: bool,
    /// Of the paths, before it was read.
    pub found: Fingerprint,
}

impl InForce {
    /// As soon as it was read.
    pub(in crate::app) fn at_start(config: &Config, accepted: DateTime<Utc>) -> Self {
        Self::of(config, accepted, Fingerprint::of(&paths(config)))
    }

    pub(in crate::app) fn of(config: &Config, accepted: DateTime<Utc>, found: Fingerprint) -> Self {
        let paths = paths(config);
        Self { accepted, recipients: recipients(config), paths, watched: config.watch, found }
    }
}

/// What a change is looked for in.
fn paths(config: &Config) -> Vec<PathBuf> {
    config.files.iter().chain(&config.folders).cloned().collect()
}

fn recipients(config: &Config) -> Vec<(Address, Role)> {
    let (operators, fallback) = (&config.alerts.operators, &config.alerts.fallback);
    let (addresses, role) = if operators.is_empty() { (fallback, Role::Fallback) } else { (operators, Role::Operator) };
    addresses.iter().map(|to| (to.clone(), role)).collect()
}

/// Why a configuration is refused. Without secrets.
pub(super) struct Refusal {
    /// As `validate` prints it.
    pub text: String,
    /// A line for each problem.
    pub problems: Vec<String>,
}

impl Refusal {
    pub(super) fn of(problems: &Problems) -> Self {
        let line = |problem: &Problem| {
            let text = problem.to_string();
            let first = text.lines().next().unwrap_or_default();
            problem.help.as_ref().map_or_else(|| first.to_owned(), |help| format!("{first} ({help})"))
        };
        Self { text: problems.to_string(), problems: problems.iter().map(line).collect() }
    }

    pub(super) fn one(text: String) -> Self {
        Self { problems: vec![text.clone()], text }
    }
}
