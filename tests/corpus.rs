//! The corpus of the fuzzers, run through the very functions that they run: no panic, no hang.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a property that does not hold is a failed test")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/src/exercise.rs"]
mod exercise;

/// For one file, in an unoptimised build on a busy machine. What takes longer than that grows faster than its input.
const LONGEST: Duration = Duration::from_secs(20);

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} has only {} files", files.len());
    files
}

fn run(target: &str, exercise: fn(&[u8])) {
    for file in files(target) {
        let bytes = std::fs::read(&file).unwrap();
        let started = Instant::now();
        let survived = std::panic::catch_unwind(|| exercise(&bytes)).is_ok();
        assert!(survived, "{} breaks it: see above", file.display());
        let took = started.elapsed();
        assert!(took < LONGEST, "{} took {took:?}", file.display());
    }
}

#[test]
fn no_configuration_breaks_the_reader() {
    run("config", exercise::config);
}

#[test]
fn no_policy_breaks_the_reader() {
    run("policy", exercise::policy);
}

#[test]
fn no_value_breaks_its_reading() {
    run("reading", exercise::reading);
}

#[test]
fn no_answer_breaks_an_audit_or_a_mail() {
    run("answer", exercise::answer);
}

#[test]
fn no_grid_breaks_an_audit_or_a_mail() {
    run("grid", exercise::grid);
}
