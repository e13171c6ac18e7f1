//! One cycle of alerting: derives the notifications that are due, composes them, and records them.
//!
//! It runs after commits that changed an incident, after an address began to refuse mail or accepts it again, and at its own next
//! wake-up. Its working set is in memory: loaded from the store at start, then updated by the commits of audits. The log and the
//! outbox are committed together, and the working set takes in the change only after that, so a process killed at any point
//! derives the same notifications again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::bells::Bells;
use super::published::Published;
use crate::domain::alerting::{Evaluation, WorkingSet, evaluate};
use crate::domain::announcement::Announcement;
use crate::domain::delivery::UndeliverableAddress;
use crate::domain::name::{Name, NameError, Rename};
use crate::domain::notification::Notification;
use crate::domain::state::Delta;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::store::{Operation, Outgoing, Store, StoreError};

/// Time from a commit that failed to the next cycle.
const RETRY: TimeDelta = TimeDelta::seconds(5);

/// Alerts over one channel.
pub struct Alerting {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    deriving: Arc<Deriving>,
    /// Cycles run one at a time, because each starts from the commit of the last.
    one: tokio::sync::Mutex<()>,
    bells: Bells,
    /// Addresses that refuse mail and about which no recipient could be notified: each is logged once.
    unheard: Mutex<BTreeSet<Uuid>>,
}

/// The parts that alerting works with.
pub struct AlertingParts {
    pub published: Arc<Published>,
    pub store: Arc<Store>,
    pub channel: Arc<dyn Channel>,
    pub metrics: Arc<Metrics>,
    pub bells: Bells,
}

/// The input of a cycle, and the channel that composes. It may outlive a cycle that was cancelled, so it does not hold the store.
struct Deriving {
    published: Arc<Published>,
    channel: Arc<dyn Channel>,
    /// The name of the channel.
    name: Name,
    known: Mutex<WorkingSet>,
}

/// The result of one cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertingOutcome {
    /// The number of notifications that were recorded.
    Recorded { notifications: usize, next: Option<DateTime<Utc>> },
    /// The commit failed, so nothing changed.
    NotRecorded { error: String, next: DateTime<Utc> },
}

impl AlertingOutcome {
    /// When the next cycle is due if nothing changes before.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Recorded { next, .. } => *next,
            Self::NotRecorded { next, .. } => Some(*next),
        }
    }

    /// How many notifications were recorded.
    pub fn notifications(&self) -> usize {
        match self {
            Self::Recorded { notifications, .. } => *notifications,
            Self::NotRecorded { .. } => 0,
        }
    }
}

/// Why alerting cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Channel(#[from] NameError),
}

impl Alerting {
    /// Loads the working set from the store.
    pub async fn load(parts: AlertingParts) -> Result<Self, StartError> {
        let AlertingParts { published, store, channel, metrics, bells } = parts;
        let known = Mutex::new(WorkingSet::new(store.load_alerting().await?));
        let name = Name::parse(channel.label())?;
        let deriving = Arc::new(Deriving { published, channel, name, known });
        Ok(Self { store, metrics, deriving, one: tokio::sync::Mutex::default(), bells, unheard: Mutex::default() })
    }

    /// Applies the committed delta of an audit.
    pub fn note(&self, delta: &Delta) {
        if self.deriving.known().note(delta) {
            self.bells.changed.notify_one();
        }
    }

    /// Records an announcement that no audit made, and wakes alerting.
    pub async fn announce(&self, announcement: Announcement) {
        // If the store fails, the working set still has it: it is lost only if the process ends before the store works again.
        self.record(&announcement).await;
        self.take(announcement);
    }

    /// Records an announcement that is found again as long as it holds, and wakes alerting if it is new. False if the store
    /// failed: the caller must try again.
    pub async fn announce_once(&self, announcement: Announcement) -> bool {
        let new = self.record(&announcement).await;
        if new == Some(true) {
            self.take(announcement);
        }
        new.is_some()
    }

    /// Whether the announcement is new to the store; `None` if the store failed.
    async fn record(&self, announcement: &Announcement) -> Option<bool> {
        let recorded = self.store.announce(announcement).await.inspect_err(|error| {
            self.metrics.store_error(error.operation);
            tracing::error!(error = %super::audit::describe(error), "failed to record an announcement");
        });
        recorded.ok()
    }

    fn take(&self, announcement: Announcement) {
        self.deriving.known().announce(announcement);
        self.bells.changed.notify_one();
    }

    /// Waits for the cycle under way, and starts no other while the guard lives.
    pub(crate) async fn pause(&self) -> Paused<'_> {
        Paused { alerting: self, _one: self.one.lock().await }
    }

    /// Starts the next cycle now: a reload may have changed the recipients.
    pub fn wake(&self) {
        self.bells.changed.notify_one();
    }

    /// Waits until a notification may have become due.
    pub async fn changed(&self) {
        self.bells.changed.notified().await;
    }

    /// Derives the notifications that are due at `now`, and records them.
    pub async fn run(&self, now: DateTime<Utc>) -> AlertingOutcome {
        let _one = self.one.lock().await;
        let deriving = Arc::clone(&self.deriving);
        match self.store.undeliverable(deriving.name.as_str()).await {
            Ok(addresses) => deriving.known().set_undeliverable(addresses),
            Err(error) => return self.failed(error.operation, super::audit::describe(&error), now),
        }
        // On a blocking thread: composing thousands of mails takes seconds.
        let derived = tokio::task::spawn_blocking(move || deriving.derive(now)).await;
        let (evaluation, outgoing) = match derived {
            Ok(derived) => derived,
            Err(error) => return self.failed(Operation::Notify, error.to_string(), now),
        };
        let next = evaluation.next;
        self.log_unheard(&evaluation.addresses_unheard);
        if evaluation.is_empty() {
            return AlertingOutcome::Recorded { notifications: 0, next };
        }
        if let Err(error) = self.store.notify(&evaluation, &outgoing, now).await {
            return self.failed(error.operation, super::audit::describe(&error), now);
        }
        self.deriving.known().apply(&evaluation);
        for suppression in &evaluation.suppressions {
            self.metrics.suppressed(suppression.reason);
            let reason = suppression.reason.label();
            tracing::debug!(incident = %suppression.incident, reason, "held back a notification");
        }
        for notification in &evaluation.notifications {
            let (id, kind, sessions) = (notification.id, notification.kind, notification.sessions().len());
            tracing::info!(notification = %id, %kind, channel = %notification.channel, sessions, "recorded a notification");
        }
        if !outgoing.is_empty() {
            self.bells.recorded.notify_one();
        }
        AlertingOutcome::Recorded { notifications: outgoing.len(), next }
    }

    /// Logs each address that refuses mail and about which no recipient can be notified.
    fn log_unheard(&self, addresses: &[Arc<UndeliverableAddress>]) {
        let mut logged = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|id| addresses.iter().any(|address| address.id == *id));
        for found in addresses.iter().filter(|found| logged.insert(found.id)) {
            let (id, lost) = (found.id, found.lost.count);
            tracing::error!(%id, lost, "an address refuses mail and no other address can be notified; driftwise status names it");
            tracing::debug!(%id, address = %found.address, "this address refuses mail");
        }
    }

    fn failed(&self, operation: Operation, error: String, now: DateTime<Utc>) -> AlertingOutcome {
        self.metrics.store_error(operation);
        tracing::error!(%error, "failed to record notifications; will derive them again");
        AlertingOutcome::NotRecorded { error, next: now + RETRY }
    }
}

/// See [`Alerting::pause`].
pub(crate) struct Paused<'a> {
    alerting: &'a Alerting,
    _one: tokio::sync::MutexGuard<'a, ()>,
}

impl Paused<'_> {
    /// Moves the working set of a source to its new name.
    pub fn rename(&self, rename: &Rename) {
        self.alerting.deriving.known().rename(rename);
    }
}

impl Deriving {
    fn derive(&self, now: DateTime<Utc>) -> (Evaluation, Vec<Outgoing>) {
        let mut evaluation = evaluate(&self.published.plans(), &self.name, &mut self.known(), now);
        evaluation.name_sessions(|session| self.published.state(&session.source).name_of(&session.id));
        let outgoing = evaluation.notifications.iter().map(|n| self.compose(n)).collect::<Vec<_>>();
        let subjects = outgoing.iter().map(|o| (o.notification, o.subject.clone())).collect::<BTreeMap<_, _>>();
        evaluation.entitle(&subjects);
        (evaluation, outgoing)
    }

    fn compose(&self, notification: &Notification) -> Outgoing {
        let composed = self.channel.compose(notification);
        Outgoing {
            notification: notification.id,
            message_id: composed.message_id,
            channel: notification.channel.clone(),
            kind: notification.kind,
            severity: notification.severity(),
            to: notification.to.clone(),
            subject: composed.subject,
            sessions: notification.sessions().iter().map(ToString::to_string).collect(),
            follows_up: notification.is_follow_up().then(|| notification.incidents().map(|i| i.id).collect()),
            reason: notification.reason.clone(),
            resend_of: None,
            raw: composed.raw,
            recorded_at: notification.at,
        }
    }

    fn known(&self) -> MutexGuard<'_, WorkingSet> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
