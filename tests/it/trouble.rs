//! Starts that cannot succeed, as an operator of a container meets them: the volume, the secrets, the configuration, the store of
//! another version. Each ends with the documented exit code and words, and changes nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{Daemon, Done, driftwise, eventually};
use crate::world::{OWNER, Setup, World};

/// Runs SQL on the store of a stopped daemon.
fn sql(world: &World, statement: &str) -> String {
    let output = Command::new("sqlite3").arg(world.path("driftwise.db")).arg(statement).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A world whose store has one notified drift, without a daemon.
fn stopped() -> World {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    world.mail("drift", OWNER);
    daemon.stop();
    world
}

/// Runs the daemon by a shell script in which `$0` is the program and `$1` the folder, in a mount namespace of its own.
fn in_namespace(folder: &Path, script: &str) -> Done {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-ec", script]);
    command.arg(driftwise(folder).get_program()).arg(folder).current_dir(folder).output().unwrap().into()
}

#[test]
fn a_read_only_volume_ends_the_start_with_a_reason_and_commands_still_read_it() {
    let world = stopped();
    let mount = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"; cd \"$1\"; exec \"$0\" ";
    let refused = in_namespace(world.folder(), &format!("{mount}run")).expect(4);
    assert!(refused.err.contains("driftwise.db") && refused.err.contains("read-only"), "{}", refused.err);
    let status = in_namespace(world.folder(), &format!("{mount}status --format json")).expect(1);
    assert_eq!(status.json()["sessions"][0]["status"], "drifted");
}

#[test]
fn a_volume_of_another_user_ends_the_start_with_a_reason() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let world = World::new(1, &Setup::default());
    if fs::metadata(world.folder()).unwrap().uid() != 0 {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return eprintln!("SKIPPED: only root can start the program as another user");
    }
    // The configuration is readable, and the folder is not writable.
    fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=10001", "--regid=10001", "--clear-groups"]).arg(driftwise(world.folder()).get_program());
    let refused = Done::from(command.arg("run").current_dir(world.folder()).output().unwrap()).expect(4);
    let folder = world.folder().display().to_string();
    assert!(refused.err.contains(&folder) || refused.err.contains("driftwise.db"), "{}", refused.err);
    assert!(refused.err.contains("permission") || refused.err.contains("may not"), "{}", refused.err);
    assert!(!world.path("driftwise.db").exists());
}

#[test]
fn a_missing_secret_and_every_other_problem_of_a_configuration_are_on_standard_error_before_anything_starts() {
    let password = "{ file: /run/secrets/absent }";
    let email = format!("smtp: {{ host: 127.0.0.1, username: driftwise, password: {password} }}");
    let sessions = vec![String::from("{ id: 14, schedule: sometimes }")];
    let world = World::new(1, &Setup { sessions, email, more: String::from("surprise: 1"), ..Setup::default() });
    let refused = world.run(&["run"]).expect(2);
    for part in ["surprise", "sometimes", "/run/secrets/absent"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert!(refused.out.is_empty() && !world.path("driftwise.db").exists());
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let world = stopped();
    let notified = world.notified();
    let version = sql(&world, "PRAGMA user_version").trim().to_owned();
    sql(&world, "PRAGMA user_version = 999");
    let before = fs::read(world.path("driftwise.db")).unwrap();
    for command in ["run", "status"] {
        let refused = world.run(&[command]).expect(4);
        assert!(refused.err.contains("newer Driftwise"), "{}", refused.err);
    }
    assert!(fs::read(world.path("driftwise.db")).unwrap() == before, "the store was changed");
    sql(&world, &format!("PRAGMA user_version = {version}"));
    let daemon = world.daemon();
    daemon.poll();
    daemon.stop();
    assert_eq!(world.notified(), notified, "the version that it belongs to continues with its state");
}

/// Another program that keeps the store locked until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(world: &World) -> Self {
        let mut command = Command::new("sqlite3");
        let mut other =
            command.arg(world.path("driftwise.db")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        other.stdin.as_mut().unwrap().write_all(b"BEGIN EXCLUSIVE;\nSELECT 'mine';\n").unwrap();
        let mut said = [0; 4];
        other.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"mine");
        Self(other)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_health_check_while_the_store_is_being_opened_fails_and_passes_once_it_is_open() {
    let world = stopped();
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.edit(&[("127.0.0.1:0", &address.to_string())]);
    let holder = Holder::of(&world);
    let daemon = Daemon::launch(driftwise(world.folder()).arg("run"), address);
    let starting = world.run(&["healthcheck"]).expect(4);
    assert!(starting.err.contains("no daemon answers"), "{}", starting.err);
    drop(holder);
    let daemon = daemon.listens();
    eventually("passed health check", || (world.run(&["healthcheck"]).code == Some(0)).then_some(()));
    daemon.stop();
}

#[test]
fn a_stop_while_the_store_is_being_opened_ends_in_time() {
    let world = stopped();
    let holder = Holder::of(&world);
    let mut daemon = Daemon::launch(driftwise(world.folder()).arg("run"), ([127, 0, 0, 1], 0).into());
    // The signals are handled before the store is opened.
    let handled = |status: &str| {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0).then_some(())
    };
    let status = format!("/proc/{}/status", daemon.pid());
    eventually("handler of SIGTERM", || handled(&fs::read_to_string(&status).unwrap()));
    let asked = std::time::Instant::now();
    daemon.signal("TERM");
    assert!(daemon.wait().success(), "{}", daemon.said());
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(holder);
}
