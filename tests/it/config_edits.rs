//! The effect of an edited configuration on open incidents, over a restart.

use chrono::TimeDelta;
use driftwise::clock::ManualClock;

use crate::world::{FALLBACK, OWNER, Setup, World, moment};

const RULE: &str =
    "policies:\n  ours:\n    extends: orderwise-shopify\n    rules:\n      - { id: export-off, setting: export, ";

fn with_rule(rule: &str) -> Setup {
    let sessions = ["{ id: 14, policy: ours }", "{ id: 15 }"].map(String::from).to_vec();
    Setup { sessions, more: format!("{RULE}{rule} }}\n"), ..Setup::default() }
}

#[test]
fn another_wording_or_severity_sends_no_second_notification() {
    let world = World::new(2, &with_rule("expect: unticked, severity: critical, why: Because."));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let opened = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    opened[0].says("Because.");
    daemon.stop();
    for rule in ["expect: unticked, severity: critical, why: For a reason.", "expect: unticked, severity: warning"] {
        world.configure(&with_rule(rule));
        let daemon = world.daemon();
        daemon.poll();
        assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
        assert_eq!(daemon.metric("driftwise_drift_open", &[("rule", "export-off")]), Some(1.0));
        daemon.stop();
    }
    world.simulator.set(14, "export", false);
    let daemon = world.daemon();
    for opening in &opened {
        // The recipients of the opening also get the end.
        assert_eq!(world.mail("resolved", opening.to()).header("In-Reply-To"), opening.id());
    }
    daemon.stop();
}

#[test]
fn a_changed_baseline_ends_a_drift_without_claiming_a_repair() {
    let world = World::new(2, &with_rule("expect: unticked, severity: critical"));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    daemon.stop();
    world.configure(&with_rule("expect: ticked, severity: critical"));
    let daemon = world.daemon();
    let ended = world.mail("resolved", OWNER);
    ended.says("The expected value changed");
    assert!(!ended.text.contains("Put right"), "{}", ended.text);
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_drift_open", &[]), None);
    daemon.stop();
}

#[test]
fn a_removed_session_ends_its_drift_with_a_mail_that_says_so() {
    let world = World::new(2, &with_rule("expect: unticked, severity: critical"));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let opened = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    daemon.stop();
    world.configure(&Setup { sessions: vec![String::from("{ id: 15 }")], ..Setup::default() });
    let daemon = world.daemon();
    for opening in &opened {
        let ended = world.mail("unaudited", opening.to());
        ended.says("is no longer checked");
        ended.says("Not put right");
        assert_eq!(ended.header("In-Reply-To"), opening.id());
    }
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_session_info", &[("session", "14")]), None, "its series go with it");
    world.no_mail("missing");
    world.no_mail("resolved");
    assert_eq!(daemon.metric("driftwise_source_sessions", &[("state", "unaudited")]), Some(1.0));
    daemon.stop();
}

#[test]
fn a_drift_below_min_severity_is_notified_once_when_its_severity_rises() {
    let world = World::new(2, &with_rule("expect: unticked, severity: info"));
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.set(14, "export", true);
    let inside = world.inside(&clock);
    inside.until("driftwise_drift_open", &[("severity", "info")], 1.0);
    inside.stop();
    assert!(world.mails().is_empty(), "{:?}", world.notified());
    world.configure(&with_rule("expect: unticked, severity: critical"));
    clock.advance(TimeDelta::minutes(5));
    let inside = world.inside(&clock);
    inside.until("driftwise_drift_open", &[("severity", "critical")], 1.0);
    let sent = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    assert!(sent.iter().all(|mail| mail.header("In-Reply-To").is_empty()));
    clock.advance(TimeDelta::minutes(5));
    inside.until("driftwise_audit_duration_seconds_count", &[("phase", "record")], 2.0);
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
    inside.stop();
}
