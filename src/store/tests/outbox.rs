//! Order, retries and outcomes of notifications.

use super::world::{Place, at, outgoing, start};
use crate::domain::notification::Reason;
use crate::domain::world::address;
use crate::store::{NotificationFilter, NotificationState, OutboxCounts, Store};

async fn filled(place: &Place, to: &[&str]) -> Store {
    let store = place.open().await;
    let messages = to.iter().enumerate().map(|(number, to)| outgoing(number, to)).collect::<Vec<_>>();
    store.post(&messages).await.unwrap();
    store
}

async fn due(store: &Store, minutes: i64) -> Vec<(i64, String)> {
    let due = store.due("email", at(minutes), 100).await.unwrap();
    due.into_iter().map(|pending| (pending.id, pending.message_id)).collect()
}

fn ids(due: &[(i64, String)]) -> Vec<&str> {
    due.iter().map(|(_, id)| id.trim_start_matches('<').split('@').next().unwrap()).collect()
}

#[tokio::test]
async fn a_message_comes_out_as_it_was_recorded() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example"]).await;
    let posted = outgoing(0, "a@x.example");
    let pending = store.due("email", start(), 1).await.unwrap().remove(0);
    assert_eq!((&pending.raw, &pending.message_id, pending.kind), (&posted.raw, &posted.message_id, posted.kind));
    assert_eq!((pending.attempts, pending.recorded_at), (0, start()));
    let (row, reason) = store.notification(pending.id).await.unwrap().unwrap();
    assert_eq!((row.notification, row.subject, reason), (posted.notification, posted.subject, posted.reason));
    assert!(store.notification(99).await.unwrap().is_none());
}

#[tokio::test]
async fn a_recipient_gets_messages_in_the_order_recorded_whatever_the_case() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example", "A@X.example", "b@x.example", "a@x.example"]).await;
    let first = due(&store, 0).await;
    assert_eq!(ids(&first), ["0", "2"]);
    store.failed(first[0].0, at(0), at(10), "451 later").await.unwrap();
    assert_eq!(ids(&due(&store, 5).await), ["2"], "what is behind a message that waits, waits too");
    assert_eq!(store.next_due("email", None).await.unwrap(), Some(start()));
    store.sent(first[1].0, at(5)).await.unwrap();
    assert_eq!(store.next_due("email", None).await.unwrap(), Some(at(10)));
    assert_eq!(ids(&due(&store, 10).await), ["0"]);
    assert_eq!(store.due("email", at(10), 1).await.unwrap()[0].attempts, 1);
    store.sent(first[0].0, at(10)).await.unwrap();
    assert_eq!(ids(&due(&store, 10).await), ["1"]);
}

#[tokio::test]
async fn a_dead_message_holds_nothing_back() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example", "a@x.example"]).await;
    let first = due(&store, 0).await;
    store.dead(first[0].0, at(1), "550 unknown").await.unwrap();
    let next = due(&store, 1).await;
    assert_eq!(ids(&next), ["1"]);
    store.sent(next[0].0, at(2)).await.unwrap();
    assert_eq!(store.next_due("email", None).await.unwrap(), None);
}

#[tokio::test]
async fn only_the_time_in_which_the_dispatcher_ran_counts() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example", "b@x.example"]).await;
    let [a, b] = [due(&store, 0).await[0].0, due(&store, 0).await[1].0];
    let tried = async |id: i64, minutes: i64| store.tried_for(id, at(minutes)).await.unwrap().num_minutes();
    assert_eq!([tried(a, 0).await, tried(a, 15).await, tried(a, 9000).await], [0, 15, 20]);
    store.failed(a, at(15), at(16), "451 later").await.unwrap();
    assert_eq!([tried(a, 16).await, tried(a, 30).await, tried(a, 9000).await], [16, 30, 35]);
    store.failed(b, at(9000), at(9001), "451 later").await.unwrap();
    assert_eq!(
        [tried(a, 9000).await, tried(b, 9001).await],
        [35, 36],
        "the time is of the dispatcher, whichever recipient it tries"
    );
    store.failed(a, at(10), at(11), "451 later").await.unwrap();
    assert_eq!(tried(a, 12).await, 37, "a clock that was set back goes on from there");
    store.dead(a, at(12), "550 no").await.unwrap();
    store.dead(b, at(13), "550 no").await.unwrap();
    let late = crate::store::Outgoing { recorded_at: at(8000), ..outgoing(7, "c@x.example") };
    store.post(&[late]).await.unwrap();
    let c = due(&store, 8000).await[0].0;
    assert_eq!([tried(c, 8000).await, tried(c, 8010).await], [0, 10], "nothing from before there was anything to send");
    assert_eq!(tried(99, 8010).await, 0);
}

#[tokio::test]
async fn some_recipients_can_be_left_out() {
    let place = Place::new();
    let store = filled(&place, &["A@x.example", "b@x.example", "c@x.example"]).await;
    let besides = [address("a@X.example"), address("c@x.example")].into();
    let due = store.due_besides("email", start(), 1, &besides).await.unwrap();
    assert_eq!(due.iter().map(|pending| pending.to.as_str()).collect::<Vec<_>>(), ["b@x.example"]);
}

#[tokio::test]
async fn a_finished_notification_stays_finished() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example"]).await;
    let id = due(&store, 0).await[0].0;
    store.sent(id, at(1)).await.unwrap();
    store.failed(id, at(2), at(3), "late").await.unwrap();
    store.dead(id, at(2), "late").await.unwrap();
    let row = store.notifications(&NotificationFilter::default(), 9).await.unwrap().remove(0);
    assert_eq!(
        (row.state, row.attempts, row.last_error, row.finished_at),
        (NotificationState::Sent, 1, None, Some(at(1)))
    );
}

#[tokio::test]
async fn the_same_message_is_never_queued_twice() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example"]).await;
    store.post(&[outgoing(0, "a@x.example")]).await.unwrap();
    assert_eq!(store.notifications(&NotificationFilter::default(), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn messages_are_counted_and_listed_newest_last() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example", "b@x.example", "c@x.example", "d@x.example"]).await;
    let first = due(&store, 0).await;
    store.failed(first[0].0, at(0), at(9), "421 busy").await.unwrap();
    store.dead(first[1].0, at(1), "550 no").await.unwrap();
    store.sent(first[2].0, at(1)).await.unwrap();
    let expected = OutboxCounts { pending: 1, retrying: 1, dead: 1, oldest_pending: Some(start()) };
    assert_eq!(store.outbox_counts("email").await.unwrap(), expected);

    let states =
        |rows: Vec<crate::store::StoredNotification>| rows.iter().map(|row| row.state.label()).collect::<Vec<_>>();
    let all = NotificationFilter::default();
    assert_eq!(states(store.notifications(&all, 9).await.unwrap()), ["retrying", "dead", "sent", "pending"]);
    assert_eq!(states(store.notifications(&all, 2).await.unwrap()), ["sent", "pending"]);
    let dead = NotificationFilter { state: Some(NotificationState::Dead), ..NotificationFilter::default() };
    let rows = store.notifications(&dead, 9).await.unwrap();
    assert_eq!(rows[0].attempted_at, Some(at(1)));
    assert_eq!((rows.len(), rows[0].last_error.as_deref()), (1, Some("550 no")));
    let of_session = NotificationFilter { session: Some("acme/3".to_owned()), ..NotificationFilter::default() };
    assert_eq!(states(store.notifications(&of_session, 9).await.unwrap()), ["pending"]);
}

/// A follow-up of these incidents.
fn follow_up(number: usize, to: &str, incidents: &[u128]) -> crate::store::Outgoing {
    let incidents = incidents.iter().map(|n| uuid::Uuid::from_u128(*n)).collect();
    crate::store::Outgoing { follows_up: Some(incidents), ..outgoing(number, to) }
}

/// State and replacement of each, in order.
async fn replaced(store: &Store) -> Vec<(&'static str, Option<u128>)> {
    let rows = store.notifications(&NotificationFilter::default(), 9).await.unwrap();
    rows.iter().map(|row| (row.state.label(), row.superseded_by.map(|id| id.as_u128()))).collect()
}

#[tokio::test]
async fn a_follow_up_that_was_never_attempted_is_replaced_by_a_later_one_about_the_same() {
    let place = Place::new();
    let store = filled(&place, &["a@x.example"]).await;
    store.post(&[follow_up(1, "a@x.example", &[7]), follow_up(2, "b@x.example", &[7])]).await.unwrap();
    store.post(&[follow_up(3, "A@x.example", &[7, 8])]).await.unwrap();
    assert_eq!(
        replaced(&store).await,
        [("pending", None), ("superseded", Some(3)), ("pending", None), ("pending", None)],
        "an opening is never replaced, nor a follow-up to another recipient"
    );
    store.post(&[follow_up(4, "a@x.example", &[7])]).await.unwrap();
    assert_eq!(replaced(&store).await[3], ("pending", None), "it has another incident, too");
    store.post(&[follow_up(3, "a@x.example", &[7, 8])]).await.unwrap();
    assert_eq!(replaced(&store).await[4], ("pending", None), "one that is there already replaces nothing");
}

#[tokio::test]
async fn a_replaced_follow_up_keeps_its_reason_and_names_its_replacement() {
    let place = Place::new();
    let store = place.open().await;
    let reason = Reason { more: 3, ..Reason::default() };
    let first = crate::store::Outgoing { reason: reason.clone(), ..follow_up(1, "a@x.example", &[7]) };
    store.post(&[first, follow_up(2, "b@x.example", &[7]), follow_up(3, "a@x.example", &[7])]).await.unwrap();
    let rows = store.notifications(&NotificationFilter::default(), 9).await.unwrap();
    let (row, kept) = store.notification(rows[0].id).await.unwrap().unwrap();
    assert_eq!((row.state, row.attempts, kept), (NotificationState::Superseded, 0, reason));
    assert_eq!((row.replacement, row.superseded_by), (Some(rows[2].id), Some(rows[2].notification)));
    assert_eq!(rows[1].replacement, None);
}

#[tokio::test]
async fn an_attempted_follow_up_is_not_replaced_and_one_sent_while_it_was_replaced_is_sent() {
    let place = Place::new();
    let store = place.open().await;
    store.post(&[follow_up(1, "a@x.example", &[7])]).await.unwrap();
    let id = due(&store, 0).await[0].0;
    store.failed(id, at(0), at(1), "451 later").await.unwrap();
    store.post(&[follow_up(2, "a@x.example", &[7])]).await.unwrap();
    assert_eq!(replaced(&store).await, [("retrying", None), ("pending", None)]);
    store.sent(id, at(2)).await.unwrap();
    let on_its_way = due(&store, 2).await[0].0;
    store.post(&[follow_up(3, "a@x.example", &[7])]).await.unwrap();
    assert_eq!(replaced(&store).await[1], ("superseded", Some(3)));
    assert!(!store.failed(on_its_way, at(3), at(4), "451 later").await.unwrap());
    assert_eq!(store.dead(on_its_way, at(3), "550 no").await.unwrap(), None);
    assert_eq!(replaced(&store).await[1], ("superseded", Some(3)));
    store.sent(on_its_way, at(3)).await.unwrap();
    assert_eq!(replaced(&store).await[1].0, "sent");
}
