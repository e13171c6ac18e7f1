//! A store has one owner, even if a second process opens it by another name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::program::{Daemon, driftwise, eventually, eventually_or};
use crate::world::{OWNER, Setup, World};

/// A folder with a copy of the configuration of `world` whose store is at `store`.
fn second(world: &World, name: &str, store: &str) -> std::path::PathBuf {
    let folder = world.path(name);
    fs::create_dir_all(&folder).unwrap();
    let text = fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let store = format!("{text}\nstore: {{ url: \"sqlite://{store}\" }}\n");
    fs::write(folder.join("driftwise.yaml"), store).unwrap();
    folder
}

/// Runs a daemon in `folder` that must be refused, and returns its log.
fn refused(folder: &Path) -> String {
    crate::program::run(folder, &["run"]).expect(4).err
}

/// A world with a daemon that has notified of one drift.
fn owned() -> (World, Daemon) {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    (world, daemon)
}

#[test]
fn a_second_daemon_is_refused_whatever_name_of_the_store_it_uses() {
    let (world, daemon) = owned();
    let by = format!("is in use by process {}", daemon.pid());
    let store = world.path("driftwise.db");
    let linked = second(&world, "linked", "driftwise.db");
    fs::hard_link(&store, linked.join("driftwise.db")).unwrap();
    let pointed = second(&world, "pointed", "driftwise.db");
    symlink(&store, pointed.join("driftwise.db")).unwrap();
    let direct = second(&world, "direct", "../driftwise.db");
    for folder in [&linked, &pointed, &direct] {
        let said = refused(folder);
        assert!(said.contains(&by), "{said}");
        assert!(!folder.join("mail").exists(), "{}", folder.display());
    }
    daemon.poll();
    let drifts = world.mails().iter().filter(|mail| mail.kind() == "drift").count();
    assert_eq!(drifts, 2, "{:?}", world.notified());
    daemon.stop();
    // The first has closed the store in order, so its log is in the file and any name works.
    let daemon = Daemon::start(&linked, &[]);
    daemon.poll();
    assert!(!linked.join("mail").exists(), "the notification is known under the other name");
    daemon.stop();
}

#[test]
fn a_bind_mount_of_the_file_alone_does_not_bypass_the_owner() {
    let (world, daemon) = owned();
    let mounted = second(&world, "mounted", "driftwise.db");
    let at = mounted.join("driftwise.db");
    fs::write(&at, "").unwrap();
    // In a mount namespace of its own, which ends with the daemon; if that is not allowed, a hard link has the same effect.
    let mount = "mount --bind \"$1\" \"$2\" || { rm \"$2\" && ln \"$1\" \"$2\"; }; exec \"$0\" run";
    let program = driftwise(&mounted);
    let (store, program) = (world.path("driftwise.db"), program.get_program());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", mount]).arg(program).args([&store, &at]);
    let mut output = command.current_dir(&mounted).output().unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("unshare") {
        let mut command = Command::new("sh");
        output = command.args(["-c", mount]).arg(program).args([&store, &at]).current_dir(&mounted).output().unwrap();
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("is in use by process {}", daemon.pid())), "{said}");
    daemon.stop();
}

#[test]
fn a_daemon_that_lost_the_store_ends_and_names_the_owner() {
    let (world, mut daemon) = owned();
    let overtake = "PRAGMA busy_timeout = 10000; UPDATE owner SET id = 'x', process = 7, host = 'elsewhere'";
    let done = Command::new("sqlite3").arg(world.path("driftwise.db")).arg(overtake).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(daemon.wait().code(), Some(4), "{}", daemon.said());
    assert!(daemon.said().contains("is in use by process 7 on elsewhere"), "{}", daemon.said());
}

#[test]
fn after_a_kill_a_restart_owns_the_store_at_once() {
    let (world, mut daemon) = owned();
    for _ in 0..3 {
        daemon.kill();
        let began = std::time::Instant::now();
        daemon = world.daemon();
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(10), "a lease is waited out: {took:?}");
    }
    daemon.stop();
}

#[test]
fn after_a_kill_another_name_is_refused_while_changes_lie_in_the_log_of_the_first() {
    let (world, daemon) = owned();
    let linked = second(&world, "linked", "driftwise.db");
    fs::hard_link(world.path("driftwise.db"), linked.join("driftwise.db")).unwrap();
    daemon.kill();
    let said = refused(&linked);
    assert!(said.contains("has changes in the log of another path to the same file"), "{said}");
    world.daemon().stop();
    Daemon::start(&linked, &[]).stop();
}

#[test]
fn one_of_two_daemons_that_start_together_under_two_names_is_refused() {
    for fresh in [true, false] {
        let world = World::new(1, &Setup::default());
        let store = world.path("driftwise.db");
        if fresh {
            fs::write(&store, "").unwrap();
        } else {
            world.daemon().stop();
        }
        let linked = second(&world, "linked", "driftwise.db");
        fs::hard_link(&store, linked.join("driftwise.db")).unwrap();
        let start = |folder: &Path| Daemon::launch(driftwise(folder).arg("run"), ([127, 0, 0, 1], 0).into());
        let mut both = [world.folder(), &linked].map(start);
        let refused = eventually("end of one", || both.iter_mut().position(|one| one.ended().is_some()));
        assert_eq!(both[refused].wait().code(), Some(4), "{}", both[refused].said());
        assert!(both[refused].said().contains("is in use by"), "{}", both[refused].said());
        let other = &mut both[1 - refused];
        eventually_or(|| other.said(), || other.said().contains("driftwise is running").then_some(()));
        assert_eq!(other.ended(), None, "{}", other.said());
    }
}
