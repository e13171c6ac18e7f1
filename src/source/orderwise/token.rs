//! The sign-in: the credential, and the token that OrderWise issues for it.
//!
//! The lifetime of a token is not documented; claims reach from 55 minutes to 30 days. So this keeps one for less than the
//! shortest. No reason quotes the response of the token endpoint, because it may hold the token.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::reading::is_invisible;
use crate::http::SetupError;
use crate::secret::{KnownSecret, Secret, SecretError};
use crate::source::{Failure, FetchError, shortage};

/// Largest response of the token endpoint, in bytes; known tokens have a few hundred.
pub(super) const LONGEST: u64 = 64 * 1024;

/// How long a token is kept.
const KEPT: Duration = Duration::from_mins(50);

/// The credential of the API user.
#[derive(Debug, Clone)]
pub enum ApiCredential {
    Password {
        username: String,
        password: Secret,
    },
    /// Base64 of `username:password`: as secret as the password.
    Hash(Secret),
}

impl ApiCredential {
    pub(super) fn check(&self) -> Result<(), SetupError> {
        match self {
            Self::Password { username, .. } if username.contains(':') || username.contains(is_invisible) => {
                Err(SetupError::Username)
            }
            _ => Ok(()),
        }
    }

    /// The header that signs in, and the secrets to redact. The only function that exposes the secret.
    pub(super) fn sign_in(&self) -> Result<SignIn, FetchError> {
        let (encoded, known) = match self {
            Self::Password { username, password } => {
                let password = password.value().map_err(|error| no_secret(&error))?;
                let known = KnownSecret::sign_in(username, &password).to_vec();
                (STANDARD.encode(format!("{username}:{}", password.expose_secret())), known)
            }
            Self::Hash(hash) => {
                let hash = hash.value().map_err(|error| no_secret(&error))?.expose_secret().trim().to_owned();
                let known = [decoded(&hash), vec![KnownSecret::token(hash.as_str())]].concat();
                (hash, known)
            }
        };
        let mut header = HeaderValue::from_str(&format!("Basic {encoded}"))
            .map_err(|_| unasked("the credential hash is not base64 text"))?;
        header.set_sensitive(true);
        Ok(SignIn { header, known })
    }
}

/// A credential in the form of a request, with the secrets in it.
pub(super) struct SignIn {
    pub header: HeaderValue,
    pub known: Vec<KnownSecret>,
}

/// The user name and password in a credential hash.
fn decoded(hash: &str) -> Vec<KnownSecret> {
    let pair = STANDARD.decode(hash).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    pair.map_or_else(Vec::new, |(username, password)| KnownSecret::sign_in(username, &password.into()).to_vec())
}

fn no_secret(error: &SecretError) -> FetchError {
    let cause = std::error::Error::source(error);
    if let Some(shortage) = cause.and_then(|cause| shortage::of(cause.downcast_ref()?)) {
        return shortage;
    }
    let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    unasked(format!("{error}{cause}"))
}

/// Without a credential there is no request.
fn unasked(reason: impl Into<String>) -> FetchError {
    FetchError { asked: false, ..FetchError::new(Failure::Auth, reason) }
}

/// A token with its age.
#[derive(Clone)]
pub(super) struct Token {
    /// Marked sensitive, so that no log of the client shows it.
    bearer: HeaderValue,
    taken: DateTime<Utc>,
    since: Instant,
}

impl Token {
    /// Parses the response of the token endpoint: `"TOKEN"`, `{"token": "TOKEN"}`, or TOKEN alone on one line.
    pub(super) fn parse(body: &[u8], now: DateTime<Utc>) -> Result<Self, FetchError> {
        let unusable = |came: &str| FetchError::new(Failure::Malformed, format!("it answered with {came}"));
        let no_token = |came: &str| unusable(&format!("{came} instead of a token"));
        let text = std::str::from_utf8(body).map_err(|_| no_token("something that is not text"))?;
        let text = text.trim_start_matches('\u{FEFF}').trim();
        let token = match text.bytes().next() {
            None => return Err(no_token("nothing")),
            Some(b'<') => return Err(no_token("a web page (HTML)")),
            Some(b'"') => serde_json::from_str::<String>(text).map_err(|_| no_token("a truncated string"))?,
            Some(b'{') => in_object(text).ok_or_else(|| unusable("an object that holds no token"))?,
            Some(b'[') => return Err(no_token("a list")),
            Some(_) if matches!(text, "null" | "true" | "false") => return Err(no_token(text)),
            Some(_) => text.to_owned(),
        };
        let token = token.trim();
        if token.is_empty() {
            return Err(no_token("an empty string"));
        }
        if !token.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"')) {
            return Err(unusable("text that cannot be a token"));
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable("text that cannot be a token"))?;
        bearer.set_sensitive(true);
        Ok(Self { bearer, taken: now, since: Instant::now() })
    }

    pub(super) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// Whether it is young enough by the wall clock and by the monotonic clock. One alone can be wrong: a clock that was set
    /// back, a machine that slept.
    pub(super) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now - self.taken;
        let kept = TimeDelta::from_std(KEPT).unwrap_or_default();
        age >= TimeDelta::zero() && age < kept && self.since.elapsed() < KEPT
    }

    /// The token itself, for redaction.
    pub(super) fn secret(&self) -> SecretString {
        let bearer = self.bearer.to_str().unwrap_or_default();
        bearer.strip_prefix("Bearer ").unwrap_or(bearer).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("taken", &self.taken).finish_non_exhaustive()
    }
}

fn in_object(text: &str) -> Option<String> {
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).ok()?;
    let (_, value) = object.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("token"))?;
    value.as_str().map(str::to_owned)
}
