//! The log of an audit: enough to follow it, without values that could be addresses.

use serde_json::{Value, json};

use crate::program::{Daemon, eventually_or};
use crate::support::port::ClosedPort;
use crate::world::{OWNER, Setup, World};

const ELSEWHERE: &str = "j.doe@elsewhere.example";
const ANOTHER: &str = "m.roe@elsewhere.example";

/// The log of a daemon while a notification address changes twice and is corrected; the session name is part of it.
fn log_of_an_address(level: &str) -> String {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "notification_email", ELSEWHERE);
    let daemon = Daemon::start(world.folder(), &["--log-level", level]);
    world.mail("drift", OWNER);
    world.simulator.set(14, "notification_email", ANOTHER);
    world.mail("update", OWNER);
    world.simulator.set(14, "notification_email", OWNER);
    world.mail("resolved", OWNER);
    daemon.stop()
}

#[test]
fn a_drift_is_logged_without_its_values_except_at_debug() {
    let said = log_of_an_address("info");
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    for what in ["an incident opened", "an open incident changed", "an incident ended"] {
        let line = lines.iter().find(|line| line["message"] == what).unwrap_or_else(|| panic!("{what}: {said}"));
        let of = ["source", "session", "kind", "rule", "setting"].map(|field| line[field].clone());
        assert_eq!(of, ["erp", "14", "drift", "notification-email", "notification_email"].map(|text| json!(text)));
    }
    let ended = lines.iter().find(|line| line["message"] == "an incident ended").unwrap();
    assert_eq!(ended["reason"], "repaired");
    for address in [ELSEWHERE, ANOTHER, OWNER] {
        assert!(!said.contains(address), "{address} in {said}");
    }
    let debug = log_of_an_address("debug");
    for address in [ELSEWHERE, ANOTHER] {
        assert!(debug.contains(address), "{address} in {debug}");
    }
}

#[test]
fn a_value_cannot_break_or_reverse_a_line_of_the_log() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "import_orders_as", "j.doe\n2026-11-23T09:00:00Z ERROR all is lost\u{202E}\u{1b}[31m\0");
    let daemon = Daemon::start(world.folder(), &["--log-level", "debug", "--log-format", "human"]);
    world.mail("drift", OWNER);
    let said = daemon.stop();
    assert!(said.contains("all is lost"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("2026-11-23T09:00:00Z ERROR")), "{said}");
    for mark in ['\u{202E}', '\u{1b}', '\0'] {
        assert!(!said.contains(mark), "{mark:?} in {said}");
    }
}

#[test]
fn the_log_has_the_reason_of_failed_mail_without_text_of_the_server() {
    let closed = ClosedPort::hold();
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", closed.number);
    let world = World::new(1, &Setup { email, ..Setup::default() });
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = world.daemon();
    daemon.until("driftwise_notification_attempts_total", &[("channel", "email"), ("outcome", "connect")], 1.0);
    let failed = eventually_or(
        || daemon.said(),
        || {
            let said = daemon.said();
            said.lines().map(str::to_owned).find(|line| line.contains("failed to send mail"))
        },
    );
    let line = serde_json::from_str::<Value>(&failed).unwrap();
    assert_eq!((&line["level"], &line["obstacle"]), (&json!("WARN"), &json!("connect")));
    let expected = format!("no connection to the mail server 127.0.0.1:{}", closed.number);
    assert!(line["reason"].as_str().unwrap().contains(&expected), "{line}");
    daemon.stop();
}

#[test]
fn the_log_has_the_reason_of_a_failed_poll_without_text_of_the_source() {
    let world = World::new(1, &Setup::default());
    std::fs::write(world.path("grid.json"), r#"{"error":"user j.doe@acme.example lacks rights"}"#).unwrap();
    world.edit(&[
        ("defaults:\n", "  zz: { type: file, path: grid.json }\ndefaults:\n"),
        ("  - { id: 14 }", "  - { id: 14 }\n  - { source: zz, id: 7 }"),
    ]);
    let log = |level: &str| {
        let daemon = Daemon::start(world.folder(), &["--log-level", level]);
        daemon.until("driftwise_audits_total", &[("source", "zz"), ("outcome", "unreachable")], 1.0);
        let page = daemon.get("/").1 + &daemon.get("/sessions/zz/7").1;
        assert!(page.contains("j…@acme.example lacks rights") && !page.contains("j.doe@"), "{page}");
        daemon.stop()
    };
    let said = log("info");
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let line = lines.iter().find(|line| line["message"] == "failed to read source").unwrap();
    let of = ["level", "source", "failure", "reason"].map(|field| line[field].as_str().unwrap());
    let reason = "it answered with a single object instead of a list of sessions";
    assert_eq!(of, ["WARN", "zz", "malformed", reason]);
    assert!(!line.to_string().contains('@') && !said.contains("j.doe"), "{said}");
    assert!(log("debug").contains("j.doe@acme.example lacks rights"));
}

#[test]
fn the_log_as_logfmt_has_the_fields_of_the_json_lines_and_one_line_for_each_event() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "import_orders_as", "j.doe\nlevel=ERROR\u{202E}");
    let daemon = Daemon::start(world.folder(), &["--log-level", "debug", "--log-format", "logfmt"]);
    world.mail("drift", OWNER);
    let said = daemon.stop();
    let start = regex::Regex::new(r"^timestamp=\S+Z level=(INFO|DEBUG|WARN) message=").unwrap();
    for line in said.lines() {
        assert!(start.is_match(line), "{line}");
    }
    let opened = said.lines().find(|line| line.contains("message=\"an incident opened\"")).unwrap();
    assert!(
        opened.ends_with(
            "source=erp session=14 kind=drift rule=import-orders-as-dedicated-user setting=import_orders_as"
        ),
        "{opened}"
    );
    assert!(said.contains("level=ERROR") && !said.contains('\u{202E}'), "{said}");
}
