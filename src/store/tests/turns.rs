//! The order of delivery: channels apart, openings first, critical first, recipients in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::world::{Place, at, name, outgoing, start};
use crate::domain::policy::Severity;
use crate::store::outbox::{DUE, NEXT_DUE};
use crate::store::{OutboxCounts, Outgoing, Store};

fn critical(of: Outgoing) -> Outgoing {
    Outgoing { severity: Severity::Critical, ..of }
}

fn follow_up(number: usize, to: &str) -> Outgoing {
    Outgoing { follows_up: Some(vec![Uuid::from_u128(1_000 + number as u128)]), ..outgoing(number, to) }
}

fn paged(number: usize, to: &str) -> Outgoing {
    Outgoing { channel: name("pager"), ..outgoing(number, to) }
}

/// The numbers of the notifications that are due in a channel, in order.
async fn due_in(store: &Store, channel: &str, minutes: i64) -> Vec<String> {
    let due = store.due(channel, at(minutes), 100).await.unwrap();
    let number = |id: &str| id.trim_start_matches('<').split('@').next().unwrap().to_owned();
    due.iter().map(|pending| number(&pending.message_id)).collect()
}

#[tokio::test]
async fn a_channel_sees_only_its_own_notifications() {
    let place = Place::new();
    let store = place.open().await;
    let late = Outgoing { recorded_at: at(5), ..outgoing(2, "a@x.example") };
    store.post(&[paged(0, "a@x.example"), paged(1, "b@x.example"), late]).await.unwrap();
    assert_eq!(due_in(&store, "email", 5).await, ["2"], "the line of a recipient is another one in each channel");
    assert_eq!(due_in(&store, "pager", 5).await, ["0", "1"]);
    assert_eq!(store.next_due("email", None).await.unwrap(), Some(at(5)));
    assert_eq!(store.next_due("pager", None).await.unwrap(), Some(start()));
    assert_eq!(store.next_due("webhook", None).await.unwrap(), None);
    let counts = |pending, oldest| OutboxCounts { pending, oldest_pending: Some(oldest), ..OutboxCounts::default() };
    assert_eq!(store.outbox_counts("email").await.unwrap(), counts(1, at(5)));
    assert_eq!(store.outbox_counts("pager").await.unwrap(), counts(2, start()));
    assert_eq!(store.outbox_counts("webhook").await.unwrap(), OutboxCounts::default());
}

#[tokio::test]
async fn openings_go_before_follow_ups_and_critical_ones_first() {
    let place = Place::new();
    let store = place.open().await;
    let messages = [
        follow_up(0, "a@x.example"),
        critical(follow_up(1, "b@x.example")),
        outgoing(2, "c@x.example"),
        critical(outgoing(3, "d@x.example")),
    ];
    store.post(&messages).await.unwrap();
    assert_eq!(due_in(&store, "email", 0).await, ["3", "2", "1", "0"]);
}

#[tokio::test]
async fn a_notification_before_a_critical_opening_in_its_line_is_as_urgent() {
    let place = Place::new();
    let store = place.open().await;
    let messages = [outgoing(0, "a@x.example"), follow_up(1, "b@x.example"), critical(outgoing(2, "b@x.example"))];
    store.post(&messages).await.unwrap();
    assert_eq!(due_in(&store, "email", 0).await, ["1", "0"]);
}

#[tokio::test]
async fn an_opening_that_failed_once_does_not_delay_follow_ups() {
    let place = Place::new();
    let store = place.open().await;
    store.post(&[critical(outgoing(0, "a@x.example")), follow_up(1, "b@x.example")]).await.unwrap();
    let id = store.due("email", at(0), 1).await.unwrap()[0].id;
    store.failed(id, at(0), at(1), "451 later").await.unwrap();
    assert_eq!(due_in(&store, "email", 2).await, ["1", "0"]);
}

#[tokio::test]
async fn recipients_take_turns() {
    let place = Place::new();
    let store = place.open().await;
    let to = ["a@x.example", "a@x.example", "a@x.example", "b@x.example", "b@x.example", "c@x.example"];
    let messages = to.iter().enumerate().map(|(number, to)| follow_up(number, to)).collect::<Vec<_>>();
    store.post(&messages).await.unwrap();
    let mut left = Vec::new();
    for minute in 1..=6 {
        left.push(due_in(&store, "email", minute).await.remove(0));
        let id = store.due("email", at(minute), 1).await.unwrap()[0].id;
        store.sent(id, at(minute)).await.unwrap();
    }
    assert_eq!(left, ["0", "3", "5", "1", "4", "2"]);
}

#[tokio::test]
async fn a_follow_up_takes_over_the_turn_of_the_one_it_replaces() {
    let place = Place::new();
    let store = place.open().await;
    store.post(&[follow_up(0, "a@x.example")]).await.unwrap();
    store.post(&[Outgoing { recorded_at: at(1), ..follow_up(1, "b@x.example") }]).await.unwrap();
    let later = Outgoing { follows_up: follow_up(0, "a@x.example").follows_up, ..outgoing(2, "a@x.example") };
    store.post(&[Outgoing { recorded_at: at(2), ..later }]).await.unwrap();
    assert_eq!(due_in(&store, "email", 3).await, ["2", "1"]);
}

/// Steps of SQLite's virtual machine that a query takes, in thousands.
async fn steps(store: &Store, sql: &'static str) -> u64 {
    let mut writer = store.owned.as_ref().unwrap().writer.acquire().await.unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    };
    writer.lock_handle().await.unwrap().set_progress_handler(1_000, count);
    let far = i64::MAX;
    let query = if sql == DUE {
        sqlx::query(sql).bind(far).bind(3).bind(far).bind("[]").bind("email")
    } else {
        sqlx::query(sql).bind(i64::MIN).bind("email")
    };
    assert!(!query.fetch_all(&mut *writer).await.unwrap().is_empty());
    writer.lock_handle().await.unwrap().remove_progress_handler();
    steps.load(Ordering::Relaxed)
}

async fn fill(store: &Store, numbers: std::ops::Range<usize>, of: fn(usize, &str) -> Outgoing) {
    let messages = numbers.map(|number| of(number, &format!("person{}@x.example", number % 100)));
    store.post(&messages.collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_waiting_notifications_are_cheap_and_those_of_another_channel_cost_nothing() {
    let place = Place::new();
    let store = place.open().await;
    fill(&store, 0..10_000, outgoing).await;
    let before = [steps(&store, DUE).await, steps(&store, NEXT_DUE).await];
    assert!(before.iter().all(|steps| (1..=400).contains(steps)), "{before:?} thousand steps for 10,000 rows");
    fill(&store, 10_000..20_000, paged).await;
    let after = [steps(&store, DUE).await, steps(&store, NEXT_DUE).await];
    assert!(after.iter().zip(before).all(|(after, before)| after.abs_diff(before) <= 1), "{before:?} {after:?}");
    for sql in [DUE, NEXT_DUE] {
        let plan = format!("EXPLAIN QUERY PLAN {sql}");
        let writer = &store.owned.as_ref().unwrap().writer;
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(plan)).fetch_all(writer).await.unwrap();
        let plan = rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("\n");
        assert!(plan.contains("USING COVERING INDEX outbox_waiting (channel=?)"), "{plan}");
        assert!(!plan.contains("SCAN outbox"), "{plan}");
    }
}
