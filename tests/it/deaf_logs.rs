//! A log that cannot be written, or has no reader, stops no poll, no delivery and no command.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{self, Daemon, Done, driftwise, eventually, eventually_or};
use crate::world::{FALLBACK, OWNER, Setup, World};

const DROPPED: &str = "driftwise_log_lines_dropped_total";

/// A daemon with a log that the test chooses.
struct Deaf(Daemon);

impl Deaf {
    /// With a log that goes to `log`.
    fn start(world: &World, level: &str, log: impl Into<Stdio>) -> Self {
        let address = free(world);
        let mut command = driftwise(world.folder());
        let daemon = Daemon::launch_with_log(command.arg("run").env("RUST_LOG", level), address, log);
        // The command also holds the other end of the pipe.
        drop(command);
        Self(daemon.listens())
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.metric(name, labels)
    }

    fn until(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        self.0.until(name, labels, least);
    }

    /// Asserts that polls go on, and mail is delivered.
    fn works(&self, world: &World) {
        let polls = ("driftwise_audits_total", [("source", "erp"), ("outcome", "ok")]);
        self.until(polls.0, &polls.1, self.metric(polls.0, &polls.1).unwrap() + 3.0);
        world.simulator.set(14, "import_orders_as", "j.doe");
        world.mail("drift", OWNER);
        world.simulator.set(14, "import_orders_as", "Shopify_Orders");
        world.mail("resolved", OWNER);
    }

    fn stop(self) {
        let asked = Instant::now();
        self.0.stop();
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
}

/// Sets a free port in the configuration, because the log of such a daemon does not show its port.
fn free(world: &World) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.edit(&[("127.0.0.1:0", &address.to_string())]);
    address
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// The writing end of a pipe without a reader.
fn closed() -> OwnedFd {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let world = World::new(1, &Setup::default());
    let deaf = Deaf::start(&world, "info,not a directive", full());
    deaf.works(&world);
    assert!(deaf.metric(DROPPED, &[]).unwrap() >= 3.0);
    deaf.stop();
}

#[test]
fn a_log_whose_reader_is_gone_stops_nothing() {
    let world = World::new(1, &Setup::default());
    let deaf = Deaf::start(&world, "info", closed());
    deaf.works(&world);
    assert!(deaf.metric(DROPPED, &[]).unwrap() >= 3.0);
    deaf.stop();
}

#[test]
fn a_working_log_drops_nothing_and_counts_zero() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    assert_eq!(daemon.metric(DROPPED, &[]), Some(0.0));
    assert!(!daemon.stop().contains("log lines were lost"));
}

/// A world with a second source that causes long log lines: sessions with a long value, which no rule checks.
fn noisy() -> World {
    let sessions = (1..=SESSIONS).map(|id| format!("{{ source: noisy, id: {id}, policy: quiet }}"));
    let sessions = std::iter::once(String::from("{ id: 14 }")).chain(sessions).collect();
    let more = "policies: { quiet: { rules: [{ id: export-off, setting: export, expect: unticked }] } }\n".to_owned();
    let world = World::new(1, &Setup { sessions, more, ..Setup::default() });
    world.edit(&[("defaults:\n", "  noisy: { type: file, path: grid.json }\ndefaults:\n")]);
    say(&world, "a");
    world
}

const SESSIONS: usize = 40;

/// Changes the value of each session of the second source.
fn say(world: &World, outbound: &str) {
    let noise = outbound.repeat(64 << 10);
    let row = |id: usize| serde_json::json!({ "session_id": id, "export": false, "noise": noise });
    let rows = serde_json::Value::from((1..=SESSIONS).map(row).collect::<Vec<_>>());
    // Renamed, so that no poll reads half of it.
    std::fs::write(world.path("next.json"), rows.to_string()).unwrap();
    std::fs::rename(world.path("next.json"), world.path("grid.json")).unwrap();
}

/// A daemon whose log has no reader, with enough log lines to fill its queue.
fn unread(world: &World) -> (Deaf, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let deaf = Deaf::start(world, "trace", writer);
    deaf.until("driftwise_audits_total", &[("source", "noisy"), ("outcome", "ok")], 1.0);
    let mut outbound = ["b", "c"].iter().cycle();
    eventually("lines that are dropped", || {
        let audits = || deaf.metric("driftwise_audits_total", &[("source", "noisy"), ("outcome", "ok")]);
        let before = audits()?;
        say(world, outbound.next().unwrap());
        eventually("poll of the noisy source", || audits().filter(|audits| *audits >= before + 2.0));
        deaf.metric(DROPPED, &[]).filter(|lines| *lines > 0.0)
    });
    (deaf, reader)
}

#[test]
fn a_log_without_a_reader_stops_nothing() {
    let world = noisy();
    let (deaf, reader) = unread(&world);
    deaf.works(&world);
    deaf.stop();
    drop(reader);
}

#[test]
fn lines_that_were_lost_are_counted_in_the_log_when_it_is_read_again() {
    let world = noisy();
    let (deaf, reader) = unread(&world);
    let mut lines = BufReader::new(reader).lines().map(|line| line.unwrap());
    let notice = lines.find(|line| line.contains("log lines were lost")).unwrap();
    let notice = serde_json::from_str::<serde_json::Value>(&notice).unwrap();
    assert_eq!(notice["level"], "WARN");
    assert!(notice["timestamp"].is_string() && notice["lines"].as_u64().unwrap() > 0, "{notice}");
    let rest = std::thread::spawn(move || lines.last());
    deaf.works(&world);
    deaf.stop();
    assert!(rest.join().unwrap().unwrap().contains("driftwise has stopped"));
}

#[test]
fn a_daemon_that_fails_without_a_reader_of_its_log_ends() {
    let world = World::new(1, &Setup::default());
    let (reader, writer) = std::io::pipe().unwrap();
    // The pipe is full before the daemon starts.
    let filler = writer.try_clone().unwrap();
    let mut command = Command::new("dd");
    let mut fill = command
        .args(["if=/dev/zero", "bs=4096", "oflag=nonblock"])
        .stdout(filler)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(command);
    fill.wait().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    world.edit(&[("127.0.0.1:0", &taken.local_addr().unwrap().to_string())]);
    let mut child = driftwise(world.folder()).arg("run").stderr(writer).spawn().unwrap();
    let status = eventually("end of the daemon", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(4));
    drop(reader);
}

/// Every command, with the exit code of its result.
const COMMANDS: [(&[&str], i32); 14] = [
    (&["check"], 1),
    (&["check", "--format", "json", "--log-level", "trace"], 1),
    (&["check", "--notify"], 1),
    (&["validate", "--online"], 0),
    (&["validate", "-c", "absent.yaml"], 2),
    (&["sessions", "--source", "erp"], 0),
    (&["status"], 3),
    (&["notifications", "list"], 0),
    (&["notifications", "test", "--to", FALLBACK], 0),
    (&["healthcheck", "--address", "127.0.0.1:9"], 4),
    (&["history"], 0),
    (&["--help"], 0),
    (&["--version"], 0),
    (&["check", "--nope"], 2),
];

/// Runs each command with these outputs, and passes its result to `meets`.
fn each(out: impl Fn() -> Stdio, err: impl Fn() -> Stdio, meets: impl Fn(&[&str], i32, Done)) {
    for (arguments, code) in COMMANDS {
        let world = World::new(1, &Setup::default());
        world.simulator.set(14, "import_orders_as", "j.doe");
        let mut command = driftwise(world.folder());
        let output = command.args(arguments).stdin(Stdio::null()).stdout(out()).stderr(err()).output().unwrap();
        meets(arguments, code, output.into());
    }
}

#[test]
fn a_command_whose_reader_is_gone_ends_quietly_with_the_code_of_its_result() {
    each(
        || closed().into(),
        Stdio::piped,
        |arguments, code, done| {
            let done = done.expect(code);
            assert!(
                !done.err.contains("panicked") && !done.err.contains("standard output"),
                "{arguments:?}: {}",
                done.err
            );
        },
    );
    each(|| closed().into(), || closed().into(), |_, code, done| drop(done.expect(code)));
    each(Stdio::piped, || full().into(), |_, code, done| drop(done.expect(code)));
}

#[test]
fn a_command_whose_output_does_not_fit_on_the_disk_fails_with_a_reason() {
    each(
        || full().into(),
        Stdio::piped,
        |arguments, code, done| {
            let done = done.expect(if done_prints(arguments) { 4 } else { code });
            let said = done.err.contains("cannot write to standard output: No space left on device");
            assert_eq!(said, done_prints(arguments), "{arguments:?}: {}", done.err);
        },
    );
    // The reason has no output to go to.
    each(
        || full().into(),
        || full().into(),
        |arguments, code, done| {
            done.expect(if done_prints(arguments) { 4 } else { code });
        },
    );
}

/// Whether a command of [`COMMANDS`] writes to standard output.
fn done_prints(arguments: &[&str]) -> bool {
    !matches!(arguments[..], ["healthcheck", ..] | ["check", "--nope"] | ["validate", "-c", _])
}

#[test]
fn the_stand_in_runs_without_a_reader_of_its_output() {
    let world = World::new(1, &Setup::default());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = driftwise(world.folder());
    command.args(["simulate", "--listen", &address.to_string()]).stdout(closed()).stderr(closed());
    let mut child = command.spawn().unwrap();
    eventually_or(|| String::from("stand-in"), || program::get(address, "/_simulator"));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(eventually("end of the stand-in", || child.try_wait().unwrap()).success());
}

/// A reader that takes the first line and closes, as `head -1` does.
#[test]
fn a_reader_that_closes_early_is_not_a_failure() {
    let sessions = (14..414).map(|id| format!("{{ id: {id} }}")).collect();
    let world = World::new(400, &Setup { sessions, ..Setup::default() });
    let mut command = driftwise(world.folder());
    command.args(["check", "--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let done = Done::from(child.wait_with_output().unwrap()).expect(0);
    assert_eq!((first, done.err.as_str()), ([b'{'], ""));
}
