//! How much the rows of one answer may hold, so that a small answer cannot fill the memory.
//!
//! A row of two bytes becomes some seventy, a value of five becomes eighty. So rows are counted, and the memory of values is
//! counted before it is taken: it may be as large as the answer may be, and a constant more.

use super::{Failure, FetchError};
use crate::domain::reading::RawValue;

/// Most rows of one answer: one is a session, and the largest integrators have ten thousand of them.
pub(super) const MOST_ROWS: usize = 250_000;

/// What values may take beyond the size that an answer may have: 100,000 sessions of 25 settings in short words.
const BEYOND: u64 = 64 << 20;

/// What the system keeps beside a piece of memory, and the counts of a shared text.
const PIECE: u64 = 32;

/// What is left for the rows of one answer.
#[derive(Debug)]
pub(super) struct Limits {
    rows: usize,
    memory: u64,
    left: u64,
    full: Option<Full>,
}

#[derive(Debug, Clone, Copy)]
enum Full {
    Rows,
    Values,
}

impl Limits {
    /// For an answer that may have `max_body` bytes.
    pub fn new(max_body: u64) -> Self {
        let memory = max_body.saturating_add(BEYOND);
        Self { rows: 0, memory, left: memory, full: None }
    }

    /// One more row. False where there is no room for it.
    pub fn row(&mut self) -> bool {
        self.rows += 1;
        if self.rows > MOST_ROWS {
            self.full = Some(Full::Rows);
        }
        self.full.is_none()
    }

    /// One more value, without its text.
    pub fn value(&mut self) -> bool {
        self.take(size_of::<RawValue>() as u64)
    }

    /// A text that nothing else shares.
    pub fn text(&mut self, text: &str) -> bool {
        self.take(PIECE + text.len() as u64)
    }

    /// The names of columns: what they take, or none where there is no room for them.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Option<u64> {
        let taken = names.into_iter().map(|name| size_of::<Box<str>>() as u64 + PIECE + name.len() as u64).sum();
        self.take(taken).then_some(taken)
    }

    fn take(&mut self, bytes: u64) -> bool {
        let left = self.left.checked_sub(bytes);
        if left.is_none() {
            self.full = Some(Full::Values);
        }
        // What is full stays full.
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    /// What was taken is free again.
    pub fn give_back(&mut self, taken: u64) {
        self.left += taken;
    }

    /// Whether there was no room for something, and for what.
    pub fn overrun(&self) -> Option<FetchError> {
        let reason = match self.full? {
            Full::Rows => "it has more than 250,000 rows".to_owned(),
            Full::Values => format!(
                "its values take more than {} of memory; they may take max_body and {} more",
                super::http::size(self.memory),
                super::http::size(BEYOND)
            ),
        };
        Some(FetchError::new(Failure::TooLarge, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_says_what_there_was_room_for() {
        let mut room = Limits::new(1 << 20);
        assert!((0..MOST_ROWS).all(|_| room.row()) && room.overrun().is_none());
        assert!(!room.row());
        assert_eq!(room.overrun().unwrap().reason, "it has more than 250,000 rows");
        let mut room = Limits::new(1 << 20);
        let text = "x".repeat(64 << 20);
        let names = room.names(["session_id"]).unwrap();
        assert!(room.value() && room.text(&text));
        room.give_back(names);
        assert!(!room.text(&text));
        let error = room.overrun().unwrap();
        assert_eq!(error.failure, Failure::TooLarge);
        assert_eq!(error.reason, "its values take more than 65 MiB of memory; they may take max_body and 64 MiB more");
        assert!(!room.value(), "what is full stays full");
    }
}
