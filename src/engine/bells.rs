//! How alerting and the dispatcher of a channel wake each other.

use std::sync::Arc;

use tokio::sync::Notify;

/// Each remembers one ring, so a ring while no task waits is not lost.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// Wakes alerting: an audit, a reload or an attempt changed what may be due.
    pub changed: Arc<Notify>,
    /// Wakes the dispatcher: notifications were recorded.
    pub recorded: Arc<Notify>,
}
