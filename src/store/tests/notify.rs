//! What alerting records: log and outbox together, once, and loaded again.

use chrono::TimeDelta;

use super::world::{Place, World, at, name};
use crate::domain::alerting::WorkingSet;
use crate::domain::announcement::{Announcement, EndingCredential, RefusedConfig};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::notification::{NotificationKind, Role};
use crate::domain::policy::Severity;
use crate::store::NotificationFilter;

#[tokio::test]
async fn a_notification_is_derived_until_it_is_recorded_and_then_no_more() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.audit(&store, at(0)).await;
    world.ticked.insert(1);
    world.audit(&store, at(5)).await;
    // Between the two commits: a process that starts now derives the same, under the same ids.
    let (first, outgoing) = world.due(&store, at(5)).await;
    let (second, again) = world.due(&store, at(9)).await;
    let ids = |of: &[crate::store::Outgoing]| of.iter().map(|o| o.notification).collect::<Vec<_>>();
    assert_eq!((outgoing.len(), ids(&outgoing)), (2, ids(&again)));
    store.notify(&first, &outgoing, at(5)).await.unwrap();
    store.notify(&second, &again, at(9)).await.unwrap();
    let rows = store.notifications(&NotificationFilter::default(), 9).await.unwrap();
    assert_eq!(rows.len(), 2, "an answer that got lost repeats nothing");
    assert_eq!(rows[0].recorded_at, at(5));
    assert!(world.alert(&store, at(10)).await.is_empty());
    world.ticked.clear();
    world.audit(&store, at(15)).await;
    let ends = world.alert(&store, at(15)).await;
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0].openings[0].notification, rows[0].notification);
    assert!(world.alert(&store, at(20)).await.is_empty());
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn an_unaudited_session_is_derived_until_it_is_notified() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.plan.sessions.remove(&super::world::id(2));
    world.gone.insert(2);
    world.audit(&store, at(0)).await;
    world.gone.clear();
    world.audit(&store, at(5)).await;
    assert_eq!(world.due(&store, at(6)).await.1.len(), 1);
    assert_eq!(world.alert(&store, at(7)).await.len(), 1);
    assert!(world.alert(&store, at(8)).await.is_empty());
    assert!(store.load_alerting().await.unwrap().announcements.is_empty());
}

#[tokio::test]
async fn a_suppression_is_stored_once() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.plan.alerts.min_severity = Severity::Critical;
    for session in world.plan.sessions.values_mut() {
        let rules = session.policy.rules().iter().map(|rule| {
            std::sync::Arc::new(crate::domain::policy::Rule { severity: Severity::Info, ..(**rule).clone() })
        });
        session.policy = std::sync::Arc::new(crate::domain::policy::Policy::new(name("test"), rules.collect()));
    }
    world.ticked.insert(0);
    world.audit(&store, at(0)).await;
    let (evaluation, outgoing) = world.due(&store, at(0)).await;
    assert_eq!((evaluation.suppressions.len(), outgoing.len()), (1, 0));
    store.notify(&evaluation, &outgoing, at(0)).await.unwrap();
    assert!(world.due(&store, at(5)).await.0.is_empty(), "counted over a restart, too");
}

#[tokio::test]
async fn retention_deletes_the_log_with_its_incident_and_blocks_no_notification() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.ticked.insert(0);
    world.audit(&store, at(0)).await;
    world.alert(&store, at(0)).await;
    world.ticked.clear();
    world.audit(&store, at(5)).await;
    let (ends, outgoing) = world.due(&store, at(5)).await;
    assert_eq!(outgoing.len(), 2);
    store.prune(at(60), 100, || false).await.unwrap();
    store.notify(&ends, &outgoing, at(61)).await.unwrap();
    assert!(store.load_alerting().await.unwrap().log.is_empty());
    let mut known = WorkingSet::new(store.load_alerting().await.unwrap());
    let plans = [(world.plan.name.clone(), world.plan.clone())].into();
    assert!(crate::domain::alerting::evaluate(&plans, &name("email"), &mut known, at(62)).is_empty());
}

#[tokio::test]
async fn a_refused_configuration_stays_due_over_a_restart_until_it_is_notified() {
    let place = Place::new();
    let store = place.open().await;
    let world = World::new("acme", 1);
    let recipients = vec![(crate::domain::world::address("ops@acme.example"), Role::Operator)];
    let refused = Announcement::Reload(RefusedConfig::new(&["a problem".to_owned()], at(0), recipients, at(1)));
    store.announce(&refused).await.unwrap();
    store.announce(&refused).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.load_alerting().await.unwrap().announcements, [refused]);
    let sent = world.alert(&store, at(2)).await;
    assert_eq!(
        sent.iter().map(|sent| (sent.kind, sent.to.as_str())).collect::<Vec<_>>(),
        [(NotificationKind::Reload, "ops@acme.example")]
    );
    assert!(world.alert(&store, at(3)).await.is_empty());
    assert!(store.load_alerting().await.unwrap().announcements.is_empty());
}

#[tokio::test]
async fn the_end_of_a_credential_that_is_found_again_after_a_restart_is_not_notified_again() {
    let place = Place::new();
    let world = World::new("acme", 1);
    let recipients = [(crate::domain::world::address("ops@acme.example"), Role::Operator)];
    let found = |seconds| {
        let credential = Credential {
            key: "sources.acme.tls.ca_file".to_owned(),
            source: Some(name("acme")),
            kind: CredentialKind::CaCertificate,
            ends: vec![at(0) + TimeDelta::days(10)],
        };
        Announcement::Credential(EndingCredential::new(&credential, &recipients, at(seconds)).unwrap())
    };
    let store = place.open().await;
    assert!(store.announce(&found(1)).await.unwrap());
    assert!(!store.announce(&found(2)).await.unwrap());
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.load_alerting().await.unwrap().announcements, [found(1)]);
    let sent = world.alert(&store, at(3)).await;
    assert_eq!(sent.iter().map(|sent| sent.kind).collect::<Vec<_>>(), [NotificationKind::Credential]);
    store.close().await;

    let store = place.open().await;
    assert!(store.load_alerting().await.unwrap().announcements.is_empty());
    assert!(!store.announce(&found(4)).await.unwrap());
    assert!(world.alert(&store, at(5)).await.is_empty());
    assert!(store.announce(&found(6 * 24 * 60 * 60)).await.unwrap(), "the threshold of 7 days is another one");
}
