//! `reload: watch`: the daemon reloads when a file of its configuration changes.

use std::fs;
use std::os::unix::fs::symlink;

use crate::certificate;
use crate::program::{Daemon, ask, eventually_or};
use crate::world::{Setup, World};

const ACCEPTED: &str = "driftwise_config_last_reload_successful";

fn watching(ids: &[u32]) -> Setup {
    Setup { more: String::from("reload: watch\n"), ..sessions(ids) }
}

fn sessions(ids: &[u32]) -> Setup {
    Setup { sessions: ids.iter().map(|id| format!("{{ id: {id} }}")).collect(), ..Setup::default() }
}

fn audits(daemon: &Daemon, session: &str) {
    daemon.until("driftwise_session_info", &[("session", session)], 1.0);
}

/// Waits until the last reload was accepted, or was refused.
fn accepted(daemon: &Daemon, accepted: bool) {
    let wanted = if accepted { 1.0 } else { 0.0 };
    eventually_or(
        || format!("reload accepted: {accepted}; log: {}", daemon.said()),
        || (daemon.metric(ACCEPTED, &[]) == Some(wanted)).then_some(()),
    );
}

/// How many reloads the daemon began because a file changed.
fn reloads(daemon: &Daemon) -> usize {
    daemon.said().matches("a file changed").count()
}

fn reloaded(daemon: &Daemon, times: usize) {
    eventually_or(|| format!("{times} reloads; log: {}", daemon.said()), || (reloads(daemon) == times).then_some(()));
}

#[test]
fn an_edited_included_file_and_a_new_one_that_matches_a_pattern_are_read() {
    let world =
        World::new(3, &Setup { more: String::from("reload: watch\ninclude: [more/*.yaml]\n"), ..sessions(&[14]) });
    fs::create_dir(world.path("more")).unwrap();
    let daemon = world.daemon();
    fs::write(world.path("more/second.yaml"), "sessions: [{ id: 15 }]\n").unwrap();
    audits(&daemon, "15");
    fs::write(world.path("more/second.yaml"), "sessions: [{ id: 15 }, { id: 16 }]\n").unwrap();
    audits(&daemon, "16");
    assert!(daemon.stop().contains("a file changed"));
}

#[test]
fn a_configuration_behind_the_swapped_link_of_a_configmap_is_read() {
    let world = World::new(2, &watching(&[14]));
    let text = fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let more = text.replace("  - { id: 14 }\n", "  - { id: 14 }\n  - { id: 15 }\n");
    assert!(more != text);
    fs::remove_file(world.path("driftwise.yaml")).unwrap();
    for (folder, text) in [("..first", &text), ("..second", &more)] {
        fs::create_dir(world.path(folder)).unwrap();
        fs::write(world.path(folder).join("driftwise.yaml"), text).unwrap();
    }
    symlink("..first", world.path("..data")).unwrap();
    symlink("..data/driftwise.yaml", world.path("driftwise.yaml")).unwrap();
    let daemon = world.daemon();
    daemon.first_poll();
    symlink("..second", world.path("..data_tmp")).unwrap();
    fs::rename(world.path("..data_tmp"), world.path("..data")).unwrap();
    audits(&daemon, "15");
    daemon.stop();
}

#[test]
fn a_half_written_file_and_a_missing_file_are_refused_until_they_are_complete() {
    let world = World::new(2, &watching(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    let path = world.path("driftwise.yaml");
    world.configure(&watching(&[14, 15]));
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.find("email:").unwrap()]).unwrap();
    accepted(&daemon, false);
    daemon.poll();
    fs::write(&path, &whole).unwrap();
    audits(&daemon, "15");
    accepted(&daemon, true);
    fs::rename(&path, world.path("moved")).unwrap();
    accepted(&daemon, false);
    daemon.poll();
    fs::rename(world.path("moved"), &path).unwrap();
    accepted(&daemon, true);
    daemon.stop();
}

#[test]
fn a_secret_behind_the_swapped_link_of_a_kubernetes_secret_is_read_and_other_files_are_not() {
    let world = World::new(1, &watching(&[14]));
    fs::create_dir(world.path("secrets")).unwrap();
    for (folder, password) in [("..first", "simulated"), ("..second", "rotated")] {
        fs::create_dir(world.path("secrets").join(folder)).unwrap();
        fs::write(world.path("secrets").join(folder).join("password"), password).unwrap();
    }
    symlink("..first", world.path("secrets/..data")).unwrap();
    symlink("..data/password", world.path("secrets/password")).unwrap();
    world.edit(&[("password: \"simulated\"", "password: { file: secrets/password }")]);
    let daemon = world.daemon();
    daemon.first_poll();
    for other in ["notes.txt", "other.yaml", "secrets/other"] {
        fs::write(world.path(other), "changed").unwrap();
    }
    symlink("..second", world.path("secrets/..data_tmp")).unwrap();
    fs::rename(world.path("secrets/..data_tmp"), world.path("secrets/..data")).unwrap();
    reloaded(&daemon, 1);
    // A second change of the others is no reload either: the next one is caused by the secret.
    fs::write(world.path("notes.txt"), "changed again").unwrap();
    fs::write(world.path("secrets/..second/password"), "rotated twice").unwrap();
    reloaded(&daemon, 2);
    daemon.stop();
}

#[test]
fn a_changed_certificate_file_is_read() {
    let world = World::new(1, &watching(&[14]));
    fs::copy(certificate::ca_file(), world.path("ca.pem")).unwrap();
    world.edit(&[("timeout: 5s", "timeout: 5s, tls: { ca_file: ca.pem }")]);
    let daemon = world.daemon();
    daemon.first_poll();
    fs::write(world.path("ca.pem"), "no certificate").unwrap();
    accepted(&daemon, false);
    fs::copy(certificate::ca_file(), world.path("ca.pem")).unwrap();
    accepted(&daemon, true);
    daemon.stop();
}

#[test]
fn a_repaired_file_of_a_refused_configuration_is_read() {
    let world = World::new(2, &watching(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    fs::create_dir(world.path("more")).unwrap();
    fs::write(world.path("more/second.yaml"), "sessions: [{ id: 15, strange: 1 }]\n").unwrap();
    world.configure(&Setup { more: String::from("reload: watch\ninclude: [more/second.yaml]\n"), ..sessions(&[14]) });
    accepted(&daemon, false);
    // The configuration in force does not include this file.
    fs::write(world.path("more/second.yaml"), "sessions: [{ id: 15 }]\n").unwrap();
    audits(&daemon, "15");
    daemon.stop();
}

#[test]
fn a_reload_switches_the_watch_on_and_off() {
    let world = World::new(3, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    let reload = || assert_eq!(ask(daemon.address, "POST", "/-/reload", "").unwrap().0, 200);
    world.configure(&watching(&[14]));
    reload();
    world.configure(&watching(&[14, 15]));
    audits(&daemon, "15");
    world.configure(&sessions(&[14, 15]));
    reload();
    let before = reloads(&daemon);
    world.configure(&sessions(&[14, 15, 16]));
    // Polls come each second, so four rounds of the watch pass.
    let (name, labels) = ("driftwise_source_requests_total", [("outcome", "ok")]);
    daemon.until(name, &labels, daemon.metric(name, &labels).unwrap() + 8.0);
    assert_eq!(daemon.metric("driftwise_session_info", &[("session", "16")]), None);
    assert_eq!(reloads(&daemon), before);
    daemon.stop();
}
