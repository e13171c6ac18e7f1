//! A source that changes under its rules: a value that can no longer be read, a column that is gone, many sessions at once.

use serde_json::{Value, json};

use crate::world::{FALLBACK, OWNER, Setup, World};

/// Sessions from 14 on, and a grace period of an hour.
fn world(sessions: usize) -> World {
    let ids = (14..).take(sessions).map(|id| format!("{{ id: {id} }}")).collect();
    let world = World::new(
        sessions,
        &Setup { sessions: ids, alerts: String::from("unreachable_after: 1h"), ..Setup::default() },
    );
    world.run(&["check", "--notify"]).expect(0);
    world
}

/// The verdicts of one rule in the output of `check` or `status`, session by session.
fn verdicts(world: &World, command: &str, code: i32, rule: &str) -> Vec<Value> {
    let document = world.run(&[command, "--format", "json"]).expect(code).json();
    let findings = document["sessions"].as_array().unwrap().iter().map(|session| &session["findings"]);
    let of_rule = |findings: &Value| findings.as_array().unwrap().iter().find(|f| f["rule"] == rule).cloned();
    findings.filter_map(of_rule).map(|finding| finding["verdict"].clone()).collect()
}

#[test]
fn a_schedule_that_can_no_longer_be_read_is_mailed_as_drift_as_it_was_sent() {
    for (value, shown) in [(json!("Whenever"), "Whenever"), (json!("Manual"), "Manual"), (Value::Null, "null")] {
        let world = world(1);
        let rule = "schedule-every-5-minutes";
        world.simulator.set(14, "schedule", value);
        assert_eq!(verdicts(&world, "check", 1, rule), ["drifted"], "check reads the store");
        world.run(&["check", "--notify"]).expect(1);
        world.mail("drift", OWNER).says(shown);
        world.no_mail("unverifiable");
        assert_eq!(verdicts(&world, "check", 1, rule), ["drifted"]);
        assert_eq!(verdicts(&world, "status", 1, rule), ["drifted"]);
        world.run(&["check", "--notify"]).expect(1);
        world.simulator.set(14, "schedule", "Every 5 minutes");
        world.run(&["check", "--notify"]).expect(0);
        world.mail("resolved", OWNER);
        assert_eq!(world.mails().len(), 4, "owner and fallback, twice: {:?}", world.notified());
    }
}

#[test]
fn a_renamed_column_is_one_mail_that_names_both() {
    let world = world(2);
    for session in [14, 15] {
        world.simulator.unset(session, "transfer_type");
        world.simulator.set(session, "TransferTypeName", "Web Service");
    }
    world.run(&["check", "--notify"]).expect(3);
    let mail = world.mail("source_changed", FALLBACK);
    mail.says("Column \"transfer_type\" is gone from definition 61; \"TransferTypeName\" is new. Renamed?");
    assert_eq!(mail.all("X-Driftwise-Source"), ["erp"]);
    assert_eq!(verdicts(&world, "status", 3, "transfer-type-web-service"), ["unverifiable"; 2]);
    let status = world.run(&["status"]).expect(3).out;
    assert!(status.contains("erp changed, first seen ") && status.contains("Renamed?"), "{status}");
    world.edit(&[("timeout: 5s", "timeout: 5s, columns: { transfer_type: TransferTypeName }")]);
    world.run(&["check", "--notify"]).expect(0);
    world.mail("recovered", FALLBACK);
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
}

#[test]
fn many_sessions_that_begin_to_fail_in_one_poll_are_one_mail() {
    let world = world(6);
    for session in 14..20 {
        world.simulator.set(session, "export", "maybe");
    }
    assert_eq!(verdicts(&world, "check", 3, "export-off"), ["unverifiable"; 6]);
    world.run(&["check", "--notify"]).expect(3);
    world.mail("source_changed", FALLBACK).says("6 of 6 sessions");
    world.run(&["check", "--notify"]).expect(3);
    assert_eq!(world.mails().len(), 1, "{:?}", world.notified());
    for session in 14..19 {
        world.simulator.set(session, "export", false);
    }
    world.run(&["check", "--notify"]).expect(1);
    let drift = world.mail("drift", OWNER);
    assert_eq!(drift.all("X-Driftwise-Session"), ["erp/19"]);
    drift.says("maybe");
}

#[test]
fn a_setting_that_only_a_pattern_watches_and_no_session_has_any_more_is_one_mail_and_forgotten() {
    let world = world(2);
    for session in [14, 15] {
        world.simulator.unset(session, "order_prefix");
    }
    for _ in 0..3 {
        world.run(&["check", "--notify"]).expect(0);
    }
    world.mail("source_changed", FALLBACK).says("Column \"order_prefix\" is gone from definition 61");
    for session in [14, 15] {
        world.simulator.set(session, "order_prefix", "other than before");
    }
    world.run(&["check", "--notify"]).expect(0);
    assert_eq!(world.mails().len(), 1, "{:?}", world.notified());
    world.run(&["status"]).expect(0);
}
