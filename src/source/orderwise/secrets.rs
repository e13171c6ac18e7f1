//! Every secret of one source that its answers may repeat: how it signs in, and the tokens that it was given.

use std::collections::VecDeque;
use std::sync::Arc;

use secrecy::SecretString;

use crate::secret::{KnownSecret, Redactor};

/// How many tokens are remembered: one that was replaced may be valid for weeks, and an answer from a cache may repeat it.
const TOKENS: usize = 4;

/// What is removed from all that the source sends.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    redactor: Arc<Redactor>,
    credential: Vec<KnownSecret>,
    /// The credential before it was changed.
    before: Vec<KnownSecret>,
    proxy: Vec<KnownSecret>,
    tokens: VecDeque<KnownSecret>,
}

impl Secrets {
    /// With those of the proxy on the way.
    pub fn new(proxy: Vec<KnownSecret>) -> Self {
        let mut secrets = Self { proxy, ..Self::default() };
        secrets.renew();
        secrets
    }

    pub fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor)
    }

    /// The source is about to be sent `credential`.
    pub fn sign_in(&mut self, credential: Vec<KnownSecret>) {
        self.before = std::mem::replace(&mut self.credential, credential);
        self.renew();
    }

    /// The source gave a token.
    pub fn issued(&mut self, token: SecretString) {
        self.tokens.push_front(KnownSecret::token(token));
        self.tokens.truncate(TOKENS);
        self.renew();
    }

    fn renew(&mut self) {
        let chosen = [&self.credential, &self.before, &self.proxy].into_iter().flatten();
        self.redactor = Arc::new(Redactor::new(chosen.chain(&self.tokens)));
    }
}
