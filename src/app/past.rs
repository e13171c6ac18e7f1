//! The history that pages show, read from the store.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::event::Event;
use crate::domain::session::SessionKey;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::web::History;

/// See the module.
pub(super) struct StoredHistory {
    pub store: Arc<Store>,
    pub metrics: Arc<Metrics>,
}

impl History for StoredHistory {
    fn recent<'a>(&'a self, key: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Event>, String>> {
        Box::pin(async move {
            let events = self.store.events(Some(&key.source), Some(&key.id), None, limit).await;
            let events = events.inspect_err(|e| self.metrics.store_error(e.operation));
            events.map(|events| events.into_iter().map(|(_, event)| event).collect()).map_err(|e| e.to_string())
        })
    }
}
