//! Every secret of one source that its answers may repeat: how it signs in, and the tokens that it was given.

use std::collections::VecDeque;
use std::sync::Arc;

use secrecy::SecretString;

use crate::secret::{Known, Redactor};

/// How many tokens are remembered: one that was replaced may be valid for weeks, and an answer from a cache may repeat it.
const TOKENS: usize = 4;

/// What is removed from all that the source sends.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    credential: Vec<Known>,
    /// The credential before it was changed.
    before: Vec<Known>,
    proxy: Vec<Known>,
    tokens: VecDeque<Known>,
}

impl Secrets {
    /// With those of the proxy on the way.
    pub fn new(proxy: Vec<Known>) -> Self {
        Self { proxy, ..Self::default() }
    }

    /// Built for each exchange: with four tokens it takes up to half a megabyte, too much to keep for thousands of sources.
    pub fn redactor(&self) -> Arc<Redactor> {
        let chosen = [&self.credential, &self.before, &self.proxy].into_iter().flatten();
        Arc::new(Redactor::new(chosen.chain(&self.tokens)))
    }

    /// The source is about to be sent `credential`.
    pub fn sign_in(&mut self, credential: Vec<Known>) {
        self.before = std::mem::replace(&mut self.credential, credential);
    }

    /// The source gave a token.
    pub fn issued(&mut self, token: SecretString) {
        self.tokens.push_front(Known::token(token));
        self.tokens.truncate(TOKENS);
    }
}
