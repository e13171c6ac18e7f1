//! Reloads of the running daemon: by SIGHUP, by POST, and with audits and deliveries under way.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use driftwise::simulator::USERNAME;
use serde_json::json;

use crate::program::{Daemon, ask, eventually};
use crate::support::endpoint::Reply;
use crate::world::{FALLBACK, OWNER, Setup, World};

pub const ACCEPTED: &str = "driftwise_config_last_reload_successful";

pub fn sessions(ids: &[u32]) -> Setup {
    Setup { sessions: ids.iter().map(|id| format!("{{ id: {id} }}")).collect(), ..Setup::default() }
}

/// Asks for a reload and waits for its end.
pub fn reload(daemon: &Daemon) -> (u16, String) {
    ask(daemon.address, "POST", "/-/reload", "").unwrap()
}

#[test]
fn sighup_takes_up_sessions_and_repeats_and_forgets_no_open_incident() {
    let world = World::new(3, &sessions(&[14]));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let opened = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    world.simulator.set(15, "export", true);
    world.configure(&sessions(&[14, 15]));
    daemon.signal("HUP");
    daemon.until("driftwise_drift_open", &[("session", "15")], 1.0);
    eventually("both are notified of the second", || (world.mails().len() == 4).then_some(()));
    daemon.poll();
    assert_eq!(world.mails().len(), 4, "{:?}", world.notified());
    world.simulator.set(14, "export", false);
    for opening in &opened {
        eventually("the end of the first, in its thread", || {
            let ended =
                |mail: &crate::mailbox::Mail| mail.to() == opening.to() && mail.header("In-Reply-To") == opening.id();
            world.mails().into_iter().find(ended)
        });
    }
    assert!(daemon.stop().contains("reloaded the configuration"));
}

#[test]
fn a_removed_session_ends_with_its_own_reason_and_comes_back_as_new() {
    const OPERATOR: &str = "run@integrator.example";
    let operated = |ids: &[u32]| Setup { alerts: format!("operators: [{OPERATOR}]"), ..sessions(ids) };
    let world = World::new(2, &operated(&[14, 15]));
    world.simulator.set(14, "add_customer_contact", false);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    assert!(world.mails().iter().all(|mail| mail.to() == OWNER), "a warning is the owner's alone");
    world.configure(&operated(&[15]));
    assert_eq!(reload(&daemon).0, 200);
    for to in [OWNER, OPERATOR] {
        let removed = world.mail("unaudited", to);
        removed.says("is no longer checked");
        removed.says("Add Customer Contact");
    }
    daemon.until("driftwise_source_sessions", &[("state", "unaudited")], 1.0);
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_source_sessions", &[("state", "unaudited")]), Some(1.0));
    world.no_mail("resolved");
    eventually("its series go with it", || {
        daemon.metric("driftwise_session_info", &[("session", "14")]).is_none().then_some(())
    });
    world.no_mail("missing");
    world.configure(&operated(&[14, 15]));
    assert_eq!(reload(&daemon).0, 200);
    eventually("a new drift", || {
        let drifts = world.mails().into_iter().filter(|mail| mail.kind() == "drift" && mail.to() == OWNER);
        (drifts.count() == 2).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_new_fallback_is_notified_once_of_open_incidents_and_the_former_one_of_their_end() {
    const NEW: &str = "new@integrator.example";
    let world = World::new(1, &sessions(&[14]));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    for to in [OWNER, FALLBACK] {
        world.mail("drift", to);
    }
    world.edit(&[("fallback: [ops@integrator.example]", "fallback: [new@integrator.example]")]);
    assert_eq!(reload(&daemon).0, 200);
    world.mail("drift", NEW);
    daemon.poll();
    assert_eq!(world.mails().len(), 3, "{:?}", world.notified());
    world.simulator.set(14, "export", false);
    for to in [OWNER, FALLBACK, NEW] {
        world.mail("resolved", to);
    }
    daemon.stop();
}

#[test]
fn many_reloads_between_polls_repeat_nothing_and_the_last_one_holds() {
    let world = World::new(2, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    world.simulator.set(14, "export", true);
    world.simulator.set(15, "export", true);
    let polls = || daemon.metric("driftwise_source_requests_total", &[("outcome", "ok")]).unwrap();
    let before = polls();
    // Many reloads between polls that come each second.
    for round in 0..20 {
        let ids: &[u32] = if round % 2 == 0 { &[14, 15] } else { &[14] };
        world.configure(&sessions(ids));
        assert_eq!(reload(&daemon).0, 200);
    }
    world.configure(&sessions(&[14, 15]));
    assert_eq!(reload(&daemon).0, 200);
    daemon.until("driftwise_drift_open", &[("session", "15")], 1.0);
    daemon.until("driftwise_source_requests_total", &[("outcome", "ok")], before + 3.0);
    let of_first = world.mails().into_iter().filter(|mail| mail.kind() == "drift" && mail.to() == OWNER);
    let of_first = of_first.filter(|mail| mail.text.contains("erp/14")).count();
    assert_eq!(of_first, 1, "{:?}", world.notified());
    daemon.stop();
}

#[test]
fn a_removed_source_is_notified_to_its_operators_and_not_to_those_of_another_customer() {
    const GLOBAL: &str = "run@integrator.example";
    let setup = |sources: &str, sessions: &[&str]| Setup {
        sessions: sessions.iter().map(|session| String::from(*session)).collect(),
        alerts: format!("operators: [{GLOBAL}]"),
        source: format!("customer: b{sources}"),
        more: String::from(
            "customers: { a: { operators: [run@a.example] }, b: { operators: [run@b.example] } }\n\
             policies: { one: { rules: [{ id: contact, setting: add_customer_contact, expect: ticked, severity: warning }] } }\n",
        ),
        ..Setup::default()
    };
    let with = setup(
        " }\n  grid: { type: file, path: grid.csv, customer: a",
        &["{ id: 14 }", "{ source: grid, id: 7, policy: one }"],
    );
    let without = setup("", &["{ id: 14 }"]);
    // After a restart, nothing says who operated the source.
    for (restarts, operator) in [(false, "run@a.example"), (true, GLOBAL)] {
        let world = World::new(1, &with);
        std::fs::write(world.path("grid.csv"), "session_id,add_customer_contact\n7,False\n").unwrap();
        let mut daemon = world.daemon();
        world.mail("drift", OWNER);
        assert_eq!(world.mails().len(), 1, "a warning is the owner's alone: {:?}", world.notified());
        if restarts {
            daemon.stop();
            world.configure(&without);
            daemon = world.daemon();
        } else {
            world.configure(&without);
            assert_eq!(reload(&daemon).0, 200);
        }
        for to in [OWNER, operator] {
            world.mail("unaudited", to).says("is no longer checked");
        }
        daemon.poll();
        assert_eq!(world.mails().len(), 3, "{:?}", world.notified());
        daemon.stop();
    }
}

#[test]
fn a_source_is_added_and_removed_and_its_mailbox_with_it() {
    let grid = |more: &str| Setup { more: more.to_owned(), ..sessions(&[14]) };
    let world = World::new(1, &grid(""));
    std::fs::write(world.path("grid.csv"), "session_id,export\n7,True\n8,False\n").unwrap();
    std::fs::create_dir(world.path("more")).unwrap();
    let daemon = world.daemon();
    daemon.first_poll();
    let second = "include: [more/*.yaml]\n";
    let source = format!(
        "sources: {{ grid: {{ type: file, path: ../grid.csv }} }}\n\
         sessions: [{{ source: grid, id: 7, schedule: \"* * * * * *\", params: {{ notification_email: {OWNER} }} }}]\n"
    );
    std::fs::write(world.path("more/grid.yaml"), source).unwrap();
    world.configure(&grid(second));
    let (status, summary) = reload(&daemon);
    assert!(status == 200 && summary.contains("added grid"), "{summary}");
    daemon.until("driftwise_drift_open", &[("source", "grid")], 1.0);
    world.configure(&grid(""));
    let (status, summary) = reload(&daemon);
    assert!(status == 200 && summary.contains("removed grid"), "{summary}");
    eventually("its end is told", || {
        let ended = |mail: &crate::mailbox::Mail| mail.to() == OWNER && mail.text.contains("is no longer checked");
        world.mails().into_iter().find(ended)
    });
    let series = || daemon.get("/metrics").1.matches("source=\"grid\"").count();
    eventually("its series go with it", || (series() == 0).then_some(()));
    daemon.poll();
    assert_eq!(series(), 0);
    // It comes back with every counter of its own, at 0 or after its first poll.
    world.configure(&grid(second));
    assert_eq!(reload(&daemon).0, 200);
    assert_eq!(
        daemon.metric("driftwise_source_requests_total", &[("source", "grid"), ("outcome", "timeout")]),
        Some(0.0)
    );
    daemon.stop();
}

#[test]
fn mail_recorded_before_a_reload_leaves_over_the_new_server_under_its_id() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let down = Setup { email: format!("smtp: {{ host: 127.0.0.1, port: {port}, tls: none }}"), ..sessions(&[14]) };
    let world = World::new(1, &down);
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.until("driftwise_outbox_notifications", &[("state", "retrying")], 2.0);
    let recorded = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    let recorded = recorded["notifications"].as_array().unwrap().clone();
    world.configure(&sessions(&[14]));
    assert_eq!(reload(&daemon).0, 200);
    eventually("both leave", || (world.mails().len() == 2).then_some(()));
    for notification in recorded {
        let id = notification["message_id"].as_str().unwrap();
        assert!(world.mails().iter().any(|mail| mail.id() == id), "{id} is not among {:?}", world.notified());
    }
    daemon.stop();
}

#[test]
fn secrets_are_read_again() {
    let mut setup = Setup { password: String::from("old-password"), ..sessions(&[14]) };
    let world = World::new(1, &setup);
    let daemon = world.daemon();
    daemon.until("driftwise_source_up", &[], 1.0);
    world.simulator.change_credentials(USERNAME, "new-password");
    daemon.until("driftwise_source_requests_total", &[("outcome", "auth")], 1.0);
    setup.password = String::from("new-password");
    world.configure(&setup);
    assert_eq!(reload(&daemon).0, 200);
    daemon.until("driftwise_source_up", &[], 1.0);
    let said = daemon.stop();
    assert!(!said.contains("old-password") && !said.contains("new-password"), "{said}");
}

#[test]
fn a_reload_ends_no_wait_of_a_source_but_that_of_a_refused_password_that_it_replaces() {
    let wait = |status| Reply::With(status, ("retry-after", "900"), json!({}));
    let (token, rows) = (Reply::Json(200, json!("a-token")), Reply::Json(200, json!([{ "session_id": 14 }])));
    for (replies, asked, refused) in
        [(vec![wait(401), token.clone(), rows], 1, true), (vec![token, wait(429)], 2, false)]
    {
        let world = World::new(1, &sessions(&[14]));
        let endpoint = world.endpoint(replies);
        let configure = |password: &str| {
            world.configure(&Setup { password: password.to_owned(), ..sessions(&[14]) });
            world.edit(&[(&format!("http://{}", world.api), &endpoint.url)]);
        };
        configure("old");
        let daemon = world.daemon();
        for _ in 0..3 {
            daemon.poll();
            assert_eq!(reload(&daemon).0, 200);
        }
        daemon.poll();
        assert_eq!(endpoint.asked().len(), asked, "{:?}", endpoint.asked());
        configure("new");
        assert_eq!(reload(&daemon).0, 200);
        if refused {
            daemon.until("driftwise_source_up", &[], 1.0);
            let sign_in = format!("Basic {}", BASE64_STANDARD.encode(format!("{USERNAME}:new")));
            assert_eq!(endpoint.asked()[asked].header("authorization"), sign_in);
        } else {
            daemon.poll();
            assert_eq!(endpoint.asked().len(), asked, "a server that asked to wait");
        }
        daemon.stop();
    }
}

#[test]
fn a_hundred_reloads_leak_no_descriptors_threads_or_tasks() {
    let world = World::new(2, &sessions(&[14]));
    std::fs::write(world.path("grid.csv"), "session_id,export\n7,False\n").unwrap();
    let with_grid = Setup {
        sessions: vec![
            String::from("{ id: 14 }"),
            format!("{{ source: grid, id: 7, params: {{ notification_email: {OWNER} }} }}"),
        ],
        more: String::new(),
        source: String::from("timeout: 5s }\n  grid: { type: file, path: grid.csv"),
        ..Setup::default()
    };
    let daemon = world.daemon();
    daemon.first_poll();
    let used = || {
        let of = |folder: &str| std::fs::read_dir(format!("/proc/{}/{folder}", daemon.pid())).unwrap().count();
        (of("fd"), of("task"))
    };
    let round = |setup: &Setup| {
        world.configure(setup);
        let (status, text) = reload(&daemon);
        assert_eq!(status, 200, "{text}");
    };
    // Everything that is created once exists by now.
    for _ in 0..5 {
        round(&with_grid);
        round(&sessions(&[14]));
    }
    let before = used();
    for _ in 0..50 {
        round(&with_grid);
        round(&sessions(&[14]));
    }
    round(&with_grid);
    let polls = || daemon.metric("driftwise_audits_total", &[("source", "grid")]);
    daemon.until("driftwise_audits_total", &[("source", "grid")], polls().unwrap() + 1.0);
    round(&sessions(&[14]));
    eventually("the task of the removed source ends", || polls().is_none().then_some(()));
    daemon.poll();
    assert_eq!(polls(), None, "another task polls it");
    eventually("descriptors and threads are given back", || {
        let after = used();
        // A poll of the remaining source may be under way, with a connection of its own.
        (after.0 <= before.0 + 3 && after.1 <= before.1 + 3).then_some(())
    });
    daemon.stop();
}

#[test]
fn reloads_during_a_mail_outage_lose_and_repeat_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let down =
        |ids: &[u32]| Setup { email: format!("smtp: {{ host: 127.0.0.1, port: {port}, tls: none }}"), ..sessions(ids) };
    let world = World::new(4, &down(&[14, 15]));
    let daemon = world.daemon();
    daemon.first_poll();
    for round in 0..10 {
        let session = 14 + i64::from(round % 4);
        world.simulator.set(session, "export", true);
        world.configure(&down(&[14, 15, 16, 17]));
        let path = world.path("driftwise.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let limited = text.replace("defaults:\n", &format!("defaults:\n  max_polls: {}\n", 1 + round % 3));
        assert!(limited != text);
        std::fs::write(path, limited).unwrap();
        assert_eq!(reload(&daemon).0, 200);
        daemon.until("driftwise_drift_open", &[("session", &session.to_string())], 1.0);
    }
    world.configure(&sessions(&[14, 15, 16, 17]));
    assert_eq!(reload(&daemon).0, 200);
    eventually("each recipient is notified of four drifts", || (world.mails().len() == 8).then_some(()));
    daemon.poll();
    let mut sessions = world
        .mails()
        .iter()
        .map(|m| (m.to().to_owned(), m.header("X-Driftwise-Session").to_owned()))
        .collect::<Vec<_>>();
    sessions.sort();
    sessions.dedup();
    assert_eq!((sessions.len(), world.mails().len()), (8, 8), "{:?}", world.notified());
    daemon.stop();
}

#[test]
fn a_reload_while_the_program_stops_does_not_delay_the_stop() {
    let world = World::new(1, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    for _ in 0..20 {
        daemon.signal("HUP");
    }
    assert!(daemon.stop().contains("driftwise has stopped"));
}

#[test]
fn a_session_that_moves_to_another_schedule_does_not_count_polls_that_it_missed() {
    let moved = |schedule: &str| Setup {
        sessions: vec![String::from("{ id: 14 }"), format!("{{ id: 15, schedule: \"{schedule}\" }}")],
        ..Setup::default()
    };
    let verdict = |daemon: &Daemon, session: &str| {
        daemon.metric("driftwise_session_last_verdict_timestamp_seconds", &[("session", session)])
    };
    let world = World::new(2, &moved("* * * * * *"));
    let daemon = world.daemon();
    daemon.first_poll();
    daemon.poll();
    world.configure(&moved("0 0 1 1 *"));
    assert_eq!(reload(&daemon).0, 200);
    daemon.poll();
    let then = verdict(&daemon, "15").unwrap();
    daemon.until("driftwise_session_last_verdict_timestamp_seconds", &[("session", "14")], then + 2.0);
    assert_eq!(verdict(&daemon, "15"), Some(then), "its former schedule goes on without it");
    daemon.stop();
}
