//! The files under `deploy/`, checked against the program: the expressions of the alert rules and of the dashboard name metrics,
//! labels and values that a running daemon serves; each alert has tests of its own and a runbook.
//!
//! Prometheus itself (promtool) checks the rules and runs their tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dashboard;
mod labels;
mod rules;
mod scrape;
#[path = "../support/mod.rs"]
mod support;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "shared with the tests of the whole program, which use all of it")]
mod world;

use std::path::{Path, PathBuf};

use support::{mailbox, program};

/// A file of the project.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap()
}
