//! The real daemon, killed at random moments a thousand times in a row (`scripts/death`; some dozens of times in the gate), and
//! with every trouble that a disk and a store can have.
//!
//! A run that failed is repeated with the seed that it printed: `DRIFTWISE_DEATH_SEED=... cargo test --test death`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "how the test went, for people")]

#[path = "death/begin.rs"]
mod begin;
#[path = "death/harness.rs"]
mod harness;
#[path = "death/kill.rs"]
mod kill;
mod support;
#[path = "death/trouble.rs"]
mod trouble;
