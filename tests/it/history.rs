//! `history`: past events and notifications, for people and for scripts.

use driftwise::simulator::Mode;

use crate::program::eventually;
use crate::world::{OWNER, Setup, World};

#[test]
fn history_lists_events_oldest_first_with_times_in_the_zone_of_the_session() {
    let sessions = vec![String::from("{ id: 14, timezone: America/New_York }"), String::from("{ id: 15 }")];
    let world = World::new(2, &Setup { sessions, ..Setup::default() });
    assert_eq!(world.run(&["history"]).expect(0).out, "There are no events to show.\n");
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.poll();
    world.simulator.set(14, "export", false);
    world.simulator.set(15, "import_orders_as", "j.doe");
    let events = |arguments: &[&str]| {
        let document = world.run(&[&["history", "--format", "json"], arguments].concat()).expect(0).json();
        document["events"].as_array().unwrap().clone()
    };
    let all = eventually("events", || {
        let incidents =
            |events: &[serde_json::Value]| events.iter().filter(|event| event["incident"].is_string()).count();
        Some(events(&[])).filter(|events| incidents(events) == 3)
    });
    daemon.stop();
    let times = all.iter().map(|event| event["at"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(times.is_sorted(), "{times:?}");
    let first = &all[0];
    assert_eq!((first["event"].as_str(), first["session"].as_str()), (Some("opened"), Some("erp/14")));
    assert_eq!(first["words"], "Export was found ticked; it should be unticked");
    let of_one = events(&["--session", "erp/15"]);
    assert!(!of_one.is_empty() && of_one.iter().all(|event| event["session"] == "erp/15"), "{of_one:?}");
    assert_eq!(events(&["--since", "2h"]), all);
    assert_eq!(events(&["--since", "2099-01-01"]), Vec::<serde_json::Value>::new());

    let text = world.run(&["history", "--session", "erp/14"]).expect(0).out;
    assert!(text.contains(" EST  erp/14  ") || text.contains(" EDT  erp/14  "), "{text}");
    assert!(text.contains("Export is as it should be again") && !text.contains("erp/15"), "{text}");
    world.simulator.fail(Mode::Html, None);
    world.run(&["check", "--notify"]).expect(3);
    let text = world.run(&["history", "--session", "erp/14"]).expect(0).out;
    let last = text.lines().rev().find(|line| !line.contains("Notification ")).unwrap();
    assert!(last.contains("  erp      The source could not be read: "), "{text}");
    let last = world.run(&["history", "--limit", "1"]).expect(0);
    let lines = last.out.lines().skip(1).collect::<Vec<_>>();
    let notified = lines.iter().filter(|line| line.contains("Notification ")).count();
    assert_eq!((lines.len(), notified), (2, 1), "the newest event and what was notified since: {}", last.out);
    assert!(last.err.contains("older entries are not shown"), "{}", last.err);
}

#[test]
fn history_says_who_was_notified_and_why_and_what_was_held_back() {
    let rule = "{ id: minor, setting: add_delivery_address, expect: ticked, severity: info }";
    let more = format!(
        "policies: {{ ours: {{ extends: orderwise-shopify, without: [add-delivery-address], rules: [{rule}] }} }}\n"
    );
    let sessions = vec![String::from("{ id: 14, policy: ours }")];
    let world = World::new(1, &Setup { sessions, more, ..Setup::default() });
    world.simulator.set(14, "export", true);
    world.simulator.set(14, "add_delivery_address", false);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    let document = || world.run(&["history", "--session", "erp/14", "--format", "json"]).expect(0).json();
    let all = eventually("suppression", || Some(document()).filter(|all| all["suppressions"][0].is_object()));
    let page = daemon.get("/sessions/erp/14").1;
    daemon.stop();
    let held = &all["suppressions"][0];
    assert_eq!((&held["session"], &held["reason"]), (&"erp/14".into(), &"below_severity".into()));
    let words = held["words"].as_str().unwrap();
    assert!(words.ends_with(": no notification, because it is below min_severity"), "{words}");
    let owner = all["notifications"].as_array().unwrap().iter().find(|sent| sent["to"] == OWNER).unwrap();
    let because = &owner["reason"]["because"][0];
    assert_eq!(because["role"], "owner");
    assert_eq!(because["what"], "drift of export (rule export-off) in erp/14");
    let text = world.run(&["history", "--session", "erp/14"]).expect(0).out;
    let why = "(why: drift of export (rule export-off) in erp/14: opened; notified as owner)";
    let page = page.replace("&#x2f;", "/");
    for shown in [&text, &page] {
        assert!(shown.contains(words) && shown.contains(why), "{shown}");
    }
}

#[test]
fn a_grace_period_that_holds_a_mail_back_is_in_the_history_and_in_the_status() {
    let world = World::new(1, &Setup { alerts: String::from("unreachable_after: 1h"), ..Setup::default() });
    world.simulator.fail(Mode::Html, None);
    world.run(&["check", "--notify"]).expect(3);
    let words = "The source: no notification, because it had not lasted for its grace period, unreachable_after";
    let history = |more: &[&str]| world.run(&[&["history", "--session", "erp/14"], more].concat()).expect(0);
    let held = &history(&["--format", "json"]).json()["suppressions"][0];
    assert_eq!((&held["reason"], &held["words"]), (&"grace_period".into(), &words.into()));
    assert!(history(&[]).out.contains(words), "{}", history(&[]).out);
    let status = world.run(&["status"]).expect(3).out;
    assert!(status.contains("erp: no mail yet: the grace period (unreachable_after) lasts until "), "{status}");
    assert!(world.mails().is_empty(), "{:?}", world.notified());
}

#[test]
fn history_refuses_an_unknown_session_and_an_unreadable_time() {
    let world = World::new(1, &Setup::default());
    for (arguments, words) in [
        (["--session", "erp/99"], "the configuration does not audit it"),
        (["--session", "14"], "a session is named SOURCE/ID"),
        (["--since", "yesterday"], "is not a time"),
        (["--limit", "0"], "--limit"),
    ] {
        let refused = world.run(&["history", arguments[0], arguments[1]]).expect(2);
        assert!(refused.err.contains(words) && refused.out.is_empty(), "{arguments:?}: {}", refused.err);
    }
    world.run(&["history", "--session", "erp/14"]).expect(0);
}
