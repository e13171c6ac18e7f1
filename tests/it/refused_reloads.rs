//! Reloads that are refused: an invalid configuration, and a request from a web page.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::program::{Daemon, eventually};
use crate::reloads::{ACCEPTED, reload, sessions};
use crate::world::{FALLBACK, Setup, World};

#[test]
fn an_invalid_configuration_changes_nothing_and_is_reported_everywhere() {
    let world = World::new(2, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    assert_eq!(daemon.metric(ACCEPTED, &[]), Some(1.0));
    let good = std::fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let bad = good.replace("alerts:", "alarms:");
    assert!(bad != good);
    std::fs::write(world.path("driftwise.yaml"), bad).unwrap();
    let (status, text) = reload(&daemon);
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("alarms") && text.contains("did you mean \"alerts\""), "{text}");
    assert_eq!(daemon.metric(ACCEPTED, &[]), Some(0.0));
    let (ready, detail) = daemon.get("/readyz");
    assert!(ready == 200 && detail.contains("reload refused"), "{detail}");
    let (_, page) = daemon.get("/");
    assert!(page.contains("refused"), "{page}");
    // Audits go on as before.
    world.simulator.set(14, "export", true);
    daemon.until("driftwise_drift_open", &[("session", "14")], 1.0);
    std::fs::write(world.path("driftwise.yaml"), good).unwrap();
    assert_eq!(reload(&daemon).0, 200);
    assert_eq!(daemon.metric(ACCEPTED, &[]), Some(1.0));
    assert!(!daemon.get("/readyz").1.contains("refused") && !daemon.get("/").1.contains("refused"));
    assert!(daemon.stop().contains("refused the configuration"));
}

#[test]
fn the_log_of_a_refused_configuration_holds_no_source_lines_and_addresses_only_at_debug() {
    let world = World::new(1, &sessions(&[14]));
    let daemon = Daemon::start(world.folder(), &["--log-level", "debug"]);
    daemon.first_poll();
    world.edit(&[
        ("unreachable_after: 0", "unreachable_after: jane@acme.example"),
        ("sessions:\n  - { id: 14 }", "sessions:\n  - { id: 14, owners: [jane@acme.example], strange: 1 }"),
    ]);
    let (status, answer) = reload(&daemon);
    assert!(status == 422 && answer.contains("strange") && !answer.contains("jane"), "{answer}");
    let log = daemon.stop();
    let level = |level: &str| log.lines().filter(|line| line.contains(level)).collect::<Vec<_>>().join("\n");
    let (errors, debug) = (level("ERROR"), level("DEBUG"));
    assert!(errors.contains("driftwise.yaml:9:44: a session has no key \\\"strange\\\""), "{errors}");
    assert!(errors.contains("…@acme.example"), "the message that quotes the address: {errors}");
    assert!(debug.contains("owners: [jane@acme.example]"), "the source line: {debug}");
    let above = log.lines().filter(|line| !line.contains("DEBUG") && line.contains("jane"));
    assert_eq!(above.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_web_page_cannot_ask_for_a_reload() {
    let world = World::new(1, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    let head = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(daemon.get("/-/reload").0, 405);
    assert!(!daemon.stop().contains("reloaded"));
}

/// Writes a configuration that cannot be used, and asks for a reload.
fn spoil(world: &World, daemon: &Daemon, key: &str) {
    world.configure(&Setup { more: format!("{key}: 1\n"), ..sessions(&[14]) });
    assert_eq!(reload(daemon).0, 422);
}

#[test]
fn operators_get_one_mail_for_each_refused_configuration() {
    let world = World::new(1, &sessions(&[14]));
    let daemon = world.daemon();
    daemon.first_poll();
    let refusals = || world.mails().into_iter().filter(|mail| mail.kind() == "reload").collect::<Vec<_>>();
    let count = |wanted| eventually("refusals", || (refusals().len() == wanted).then(refusals));
    spoil(&world, &daemon, "alarms");
    spoil(&world, &daemon, "alarms");
    let first = &count(1)[0];
    assert_eq!(first.to(), FALLBACK);
    first.says("alarms");
    spoil(&world, &daemon, "sauces");
    count(2);
    spoil(&world, &daemon, "alarms");
    // A configuration with operators is accepted, and then one is refused for the same reason as at first.
    let operated = Setup { alerts: String::from("operators: [run@integrator.example]"), ..sessions(&[14]) };
    world.configure(&operated);
    assert_eq!(reload(&daemon).0, 200);
    spoil(&world, &daemon, "alarms");
    let all = count(3);
    assert_eq!(all.iter().filter(|mail| mail.to() == "run@integrator.example").count(), 1);
    daemon.poll();
    assert_eq!(world.mails().len(), 3, "{:?}", world.notified());
    world.configure(&operated);
    let listed = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    let kinds =
        listed["notifications"].as_array().unwrap().iter().map(|sent| sent["kind"].as_str().unwrap().to_owned());
    assert_eq!(kinds.collect::<Vec<_>>(), ["reload"; 3]);
    daemon.stop();
}
