//! Reads the configuration from YAML files into checked types.
//!
//! Every key is declared once, in `keys`; `declaration` says how, and lists all that it generates.
//!
//! In reading order: `yaml`, `tree` and `scalar` parse text into a tree with places; `file` joins the files; `fields` reads the
//! tree as declared, with the shapes of `shapes`, `words`, `secret` and `containers`; a module for each section checks its keys
//! against each other, and `resolve` the sections. `report` collects all problems into one list (`problem`).
//!
//! No message shows a secret: `mask` cuts source lines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::address::Address;
use crate::domain::name::{Name, Rename};
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Policy;
use crate::secret::Secret;

mod containers;
mod customer;
mod declaration;
mod email;
mod environment;
mod expect;
mod fields;
mod file;
mod inputs;
mod keys;
mod listening;
mod mask;
mod needed;
mod oauth2;
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
pub use email::{Delivery, EmailConfig, GraphConfig, SmtpConfig, Tls};
pub use environment::{Environment, ProcessEnvironment};
pub use inputs::Inputs;
pub use mask::mask_addresses;
pub use needed::NeededSecrets;
pub use oauth2::{TokenConfig, TokenCredential};
pub use policy::BASELINE;
pub use problem::{Location, Problem, Problems};
pub use proxy::ProxyConfig;
pub use schema::schema_text;
pub use service::{ServerConfig, StoreConfig};
pub use source::{Adapter, Credential, FileConfig, OrderWiseConfig, SourceConfig};
pub use unit::{duration, size};

/// A valid configuration: every reference in it has its target.
#[derive(Debug, Clone)]
pub struct Config {
    /// In the order of their names.
    pub sources: Vec<SourceConfig>,
    /// One for each source.
    pub plans: BTreeMap<Name, SourcePlan>,
    /// Most polls at the same time.
    pub max_polls: usize,
    /// Only needed to send: see [`Config::require_email`].
    pub email: Option<EmailConfig>,
    /// For sources without a customer.
    pub alerts: AlertsConfig,
    /// Reload when a file changes.
    pub watch: bool,
    pub store: StoreConfig,
    pub server: ServerConfig,
    /// The built-in baseline too.
    pub policies: BTreeMap<Name, Arc<Policy>>,
    /// The main file first, then what it includes.
    pub files: Vec<PathBuf>,
    /// Every file that was read for it, also of secrets and certificates.
    pub inputs: Inputs,
    /// Problems that do not make the configuration invalid.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the configuration at `path`. `now` is only used to check that each schedule has a next time.
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

    /// Reads `text` as the file at `path`, so relative paths in it are relative to that.
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
        let inputs = std::mem::take(&mut report.inputs);
        let (problems, warnings) = report.finish();
        match (config, problems) {
            (Some(config), None) => Ok(Self { inputs, warnings, ..config }),
            (_, Some(problems)) => Err(problems.in_files(inputs)),
            (None, None) => Err(Problem::from(("cannot read the configuration", "check the file")).into()),
        }
    }

    /// The address on which the daemon of the configuration at `path` listens, also if the file has problems; the default if the
    /// address cannot be read.
    pub fn listen(path: &Path, environment: &dyn Environment) -> SocketAddr {
        listening::listen(path, environment)
    }

    /// The path of the configuration: the explicit one, else `DRIFTWISE_CONFIG`, else `./driftwise.yaml`, else
    /// the one in `/etc/driftwise`.
    pub fn find(explicit: Option<&Path>, environment: &dyn Environment) -> Result<PathBuf, Problems> {
        const PLACES: [&str; 2] = ["driftwise.yaml", "/etc/driftwise/driftwise.yaml"];
        if let Some(path) = explicit {
            return Ok(path.to_owned());
        }
        if let Some(path) = environment.variable("DRIFTWISE_CONFIG").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        PLACES.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned).ok_or_else(|| {
            let message = "no configuration: neither ./driftwise.yaml nor /etc/driftwise/driftwise.yaml exists";
            Problem::from((message, "name one with --config PATH, or in the variable DRIFTWISE_CONFIG")).into()
        })
    }

    /// The sources with a former name.
    #[must_use]
    pub fn renames(&self) -> Vec<Rename> {
        let renamed =
            |source: &SourceConfig| Some(Rename { from: source.renamed_from.clone()?, to: source.name.clone() });
        self.sources.iter().filter_map(renamed).collect()
    }

    /// Whether `address` is one of a recipient, of the sender, or a value that a session should have.
    #[must_use]
    pub fn names(&self, address: &Address) -> bool {
        let contacts = self.plans.values().map(|plan| &plan.contacts);
        let sessions = self.plans.values().flat_map(|plan| plan.sessions.values());
        let lists = contacts
            .chain(sessions.clone().map(|session| &session.contacts))
            .flat_map(|contacts| contacts.fallback.iter().chain(&contacts.operators).chain(&contacts.reply_to));
        let alerts = self.alerts.fallback.iter().chain(&self.alerts.operators);
        let from = self.email.iter().map(|email| &email.from.address);
        let owners = sessions.clone().flat_map(|session| &session.owners);
        let params = sessions.clone().flat_map(|session| session.params.values().flatten());
        let mut params = params.filter_map(|text| Address::parse(text).ok());
        lists.chain(alerts).chain(from).chain(owners).any(|named| named == address)
            || params.any(|named| named == *address)
    }

    /// The secret files, each with the part of the configuration that names it.
    #[must_use]
    pub fn secret_files(&self) -> Vec<(String, PathBuf)> {
        let of_source = |source: &SourceConfig| {
            let Adapter::OrderWise(options) = &source.adapter else { return Vec::new() };
            let credential = match &options.credential {
                Credential::Password { password, .. } => password,
                Credential::Hash(hash) => hash,
            };
            let secrets = std::iter::once(credential).chain(options.proxy.as_ref().map(|proxy| &proxy.url));
            secrets.map(|secret| (format!("source {}", source.name), secret.clone())).collect::<Vec<_>>()
        };
        let of_mail = |email: &EmailConfig| match &email.delivery {
            Delivery::Smtp(smtp) => {
                smtp.password.clone().into_iter().chain(smtp.oauth2.iter().flat_map(TokenConfig::secrets)).collect()
            }
            Delivery::Graph(graph) => graph.token.secrets(),
            Delivery::Spool(_) => Vec::new(),
        };
        let email = self.email.iter().flat_map(of_mail).map(|secret| (String::from("mail"), secret));
        let all = self.sources.iter().flat_map(of_source).chain(email);
        let file = |(what, secret)| match secret {
            Secret::File(path) => Some((what, path)),
            Secret::Given(_) | Secret::NotNeeded => None,
        };
        all.filter_map(file).collect()
    }

    /// The mail account; an error if the configuration has none.
    pub fn require_email(&self) -> Result<&EmailConfig, Problems> {
        self.email.as_ref().ok_or_else(|| {
            let file = self.files.first().map(|file| format!(" in {}", file.display())).unwrap_or_default();
            Problem::from((
                format!("there is no \"email\"{file}, so no notification could be sent"),
                "add email: { from: ..., smtp: { host: ... } }, or email: { from: ..., spool: PATH } for a trial",
            ))
            .into()
        })
    }
}
