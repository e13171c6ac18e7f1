//! The gate before a server that asked to wait: it stays closed for every request until the wait is over, also over a reload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::transient;
use crate::domain::backoff::DELIVERY_LONGEST_ASKED;
use crate::notify::{Obstacle, SendError};

/// The gates of all servers that a configuration has named, by their URLs. A copy has the same gates.
#[derive(Debug, Clone, Default)]
pub struct Gates(BTreeMap<String, Arc<Gate>>);

impl Gates {
    pub(super) fn of(&mut self, url: &str) -> Arc<Gate> {
        Arc::clone(self.0.entry(url.to_owned()).or_default())
    }
}

/// See the module. Open at first.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Option<Instant>>);

impl Gate {
    /// Closes the gate for `wait`, at most for [`DELIVERY_LONGEST_ASKED`].
    pub fn close(&self, wait: Duration) {
        let until = Instant::now() + wait.min(DELIVERY_LONGEST_ASKED);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// # Errors
    /// While the gate is closed, a transient error with the rest of the wait. `server` is the name of the server in the error.
    pub fn pass(&self, server: &str) -> Result<(), SendError> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let Some(wait) = left.filter(|left| !left.is_zero()) else { return Ok(()) };
        let reason = format!("{server} asked Driftwise to wait; {} s left", wait.as_secs());
        Err(SendError { retry_after: Some(wait), ..transient(Obstacle::Deferred, reason) })
    }
}
