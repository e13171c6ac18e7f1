//! The engine over a real store, between a source that a test sets and a post office.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::post_office::PostOffice;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::notification::{NotificationKind, Reason};
use crate::domain::observation::RawSnapshot;
use crate::domain::plan::Due;
use crate::domain::world::{World, start};
use crate::engine::alerting::{self, Alerting};
use crate::engine::assembly::{Engine, EngineParts};
use crate::engine::audit::{AuditOutcome, Auditor, Sources};
use crate::engine::bells::Bells;
use crate::engine::dispatcher::{Dispatcher, Round};
use crate::engine::rate_limiter::RateLimiter;
use crate::metrics::Metrics;
use crate::notify::Outbound;
use crate::source::{Failure, FetchError, Source};
use crate::store::{NotificationFilter, NotificationState, Outgoing, Store, StoredNotification};

/// Most rounds of the dispatcher until one time: a multiple of those that 72 hours of retries take.
const MOST_ROUNDS: u32 = 1_000;

/// Everything here outlives the engine, which keeps the rest in memory.
pub(super) struct Harness {
    folder: TempDir,
    pub world: World,
    pub clock: ManualClock,
    pub post: Arc<PostOffice>,
    /// Why the source cannot be read.
    failure: Option<FetchError>,
}

/// The engine, as it is after a start.
pub(super) struct Running {
    pub auditor: Arc<Auditor>,
    pub alerting: Arc<Alerting>,
    pub dispatcher: Arc<Dispatcher>,
    pub store: Arc<Store>,
    pub bells: Bells,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// A harness whose store is a copy of an earlier one.
    pub(super) fn with(store: Option<&[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let harness =
            Self { folder, world: World::new(), clock: ManualClock::new(start()), post: Arc::default(), failure: None };
        if let Some(bytes) = store {
            std::fs::write(harness.path(), bytes).unwrap();
        }
        harness
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("driftwise.db")
    }

    pub(super) fn away(&self) -> PathBuf {
        self.folder.path().join("away.db")
    }

    pub(super) fn set_reachable(&mut self, reachable: bool) {
        let refused = || FetchError::new(Failure::Connect, "the connection was refused");
        self.failure = (!reachable).then(refused);
    }

    pub(super) fn fail_with(&mut self, failure: FetchError) {
        self.failure = Some(failure);
    }

    /// What the source returns from now on is fixed when the engine starts.
    pub(super) async fn start(&self) -> Running {
        self.start_rate_limited(0).await
    }

    pub(super) async fn start_rate_limited(&self, per_minute: u32) -> Running {
        let store = Arc::new(Store::open(&self.path()).await.unwrap());
        let states = store.load().await.unwrap();
        let plan = self.world.plan.clone();
        let metrics = Arc::new(Metrics::new(std::slice::from_ref(&plan.name), "email").unwrap());
        let engine = Engine::connect(EngineParts {
            plans: BTreeMap::from([(plan.name.clone(), plan.clone())]),
            states,
            sources: self.sources(),
            max_polls: 1,
            store: Arc::clone(&store),
            channel: Arc::clone(&self.post) as _,
            rate_limiter: Arc::new(RateLimiter::new(per_minute)),
            metrics,
            clock: Arc::new(self.clock.clone()),
            stop: CancellationToken::new(),
        });
        let Engine { auditor, alerting, dispatcher, bells, .. } = engine.await.unwrap();
        Running { auditor, alerting, dispatcher, store, bells }
    }

    /// From now on the plan and the snapshots are those of the harness as it is now, as a reload has it.
    pub(super) fn reload(&self, running: &Running) {
        let (auditor, plan) = (&running.auditor, self.world.plan.clone());
        let plans = BTreeMap::from([(plan.name.clone(), plan)]);
        auditor.published.replace_plans(Arc::new(plans), || auditor.sources.replace(Arc::new(self.sources())));
    }

    fn sources(&self) -> Sources {
        let outcome = self.failure.clone().map_or_else(|| Ok(self.world.raw_snapshot()), Err);
        let source: Arc<dyn Source> = Arc::new(Says(outcome));
        BTreeMap::from([(self.world.plan.name.clone(), source)])
    }

    /// One audit and one round by a new process, a minute later. It begins with the notifications that the last one had not
    /// recorded.
    pub(super) async fn live(&self) -> (AuditOutcome, usize) {
        self.clock.advance(TimeDelta::minutes(1));
        let running = self.start().await;
        running.alert().await;
        let outcome = running.audit().await;
        running.dispatcher.run_round().await.unwrap();
        outcome
    }

    /// The file as an orderly stop leaves it.
    pub(super) async fn bytes(self) -> Vec<u8> {
        let store = Store::open(&self.path()).await.unwrap();
        store.close().await;
        std::fs::read(self.path()).unwrap()
    }

    /// Checks that nothing was lost, sent under two ids, out of order or without being recorded, and that the store is sound.
    pub(super) async fn check(&self, case: &str) {
        let store = Store::open(&self.path()).await.unwrap();
        store.integrity_check().await.unwrap();
        let rows = store.notifications(&NotificationFilter::default(), 10_000).await.unwrap();
        let accepted = self.post.accepted();
        let recorded = rows.iter().map(|row| row.message_id.as_str()).collect::<BTreeSet<_>>();
        let arrived = accepted.iter().map(|outbound| outbound.message_id.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(recorded, arrived, "{case}: what was recorded and what arrived");
        assert!(rows.iter().all(|row| row.state == NotificationState::Sent), "{case}: {rows:#?}");
        let mut ids: HashMap<(&str, &str), BTreeSet<&str>> = HashMap::new();
        let mut bodies: HashMap<&str, &[u8]> = HashMap::new();
        for outbound in &accepted {
            assert_eq!(
                *bodies.entry(&outbound.message_id).or_insert(&outbound.raw),
                outbound.raw,
                "{case}: a repeat differs"
            );
            for line in std::str::from_utf8(&outbound.raw).unwrap().lines() {
                ids.entry((outbound.to.as_str(), line)).or_default().insert(&outbound.message_id);
            }
        }
        assert!(ids.values().all(|ids| ids.len() == 1), "{case}: notified under two ids: {ids:#?}");
        in_order(&rows, &accepted, case);
        let mut opened = BTreeSet::new();
        for (_, event) in store.events(None, None, None, 10_000).await.unwrap() {
            if let crate::domain::event::EventKind::Opened { incident, .. } = event.what {
                assert!(opened.insert(incident), "{case}: {incident} opened twice");
                let line = format!("drift {incident}");
                assert!(ids.keys().any(|(_, found)| *found == line), "{case}: no notification of {incident}");
            }
        }
    }
}

/// The first arrivals of each recipient are in the order recorded.
pub(super) fn in_order(rows: &[StoredNotification], accepted: &[Outbound], case: &str) {
    let recipients = rows.iter().map(|row| row.to.as_str()).collect::<BTreeSet<_>>();
    for to in recipients {
        let wanted = rows.iter().filter(|row| row.to.as_str() == to).map(|row| row.message_id.as_str());
        let mut got = Vec::new();
        for outbound in accepted.iter().filter(|outbound| outbound.to.as_str() == to) {
            if !got.contains(&outbound.message_id.as_str()) {
                got.push(&outbound.message_id);
            }
        }
        assert_eq!(wanted.collect::<Vec<_>>(), got, "{case}: the order of {to}");
    }
}

impl Running {
    /// One audit and its alerting: the outcome, and how many notifications were recorded.
    pub(super) async fn audit(&self) -> (AuditOutcome, usize) {
        let source = self.auditor.sources.get().keys().next().unwrap().clone();
        let outcome = self.auditor.run(&source, &Due::All).await;
        (outcome, self.alert().await.notifications())
    }

    pub(super) async fn alert(&self) -> alerting::AlertingOutcome {
        self.alerting.run(self.dispatcher.now()).await
    }

    pub(super) async fn post(&self, number: usize, to: &str) {
        let recorded_at = self.dispatcher.now();
        let outbound = Outgoing {
            notification: uuid::Uuid::from_u128(number as u128),
            message_id: format!("<{number}@driftwise.example>"),
            channel: Name::parse("email").unwrap(),
            follows_up: None,
            reason: Reason::default(),
            resend_of: None,
            kind: NotificationKind::Test,
            severity: crate::domain::policy::Severity::Info,
            to: Address::parse(to).unwrap(),
            subject: format!("number {number}"),
            sessions: Vec::new(),
            raw: format!("number {number}").into_bytes(),
            recorded_at,
        };
        self.store.post(&[outbound]).await.unwrap();
    }

    pub(super) async fn rows(&self) -> Vec<StoredNotification> {
        self.store.notifications(&NotificationFilter::default(), 10_000).await.unwrap()
    }

    /// How many notifications are in each state: pending, retrying, sent, dead.
    pub(super) async fn states(&self) -> [usize; 4] {
        let rows = self.rows().await;
        let known =
            [NotificationState::Pending, NotificationState::Retrying, NotificationState::Sent, NotificationState::Dead];
        known.map(|state| rows.iter().filter(|row| row.state == state).count())
    }

    /// Rounds as the loop of the daemon makes them, until nothing waits or the clock has reached `end`.
    ///
    /// Panics after `MOST_ROUNDS`: the dispatcher then asks for rounds that bring the clock no closer to `end`.
    pub(super) async fn deliver_until(&self, clock: &ManualClock, end: DateTime<Utc>) -> Round {
        let mut all = Round::default();
        for _ in 0..MOST_ROUNDS {
            let round = self.dispatcher.run_round().await.unwrap();
            (all.sent, all.retrying, all.dead) =
                (all.sent + round.sent, all.retrying + round.retrying, all.dead + round.dead);
            match round.next {
                Some(next) if next <= end => clock.set(next.max(clock.now())),
                _ => {
                    clock.set(end.max(clock.now()));
                    return all;
                }
            }
        }
        panic!("still waiting for {end} after {MOST_ROUNDS} rounds: the clock is at {}, {all:?}", clock.now());
    }

    /// The value of one series of the metrics.
    pub(super) fn metric(&self, series: &str) -> u64 {
        let mut text = String::new();
        self.auditor.metrics.encode(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}"));
        line.trim().parse().unwrap()
    }
}

struct Says(Result<RawSnapshot, FetchError>);

impl Source for Says {
    fn fetch(&self, _: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.0.clone()
        })
    }
}
