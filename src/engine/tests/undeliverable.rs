//! An address that refuses mail: the recipients notified of it, how often, and the effect of a death in between.

use std::sync::Arc;

use super::death::{MOST, Moment, dies_after};
use super::harness::{Harness, Running};
use super::post_office::refusal;
use crate::domain::session::Contacts;
use crate::domain::world::{address, contacts};
use crate::notify::Obstacle;
use crate::store::NotificationState;

const OWNER: &str = "owner@acme.example";
const OPERATOR: &str = "anna@integrator.example";
const FALLBACK: &str = "ops@integrator.example";

/// A source whose operator is [`OPERATOR`], with nothing wrong.
fn harness(store: Option<&[u8]>) -> Harness {
    let mut harness = Harness::with(store);
    let contacts = Arc::new(Contacts { operators: vec![address(OPERATOR)], ..Contacts::clone(&contacts()) });
    for session in harness.world.plan.sessions.values_mut() {
        session.contacts = Arc::clone(&contacts);
    }
    harness.world.plan.contacts = contacts;
    harness
}

/// Delivers and alerts until nothing more is due.
async fn settle(running: &Running) {
    loop {
        running.dispatcher.run_round().await.unwrap();
        if running.alert().await.notifications() == 0 {
            return;
        }
    }
}

/// The notifications of undeliverable addresses and of their ends that `to` got.
fn got(harness: &Harness, to: &str) -> Vec<String> {
    harness.post.of(to).into_iter().filter(|raw| raw.contains('@')).collect()
}

#[tokio::test]
async fn an_address_that_refuses_mail_is_notified_once_to_the_operators_and_so_is_its_end() {
    let mut harness = harness(None);
    harness.live().await;
    harness.post.refuse(OWNER, refusal(Obstacle::Rejected, true));
    harness.world.tick("1", "export", true);
    let running = harness.start().await;
    running.audit().await;
    settle(&running).await;
    assert_eq!(got(&harness, OPERATOR), [format!("undeliverable {OWNER}\n")]);
    assert!(got(&harness, FALLBACK).is_empty(), "the fallback is for lack of operators");
    let state = running.store.delivery(&crate::domain::world::name("email")).await.unwrap();
    let [found] = state.undeliverable.as_slice() else { panic!("{state:?}") };
    assert_eq!((found.lost.count, found.lost.sessions.as_slice()), (1, &["erp/1".to_owned()][..]));
    assert_eq!(found.lost.worst.as_ref().unwrap().severity, crate::domain::policy::Severity::Critical);
    drop(running);

    harness.world.tick("2", "export", true);
    let running = harness.start().await;
    running.audit().await;
    settle(&running).await;
    assert_eq!(got(&harness, OPERATOR).len(), 1, "once an address, not once a mail or a start");
    let state = running.auditor.published.read(|present| present.delivery.clone()).unwrap();
    assert_eq!(state.undeliverable[0].lost.count, 2);
    drop(running);

    harness.post.accept(OWNER);
    harness.world.tick("1", "export", false);
    let running = harness.start().await;
    running.audit().await;
    settle(&running).await;
    let both = [format!("undeliverable {OWNER}\n"), format!("recovered {OWNER}\n")];
    assert_eq!(got(&harness, OPERATOR), both);
    assert!(got(&harness, OWNER).is_empty() && got(&harness, FALLBACK).is_empty());
    assert!(running.store.undeliverable("email").await.unwrap().is_empty(), "nothing of it is left to notify");
}

#[tokio::test]
async fn where_every_recipient_refuses_mail_each_is_tried_once_and_the_chain_ends() {
    let mut harness = harness(None);
    harness.live().await;
    for to in [OWNER, OPERATOR, FALLBACK] {
        harness.post.refuse(to, refusal(Obstacle::Rejected, true));
    }
    // A warning, so it goes to the owner alone.
    harness.world.set("1", "Postcodes", &crate::domain::reading::RawValue::text("allowed"));
    let running = harness.start().await;
    running.audit().await;
    settle(&running).await;
    let rows = running.rows().await;
    let sent = rows.iter().map(|row| (row.kind.label(), row.to.as_str(), row.state)).collect::<Vec<_>>();
    let dead = NotificationState::Dead;
    assert_eq!(
        sent,
        [("drift", OWNER, dead), ("undeliverable", OPERATOR, dead), ("undeliverable", FALLBACK, dead)],
        "the fallback is the last to hear of the owner and of the operator, in one notification"
    );
    assert_eq!(running.store.undeliverable("email").await.unwrap().len(), 3, "status shows all three");
    drop(running);

    // The operator accepts mail again and is notified of the others.
    harness.post.accept(OPERATOR);
    let running = harness.start().await;
    running.post(1, OPERATOR).await;
    settle(&running).await;
    assert_eq!(got(&harness, OPERATOR), [format!("undeliverable {FALLBACK}\n")], "the owner's was sent before");
    assert!(running.rows().await.len() < 7, "{:?}", running.states().await);
}

#[tokio::test]
async fn an_address_that_the_configuration_no_longer_names_has_ended() {
    let mut harness = harness(None);
    harness.live().await;
    harness.post.refuse(OWNER, refusal(Obstacle::Rejected, true));
    harness.world.set("1", "Postcodes", &crate::domain::reading::RawValue::text("allowed"));
    let running = harness.start().await;
    running.audit().await;
    settle(&running).await;
    drop(running);
    for session in harness.world.plan.sessions.values_mut() {
        session.owners = vec![address("new@acme.example")];
        session.params = Arc::default();
    }
    let running = harness.start().await;
    running.alert().await;
    settle(&running).await;
    let both = [format!("undeliverable {OWNER}\n"), format!("recovered {OWNER}\n")];
    assert_eq!(got(&harness, OPERATOR), both);
    assert!(running.store.undeliverable("email").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_death_between_any_two_steps_of_a_refusal_and_its_notification_loses_nothing_and_repeats_nothing() {
    let mut first = harness(None);
    first.live().await;
    first.world.set("1", "Postcodes", &crate::domain::reading::RawValue::text("allowed"));
    let rows = first.world.rows.clone();
    first.start().await.audit().await;
    let before = first.bytes().await;
    for moment in [Moment::Waiting, Moment::Woken] {
        let mut steps = 0;
        for polls in 1..MOST {
            let mut harness = harness(Some(&before));
            harness.world.rows.clone_from(&rows);
            harness.clock.advance(chrono::TimeDelta::hours(1));
            harness.post.refuse(OWNER, refusal(Obstacle::Rejected, true));
            let running = harness.start().await;
            let lived = dies_after(polls, moment, settle(&running)).await.is_some();
            drop(running);
            let running = harness.start().await;
            running.alert().await;
            settle(&running).await;
            let ids = harness.post.accepted().into_iter().map(|outbound| outbound.message_id);
            let ids = ids.collect::<std::collections::BTreeSet<_>>();
            let rows = running.rows().await;
            let undeliverable = rows.iter().filter(|row| row.kind.label() == "undeliverable").collect::<Vec<_>>();
            let case = format!("dead after {polls} ({moment:?}): {rows:#?}");
            assert_eq!(undeliverable.len(), 1, "{case}");
            assert!(ids.contains(&undeliverable[0].message_id), "{case}");
            assert!(got(&harness, OPERATOR).iter().all(|raw| *raw == format!("undeliverable {OWNER}\n")), "{case}");
            if lived {
                steps = polls;
                break;
            }
        }
        assert!(steps > 5, "it has {steps} steps ({moment:?})");
    }
}
