//! Microsoft Graph `sendMail`: the same MIME message as over SMTP, in base64, in one request.
//!
//! Only a 202 means that the message was accepted. Permanent failures are only a message that is too large, recipients that Graph
//! calls invalid, and a message that it cannot parse: all others concern the account or pass by themselves. A server that asks to
//! wait (429 or 503 with `Retry-After`) receives no request before that time.
//! <https://learn.microsoft.com/graph/api/user-sendmail>

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use tokio::time::timeout;

use super::advice::advised;
use super::exchange::{Answer, Endpoint, Request};
use super::gate::{Gate, Gates};
use super::refusal::{redacted, transient};
use super::token::{Provided, Token, Tokens};
use super::{BuildError, GraphOptions};
use crate::clock::Clock;
use crate::domain::backoff::DELIVERY_LONGEST_ASKED;
use crate::notify::{Obstacle, Outbound, SendError};

/// The wait after a 429 without a usable `Retry-After`. Exchange counts messages by the minute.
const USUAL_WAIT: Duration = Duration::from_secs(30);

/// A refusal with one of these codes concerns this one message for good.
const PERMANENT: [&str; 5] = [
    "ErrorInvalidRecipients",
    "ErrorMessageSizeExceeded",
    "ErrorMimeContentInvalid",
    "ErrorMimeContentInvalidBase64String",
    "ErrorMimeContentConversionFailed",
];

/// A mailbox that sends over Microsoft Graph.
pub(super) struct Graph {
    endpoint: Endpoint,
    pub tokens: Tokens,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    gate: Arc<Gate>,
}

impl Graph {
    pub fn new(options: GraphOptions, gates: &mut Gates, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let GraphOptions { base_url, user, token, timeout } = options;
        // Encodes the characters that an address may contain and a path may not.
        let user = user.as_str().replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
        let url = format!("{}/users/{user}/sendMail", base_url.trim_end_matches('/'));
        let endpoint = Endpoint::new("Microsoft Graph at", &url, &token.access)?;
        let tokens = Tokens::new(token, gates, Arc::clone(&clock))?;
        Ok(Self { endpoint, tokens, clock, timeout, gate: gates.of(&url) })
    }

    /// The name of the server in messages.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// The end of the certificate that Graph presented last.
    pub fn certificate_end(&self) -> Option<DateTime<Utc>> {
        self.endpoint.presented.end()
    }

    pub async fn probe(&self) -> Result<(), SendError> {
        self.tokens.token().await.map(|_| ())
    }

    pub async fn send(&self, outbound: &Outbound) -> Result<(), SendError> {
        timeout(self.timeout, self.attempt(outbound)).await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            Err(transient(Obstacle::Timeout, format!("{} did not finish within {seconds} s", self.endpoint.name)))
        })
    }

    async fn attempt(&self, outbound: &Outbound) -> Result<(), SendError> {
        self.gate.pass(&self.endpoint.name)?;
        let Provided { token, cached } = self.tokens.token().await?;
        match self.post(outbound, &token).await {
            Err(refused) if refused.reply == Some(401) => {
                self.tokens.refused(&token).await;
                if !cached {
                    return Err(refused);
                }
                let Provided { token, .. } = self.tokens.token().await?;
                self.post(outbound, &token).await
            }
            outcome => outcome,
        }
    }

    async fn post(&self, outbound: &Outbound, token: &Token) -> Result<(), SendError> {
        let body = BASE64_STANDARD.encode(&outbound.raw);
        let request = Request {
            content_type: "text/plain",
            bearer: Some(&token.value),
            body,
            clock: &*self.clock,
            redactor: &token.redactor,
        };
        let answer = self.endpoint.post(request).await?;
        if answer.status == reqwest::StatusCode::ACCEPTED {
            return Ok(());
        }
        let error = self.refusal(&answer, token);
        if let Some(wait) = error.retry_after {
            self.gate.close(wait);
        }
        Err(error)
    }

    fn refusal(&self, answer: &Answer, token: &Token) -> SendError {
        let (name, status) = (&self.endpoint.name, answer.status.as_u16());
        let body = serde_json::from_slice::<Json>(&answer.body).unwrap_or_default();
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or_default();
        let said = [code, error["message"].as_str().unwrap_or_default()].join(" ");
        let said = redacted(said.trim(), &token.redactor);
        let (obstacle, permanent) = match status {
            413 => (Obstacle::Rejected, true),
            400..=499 if PERMANENT.contains(&code) => (Obstacle::Rejected, true),
            401 | 403 | 404 => (Obstacle::Auth, false),
            _ => (Obstacle::Deferred, false),
        };
        let reason = match said.as_str() {
            "\"\"" => format!("{name} refused the message ({status})"),
            said => format!("{name} refused the message ({status}): {said}"),
        };
        let asked = answer.retry_after.map(|wait| wait.min(DELIVERY_LONGEST_ASKED));
        let retry_after = match status {
            429 => asked.or(Some(USUAL_WAIT)),
            503 | 504 => asked,
            _ => None,
        };
        SendError { obstacle, permanent, reply: Some(status), reason: advised(reason), own_words: false, retry_after }
    }
}
