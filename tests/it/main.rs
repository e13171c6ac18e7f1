//! The whole program from outside: the compiled binary, or the same `App` with a clock that the test sets, and a stand-in
//! OrderWise that keeps state, a real SQLite file, and a real mail server or a mail folder.
//!
//! No test sleeps for a fixed time: `program::eventually` is the only loop that waits, with a deadline, for something observable
//! from outside (a metric, a mail, a line of the log).

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;
mod world;

use support::{certificate, fake_clock, mailbox, program, server};

mod clock;
mod commands;
mod config_edits;
mod copies;
mod credentials;
mod crowds;
mod deaf_logs;
mod delivery;
mod echoes;
mod edges;
mod failures;
mod grace_period;
mod history;
mod logs;
mod mail_accounts;
mod metrics;
mod needed_secrets;
mod new_sessions;
mod notifications;
mod operating;
mod owners;
mod polls;
mod proxies;
mod quick_start;
mod refused_reloads;
mod reload_stress;
mod reloads;
mod renames;
mod restarts;
mod schedules;
mod secrets;
mod service_manager;
mod source_changes;
mod status;
mod stopping;
#[cfg(feature = "otel")]
mod traces;
mod trouble;
mod verdicts;
mod watching;
