//! The state that the sources of one OrderWise system share: its identity, and the sign-ins that it refused.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::source::hold::{Attempt, Hold};
use crate::source::{FetchError, http};

/// Every system that a configuration names, each once, and the HTTP clients that their sources share.
#[derive(Debug, Default)]
pub struct Systems {
    systems: BTreeMap<String, Arc<System>>,
    pub(super) clients: http::Clients,
}

impl Systems {
    /// The system behind a base URL.
    pub(super) fn of(&mut self, base: &Url) -> Arc<System> {
        let key = http::system(base);
        let new = || Arc::new(System { key: key.clone(), hasher: RandomState::new(), refused: Mutex::default() });
        Arc::clone(self.systems.entry(key.clone()).or_insert_with(new))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct System {
    pub key: String,
    /// Makes fingerprints of credentials that mean nothing outside this process.
    hasher: RandomState,
    /// Cooldowns after a refused sign-in, by the credential: sources that sign in alike wait together, so that they do not
    /// lock the account between them, and one with another password or user does not wait for them.
    refused: Mutex<HashMap<u64, Hold>>,
}

impl System {
    pub fn fingerprint(&self, authorization: &HeaderValue) -> u64 {
        self.hasher.hash_one(authorization.as_bytes())
    }

    /// The refusal to repeat instead of signing in with that credential.
    pub fn answer(&self, now: DateTime<Utc>, fingerprint: impl FnOnce() -> u64) -> Option<FetchError> {
        let refused = self.refused();
        if refused.is_empty() {
            return None;
        }
        let fingerprint = fingerprint();
        refused.get(&fingerprint)?.answer(now, || fingerprint)
    }

    pub fn sign_in_refused(&self, error: &FetchError, attempt: Attempt) {
        self.refused().entry(attempt.fingerprint).or_default().failed(error, attempt);
    }

    pub fn signed_in(&self, fingerprint: u64) {
        self.refused().remove(&fingerprint);
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<u64, Hold>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
