//! An operator's resend, and the addresses that refuse mail, in the store.

use uuid::Uuid;

use super::world::{Place, at, outgoing};
use crate::store::{NotificationState, Outgoing, Resend, Store, Unsendable};

async fn resend(store: &Store, number: i64) -> Result<Resend, Unsendable> {
    let reissue = |raw: &[u8], id: Uuid| (format!("<{id}@test.example>"), raw.to_vec());
    store.resend(number, at(9), |to| to.as_str() != "gone@x.example", reissue).await.unwrap()
}

#[tokio::test]
async fn a_resend_is_a_row_of_its_own_each_time_and_no_later_follow_up_replaces_it() {
    let place = Place::new();
    let store = place.open().await;
    let incident = Uuid::from_u128(7);
    let first = Outgoing { follows_up: Some(vec![incident]), ..outgoing(0, "a@x.example") };
    store.post(std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(resend(&store, 1).await, Err(Unsendable::Waiting { number: 1, state: NotificationState::Pending }));
    store.sent(1, at(1)).await.unwrap();
    let second = resend(&store, 1).await.unwrap();
    assert_eq!(resend(&store, 1).await, Err(Unsendable::InTheOutbox { number: 1, resend: 2 }));
    store.sent(2, at(2)).await.unwrap();
    let third = resend(&store, 1).await.unwrap();
    assert_eq!((second.number, third.number), (2, 3));
    assert!(second.message_id != third.message_id && second.message_id != first.message_id);
    let later = Outgoing { follows_up: Some(vec![incident]), ..outgoing(9, "a@x.example") };
    store.post(&[later]).await.unwrap();
    let (row, reason) = store.notification(3).await.unwrap().unwrap();
    assert_eq!((row.state, row.resend_of, row.attempts), (NotificationState::Pending, Some(1), 0));
    assert_eq!((row.subject, row.kind, reason), (first.subject, first.kind, first.reason));
    let due = store.due("email", at(9), 9).await.unwrap();
    assert_eq!((due[0].id, &due[0].raw), (3, &first.raw));
    assert_eq!(store.notification(1).await.unwrap().unwrap().0.state, NotificationState::Sent, "as it was");
}

#[tokio::test]
async fn waiting_resends_are_bounded_so_that_they_do_not_delay_a_new_alert_for_long() {
    let place = Place::new();
    let store = place.open().await;
    let posted = (0..11).map(|number| outgoing(number, "a@x.example")).collect::<Vec<_>>();
    store.post(&posted).await.unwrap();
    for number in 1..=11 {
        store.sent(number, at(1)).await.unwrap();
    }
    for number in 1..=10 {
        resend(&store, number).await.unwrap();
    }
    assert_eq!(resend(&store, 11).await, Err(Unsendable::TooMany));
    store.sent(12, at(2)).await.unwrap();
    resend(&store, 11).await.unwrap();
}

#[tokio::test]
async fn a_notification_that_cannot_be_sent_again_is_refused_with_the_reason_and_changes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let follow_up = |number, to| Outgoing { follows_up: Some(vec![Uuid::from_u128(7)]), ..outgoing(number, to) };
    let rows = [follow_up(0, "a@x.example"), follow_up(1, "a@x.example"), outgoing(2, "gone@x.example")];
    for row in rows {
        store.post(&[row]).await.unwrap();
    }
    store.failed(2, at(1), at(2), "451 later").await.unwrap();
    store.dead(3, at(1), "550 unknown").await.unwrap();
    for (number, refusal) in [
        (1, Unsendable::Superseded { number: 1 }),
        (2, Unsendable::Waiting { number: 2, state: NotificationState::Retrying }),
        (3, Unsendable::NoRecipient { number: 3 }),
        (99, Unsendable::Unknown(99)),
    ] {
        assert_eq!(resend(&store, number).await, Err(refusal));
    }
    assert!(store.notification(4).await.unwrap().is_none());
}

#[tokio::test]
async fn an_address_refuses_mail_from_the_first_dead_notification_until_a_later_one_is_sent() {
    let place = Place::new();
    let store = place.open().await;
    let all = ["a@x.example", "A@X.example", "a@x.example", "b@x.example"];
    let all = all.iter().enumerate().map(|(number, to)| outgoing(number, to)).collect::<Vec<_>>();
    store.post(&all).await.unwrap();
    assert!(!store.sent(4, at(1)).await.unwrap(), "it accepted mail before");
    assert_eq!(store.dead(1, at(1), "550 unknown").await.unwrap(), Some(true));
    assert_eq!(store.dead(2, at(2), "550 still unknown").await.unwrap(), Some(false), "one address, whatever its case");
    let found = store.undeliverable("email").await.unwrap().remove(0);
    assert_eq!((found.since, found.lost.count, found.last_error.as_str()), (at(1), 2, "550 still unknown"));
    assert_eq!(found.lost.sessions, ["acme/0", "acme/1"]);
    assert!(store.undeliverable("pager").await.unwrap().is_empty(), "of another channel");
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.undeliverable("email").await.unwrap(), std::slice::from_ref(&found), "over a restart");
    assert!(store.sent(3, at(3)).await.unwrap());
    let ended = store.undeliverable("email").await.unwrap().remove(0);
    assert_eq!((ended.id, ended.accepted_at, ended.lost.count), (found.id, Some(at(3)), 2));
    let state = store.delivery(&super::world::name("email")).await.unwrap();
    assert!(state.undeliverable.is_empty(), "it accepts mail, though its end is not notified yet");
}

#[tokio::test]
async fn delivery_counts_retried_notifications_and_has_the_last_error() {
    let place = Place::new();
    let store = place.open().await;
    let all = ["a@x.example", "b@x.example", "c@x.example"];
    store.post(&all.iter().enumerate().map(|(n, to)| outgoing(n, to)).collect::<Vec<_>>()).await.unwrap();
    store.failed(1, at(1), at(5), "first").await.unwrap();
    store.failed(2, at(2), at(5), "second").await.unwrap();
    let state = store.delivery(&super::world::name("email")).await.unwrap();
    assert_eq!((state.retrying, state.retrying_since), (2, Some(super::world::start())));
    assert_eq!(state.last_error.as_deref(), Some("second"));
}
