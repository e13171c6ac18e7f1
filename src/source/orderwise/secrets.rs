//! The secrets that the responses of one source may repeat: its credential, tokens and the sign-in of its proxy.

use std::collections::VecDeque;
use std::sync::Arc;

use secrecy::SecretString;

use crate::secret::{KnownSecret, Redactor};

/// Number of tokens kept: a replaced token may be valid for weeks, and a cached response may repeat it.
const TOKENS: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    credential: Vec<KnownSecret>,
    /// The credential before it was changed.
    before: Vec<KnownSecret>,
    proxy: Vec<KnownSecret>,
    tokens: VecDeque<KnownSecret>,
}

impl Secrets {
    /// With the secrets of the proxy.
    pub fn new(proxy: Vec<KnownSecret>) -> Self {
        Self { proxy, ..Self::default() }
    }

    /// Built for each exchange: with four tokens it takes up to half a megabyte, too much to keep for thousands of sources.
    pub fn redactor(&self) -> Arc<Redactor> {
        let chosen = [&self.credential, &self.before, &self.proxy].into_iter().flatten();
        Arc::new(Redactor::new(chosen.chain(&self.tokens)))
    }

    /// Call it before the source gets `credential`.
    pub fn sign_in(&mut self, credential: Vec<KnownSecret>) {
        self.before = std::mem::replace(&mut self.credential, credential);
    }

    /// Call it when the source has issued a token.
    pub fn issued(&mut self, token: SecretString) {
        self.tokens.push_front(KnownSecret::token(token));
        self.tokens.truncate(TOKENS);
    }
}
