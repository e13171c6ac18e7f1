//! SIGKILL while the daemon creates its store, ends incidents of sessions that are no longer audited, and removes old history.

use std::process::Command;
use std::thread::sleep;

use driftwise::domain::notification::NotificationKind;
use driftwise::store::NotificationState;

use super::harness::{Harness, Known, SESSIONS, expect_ready, was_polled};
use super::kill::first_poll;
use crate::support::dice::{Dice, number};
use crate::support::program::eventually;

fn deaths() -> u64 {
    number("DRIFTWISE_DEATHS", 25)
}

#[test]
fn a_daemon_that_is_killed_while_it_creates_its_store_leaves_one_that_the_next_start_uses() {
    let mut dice = Dice::of("DRIFTWISE_DEATH_SEED");
    let quick = first_poll(&Harness::with_spool());
    let mut made = 0;
    for _ in 0..deaths() {
        let harness = Harness::with_spool();
        // More than once, so that a second partial start meets the files of the first.
        for _ in 0..2 {
            let daemon = harness.start();
            sleep(dice.before(quick));
            daemon.kill();
            made += u32::from(harness.known().is_some());
        }
        let daemon = harness.start();
        expect_ready(&daemon, 200);
        eventually("the first poll", || was_polled(&daemon).then_some(()));
        drop(daemon);
        harness.known().unwrap();
    }
    println!("{made} of {} were killed after they had made it", deaths() * 2);
}

#[test]
fn a_daemon_that_is_killed_while_it_ends_incidents_of_removed_sessions_notifies_once() {
    let mut dice = Dice::of("DRIFTWISE_DEATH_SEED");
    for _ in 0..(deaths() / 3).max(1) {
        let harness = Harness::with_spool();
        harness.write([true; SESSIONS]);
        let quick = first_poll(&harness);
        let daemon = harness.start();
        eventually("the mail about three drifts", || (harness.spooled().len() == 4).then_some(()));
        drop(daemon);
        harness.configure(1..=1);
        for _ in 0..4 {
            let daemon = harness.start();
            sleep(dice.before(quick));
            daemon.kill();
            harness.known().unwrap();
        }
        let daemon = harness.start();
        let known = eventually("the end of two drifts and its mail", || {
            let known = harness.known().unwrap();
            let ends = known.events.iter().filter(|event| event.what.ended().is_some()).count();
            let unaudited = known.messages.iter().filter(|message| message.kind == NotificationKind::Unaudited).count();
            let all_sent = known.messages.iter().all(|message| message.state == NotificationState::Sent);
            (ends >= 2 && unaudited >= 3 && all_sent).then_some(known)
        });
        drop(daemon);
        assert_eq!(known.events.iter().filter(|event| event.what.ended().is_some()).count(), 2);
        let mut unaudited = known.messages.iter().filter(|message| message.kind == NotificationKind::Unaudited);
        let mut unaudited = unaudited.by_ref().map(|message| message.to.as_str()).collect::<Vec<_>>();
        unaudited.sort_unstable();
        assert_eq!(unaudited, ["ops@integrator.example", "owner2@acme.example", "owner3@acme.example"]);
    }
}

#[test]
fn a_daemon_that_is_killed_while_it_removes_old_history_removes_nothing_else() {
    const OLD: usize = 40_000;
    let mut dice = Dice::of("DRIFTWISE_DEATH_SEED");
    let harness = Harness::with_spool();
    harness.write([true, false, false]);
    let quick = first_poll(&harness);
    let daemon = harness.start();
    let before = eventually("the mail about a drift", || {
        let sent = |known: &Known| known.messages.iter().filter(|m| m.state == NotificationState::Sent).count();
        harness.known().filter(|known| sent(known) == 2)
    });
    drop(daemon);
    let aged = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD})
         INSERT INTO events (source, session, at, doc) SELECT 'grid', '9', i,
         '{{\"at\":\"1970-01-01T00:00:00Z\",\"session\":\"9\",\"what\":{{\"event\":\"session_retired\",\"id\":\"9\"}}}}' FROM n; UPDATE retention SET begun = 0"
    );
    let aging = Command::new("sqlite3").arg(&harness.store).arg(aged).status().expect("this test needs sqlite3");
    assert!(aging.success());
    let old = |known: &Known| known.events.iter().filter(|event| event.at.timestamp() == 0).count();
    let (mut left, mut partly) = (OLD, 0);
    for _ in 0..deaths() {
        let daemon = harness.start();
        sleep(quick / 2 + dice.before(quick));
        daemon.kill();
        let now = old(&harness.known().unwrap());
        assert!(now <= left, "what was forgotten came back");
        partly += u32::from(now < left && now > 0);
        left = now;
    }
    let daemon = harness.start();
    let known = eventually("the end of what is old", || harness.known().filter(|known| old(known) == 0));
    drop(daemon);
    assert_eq!((known.events, known.messages), (before.events, before.messages));
    println!("{partly} were killed in the middle of it");
}
