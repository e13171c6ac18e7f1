//! Owners that the row keeps out and no lock does.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::tamper;
use super::world::{Place, World, at, name, outgoing};
use crate::store::Store;
use crate::store::owner::{self, Owner};

/// The row as an owner on another machine leaves it: another kernel keeps its locks.
const ELSEWHERE: &str = "UPDATE owner SET id = 'x', boot = 'y', process = 7, host = 'elsewhere';
    PRAGMA wal_checkpoint(TRUNCATE)";

/// A lease that ends only where the row stays the same.
const LONG: Duration = Duration::from_mins(1);

/// A store that an owner on another machine has left as it is.
async fn left_elsewhere() -> Place {
    let place = Place::new();
    drop(place.open().await);
    tamper(&place.path(), ELSEWHERE).await;
    place
}

/// Renews the row as an owner elsewhere does while it lives.
async fn renew(path: &Path) {
    loop {
        tamper(path, "UPDATE owner SET renewed = renewed + 1; PRAGMA wal_checkpoint(TRUNCATE)").await;
    }
}

#[tokio::test]
async fn the_owner_is_known_while_it_lives_and_not_after_it_died() {
    let place = Place::new();
    assert_eq!(Store::owner(&place.path()).await, None, "there is no store yet");
    let store = place.open().await;
    let this = format!("process {}", std::process::id());
    assert_eq!(Store::owner(&place.path()).await, Some(this.clone()));
    store.close().await;
    assert_eq!(Store::owner(&place.path()).await, None, "closed");
    let store = place.open().await;
    assert_eq!(Store::owner(&place.path()).await, Some(this));
    drop(store);
    tamper(&place.path(), "UPDATE owner SET renewed = renewed").await;
    assert_eq!(Store::owner(&place.path()).await, None, "the row of a dead owner stays, its lock does not");
}

#[tokio::test]
async fn an_owner_that_this_machine_cannot_see_is_known_by_its_renewals() {
    let place = left_elsewhere().await;
    let path = place.path();
    let left = owner::alive(&path, Duration::from_millis(300)).await;
    assert_eq!(left, None, "its row stays the same: it died, or this machine was restarted");
    let alive = tokio::select! {
        alive = owner::alive(&path, LONG) => alive,
        () = renew(&path) => unreachable!("it renews for ever"),
    };
    assert_eq!(alive.as_deref(), Some("process 7 on elsewhere"));
}

#[tokio::test]
async fn an_owner_that_was_overtaken_records_and_sends_nothing_more() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    store.post(&[outgoing(0, "a@x.example")]).await.unwrap();
    tamper(&place.path(), ELSEWHERE).await;
    let delta = world.next(at(5));
    let errors = [
        store.record(&name("acme"), &delta, at(5)).await.unwrap_err(),
        store.due("email", at(5), 9).await.unwrap_err(),
        store.ping_writer().await.unwrap_err(),
        store.sent(1, at(5)).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_taken() && error.to_string().contains("is in use by process 7 on elsewhere"), "{error}");
    }
}

#[tokio::test]
async fn an_owner_elsewhere_that_renews_its_row_keeps_the_store() {
    let place = left_elsewhere().await;
    let path = place.path();
    let starter = Owner::new(&path, true);
    let refused = tokio::select! {
        refused = starter.expect_alone(&path, LONG) => refused,
        () = renew(&path) => unreachable!("it renews for ever"),
    };
    let error = crate::store::StoreError::new(crate::store::Operation::Open, &path, refused.unwrap_err());
    assert!(error.is_taken() && error.to_string().contains("process 7 on elsewhere"), "{error}");
}

#[tokio::test]
async fn an_owner_elsewhere_whose_row_stays_the_same_for_its_lease_is_dead() {
    let place = left_elsewhere().await;
    let (lease, began) = (Duration::from_millis(300), Instant::now());
    Owner::new(&place.path(), true).expect_alone(&place.path(), lease).await.unwrap();
    assert!(began.elapsed() >= lease);
}

#[tokio::test]
async fn without_locks_an_owner_on_this_machine_is_watched_like_one_elsewhere() {
    let place = Place::new();
    drop(place.open().await);
    let (lease, began) = (Duration::from_millis(300), Instant::now());
    Owner::new(&place.path(), false).expect_alone(&place.path(), lease).await.unwrap();
    assert!(began.elapsed() >= lease);
    let began = Instant::now();
    Owner::new(&place.path(), true).expect_alone(&place.path(), LONG).await.unwrap();
    assert!(began.elapsed() < LONG, "its locks say that it is dead");
}

#[tokio::test]
async fn a_store_that_was_closed_in_order_and_a_copy_of_one_that_is_in_use_are_taken_at_once() {
    let place = left_elsewhere().await;
    tamper(&place.path(), "DELETE FROM owner; PRAGMA wal_checkpoint(TRUNCATE)").await;
    let store = place.open().await;
    let copy = place.folder.path().join("copy.db");
    fs::copy(place.path(), &copy).unwrap();
    let copied = Store::open(&copy).await.unwrap();
    copied.ping_writer().await.unwrap();
    store.ping_writer().await.unwrap();
    store.close().await;
    let closed = Owner::new(&place.path(), false);
    let began = Instant::now();
    closed.expect_alone(&place.path(), LONG).await.unwrap();
    assert!(began.elapsed() < LONG);
}
