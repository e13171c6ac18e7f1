//! The whole program from outside: the compiled binary, or the same `App` under a clock that is set by hand, with a stand-in
//! OrderWise that keeps state, a real SQLite file, and a real mail server or a mail folder.
//!
//! Nothing waits for a while and hopes: `program::eventually` is the one loop that polls, with a deadline, on something that
//! can be observed from outside (a metric, a mail, a line of the log).

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;
mod world;

use support::{certificate, mailbox, program, server};

mod clock;
mod commands;
mod config_edits;
mod crowds;
mod deaf_logs;
mod delivery;
mod echoes;
mod edges;
mod failures;
mod grace_period;
mod logs;
mod metrics;
mod notifications;
mod owners;
mod polls;
mod proxies;
mod quick_start;
mod reloads;
mod renames;
mod restarts;
mod schedules;
mod secrets;
mod source_changes;
mod stopping;
mod verdicts;
mod watching;
