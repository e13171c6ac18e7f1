//! A value that a reload replaces as a whole while others read it.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::domain::notification::Notification;
use crate::notify::{Channel, Composed, Outbound, Reissued, SendError};

/// Readers get the present value and keep it for as long as they work with it, so work under way finishes under the value that it
/// began with.
#[derive(Debug)]
pub struct Current<T: ?Sized>(RwLock<Arc<T>>);

impl<T: ?Sized> Current<T> {
    pub fn new(value: Arc<T>) -> Self {
        Self(RwLock::new(value))
    }

    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, value: Arc<T>) {
        self.replace_with(value, || {});
    }

    /// Also calls `also`, which replaces something that belongs to the value: a reader that uses [`Current::get_with`] gets both
    /// from before or both from after.
    pub fn replace_with(&self, value: Arc<T>, also: impl FnOnce()) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        also();
        *current = value;
    }

    /// The value, with the result of `read`, which reads something that is replaced with it.
    pub fn get_with<R>(&self, read: impl FnOnce() -> R) -> (Arc<T>, R) {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&current), read())
    }
}

/// A channel that a reload replaces. A send under way ends over the connection that it began with.
pub struct CurrentChannel {
    label: &'static str,
    channel: Current<dyn Channel>,
}

impl CurrentChannel {
    pub fn new(channel: Arc<dyn Channel>) -> Self {
        Self { label: channel.label(), channel: Current::new(channel) }
    }

    /// `channel` must be of the same kind.
    pub fn replace(&self, channel: Arc<dyn Channel>) {
        self.channel.replace(channel);
    }
}

impl Channel for CurrentChannel {
    fn label(&self) -> &'static str {
        self.label
    }

    fn compose(&self, notification: &Notification) -> Composed {
        self.channel.get().compose(notification)
    }

    fn reissue(&self, raw: &[u8], notification: Uuid) -> Reissued {
        self.channel.get().reissue(raw, notification)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move { self.channel.get().send(outbound).await })
    }

    fn certificate_ends(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        self.channel.get().certificate_ends()
    }
}
