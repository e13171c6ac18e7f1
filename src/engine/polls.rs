//! Who may poll now: a bounded number of polls in the process, and one at a time of each system.
//!
//! Both are fair: who waits longest is next. A poll waits for its system first, so that many sources of a slow system take one
//! of the places in the process and not all of them. Waiting is no part of a poll: no time-out runs, and no duration counts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
#[derive(Debug)]
pub struct Polls {
    most: Arc<Semaphore>,
    systems: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Permission for one poll; given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _system: Option<OwnedSemaphorePermit>,
    _poll: Option<OwnedSemaphorePermit>,
}

impl Polls {
    /// At most `most` polls at the same time.
    pub fn new(most: usize) -> Self {
        Self { most: Arc::new(Semaphore::new(most)), systems: Mutex::default() }
    }

    /// Waits until a source may be polled; `system` is the one that it may share with others.
    pub async fn turn(&self, system: Option<&str>) -> Turn {
        // Nobody closes a semaphore here, so there is always a permit in the end.
        let system = match system.map(|system| self.system(system)) {
            Some(system) => system.acquire_owned().await.ok(),
            None => None,
        };
        Turn { _system: system, _poll: Arc::clone(&self.most).acquire_owned().await.ok() }
    }

    fn system(&self, system: &str) -> Arc<Semaphore> {
        let mut systems = self.systems.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(systems.entry(system.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_polls_than_allowed_are_under_way_and_one_of_each_system() {
        let polls = Polls::new(2);
        let first = polls.turn(Some("a")).await;
        let mut same_system = Box::pin(polls.turn(Some("a")));
        assert!((&mut same_system).now_or_never().is_none());
        let other = polls.turn(Some("b")).now_or_never().expect("who waits for a system takes no place of another one");
        assert!(polls.turn(None).now_or_never().is_none(), "two are under way");
        drop(first);
        let second = same_system.now_or_never().expect("the system is free");
        assert!(polls.turn(None).now_or_never().is_none());
        drop((second, other));
        assert!(polls.turn(None).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_keeps_nobody_out() {
        let polls = Polls::new(1);
        let first = polls.turn(Some("a")).await;
        assert!(polls.turn(Some("a")).now_or_never().is_none());
        assert!(polls.turn(Some("b")).now_or_never().is_none());
        drop(first);
        assert!(polls.turn(Some("b")).now_or_never().is_some());
        assert!(polls.turn(Some("a")).now_or_never().is_some());
    }
}
