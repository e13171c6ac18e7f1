//! One request to a token endpoint or to Microsoft Graph: bounded in time and in size, without redirects, and with each
//! failure in plain words.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::refusal::{redacted, transient};
use super::{BuildError, HttpAccess};
use crate::clock::Clock;
use crate::http::certificate::Presented;
use crate::http::failure::FailureKind;
use crate::http::{self, BodyError, failure};
use crate::notify::{Obstacle, SendError};
use crate::secret::{KnownSecret, Redactor};

/// Longest exchange: connection, request and the whole answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Largest answer, in bytes. A token has some 2 kB, a refusal less.
const LARGEST: u64 = 64 << 10;

/// A server that takes POST requests.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    /// The name for messages, with the host: "the token endpoint login.example".
    pub name: String,
    /// The secrets for the proxy.
    pub proxy: Vec<KnownSecret>,
    pub presented: Presented,
}

/// A request to be sent.
pub(super) struct Request<'a> {
    pub content_type: &'static str,
    /// The access token.
    pub bearer: Option<&'a SecretString>,
    pub body: String,
    /// For a date in `Retry-After`.
    pub clock: &'a dyn Clock,
    /// Removes the secrets of the request from the reasons of failures.
    pub redactor: &'a Redactor,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub status: StatusCode,
    /// As the server asked, without a limit.
    pub retry_after: Option<Duration>,
    /// Empty for a 202, whose body is not read: the server has accepted.
    pub body: Vec<u8>,
}

impl Endpoint {
    /// `what` names the server in messages, before its host.
    pub fn new(what: &str, url: &str, access: &HttpAccess) -> Result<Self, BuildError> {
        let url = http::base_url(url)?;
        if url.scheme() == "http" && !access.allow_insecure && !http::is_this_machine(&url) {
            return Err(BuildError::SecretInTheClear { host: host(&url) });
        }
        let ca_file = access.ca_file.as_deref().map(Path::new);
        let (client, proxy) = http::client(&url, ca_file, LONGEST, access.proxy.as_ref())?;
        Ok(Self { client, name: format!("{what} {}", host(&url)), url, proxy, presented: Presented::default() })
    }

    /// Sends one request. An answer with any status is a success here.
    pub async fn post(&self, request: Request<'_>) -> Result<Answer, SendError> {
        timeout(LONGEST, self.exchange(request)).await.unwrap_or_else(|_| {
            let reason = format!("{} did not answer in full within {} s", self.name, LONGEST.as_secs());
            Err(transient(Obstacle::Timeout, reason))
        })
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Answer, SendError> {
        let Request { content_type, bearer, body, clock, redactor } = request;
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, content_type).body(body);
        if let Some(token) = bearer {
            let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| transient(Obstacle::Auth, "the token cannot be sent in a header".to_owned()))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        let response = request.send().await.map_err(|error| self.failed(&error, redactor))?;
        self.presented.note_of(&response);
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|text| http::retry_after(text, clock.now()));
        let body = match status {
            StatusCode::ACCEPTED => Vec::new(),
            StatusCode::OK => http::body(response, LARGEST).await.map_err(|error| match error {
                BodyError::TooLarge => {
                    let reason = format!("the answer of {} is larger than {} KiB", self.name, LARGEST >> 10);
                    transient(Obstacle::Deferred, reason)
                }
                BodyError::Broken(error) => self.failed(&error, redactor),
            })?,
            _ => http::excerpt(response).await,
        };
        Ok(Answer { status, retry_after, body })
    }

    fn failed(&self, error: &reqwest::Error, redactor: &Redactor) -> SendError {
        let described = failure::of(error);
        let obstacle = match described.kind {
            FailureKind::Timeout => Obstacle::Timeout,
            FailureKind::Tls => Obstacle::Tls,
            FailureKind::Connect | FailureKind::Malformed => Obstacle::Connect,
        };
        let reason = format!("the request to {} failed: {}", self.name, described.reason);
        match described.foreign {
            None => transient(obstacle, reason),
            Some(foreign) => {
                let reason = format!("{reason}: {}", redacted(&foreign, redactor));
                SendError { own_words: false, ..transient(obstacle, reason) }
            }
        }
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}
