//! The port to recipients: composes a notification in the form of a channel, and makes one attempt to send it.

pub mod email;
pub mod render;
pub mod sample;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::domain::address::Address;
use crate::domain::notification::Notification;

/// A channel to recipients. An adapter makes one attempt and classifies the failure; the engine retries.
pub trait Channel: Send + Sync {
    /// The metric label, such as `email`.
    fn label(&self) -> &'static str;

    /// The notification as it will be sent, byte for byte: pure, so that a repeat is the same message.
    fn compose(&self, notification: &Notification) -> Composed;

    /// The same message under another Message-ID, derived from the id of its new notification: for a resend.
    fn reissue(&self, raw: &[u8], notification: Uuid) -> Reissued;

    /// One attempt, bounded in time.
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>>;

    /// The ends of the certificates that its servers presented last, each with the key of the configuration that names the
    /// server.
    fn certificate_ends(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        Vec::new()
    }
}

/// A notification in the form of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// With angle brackets.
    pub message_id: String,
    pub subject: String,
    pub raw: Vec<u8>,
}

/// A message that was recorded before, under a new Message-ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reissued {
    pub message_id: String,
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
    /// Retrying is useless: only a 5xx to RCPT or DATA.
    pub permanent: bool,
    /// The code of a server's reply, if there was one.
    pub reply: Option<u16>,
    /// In words, without secrets, with outside text quoted and cut. For the store, and for commands and pages that read it.
    pub reason: String,
    /// The reason holds no words of a server, which often repeats the recipient.
    pub own_words: bool,
    /// The wait that the server asked for before the next attempt.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// The reason, if a log may have it.
    pub fn for_log(&self) -> Option<&str> {
        self.own_words.then_some(&self.reason)
    }
}

/// The stage or kind of a failure, for metrics.
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
