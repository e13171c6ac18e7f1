//! The configuration: what people write in YAML, read into types that cannot be wrong.
//!
//! Every key is declared once, in `keys`; `declaration` says how, and what comes of it.
//!
//! In reading order: text becomes a located tree (`yaml`, `tree`, `scalar`), several files become one (`file`), the tree is
//! read as declared (`fields`, with the shapes of `shapes`, `words`, `secret` and `containers`), a file for each section checks
//! what its keys demand of each other, and `resolve` what sections do. Everything wrong is collected (`report`) into what
//! people read (`problem`): all of it at once, not only the first.
//!
//! Secrets never show in a message: `mask` decides what of a source line may be seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::name::{Name, Rename};
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Policy;

mod containers;
mod customer;
mod declaration;
mod email;
mod environment;
mod expect;
mod fields;
mod file;
mod keys;
mod listening;
mod mask;
mod needed;
mod policy;
mod problem;
mod proxy;
mod report;
mod resolve;
mod scalar;
mod schema;
mod secret;
mod service;
mod session;
mod shapes;
mod source;
mod tree;
mod unit;
mod url;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

pub use customer::AlertsConfig;
pub use email::{Delivery, EmailConfig, SmtpConfig, Tls};
pub use environment::{Environment, ProcessEnvironment};
pub use needed::NeededSecrets;
pub use policy::BASELINE;
pub use problem::{Location, Problem, Problems};
pub use proxy::ProxyConfig;
pub use schema::schema_text;
pub use service::{ServerConfig, StoreConfig};
pub use source::{Adapter, Credential, FileConfig, OrderWiseConfig, SourceConfig};
pub use unit::{duration, size};

/// Everything that the configuration says. Whatever refers to something has been checked to find it.
#[derive(Debug, Clone)]
pub struct Config {
    /// In the order of their names.
    pub sources: Vec<SourceConfig>,
    /// One for each source.
    pub plans: BTreeMap<Name, SourcePlan>,
    /// How many sources are polled at the same time.
    pub max_polls: usize,
    /// Only needed to send: see [`Config::require_email`].
    pub email: Option<EmailConfig>,
    /// Of everybody without a customer of their own.
    pub alerts: AlertsConfig,
    /// Whether a change of a file is read without being asked to.
    pub watch: bool,
    pub store: StoreConfig,
    pub server: ServerConfig,
    /// The built-in baseline too.
    pub policies: BTreeMap<Name, Arc<Policy>>,
    /// The main file first, then what it includes.
    pub files: Vec<PathBuf>,
    /// Where a file may appear that `include` takes in.
    pub folders: Vec<PathBuf>,
    /// What is allowed and yet worth a second look.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the configuration at `path`. `now` is only used to see that schedules will ever fire.
    pub fn load(path: &Path, environment: &dyn Environment, now: DateTime<Utc>) -> Result<Self, Problems> {
        Self::understand(path, None, &NeededSecrets::ALL, environment, now)
    }

    /// As [`Self::load`], for a command that uses no other secrets than those `needed`.
    pub fn load_for(
        needed: &NeededSecrets,
        path: &Path,
        environment: &dyn Environment,
        now: DateTime<Utc>,
    ) -> Result<Self, Problems> {
        Self::understand(path, None, needed, environment, now)
    }

    /// Reads `text` as if it stood in the file at `path`: what it names relative to itself is looked for there.
    pub fn read(path: &Path, text: &[u8], environment: &dyn Environment, now: DateTime<Utc>) -> Result<Self, Problems> {
        Self::understand(path, Some(text), &NeededSecrets::ALL, environment, now)
    }

    fn understand(
        path: &Path,
        text: Option<&[u8]>,
        needed: &NeededSecrets,
        environment: &dyn Environment,
        now: DateTime<Utc>,
    ) -> Result<Self, Problems> {
        let mut report = report::Report::new(environment);
        let written = file::read(&mut report, path, text, environment);
        let config = written.map(|written| resolve::resolve(&mut report, &written, needed, now));
        let (problems, warnings) = report.finish();
        match (config, problems) {
            (Some(config), None) => Ok(Self { warnings, ..config }),
            (_, Some(problems)) => Err(problems),
            (None, None) => Err(Problem::general("the configuration cannot be read", "check the file").into()),
        }
    }

    /// Where the daemon of the configuration at `path` listens, whatever else is wrong with it; the default where that cannot
    /// be made out.
    pub fn listen(path: &Path, environment: &dyn Environment) -> SocketAddr {
        listening::listen(path, environment)
    }

    /// Where the configuration is: the path that was asked for, else `DRIFTWISE_CONFIG`, else `driftwise.yaml` here, else
    /// the one of the system.
    pub fn find(explicit: Option<&Path>, environment: &dyn Environment) -> Result<PathBuf, Problems> {
        const PLACES: [&str; 2] = ["driftwise.yaml", "/etc/driftwise/driftwise.yaml"];
        if let Some(path) = explicit {
            return Ok(path.to_owned());
        }
        if let Some(path) = environment.variable("DRIFTWISE_CONFIG").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        PLACES.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned).ok_or_else(|| {
            let message =
                "there is no configuration: neither ./driftwise.yaml nor /etc/driftwise/driftwise.yaml exists";
            Problem::general(message, "name one with --config PATH, or in the variable DRIFTWISE_CONFIG").into()
        })
    }

    /// The sources that had another name before.
    #[must_use]
    pub fn renames(&self) -> Vec<Rename> {
        let renamed =
            |source: &SourceConfig| Some(Rename { from: source.renamed_from.clone()?, to: source.name.clone() });
        self.sources.iter().filter_map(renamed).collect()
    }

    /// The mail account, for whatever sends.
    pub fn require_email(&self) -> Result<&EmailConfig, Problems> {
        self.email.as_ref().ok_or_else(|| {
            let file = self.files.first().map(|file| format!(" in {}", file.display())).unwrap_or_default();
            Problem::general(
                format!("there is no \"email\"{file}, so nobody could be told of anything"),
                "add email: { from: ..., smtp: { host: ... } }, or email: { from: ..., spool: PATH } for a trial",
            )
            .into()
        })
    }
}
