//! Behaviour that only the modules together have.

use std::fs::File;
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use driftwise::clock::ManualClock;
use driftwise::simulator::{Mode, Simulator};
use serde_json::json;

use crate::program::{Daemon, driftwise, eventually, eventually_or, run};
use crate::server::Server;
use crate::support::port::ClosedPort;
use crate::world::{FALLBACK, OWNER, Setup, World, moment};

#[test]
fn confirmation_is_counted_across_restarts() {
    let alerts = String::from("confirm_polls: 3, resolve_polls: 2");
    let world = World::new(1, &Setup { alerts, ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    let mut late = Vec::new();
    // One poll, and this many mails before the program stops.
    let mut poll = |mails: usize| {
        let inside = world.inside(&clock);
        inside.until("driftwise_audit_duration_seconds_count", &[("phase", "record")], 1.0);
        let open = inside.metric("driftwise_drift_open", &[]);
        eventually_or(
            || format!("{mails} mails: {:?}", world.notified()),
            || (world.mails().len() == mails).then_some(()),
        );
        late.push(inside.metric("driftwise_audits_late_total", &[("reason", "downtime")]).unwrap());
        inside.stop();
        clock.advance(TimeDelta::minutes(5));
        open
    };
    world.simulator.set(14, "import_orders_as", "j.doe");
    assert_eq!([poll(0), poll(0)], [None, None]);
    assert!(world.mails().is_empty());
    assert_eq!(poll(1), Some(1.0));
    world.mail("drift", OWNER);
    world.simulator.set(14, "import_orders_as", "Shopify_Orders");
    assert_eq!([poll(1), poll(2)], [Some(1.0), None]);
    world.mail("resolved", OWNER);
    assert_eq!(world.mails().len(), 2);
    assert_eq!(late, [0.0, 1.0, 1.0, 1.0, 1.0], "polls were due while no daemon was running");
}

#[test]
fn a_first_poll_that_could_see_nothing_is_not_the_first_poll() {
    let world = World::new(3, &Setup::default());
    world.simulator.fail(Mode::NoContent, None);
    let daemon = world.daemon();
    world.mail("unreachable", FALLBACK);
    world.simulator.heal();
    world.mail("recovered", FALLBACK);
    daemon.poll();
    assert_eq!(world.mails().len(), 2, "two unaudited sessions were there before: {:?}", world.notified());
}

#[test]
fn pinned_settings_are_watched_and_later_settings_are_pinned_when_they_appear() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "price_list_id", 4);
    world.run(&["check", "--notify"]).expect(0);
    world.simulator.set(14, "price_list_id", 5);
    world.simulator.set(14, "brand_new", "x");
    let check = world.run(&["check", "--format", "json"]).expect(1).json();
    let drifted = |check: &serde_json::Value| {
        let findings = check["sessions"][0]["findings"].as_array().unwrap().clone();
        findings.into_iter().filter(|f| f["verdict"] == "drifted").map(|f| f["setting"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(drifted(&check), [json!("price_list_id")]);
    world.run(&["check", "--notify"]).expect(1);
    world.mail("drift", OWNER).says("price_list_id");
    world.simulator.set(14, "brand_new", "y");
    world.simulator.set(14, "price_list_id", 4);
    let check = world.run(&["check", "--format", "json"]).expect(1).json();
    assert_eq!(drifted(&check), [json!("brand_new")]);
    world.simulator.set(14, "brand_new", "x");
    world.simulator.unset(14, "order_prefix");
    // The source no longer returns it for one session, and still does for others.
    world.simulator.add_session(15);
    let check = world.run(&["check", "--format", "json"]).expect(3).json();
    assert!(check["sessions"][0]["reason"].as_str().unwrap().contains("order_prefix"), "{check}");
}

#[test]
fn hostile_text_from_the_source_ends_no_header_and_begins_no_tag() {
    let world = World::new(1, &Setup::default());
    let evil = "x\r\nBcc: thief@evil.example\r\n\r\n<script>alert(1)</script>";
    world.simulator.set(14, "name", evil);
    world.simulator.set(14, "import_orders_as", evil);
    let daemon = world.daemon();
    let mail = world.mail("drift", OWNER);
    assert!(mail.all("Bcc").is_empty() && !mail.html.contains("<script"), "{}", mail.html);
    for page in ["/", "/sessions/erp/14"] {
        let (status, html) = daemon.get(page);
        assert!(status == 200 && !html.contains("<script>alert"), "{html}");
    }
    let (_, metrics) = daemon.get("/metrics");
    assert!(!metrics.contains("evil"));
    let said = daemon.stop();
    assert!(said.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{said}");
}

#[test]
fn one_address_in_two_spellings_is_one_recipient() {
    let sessions = vec![format!("{{ id: 14, owners: [Integrations@ACME.example, {OWNER}, {OWNER}] }}")];
    let alerts = String::from("unreachable_after: 0");
    let world = World::new(1, &Setup { sessions, alerts, ..Setup::default() });
    world.simulator.set(14, "notification_email", "");
    let daemon = world.daemon();
    world.mail("drift", FALLBACK);
    daemon.poll();
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
}

#[test]
fn a_customers_own_fallback_contact_and_zone_are_used() {
    let more = "customers:\n  acme: { fallback: [it@acme.example], contact: \"Support, +44 20 7946 0000\", \
                reply_to: support@integrator.example, timezone: America/New_York }\n";
    let source = String::from("timeout: 5s, customer: acme");
    for (now, said) in
        [("2026-11-23T14:00:00Z", "Mon 23 Nov 2026 09:00 EST"), ("2026-07-23T14:00:00Z", "Thu 23 Jul 2026 10:00 EDT")]
    {
        let world = World::new(1, &Setup { source: source.clone(), more: more.to_owned(), ..Setup::default() });
        world.simulator.set(14, "export", true);
        let clock = ManualClock::new(moment(now));
        let inside = world.inside(&clock);
        let mail = world.mail("drift", "it@acme.example");
        mail.says("Support, +44 20 7946 0000");
        mail.says(said);
        assert_eq!(mail.header("Reply-To"), "support@integrator.example");
        world.simulator.fail(Mode::Html, None);
        clock.advance(TimeDelta::seconds(5));
        assert_eq!(world.mail("unreachable", "it@acme.example").header("Reply-To"), "support@integrator.example");
        assert!(world.mails().iter().all(|mail| mail.to() != FALLBACK), "{:?}", world.notified());
        assert_eq!(inside.metric("driftwise_session_info", &[("customer", "acme")]), Some(1.0));
        inside.stop();
    }
}

#[test]
fn a_source_that_hangs_does_not_delay_another() {
    let world = World::new(1, &Setup { source: String::from("timeout: 60s"), ..Setup::default() });
    let grid = "session_id,name,export\n7,shop,Y\n";
    std::fs::write(world.path("grid.csv"), grid).unwrap();
    world.edit(&[
        ("defaults:\n", "  zz: { type: file, path: grid.csv }\ndefaults:\n"),
        ("  - { id: 14 }", "  - { id: 14 }\n  - { source: zz, id: 7 }"),
    ]);
    world.simulator.fail(Mode::Stall, None);
    let daemon = world.daemon();
    daemon.until("driftwise_audits_total", &[("source", "zz"), ("outcome", "ok")], 3.0);
    assert_eq!(world.mail("drift", FALLBACK).all("X-Driftwise-Session"), ["zz/7"]);
    assert_eq!(daemon.metric("driftwise_session_status", &[("source", "erp"), ("status", "pending")]), Some(1.0));
    assert_eq!(daemon.get("/readyz").0, 200);
}

#[test]
fn an_old_export_does_not_pass_for_ever() {
    let world = World::with(Simulator::new(0), &Setup::default());
    std::fs::write(world.path("grid.csv"), "session_id,export\n7,False\n").unwrap();
    let text = "sources: { grid: { type: file, path: grid.csv, max_age: 24h } }\n\
                policies: { p: { rules: [{ id: export-off, setting: export, expect: unticked }] } }\n\
                sessions: [{ source: grid, id: 7, policy: p, owners: [it@acme.example] }]\n";
    std::fs::write(world.path("driftwise.yaml"), text).unwrap();
    world.run(&["check"]).expect(0);
    let old = SystemTime::now() - Duration::from_hours(25);
    File::options().append(true).open(world.path("grid.csv")).unwrap().set_modified(old).unwrap();
    let stale = world.run(&["check", "--format", "json"]).expect(3).json();
    assert_eq!(stale["sessions"][0]["status"], "unreachable");
    std::fs::remove_file(world.path("grid.csv")).unwrap();
    world.run(&["check"]).expect(3);
    assert!(world.run(&["run"]).expect(2).err.contains("email"), "only check needs no email");
}

#[test]
fn commands_that_send_report_mail_that_cannot_be_sent() {
    let closed = ClosedPort::hold();
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", closed.number);
    let world = World::new(1, &Setup { email, ..Setup::default() });
    let server = format!("127.0.0.1:{}", closed.number);
    let test = world.run(&["notifications", "test", "--to", OWNER]).expect(4);
    assert!(test.err.contains("failed to send the test notification") && test.err.contains(&server), "{}", test.err);
    world.simulator.set(14, "import_orders_as", "j.doe");
    let notify = world.run(&["check", "--notify"]).expect(1);
    assert!(notify.err.contains("1 notification recorded; 0 sent, 1 will be retried"), "{}", notify.err);
    let online = world.run(&["validate", "--online"]).expect(3);
    assert!(online.out.contains("mail: FAILED"), "{}", online.out);
}

#[test]
fn check_with_notify_keeps_the_rate_limit_of_the_mail_server() {
    let server = Server::start(json!({ "mode": "none" }));
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none, max_per_minute: 3 }}", server.port);
    let owners = (0..12).map(|n| format!("person{n}@acme.example")).collect::<Vec<_>>().join(", ");
    let sessions = vec![format!("{{ id: 14, owners: [{owners}] }}")];
    let world = World::new(1, &Setup { sessions, email, ..Setup::default() });
    world.simulator.set(14, "import_orders_as", "j.doe");
    let mut check = Daemon::launch(driftwise(world.folder()).args(["check", "--notify"]), ([127, 0, 0, 1], 0).into());
    let sent = || {
        let list = world.run(&["notifications", "list", "--format", "json"]);
        let list = list.code.filter(|code| *code == 0).map(|_| list.json())?;
        let messages = list["notifications"].as_array().unwrap().clone();
        let sent = messages.iter().filter(|message| message["state"] == "sent").count();
        (sent >= 3).then_some((sent, messages))
    };
    let (sent, messages) = eventually("three messages", sent);
    assert_eq!(check.ended(), None, "it waits for the next minute");
    let tried = messages.iter().filter(|message| message["attempts"] != 0).count();
    check.kill();
    assert_eq!((messages.len(), sent, tried), (12, 3, 3));
}

#[test]
fn paths_in_the_configuration_are_relative_to_it_and_the_program_runs_from_anywhere() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "import_orders_as", "j.doe");
    let elsewhere = tempfile::tempdir().unwrap();
    let config = world.path("driftwise.yaml").display().to_string();
    run(elsewhere.path(), &["check", "--notify", "-c", &config]).expect(1);
    world.mail("drift", OWNER);
    assert!(world.path("driftwise.db").exists());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_rotated_password_is_picked_up_without_a_restart() {
    let world = World::new(1, &Setup::default());
    std::fs::write(world.path("password"), "simulated\n").unwrap();
    world.edit(&[("password: \"simulated\"", "password: { file: password }")]);
    let daemon = world.daemon();
    daemon.first_poll();
    world.simulator.set_password("rotated");
    world.simulator.revoke_tokens();
    world.mail("unreachable", FALLBACK);
    daemon.poll();
    let asked = daemon.metric("driftwise_source_requests_total", &[("outcome", "auth")]).unwrap();
    assert!(asked <= 2.0, "a refused sign-in is not hammered: {asked}");
    std::fs::write(world.path("password"), "rotated").unwrap();
    world.mail("recovered", FALLBACK);
}

#[test]
fn a_hundred_and_fifty_drifts_are_one_mail_that_every_server_takes() {
    let sessions = (14..164).map(|id| format!("{{ id: {id} }}")).collect();
    let world = World::new(150, &Setup { sessions, ..Setup::default() });
    for session in 14..164 {
        world.simulator.set(session, "import_orders_as", "j.doe");
    }
    world.run(&["check", "--notify"]).expect(1);
    assert_eq!(world.mails().len(), 1, "{:?}", world.notified());
    let mail = world.mail("drift", OWNER);
    assert_eq!(mail.all("X-Driftwise-Session").len(), 100);
    assert!(mail.header("References").split(' ').count() <= 21);
    assert!(mail.raw.split(|byte| *byte == b'\n').all(|line| line.len() < 998));
    mail.says("150");
    for session in 14..163 {
        world.simulator.set(session, "import_orders_as", "Shopify_Orders");
    }
    world.run(&["check", "--notify"]).expect(1);
    let resolved = world.mail("resolved", OWNER);
    assert_eq!(resolved.header("In-Reply-To"), mail.id());
    assert_eq!(resolved.subject, "erp: 149 settings put right", "one is left, of another session");
}

#[test]
fn a_session_that_is_removed_and_added_again_opens_a_new_incident() {
    let both = ["{ id: 14 }", "{ id: 15 }"].map(String::from).to_vec();
    let world = World::new(2, &Setup { sessions: both.clone(), ..Setup::default() });
    world.simulator.set(14, "import_orders_as", "j.doe");
    world.run(&["check", "--notify"]).expect(1);
    let first = world.mail("drift", OWNER);
    world.configure(&Setup { sessions: vec![both[1].clone()], ..Setup::default() });
    let daemon = world.daemon();
    assert_eq!(world.mail("unaudited", OWNER).header("In-Reply-To"), first.id());
    daemon.stop();
    world.configure(&Setup { sessions: both, ..Setup::default() });
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 1.0);
    let drifts = world.mails().into_iter().filter(|mail| mail.kind() == "drift").collect::<Vec<_>>();
    assert_eq!(drifts.len(), 2, "{:?}", world.notified());
    assert!(drifts.iter().all(|mail| mail.header("In-Reply-To").is_empty()));
    daemon.stop();
}

#[test]
fn an_id_is_found_in_any_spelling_of_its_number_and_one_beyond_comparison_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let config = "sources: { grid: { type: file, path: grid.csv } }\n\
                  policies: { named: { rules: [{ id: named, setting: name, expect: present, severity: warning, why: w, fix: f }] } }\n\
                  sessions: [{ source: grid, id: 14 }, { source: grid, id: 1.5e1 }, { source: grid, id: \"0016\" }, \
                  { source: grid, id: 17 }, { source: grid, id: -0 }, { source: grid, id: 18 }]\n\
                  email: { from: drift@b.example, spool: ./mail }\n\
                  defaults: { session: { policy: named, owners: [a@b.example] } }\n";
    std::fs::write(folder.path().join("driftwise.yaml"), config).unwrap();
    let ids = ["1.4e1", "+15", " 16.00 ", "1700E-2", "0e9", "1e400"];
    let rows = ids.map(|id| format!("{id},shop {}\n", id.trim())).concat();
    std::fs::write(folder.path().join("grid.csv"), format!("session_id,name\n{rows}")).unwrap();
    let found = run(folder.path(), &["check", "--format", "json"]).expect(3).json();
    let sessions = found["sessions"].as_array().unwrap();
    let status = |id: &str| {
        let session = sessions.iter().find(|session| session["session"] == format!("grid/{id}")).unwrap();
        (session["status"].as_str().unwrap(), session["reason"].as_str().unwrap_or_default())
    };
    for id in ["14", "15", "16", "17", "0"] {
        assert_eq!(status(id), ("compliant", ""), "{id}");
    }
    let (verdict, reason) = status("18");
    assert_eq!(verdict, "unverifiable");
    let rows = "one row whose ID cannot be read (it is a number of more than 128 digits)";
    assert!(reason.contains(rows), "{reason}");
    // Even if an audited session is not among them.
    let listed = run(folder.path(), &["sessions", "--source", "grid"]).expect(0);
    assert!(
        listed.err.contains(&format!("grid also returned {rows}, so there may be more sessions than these")),
        "{}",
        listed.err
    );
    let asked = run(folder.path(), &["validate", "--online"]).expect(3);
    assert!([asked.out, asked.err].concat().contains(&format!("returned 5 sessions and {rows}")));
}
