//! `renamed_from`: a source continues under another name.

use driftwise::simulator::Mode;

use crate::program::{Daemon, ask, eventually};
use crate::world::{FALLBACK, OWNER, Setup, World};

fn setup() -> Setup {
    Setup { sessions: vec![String::from("{ id: 14 }"), String::from("{ id: 15 }")], ..Setup::default() }
}

/// The configuration of `setup`, with its source called `shop`.
fn renamed(world: &World, setup: &Setup) {
    world.configure(setup);
    let path = world.path("driftwise.yaml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (before, after) in [("  erp: { type", "  shop: { renamed_from: erp, type"), ("source: erp", "source: shop")] {
        assert!(text.contains(before));
        text = text.replace(before, after);
    }
    std::fs::write(path, text).unwrap();
}

fn reload(daemon: &Daemon) -> (u16, String) {
    ask(daemon.address, "POST", "/-/reload", "").unwrap()
}

/// A daemon that has notified of a drift, and its mails.
fn drifted() -> (World, Daemon, [crate::mailbox::Mail; 2]) {
    let world = World::new(2, &setup());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let openings = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    (world, daemon, openings)
}

/// Asserts that there is no second notification of the drift, and that it ends in the threads of its openings, under the new
/// name.
fn goes_on(world: &World, daemon: &Daemon, openings: &[crate::mailbox::Mail]) {
    daemon.until("driftwise_drift_open", &[("source", "shop"), ("session", "14")], 1.0);
    daemon.poll();
    assert_eq!(world.mails().len(), openings.len(), "{:?}", world.notified());
    world.simulator.set(14, "export", false);
    for opening in openings {
        let end = eventually("the end in its thread", || {
            world.mails().into_iter().find(|m| m.to() == opening.to() && m.header("In-Reply-To") == opening.id())
        });
        assert_eq!((end.kind(), end.header("X-Driftwise-Session")), ("resolved", "shop/14"));
    }
    daemon.poll();
    assert_eq!(world.mails().len(), 2 * openings.len(), "{:?}", world.notified());
}

#[test]
fn a_source_renamed_by_a_reload_keeps_its_incidents_and_history() {
    let (world, daemon, openings) = drifted();
    renamed(&world, &setup());
    let (status, summary) = reload(&daemon);
    assert!(status == 200 && summary.contains("renamed erp to shop"), "{summary}");
    // Once: the same configuration again moves nothing.
    let (status, summary) = reload(&daemon);
    assert!(status == 200 && !summary.contains("renamed"), "{summary}");
    let history = world.run(&["history", "--session", "shop/14", "--format", "json"]).expect(0).json();
    let notified = history["notifications"].as_array().unwrap();
    assert_eq!(notified.len(), openings.len(), "{history}");
    eventually("both mails on the page of the session", || {
        let page = daemon.get("/sessions/shop/14").1;
        (page.matches("Mail sent to ").count() == openings.len()).then_some(())
    });
    goes_on(&world, &daemon, &openings);
    assert_eq!(daemon.metric("driftwise_session_info", &[("source", "erp")]), None);
    let shown = world.run(&["notifications", "show", "1"]).expect(0).out;
    assert!(shown.contains("  - drift of export (rule export-off) in shop/14: opened; notified as "), "{shown}");
    daemon.kill();
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.mails().len(), 4, "{:?}", world.notified());
    daemon.stop();
}

#[test]
fn a_source_renamed_between_two_runs_keeps_its_incidents() {
    let (world, daemon, openings) = drifted();
    daemon.kill();
    renamed(&world, &setup());
    // An audit of a command moves it as a start of the daemon does.
    world.run(&["check", "--notify"]).expect(1);
    let daemon = world.daemon();
    goes_on(&world, &daemon, &openings);
    assert!(!daemon.stop().contains("moved state and history"));
}

#[test]
fn a_source_renamed_in_an_outage_is_polled_at_once() {
    let setup = Setup {
        sessions: vec![String::from("{ id: 14, schedule: \"0 0 1 1 *\" }")],
        alerts: String::from("unreachable_after: 1h"),
        ..Setup::default()
    };
    let world = World::new(1, &setup);
    world.run(&["check", "--notify"]).expect(0);
    world.simulator.fail(Mode::ServerError, None);
    let daemon = world.daemon();
    let failed = |source| [("source", source), ("outcome", "unreachable")];
    daemon.until("driftwise_audits_total", &failed("erp"), 1.0);
    renamed(&world, &setup);
    assert_eq!(reload(&daemon).0, 200);
    daemon.until("driftwise_audits_total", &failed("shop"), 1.0);
    daemon.stop();
}

#[test]
fn a_purge_finds_what_was_sent_before_the_rename() {
    let (world, daemon, _) = drifted();
    daemon.stop();
    renamed(&world, &setup());
    world.edit(&[("\n  - { id: 14 }", "")]);
    let daemon = world.daemon();
    daemon.poll();
    world.mail("unaudited", OWNER);
    daemon.stop();
    world.run(&["purge", "--session", "shop/14"]).expect(0);
    let left = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    assert_eq!(left, serde_json::json!({ "notifications": [] }));
}

#[test]
fn renames_under_way_tear_no_poll_apart() {
    let (world, daemon, openings) = drifted();
    for round in 0..20 {
        renamed(&world, &setup());
        if round % 2 == 1 {
            // Renames it back.
            let path = world.path("driftwise.yaml");
            let text = std::fs::read_to_string(&path).unwrap();
            let back = text.replace("shop: { renamed_from: erp", "erp: { renamed_from: shop");
            let back = back.replace("source: shop", "source: erp");
            assert!(back != text);
            std::fs::write(path, back).unwrap();
        }
        let (status, summary) = reload(&daemon);
        assert!(status == 200 && summary.contains("renamed"), "{summary}");
    }
    renamed(&world, &setup());
    assert_eq!(reload(&daemon).0, 200);
    goes_on(&world, &daemon, &openings);
    assert!(!daemon.stop().contains("failed to record"));
}

#[test]
fn a_new_name_with_its_own_state_keeps_it_and_the_log_has_a_warning() {
    let world = World::new(2, &setup());
    let daemon = world.daemon();
    daemon.first_poll();
    // Renamed without `renamed_from` at first: both names have been polled now.
    renamed(&world, &setup());
    let path = world.path("driftwise.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let silent = text.replace("renamed_from: erp, ", "");
    assert!(silent != text);
    std::fs::write(&path, silent).unwrap();
    assert_eq!(reload(&daemon).0, 200);
    daemon.until("driftwise_source_up", &[("source", "shop")], 1.0);
    std::fs::write(&path, text).unwrap();
    let (status, summary) = reload(&daemon);
    assert!(status == 200 && !summary.contains("renamed"), "{summary}");
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_session_info", &[("source", "shop")]), Some(2.0));
    assert!(daemon.stop().contains("already has state under its new name"));
}
