//! The port to a source: one attempt to read all its sessions, and the classified failure.

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::future::BoxFuture;

use crate::domain::observation::{Digest, RawSnapshot};
use crate::domain::reading::time;
use crate::domain::snapshot::SnapshotError;

mod cooldown;
pub mod http;
pub mod json;
mod limits;
mod quoted;
mod shortage;

pub mod file;
pub mod orderwise;

pub use quoted::Quoted;

/// A system that sessions are read from. An adapter makes one attempt and classifies the failure; it never retries
/// (but for one new token after a 401) and never decides what a failure means.
pub trait Source: Send + Sync {
    /// The system behind the source, if sources can share one. The engine polls one source of a system at a time.
    fn system(&self) -> Option<&str> {
        None
    }

    /// One attempt. `now` is for ages and cooldowns, never for time-outs.
    fn fetch(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>>;

    /// The time of the system's clock, from the answer to a request without a sign-in; `None` if it gives none.
    fn time(&self) -> BoxFuture<'_, Option<DateTime<Utc>>> {
        Box::pin(std::future::ready(None))
    }

    /// The end of the certificate that its server presented last.
    fn certificate_end(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// As [`Source::fetch`], but skips parsing a response whose digest is `known`. A source without digests always parses.
    fn fetch_unless(&self, now: DateTime<Utc>, known: Option<Digest>) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let _ = known;
        Box::pin(async move { Ok(Fetched { raw: Some(self.fetch(now).await?), digest: None }) })
    }
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `None` if the response has the known digest.
    pub raw: Option<RawSnapshot>,
    pub digest: Option<Digest>,
}

impl Fetched {
    /// Parses a response with `read`, unless its digest is `known`.
    pub fn of(
        body: &[u8],
        known: Option<Digest>,
        read: impl FnOnce(&[u8]) -> Result<RawSnapshot, FetchError>,
    ) -> Result<Self, FetchError> {
        let digest = Digest(blake3::hash(body).into());
        let raw = if known == Some(digest) { None } else { Some(read(body)?) };
        Ok(Self { raw, digest: Some(digest) })
    }
}

/// Why a source could not be read. `Display` joins all of it, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FetchError {
    pub failure: Failure,
    /// For people, without text from outside.
    pub reason: String,
    /// The text of the source.
    pub quoted: Option<Quoted>,
    /// False if no request was made: because of a cooldown, or a shortage on this machine ([`Failure::OwnLimit`]).
    pub asked: bool,
    /// The end of the cooldown, for an error that repeats an earlier failure without a request.
    pub again: Option<DateTime<Utc>>,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if let Some(quoted) = &self.quoted {
            write!(f, ": {quoted}")?;
        }
        match self.again {
            Some(again) => write!(f, "; next attempt not before {}", time::utc(again.round_subsecs(0))),
            None => Ok(()),
        }
    }
}

impl FetchError {
    pub fn new(failure: Failure, reason: impl Into<String>) -> Self {
        Self { failure, reason: reason.into(), quoted: None, asked: true, again: None }
    }

    /// Adds the text of the source, if there is any.
    #[must_use]
    pub fn quoting(self, quoted: Option<Quoted>) -> Self {
        Self { quoted, ..self }
    }

    /// For rows that cannot be divided into sessions.
    pub fn of_rows(failure: Failure, error: &SnapshotError) -> Self {
        let (reason, columns) = error.parts();
        Self::new(failure, reason).quoting(columns.map(Quoted::columns))
    }

    /// Without outside text: logs reach more people than mail, and a source may repeat addresses.
    pub fn for_log(&self) -> String {
        Self { quoted: None, ..self.clone() }.to_string()
    }
}

/// The kinds of failure, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    Auth,
    Forbidden,
    NotFound,
    RateLimited,
    /// Any other response that is not a success: another 4xx, a redirect, a file that is too old.
    Refused,
    ServerError,
    Timeout,
    Connect,
    Tls,
    Malformed,
    TooLarge,
    /// The response has no session.
    Empty,
    /// This machine lacks descriptors or memory, so there was no request and the source did not fail.
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
