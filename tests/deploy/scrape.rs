//! One scrape of a daemon in trouble of every kind, so that each of its series is present.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use driftwise::simulator::Mode;
use regex::Regex;
use serde_json::json;

use crate::program::eventually;
use crate::support::certificate;
use crate::support::endpoint::issued;
use crate::support::server::Server;
use crate::world::{Setup, World};

/// The job under which the rules expect Driftwise.
const JOB: &str = "driftwise";

/// The labels of a metric with their values.
pub type Values = BTreeMap<String, BTreeSet<String>>;

/// Every metric by its name, as Prometheus has it after a scrape.
pub static SCRAPED: LazyLock<BTreeMap<String, Values>> = LazyLock::new(|| read(&troubled()));

/// `/metrics` with a drift, an unverifiable rule, a missing and an unaudited session, waiting mail, credentials that end, a
/// column that is gone, a refused configuration, an unreachable source and stale verdicts.
fn troubled() -> String {
    let server = Server::start(json!({ "mode": "starttls", "auth": ["XOAUTH2"], "user": "driftwise" }));
    let sessions = ["{ id: 14 }", "{ id: 15 }", "{ id: 98 }"].map(String::from).to_vec();
    let server_keys = String::from(", public_url: \"https://driftwise.example\"");
    let mut setup = Setup { sessions, server: server_keys, ..Setup::default() };
    let world = World::new(3, &setup);
    let tokens = world.endpoint([issued("a-token-that-is-refused")]);
    // {"exp":4102444800}
    std::fs::write(world.path("assertion.jwt"), "e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln").unwrap();
    setup.email = format!(
        "smtp: {{ host: localhost, port: {}, ca_file: {}, username: driftwise, oauth2: {{ token_url: \"{}\", \
         client_id: app, client_assertion_file: assertion.jwt }} }}",
        server.port,
        certificate::ca_file().display(),
        tokens.url
    );
    world.configure(&setup);
    world.simulator.set(14, "export", true);
    world.simulator.set(15, "export", "perhaps");
    let daemon = world.daemon();
    daemon.until("driftwise_drift_open", &[("session", "14"), ("severity", "critical")], 1.0);
    daemon.until("driftwise_session_findings", &[("session", "15"), ("state", "unverifiable")], 1.0);
    daemon.until("driftwise_source_sessions", &[("state", "unaudited")], 1.0);
    daemon.until("driftwise_incidents_opened_total", &[("kind", "missing")], 1.0);
    daemon.until("driftwise_outbox_oldest_pending_timestamp_seconds", &[], 1.0);
    for kind in ["ca_certificate", "client_assertion", "server_certificate"] {
        daemon.until("driftwise_credential_expiry_timestamp_seconds", &[("kind", kind)], 4e9);
    }
    world.simulator.fail(Mode::MissingColumn(String::from("transfer_type")), None);
    daemon.until("driftwise_source_changed", &[("source", "erp")], 1.0);
    world.edit(&[("sources:", "no_such_key: 1\nsources:")]);
    daemon.signal("HUP");
    let refused = || daemon.metric("driftwise_config_last_reload_successful", &[]).filter(|value| *value < 0.5);
    eventually("refused configuration", refused);
    world.simulator.fail(Mode::Html, None);
    daemon.until("driftwise_session_stale", &[("session", "14")], 1.0);
    daemon.get("/metrics").1
}

/// The metrics of a scrape, with the series and labels that Prometheus adds: `up`, `job` and `instance`.
fn read(text: &str) -> BTreeMap<String, Values> {
    let series = Regex::new(r"(?m)^([a-zA-Z_]+)(?:\{(.*)\})? \S+$").unwrap();
    let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let mut metrics: BTreeMap<String, Values> = BTreeMap::from([(String::from("up"), Values::new())]);
    for found in series.captures_iter(text) {
        let values = metrics.entry(found[1].to_owned()).or_default();
        for pair in label.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            values.entry(pair[1].to_owned()).or_default().insert(pair[2].to_owned());
        }
    }
    assert!(metrics.len() > 40, "only {} metrics were scraped:\n{text}", metrics.len());
    for values in metrics.values_mut() {
        values.insert(String::from("job"), BTreeSet::from([JOB.to_owned()]));
        values.insert(String::from("instance"), BTreeSet::new());
    }
    metrics
}
