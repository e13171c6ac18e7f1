//! The bounded queue between the program and the thread that writes its log.
//!
//! Properties:
//! - Adding a line never waits for the reader of the log, so a stuck pipe or a full disk delays no poll, delivery or shutdown.
//! - A full queue drops new lines, counts them, and accepts lines when half of it is written: gaps are few and large,
//!   and the log reports each gap in its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Capacity in bytes: enough for the lines of 10,000 incidents that open in one audit, and little beside the memory of the
/// program.
pub(super) const CAPACITY: usize = 4 * 1024 * 1024;

/// Memory of an entry beside its text, roughly, in bytes, so that many short lines do not exceed [`CAPACITY`].
const OVERHEAD: usize = 64;

/// An entry of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueEntry {
    Line(Vec<u8>),
    /// The number of lines dropped here.
    Gap(u64),
}

/// See the module.
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<QueueState>,
    filled: Condvar,
    emptied: Condvar,
    /// Lines lost since [`Queue::take_dropped`] was last called.
    dropped: AtomicU64,
}

#[derive(Default)]
struct QueueState {
    entries: VecDeque<QueueEntry>,
    bytes: usize,
    /// Lines dropped since the queue was last full.
    refused: u64,
    /// The writer is writing an entry.
    writing: bool,
}

impl QueueState {
    fn add(&mut self, line: &[u8]) {
        if self.refused > 0 {
            self.entries.push_back(QueueEntry::Gap(std::mem::take(&mut self.refused)));
        }
        self.bytes += line.len() + OVERHEAD;
        self.entries.push_back(QueueEntry::Line(line.to_vec()));
    }

    fn take(&mut self) -> Option<QueueEntry> {
        match self.entries.pop_front() {
            Some(entry) => {
                if let QueueEntry::Line(line) = &entry {
                    self.bytes -= line.len() + OVERHEAD;
                }
                Some(entry)
            }
            None => (self.refused > 0).then(|| QueueEntry::Gap(std::mem::take(&mut self.refused))),
        }
    }
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Self { capacity, state: Mutex::default(), filled, emptied, dropped: AtomicU64::new(0) }
    }

    /// Adds a line, or drops it if the queue is full.
    pub fn offer(&self, line: &[u8]) {
        let mut state = self.state();
        let draining = state.refused > 0 && state.bytes > self.capacity / 2;
        if draining || state.bytes + line.len() + OVERHEAD > self.capacity {
            state.refused += 1;
            self.count_dropped(1);
            return;
        }
        state.add(line);
        self.filled.notify_one();
    }

    /// Adds a line, even to a full queue: for the last lines of a command.
    pub fn insist(&self, line: &[u8]) {
        self.state().add(line);
        self.filled.notify_one();
    }

    /// Waits for the next entry. The call means that the previous entry is written.
    pub fn next(&self) -> QueueEntry {
        let mut state = self.state();
        loop {
            if let Some(entry) = state.take() {
                state.writing = true;
                return entry;
            }
            state.writing = false;
            self.emptied.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything is written, for at most `grace_period` if there is one.
    pub fn finish(&self, grace_period: Option<Duration>) {
        let unfinished = |state: &mut QueueState| state.writing || !state.entries.is_empty() || state.refused > 0;
        let state = self.state();
        match grace_period {
            Some(grace_period) => drop(self.emptied.wait_timeout_while(state, grace_period, unfinished)),
            None => drop(self.emptied.wait_while(state, unfinished)),
        }
    }

    pub fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// The number of lines lost since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"0123456789\n";

    fn full() -> Queue {
        let queue = Queue::new(4 * (LINE.len() + OVERHEAD));
        for _ in 0..7 {
            queue.offer(LINE);
        }
        queue
    }

    fn line() -> QueueEntry {
        QueueEntry::Line(LINE.to_vec())
    }

    #[test]
    fn a_full_queue_drops_lines_until_half_is_written_and_reports_the_gap_in_its_place() {
        let queue = full();
        assert_eq!(queue.take_dropped(), 3);
        assert_eq!(queue.next(), line());
        queue.offer(LINE);
        assert_eq!(queue.take_dropped(), 1, "three of four still wait");
        assert_eq!(queue.next(), line());
        queue.offer(b"later\n");
        let rest = std::array::from_fn::<_, 4, _>(|_| queue.next());
        assert_eq!(rest, [line(), line(), QueueEntry::Gap(4), QueueEntry::Line(b"later\n".to_vec())]);
        assert_eq!(queue.take_dropped(), 0);
    }

    #[test]
    fn a_gap_is_reported_although_no_line_follows() {
        let queue = full();
        let all = std::array::from_fn::<_, 5, _>(|_| queue.next());
        assert_eq!(all[4], QueueEntry::Gap(3));
    }

    #[test]
    fn a_full_queue_accepts_a_last_line() {
        let queue = full();
        queue.insist(b"last\n");
        let all = std::array::from_fn::<_, 6, _>(|_| queue.next());
        assert_eq!(all[4..], [QueueEntry::Gap(3), QueueEntry::Line(b"last\n".to_vec())]);
    }

    #[test]
    fn finish_waits_until_the_last_line_is_written_or_the_grace_period_is_over() {
        let queue = full();
        assert_eq!(queue.next(), line());
        queue.finish(Some(Duration::from_millis(1)));
        let written = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while queue.next() != QueueEntry::Line(b"end\n".to_vec()) {
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
            queue.finish(None);
            assert_eq!(written.load(Ordering::Relaxed), 4, "three lines and the gap");
            queue.insist(b"end\n");
        });
    }
}
