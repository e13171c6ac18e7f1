//! One audit: look, decide, record, publish.
//!
//! In this order: the source is asked; `domain::decide` says what that changes and who is told; the messages are composed;
//! the store commits all of it in one transaction; only then does the published show it and the dispatcher hear of it. If the commit
//! fails, nothing has happened: the next audit decides from the same state again, and nobody is told what is not recorded.
//! Nor has anything happened where this machine could not ask (see [`Failure::OwnLimit`]): nothing is decided and recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::journal;
use super::polls::Polls;
use super::published::Published;
use crate::clock::Clock;
use crate::domain::decide::{Decision, Sender, decide, decide_retired};
use crate::domain::name::Name;
use crate::domain::notification::Notification;
use crate::domain::observation::Digest;
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::reconcile::PollOutcome;
use crate::domain::settled::settled;
use crate::domain::snapshot::Snapshot;
use crate::metrics::{Metrics, Phase, Suppressed};
use crate::notify::Channel;
use crate::source::{Failure, FetchError, Fetched, Source};
use crate::store::{Operation, Outgoing, Store, StoreError};

/// Audits sources.
pub struct Auditor {
    pub published: Arc<Published>,
    pub sources: BTreeMap<Name, Arc<dyn Source>>,
    pub polls: Arc<Polls>,
    pub store: Arc<Store>,
    pub channel: Arc<dyn Channel>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub sender: Sender,
    /// Rung when messages were recorded.
    pub recorded: Arc<Notify>,
    /// Ends a poll that is under way: nothing is lost by that.
    pub stop: CancellationToken,
}

/// What one audit came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source answered; so many incidents opened and ended, and so many messages were recorded.
    Polled { opened: usize, ended: usize, messages: usize },
    /// The source could not be read.
    Unreachable { reason: String, messages: usize },
    /// This machine could not ask the source, which says nothing of the source.
    NotAsked { reason: String },
    /// The program is stopping; nothing was polled.
    Stopped,
    /// Nothing was recorded, so nothing happened.
    NotRecorded { error: String },
}

impl Outcome {
    /// How many messages were recorded.
    pub fn messages(&self) -> usize {
        match self {
            Self::Polled { messages, .. } | Self::Unreachable { messages, .. } => *messages,
            Self::NotAsked { .. } | Self::Stopped | Self::NotRecorded { .. } => 0,
        }
    }
}

/// Why a decision could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the decision was interrupted")]
    Interrupted,
}

impl RecordError {
    /// What it is counted as. Whatever stood in the way, an audit was not recorded and nobody hears of it until it is.
    fn operation(&self) -> Operation {
        match self {
            Self::Store(error) => error.operation,
            Self::Interrupted => Operation::Record,
        }
    }
}

impl Auditor {
    /// One audit of `source`: a poll at the sessions that are `due`.
    pub async fn run(&self, source: &Name, due: &Due) -> Outcome {
        let system = self.sources.get(source).and_then(|adapter| adapter.system());
        let turn = tokio::select! {
            turn = self.polls.turn(system) => turn,
            () = self.stop.cancelled() => return Outcome::Stopped,
        };
        let now = self.clock.now();
        // Nothing else records looks of this source meanwhile, so what is settled now is so when the answer comes.
        let known =
            self.published.plans().get(source).and_then(|plan| settled(plan, &self.published.state(source), due));
        let attempt = tokio::select! {
            attempt = self.fetch(source, known, now) => attempt,
            () = self.stop.cancelled() => return Outcome::Stopped,
        };
        drop(turn);
        if let Err(error) = &attempt.fetched
            && error.failure == Failure::OwnLimit
        {
            self.metrics.not_asked(source, error.failure);
            let reason = error.reason.clone();
            tracing::error!(%source, reason, "cannot poll a source; will try again soon");
            return Outcome::NotAsked { reason };
        }
        let judged = self.judge(source, attempt, Occasion { known, due: due.clone(), now }).await;
        let (recorded, failed) = match judged {
            Ok(Judged { composed, poll, failed }) => {
                let recorded = self.record(source, composed, now).await;
                // A large answer takes its time to be freed, and nobody need wait for that.
                drop(tokio::task::spawn_blocking(move || drop(poll)));
                (recorded, failed)
            }
            Err(e) => (Err(e), None),
        };
        match (recorded, failed) {
            (Err(error), _) => {
                self.published.write(|present| present.unrecorded.insert(source.clone()));
                self.metrics.store_error(error.operation());
                let error = describe(&error);
                tracing::error!(%source, %error, "an audit could not be recorded; it is done again");
                Outcome::NotRecorded { error }
            }
            (Ok(counts), Some(error)) => {
                self.metrics.audit(source, false);
                let failure = error.failure.label();
                tracing::warn!(%source, failure, reason = error.for_log(), "the source could not be read");
                if error.quoted.is_some() {
                    tracing::debug!(%source, reason = %error, "why the source could not be read");
                }
                Outcome::Unreachable { reason: error.to_string(), messages: counts.messages() }
            }
            (Ok(counts), None) => {
                self.metrics.audit(source, true);
                tracing::debug!(%source, ?counts, "audited");
                counts
            }
        }
    }

    /// Ends what is open of sessions and sources that the configuration does not audit any more.
    pub async fn retire(&self) -> Result<(), RecordError> {
        let now = self.clock.now();
        let names = self.published.read(|present| present.states.keys().cloned().collect::<Vec<_>>());
        for source in names {
            let (plan, state) = (self.published.plans().get(&source), self.published.state(&source));
            let decision = decide_retired(&source, plan, &state, &self.sender, now);
            drop(state);
            if !decision.delta.retired.is_empty() || decision.delta.unreachable.is_some() {
                let composed = compose(decision, &*self.channel);
                self.record(&source, composed, now).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&self, source: &Name, known: Option<Digest>, now: DateTime<Utc>) -> Attempt {
        let Some(adapter) = self.sources.get(source) else {
            let error = FetchError::new(Failure::Refused, format!("the source {source} is not configured"));
            return Attempt { fetched: Err(FetchError { asked: false, ..error }), took: Duration::ZERO };
        };
        let started = Instant::now();
        let fetched = adapter.fetch_unless(now, known).await;
        let took = started.elapsed();
        if fetched.as_ref().err().is_none_or(|e| e.asked) {
            self.metrics.phase(Phase::Fetch, took);
        }
        Attempt { fetched, took }
    }

    /// Divides an answer into sessions, decides and composes, all on one thread that may take its time.
    async fn judge(&self, source: &Name, attempt: Attempt, occasion: Occasion) -> Result<Judged, RecordError> {
        let (published, channel, sender) =
            (Arc::clone(&self.published), Arc::clone(&self.channel), self.sender.clone());
        let (metrics, source) = (Arc::clone(&self.metrics), source.clone());
        let work = move || {
            let Occasion { known, due, now } = occasion;
            let plan = published.plans().get(&source).ok_or(RecordError::Interrupted)?;
            let poll = attempt.fetched.and_then(|fetched| understand(fetched, known, plan, now));
            let error = poll.as_ref().err();
            if error.is_none_or(|e| e.asked) {
                metrics.request(&source, error.map(|e| e.failure), attempt.took);
            }
            let failed = error.cloned();
            let poll = poll.unwrap_or_else(|e| match e.again {
                Some(_) => PollOutcome::Held(e.to_string()),
                None => PollOutcome::Unreachable(e.to_string()),
            });
            let started = Instant::now();
            // The state is let go of when the decision is made: what comes of it is applied to it in place.
            let decision = decide(plan, &published.state(&source), &poll, &due, &sender, now);
            let composed = compose(decision, &*channel);
            metrics.phase(Phase::Evaluate, started.elapsed());
            Ok(Judged { composed, poll, failed })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RecordError::Interrupted)?
    }

    async fn record(&self, source: &Name, composed: Composed, now: DateTime<Utc>) -> Result<Outcome, RecordError> {
        let Composed { decision, outgoing } = composed;
        let started = Instant::now();
        let recorded = self.store.record(source, &decision.delta, &outgoing, now).await;
        self.metrics.phase(Phase::Record, started.elapsed());
        recorded?;
        self.published.write(|present| present.unrecorded.remove(source));
        let events = &decision.delta.events;
        let opened = events.iter().filter_map(|event| event.what.opened()).collect::<Vec<_>>();
        let ended = events.iter().filter_map(|event| event.what.ended()).collect::<Vec<_>>();
        for (kind, severity) in &opened {
            self.metrics.incident_opened(*kind, *severity);
        }
        for (kind, severity) in &ended {
            self.metrics.incident_resolved(*kind, *severity);
        }
        self.metrics.suppressed(Suppressed::BelowSeverity, decision.below_severity);
        for event in events {
            journal::note(source, event);
        }
        let counts = Outcome::Polled { opened: opened.len(), ended: ended.len(), messages: outgoing.len() };
        self.published.apply(source, decision.delta);
        if !outgoing.is_empty() {
            self.recorded.notify_one();
        }
        Ok(counts)
    }
}

/// One attempt to read a source.
struct Attempt {
    fetched: Result<Fetched, FetchError>,
    took: Duration,
}

/// What an attempt is judged by.
struct Occasion {
    /// The answer that need not be read again.
    known: Option<Digest>,
    due: Due,
    now: DateTime<Utc>,
}

/// What is to be recorded, the poll that it came from, and why that could not see.
struct Judged {
    composed: Composed,
    poll: PollOutcome,
    failed: Option<FetchError>,
}

/// What was fetched, divided into sessions unless it is `known`.
fn understand(
    fetched: Fetched,
    known: Option<Digest>,
    plan: &SourcePlan,
    now: DateTime<Utc>,
) -> Result<PollOutcome, FetchError> {
    let answer = match (fetched.answer, known) {
        (None, Some(known)) => return Ok(PollOutcome::Unchanged(known)),
        (answer, _) => answer.unwrap_or_default(),
    };
    let failure = if answer.rows.is_empty() { Failure::Empty } else { Failure::Malformed };
    let snapshot = Snapshot::take(answer, &plan.mapping, now);
    let mut snapshot = snapshot.map_err(|e| FetchError::of_rows(failure, &e))?;
    snapshot.digest = fetched.digest;
    Ok(PollOutcome::Snapshot(snapshot))
}

/// A decision with its messages as they will be sent.
struct Composed {
    decision: Decision,
    outgoing: Vec<Outgoing>,
}

fn compose(decision: Decision, channel: &dyn Channel) -> Composed {
    let outgoing = decision.messages.iter().map(|message| outgoing(message, channel)).collect();
    Composed { decision, outgoing }
}

fn outgoing(message: &Notification, channel: &dyn Channel) -> Outgoing {
    Outgoing {
        message_id: message.message_id.clone(),
        kind: message.kind,
        to: message.to.clone(),
        subject: message.subject.clone(),
        sessions: message.sessions().into_iter().map(|id| format!("{}/{id}", message.source)).collect(),
        raw: channel.compose(message),
        recorded_at: message.at,
    }
}

/// An error with its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
