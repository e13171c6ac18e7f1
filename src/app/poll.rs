//! One poll for a person: every finding of the sessions that were asked for, from the same answer that an audit would use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};
use tokio_util::sync::CancellationToken;

use super::adapters;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::evaluate::Finding;
use crate::domain::name::Name;
use crate::domain::observation::{Answer, Observation, RowMatch};
use crate::domain::plan::Due;
use crate::domain::reconcile::{Assessed, assess};
use crate::domain::session::{Session, SessionId, SessionKey};
use crate::domain::snapshot::Snapshot;
use crate::domain::state::SourceState;
use crate::engine::alerting::{self, Alerting, AlertingParts};
use crate::engine::audit::{AuditOutcome, Auditor};
use crate::engine::bells::Bells;
use crate::engine::current::Current;
use crate::engine::dispatcher::{Dispatcher, DispatcherParts, Round};
use crate::engine::polls::Polls;
use crate::engine::published::Published;
use crate::engine::rate_limiter::RateLimiter;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::source::{FetchError, Source};
use crate::store::Store;

/// What one poll says of one session.
pub struct Seen {
    pub session: Session,
    pub what: What,
}

/// See [`Seen`].
pub enum What {
    Unreachable(String),
    Missing,
    Judged { observation: Option<Arc<Observation>>, findings: Vec<Finding>, ambiguous: Option<String> },
}

/// The answer of each source that was asked.
pub type Answers = BTreeMap<Name, Result<Answer, FetchError>>;

/// Which sessions are asked for: all, or those named.
pub type Wanted = Option<BTreeSet<SessionKey>>;

fn wants(wanted: &Wanted, key: &SessionKey) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.contains(key))
}

/// Asks every source that has a wanted session, as many at the same time as the daemon would.
pub async fn ask(config: &Config, wanted: &Wanted, now: DateTime<Utc>) -> anyhow::Result<Answers> {
    let adapters = adapters::sources(config)?;
    let asked = config.plans.values().filter(|plan| plan.sessions.values().any(|s| wants(wanted, &s.key)));
    let asked =
        asked.filter_map(|plan| adapters.get(&plan.name).map(|adapter| (plan.name.clone(), Arc::clone(adapter))));
    let polls = &Polls::new(config.max_polls);
    let asked = asked.map(|(name, adapter)| async move {
        let _turn = polls.turn(adapter.system()).await;
        (name, adapter.fetch(now).await)
    });
    Ok(join_all(asked).await.into_iter().collect())
}

/// Judges the wanted sessions of all answers as an audit would, by what `states` know of them. The others of a source are judged
/// too, because the verdict on one session can depend on them.
pub fn judge(
    config: &Config,
    wanted: &Wanted,
    answers: &Answers,
    states: &BTreeMap<Name, SourceState>,
    now: DateTime<Utc>,
) -> Vec<Seen> {
    let nothing = SourceState::default();
    let mut seen = Vec::new();
    for (name, answer) in answers {
        let Some(plan) = config.plans.get(name) else { continue };
        let state = states.get(name).unwrap_or(&nothing);
        let snapshot = answer.as_ref().map_err(ToString::to_string);
        let snapshot =
            snapshot.and_then(|answer| Snapshot::read(answer, &plan.mapping, now).map_err(|e| e.to_string()));
        let sessions = plan.sessions.values().filter(|session| wants(wanted, &session.key));
        match snapshot {
            Err(reason) => {
                seen.extend(sessions.map(|s| Seen { session: s.clone(), what: What::Unreachable(reason.clone()) }));
            }
            Ok(snapshot) => {
                let assessed = assess(plan, state, &snapshot, now).sessions.into_iter();
                seen.extend(assessed.filter(|assessed| wants(wanted, &assessed.session.key)).map(shown));
            }
        }
    }
    seen
}

fn shown(assessed: Assessed<'_>) -> Seen {
    let Assessed { session, row, findings, .. } = assessed;
    let what = match row {
        RowMatch::Missing => What::Missing,
        RowMatch::Duplicate(reason) | RowMatch::Uncertain(reason) => {
            What::Judged { observation: None, findings, ambiguous: Some(reason) }
        }
        RowMatch::Seen(observation) => What::Judged { observation: Some(observation), findings, ambiguous: None },
    };
    Seen { session: session.clone(), what }
}

/// What recording and notifying came to.
pub struct Notified {
    pub notifications: usize,
    pub round: Round,
    /// What could not be recorded.
    pub errors: Vec<String>,
}

impl Notified {
    fn add(&mut self, round: Round) {
        self.round.sent += round.sent;
        self.round.retrying += round.retrying;
        self.round.dead += round.dead;
    }
}

/// Records `answers` and mails, as one audit of the daemon would, and tries the outbox once.
pub async fn notify(
    config: Config,
    wanted: &Wanted,
    answers: Answers,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Notified> {
    let email = config.require_email()?;
    let channel: Arc<dyn Channel> = Arc::new(adapters::email(&config, email)?);
    let rate_limiter = Arc::new(RateLimiter::new(adapters::rate_limiter(email)));
    let store = Arc::new(Store::open(&config.store.path).await?);
    super::reload::rename(&store, &config.renames()).await?;
    let states = store.load().await?;
    let names = config.plans.keys().cloned().collect::<Vec<_>>();
    let metrics = Arc::new(Metrics::new(&names, channel.label())?);
    let (bells, stop) = (Bells::default(), CancellationToken::new());
    let fixed = |(name, answer)| (name, Arc::new(Fetched(answer)) as Arc<dyn Source>);
    let published = Arc::new(Published::new(Arc::new(config.plans), states));
    let parts = AlertingParts {
        published: Arc::clone(&published),
        store: Arc::clone(&store),
        channel: Arc::clone(&channel),
        metrics: Arc::clone(&metrics),
        bells: bells.clone(),
    };
    let alerting = Arc::new(Alerting::load(parts).await?);
    let auditor = Auditor {
        published: Arc::clone(&published),
        sources: Current::new(Arc::new(answers.into_iter().map(fixed).collect())),
        polls: Polls::new(config.max_polls),
        store: Arc::clone(&store),
        alerting: Arc::clone(&alerting),
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock),
        stop: stop.clone(),
    };
    // First what a process that died left owed.
    let left = alerting.run(clock.now()).await;
    if wanted.is_none() {
        auditor.take_up_plans().await.context("ending what is not audited any more")?;
    }
    let mut notified = Notified { notifications: left.notifications(), round: Round::default(), errors: Vec::new() };
    for source in auditor.sources.get().keys() {
        let outcome = auditor.run(source, &due(wanted, source)).await;
        match outcome {
            AuditOutcome::NotRecorded { error } => notified.errors.push(error),
            AuditOutcome::NotAsked { reason } => notified.errors.push(format!("source {source}: {reason}")),
            AuditOutcome::Polled { .. }
            | AuditOutcome::Unreachable { .. }
            | AuditOutcome::Stopped
            | AuditOutcome::Replaced => {}
        }
    }
    match alerting.run(clock.now()).await {
        alerting::AlertingOutcome::Recorded { notifications, .. } => notified.notifications += notifications,
        alerting::AlertingOutcome::NotRecorded { error, .. } => notified.errors.push(error),
    }
    let dispatcher = Dispatcher::new(DispatcherParts {
        store: Arc::clone(&store),
        channel,
        published,
        metrics,
        clock: Arc::clone(&clock),
        rate_limiter,
        bells,
        stop,
    })?;
    loop {
        let round = dispatcher.run_round().await.context("the outbox cannot be read or written")?;
        notified.add(round);
        // What waits only for its minute has not been tried once.
        match round.next.filter(|_| round.rate_limited) {
            Some(next) => tokio::time::sleep((next - clock.now()).to_std().unwrap_or_default()).await,
            None => break,
        }
    }
    Store::clone(&store).close().await;
    Ok(notified)
}

fn due(wanted: &Wanted, source: &Name) -> Due {
    match wanted {
        None => Due::All,
        Some(wanted) => {
            let of_source = wanted.iter().filter(|key| key.source == *source);
            Due::Sessions(of_source.map(|key| key.id.clone()).collect::<BTreeSet<SessionId>>())
        }
    }
}

/// A source that was asked already.
struct Fetched(Result<Answer, FetchError>);

impl Source for Fetched {
    fn fetch(&self, _now: DateTime<Utc>) -> BoxFuture<'_, Result<Answer, FetchError>> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
