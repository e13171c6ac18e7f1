//! The port to what is audited: one attempt to read all sessions of a source, and why it failed.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use crate::domain::observation::{Answer, Digest};

mod hold;
pub mod http;
pub mod json;
mod room;
mod shortage;

pub mod file;
pub mod orderwise;

/// A system that sessions are read from. An adapter makes one attempt and classifies the failure; it never retries
/// (but for one new token after a 401) and never decides what a failure means.
pub trait Source: Send + Sync {
    /// The system behind the source, where sources can share one; engines ask one source of a system at a time.
    fn system(&self) -> Option<&str> {
        None
    }

    /// One attempt. `now` is for ages and for holding back after failures, never for time-outs.
    fn fetch(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<Answer, FetchError>>;

    /// As [`Source::fetch`], but an answer that is `known` need not be read again. A source that keeps no digests is always read.
    fn fetch_unless(&self, now: DateTime<Utc>, known: Option<Digest>) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let _ = known;
        Box::pin(async move { Ok(Fetched { answer: Some(self.fetch(now).await?), digest: None }) })
    }
}

/// What one attempt brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `None` where it is the one that was known.
    pub answer: Option<Answer>,
    pub digest: Option<Digest>,
}

impl Fetched {
    /// What a source sent: not looked into if its digest is `known`, else read by `read`.
    pub fn of(
        body: &[u8],
        known: Option<Digest>,
        read: impl FnOnce(&[u8]) -> Result<Answer, FetchError>,
    ) -> Result<Self, FetchError> {
        let digest = Digest(Sha256::digest(body).into());
        let answer = if known == Some(digest) { None } else { Some(read(body)?) };
        Ok(Self { answer, digest: Some(digest) })
    }
}

/// Why a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FetchError {
    pub failure: Failure,
    /// In words for people, without secrets and with outside text cut and between double quotes, which nothing else bears.
    pub reason: String,
    /// False where the source was not asked at all: it failed a moment ago, or this machine could not ask
    /// ([`Failure::OwnLimit`]).
    pub asked: bool,
}

impl FetchError {
    pub fn new(failure: Failure, reason: impl Into<String>) -> Self {
        Self { failure, reason: reason.into(), asked: true }
    }

    /// The reason without what came from outside: a server may repeat addresses or what it was sent.
    pub fn for_log(&self) -> Cow<'_, str> {
        match self.reason.split_once('"') {
            None => Cow::Borrowed(&self.reason),
            // Outside text may hold quotes of its own: whatever is between the first and the last is left out.
            Some((before, rest)) => {
                let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
                Cow::Owned(format!("{before}…{after}"))
            }
        }
    }
}

/// The kinds of failure, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    Auth,
    Forbidden,
    NotFound,
    RateLimited,
    /// Any other answer that is not a success: another 4xx, a redirect, a file that is too old.
    Refused,
    ServerError,
    Timeout,
    Connect,
    Tls,
    Malformed,
    TooLarge,
    /// It answered, without a single session.
    Empty,
    /// This machine lacks descriptors or memory. That says nothing of the source, which was not asked.
    OwnLimit,
}

impl Failure {
    pub const ALL: [Self; 13] = [
        Self::Auth,
        Self::Forbidden,
        Self::NotFound,
        Self::RateLimited,
        Self::Refused,
        Self::ServerError,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Malformed,
        Self::TooLarge,
        Self::Empty,
        Self::OwnLimit,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Empty => "empty",
            Self::OwnLimit => "own_limit",
        }
    }
}

#[cfg(test)]
mod tests;
