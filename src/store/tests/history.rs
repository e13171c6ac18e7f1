//! Events, runs and their retention.

use super::world::{Place, World, at, id, name, outgoing, shown};
use crate::store::{NotificationFilter, Store};

async fn drifting_and_back(store: &Store) -> World {
    let mut world = World::new("acme", 3);
    world.audit(store, at(0)).await;
    world.ticked.insert(1);
    world.audit(store, at(5)).await;
    world.ticked.clear();
    world.audit(store, at(10)).await;
    world.ticked.insert(2);
    world.audit(store, at(15)).await;
    world
}

#[tokio::test]
async fn events_are_found_by_source_session_and_time() {
    let place = Place::new();
    let store = place.open().await;
    let world = drifting_and_back(&store).await;
    let acme = name("acme");
    let all = store.events(None, None, None, 100).await.unwrap();
    assert!(all.is_sorted_by_key(|(_, event)| event.at));
    assert!(all.iter().all(|(source, _)| *source == world.plan.name));
    let times = |events: &[(_, crate::domain::event::Event)]| events.iter().map(|(_, e)| e.at).collect::<Vec<_>>();
    let of_one = store.events(Some(&acme), Some(&id(1)), None, 100).await.unwrap();
    assert_eq!(times(&of_one), [at(5), at(5), at(10), at(10)]);
    let since = store.events(Some(&acme), Some(&id(1)), Some(at(10)), 100).await.unwrap();
    assert_eq!(since, of_one[2..]);
    assert_eq!(store.events(None, None, None, 2).await.unwrap(), all[all.len() - 2..]);
    assert!(store.events(Some(&name("none")), None, None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_stays_the_same_is_one_run() {
    let place = Place::new();
    let store = place.open().await;
    let world = drifting_and_back(&store).await;
    let runs = async |number| {
        let runs = store.observations(&world.plan.sessions[&id(number)].key, 100).await.unwrap();
        runs.into_iter().map(|run| run.until.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(runs(0).await, [false]);
    assert_eq!(runs(1).await, [true, true, false]);
    assert_eq!(runs(2).await, [true, false]);
}

#[tokio::test]
async fn retention_removes_past_rows_and_no_current_one() {
    let place = Place::new();
    let store = place.open().await;
    let world = drifting_and_back(&store).await;
    store.post(&[outgoing(1, "waits@x.example"), outgoing(2, "done@x.example")]).await.unwrap();
    let due = store.due("email", at(20), 100).await.unwrap();
    let done = due.iter().find(|pending| pending.to.as_str() == "done@x.example").unwrap();
    store.sent(done.id, at(20)).await.unwrap();
    let messages = store.notifications(&NotificationFilter::default(), 100).await.unwrap().len();

    assert_eq!(store.prune(at(-1), 2, || false).await.unwrap(), 0);
    let batches = std::sync::atomic::AtomicU32::new(0);
    let stops = || batches.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2;
    assert_eq!(store.prune(at(60), 1, stops).await.unwrap(), 2, "asked to stop, it stops after the batch");
    assert!(store.prune(at(60), 2, || false).await.unwrap() > 4);
    assert_eq!(store.prune(at(60), 2, || false).await.unwrap(), 0);
    assert!(store.events(None, None, None, 9).await.unwrap().is_empty());
    assert_eq!(store.notifications(&NotificationFilter::default(), 100).await.unwrap().len(), messages - 1);
    assert_eq!(store.observations(&world.plan.sessions[&id(1)].key, 9).await.unwrap().len(), 1);
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), shown(&world.state));
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn rows_from_before_the_beginning_of_the_store_bear_the_time_of_a_wrong_clock_and_stay() {
    let place = Place::new();
    let store = place.open().await;
    drifting_and_back(&store).await;
    let events = store.events(None, None, None, 99).await.unwrap().len();
    // The clock was far behind when the rows were written.
    store.note_retention_seen(at(1_000)).await.unwrap();
    store.note_retention_seen(at(1_100)).await.unwrap();
    assert_eq!(store.prune(at(1_000), 100, || false).await.unwrap(), 0);
    assert_eq!(store.events(None, None, None, 99).await.unwrap().len(), events);
    assert!(store.prune(at(1_001), 100, || false).await.unwrap() > 0);
}
