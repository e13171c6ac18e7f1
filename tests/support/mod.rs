//! Scaffolding that the test programs share: the compiled program and the wait for a condition (`program`), mails as their readers
//! get them (`mailbox`), two mail servers (`server` with faults at every stage, `sink` that takes everything), one authority for
//! certificates, an HTTP server that follows a script (`endpoint`), a clock that a test sets (`fake_clock`), ports that refuse every
//! connection, edits of a configuration that must hit, and random numbers from a seed.
//!
//! Each test program includes all of it and uses a part.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

pub mod certificate;
pub mod dice;
pub mod edit;
pub mod endpoint;
pub mod fake_clock;
pub mod mailbox;
pub mod port;
pub mod program;
pub mod server;
pub mod sink;
