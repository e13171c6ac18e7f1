//! A stop while something hangs: the daemon ends within ten seconds, with exit code 0.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driftwise::simulator::{Mode, RequestKind};

use crate::program::{Daemon, eventually};
use crate::world::{Setup, World};

fn stops_in_time(mut daemon: Daemon) {
    let asked = Instant::now();
    daemon.signal("TERM");
    let status = daemon.wait();
    assert!(status.success(), "{status}: {}", daemon.said());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}: {}", asked.elapsed(), daemon.said());
}

#[test]
fn a_source_that_hangs_does_not_delay_the_stop() {
    let world = World::new(1, &Setup { source: String::from("timeout: 60s"), ..Setup::default() });
    world.simulator.fail(Mode::TooLarge, None);
    let daemon = world.daemon();
    eventually("poll that hangs", || (world.simulator.count(RequestKind::Export) > 0).then_some(()));
    stops_in_time(daemon);
}

#[test]
fn a_mail_server_that_hangs_does_not_delay_the_stop_and_its_message_is_kept() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", silent.local_addr().unwrap().port());
    let world = World::new(1, &Setup { email, ..Setup::default() });
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = world.daemon();
    let (connection, _) = silent.accept().unwrap();
    stops_in_time(daemon);
    drop(connection);
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    let message = &list["notifications"][0];
    assert!(message["state"] == "pending" || message["state"] == "retrying", "{message}");
    assert!(message["message_id"].is_string());
}

#[test]
fn a_browser_that_never_finishes_its_request_does_not_delay_the_stop() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    let mut halves = [TcpStream::connect(daemon.address).unwrap(), TcpStream::connect(daemon.address).unwrap()];
    halves[0].write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    daemon.poll();
    stops_in_time(daemon);
}

#[test]
fn a_store_that_another_program_holds_does_not_delay_the_stop() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    let store = world.path("driftwise.db");
    let mut other = Command::new("sqlite3").arg(store).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut hands = other.stdin.take().unwrap();
    hands.write_all(b".timeout 10000\nBEGIN EXCLUSIVE;\nSELECT 'mine';\n").unwrap();
    let mut said = [0; 4];
    other.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"mine");
    let parts = |phase| daemon.metric("driftwise_audit_duration_seconds_count", &[("phase", phase)]).unwrap();
    eventually("audit that waits to be recorded", || (parts("evaluate") > parts("record")).then_some(()));
    stops_in_time(daemon);
    drop(hands);
    other.wait().unwrap();
    // Nothing blocks the next daemon.
    let daemon = world.daemon();
    daemon.poll();
    daemon.stop();
}
