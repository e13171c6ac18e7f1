//! OAuth 2.0 access tokens for mail: fetched with the client credentials of an app (Microsoft) or the assertion of a service
//! account (Google), and kept in memory until shortly before their end.
//!
//! One request is under way at a time; sends that wait for it share its outcome, also its failure. All failures are transient: a
//! token endpoint that is down, slow, lying or endless says nothing about a mail. One that asks to wait (`Retry-After`) receives
//! no request before that time, for any recipient. A token carries a redactor, which removes it, and the credential that it was
//! fetched with, from everything that a server sends afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::sync::Mutex;

use super::advice::advised;
use super::exchange::{Answer, Endpoint, Request};
use super::gate::{Gate, Gates};
use super::refusal::{redacted, transient};
use super::{BuildError, TokenOptions};
use crate::clock::Clock;
use crate::notify::{Obstacle, SendError};
use crate::secret::{KnownSecret, Redactor};

mod assertion;
mod grant;

/// Longest token, in bytes: in base64 it must fit into one AUTH command of 12,288 bytes (RFC 4954, 4).
const LONGEST: usize = 8 * 1024;

/// A token is replaced this long before its end, or after three quarters of its life if that is later.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// Longest life of a token, whatever its answer states. Microsoft and Google issue tokens for an hour.
const LONGEST_LIFE: TimeDelta = TimeDelta::hours(24);

/// The life of a token whose answer states none.
const UNSTATED_LIFE: TimeDelta = TimeDelta::minutes(10);

/// The tokens of one account.
pub(super) struct Tokens {
    endpoint: Endpoint,
    options: TokenOptions,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The last failure, and when it was known.
    failed: Option<(Instant, SendError)>,
}

/// An access token.
#[derive(Clone)]
pub(super) struct Token {
    pub value: SecretString,
    /// Removes the token and the credential from the replies of servers.
    pub redactor: Arc<Redactor>,
    /// When it is to be replaced.
    stale: DateTime<Utc>,
    /// The same by the monotonic clock, because the wall clock may be set back.
    life: Duration,
    since: Instant,
}

/// A token, and whether it was fetched for an earlier send.
pub(super) struct Provided {
    pub token: Token,
    pub cached: bool,
}

impl Tokens {
    pub fn new(options: TokenOptions, gates: &mut Gates, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let endpoint = Endpoint::new("the token endpoint", &options.url, &options.access)?;
        let gate = gates.of(&options.url);
        Ok(Self { endpoint, options, clock, gate, state: Mutex::default() })
    }

    /// The token in use, or a new one.
    pub async fn token(&self) -> Result<Provided, SendError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(token) = state.token.clone().filter(|token| token.is_fresh(now)) {
            return Ok(Provided { token, cached: true });
        }
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        self.gate.pass(&self.endpoint.name)?;
        let fetched = self.fetch().await;
        if let Some(wait) = fetched.as_ref().err().and_then(|error| error.retry_after) {
            self.gate.close(wait);
        }
        state.failed = fetched.as_ref().err().map(|error| (Instant::now(), error.clone()));
        state.token = fetched.as_ref().ok().cloned();
        fetched.map(|token| Provided { token, cached: false })
    }

    /// Drops `token`, which a server refused: the next send fetches another.
    pub async fn refused(&self, token: &Token) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|kept| kept.value.expose_secret() == token.value.expose_secret()) {
            state.token = None;
        }
    }

    /// The name of the token endpoint in messages.
    pub fn endpoint(&self) -> &str {
        &self.endpoint.name
    }

    /// The end of the certificate that the token endpoint presented last.
    pub fn certificate_end(&self) -> Option<DateTime<Utc>> {
        self.endpoint.presented.end()
    }

    async fn fetch(&self) -> Result<Token, SendError> {
        let request = grant::request(&self.options, self.clock.now())?;
        let known = self.endpoint.proxy.iter().chain(&request.known).cloned().collect::<Vec<_>>();
        let redactor = Redactor::new(&known);
        let request = Request {
            content_type: "application/x-www-form-urlencoded",
            bearer: None,
            body: request.form.expose_secret().to_owned(),
            clock: &*self.clock,
            redactor: &redactor,
        };
        let answer = self.endpoint.post(request).await?;
        if answer.status != reqwest::StatusCode::OK {
            return Err(self.refusal(&answer, &redactor));
        }
        self.parse(&answer.body, known).map_err(|what| {
            let reason = format!("{} answered with {what}: check token_url", self.endpoint.name);
            transient(Obstacle::Auth, reason)
        })
    }

    fn parse(&self, body: &[u8], mut known: Vec<KnownSecret>) -> Result<Token, &'static str> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            token_type: Option<String>,
            expires_in: Option<Json>,
        }
        let issued = serde_json::from_slice::<Issued>(body).map_err(|_| "something other than a token")?;
        let text = issued.access_token;
        if issued.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err("a token of a type other than Bearer");
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("text that cannot be a token");
        }
        if text.len() > LONGEST {
            return Err("a token longer than 8 KiB");
        }
        let stated = issued.expires_in.and_then(|life| life.as_i64().or_else(|| life.as_str()?.parse().ok()));
        let life = stated.map_or(UNSTATED_LIFE, |s| TimeDelta::seconds(s.clamp(0, LONGEST_LIFE.num_seconds())));
        let kept = (life - MARGIN).max(life * 3 / 4);
        known.push(KnownSecret::token(text.clone()));
        Ok(Token {
            value: text.into(),
            redactor: Arc::new(Redactor::new(&known)),
            stale: self.clock.now() + kept,
            life: kept.to_std().unwrap_or_default(),
            since: Instant::now(),
        })
    }

    /// The error for an answer without a token (RFC 6749, 5.2). Its description has the code that Microsoft explains.
    fn refusal(&self, answer: &Answer, redactor: &Redactor) -> SendError {
        let (name, status) = (&self.endpoint.name, answer.status.as_u16());
        let object = serde_json::from_slice::<Map<String, Json>>(&answer.body).unwrap_or_default();
        let text = |key: &str| object.get(key).and_then(Json::as_str);
        let obstacle = match status {
            408 | 429 | 500.. => Obstacle::Deferred,
            _ => Obstacle::Auth,
        };
        let said = [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let said = redacted(&said, redactor);
        let reason = match (answer.status.is_redirection(), said.as_str()) {
            (true, _) => format!("{name} answered {status}, a redirect, which is never followed: check token_url"),
            (false, "\"\"") => format!("{name} issued no token ({status})"),
            (false, said) => advised(format!("{name} issued no token ({status}): {said}")),
        };
        let wait = answer.retry_after.filter(|_| obstacle == Obstacle::Deferred);
        SendError { reply: Some(status), own_words: false, retry_after: wait, ..transient(obstacle, reason) }
    }
}

impl Token {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now < self.stale && self.since.elapsed() < self.life
    }

    /// How long the token will still be used.
    pub fn remaining(&self, now: DateTime<Utc>) -> TimeDelta {
        (self.stale - now).max(TimeDelta::zero())
    }

    /// The application roles in the token, if it is a JWT with roles. For advice only: the server judges the token.
    pub fn roles(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Claims {
            aud: String,
            #[serde(default)]
            roles: Vec<String>,
        }
        let claims = self.value.expose_secret().split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims = serde_json::from_slice::<Claims>(&claims).ok()?;
        (!claims.aud.is_empty()).then_some(claims.roles)
    }
}

#[cfg(test)]
mod tests;
