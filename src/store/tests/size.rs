//! Writes grow with what changed, not with what was polled.

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
