//! The history that pages show, read from the store.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::event::Event;
use crate::domain::notification::Reason;
use crate::domain::session::SessionKey;
use crate::metrics::Metrics;
use crate::store::{NotificationFilter, NotificationState, Store, StoredNotification, StoredSuppression};
use crate::web::{Delivery, History, Notified, Suppressed};

/// See the module.
pub(super) struct StoredHistory {
    pub store: Arc<Store>,
    pub metrics: Arc<Metrics>,
}

impl History for StoredHistory {
    fn events<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Event>, String>> {
        Box::pin(async move {
            let events = self.store.events(Some(&key.source), Some(&key.id), None, limit).await;
            let events = events.inspect_err(|e| self.metrics.store_error(e.operation));
            events.map(|events| events.into_iter().map(|(_, event)| event).collect()).map_err(|e| e.to_string())
        })
    }
    fn notifications<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Notified>, String>> {
        Box::pin(async move {
            let filter = NotificationFilter { session: Some(key.to_string()), ..NotificationFilter::default() };
            let stored = self.store.notifications_with_reasons(&filter, limit).await;
            let stored = stored.inspect_err(|e| self.metrics.store_error(e.operation)).map_err(|e| e.to_string())?;
            Ok(stored.into_iter().map(notified).collect())
        })
    }
    fn suppressions<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Suppressed>, String>> {
        Box::pin(async move {
            let stored = self.store.suppressions(Some(key), None, limit).await;
            let stored = stored.inspect_err(|e| self.metrics.store_error(e.operation)).map_err(|e| e.to_string())?;
            let held = |StoredSuppression { at, key, reason, .. }| Suppressed { at, key, reason };
            Ok(stored.into_iter().map(held).collect())
        })
    }
}

fn notified((stored, reason): (StoredNotification, Reason)) -> Notified {
    Notified {
        at: stored.finished_at.unwrap_or(stored.recorded_at),
        to: stored.to.to_string(),
        number: stored.id,
        sessions: stored.sessions.len(),
        subject: stored.subject,
        reason,
        delivery: match stored.state {
            NotificationState::Pending => Delivery::Waiting,
            NotificationState::Retrying => Delivery::Retrying,
            NotificationState::Sent => Delivery::Sent,
            NotificationState::Dead => Delivery::Dead,
            NotificationState::Superseded => Delivery::Superseded,
        },
    }
}
