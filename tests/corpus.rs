//! The corpus of the fuzzers, run through the same functions: no panic, no hang, no growth without bound.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a property that does not hold is a failed test")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

#[path = "../fuzz/src/exercise.rs"]
mod exercise;

/// Longest time for one file, in an unoptimised build on a busy machine. A longer one means that the work grows faster than the
/// input.
const LONGEST: Duration = Duration::from_secs(20);

/// The most memory that this process may ever use, in MiB: every file of the corpus is small, and so is its result.
const MOST: u64 = 256;

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} has only {} files", files.len());
    files
}

/// Runs each file on a thread of its own, so that one that hangs is left behind and fails.
fn run(target: &str, exercise: fn(&[u8])) {
    for file in files(target) {
        let bytes = std::fs::read(&file).unwrap();
        let (done, outcome) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            exercise(&bytes);
            let _ = done.send(());
        });
        match outcome.recv_timeout(LONGEST) {
            Ok(()) => thread.join().unwrap(),
            Err(RecvTimeoutError::Disconnected) => panic!("{} breaks it: see above", file.display()),
            Err(RecvTimeoutError::Timeout) => panic!("{} takes longer than {LONGEST:?}", file.display()),
        }
    }
    let most = largest_ever();
    assert!(most.is_none_or(|most| most < MOST), "the corpus of {target} took {most:?} MiB");
}

/// The most memory that this process ever held, in MiB; `None` if the system does not report it.
fn largest_ever() -> Option<u64> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        assert!(std::env::var_os("CI").is_none(), "/proc/self/status cannot be read");
        eprintln!("SKIPPED: how much memory the corpus takes: only Linux says");
        return None;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    Some(line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024)
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
