//! An address that refuses mail, as its operators see it from outside; and notifications that an operator sends again.

use driftwise::domain::notification::NotificationKind;
use serde_json::{Value, json};

use crate::program::{ask, eventually};
use crate::server::Server;
use crate::world::{FALLBACK, OWNER, Setup, World};

const REFUSED: &str = "550-rcpt@acme.example";

fn listed(world: &World) -> Vec<Value> {
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    list["notifications"].as_array().unwrap().clone()
}

fn of(rows: &[Value], kind: &str, to: &str) -> Vec<Value> {
    rows.iter().filter(|row| row["kind"] == kind && row["to"] == to).cloned().collect()
}

#[test]
fn an_address_that_refuses_mail_is_shown_everywhere_and_ends_when_a_resend_is_accepted() {
    let server = Server::start(json!({ "mode": "none" }));
    let smtp = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", server.port);
    let sessions = vec![format!("{{ id: 14, owners: [{REFUSED}] }}")];
    let world = World::new(1, &Setup { sessions: sessions.clone(), email: smtp, ..Setup::default() });
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("kind", "undeliverable"), ("outcome", "sent")], 1.0);
    daemon.poll();

    let rows = listed(&world);
    let undeliverable = of(&rows, "undeliverable", FALLBACK);
    assert_eq!((undeliverable.len(), of(&rows, "undeliverable", REFUSED).len()), (1, 0), "{rows:#?}");
    let dead = of(&rows, "drift", REFUSED);
    assert_eq!(dead[0]["state"], "dead");
    let shown = world.run(&["notifications", "show", &undeliverable[0]["id"].to_string()]).expect(0).out;
    assert!(shown.contains(&format!("undeliverable: {REFUSED}: opened; notified as fallback")), "{shown}");
    let (ready, detail) = daemon.get("/readyz");
    assert_eq!(ready, 200);
    assert!(detail.contains("Mail to 5…@acme.example has been refused since") && !detail.contains(REFUSED), "{detail}");
    assert!(!daemon.get("/").1.contains(REFUSED));
    let status = world.run(&["status"]).expect(1).out;
    assert!(status.contains(&format!("Mail to {REFUSED} has been refused since")), "{status}");
    let status = world.run(&["status", "--format", "json"]).expect(1).json();
    let address = &status["delivery"]["undeliverable"][0];
    assert_eq!((&address["address"], &address["lost"]), (&json!(REFUSED), &json!(1)), "{status}");
    let said = daemon.stop();
    assert!(!said.contains(REFUSED) && !said.contains("no other address can be notified"), "{said}");

    // The address accepts mail again while no daemon runs.
    world.configure(&Setup { sessions, ..Setup::default() });
    let id = dead[0]["id"].to_string();
    let sent = world.run(&["notifications", "resend", &id]).expect(0).out;
    assert!(
        sent.contains(&format!("Notification {id} is in the outbox again as ")) && sent.contains("It was sent."),
        "{sent}"
    );
    let mail = world.mail("drift", REFUSED);
    assert_ne!(mail.id(), dead[0]["message_id"]);
    assert_eq!(mail.subject, dead[0]["subject"].as_str().unwrap());
    let daemon = world.daemon();
    let end = world.mail("recovered", FALLBACK);
    assert!(end.subject.contains("accepts mail again"), "{}", end.subject);
    assert_eq!(
        end.all("In-Reply-To"),
        [undeliverable[0]["message_id"].as_str().unwrap()],
        "in the thread of its beginning"
    );
    eventually("ready without a detail", || (daemon.get("/readyz").1 == "ready").then_some(()));
    daemon.stop();
    let status = world.run(&["status", "--format", "json"]).expect(1).json();
    assert_eq!(status["delivery"]["undeliverable"], json!([]));
}

#[test]
fn the_log_reports_an_undeliverable_address_of_which_no_recipient_can_be_notified() {
    let server = Server::start(json!({ "mode": "none" }));
    let smtp = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", server.port);
    let sessions = vec![format!("{{ id: 14, owners: [{REFUSED}] }}")];
    let world = World::new(1, &Setup { sessions, email: smtp, ..Setup::default() });
    world.edit(&[(FALLBACK, REFUSED)]);
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.logs("no other address can be notified");
    daemon.poll();
    assert!(of(&listed(&world), "undeliverable", REFUSED).is_empty());
    let said = daemon.stop();
    assert_eq!(said.matches("no other address can be notified").count(), 1, "{said}");
    assert!(!said.contains(REFUSED), "{said}");
}

#[test]
fn a_running_daemon_sends_a_notification_again_under_a_new_message_id() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let first = world.mail("drift", OWNER);
    let rows = listed(&world);
    let row = &of(&rows, "drift", OWNER)[0];
    let id = row["id"].to_string();
    // The configuration tells the command where the daemon listens.
    world.edit(&[("listen: \"127.0.0.1:0\"", &format!("listen: \"{}\"", daemon.address))]);
    // Only the daemon has the secrets.
    let inline = format!("password: \"{}\"", driftwise::simulator::PASSWORD);
    let secret_elsewhere = "password: { env: ERP_PASSWORD_OF_THE_DAEMON }";
    world.edit(&[(&inline, secret_elsewhere)]);
    eventually("end of the first send", || (of(&listed(&world), "drift", OWNER)[0]["state"] == "sent").then_some(()));
    let asked = world.run(&["notifications", "resend", &id]).expect(0).out;
    assert!(asked.contains("the daemon sends it"), "{asked}");
    let again = eventually("second mail", || {
        world.mails().into_iter().find(|mail| mail.kind() == "drift" && mail.to() == OWNER && mail.id() != first.id())
    });
    assert_eq!((&again.subject, &again.text, &again.html), (&first.subject, &first.text, &first.html));
    assert_eq!(again.header("Date"), first.header("Date"));
    assert_eq!(again.header("X-Driftwise-Message-ID"), again.id());
    let new = of(&listed(&world), "drift", OWNER)[1]["id"].to_string();
    let shown = world.run(&["notifications", "show", &new]).expect(0).out;
    assert!(shown.contains(&format!("Resent:     an operator asked to send notification {id} again")), "{shown}");

    let absent = world.run(&["notifications", "resend", "999"]).expect(2).err;
    assert!(absent.contains("there is no notification 999"), "{absent}");
    let stranger = ask(daemon.address, "GET", &format!("/-/notifications/{id}/resend"), "").unwrap();
    assert_eq!(stranger.0, 405);
    world.edit(&[(OWNER, "new@acme.example"), (secret_elsewhere, &inline)]);
    assert_eq!(ask(daemon.address, "POST", "/-/reload", "").unwrap().0, 200);
    let gone = world.run(&["notifications", "resend", &id]).expect(2).err;
    assert!(gone.contains("no longer names the recipient"), "{gone}");
    daemon.stop();
}

#[test]
fn an_impossible_resend_says_why() {
    let smtp = String::from("smtp: { host: 127.0.0.1, port: 1, tls: none }");
    let world = World::new(1, &Setup { email: smtp, ..Setup::default() });
    let none = world.run(&["notifications", "resend", "1"]).expect(2).err;
    assert!(none.contains("there is no store yet"), "{none}");
    assert!(!world.path("driftwise.db").exists());
    world.simulator.set(14, "export", true);
    world.run(&["check", "--notify"]).expect(1);
    let waiting = world.run(&["notifications", "resend", "1"]).expect(2).err;
    assert!(waiting.contains("notification 1 is retrying and will be sent anyway"), "{waiting}");
    world.run(&["notifications", "resend", "one"]).expect(2);
    world.configure(&Setup::default());
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    let unasked = world.run(&["notifications", "resend", "1"]).expect(4).err;
    assert!(unasked.contains("failed to ask the daemon that owns the store (process "), "{unasked}");
    daemon.stop();
}

#[test]
fn each_kind_and_form_can_be_previewed_without_a_configuration_or_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| crate::program::run(folder.path(), arguments);
    let forms = [
        ("source_changed_sessions", "source_changed"),
        ("source_changed_forgotten", "source_changed"),
        ("unaudited_removed", "unaudited"),
    ];
    let kinds = NotificationKind::ALL.map(NotificationKind::label).map(|kind| (kind, kind));
    for (sample, kind) in kinds.into_iter().chain(forms) {
        let eml = run(&["notifications", "preview", sample, "--format", "eml"]).expect(0).out;
        let mail = crate::mailbox::Mail::parse(eml.into_bytes());
        assert_eq!(mail.kind(), kind);
        let json = run(&["notifications", "preview", sample, "--format", "json"]).expect(0).json();
        assert_eq!((&json["kind"], &json["subject"]), (&json!(kind), &json!(mail.subject)));
        let text = run(&["notifications", "preview", sample]).expect(0).out;
        assert!(text.starts_with(&format!("Subject: {}\n\n", mail.subject)), "{text}");
        let html = run(&["notifications", "preview", sample, "--format", "html"]).expect(0).out;
        assert!(html.trim_start().starts_with("<!"), "{html}");
    }
    let unknown = run(&["notifications", "preview", "drifted"]).expect(2).err;
    assert!(unknown.contains("undeliverable") && unknown.contains("drift"), "{unknown}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
