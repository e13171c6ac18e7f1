//! The port to people: a notification put into a channel's form, and one attempt to send it.

pub mod email;
pub mod render;
#[cfg(test)]
pub(crate) mod sample;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::address::Address;
use crate::domain::notification::Notification;

/// A way to reach people. An adapter makes one attempt and classifies the failure; the engine retries.
pub trait Channel: Send + Sync {
    /// The metric label, such as `email`.
    fn label(&self) -> &'static str;

    /// The notification as it will be sent, byte for byte: pure, so that a repeat is the same message.
    fn compose(&self, notification: &Notification) -> Composed;

    /// One attempt, bounded in time.
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>>;
}

/// A notification in the form of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// With angle brackets.
    pub message_id: String,
    pub subject: String,
    pub raw: Vec<u8>,
}

/// A composed message on its way to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    pub message_id: String,
    pub to: Address,
    pub raw: Vec<u8>,
}

/// Why an attempt to send failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    pub obstacle: Obstacle,
    /// No use trying again: only a 5xx to RCPT or DATA.
    pub permanent: bool,
    /// The code of a server's reply, if there was one.
    pub reply: Option<u16>,
    /// In words, without secrets and with outside text quoted and cut. This is for the store and whoever asks it.
    pub reason: String,
    /// Nothing in the reason was said by a server, which likes to repeat the recipient.
    pub own_words: bool,
    /// The server asked not to be tried before.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// The reason, where a log may hold it.
    pub fn for_log(&self) -> Option<&str> {
        self.own_words.then_some(&self.reason)
    }
}

/// What stood in the way, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    Connect,
    Tls,
    Auth,
    /// Refused for good.
    Rejected,
    /// Refused for now.
    Deferred,
    Timeout,
}

impl Obstacle {
    pub const ALL: [Self; 6] = [Self::Connect, Self::Tls, Self::Auth, Self::Rejected, Self::Deferred, Self::Timeout];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Timeout => "timeout",
        }
    }
}
