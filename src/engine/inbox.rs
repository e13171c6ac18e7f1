//! What is due of one source and not yet audited. The scheduler puts in, the source's one worker takes all at once, so audits
//! of a source never overlap, nothing starves and nothing piles up.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::schedule::Rhythm;

/// See the module.
#[derive(Debug, Default)]
pub struct Inbox {
    due: Mutex<BTreeSet<Rhythm>>,
    busy: AtomicBool,
    bell: Notify,
}

impl Inbox {
    /// Puts in what is due. True where it has to wait for an audit that is under way.
    pub fn put(&self, rhythms: impl IntoIterator<Item = Rhythm>) -> bool {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).extend(rhythms);
        self.bell.notify_one();
        self.busy.load(Ordering::SeqCst)
    }

    /// Waits until something is due, and takes all of it. The worker is busy from here until [`Inbox::done`].
    pub async fn take(&self) -> BTreeSet<Rhythm> {
        loop {
            let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            if !due.is_empty() {
                self.busy.store(true, Ordering::SeqCst);
                return due;
            }
            self.bell.notified().await;
        }
    }

    pub fn done(&self) {
        self.busy.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(text: &str) -> Rhythm {
        Rhythm::from_stored(text)
    }

    #[tokio::test]
    async fn all_that_is_due_is_taken_at_once_and_what_comes_meanwhile_next() {
        let inbox = Inbox::default();
        assert!(!inbox.put([rhythm("a")]));
        assert!(!inbox.put([rhythm("b"), rhythm("a")]));
        assert_eq!(inbox.take().await, BTreeSet::from([rhythm("a"), rhythm("b")]));
        assert!(inbox.put([rhythm("a")]), "it has to wait");
        inbox.done();
        assert_eq!(inbox.take().await, BTreeSet::from([rhythm("a")]));
    }
}
