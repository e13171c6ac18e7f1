//! The effect of each response of a source on an audit, in the output of `check --format json`.

use std::time::Duration;

use driftwise::simulator::Mode;
use serde_json::{Value, json};

use crate::world::{Setup, World};

/// The first session as `check` prints it, with the exit code asserted.
#[track_caller]
fn check(world: &World, code: i32) -> Value {
    let done = world.run(&["check", "--format", "json"]).expect(code);
    done.json()["sessions"][0].clone()
}

fn finding<'a>(session: &'a Value, rule: &str) -> &'a Value {
    let findings = session["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["rule"] == rule).unwrap_or_else(|| panic!("{rule} in {session}"))
}

#[test]
fn an_answer_that_holds_no_sessions_makes_the_source_unreachable() {
    let world = World::new(2, &Setup { source: String::from("timeout: 1s, max_body: 64KiB"), ..Setup::default() });
    let faults = [
        (Mode::Unauthorized, "sign-in"),
        (Mode::TokenExpired, "401"),
        (Mode::Forbidden, "403"),
        (Mode::NotFound, "404"),
        (Mode::RateLimited(Some(String::from("1"))), "429"),
        (Mode::ServerError, "500"),
        (Mode::BadRequest, "400"),
        (Mode::Redirect, "302"),
        (Mode::Html, "HTML"),
        (Mode::EmptyArray, "no session"),
        (Mode::Null, "no session"),
        (Mode::NoContent, "no session"),
        (Mode::Truncated, "cut off"),
        (Mode::NotUtf8, "UTF-8"),
        (Mode::TooLarge, "64"),
        (Mode::GzipBomb, "64"),
        (Mode::Stall, "1 s"),
        (Mode::Slow(Duration::from_millis(400)), "1 s"),
        (Mode::Drop, "in the middle of its answer"),
        (Mode::ArrayOfNumbers, "a number instead of an object"),
        (Mode::Object, "a single object instead of a list"),
    ];
    for (fault, words) in faults {
        world.simulator.fail(fault.clone(), None);
        let session = check(&world, 3);
        let reason = session["reason"].as_str().unwrap();
        assert_eq!(session["status"], "unreachable", "{fault:?}");
        assert!(reason.contains(words), "{fault:?}: {reason}");
        assert_eq!(session["findings"], json!([]), "{fault:?}");
    }
    world.simulator.heal();
    assert_eq!(check(&world, 0)["status"], "compliant");
}

#[test]
fn a_readable_row_is_compliant_or_drifted_by_the_rule() {
    let world = World::new(1, &Setup::default());
    let session = check(&world, 0);
    assert_eq!((&session["session"], &session["name"]), (&json!("erp/14"), &json!("acme-uk.myshopify.com")));
    assert_eq!((&session["status"], &session["reason"]), (&json!("compliant"), &Value::Null));
    assert_eq!(session["policy"], "orderwise-shopify");
    for spelling in [json!(true), json!(1), json!("True "), json!("Y"), json!("-1"), json!("on")] {
        world.simulator.set(14, "export", spelling);
        let session = check(&world, 1);
        assert_eq!(session["status"], "drifted");
        let expected = json!({ "rule": "export-off", "setting": "export", "verdict": "drifted", "severity": "critical",
            "expected": "unticked", "found": "ticked", "reason": null });
        assert_eq!(finding(&session, "export-off"), &expected);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_unverifiable_with_the_value_in_the_reason() {
    let world = World::new(1, &Setup::default());
    let cases = [
        ("export", Value::Null, "export-off", "null"),
        ("schedule", Value::Null, "schedule-every-5-minutes", "null"),
        ("export", json!(""), "export-off", "empty"),
        ("export", json!("perhaps"), "export-off", "perhaps"),
        ("schedule", json!("when the moon is full"), "schedule-every-5-minutes", "moon"),
        ("customer_validation_2", Value::Null, "customer-validation-all", "null"),
    ];
    for (setting, value, rule, words) in cases {
        world.simulator.set(14, setting, value.clone());
        let session = check(&world, 3);
        let finding = finding(&session, rule);
        assert_eq!((&session["status"], &finding["verdict"]), (&json!("unverifiable"), &json!("unverifiable")));
        let reason = finding["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{setting} {value}: {reason}");
        assert!(session["reason"].as_str().unwrap().contains(words), "{session}");
        world.simulator.add_session(14);
    }
}

#[test]
fn a_column_that_is_missing_or_comes_twice_is_unverifiable() {
    let world = World::new(1, &Setup::default());
    world.simulator.fail(Mode::MissingColumn(String::from("transfer_type")), None);
    assert_eq!(finding(&check(&world, 3), "transfer-type-web-service")["verdict"], "unverifiable");
    world.simulator.fail(Mode::RepeatedKey(String::from("export")), None);
    let session = check(&world, 3);
    assert_eq!(finding(&session, "export-off")["verdict"], "unverifiable");
    assert!(finding(&session, "export-off")["reason"].as_str().unwrap().contains("more than once"), "{session}");
}

#[test]
fn a_group_with_too_few_members_never_passes() {
    let world = World::new(1, &Setup::default());
    let rule = "customer-validation-all";
    world.simulator.unset(14, "customer_validation_4");
    assert_eq!(finding(&check(&world, 3), rule)["verdict"], "unverifiable");
    for member in 1..=3 {
        world.simulator.unset(14, &format!("customer_validation_{member}"));
    }
    assert_eq!(finding(&check(&world, 3), rule)["verdict"], "unverifiable");
    world.simulator.set(14, "customer_validation_1", false);
    assert_eq!(finding(&check(&world, 1), rule)["verdict"], "drifted", "an unticked member is drift");
}

#[test]
fn a_session_without_a_row_is_missing_and_one_with_two_is_unverifiable() {
    let sessions = vec![String::from("{ id: 14 }"), String::from("{ id: \"15\" }")];
    let world = World::new(2, &Setup { sessions, ..Setup::default() });
    world.simulator.fail(Mode::MissingSession, None);
    let done = world.run(&["check", "--format", "json"]).expect(3);
    let sessions = &done.json()["sessions"];
    assert_eq!((&sessions[0]["session"], &sessions[0]["status"]), (&json!("erp/14"), &json!("missing")));
    assert_eq!((&sessions[1]["session"], &sessions[1]["status"]), (&json!("erp/15"), &json!("compliant")));
    assert!(sessions[0]["reason"].as_str().unwrap().contains("no row for this one"));
    world.simulator.fail(Mode::DuplicateRows, None);
    let session = check(&world, 3);
    assert_eq!((&session["session"], &session["status"]), (&json!("erp/14"), &json!("unverifiable")));
    assert!(session["reason"].as_str().unwrap().contains("row"), "{session}");
    world.simulator.set(15, "export", true);
    let done = world.run(&["check", "--format", "json"]).expect(1);
    assert_eq!(done.json()["sessions"][0]["session"], "erp/15", "worst first; drift decides the exit code");
}
