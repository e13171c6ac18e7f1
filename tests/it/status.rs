//! `status`: the verdict on each session, its age, and the daemon that keeps it up to date.

use driftwise::simulator::Mode;
use serde_json::{Value, json};

use crate::program::eventually;
use crate::world::{FALLBACK, OWNER, Setup, World};

#[test]
fn status_is_pending_before_the_first_poll_and_shows_the_verdict_after_it() {
    let sessions = ["{ id: 14 }", "{ id: 15 }"].map(String::from).to_vec();
    let world = World::new(2, &Setup { sessions, ..Setup::default() });
    let before = world.run(&["status", "--format", "json"]).expect(3).json();
    assert_eq!(before["sessions"][1]["status"], "pending");
    world.simulator.set(15, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    let after = world.run(&["status", "--format", "json"]).expect(1).json();
    let worst = &after["sessions"][0];
    assert_eq!(
        (&worst["session"], &worst["status"], &worst["reason"]),
        (&json!("erp/15"), &json!("drifted"), &json!(null))
    );
    let finding = &worst["findings"][0];
    assert_eq!((&finding["rule"], &finding["found"]), (&json!("export-off"), &json!("ticked")));
    world.simulator.fail(Mode::Html, None);
    world.mail("unreachable", FALLBACK);
    let owned = world.run(&["status"]).expect(1).out;
    assert!(owned.contains("A daemon owns the store: process "), "{owned}");
    daemon.stop();
    let unreachable = world.run(&["status"]).expect(1).out;
    assert!(unreachable.contains("unreachable") && unreachable.contains("export-off"), "{unreachable}");
    assert!(unreachable.starts_with("erp has been unreachable since "), "{unreachable}");
    assert_eq!(unreachable.matches("HTML").count(), 1, "an outage is reported once\n{unreachable}");
    assert!(unreachable.contains("No daemon owns the store"), "{unreachable}");
}

#[test]
fn status_after_a_daemon_was_killed_shows_stale_verdicts_and_no_owner() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    daemon.poll();
    let alive = eventually("fresh verdict", || {
        let status = world.run(&["status", "--format", "json"]);
        (status.code == Some(0)).then(|| status.json())
    });
    assert_eq!(alive["owner"], json!(format!("process {}", daemon.pid())));
    assert_eq!((&alive["sessions"][0]["stale"], &alive["outbox"]["dead"]), (&json!(false), &json!(0)));
    assert!(alive["sessions"][0]["age_seconds"].as_i64().unwrap() >= 0);
    daemon.kill();
    let stale = eventually("stale verdict", || {
        let status = world.run(&["status", "--format", "json"]);
        (status.code == Some(3)).then(|| status.json())
    });
    assert_eq!((&stale["owner"], &stale["sessions"][0]["stale"]), (&Value::Null, &json!(true)));
    assert_eq!(stale["sessions"][0]["status"], "compliant");
    let text = world.run(&["status"]).expect(3).out;
    let words = "1 session is stale: the last verdict is older than three periods of the schedule";
    assert!(text.contains(words) && text.contains("s, stale"), "{text}");
    assert!(text.contains("No daemon owns the store") && text.contains("driftwise.db"), "{text}");
}

#[test]
fn status_names_notifications_that_did_not_leave() {
    let email = String::from("smtp: { host: 127.0.0.1, port: 9, tls: none }");
    let world = World::new(1, &Setup { email, ..Setup::default() });
    world.simulator.set(14, "export", true);
    world.run(&["check", "--notify"]).expect(1);
    let text = world.run(&["status"]).expect(1).out;
    assert!(text.contains("2 notifications not sent yet after failed attempts: "), "{text}");
    assert_eq!(world.run(&["status", "--format", "json"]).expect(1).json()["outbox"]["retrying"], 2);
}
