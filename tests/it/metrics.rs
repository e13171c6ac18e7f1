//! The metrics of a running daemon.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

use driftwise::simulator::Mode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate;
use crate::program::{ask, eventually, get, metric};
use crate::support::port::ClosedPort;
use crate::world::{Setup, World};

/// Every metric of the contract that exists without a drift, with labels of one of its series.
const FROM_THE_START: [(&str, &[(&str, &str)]); 33] = [
    ("build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
    ("config_last_reload_successful", &[]),
    ("config_last_reload_success_timestamp_seconds", &[]),
    (
        "session_info",
        &[("source", "erp"), ("session", "14"), ("policy", "orderwise-shopify"), ("customer", ""), ("name", "")],
    ),
    ("session_status", &[("source", "erp"), ("session", "14"), ("status", "compliant")]),
    ("session_visible", &[("source", "erp"), ("session", "14")]),
    ("incidents_opened_total", &[("kind", "drift"), ("severity", "critical")]),
    ("incidents_opened_total", &[("kind", "unreachable"), ("severity", "critical")]),
    ("incidents_resolved_total", &[("kind", "missing")]),
    ("incidents_resolved_total", &[("kind", "unverifiable")]),
    ("audits_total", &[("source", "erp"), ("outcome", "ok")]),
    ("audits_total", &[("source", "erp"), ("outcome", "unreachable")]),
    ("audit_duration_seconds_count", &[("phase", "fetch")]),
    ("audit_duration_seconds_count", &[("phase", "evaluate")]),
    ("audit_duration_seconds_count", &[("phase", "record")]),
    ("session_last_verdict_timestamp_seconds", &[("source", "erp"), ("session", "14")]),
    ("session_next_audit_timestamp_seconds", &[("source", "erp"), ("session", "14")]),
    ("audits_late_total", &[("source", "erp"), ("reason", "busy")]),
    ("audits_late_total", &[("source", "erp"), ("reason", "downtime")]),
    ("scheduler_ticking", &[]),
    ("source_up", &[("source", "erp")]),
    ("source_last_success_timestamp_seconds", &[("source", "erp")]),
    ("source_sessions", &[("source", "erp"), ("state", "audited")]),
    ("source_sessions", &[("source", "erp"), ("state", "unaudited")]),
    ("source_request_duration_seconds_count", &[("source", "erp")]),
    ("notifications_total", &[("channel", "email"), ("kind", "drift"), ("outcome", "sent")]),
    ("notifications_total", &[("channel", "email"), ("kind", "reminder"), ("outcome", "dead")]),
    ("notification_delivery_seconds_count", &[("channel", "email")]),
    ("notifications_suppressed_total", &[("reason", "below_severity")]),
    ("store_errors_total", &[("operation", "record")]),
    ("log_lines_dropped_total", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_start_time_seconds", &[]),
];

const OUTCOMES: [&str; 14] = [
    "ok",
    "auth",
    "forbidden",
    "not_found",
    "rate_limited",
    "refused",
    "server_error",
    "timeout",
    "connect",
    "tls",
    "malformed",
    "too_large",
    "empty",
    "own_limit",
];

#[test]
fn every_metric_is_there_from_the_start_and_prometheus_accepts_it() {
    let world = World::new(2, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    let (_, text) = daemon.get("/metrics");
    for (name, labels) in FROM_THE_START {
        let full = if name.starts_with("process_") { name.to_owned() } else { format!("driftwise_{name}") };
        assert!(metric(&text, &full, labels).is_some(), "{name} {labels:?} in\n{text}");
    }
    let zero = |name: &str, label: &str, values: &[&str]| {
        for value in values {
            assert_eq!(metric(&text, name, &[(label, value)]), Some(0.0), "{name} {value}");
        }
    };
    zero("driftwise_source_requests_total", "outcome", &OUTCOMES[1..]);
    let attempts = ["accepted", "connect", "tls", "auth", "rejected", "deferred", "timeout"];
    zero("driftwise_notification_attempts_total", "outcome", &attempts);
    zero("driftwise_outbox_notifications", "state", &["pending", "retrying", "dead"]);
    zero("driftwise_incidents_opened_total", "kind", &["drift", "missing", "unverifiable", "unreachable"]);
    for absent in ["drift_open", "drift_opened_timestamp_seconds", "outbox_oldest_pending_timestamp_seconds"] {
        assert_eq!(metric(&text, &format!("driftwise_{absent}"), &[]), None, "{absent}");
    }
    assert!(!text.contains('@'), "no addresses in labels");
    world.simulator.set(14, "export", true);
    daemon.until("driftwise_drift_open", &[], 1.0);
    accepted_by_prometheus(&daemon.get("/metrics").1);
}

fn accepted_by_prometheus(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs promtool: install Prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_drift_is_counted_when_it_opens_and_its_series_go_when_it_ends() {
    let world = World::new(2, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let labels = [("source", "erp"), ("session", "14"), ("rule", "export-off"), ("setting", "export")];
    daemon.until("driftwise_drift_open", &[labels.as_slice(), &[("severity", "critical")]].concat(), 1.0);
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 2.0);
    let value = |name: &str, labels: &[(&str, &str)]| daemon.metric(name, labels);
    let opened = [("kind", "drift"), ("severity", "critical")];
    assert_eq!(value("driftwise_incidents_opened_total", &opened), Some(1.0));
    assert_eq!(value("driftwise_incidents_resolved_total", &opened), Some(0.0));
    assert!(value("driftwise_drift_opened_timestamp_seconds", &labels).is_some());
    assert_eq!(value("driftwise_session_status", &[("session", "14"), ("status", "drifted")]), Some(1.0));
    assert_eq!(value("driftwise_session_status", &[("session", "14")]), Some(1.0), "one series a session");
    assert_eq!(value("driftwise_session_findings", &[("session", "14"), ("state", "drifted")]), Some(1.0));
    assert_eq!(value("driftwise_notification_attempts_total", &[("outcome", "accepted")]), Some(2.0));
    assert_eq!(value("driftwise_notification_delivery_seconds_count", &[]), Some(2.0));
    world.simulator.set(14, "export", false);
    daemon.until("driftwise_incidents_resolved_total", &opened, 1.0);
    eventually("end of the series", || value("driftwise_drift_open", &[]).is_none().then_some(()));
    assert_eq!(value("driftwise_session_findings", &[]), None);
    assert_eq!(value("driftwise_session_status", &[("status", "compliant")]), Some(1.0));
}

#[test]
fn each_faulty_answer_has_its_outcome() {
    let source = String::from("timeout: 1s, max_body: 64KiB");
    let world = World::new(1, &Setup { source, ..Setup::default() });
    let daemon = world.daemon();
    daemon.first_poll();
    // The faults without a cooldown come first, because the last one starts a cooldown.
    let faults = [
        (Mode::Forbidden, "forbidden"),
        (Mode::NotFound, "not_found"),
        (Mode::BadRequest, "refused"),
        (Mode::Redirect, "refused"),
        (Mode::Html, "malformed"),
        (Mode::NoContent, "empty"),
        (Mode::TooLarge, "too_large"),
        (Mode::ServerError, "server_error"),
    ];
    for (fault, outcome) in faults {
        let labels = [("source", "erp"), ("outcome", outcome)];
        let before = daemon.metric("driftwise_source_requests_total", &labels).unwrap();
        world.simulator.fail(fault, None);
        daemon.until("driftwise_source_requests_total", &labels, before + 1.0);
    }
    assert_eq!(daemon.metric("driftwise_session_visible", &[]), Some(0.0));
    assert_eq!(daemon.metric("driftwise_session_status", &[("status", "compliant")]), Some(1.0), "it stays");
    assert_eq!(daemon.metric("driftwise_incidents_opened_total", &[("kind", "unreachable")]), Some(1.0));
    world.simulator.heal();
    daemon.until("driftwise_source_up", &[], 1.0);
}

/// A fault that starts a cooldown has a daemon of its own.
#[test]
fn each_fault_that_starts_a_cooldown_has_its_outcome() {
    let closed = ClosedPort::hold();
    let refusing = format!("http://127.0.0.1:{}", closed.number);
    let cases = [
        (Some(Mode::Stall), None, "timeout"),
        (Some(Mode::RateLimited(Some(String::from("1")))), None, "rate_limited"),
        (Some(Mode::Unauthorized), None, "auth"),
        (None, Some(refusing), "connect"),
        (None, Some(served_with_an_untrusted_certificate()), "tls"),
    ];
    for (fault, elsewhere, outcome) in cases {
        let world = World::new(1, &Setup { source: String::from("timeout: 1s"), ..Setup::default() });
        if let Some(fault) = fault {
            world.simulator.fail(fault, None);
        }
        if let Some(elsewhere) = elsewhere {
            world.edit(&[(&format!("http://{}", world.api), &elsewhere)]);
        }
        let daemon = world.daemon();
        daemon.until("driftwise_source_requests_total", &[("source", "erp"), ("outcome", outcome)], 1.0);
        daemon.until("driftwise_audits_total", &[("outcome", "unreachable")], 1.0);
        let of = |outcome| daemon.metric("driftwise_source_requests_total", &[("outcome", outcome)]).unwrap();
        let others = OUTCOMES.into_iter().filter(|other| *other != outcome).map(of).sum::<f64>();
        assert!(others < 0.5, "{outcome}: {}", daemon.get("/metrics").1);
        assert_eq!(daemon.metric("driftwise_source_up", &[]), Some(0.0), "{outcome}");
    }
}

/// A server whose certificate no machine trusts; it lives as long as the tests.
fn served_with_an_untrusted_certificate() -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = certificate::authority();
    let chain = CertificateDer::pem_slice_iter(authority.cert.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(authority.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut server = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = server.complete_io(&mut stream);
        }
    });
    format!("https://localhost:{port}")
}

#[test]
fn probes_and_metrics_can_have_their_own_address_and_pages_that_are_not_built_say_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!(", metrics_listen: \"{free}\"");
    let world = World::new(1, &Setup { server, ..Setup::default() });
    let daemon = world.daemon();
    daemon.first_poll();
    for (path, status) in
        [("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/", 404), ("/sessions/erp/14", 404)]
    {
        assert_eq!(get(free, path).unwrap().0, status, "{path}");
    }
    assert_eq!(daemon.get("/healthz"), (200, String::from("ok")));
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/api/v1/sessions").0, 501);
    assert_eq!(daemon.get("/nothing").0, 404);
    assert_eq!(daemon.get("/sessions/erp/15").0, 404);
    let (status, said) = ask(daemon.address, "POST", "/-/reload", "").unwrap();
    assert!(status == 200 && said.contains("reloaded: 1 source"), "{status} {said}");
}
