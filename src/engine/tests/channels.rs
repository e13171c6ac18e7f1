//! One dispatcher a channel over one store, and the order of delivery under a tight rate limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::harness::{Harness, Running};
use super::post_office::{PostOffice, refusal};
use crate::domain::name::Name;
use crate::domain::notification::{Notification, NotificationKind, Reason};
use crate::domain::policy::Severity;
use crate::domain::world::{address, start};
use crate::engine::bells::Bells;
use crate::engine::dispatcher::{Dispatcher, DispatcherParts};
use crate::engine::published::Published;
use crate::engine::rate_limiter::RateLimiter;
use crate::metrics::Metrics;
use crate::notify::{Channel, Composed, Obstacle, Outbound, Reissued, SendError};
use crate::store::Outgoing;

/// A second channel.
struct Pager(Arc<PostOffice>);

impl Channel for Pager {
    fn label(&self) -> &'static str {
        "pager"
    }

    fn compose(&self, notification: &Notification) -> Composed {
        self.0.compose(notification)
    }

    fn reissue(&self, raw: &[u8], notification: uuid::Uuid) -> Reissued {
        self.0.reissue(raw, notification)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>> {
        self.0.send(outbound)
    }
}

fn outgoing(number: usize, to: &str, channel: &str) -> Outgoing {
    Outgoing {
        notification: uuid::Uuid::from_u128(number as u128),
        message_id: format!("<{number}@driftwise.example>"),
        channel: Name::parse(channel).unwrap(),
        follows_up: None,
        reason: Reason::default(),
        resend_of: None,
        kind: NotificationKind::Drift,
        severity: Severity::Warning,
        to: address(to),
        subject: format!("number {number}"),
        sessions: Vec::new(),
        raw: format!("number {number}").into_bytes(),
        recorded_at: start(),
    }
}

/// A follow-up that was recorded at the start.
pub(super) fn follow_up(number: usize, to: &str) -> Outgoing {
    Outgoing {
        follows_up: Some(vec![uuid::Uuid::from_u128(number as u128)]),
        kind: NotificationKind::Update,
        ..outgoing(number, to, "email")
    }
}

#[tokio::test]
async fn the_backlog_of_a_second_channel_does_not_delay_the_first() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(30).await;
    let pagers = Arc::<PostOffice>::default();
    let pager = Dispatcher::new(DispatcherParts {
        store: Arc::clone(&running.store),
        channel: Arc::new(Pager(Arc::clone(&pagers))),
        published: Arc::new(Published::new(Arc::default(), BTreeMap::new())),
        metrics: Arc::new(Metrics::new(&[Name::parse("erp").unwrap()], "pager").unwrap()),
        clock: Arc::new(harness.clock.clone()),
        rate_limiter: Arc::new(RateLimiter::new(0)),
        bells: Bells::default(),
        stop: CancellationToken::new(),
    })
    .unwrap();
    pagers.down(Some(refusal(Obstacle::Connect, false)));
    let backlog = (0..100).map(|number| outgoing(number, &format!("person{}@acme.example", number % 50), "pager"));
    running.store.post(&backlog.collect::<Vec<_>>()).await.unwrap();
    running.store.post(&[outgoing(100, "person0@acme.example", "email")]).await.unwrap();

    let round = running.dispatcher.run_round().await.unwrap();
    assert_eq!((round.sent, round.retrying, round.next), (1, 0, None), "and nothing of the pager wakes it");
    assert_eq!(harness.post.of("person0@acme.example"), ["number 100"]);
    assert_eq!(running.metric("driftwise_outbox_notifications{state=\"pending\"}"), 0);

    let round = pager.run_round().await.unwrap();
    assert_eq!((round.sent, round.retrying), (0, 50), "the head of each line was attempted");
    pagers.down(None);
    harness.clock.advance(TimeDelta::minutes(20));
    let round = pager.run_round().await.unwrap();
    assert_eq!((round.sent, round.next), (100, None));
    assert_eq!((pagers.accepted().len(), harness.post.accepted().len()), (100, 1));
}

/// The mail that left in minute `minute`, counted from 1, at 30 a minute.
async fn in_minute(minute: i64, harness: &Harness, running: &Running) -> Vec<String> {
    let before = harness.post.accepted().len();
    running.deliver_until(&harness.clock, start() + TimeDelta::seconds(minute * 60 - 1)).await;
    let to = |outbound: &Outbound| outbound.to.as_str().to_owned();
    harness.post.accepted()[before..].iter().map(to).collect()
}

#[tokio::test]
async fn an_opening_does_not_wait_behind_hundreds_of_follow_ups_of_others() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(30).await;
    // More than one recipient, so that the backlog keeps every connection busy.
    let backlog = (0..400).map(|number| follow_up(number, &format!("a{}@acme.example", number % 4)));
    running.store.post(&backlog.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(in_minute(1, &harness, &running).await.len(), 30);
    let new = [
        follow_up(999, "d@acme.example"),
        outgoing(1_000, "b@acme.example", "email"),
        Outgoing { severity: Severity::Critical, ..outgoing(1_001, "c@acme.example", "email") },
    ];
    let now = start() + TimeDelta::seconds(59);
    running.store.post(&new.map(|message| Outgoing { recorded_at: now, ..message })).await.unwrap();
    let left = in_minute(2, &harness, &running).await;
    assert_eq!(left.len(), 30);
    let place = |to: &str| left.iter().position(|other| other == to).unwrap();
    assert!(place("b@acme.example") < 3, "the opening leaves among the first: {left:?}");
    assert!(place("c@acme.example") < 3, "{left:?}");
    assert!(place("d@acme.example") < 10, "a new recipient gets a turn in the next rounds: {left:?}");
}

#[tokio::test]
async fn at_one_mail_a_minute_a_critical_opening_leaves_next() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(1).await;
    let backlog = (0..100).map(|number| follow_up(number, "a@acme.example"));
    running.store.post(&backlog.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(in_minute(1, &harness, &running).await, ["a@acme.example"]);
    let new = [
        outgoing(1_000, "b@acme.example", "email"),
        Outgoing { severity: Severity::Critical, ..outgoing(1_001, "c@acme.example", "email") },
    ];
    running.store.post(&new).await.unwrap();
    assert_eq!(in_minute(2, &harness, &running).await, ["c@acme.example"]);
    assert_eq!(in_minute(3, &harness, &running).await, ["b@acme.example"]);
    assert_eq!(in_minute(4, &harness, &running).await, ["a@acme.example"]);
    assert_eq!(harness.post.of("a@acme.example"), ["number 0", "number 1"], "in the order recorded");
}
