//! Limits polls: a bounded number at once in the process, and one at a time of each system.
//!
//! Both limits are fair: the poll that has waited longest is next. A poll waits for its system first, so that many sources of a
//! slow system take one of the places in the process and not all of them. Waiting is not part of a poll: no time-out runs, and no
//! duration counts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
#[derive(Debug)]
pub struct Polls {
    places: Arc<Places>,
    systems: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The places in the process. A reload can change their number.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    limit: Mutex<Limit>,
}

#[derive(Debug)]
struct Limit {
    most: usize,
    /// Places taken by polls under way beyond `most`; they are not given back.
    excess: usize,
}

/// Permission for one poll; given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _system: Option<OwnedSemaphorePermit>,
    place: Option<OwnedSemaphorePermit>,
    places: Arc<Places>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut limit = self.places.limit();
        if let (Some(place), true) = (self.place.take(), limit.excess > 0) {
            limit.excess -= 1;
            place.forget();
        }
    }
}

impl Places {
    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Polls {
    /// At most `most` polls at the same time.
    pub fn new(most: usize) -> Self {
        let limit = Mutex::new(Limit { most, excess: 0 });
        let places = Places { free: Arc::new(Semaphore::new(most)), limit };
        Self { places: Arc::new(places), systems: Mutex::default() }
    }

    /// Allows at most `most` polls at once from now on; if more are under way, none begins until enough have ended.
    pub fn allow(&self, most: usize) {
        let mut limit = self.places.limit();
        let before = std::mem::replace(&mut limit.most, most);
        if most > before {
            let kept = limit.excess.min(most - before);
            limit.excess -= kept;
            self.places.free.add_permits(most - before - kept);
        } else {
            let fewer = before - most;
            limit.excess += fewer - self.places.free.forget_permits(fewer);
        }
    }

    /// Waits until a source may be polled. `system`: the system that the source may share with others.
    pub async fn turn(&self, system: Option<&str>) -> Turn {
        // These semaphores are never closed, so a permit always comes.
        let system = match system.map(|system| self.system(system)) {
            Some(system) => system.acquire_owned().await.ok(),
            None => None,
        };
        let place = Arc::clone(&self.places.free).acquire_owned().await.ok();
        Turn { _system: system, place, places: Arc::clone(&self.places) }
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
        let other = polls
            .turn(Some("b"))
            .now_or_never()
            .expect("a poll that waits for its system takes no place of another system");
        assert!(polls.turn(None).now_or_never().is_none(), "two are under way");
        drop(first);
        let second = same_system.now_or_never().expect("the system is free");
        assert!(polls.turn(None).now_or_never().is_none());
        drop((second, other));
        assert!(polls.turn(None).now_or_never().is_some());
    }

    #[tokio::test]
    async fn another_limit_holds_at_once_and_a_system_keeps_its_one_request() {
        let polls = Polls::new(3);
        let free = || polls.turn(None).now_or_never();
        let mut under_way = vec![polls.turn(Some("a")).await, polls.turn(None).await, polls.turn(None).await];
        polls.allow(1);
        for _ in 0..2 {
            under_way.pop();
            assert!(free().is_none(), "one or more are still under way");
        }
        polls.allow(3);
        assert!(polls.turn(Some("a")).now_or_never().is_none(), "its request is still under way");
        under_way.extend([free().unwrap(), free().unwrap()]);
        assert!(free().is_none());
        polls.allow(1);
        polls.allow(2);
        under_way.pop();
        assert!(free().is_none(), "two are under way");
        under_way.pop();
        under_way.push(free().unwrap());
        assert!(free().is_none());
    }

    #[tokio::test]
    async fn a_poll_that_waits_begins_when_a_reload_allows_more() {
        let polls = Polls::new(1);
        let _first = polls.turn(None).await;
        let mut waiting = Box::pin(polls.turn(None));
        assert!((&mut waiting).now_or_never().is_none());
        polls.allow(2);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_poll_that_stops_waiting_takes_no_place() {
        let polls = Polls::new(1);
        let first = polls.turn(Some("a")).await;
        assert!(polls.turn(Some("a")).now_or_never().is_none());
        assert!(polls.turn(Some("b")).now_or_never().is_none());
        drop(first);
        assert!(polls.turn(Some("b")).now_or_never().is_some());
        assert!(polls.turn(Some("a")).now_or_never().is_some());
    }
}
