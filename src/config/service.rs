//! The store and the HTTP listeners of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{ServerKeys, StoreKeys};
use super::report::Report;

/// The store of state and history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub path: PathBuf,
    /// The age at which history is deleted.
    pub retain: Duration,
}

/// The HTTP listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Serves metrics, probes and commands; no pages.
    pub metrics_listen: Option<SocketAddr>,
    /// Address of the pages for links in mails; without a slash at the end.
    pub public_url: Option<String>,
}

impl From<StoreKeys> for StoreConfig {
    fn from(keys: StoreKeys) -> Self {
        Self { path: keys.url.value, retain: keys.retain.value }
    }
}

impl ServerConfig {
    pub(super) fn understand(report: &mut Report, keys: ServerKeys) -> Self {
        let (listen, metrics_listen) = (keys.listen.value, keys.metrics_listen.value);
        if metrics_listen == Some(listen) && listen.port() != 0 {
            let message = format!("\"metrics_listen\" is {listen}, as \"listen\" is");
            report.problem(keys.metrics_listen.at, (message, "without metrics_listen, listen serves metrics too"));
        }
        Self { listen, metrics_listen, public_url: keys.public_url.value.map(|url| url.text) }
    }
}
