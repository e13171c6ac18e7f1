//! Writes grow with what changed, and large estates are quick.

use std::time::{Duration, Instant};

use super::world::{Place, World, at, name, shown};
use crate::store::Store;

/// Rows inserted, updated or deleted so far by the connection that writes.
async fn changes(store: &Store) -> i64 {
    let writer = &store.owned.as_ref().unwrap().writer;
    sqlx::query_scalar("SELECT total_changes()").fetch_one(writer).await.unwrap()
}

async fn quiet_audit(sessions: usize) -> i64 {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", sessions);
    world.audit(&store, at(0)).await;
    let before = changes(&store).await;
    world.audit(&store, at(5)).await;
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), shown(&world.state));
    changes(&store).await - before
}

#[tokio::test]
async fn a_quiet_audit_writes_two_rows_however_many_sessions_there_are() {
    assert_eq!(quiet_audit(10).await, 2);
    assert_eq!(quiet_audit(1_000).await, 2);
}

/// Generous: tests run unoptimised beside others. It fails when the cost of a row is of another order.
#[tokio::test]
async fn a_thousand_sessions_that_drift_at_once_are_recorded_in_seconds_at_most() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 1_000);
    world.audit(&store, at(0)).await;
    world.ticked.extend(0..1_000);
    let (delta, messages) = world.next(at(5));
    assert_eq!(delta.incidents.len(), 1_000);
    let begun = Instant::now();
    store.record(&name("acme"), &delta, &messages, at(5)).await.unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("1,000 drifts recorded in {took:?}");
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release --lib store::tests::size -- --ignored --nocapture"]
async fn ten_thousand_sessions() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 10_000);
    let (delta, messages) = world.next(at(0));
    let begun = Instant::now();
    store.record(&name("acme"), &delta, &messages, at(0)).await.unwrap();
    println!("first look recorded in {:?}", begun.elapsed());
    world.state.apply(delta);
    for _ in 0..3 {
        let begun = Instant::now();
        let loaded = store.load().await.unwrap();
        println!("{} sessions loaded in {:?}", loaded[&name("acme")].sessions.len(), begun.elapsed());
    }
    world.ticked.extend(0..10_000);
    let (delta, messages) = world.next(at(5));
    let begun = Instant::now();
    store.record(&name("acme"), &delta, &messages, at(5)).await.unwrap();
    println!("10,000 drifts recorded in {:?}", begun.elapsed());
}
