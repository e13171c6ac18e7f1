//! A restart repeats no notification and forgets none, however the program ended.

use chrono::DateTime;
use driftwise::domain::incident::IncidentKey;
use driftwise::domain::state::SourceState;
use driftwise::simulator::Mode;
use serde_json::{Value, json};

use crate::certificate;
use crate::mailbox::Mail;
use crate::program::{eventually, eventually_or};
use crate::server::Server;
use crate::support::port::ClosedPort;
use crate::world::{FALLBACK, OWNER, Setup, World};

#[test]
fn a_drift_notified_before_a_crash_is_not_notified_again_and_its_repair_is() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let opened = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    daemon.kill();
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
    assert_eq!(daemon.metric("driftwise_drift_open", &[]), Some(1.0));
    daemon.kill();
    world.simulator.set(14, "export", false);
    let daemon = world.daemon();
    for opening in &opened {
        let resolved = world.mail("resolved", opening.to());
        assert_eq!(resolved.header("In-Reply-To"), opening.id());
    }
    daemon.poll();
    assert_eq!(world.mails().len(), 4, "{:?}", world.notified());
    daemon.stop();
}

fn listed(world: &World) -> Vec<Value> {
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    list["notifications"].as_array().unwrap().clone()
}

#[test]
fn notifications_recorded_during_a_mail_outage_arrive_after_a_crash_with_the_same_id() {
    let closed = ClosedPort::hold();
    let email = |port: u16| {
        let ca_file = certificate::ca_file();
        let ca_file = ca_file.display();
        format!(
            "smtp: {{ host: localhost, port: {port}, username: driftwise, password: \"open sesame\", \
             tls: starttls, ca_file: \"{ca_file}\" }}"
        )
    };
    let setup = |port| Setup { email: email(port), ..Setup::default() };
    let world = World::new(1, &setup(closed.number));
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = world.daemon();
    daemon.until("driftwise_notification_attempts_total", &[("channel", "email"), ("outcome", "connect")], 1.0);
    daemon.until("driftwise_outbox_notifications", &[("state", "retrying")], 1.0);
    assert!(daemon.metric("driftwise_outbox_oldest_pending_timestamp_seconds", &[]).is_some());
    daemon.kill();
    let before = listed(&world);
    assert_eq!((before.len(), &before[0]["state"], &before[0]["attempts"]), (1, &json!("retrying"), &json!(1)));
    assert!(before[0]["last_error"].as_str().unwrap().contains("localhost"), "{before:?}");

    let server = Server::start(json!({ "mode": "starttls", "user": "driftwise", "pass": "open sesame" }));
    world.configure(&setup(server.port));
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 1.0);
    let taken = server.taken();
    assert_eq!((taken.from.as_str(), taken.to.as_slice()), ("driftwise@integrator.example", &[OWNER.to_owned()][..]));
    assert!(taken.secure && taken.user.as_deref() == Some("driftwise"));
    let mail = Mail::parse(taken.raw);
    assert_eq!(before[0]["message_id"], mail.id());
    assert_eq!(before[0]["subject"], mail.subject);
    let after = listed(&world);
    assert_eq!((after.len(), &after[0]["state"], &after[0]["id"]), (1, &json!("sent"), &before[0]["id"]));
    eventually("empty outbox", || {
        (daemon.metric("driftwise_outbox_notifications", &[]) == Some(0.0)
            && daemon.metric("driftwise_outbox_oldest_pending_timestamp_seconds", &[]).is_none())
        .then_some(())
    });
    assert!(!daemon.said().contains("open sesame"));
    daemon.stop();
}

#[test]
fn a_notification_that_is_refused_permanently_is_dead_and_delays_no_other() {
    let server = Server::start(json!({ "mode": "none" }));
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", server.port);
    let sessions = vec![String::from("{ id: 14, owners: [550-rcpt@acme.example, it@acme.example] }")];
    let world = World::new(1, &Setup { sessions, email, ..Setup::default() });
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "dead")], 1.0);
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 1.0);
    daemon.until("driftwise_outbox_notifications", &[("state", "dead")], 1.0);
    assert_eq!(daemon.metric("driftwise_notification_attempts_total", &[("outcome", "rejected")]), Some(1.0));
    assert_eq!(server.taken().to, ["it@acme.example"]);
    let dead = listed(&world).into_iter().find(|message| message["state"] == "dead").unwrap();
    assert!(dead["last_error"].as_str().unwrap().contains("550"), "{dead}");
    let health = || (daemon.get("/readyz").0 == 200).then_some(());
    eventually_or(|| daemon.said(), health);
}

#[test]
fn mail_to_one_recipient_arrives_in_the_order_recorded_also_after_a_crash() {
    let closed = ClosedPort::hold();
    let setup = |port: u16| Setup {
        email: format!("smtp: {{ host: 127.0.0.1, port: {port}, tls: none }}"),
        ..Setup::default()
    };
    let world = World::new(1, &setup(closed.number));
    let daemon = world.daemon();
    let recorded = |kind: &str| listed(&world).into_iter().find(|message| message["kind"] == kind);
    for (value, kind) in [("j.doe", "drift"), ("k.roe", "update"), ("Shopify_Orders", "resolved")] {
        world.simulator.set(14, "import_orders_as", value);
        eventually(kind, || recorded(kind));
    }
    daemon.kill();
    let update = recorded("update").unwrap();
    assert_eq!(update["state"], "superseded", "what was never attempted is replaced by what says more");
    assert_eq!(update["superseded_by"], recorded("resolved").unwrap()["notification_id"]);
    let server = Server::start(json!({ "mode": "none" }));
    world.configure(&setup(server.port));
    let daemon = world.daemon();
    for kind in ["drift", "resolved"] {
        let mail = Mail::parse(server.taken().raw);
        assert_eq!((mail.kind(), &recorded(kind).unwrap()["message_id"]), (kind, &json!(mail.id())));
    }
    daemon.stop();
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_notifies_of_every_drift_once() {
    let world = World::new(4, &Setup::default());
    let sessions = (14..18).map(|id| format!("{{ id: {id} }}")).collect();
    world.configure(&Setup { sessions, ..Setup::default() });
    world.run(&["check", "--notify"]).expect(0);
    for session in 14..18 {
        world.simulator.set(session, "import_orders_as", "j.doe");
        let daemon = world.daemon();
        // As soon as the state is recorded; the mail may be recorded, under way or sent.
        daemon.until("driftwise_drift_open", &[("session", &session.to_string())], 1.0);
        daemon.kill();
    }
    let daemon = world.daemon();
    eventually_or(|| format!("four mails: {:?}", world.notified()), || (world.mails().len() == 4).then_some(()));
    daemon.poll();
    assert_eq!(listed(&world).len(), 4);
    let mut sessions = world.mails().iter().map(|mail| mail.all("X-Driftwise-Session").join(" ")).collect::<Vec<_>>();
    sessions.sort();
    assert_eq!(sessions, ["erp/14", "erp/15", "erp/16", "erp/17"].map(String::from));
    daemon.stop();
}

/// The last good poll before the open drift of a session, in seconds since 1970.
fn last_good(world: &World, session: &str) -> f64 {
    let states = world.stored(async |store| store.load().await.unwrap());
    let incidents = states.values().flat_map(SourceState::incidents);
    let of_session = |key: &IncidentKey| key.session().is_some_and(|id| id.as_str() == session);
    let window = incidents.filter(|incident| of_session(&incident.key)).map(|incident| incident.window).next();
    let last_good = window.unwrap().last_good.unwrap();
    (last_good - DateTime::UNIX_EPOCH).to_std().unwrap().as_secs_f64()
}

#[test]
fn each_session_keeps_its_own_last_good_poll_over_a_restart_that_changes_its_schedule() {
    let second = |schedule: &str| Setup {
        sessions: vec![String::from("{ id: 14 }"), format!("{{ id: 15, schedule: \"{schedule}\" }}")],
        ..Setup::default()
    };
    let world = World::new(2, &second("0 0 1 1 *"));
    let daemon = world.daemon();
    let verdict = "driftwise_session_last_verdict_timestamp_seconds";
    let at = |session: &str| daemon.metric(verdict, &[("session", session)]);
    let alone = eventually("poll of session 15", || at("15"));
    daemon.until(verdict, &[("session", "14")], alone + 2.0);
    let often = at("14").unwrap();
    daemon.kill();
    for session in [14, 15] {
        world.simulator.set(session, "export", true);
    }
    // From now on both sessions have one schedule, and its past polls are those of session 14.
    world.configure(&second("* * * * * *"));
    let daemon = world.daemon();
    for session in ["14", "15"] {
        daemon.until("driftwise_drift_open", &[("session", session)], 1.0);
    }
    assert!((last_good(&world, "15") - alone).abs() < 0.002, "{} is not {alone}", last_good(&world, "15"));
    assert!(last_good(&world, "14") > often - 0.002, "{} is before {often}", last_good(&world, "14"));
    daemon.stop();
}

#[test]
fn an_unverifiable_setting_is_notified_once_also_across_restarts() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", "perhaps");
    let daemon = world.daemon();
    world.mail("unverifiable", FALLBACK);
    daemon.kill();
    let daemon = world.daemon();
    daemon.poll();
    world.simulator.fail(Mode::Html, None);
    world.mail("unreachable", FALLBACK);
    daemon.kill();
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
    assert_eq!(daemon.metric("driftwise_source_up", &[]), Some(0.0));
    world.simulator.heal();
    world.mail("recovered", FALLBACK);
    daemon.poll();
    assert_eq!(world.mails().len(), 3, "{:?}", world.notified());
}
