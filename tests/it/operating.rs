//! Backup, restore, purge and doctor, as an operator runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use driftwise::simulator::Mode;
use serde_json::{Value, json};

use crate::program::{Daemon, eventually};
use crate::world::{OWNER, Setup, World};

fn two() -> World {
    let sessions = ["{ id: 14 }", "{ id: 15, owners: [buyer@shop.example] }"].map(String::from).to_vec();
    World::new(2, &Setup { sessions, ..Setup::default() })
}

#[test]
fn a_backup_beside_a_busy_daemon_is_whole_and_a_restore_repeats_no_notification() {
    let world = two();
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    // Backups while the daemon records an audit each second.
    for number in 0..5 {
        let path = format!("copy-{number}.db");
        let done = world.run(&["backup", &path]).expect(0);
        let words = format!("{path} is a verified backup: ");
        assert!(done.out.starts_with(&words) && done.out.contains("1 source, last poll 20"), "{}", done.out);
    }
    let refused = world.run(&["backup", "copy-0.db"]).expect(4);
    assert!(refused.err.contains("exists; --force replaces it"), "{}", refused.err);
    world.run(&["backup", "copy-0.db", "--force"]).expect(0);
    let itself = world.run(&["backup", "driftwise.db", "--force"]).expect(4);
    assert!(itself.err.contains("belongs to the store itself"), "{}", itself.err);
    let in_use = world.run(&["restore", "copy-0.db"]).expect(4);
    assert!(in_use.err.contains(&format!("is in use by process {}", daemon.pid())), "{}", in_use.err);
    daemon.kill();
    world.run(&["backup", "dead.db"]).expect(0);

    let mails = world.mails().len();
    let restored = world.run(&["restore", "dead.db"]).expect(0);
    assert!(
        restored.out.contains("The replaced store was kept as ") && restored.err.contains("start the daemon"),
        "{}",
        restored.out
    );
    let status = world.run(&["status", "--format", "json"]).json();
    assert_eq!(status["sessions"][0]["findings"][0]["rule"], "export-off");
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.mails().len(), mails, "{:?}", world.notified());
    world.simulator.set(14, "export", false);
    world.mail("resolved", OWNER);
    daemon.stop();
}

#[test]
fn a_drift_that_was_found_after_the_backup_is_notified_again_if_it_lasts() {
    let world = two();
    let daemon = world.daemon();
    daemon.poll();
    world.run(&["backup", "before.db"]).expect(0);
    world.simulator.set(14, "export", true);
    world.mail("drift", OWNER);
    daemon.stop();
    let first = world.mails().len();
    world.run(&["restore", "before.db"]).expect(0);
    let daemon = world.daemon();
    eventually("second mail to each recipient", || (world.mails().len() == 2 * first).then_some(()));
    daemon.stop();
}

#[test]
fn mail_that_waited_in_the_backup_is_sent_again_with_the_same_message_ids() {
    let smtp = "smtp: { host: 127.0.0.1, port: 9, tls: none }";
    let world = World::new(1, &Setup { email: smtp.to_owned(), ..Setup::default() });
    world.simulator.set(14, "export", true);
    world.run(&["check", "--notify"]).expect(1);
    world.run(&["backup", "waiting.db"]).expect(0);
    world.edit(&[(smtp, "spool: ./mail")]);
    let send = || {
        let now = "UPDATE outbox SET next_attempt_at = 0";
        let done = std::process::Command::new("sqlite3").arg(world.path("driftwise.db")).arg(now).status().unwrap();
        assert!(done.success());
        let daemon = world.daemon();
        eventually("mails", || (world.mails().len() == 2).then_some(()));
        daemon.stop();
        let mut ids = world.mails().iter().map(|mail| mail.id().to_owned()).collect::<Vec<_>>();
        ids.sort();
        fs::remove_dir_all(world.path("mail")).unwrap();
        ids
    };
    let first = send();
    world.run(&["restore", "waiting.db"]).expect(0);
    assert_eq!(send(), first);
}

#[test]
fn backup_and_restore_without_a_store_or_a_copy_say_so() {
    let world = two();
    let none = world.run(&["backup", "copy.db"]).expect(4);
    assert!(none.err.contains("does not exist"), "{}", none.err);
    let none = world.run(&["restore", "copy.db"]).expect(4);
    assert!(none.err.contains("copy.db does not exist"), "{}", none.err);
    let folder = world.run(&["restore", "."]).expect(4);
    assert!(folder.err.contains(". is a folder, not a file"), "{}", folder.err);
    let no_backup = world.run(&["restore", "driftwise.yaml"]).expect(4);
    assert!(
        no_backup
            .err
            .contains("driftwise.yaml is damaged, of a version that can no longer be read, or not a backup of a store"),
        "{}",
        no_backup.err
    );
    assert!(!world.path("driftwise.db").exists() && !world.path("copy.db").exists());
}

#[test]
fn purge_removes_a_session_after_the_daemon_has_taken_up_its_removal() {
    let world = two();
    world.simulator.set(15, "export", true);
    let daemon = world.daemon();
    world.mail("drift", "buyer@shop.example");
    let audited = world.run(&["purge", "--session", "erp/15"]).expect(2);
    assert!(audited.err.contains("the configuration audits erp/15"), "{}", audited.err);
    let named = world.run(&["purge", "--address", "Buyer@shop.example"]).expect(2);
    assert!(named.err.contains("the configuration names Buyer@shop.example"), "{}", named.err);
    world.run(&["purge"]).expect(2);
    daemon.stop();
    world.edit(&[("\n  - { id: 15, owners: [buyer@shop.example] }", "")]);
    let early = world.run(&["purge", "--session", "erp/15"]).expect(4);
    assert!(early.err.contains("run the daemon once with this configuration"), "{}", early.err);
    let daemon = world.daemon();
    daemon.poll();
    let dry = world.run(&["purge", "--session", "erp/15", "--dry-run"]).expect(0).out;
    assert!(dry.starts_with("Would remove from ") && dry.contains("  incidents: 1\n"), "{dry}");
    let refused = world.run(&["purge", "--session", "erp/15"]).expect(4);
    assert!(refused.err.contains("is in use by process"), "{}", refused.err);
    daemon.stop();
    let dry = world.run(&["purge", "--session", "erp/15", "--dry-run"]).expect(0).out;
    assert!(!world.run(&["history", "--session", "erp/15"]).out.is_empty());
    let done = world.run(&["purge", "--session", "erp/15"]).expect(0).out;
    assert_eq!(done.split_once('\n').unwrap().1, dry.split_once('\n').unwrap().1);
    for again in [&["purge", "--session", "erp/15", "--dry-run"][..], &["purge", "--session", "erp/15"]] {
        let again = world.run(again).expect(3).out;
        assert!(again.ends_with("has no data of the session erp/15.\n"), "{again}");
    }
    let address = world.run(&["purge", "--address", "buyer@shop.example"]).expect(3);
    assert!(address.out.ends_with("has no data of the address buyer@shop.example.\n"), "gone with its session");
    assert_eq!(address.err, "");
    let bytes = fs::read(world.path("driftwise.db")).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("buyer@shop.example"));
    let daemon = world.daemon();
    daemon.poll();
    daemon.stop();
}

fn check<'a>(report: &'a Value, check: &str, subject: Option<&str>) -> &'a Value {
    let wanted = |found: &&Value| found["check"] == check && found["subject"] == json!(subject);
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(wanted).unwrap_or_else(|| panic!("no {check} of {subject:?} in {report:#}"))
}

fn doctor(world: &World, code: i32) -> Value {
    world.run(&["doctor", "--format", "json"]).expect(code).json()
}

#[test]
fn doctor_finds_nothing_wrong_with_a_working_daemon() {
    let world = two();
    fs::write(world.path("password"), driftwise::simulator::PASSWORD).unwrap();
    fs::set_permissions(world.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let inline = format!("password: \"{}\"", driftwise::simulator::PASSWORD);
    world.edit(&[(&inline, "password: { file: password }")]);
    let before = doctor(&world, 0);
    assert_eq!(check(&before, "store", None)["result"], "warning", "there is none yet");
    assert!(!world.path("driftwise.db").exists());
    let daemon = world.daemon();
    daemon.poll();
    let report = doctor(&world, 0);
    assert_eq!(report["healthy"], true);
    assert_eq!(check(&report, "daemon", None)["found"], format!("process {} owns the store", daemon.pid()));
    for (name, subject) in [
        ("config", None),
        ("store", None),
        ("disk", None),
        ("clock", None),
        ("recipient", None),
        ("audits", Some("source erp")),
        ("connection", Some("source erp")),
        ("clock", Some("source erp")),
        ("connection", Some("mail")),
    ] {
        assert_eq!(check(&report, name, subject)["result"], "ok", "{name} {subject:?}");
    }
    let secret = check(&report, "secret", Some("source erp"));
    assert_eq!(secret["result"], "warning");
    assert!(secret["found"].as_str().unwrap().contains("is open to every user (mode 0644)"), "{secret}");
    fs::set_permissions(world.path("password"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(check(&doctor(&world, 0), "secret", Some("source erp"))["result"], "ok");
    let text = world.run(&["doctor"]).expect(0).out;
    assert!(text.starts_with("RESULT  CHECK") && !text.contains("What to do"), "{text}");
    daemon.stop();
}

#[test]
fn doctor_names_every_problem_with_what_to_do() {
    let email = String::from("smtp: { host: 127.0.0.1, port: 9, tls: none }");
    let sessions = ["{ id: 14 }", "{ id: 99 }"].map(String::from).to_vec();
    let world = World::new(1, &Setup { sessions, email, ..Setup::default() });
    world.simulator.set(14, "export", true);
    world.run(&["check", "--notify"]).expect(1);
    let report = doctor(&world, 3);
    assert_eq!(report["healthy"], false);
    let connection = check(&report, "connection", Some("source erp"));
    assert!(connection["found"].as_str().unwrap().contains("the audited session 99 is missing"), "{connection}");
    let retried = check(&report, "recipient", Some(OWNER))["act"].as_str().unwrap();
    assert!(retried.contains("user name, password or token") && !retried.contains("address"), "{retried}");
    for (name, subject, result) in [
        ("daemon", None, "problem"),
        ("connection", Some("source erp"), "problem"),
        ("connection", Some("mail"), "problem"),
        ("recipient", Some(OWNER), "warning"),
    ] {
        let found = check(&report, name, subject);
        assert_eq!((&found["result"], found["act"].is_string()), (&json!(result), true), "{found}");
    }
    world.simulator.fail(Mode::Forbidden, None);
    let text = world.run(&["doctor"]).expect(3).out;
    assert!(text.contains("403") && text.contains("\nWhat to do:\n  daemon: start `driftwise run`\n"), "{text}");
    // An audit in the future: the clock was set back after it.
    let later = "UPDATE sources SET record = json_set(record, '$.last_poll', '2099-01-01T00:00:00Z')";
    let done = std::process::Command::new("sqlite3").arg(world.path("driftwise.db")).arg(later).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(check(&doctor(&world, 3), "clock", None)["result"], "problem");
    fs::write(world.path("driftwise.db"), "no database").unwrap();
    let damaged = doctor(&world, 3);
    assert!(check(&damaged, "store", None)["found"].as_str().unwrap().contains("is damaged"), "{damaged}");
}

#[test]
fn doctor_lists_open_incidents_of_the_audit_and_unaudited_sessions() {
    let sessions = ["{ id: 14 }", "{ id: 15 }"].map(String::from).to_vec();
    let world = World::new(3, &Setup { sessions, ..Setup::default() });
    world.run(&["check", "--notify"]).expect(0);
    let found = |report: &Value, name: &str, result: &str| {
        let check = check(report, name, Some("source erp"));
        assert_eq!((&check["result"], check["act"].is_string()), (&json!(result), true), "{check}");
        check["found"].as_str().unwrap().to_owned()
    };
    let none = |report: &Value, name: &str| {
        assert!(report["checks"].as_array().unwrap().iter().all(|check| check["check"] != name), "{report:#}");
    };
    let report = doctor(&world, 3);
    assert_eq!(found(&report, "unaudited", "warning"), "returns 1 session that the configuration does not audit");
    for name in ["unreachable", "source_changed", "unverifiable"] {
        none(&report, name);
    }
    // A setting of one session, and a column of all sessions.
    world.simulator.unset(14, "export");
    world.simulator.fail(Mode::MissingColumn(String::from("transfer_type")), None);
    world.run(&["check", "--notify"]).expect(3);
    let report = doctor(&world, 3);
    let changed = found(&report, "source_changed", "problem");
    assert!(changed.contains("Column \"transfer_type\" is gone from definition 61"), "{changed}");
    let unverifiable = found(&report, "unverifiable", "problem");
    assert!(
        unverifiable.starts_with("settings of 2 sessions could not be checked (14, 15); 14 since "),
        "{unverifiable}"
    );
    assert!(unverifiable.contains("Export: the source did not return it"), "{unverifiable}");
    world.simulator.fail(Mode::Forbidden, None);
    world.run(&["check", "--notify"]).expect(3);
    let report = doctor(&world, 3);
    assert!(found(&report, "unreachable", "problem").contains("403"), "{report:#}");
    found(&report, "source_changed", "problem");
    let text = world.run(&["doctor"]).expect(3).out;
    for words in
        ["PROBLEM  unreachable source erp", "source_changed source erp: put the column back", "sessions --source erp"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    world.simulator.heal();
    world.simulator.set(14, "export", false);
    world.run(&["check", "--notify"]).expect(0);
    let report = doctor(&world, 3);
    for name in ["unreachable", "source_changed", "unverifiable"] {
        none(&report, name);
    }
}

#[test]
fn doctor_reports_a_broken_configuration_and_still_checks_the_store() {
    let world = two();
    let daemon = world.daemon();
    daemon.poll();
    let inline = format!("password: \"{}\"", driftwise::simulator::PASSWORD);
    world.edit(&[(&inline, "password: { file: absent }")]);
    let report = doctor(&world, 2);
    let config = check(&report, "config", None);
    assert!(config["found"].as_str().unwrap().contains("cannot read the secret file"), "{config}");
    assert_eq!(check(&report, "daemon", None)["result"], "ok");
    fs::write(world.path("driftwise.yaml"), "sources: [").unwrap();
    let text = world.run(&["doctor"]).expect(2).out;
    assert!(text.contains("PROBLEM  config"), "{text}");
    drop::<Daemon>(daemon);
}
