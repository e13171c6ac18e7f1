//! Copies of the store while a daemon owns it.

use std::path::Path;
use std::process::Command;

use crate::program::{Daemon, eventually, run};
use crate::world::{OWNER, Setup, World};

/// A daemon that has found a drift and polls once a minute.
fn idle() -> (World, Daemon) {
    let world = World::new(1, &Setup::default());
    world.edit(&[("* * * * * *", "* * * * *")]);
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    // To the owner and to the fallback, each recorded as sent.
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 2.0);
    (world, daemon)
}

/// A folder with the configuration and a copy of the store.
fn restored(world: &World, copy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(world.path("driftwise.yaml"), folder.path().join("driftwise.yaml")).unwrap();
    std::fs::copy(world.path(copy), folder.path().join("driftwise.db")).unwrap();
    folder
}

#[track_caller]
fn holds_the_drift(folder: &Path) {
    let status = run(folder, &["status", "--format", "json"]).expect(1).json();
    assert_eq!(status["sessions"][0]["findings"][0]["rule"], "export-off");
}

#[test]
fn when_idle_the_log_is_empty_and_a_plain_copy_of_the_database_holds_the_state() {
    let (world, daemon) = idle();
    let log = world.path("driftwise.db-wal");
    eventually("empty log", || (std::fs::metadata(&log).unwrap().len() == 0).then_some(()));
    holds_the_drift(restored(&world, "driftwise.db").path());
    // The daemon goes on writing to the log that it emptied.
    world.simulator.set(14, "export", false);
    world.mail("resolved", OWNER);
    daemon.stop();
}

#[test]
fn sqlite_copies_the_store_of_a_running_daemon_and_another_daemon_can_own_the_copy() {
    let (world, daemon) = idle();
    for (name, command) in [("backup.db", ".backup backup.db"), ("vacuumed.db", "VACUUM INTO 'vacuumed.db'")] {
        let mut sqlite = Command::new("sqlite3");
        let done = sqlite.current_dir(world.folder()).args(["driftwise.db", command]).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        let folder = restored(&world, name);
        holds_the_drift(folder.path());
        let restored = Daemon::start(folder.path(), &[]);
        restored.first_poll();
        assert!(!folder.path().join("mail").exists(), "the copy knows who was notified");
        restored.stop();
    }
    assert!(!daemon.said().contains("ERROR"), "{}", daemon.said());
    world.simulator.set(14, "export", false);
    world.mail("resolved", OWNER);
    daemon.stop();
}
