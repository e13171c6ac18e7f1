//! Facts about the configuration in force that a reload needs, and the report on a configuration that it refuses.

use chrono::{DateTime, Utc};

use crate::config::{Config, Inputs, Problem, Problems, mask_addresses};
use crate::domain::address::Address;
use crate::domain::alerting::recipients;
use crate::domain::notification::Role;
use crate::domain::plan::Plans;

/// See the module.
pub(in crate::app) struct InForce {
    pub accepted: DateTime<Utc>,
    /// The recipients of a refused reload: the operators, or else the fallback, or else the owners.
    pub recipients: Vec<(Address, Role)>,
    /// Who run the program: the operators, or else the fallback, of no customer.
    pub operators: Vec<(Address, Role)>,
    /// `reload: watch`.
    pub watched: bool,
}

impl InForce {
    pub(in crate::app) fn of(config: &Config, accepted: DateTime<Utc>) -> Self {
        let recipients = recipients::of_program(&config.alerts.operators, &config.alerts.fallback, &config.plans);
        Self { accepted, recipients, operators: operators(config), watched: config.watch }
    }
}

/// See [`InForce::operators`].
pub(in crate::app) fn operators(config: &Config) -> Vec<(Address, Role)> {
    recipients::of_program(&config.alerts.operators, &config.alerts.fallback, &Plans::new())
}

/// Why a configuration is refused. Without secrets.
#[derive(Debug)]
pub(super) struct Refusal {
    /// As `validate` prints it, with source lines.
    pub text: String,
    /// A line for each problem, without the source line.
    pub problems: Vec<String>,
    /// The files that were read.
    pub inputs: Inputs,
}

impl Refusal {
    pub(super) fn of(problems: Problems) -> Self {
        let lines = problems.iter().map(Problem::line).collect();
        Self { text: problems.to_string(), problems: lines, inputs: problems.inputs }
    }

    /// A refusal for a reason that has no place in a file.
    pub(super) fn one(text: String, inputs: Inputs) -> Self {
        Self { problems: vec![text.clone()], text, inputs }
    }

    /// The problems for the log: without source lines, which show addresses, and with the addresses in messages masked.
    pub(super) fn log_text(&self) -> String {
        mask_addresses(&self.problems.join("\n"))
    }
}
