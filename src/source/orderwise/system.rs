//! The state that the sources of one OrderWise system share: its identity, and its cooldowns, which a reload does not end.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::source::cooldown::{Cooldown, FailedAttempt};
use crate::source::{FetchError, http};

/// Every system that a configuration names, each once, and the HTTP clients that their sources share.
#[derive(Debug, Default)]
pub struct Systems {
    systems: BTreeMap<String, Arc<System>>,
    pub(super) clients: crate::http::Clients,
}

impl Systems {
    /// The same systems for another configuration. Its sources read certificates again, and wait for what these wait for.
    #[must_use]
    pub fn carried_over(&self) -> Self {
        Self { systems: self.systems.clone(), ..Self::default() }
    }

    /// The system behind a base URL.
    pub(super) fn of(&mut self, base: &Url) -> Arc<System> {
        let key = http::system(base);
        let new = || {
            let (hasher, refused, sources) = (RandomState::new(), Mutex::default(), Mutex::default());
            Arc::new(System { key: key.clone(), hasher, refused, sources })
        };
        Arc::clone(self.systems.entry(key.clone()).or_insert_with(new))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct System {
    pub key: String,
    /// Makes fingerprints of credentials, different in each process.
    hasher: RandomState,
    /// Cooldowns after a refused sign-in, by the fingerprint of the credential: sources with the same credential wait together,
    /// so that they do not lock the account; others do not wait.
    refused: Mutex<HashMap<u64, Cooldown>>,
    /// Cooldowns after other failures, by the name of the source.
    sources: Mutex<BTreeMap<String, Arc<Mutex<Cooldown>>>>,
}

impl System {
    pub fn fingerprint(&self, authorization: &HeaderValue) -> u64 {
        self.hasher.hash_one(authorization.as_bytes())
    }

    /// The refusal to repeat instead of a sign-in with that credential.
    pub fn failure_to_repeat(&self, now: DateTime<Utc>, fingerprint: impl FnOnce() -> u64) -> Option<FetchError> {
        let refused = self.refused();
        if refused.is_empty() {
            return None;
        }
        let fingerprint = fingerprint();
        refused.get(&fingerprint)?.failure_to_repeat(now, || fingerprint)
    }

    pub fn sign_in_refused(&self, error: &FetchError, attempt: FailedAttempt) {
        self.refused().entry(attempt.fingerprint).or_default().failed(error, attempt);
    }

    pub fn signed_in(&self, fingerprint: u64) {
        self.refused().remove(&fingerprint);
    }

    /// The cooldown of a source after all but a refused sign-in.
    pub fn cooldown(&self, source: &str) -> Arc<Mutex<Cooldown>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sources.entry(source.to_owned()).or_default())
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<u64, Cooldown>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
