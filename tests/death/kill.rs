//! SIGKILL at random moments, while sessions drift and are repaired and mail goes out over SMTP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use driftwise::domain::event::EventKind;
use driftwise::domain::notification::NotificationKind;
use driftwise::store::NotificationState;

use super::harness::{Harness, Known, SESSIONS, was_polled};
use crate::support::dice::{Dice, number};
use crate::support::program::eventually;
use crate::support::sink::{Sink, Taken};

#[test]
fn a_daemon_that_is_killed_again_and_again_loses_nothing_and_sends_nothing_under_two_ids() {
    let deaths = number("DRIFTWISE_DEATHS", 25);
    let begun = Instant::now();
    let mut dice = Dice::of("DRIFTWISE_DEATH_SEED");
    let sink = Sink::start();
    let harness =
        Harness::new(&format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none, max_per_minute: 100000 }}", sink.port));
    let quick = first_poll(&harness);
    let (mut drifts, mut before) = ([false; SESSIONS], harness.known().unwrap());
    for death in 0..deaths {
        let which = usize::try_from(dice.below(SESSIONS as u64)).unwrap();
        drifts[which] = !drifts[which];
        harness.write(drifts);
        let daemon = harness.start();
        // From before the store is opened until after the mail, most often in between.
        std::thread::sleep(dice.before(quick * 2));
        daemon.kill();
        let now = harness.known().unwrap();
        nothing_went(&before, &now, death);
        before = now;
    }
    harness.write([false; SESSIONS]);
    let daemon = harness.start();
    let known = eventually("the end of every drift and of every mail", || {
        let known = harness.known().unwrap();
        let waits = known.messages.iter().any(|message| message.state != NotificationState::Sent);
        // Alerting commits after the audit.
        (open(&known) == 0 && notified(&known) && !waits).then_some(known)
    });
    drop(daemon);
    let repeats = account(&known, &sink.taken());
    let opened = known.events.iter().filter(|event| event.what.opened().is_some()).count();
    println!(
        "{deaths} deaths in {:?}: {opened} drifts opened and ended, {} messages, {repeats} came twice; the store is sound",
        begun.elapsed(),
        known.messages.len()
    );
    assert!(deaths < 20 || opened > 0, "no daemon lived long enough to see a drift");
}

/// Lets the daemon poll once, and returns how long that took from its start.
pub fn first_poll(harness: &Harness) -> Duration {
    let begun = Instant::now();
    let daemon = harness.start();
    eventually("the first poll", || was_polled(&daemon).then_some(()));
    let took = begun.elapsed();
    daemon.kill();
    took
}

fn open(known: &Known) -> i64 {
    let step = |what: &EventKind| i64::from(what.opened().is_some()) - i64::from(what.ended().is_some());
    known.events.iter().map(|event| step(&event.what)).sum()
}

/// Whether the owner of each session has a notification of every beginning and every end.
fn notified(known: &Known) -> bool {
    let moves = known.events.iter().filter(|event| event.what.opened().is_some() || event.what.ended().is_some());
    let to_owners = known.messages.iter().filter(|message| message.to.as_str().starts_with("owner"));
    moves.count() == to_owners.count()
}

/// Asserts that earlier records are still there, and sent messages still sent.
fn nothing_went(before: &Known, now: &Known, death: u64) {
    assert!(now.events.starts_with(&before.events), "death {death}: an event is gone");
    assert!(now.messages.len() >= before.messages.len(), "death {death}: a message is gone");
    for (was, is) in before.messages.iter().zip(&now.messages) {
        assert_eq!((was.id, &was.message_id), (is.id, &is.message_id), "death {death}: a message changed its id");
        assert!(was.state != NotificationState::Sent || is.state == NotificationState::Sent, "death {death}: {is:?}");
    }
}

/// Asserts that each recipient was notified once of each beginning and end, in order, that all notifications arrived, and no
/// others. Returns how many arrivals were repeats.
fn account(known: &Known, taken: &[Taken]) -> usize {
    let mut arrived: BTreeMap<String, &Taken> = BTreeMap::new();
    for outbound in taken {
        let first = *arrived.entry(outbound.id()).or_insert(outbound);
        assert_eq!(first, outbound, "a repeat is another mail");
    }
    let recorded = known.messages.iter().map(|message| message.message_id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(recorded, arrived.keys().cloned().collect::<BTreeSet<_>>(), "what was recorded and what arrived");

    let mut ends: BTreeMap<String, bool> = BTreeMap::new();
    let mut happened: BTreeMap<String, Vec<NotificationKind>> = BTreeMap::new();
    for event in &known.events {
        let session = event.session.as_ref().map(ToString::to_string).unwrap_or_default();
        let opens = event.what.opened().is_some();
        if opens || event.what.ended().is_some() {
            let was_open = ends.insert(session.clone(), opens).unwrap_or(false);
            assert_ne!(was_open, opens, "session {session} opened twice or ended twice");
            let kind = if opens { NotificationKind::Drift } else { NotificationKind::Resolved };
            happened.entry(session).or_default().push(kind);
        }
    }
    for (session, happened) in happened {
        let owner = format!("owner{session}@acme.example");
        let sent = |to: &str| {
            let sent = known.messages.iter().filter(|m| m.to.as_str() == to);
            let sent = sent.filter(|m| m.sessions.contains(&format!("grid/{session}")));
            sent.map(|m| m.kind).collect::<Vec<_>>()
        };
        assert_eq!(sent(&owner), happened, "the mails to the owner of {session}");
        if session == "1" {
            assert_eq!(sent("ops@integrator.example"), happened, "the mails to the fallback");
        }
    }
    in_order(known, taken);
    taken.len() - arrived.len()
}

/// Each recipient got their mail in the order in which it was recorded, repeats aside.
fn in_order(known: &Known, taken: &[Taken]) {
    let recipients = known.messages.iter().map(|message| message.to.as_str()).collect::<BTreeSet<_>>();
    for to in recipients {
        let wanted = known.messages.iter().filter(|message| message.to.as_str() == to);
        let mut got: Vec<String> = Vec::new();
        for id in taken.iter().filter(|outbound| outbound.to == to).map(Taken::id) {
            if !got.contains(&id) {
                got.push(id);
            }
        }
        assert_eq!(wanted.map(|message| message.message_id.clone()).collect::<Vec<_>>(), got, "the order of {to}");
    }
}
