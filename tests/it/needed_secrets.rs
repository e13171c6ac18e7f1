//! Commands run without the secrets that they do not use: an operator's shell has no right to those of the daemon.

use crate::program::Done;
use crate::support::edit::replaced;
use crate::world::{Setup, World};

const MAIL: &str = "smtp: { host: 127.0.0.1, port: 9, tls: none, username: u, password: \"${MAIL_PASSWORD}\" }";

/// Two sources with a session each, and a mail account. The secrets of the second source and of the account are absent.
fn world() -> World {
    let email = String::from(MAIL);
    let sessions = ["{ id: 14 }", "{ source: far, id: 1 }"].map(String::from).to_vec();
    let world = World::new(1, &Setup { sessions, email, ..Setup::default() });
    let far = "  far: { type: orderwise, base_url: \"https://127.0.0.1:9\", credential_hash: { file: absent }, \
               export_definition: 1, proxy: { env: FAR_PROXY } }\n";
    let text = std::fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let text = replaced(&text, "sources:\n", &format!("sources:\n{far}"));
    std::fs::write(world.path("driftwise.yaml"), text).unwrap();
    world
}

/// Asserts that the command is refused because these secrets are missing, and no others.
#[track_caller]
fn lacks(done: Done, missing: &[&str]) {
    let done = done.expect(2);
    for words in ["variable MAIL_PASSWORD", "secret file", "variable FAR_PROXY"] {
        assert_eq!(done.err.contains(words), missing.contains(&words), "{words}: {}", done.err);
    }
}

const FAR: [&str; 2] = ["secret file", "variable FAR_PROXY"];

#[test]
fn commands_that_read_the_store_need_no_secret() {
    let world = world();
    world.run(&["status"]).expect(3);
    world.run(&["status", "--format", "json"]).expect(3);
    world.run(&["history"]).expect(0);
    world.run(&["notifications", "list"]).expect(0);
    for command in [&["backup", "b.db"][..], &["restore", "b.db"], &["purge", "--address", "it@acme.example"]] {
        let err = world.run(command).expect(4).err;
        assert!(err.contains("does not exist"), "{err}");
    }
    assert!(world.run(&["notifications", "show", "1"]).expect(2).err.contains("there is no notification 1"));
}

#[test]
fn a_command_that_polls_needs_the_secrets_of_its_sources_only() {
    let world = world();
    world.run(&["sessions", "--source", "erp"]).expect(0);
    lacks(world.run(&["sessions", "--source", "far"]), &FAR);
    world.run(&["check", "--session", "erp/14"]).expect(0);
    lacks(world.run(&["check", "--session", "far/1"]), &FAR);
    lacks(world.run(&["check"]), &FAR);
    lacks(world.run(&["check", "--session", "erp/14", "--notify"]), &["variable MAIL_PASSWORD"]);
    lacks(world.run(&["notifications", "test", "--to", "it@acme.example"]), &["variable MAIL_PASSWORD"]);
    // Creates a store without the mail account.
    world.edit(&[(MAIL, "spool: ./mail")]);
    world.run(&["check", "--session", "erp/14", "--notify"]).expect(0);
    assert!(world.run(&["notifications", "resend", "1"]).expect(2).err.contains("there is no notification 1"));
    world.edit(&[("spool: ./mail", MAIL)]);
    lacks(world.run(&["notifications", "resend", "1"]), &["variable MAIL_PASSWORD"]);
}

#[test]
fn the_daemon_and_a_validation_need_every_secret() {
    let world = world();
    for command in ["run", "validate"] {
        lacks(world.run(&[command]), &["variable MAIL_PASSWORD", FAR[0], FAR[1]]);
    }
}

#[test]
fn a_variable_that_a_needed_secret_shares_with_another_must_be_set() {
    let world = world();
    world.edit(&[
        ("credential_hash: { file: absent }", "username: u, password: &shared \"${SHARED}\""),
        (&format!("password: \"{}\"", driftwise::simulator::PASSWORD), "password: *shared"),
    ]);
    world.run(&["status"]).expect(3);
    let refused = world.run(&["sessions", "--source", "erp"]).expect(2);
    assert!(refused.err.contains("SHARED is not set"), "{}", refused.err);
}

#[test]
fn other_problems_of_a_part_are_reported_without_its_secrets() {
    let world = world();
    world.edit(&[("export_definition: 1,", "export_definition: none,")]);
    assert!(world.run(&["status"]).expect(2).err.contains("export_definition"));
}
