//! The adapter for OrderWise: gets a token for the credential, then the rows of one export definition.
//!
//! It protects the server: one request in flight, a time-out for the whole exchange, and a cooldown after a failure (see
//! `cooldown`). All sources of a system with the same credential share the cooldown after a refused sign-in. The only second
//! attempt is the one after a refused token, with a new token.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::cooldown::{Cooldown, FailedAttempt};
use super::{Failure, FetchError, Fetched, Source, http, json};
use crate::domain::observation::{Digest, RawSnapshot};
use crate::http::certificate::Presented;
use crate::http::{HttpProxy, base_url, below, date, excerpt, retry_after};
use crate::secret::Redactor;

mod secrets;
mod system;
mod token;

pub use crate::http::SetupError;
use secrets::Secrets;
use system::System;
pub use system::Systems;
pub use token::ApiCredential;
use token::{SignIn, Token};

/// One source of an OrderWise system, as configured.
#[derive(Debug, Clone)]
pub struct OrderWiseOptions {
    /// Such as `https://host/OWAPI`, with or without a slash at its end.
    pub base_url: String,
    pub credential: ApiCredential,
    pub export_definition: u64,
    /// Parameters of the export, in this order.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// For the whole exchange: token, export and body.
    pub timeout: Duration,
    /// Of the unpacked body, in bytes.
    pub max_body: u64,
    /// PEM; trusted besides the platform's roots.
    pub ca_file: Option<PathBuf>,
    /// For all hosts but this machine. `None`: no proxy, even if the environment names one.
    pub proxy: Option<HttpProxy>,
}

/// Reads the sessions of one OrderWise system.
pub struct OrderWise {
    client: Client,
    base_url: Url,
    token_url: Url,
    export_url: Url,
    /// The parameters of the export as JSON.
    body: String,
    credential: ApiCredential,
    timeout: Duration,
    max_body: u64,
    system: Arc<System>,
    cooldown: Arc<std::sync::Mutex<Cooldown>>,
    presented: Presented,
    /// Locked during an attempt, so that one request is in flight.
    state: Mutex<ApiState>,
}

#[derive(Debug, Default)]
struct ApiState {
    token: Option<Token>,
    /// Of the credential that signed in last.
    fingerprint: u64,
    secrets: Secrets,
}

/// A failure with the `Retry-After` of the server.
struct Failed {
    error: FetchError,
    retry_after: Option<Duration>,
    /// The user name or password was refused; more attempts may lock the account.
    at_sign_in: bool,
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self { error, retry_after: None, at_sign_in: false }
    }
}

impl OrderWise {
    /// A source that shares its system with no other source.
    pub fn new(options: OrderWiseOptions) -> Result<Self, SetupError> {
        Self::of(&mut Systems::default(), "", options)
    }

    /// The source that is called `source`, of one of `systems`.
    pub fn of(systems: &mut Systems, source: &str, options: OrderWiseOptions) -> Result<Self, SetupError> {
        let base = base_url(&options.base_url)?;
        options.credential.check()?;
        let (client, proxy) =
            systems.clients.client(&base, options.ca_file.as_deref(), options.timeout, options.proxy.as_ref())?;
        let system = systems.of(&base);
        Ok(Self {
            client,
            token_url: below(&base, "token/gettoken"),
            export_url: below(&base, &format!("system/export-definition/{}", options.export_definition)),
            body: parameters(&options.parameters),
            credential: options.credential,
            timeout: options.timeout,
            max_body: options.max_body,
            cooldown: system.cooldown(source),
            system,
            base_url: base,
            presented: Presented::default(),
            state: Mutex::new(ApiState { secrets: Secrets::new(proxy), ..ApiState::default() }),
        })
    }

    async fn attempt(&self, now: DateTime<Utc>, known: Option<Digest>) -> Result<Fetched, FetchError> {
        let mut state = self.state.lock().await;
        let repeated = self.cooldown().failure_to_repeat(now, || self.fingerprint());
        if let Some(error) = repeated.or_else(|| self.system.failure_to_repeat(now, || self.fingerprint())) {
            return Err(error);
        }
        let started = Instant::now();
        let outcome =
            tokio::time::timeout(self.timeout, self.exchange(now, known, &mut state)).await.unwrap_or_else(|_| {
                let reason = format!("it did not answer in full within {}", seconds(self.timeout));
                Err(FetchError::new(Failure::Timeout, reason).into())
            });
        match outcome {
            Ok(answer) => {
                self.cooldown().succeeded();
                Ok(answer)
            }
            Err(Failed { error, retry_after, at_sign_in }) => {
                let fingerprint = state.fingerprint;
                let attempt = FailedAttempt { at: now, took: started.elapsed(), retry_after, fingerprint };
                if at_sign_in {
                    self.system.sign_in_refused(&error, attempt);
                } else {
                    self.cooldown().failed(&error, attempt);
                }
                Err(error)
            }
        }
    }

    async fn exchange(
        &self,
        now: DateTime<Utc>,
        known: Option<Digest>,
        state: &mut ApiState,
    ) -> Result<Fetched, Failed> {
        // The second round follows a refused token.
        for _ in 0..2 {
            let token = match state.token.clone().filter(|token| token.is_fresh(now)) {
                Some(token) => token,
                None => self.sign_in(now, state).await?,
            };
            let redactor = state.secrets.redactor();
            let response = self.ask(&token, &redactor).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return self.receive(response, redactor, now, known).await;
            }
            state.token = None;
        }
        let reason = "it refused a new token (401): the API user may sign in but not run exports";
        Err(FetchError::new(Failure::Auth, reason).into())
    }

    async fn sign_in(&self, now: DateTime<Utc>, state: &mut ApiState) -> Result<Token, Failed> {
        let SignIn { header, known } = self.credential.sign_in()?;
        let fingerprint = self.system.fingerprint(&header);
        if state.fingerprint != fingerprint {
            state.secrets.sign_in(known);
        }
        state.fingerprint = fingerprint;
        let redactor = state.secrets.redactor();
        let request = self.client.get(self.token_url.clone()).header(AUTHORIZATION, header);
        let at_sign_in = |error: FetchError| FetchError { reason: format!("at sign-in, {}", error.reason), ..error };
        let response = http::send(request, &redactor).await.map_err(at_sign_in)?;
        self.presented.note_of(&response);
        let status = response.status();
        if !status.is_success() {
            let mut failed = refused(&response, now, &redactor);
            failed.at_sign_in = status == StatusCode::UNAUTHORIZED;
            match status.as_u16() {
                401 => "the sign-in was refused (401): the user name or the password is wrong"
                    .clone_into(&mut failed.error.reason),
                403 => {
                    "the sign-in was refused (403): the group of the API user lacks the right to use the API"
                        .clone_into(&mut failed.error.reason);
                }
                404 => failed.error.reason = format!("{}: base_url is wrong", not_found(&self.token_url)),
                _ => failed.error = at_sign_in(failed.error),
            }
            return Err(failed);
        }
        let body = http::body(response, token::LONGEST, &redactor).await.map_err(at_sign_in)?;
        let token = Token::parse(&body, now).map_err(at_sign_in)?;
        state.secrets.issued(token.secret());
        self.system.signed_in(state.fingerprint);
        state.token = Some(token.clone());
        Ok(token)
    }

    async fn ask(&self, token: &Token, redactor: &Redactor) -> Result<Response, FetchError> {
        let request = self
            .client
            .post(self.export_url.clone())
            .header(AUTHORIZATION, token.bearer())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(self.body.clone());
        let response = http::send(request, redactor).await?;
        self.presented.note_of(&response);
        Ok(response)
    }

    async fn receive(
        &self,
        response: Response,
        redactor: Arc<Redactor>,
        now: DateTime<Utc>,
        known: Option<Digest>,
    ) -> Result<Fetched, Failed> {
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Err(FetchError::new(Failure::Empty, json::NO_SESSIONS).into());
        }
        if !status.is_success() {
            return Err(self.refused_export(response, &redactor, now).await);
        }
        let body = http::body(response, self.max_body, &redactor).await?;
        // A large response takes milliseconds to parse: not on a thread of the runtime.
        let max_body = self.max_body;
        let read = move || Fetched::of(&body, known, |body| json::read_within(body, max_body, &redactor));
        let read = tokio::task::spawn_blocking(read).await;
        Ok(read.map_err(|_| FetchError::new(Failure::Malformed, "reading its answer failed unexpectedly"))??)
    }

    async fn refused_export(&self, response: Response, redactor: &Redactor, now: DateTime<Utc>) -> Failed {
        let mut failed = refused(&response, now, redactor);
        let reason = &mut failed.error.reason;
        match response.status().as_u16() {
            403 => reason.push_str(": the group of the API user lacks the right API Export Definitions"),
            404 => {
                *reason = format!("{}: base_url or export_definition is wrong", not_found(&self.export_url));
            }
            300..=399 => {}
            _ => {
                failed.error.quoted = http::said(&excerpt(response).await, redactor);
            }
        }
        failed
    }

    fn cooldown(&self) -> MutexGuard<'_, Cooldown> {
        self.cooldown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the present credential; 0 if it cannot be read.
    fn fingerprint(&self) -> u64 {
        self.credential.sign_in().map_or(0, |sign_in| self.system.fingerprint(&sign_in.header))
    }
}

impl Source for OrderWise {
    fn system(&self) -> Option<&str> {
        Some(&self.system.key)
    }

    fn fetch(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        Box::pin(async move { Ok(self.attempt(now, None).await?.raw.unwrap_or_default()) })
    }

    fn time(&self) -> BoxFuture<'_, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let _alone = self.state.lock().await;
            let request = self.client.get(self.base_url.clone()).send();
            let response = tokio::time::timeout(self.timeout, request).await.ok()?.ok()?;
            date(response.headers().get(DATE)?.to_str().ok()?)
        })
    }

    fn certificate_end(&self) -> Option<DateTime<Utc>> {
        self.presented.end()
    }

    fn fetch_unless(&self, now: DateTime<Utc>, known: Option<Digest>) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        Box::pin(self.attempt(now, known))
    }
}

/// Whether the response of the token endpoint holds a token.
pub fn check_token(body: &[u8], now: DateTime<Utc>) -> Result<(), FetchError> {
    Token::parse(body, now).map(|_| ())
}

fn refused(response: &Response, now: DateTime<Utc>, redactor: &Redactor) -> Failed {
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Failed {
        error: http::refusal(response.status(), response.headers(), redactor),
        retry_after: wait.and_then(|text| retry_after(text, now)),
        at_sign_in: false,
    }
}

fn not_found(url: &Url) -> String {
    format!("it has no {} (404)", url.path())
}

/// The body of the export. Without parameters OrderWise requires one that has no name.
fn parameters(parameters: &[(String, serde_json::Value)]) -> String {
    let named = |(name, value): &(String, serde_json::Value)| serde_json::json!({ "name": name, "value": value });
    if parameters.is_empty() {
        return r#"[{"name":"","value":null}]"#.to_owned();
    }
    serde_json::Value::Array(parameters.iter().map(named).collect()).to_string()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
