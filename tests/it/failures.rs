//! Failures around the program: it reports each, ends if it must, and continues if it can.

use std::net::TcpListener;

use crate::program::{driftwise, eventually_or};
use crate::world::{OWNER, Setup, World};

#[test]
fn a_port_in_use_ends_the_program_with_a_reason() {
    let world = World::new(1, &Setup::default());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.edit(&[("127.0.0.1:0", &address)]);
    let ended = world.run(&["run"]).expect(4);
    assert!(ended.err.contains(&format!("cannot listen on {address}")), "{}", ended.err);
    assert!(ended.err.contains("in use"), "{}", ended.err);
    assert!(world.simulator.requests().is_empty(), "the source was polled");
}

#[test]
fn a_second_daemon_on_the_same_store_names_its_owner() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    let second = world.run(&["run"]).expect(4);
    assert!(second.err.contains(&format!("process {}", daemon.pid())), "{}", second.err);
    daemon.poll();
    daemon.stop();
}

#[test]
fn the_owner_of_the_store_is_reported_before_a_port_in_use() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    world.edit(&[("127.0.0.1:0", &daemon.address.to_string())]);
    let second = world.run(&["run"]).expect(4);
    assert!(second.err.contains(&format!("process {}", daemon.pid())), "{}", second.err);
    assert!(!second.err.contains("listen"), "{}", second.err);
    daemon.stop();
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_left_alone() {
    let world = World::new(1, &Setup::default());
    let outbound = "Dear diary, this is not a database. ".repeat(200);
    std::fs::write(world.path("driftwise.db"), &outbound).unwrap();
    for command in ["run", "status", "check"] {
        let refused = world.run(&[command]).expect(4);
        assert!(refused.err.contains("driftwise.db"), "{command}: {}", refused.err);
    }
    assert_eq!(std::fs::read_to_string(world.path("driftwise.db")).unwrap(), outbound);
}

#[test]
fn a_store_outage_is_reported_and_work_continues_after_it() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    let ready = |wanted: u16| {
        eventually_or(
            || format!("{wanted} from /readyz: {}", daemon.said()),
            || {
                let (status, said) = daemon.get("/readyz");
                (status == wanted).then_some(said)
            },
        )
    };
    ready(200);
    std::fs::rename(world.path("driftwise.db"), world.path("away.db")).unwrap();
    world.simulator.set(14, "import_orders_as", "j.doe");
    daemon.until("driftwise_store_errors_total", &[("operation", "record")], 1.0);
    assert!(ready(503).contains("store"));
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.logs("failed to record audit; will repeat it");
    let down = world.run(&["healthcheck", "--address", &daemon.address.to_string()]).expect(4);
    assert!(down.err.contains("not ready"), "{}", down.err);
    assert!(world.mails().is_empty(), "mail about what is not recorded");
    assert_eq!(daemon.metric("driftwise_drift_open", &[]), None);
    std::fs::rename(world.path("away.db"), world.path("driftwise.db")).unwrap();
    world.mail("drift", OWNER);
    ready(200);
    assert_eq!(world.mails().len(), 1, "{:?}", world.notified());
    daemon.stop();
}

#[test]
fn a_mail_folder_that_cannot_be_written_to_holds_the_mail_until_it_can() {
    let world = World::new(1, &Setup { email: String::from("spool: ./mail"), ..Setup::default() });
    std::fs::write(world.path("mail"), "a file where the folder should be").unwrap();
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = world.daemon();
    daemon.until("driftwise_outbox_notifications", &[("state", "retrying")], 1.0);
    daemon.until("driftwise_notification_attempts_total", &[("outcome", "deferred")], 1.0);
    std::fs::remove_file(world.path("mail")).unwrap();
    world.mail("drift", OWNER);
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 1.0);
}

#[test]
fn a_reader_that_goes_away_is_not_a_failure() {
    let world = World::new(1, &Setup::default());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = driftwise(world.folder()).arg("check").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
