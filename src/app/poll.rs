//! The single poll of `check`: all findings of the selected sessions, and optionally their notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};
use tokio_util::sync::CancellationToken;

use super::adapters::{self, Waits};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::evaluate::Finding;
use crate::domain::name::Name;
use crate::domain::observation::{Observation, RawSnapshot, RowMatch};
use crate::domain::plan::Due;
use crate::domain::plan::SourcePlan;
use crate::domain::reconcile::{Assessed, assess};
use crate::domain::session::{Session, SessionId, SessionKey};
use crate::domain::snapshot::Snapshot;
use crate::domain::state::SourceState;
use crate::engine::alerting;
use crate::engine::assembly::{Engine, EngineParts};
use crate::engine::audit::AuditOutcome;
use crate::engine::dispatcher::Round;
use crate::engine::polls::Polls;
use crate::engine::rate_limiter::RateLimiter;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::source::{FetchError, Source};
use crate::store::Store;

/// The result of one poll for one session.
pub struct CheckedSession {
    pub session: Session,
    pub what: SessionOutcome,
}

/// See [`CheckedSession`].
pub enum SessionOutcome {
    Unreachable(String),
    Missing,
    Judged { observation: Option<Arc<Observation>>, findings: Vec<Finding>, ambiguous: Option<String> },
}

/// The result of each poll.
pub type PollResults = BTreeMap<Name, Result<RawSnapshot, FetchError>>;

/// The selected sessions; none for all.
pub type Wanted = Option<BTreeSet<SessionKey>>;

fn wants(wanted: &Wanted, key: &SessionKey) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.contains(key))
}

/// Polls every source that has a wanted session, with the concurrency of the daemon.
pub async fn ask(config: &Config, wanted: &Wanted, now: DateTime<Utc>) -> anyhow::Result<PollResults> {
    let has_wanted = |plan: &SourcePlan| plan.sessions.values().any(|session| wants(wanted, &session.key));
    let is_asked = |name: &Name| config.plans.get(name).is_some_and(has_wanted);
    let asked = adapters::sources_of(config, &mut Waits::default(), is_asked)?;
    let polls = &Polls::new(config.max_polls);
    let asked = asked.into_iter().map(|(name, adapter)| async move {
        let _turn = polls.turn(adapter.system()).await;
        (name, adapter.fetch(now).await)
    });
    Ok(join_all(asked).await.into_iter().collect())
}

/// Evaluates the wanted sessions of all polls as an audit would, with the `states` of their sources. It evaluates the other
/// sessions too, because a verdict can depend on them.
pub fn judge(
    config: &Config,
    wanted: &Wanted,
    results: &PollResults,
    states: &BTreeMap<Name, SourceState>,
    now: DateTime<Utc>,
) -> Vec<CheckedSession> {
    let nothing = SourceState::default();
    let mut seen = Vec::new();
    for (name, result) in results {
        let Some(plan) = config.plans.get(name) else { continue };
        let state = states.get(name).unwrap_or(&nothing);
        let snapshot = result.as_ref().map_err(ToString::to_string);
        let snapshot =
            snapshot.and_then(|result| Snapshot::read(result, &plan.mapping, now).map_err(|e| e.to_string()));
        let sessions = plan.sessions.values().filter(|session| wants(wanted, &session.key));
        match snapshot {
            Err(reason) => {
                seen.extend(
                    sessions.map(|s| CheckedSession {
                        session: s.clone(),
                        what: SessionOutcome::Unreachable(reason.clone()),
                    }),
                );
            }
            Ok(snapshot) => {
                let assessed = assess(plan, state, &snapshot, now).sessions.into_iter();
                seen.extend(assessed.filter(|assessed| wants(wanted, &assessed.session.key)).map(shown));
            }
        }
    }
    seen
}

fn shown(assessed: Assessed<'_>) -> CheckedSession {
    let Assessed { session, row, findings, .. } = assessed;
    let what = match row {
        RowMatch::Missing => SessionOutcome::Missing,
        RowMatch::Duplicate(reason) | RowMatch::Uncertain(reason) => {
            SessionOutcome::Judged { observation: None, findings, ambiguous: Some(reason) }
        }
        RowMatch::Seen(observation) => {
            SessionOutcome::Judged { observation: Some(observation), findings, ambiguous: None }
        }
    };
    CheckedSession { session: session.clone(), what }
}

/// The result of [`notify`].
pub struct NotifyResult {
    pub notifications: usize,
    pub round: Round,
    /// Errors of recording audits and notifications.
    pub errors: Vec<String>,
}

impl NotifyResult {
    fn add(&mut self, round: Round) {
        self.round.sent += round.sent;
        self.round.retrying += round.retrying;
        self.round.dead += round.dead;
    }
}

/// Records `results` as one audit of the daemon would, notifies, and tries to deliver the outbox once.
pub async fn notify(
    config: Config,
    wanted: &Wanted,
    results: PollResults,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<NotifyResult> {
    let email = config.require_email()?;
    let channel: Arc<dyn Channel> = Arc::new(adapters::email(&config, email, &mut Waits::default())?);
    let rate_limiter = Arc::new(RateLimiter::new(adapters::rate_limiter(email)));
    let store = Arc::new(Store::open(&config.store.path).await?);
    super::reload::rename(&store, &config.renames()).await?;
    let states = store.load().await?;
    let names = config.plans.keys().cloned().collect::<Vec<_>>();
    let metrics = Arc::new(Metrics::new(&names, channel.label())?);
    let fixed = |(name, result)| (name, Arc::new(PolledSource(result)) as Arc<dyn Source>);
    let operators = super::reload::operators(&config);
    let engine = Engine::connect(EngineParts {
        plans: config.plans,
        states,
        sources: results.into_iter().map(fixed).collect(),
        max_polls: config.max_polls,
        store: Arc::clone(&store),
        channel,
        rate_limiter,
        metrics,
        clock: Arc::clone(&clock),
        stop: CancellationToken::new(),
    });
    let Engine { auditor, alerting, dispatcher, .. } = engine.await?;
    // First the notifications that a killed process left due.
    let left = alerting.run(clock.now()).await;
    if wanted.is_none() {
        auditor
            .take_up_plans(&operators)
            .await
            .context("failed to end the incidents of sessions and sources that are no longer configured")?;
    }
    let mut notified =
        NotifyResult { notifications: left.notifications(), round: Round::default(), errors: Vec::new() };
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
    loop {
        let round = dispatcher.run_round().await.context("failed to read or write the outbox")?;
        notified.add(round);
        // A notification that waits for the rate limit has not been attempted yet.
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

/// A source that returns the result of an earlier poll.
struct PolledSource(Result<RawSnapshot, FetchError>);

impl Source for PolledSource {
    fn fetch(&self, _now: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
