//! What the program itself needs: where it keeps its store, and where it listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::fields::{self, Fields, Keys, described};
use super::report::Report;
use super::tree::Node;
use super::url::WebAddress;

/// Where state and history are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub path: PathBuf,
    /// How long history is kept.
    pub retain: Duration,
}

/// Where the program listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Serves metrics and probes alone.
    pub metrics_listen: Option<SocketAddr>,
    /// How people reach the pages; without a slash at the end.
    pub public_url: Option<String>,
}

pub(super) const STORE: Keys = Keys { of: "\"store\"", known: &["url", "retain"], later: &[] };
pub(super) const SERVER: Keys =
    Keys { of: "\"server\"", known: &["listen", "metrics_listen", "public_url"], later: &[] };

/// Two years: long enough to answer for the last audit of the books.
const RETAIN: Duration = Duration::from_hours(730 * 24);

/// Reads `store`. Without a URL the store lies beside the configuration file, whose number is `main`.
pub(super) fn store(report: &mut Report, node: Option<&Node>, main: usize) -> StoreConfig {
    let mut store = StoreConfig { path: report.folder(main).join("driftwise.db"), retain: RETAIN };
    let Some(fields) = node.and_then(|node| Fields::new(report, node, STORE)) else { return store };
    store.retain = fields.duration(report, "retain").unwrap_or(RETAIN);
    let Some(node) = fields.node(report, "url") else { return store };
    let Some(url) = fields::text(report, node, "url") else { return store };
    if let Some(path) = url.strip_prefix("sqlite://").filter(|path| !path.is_empty() && !path.contains(['?', '#'])) {
        store.path = report.folder(node.place.file).join(path);
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        // Not quoted: such a URL holds a password.
        report.hide(node);
        report.problem_with(node.place, "a postgres store is not available yet", "available: sqlite://PATH");
    } else {
        let message = format!("\"url\" of the store must be sqlite://PATH, not {}", described(node));
        report.problem_with(node.place, message, "for example sqlite://driftwise.db or sqlite:///var/lib/driftwise.db");
    }
    store
}

pub(super) fn server(report: &mut Report, node: Option<&Node>) -> ServerConfig {
    /// Beside the ports that Prometheus and its exporters use.
    const PORT: u16 = 9464;
    let mut server =
        ServerConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), metrics_listen: None, public_url: None };
    let Some(fields) = node.and_then(|node| Fields::new(report, node, SERVER)) else { return server };
    server.listen = socket(report, &fields, "listen").unwrap_or(server.listen);
    server.metrics_listen = socket(report, &fields, "metrics_listen");
    if let Some(entry) = fields.entry("metrics_listen")
        && server.metrics_listen == Some(server.listen)
        && server.listen.port() != 0
    {
        let message = format!("\"metrics_listen\" is {}, where \"listen\" already is", server.listen);
        report.problem_with(entry.value.place, message, "without metrics_listen, listen serves metrics too");
    }
    server.public_url = public_url(report, &fields);
    server
}

fn socket(report: &mut Report, fields: &Fields<'_>, key: &str) -> Option<SocketAddr> {
    let node = fields.node(report, key)?;
    let text = node.scalar().unwrap_or_default().trim();
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("{key:?} must be an IP address and a port, not {}", described(node));
        report.problem_with(node.place, message, "for example 127.0.0.1:9464, 0.0.0.0:9464 or \"[::]:9464\"");
    }
    address
}

fn public_url(report: &mut Report, fields: &Fields<'_>) -> Option<String> {
    let node = fields.node(report, "public_url")?;
    let text = fields::text(report, node, "public_url")?;
    match WebAddress::parse(text) {
        Ok(address) => Some(address.text),
        Err(reason) => {
            report.problem(node.place, format!("\"public_url\" {reason}"));
            None
        }
    }
}
