//! Limits the memory of the rows of one response, so that a small response cannot fill the memory.
//!
//! A row of 2 bytes takes about 70 bytes of memory, a value of 5 bytes about 80. So the parsers count rows, and the memory of
//! values before they allocate it. Values may take `max_body` and a constant more.

use super::{Failure, FetchError};
use crate::domain::reading::RawValue;

/// Most rows of one response. A row is a session, and the largest integrators have 10,000 of them.
pub(super) const MOST_ROWS: usize = 250_000;

/// Memory of values beyond `max_body`, in bytes: 100,000 sessions of 25 settings in short words.
const BEYOND: u64 = 64 << 20;

/// Overhead of one allocation and of the counters of a shared text, in bytes.
const PIECE: u64 = 32;

/// See the module.
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
    /// For a response of at most `max_body` bytes.
    pub fn new(max_body: u64) -> Self {
        let memory = max_body.saturating_add(BEYOND);
        Self { rows: 0, memory, left: memory, full: None }
    }

    /// Counts a row. False if it exceeds the limit.
    pub fn row(&mut self) -> bool {
        self.rows += 1;
        if self.rows > MOST_ROWS {
            self.full = Some(Full::Rows);
        }
        self.full.is_none()
    }

    /// Counts a value, without its text.
    pub fn value(&mut self) -> bool {
        self.take(size_of::<RawValue>() as u64)
    }

    /// Counts a text that no other value shares.
    pub fn text(&mut self, text: &str) -> bool {
        self.take(PIECE + text.len() as u64)
    }

    /// Counts the names of columns. Returns their size in bytes, or none if they exceed the limit.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Option<u64> {
        let taken = names.into_iter().map(|name| size_of::<Box<str>>() as u64 + PIECE + name.len() as u64).sum();
        self.take(taken).then_some(taken)
    }

    fn take(&mut self, bytes: u64) -> bool {
        let left = self.left.checked_sub(bytes);
        if left.is_none() {
            self.full = Some(Full::Values);
        }
        // An exceeded limit stays exceeded.
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    /// Releases bytes that were counted.
    pub fn give_back(&mut self, taken: u64) {
        self.left += taken;
    }

    /// The failure, if a limit was exceeded.
    pub fn overrun(&self) -> Option<FetchError> {
        let reason = match self.full? {
            Full::Rows => "it has more than 250,000 rows".to_owned(),
            Full::Values => format!(
                "its values take more than {} of memory; the limit is max_body and {} more",
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
    fn an_exceeded_limit_is_named_and_stays_exceeded() {
        let mut limits = Limits::new(1 << 20);
        assert!((0..MOST_ROWS).all(|_| limits.row()) && limits.overrun().is_none());
        assert!(!limits.row());
        assert_eq!(limits.overrun().unwrap().reason, "it has more than 250,000 rows");
        let mut limits = Limits::new(1 << 20);
        let text = "x".repeat(64 << 20);
        let names = limits.names(["session_id"]).unwrap();
        assert!(limits.value() && limits.text(&text));
        limits.give_back(names);
        assert!(!limits.text(&text));
        let error = limits.overrun().unwrap();
        assert_eq!(error.failure, Failure::TooLarge);
        assert_eq!(error.reason, "its values take more than 65 MiB of memory; the limit is max_body and 64 MiB more");
        assert!(!limits.value(), "it stays exceeded");
    }
}
