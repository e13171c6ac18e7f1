//! The reports to a service manager, on a real datagram socket, as systemd would get them.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use crate::program::{DEADLINE, Daemon, driftwise};
use crate::world::{Setup, World};

/// A receiver of reports.
struct Receiver(UnixDatagram);

impl Receiver {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    fn path(path: &Path) -> Self {
        Self::at(&SocketAddr::from_pathname(path).unwrap())
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Waits for a report, and skips others.
    fn until(&self, wanted: &str) -> String {
        loop {
            let report = self.next();
            if report.contains(wanted) {
                return report;
            }
        }
    }
}

fn daemon(world: &World, socket: &str, variables: &[(&str, &str)]) -> Daemon {
    let mut command = driftwise(world.folder());
    Daemon::begin(command.arg("run").env("NOTIFY_SOCKET", socket).envs(variables.iter().copied()))
}

#[test]
fn readiness_status_reloads_and_the_end_are_reported_in_order() {
    let world = World::new(1, &Setup::default());
    let path = world.path("notify");
    let receiver = Receiver::path(&path);
    let daemon = daemon(&world, path.to_str().unwrap(), &[]);
    assert_eq!(receiver.next(), "READY=1\nSTATUS=1 session, 1 pending\n");
    daemon.first_poll();
    assert_eq!(receiver.until("STATUS"), "STATUS=1 session\n");
    world.simulator.set(14, "import_orders_as", "j.doe");
    assert_eq!(receiver.until("STATUS"), "STATUS=1 session, 1 drifted\n");

    daemon.signal("HUP");
    let reloading = receiver.next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
    assert!(since.parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(receiver.next(), "READY=1\nSTATUS=1 session, 1 drifted\n");

    world.edit(&[("defaults:\n", "surprise: 1\ndefaults:\n")]);
    daemon.signal("HUP");
    receiver.until("RELOADING=1");
    assert_eq!(receiver.next(), "READY=1\nSTATUS=1 session, 1 drifted; the last reload was refused\n");

    daemon.signal("TERM");
    assert_eq!(receiver.until("STOPPING"), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
fn an_abstract_socket_gets_the_signs_of_life_that_the_watchdog_asks_for() {
    let world = World::new(1, &Setup::default());
    let name = format!("driftwise-test-{}", std::process::id());
    let receiver = Receiver::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let daemon = daemon(&world, &format!("@{name}"), &[("WATCHDOG_USEC", "2000000")]);
    receiver.until("READY=1");
    assert_eq!(receiver.until("WATCHDOG"), "WATCHDOG=1\n");
    receiver.until("WATCHDOG");
    daemon.stop();
}

#[test]
fn without_a_watchdog_of_its_own_the_program_sends_no_sign_of_life() {
    let world = World::new(1, &Setup::default());
    let path = world.path("notify");
    let receiver = Receiver::path(&path);
    let daemon = daemon(&world, path.to_str().unwrap(), &[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "1")]);
    daemon.first_poll();
    let (mut reports, mut end) = (String::new(), false);
    daemon.signal("TERM");
    while !end {
        let report = receiver.next();
        end = report.starts_with("STOPPING=1");
        reports += &report;
    }
    assert!(reports.starts_with("READY=1\n") && !reports.contains("WATCHDOG"), "{reports}");
}

#[test]
fn a_service_manager_that_does_not_listen_is_reported_once_and_stops_nothing() {
    let world = World::new(1, &Setup::default());
    let socket = world.path("nowhere");
    let deaf = daemon(&world, socket.to_str().unwrap(), &[("WATCHDOG_USEC", "1000000")]);
    deaf.poll();
    deaf.signal("HUP");
    deaf.poll();
    let said = deaf.stop();
    assert_eq!(said.matches("cannot report to the service manager").count(), 1, "{said}");

    let without = world.daemon();
    without.poll();
    assert!(!without.stop().contains("service manager"));
}
