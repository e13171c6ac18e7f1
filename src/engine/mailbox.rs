//! The commands that wait for the task of a source. Other tasks put them in, and the task takes all of them at once. So audits of
//! a source never overlap, and no command waits for ever or piles up: a schedule that falls due twice is one poll, and two
//! reloads are one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::name::Name;
use crate::domain::schedule::ScheduleKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Mailbox {
    orders: Mutex<Waiting>,
    bell: Notify,
    working: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: Orders,
    /// The task works on commands that it has taken.
    busy: bool,
}

/// The commands that a task takes.
#[derive(Debug, Default)]
pub struct Orders {
    /// Schedules that are due.
    pub due: BTreeSet<ScheduleKey>,
    /// The configuration was read again: the source may have another plan, or none if it was removed.
    pub reloaded: bool,
}

impl Orders {
    fn is_empty(&self) -> bool {
        self.due.is_empty() && !self.reloaded
    }
}

impl Mailbox {
    /// Adds schedules that are due. True if they wait for an audit under way.
    pub fn due(&self, schedules: impl IntoIterator<Item = ScheduleKey>) -> bool {
        self.put(|orders| orders.due.extend(schedules))
    }

    /// Has the task take up the present plan, after the work in hand.
    pub fn reloaded(&self) {
        self.put(|orders| orders.reloaded = true);
    }

    /// Waits until there is a command, and takes all of them. The task is busy from here until [`Mailbox::done`].
    pub async fn take(&self) -> Orders {
        loop {
            {
                let mut waiting = self.waiting();
                if !waiting.orders.is_empty() {
                    waiting.busy = true;
                    return std::mem::take(&mut waiting.orders);
                }
            }
            self.bell.notified().await;
        }
    }

    /// The same without waiting, for work that no command asks for: takes the present commands, of which there may be none.
    pub fn begin(&self) -> Orders {
        let mut waiting = self.waiting();
        waiting.busy = true;
        std::mem::take(&mut waiting.orders)
    }

    /// Waits until the task has no work in hand. It begins none while the guard lives.
    pub async fn working(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.working.lock().await
    }

    pub fn done(&self) {
        self.waiting().busy = false;
    }

    fn put(&self, change: impl FnOnce(&mut Orders)) -> bool {
        let mut waiting = self.waiting();
        change(&mut waiting.orders);
        self.bell.notify_one();
        waiting.busy
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mailbox of each source that has a task.
#[derive(Debug, Default)]
pub struct Mailboxes(Mutex<BTreeMap<Name, Arc<Mailbox>>>);

impl Mailboxes {
    pub fn of(&self, source: &Name) -> Option<Arc<Mailbox>> {
        self.all().get(source).map(Arc::clone)
    }

    /// Opens the mailbox of a source, or returns the one that it has.
    pub fn open(&self, source: &Name) -> Arc<Mailbox> {
        Arc::clone(self.all().entry(source.clone()).or_default())
    }

    /// Closes the mailbox of a source whose task ends, unless the source is `wanted` again; returns whether it did. A mailbox
    /// that is opened after that is a new one, whose task has not started yet.
    pub fn close_unless(&self, source: &Name, wanted: impl FnOnce() -> bool) -> bool {
        let mut all = self.all();
        let close = !wanted();
        if close {
            all.remove(source);
        }
        close
    }

    pub fn names(&self) -> Vec<Name> {
        self.all().keys().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Mailbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ScheduleKey {
        ScheduleKey::from_stored(text)
    }

    #[tokio::test]
    async fn all_due_schedules_are_taken_at_once_and_later_ones_next() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.due([key("a")]));
        assert!(!mailbox.due([key("b"), key("a")]));
        assert_eq!(mailbox.take().await.due, BTreeSet::from([key("a"), key("b")]));
        assert!(mailbox.due([key("a")]), "it has to wait");
        mailbox.done();
        assert_eq!(mailbox.take().await.due, BTreeSet::from([key("a")]));
    }

    #[tokio::test]
    async fn a_schedule_that_falls_due_during_a_retry_waits() {
        let mailbox = Mailbox::default();
        assert!(mailbox.begin().is_empty());
        assert!(mailbox.due([key("a")]), "it has to wait");
        mailbox.done();
        assert!(!mailbox.due([key("b")]));
        assert_eq!(mailbox.begin().due, BTreeSet::from([key("a"), key("b")]));
    }

    #[tokio::test]
    async fn a_reload_waits_for_the_audit_under_way_and_is_not_lost() {
        let mailbox = Mailbox::default();
        mailbox.due([key("a")]);
        assert!(!mailbox.take().await.reloaded);
        mailbox.reloaded();
        mailbox.done();
        assert!(mailbox.take().await.reloaded);
    }
}
