//! What is due of one source and not yet audited. The scheduler puts in, the source's one worker takes all at once, so audits
//! of a source never overlap, nothing starves and nothing piles up.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::schedule::ScheduleKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Inbox {
    tray: Mutex<Tray>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Tray {
    due: BTreeSet<ScheduleKey>,
    /// The worker has taken something and is not done with it.
    busy: bool,
}

impl Inbox {
    /// Puts in what is due. True where it has to wait for an audit that is under way.
    pub fn put(&self, schedules: impl IntoIterator<Item = ScheduleKey>) -> bool {
        let mut tray = self.tray();
        tray.due.extend(schedules);
        self.bell.notify_one();
        tray.busy
    }

    /// Waits until something is due, and takes all of it. The worker is busy from here until [`Inbox::done`].
    pub async fn take(&self) -> BTreeSet<ScheduleKey> {
        loop {
            {
                let mut tray = self.tray();
                if !tray.due.is_empty() {
                    tray.busy = true;
                    return std::mem::take(&mut tray.due);
                }
            }
            self.bell.notified().await;
        }
    }

    /// The same without waiting, for work that nobody put in: takes whatever is due by now, which may be nothing.
    pub fn begin(&self) -> BTreeSet<ScheduleKey> {
        let mut tray = self.tray();
        tray.busy = true;
        std::mem::take(&mut tray.due)
    }

    pub fn done(&self) {
        self.tray().busy = false;
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule_key(text: &str) -> ScheduleKey {
        ScheduleKey::from_stored(text)
    }

    #[tokio::test]
    async fn all_that_is_due_is_taken_at_once_and_what_comes_meanwhile_next() {
        let inbox = Inbox::default();
        assert!(!inbox.put([schedule_key("a")]));
        assert!(!inbox.put([schedule_key("b"), schedule_key("a")]));
        assert_eq!(inbox.take().await, BTreeSet::from([schedule_key("a"), schedule_key("b")]));
        assert!(inbox.put([schedule_key("a")]), "it has to wait");
        inbox.done();
        assert_eq!(inbox.take().await, BTreeSet::from([schedule_key("a")]));
    }

    #[tokio::test]
    async fn what_falls_due_while_the_worker_polls_of_its_own_accord_has_to_wait() {
        let inbox = Inbox::default();
        assert!(inbox.begin().is_empty());
        assert!(inbox.put([schedule_key("a")]), "it has to wait");
        inbox.done();
        assert!(!inbox.put([schedule_key("b")]));
        assert_eq!(inbox.begin(), BTreeSet::from([schedule_key("a"), schedule_key("b")]));
    }
}
