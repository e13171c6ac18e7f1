//! Each kind of notification, from the change in OrderWise to the mail: its recipients, headers and thread.

use chrono::DateTime;
use driftwise::simulator::Mode;

use crate::mailbox::Mail;
use crate::world::{FALLBACK, OWNER, Setup, World};

/// Asserts the properties of every mail.
fn well_formed(mail: &Mail) {
    let id = mail.id();
    assert!(id.starts_with('<') && id.ends_with("@integrator.example>"), "{id}");
    assert_eq!(mail.header("X-Driftwise-Message-ID"), id);
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Content-Type").starts_with("multipart/alternative"));
    assert!(mail.header("From").contains("driftwise@integrator.example"));
    assert!(DateTime::parse_from_rfc2822(mail.header("Date")).is_ok(), "{}", mail.header("Date"));
    assert!(mail.html.contains("<html") && !mail.text.contains("<html"));
    assert!(mail.raw.split(|byte| *byte == b'\n').all(|line| line.len() < 998));
}

/// Asserts that the later mail continues the thread of the opening.
#[track_caller]
fn continues(later: &Mail, opening: &Mail) {
    assert_eq!(later.header("In-Reply-To"), opening.id());
    assert!(later.header("References").ends_with(opening.id()), "{}", later.header("References"));
    let root = opening.header("References");
    assert!(root.starts_with("<incident-") && later.header("References").starts_with(root));
    assert_ne!(later.id(), opening.id());
}

fn two() -> Setup {
    Setup { sessions: vec![String::from("{ id: 14 }"), String::from("{ id: 15 }")], ..Setup::default() }
}

#[test]
fn a_critical_drift_its_change_and_its_end_go_to_owner_and_fallback_in_one_thread() {
    let world = World::new(2, &two());
    let daemon = world.daemon();
    daemon.first_poll();
    assert!(world.mails().is_empty(), "{:?}", world.notified());
    world.simulator.set(14, "schedule", "Every 10 minutes");
    let opened = [OWNER, FALLBACK].map(|to| world.mail("drift", to));
    world.simulator.set(14, "schedule", "Every 15 minutes");
    let updated = [OWNER, FALLBACK].map(|to| world.mail("update", to));
    world.simulator.set(14, "schedule", 5);
    let ended = [OWNER, FALLBACK].map(|to| world.mail("resolved", to));
    for (at, opening) in opened.iter().enumerate() {
        for mail in [opening, &updated[at], &ended[at]] {
            well_formed(mail);
            assert_eq!(mail.all("X-Driftwise-Session"), ["erp/14"]);
            assert!(mail.all("X-Driftwise-Source").is_empty());
        }
        continues(&updated[at], opening);
        continues(&ended[at], opening);
        assert_eq!(opening.subject, "acme-uk.myshopify.com: orders may have stopped (Schedule)");
        assert_eq!(updated[at].subject, format!("Re: {}", opening.subject), "it is exactly what is wrong still");
        assert_eq!(ended[at].subject, "acme-uk.myshopify.com: Schedule was put right");
        assert_eq!(opening.header("In-Reply-To"), "");
        opening.says("every 10 minutes");
        opening.says("OrderWise does not record that");
        updated[at].says("every 15 minutes");
    }
    assert_ne!(opened[0].id(), opened[1].id(), "one recipient a message");
    assert_eq!(world.mails().len(), 6, "{:?}", world.notified());
    daemon.stop();
}

#[test]
fn one_poll_makes_one_mail_and_a_warning_goes_to_the_owner_alone() {
    let world = World::new(2, &two());
    world.simulator.set(14, "import_orders_as", "j.doe");
    world.simulator.set(15, "use_cvariant_stock_location", false);
    world.simulator.set(15, "name", "");
    let daemon = world.daemon();
    let mail = world.mail("drift", OWNER);
    well_formed(&mail);
    assert_eq!(mail.all("X-Driftwise-Session").len(), 2);
    mail.says("j.doe");
    daemon.poll();
    assert_eq!(world.mails().len(), 1, "info is not mailed, warnings not to the fallback: {:?}", world.notified());
    let below = [("reason", "below_severity")];
    assert_eq!(daemon.metric("driftwise_notifications_suppressed_total", &below), Some(1.0));
    assert_eq!(daemon.metric("driftwise_drift_open", &[("severity", "info")]), Some(1.0));
}

#[test]
fn a_session_that_disappears_is_missing_and_recovers() {
    let world = World::new(2, &two());
    let daemon = world.daemon();
    daemon.first_poll();
    world.simulator.remove_session(14);
    let opened = [OWNER, FALLBACK].map(|to| world.mail("missing", to));
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_session_visible", &[("session", "14")]), Some(0.0));
    assert_eq!(daemon.metric("driftwise_session_status", &[("session", "14"), ("status", "compliant")]), Some(1.0));
    world.simulator.add_session(14);
    for opening in &opened {
        let recovered = world.mail("recovered", opening.to());
        well_formed(opening);
        continues(&recovered, opening);
        assert_eq!(recovered.all("X-Driftwise-Session"), ["erp/14"]);
    }
    assert_eq!(world.mails().len(), 4, "{:?}", world.notified());
}

#[test]
fn the_fallback_is_notified_once_of_an_unreachable_source_and_once_of_its_recovery() {
    let world = World::new(2, &two());
    world.simulator.set(15, "export", true);
    let daemon = world.daemon();
    world.mail("drift", FALLBACK);
    world.simulator.fail(Mode::Html, None);
    world.simulator.set(15, "export", false);
    let opening = world.mail("unreachable", FALLBACK);
    well_formed(&opening);
    assert_eq!(opening.header("X-Driftwise-Source"), "erp");
    assert!(opening.all("X-Driftwise-Session").is_empty());
    daemon.poll();
    let open = daemon.metric("driftwise_drift_open", &[("session", "15")]);
    assert_eq!(open, Some(1.0), "a poll that could not see resolves nothing");
    assert_eq!(daemon.metric("driftwise_source_up", &[]), Some(0.0));
    world.simulator.heal();
    // The ends of the drift and of the outage come in one mail, whose kind is the first that applies.
    let ended = world.mail("resolved", FALLBACK);
    assert!(ended.header("References").contains(opening.header("References").split(' ').next().unwrap()));
    assert_eq!(ended.header("X-Driftwise-Source"), "erp");
    world.mail("resolved", OWNER);
    daemon.poll();
    world.simulator.fail(Mode::Html, None);
    daemon.until("driftwise_incidents_opened_total", &[("kind", "unreachable")], 2.0);
    world.simulator.heal();
    let recovered = world.mail("recovered", FALLBACK);
    assert_eq!(recovered.subject, "erp is being checked again");
    assert_eq!(recovered.header("X-Driftwise-Source"), "erp");
    let unreachable = world.mails().iter().filter(|mail| mail.kind() == "unreachable").count();
    assert_eq!(unreachable, 2, "{:?}", world.notified());
}

#[test]
fn the_fallback_is_notified_of_an_unverifiable_setting_and_its_drift_stays_open() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    world.simulator.set(14, "export", "perhaps");
    let opening = world.mail("unverifiable", FALLBACK);
    well_formed(&opening);
    opening.says("perhaps");
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_drift_open", &[("rule", "export-off")]), Some(1.0));
    world.no_mail("resolved");
    world.simulator.set(14, "export", true);
    continues(&world.mail("recovered", FALLBACK), &opening);
    daemon.poll();
    let sent = world.notified();
    assert_eq!(sent.iter().filter(|(kind, _)| kind == "drift").count(), 2, "{sent:?}");
    assert!(sent.iter().all(|(kind, to)| kind == "drift" || to == FALLBACK), "{sent:?}");
}

#[test]
fn an_unaudited_session_is_notified_once() {
    let world = World::new(2, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    world.no_mail("unaudited");
    world.simulator.add_session(99);
    let found = world.mail("unaudited", FALLBACK);
    well_formed(&found);
    assert_eq!(found.all("X-Driftwise-Session"), ["erp/99"]);
    daemon.poll();
    daemon.stop();
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.mails().len(), 1, "{:?}", world.notified());
    assert_eq!(daemon.metric("driftwise_source_sessions", &[("state", "unaudited")]), Some(2.0));
}

#[test]
fn a_changed_notification_address_is_notified_to_the_expected_one_and_never_to_the_one_found() {
    let sessions = vec![String::from("{ id: 14, owners: [boss@acme.example] }")];
    let world = World::new(1, &Setup { sessions, ..Setup::default() });
    world.simulator.set(14, "notification_email", "unaudited@evil.example");
    let daemon = world.daemon();
    for to in ["boss@acme.example", OWNER, FALLBACK] {
        world.mail("drift", to).says("unaudited@evil.example");
    }
    daemon.poll();
    assert_eq!(world.mails().len(), 3, "{:?}", world.notified());
}
