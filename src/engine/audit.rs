//! One audit: poll, reconcile, record, publish.
//!
//! In this order: the source is polled; `domain::reconcile` derives the changes; the store commits them in one transaction; only
//! then do the published state and alerting take them in. If the commit fails, nothing has happened: the next audit starts from
//! the same state, and no notification is derived from unrecorded changes. The same holds if this machine could not poll (see
//! [`Failure::OwnLimit`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::alerting::Alerting;
use super::current::Current;
use super::journal;
use super::polls::Polls;
use super::published::{Plans, Published};
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::alerting::recipients;
use crate::domain::announcement::Announcement;
use crate::domain::name::Name;
use crate::domain::notification::Role;
use crate::domain::observation::Digest;
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::reconcile::{PollOutcome, reconcile, take_up};
use crate::domain::retry::due_under;
use crate::domain::settled::settled;
use crate::domain::snapshot::Snapshot;
use crate::domain::state::Delta;
use crate::metrics::{AuditPhase, Metrics};
use crate::source::{Failure, FetchError, Fetched, Source};
use crate::spans::traced;
use crate::store::{Operation, Store, StoreError};

/// The adapter of each source.
pub type Sources = BTreeMap<Name, Arc<dyn Source>>;

/// Audits sources.
pub struct Auditor {
    pub published: Arc<Published>,
    pub sources: Current<Sources>,
    /// Limits the polls under way.
    pub polls: Polls,
    pub store: Arc<Store>,
    /// Takes in committed changes.
    pub alerting: Arc<Alerting>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    /// Cancels a poll under way, which loses nothing.
    pub stop: CancellationToken,
}

/// The result of one audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutcome {
    /// The source returned a snapshot. The numbers of incidents that opened and ended.
    Polled { opened: usize, ended: usize },
    /// The source could not be read.
    Unreachable { reason: String },
    /// This machine could not poll, so the state of the source is unknown.
    NotAsked { reason: String },
    /// The program is stopping; nothing was polled.
    Stopped,
    /// A reload removed the source, or moved it to another system, while the poll waited for its turn; nothing was polled.
    Replaced,
    /// The commit failed, so nothing changed.
    NotRecorded { error: String },
}

/// Why a poll could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the evaluation was interrupted")]
    Interrupted,
}

impl RecordError {
    /// The operation under which the failure is counted. In either case the audit was not recorded, so no notification of it is
    /// derived.
    fn operation(&self) -> Operation {
        match self {
            Self::Store(error) => error.operation,
            Self::Interrupted => Operation::Record,
        }
    }
}

impl Auditor {
    /// One audit of `source`: a poll of the sessions that are `due`.
    pub async fn run(&self, source: &Name, due: &Due) -> AuditOutcome {
        let Some(waiting) = self.sources.get().get(source).map(Arc::clone) else { return AuditOutcome::Replaced };
        let turn = tokio::select! {
            turn = self.polls.turn(waiting.system()) => turn,
            () = self.stop.cancelled() => return AuditOutcome::Stopped,
        };
        let now = self.clock.now();
        // A reload may have replaced both while this poll waited for its turn. One from before it must not meet one from after
        // it.
        let (plans, adapter) = self.published.plans_with(|| self.sources.get().get(source).map(Arc::clone));
        let (Some(plan), Some(adapter)) = (plans.get(source), adapter) else { return AuditOutcome::Replaced };
        if adapter.system() != waiting.system() {
            // The turn is for another system.
            return AuditOutcome::Replaced;
        }
        let state = self.published.state(source);
        let taken_up = self.published.taken_up(source).is_some_and(|known| Arc::ptr_eq(&known, &plans));
        let due = match due {
            Due::Schedules(schedules) if !taken_up => Due::Schedules(due_under(schedules, plan, &state)),
            due => due.clone(),
        };
        // Nothing else records polls of this source meanwhile, so what is settled now is so when the snapshot comes.
        let known = settled(plan, &state, &due);
        drop(state);
        let attempt = tokio::select! {
            attempt = self.fetch(source, &*adapter, known, now) => attempt,
            () = self.stop.cancelled() => return AuditOutcome::Stopped,
        };
        drop(turn);
        if let Err(error) = &attempt.fetched
            && error.failure == Failure::OwnLimit
        {
            self.metrics.not_asked(source, error.failure);
            let reason = error.reason.clone();
            tracing::error!(%source, reason, "cannot poll a source; will retry soon");
            return AuditOutcome::NotAsked { reason };
        }
        let occasion = Occasion { plans, known, due, now };
        let judged = traced!("reconcile", { source = source }, self.judge(source, attempt, occasion));
        let (recorded, failed) = match judged {
            Ok(JudgedPoll { delta, poll, failed }) => {
                let recorded = traced!("record", { source = source }, self.record(source, delta, now));
                // Freeing a large snapshot takes milliseconds, which this task does not wait for.
                drop(tokio::task::spawn_blocking(move || drop(poll)));
                (recorded, failed)
            }
            Err(e) => (Err(e), None),
        };
        match (recorded, failed) {
            (Err(error), _) => {
                self.not_recorded(source, &error);
                AuditOutcome::NotRecorded { error: describe(&error) }
            }
            (Ok(_), Some(error)) => {
                self.metrics.audit(source, false);
                let failure = error.failure.label();
                tracing::warn!(%source, failure, reason = error.for_log(), "failed to read source");
                if error.quoted.is_some() {
                    tracing::debug!(%source, reason = %error, "failed to read source");
                }
                AuditOutcome::Unreachable { reason: error.to_string() }
            }
            (Ok(counts), None) => {
                self.metrics.audit(source, true);
                tracing::debug!(%source, ?counts, "audited");
                counts
            }
        }
    }

    /// Takes up the plans as they are now for everything that is known: at start. The end of sessions whose source has none is
    /// announced to `operators`, because nothing says any more who its recipients were.
    pub async fn take_up_plans(&self, operators: &[(Address, Role)]) -> Result<(), RecordError> {
        let names = self.published.read(|present| present.states.keys().cloned().collect::<Vec<_>>());
        for source in names {
            self.take_up(&source, operators).await?;
        }
        Ok(())
    }

    /// Ends incidents of sessions of `source`, or of the whole source, that the configuration no longer audits, and has
    /// everything else judged by the present plan. False if there is no plan any more.
    pub(super) async fn take_up_plan(&self, source: &Name) -> Result<bool, RecordError> {
        self.take_up(source, &[]).await
    }

    async fn take_up(&self, source: &Name, operators: &[(Address, Role)]) -> Result<bool, RecordError> {
        let now = self.clock.now();
        let plans = self.published.plans();
        let plan = plans.get(source);
        let mut delta = take_up(plan, &self.published.state(source), now);
        let before = self.published.taken_up(source);
        let before = before.as_ref().and_then(|plans| plans.get(source));
        for announcement in &mut delta.announcements {
            if let Announcement::Removed(removed) = announcement {
                let known = before.map(|plan| recipients::of_removed(plan, &removed.session));
                removed.recipients = known.unwrap_or_else(|| operators.to_vec());
            }
        }
        if !delta.retired.is_empty() || !delta.sessions.is_empty() || delta.all_incidents().next().is_some() {
            self.record(source, delta, now).await?;
        }
        let goes_on = plan.is_some();
        if !goes_on {
            // No later audit records this source, so it must not count as unrecorded for ever.
            self.published.write(|present| present.unrecorded.remove(source));
        }
        self.published.plan_changed(source, plans);
        Ok(goes_on)
    }

    /// Logs and counts a commit that failed.
    pub(super) fn not_recorded(&self, source: &Name, error: &RecordError) {
        self.published.write(|present| present.unrecorded.insert(source.clone()));
        self.metrics.store_error(error.operation());
        let error = describe(error);
        tracing::error!(%source, %error, "failed to record audit; will repeat it");
    }

    async fn fetch(&self, source: &Name, adapter: &dyn Source, known: Option<Digest>, now: DateTime<Utc>) -> Attempt {
        traced!("poll", { source = source }, self.attempt(adapter, known, now))
    }

    async fn attempt(&self, adapter: &dyn Source, known: Option<Digest>, now: DateTime<Utc>) -> Attempt {
        let started = Instant::now();
        let fetched = adapter.fetch_unless(now, known).await;
        let took = started.elapsed();
        if fetched.as_ref().err().is_none_or(|e| e.asked) {
            self.metrics.phase(AuditPhase::Fetch, took);
        }
        Attempt { fetched, took }
    }

    /// Divides what was fetched into sessions and reconciles, on a thread that may block.
    async fn judge(&self, source: &Name, attempt: Attempt, occasion: Occasion) -> Result<JudgedPoll, RecordError> {
        let (published, metrics, source) = (Arc::clone(&self.published), Arc::clone(&self.metrics), source.clone());
        let work = move || {
            let Occasion { plans, known, due, now } = occasion;
            let plan = plans.get(&source).ok_or(RecordError::Interrupted)?;
            let poll = attempt.fetched.and_then(|fetched| understand(fetched, known, plan, now));
            let error = poll.as_ref().err();
            if error.is_none_or(|e| e.asked) {
                metrics.request(&source, error.map(|e| e.failure), attempt.took);
            }
            let failed = error.cloned();
            let poll = poll.unwrap_or_else(|e| match e.again {
                Some(_) => PollOutcome::Cooldown(e.to_string()),
                None => PollOutcome::Unreachable(e.to_string()),
            });
            let started = Instant::now();
            // The state is released before the delta is applied, so that it is changed in place.
            let delta = reconcile(plan, &published.state(&source), &poll, &due, now);
            metrics.phase(AuditPhase::Evaluate, started.elapsed());
            Ok(JudgedPoll { delta, poll, failed })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RecordError::Interrupted)?
    }

    async fn record(&self, source: &Name, delta: Delta, now: DateTime<Utc>) -> Result<AuditOutcome, RecordError> {
        let started = Instant::now();
        let recorded = self.store.record(source, &delta, now).await;
        self.metrics.phase(AuditPhase::Record, started.elapsed());
        recorded?;
        self.published.write(|present| present.unrecorded.remove(source));
        let events = &delta.events;
        let opened = events.iter().filter_map(|event| event.what.opened()).collect::<Vec<_>>();
        let ended = events.iter().filter_map(|event| event.what.ended()).collect::<Vec<_>>();
        for (kind, severity) in &opened {
            self.metrics.incident_opened(*kind, *severity);
        }
        for (kind, severity) in &ended {
            self.metrics.incident_resolved(*kind, *severity);
        }
        for event in events {
            journal::note(source, event);
        }
        let counts = AuditOutcome::Polled { opened: opened.len(), ended: ended.len() };
        self.alerting.note(&delta);
        self.published.apply(source, delta);
        Ok(counts)
    }
}

/// One attempt to read a source.
pub(super) struct Attempt {
    pub(super) fetched: Result<Fetched, FetchError>,
    took: Duration,
}

/// The circumstances in which an attempt is judged.
struct Occasion {
    /// The plans when the poll began.
    plans: Arc<Plans>,
    /// The snapshot that need not be read again.
    known: Option<Digest>,
    due: Due,
    now: DateTime<Utc>,
}

/// What is to be recorded, the poll that it came from, and why that could not see.
pub(super) struct JudgedPoll {
    delta: Delta,
    poll: PollOutcome,
    failed: Option<FetchError>,
}

/// Divides the fetched answer into sessions, unless it is `known`.
fn understand(
    fetched: Fetched,
    known: Option<Digest>,
    plan: &SourcePlan,
    now: DateTime<Utc>,
) -> Result<PollOutcome, FetchError> {
    let raw = match (fetched.raw, known) {
        (None, Some(known)) => return Ok(PollOutcome::Unchanged(known)),
        (raw, _) => raw.unwrap_or_default(),
    };
    let failure = if raw.rows.is_empty() { Failure::Empty } else { Failure::Malformed };
    let snapshot = Snapshot::take(raw, &plan.mapping, now);
    let mut snapshot = snapshot.map_err(|e| FetchError::of_rows(failure, &e))?;
    snapshot.digest = fetched.digest;
    Ok(PollOutcome::Snapshot(snapshot))
}

/// An error with its causes, on one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
