//! Every trouble of disk and store, under the real daemon: it reports the trouble in clear words, counts it, is not ready, mails
//! nothing that was not recorded, and goes on by itself when the trouble is over.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use driftwise::store::NotificationState;

use super::harness::{Harness, SESSIONS, ended, errors_of_recording, expect_ready, expect_said, was_polled};
use crate::support::edit::edit;
use crate::support::program::{Daemon, eventually};

const DRIFT: [bool; SESSIONS] = [true, false, false];

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn sql(store: &Path, statement: &str) {
    assert!(run("sqlite3", &[store.to_str().unwrap(), statement]), "these tests need sqlite3");
}

/// A daemon that has polled once and found no drift.
fn started(harness: &Harness, wrapper: &[&str]) -> Daemon {
    let daemon = harness.start_under(wrapper);
    expect_ready(&daemon, 200);
    eventually("the first poll", || was_polled(&daemon).then_some(()));
    daemon
}

/// Asserts that the daemon reports the trouble in these words, counts it, is not ready, and sends no mail about the drift.
fn suffers(harness: &Harness, daemon: &Daemon, words: &str) {
    let before = harness.spooled();
    harness.write(DRIFT);
    expect_said(daemon, words);
    expect_ready(daemon, 503);
    eventually("two errors of recording", || (errors_of_recording(daemon) >= 2.0).then_some(()));
    assert_eq!(harness.spooled(), before, "mail about what is not recorded");
    assert!(daemon.get("/readyz").1.contains("store: "));
    assert_eq!(daemon.get("/healthz").0, 200);
}

/// Asserts that the daemon is ready again without a restart, and notifies each recipient of the drift once.
fn recovers(harness: &Harness, daemon: &Daemon) {
    expect_ready(daemon, 200);
    eventually("the mail about the drift", || (harness.spooled().len() == 2).then_some(()));
    let known = eventually("its record", || {
        let known = harness.known().unwrap();
        known.messages.iter().all(|message| message.state == NotificationState::Sent).then_some(known)
    });
    assert_eq!(known.messages.len(), 2);
    assert_eq!(known.events.iter().filter(|event| event.what.opened().is_some()).count(), 1);
}

/// Moves the log of the store into its file and truncates it; false if the daemon was writing or reading at that moment.
fn emptied_log(harness: &Harness) -> bool {
    let folded = Command::new("sqlite3").arg(&harness.store).arg("PRAGMA wal_checkpoint(TRUNCATE)").output().unwrap();
    folded.stdout.starts_with(b"0|")
}

/// Reports the skipped test, and fails where every test must run.
fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped here: {why}");
    println!("SKIPPED: {why}");
}

/// A change of the store while no process uses it.
type Harm = fn(&Harness);

/// A file system of its own for the store; absent if this user may not mount.
struct Mount(std::path::PathBuf);

impl Mount {
    fn small(harness: &Harness) -> Option<Self> {
        let folder = harness.store.parent().unwrap().to_owned();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=2m", "none", folder.to_str().unwrap()]);
        mounted.then_some(Self(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_full_disk_is_reported_and_everything_goes_on_when_there_is_room() {
    let harness = Harness::with_spool();
    let Some(mount) = Mount::small(&harness) else {
        return skipped("this user may not mount a small disk; the limit on file sizes stands in for it");
    };
    let daemon = started(&harness, &[]);
    // A log that was written before could have room for the drift, which would then be recorded and notified.
    eventually("an empty log", || emptied_log(&harness).then_some(()));
    let filler = mount.0.join("filler");
    fs::write(&filler, vec![0_u8; 1 << 22]).unwrap_err();
    suffers(&harness, &daemon, "the disk is full");
    fs::remove_file(filler).unwrap();
    recovers(&harness, &daemon);
    // Before the file system is unmounted, so that nothing holds it.
    daemon.kill();
}

#[test]
fn a_disk_that_is_full_at_start_ends_the_daemon_with_4_and_a_clear_reason() {
    // Before there is a store, and with an earlier one.
    for first in [true, false] {
        let harness = Harness::with_spool();
        let Some(mount) = Mount::small(&harness) else {
            return skipped("this user may not mount a small disk");
        };
        if !first {
            started(&harness, &[]).kill();
            sql(&harness.store, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
        let filler = mount.0.join("filler");
        fs::write(&filler, vec![0_u8; 1 << 22]).unwrap_err();
        let (code, said) = ended(harness.start());
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("the disk is full") && said.contains("driftwise.db"), "{said}");
        fs::remove_file(filler).unwrap();
        started(&harness, &[]).kill();
    }
}

/// Overwrites the file with `bytes` in place, so that a process that has it open sees them.
fn overwrite(store: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(store).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_store_that_is_damaged_while_in_use_is_reported_until_it_is_whole_again() {
    // All but the header, or the whole file.
    for left in [100, 0] {
        damaged(left);
    }
}

fn damaged(left: usize) {
    let harness = Harness::with_spool();
    let daemon = started(&harness, &[]);
    // At a moment when it does not write: all content is in the one file and the log begins again, so the daemon must read from
    // the file.
    let signal = |name: &str| assert!(run("kill", &[name, &daemon.pid().to_string()]));
    eventually("a moment at which it does not write", || {
        signal("-STOP");
        let at_rest = emptied_log(&harness);
        if !at_rest {
            signal("-CONT");
        }
        at_rest.then_some(())
    });
    let whole = fs::read(&harness.store).unwrap();
    overwrite(&harness.store, &[&whole[..left], &vec![if left == 0 { 0 } else { 0xA5 }; whole.len() - left]].concat());
    signal("-CONT");
    suffers(&harness, &daemon, "is damaged");
    overwrite(&harness.store, &whole);
    recovers(&harness, &daemon);
    expect_unmoved_by_a_visitor(&harness);
}

/// Another program that opens the store for reading is not the last to close it, and so leaves the log.
fn expect_unmoved_by_a_visitor(harness: &Harness) {
    let log = harness.store.with_extension("db-wal");
    assert!(log.exists(), "{}", log.display());
    sql(&harness.store, "SELECT count(*) FROM sqlite_schema");
    assert!(log.exists(), "a visitor took the log away");
}

#[test]
fn a_reader_leaves_the_log_of_a_store_in_place_however_often_it_was_opened() {
    let harness = Harness::with_spool();
    for _ in 0..2 {
        let daemon = started(&harness, &[]);
        expect_unmoved_by_a_visitor(&harness);
        daemon.kill();
    }
    let daemon = started(&harness, &[]);
    expect_unmoved_by_a_visitor(&harness);
    harness.write(DRIFT);
    recovers(&harness, &daemon);
}

#[test]
fn a_limit_on_file_sizes_is_reported_and_does_not_kill_the_daemon() {
    let harness = Harness::with_spool();
    // A child ignores the signals that its shell ignores: this one would end the daemon.
    let daemon = started(&harness, &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let process = daemon.pid().to_string();
    assert!(run("prlimit", &["--pid", &process, "--fsize=65536:unlimited"]), "these tests need prlimit");
    // Mail and logs obey the limit as well, but are far smaller than the log of the store already is.
    suffers(&harness, &daemon, "the file size limit");
    assert!(run("prlimit", &["--pid", &process, "--fsize=unlimited"]));
    recovers(&harness, &daemon);
}

#[test]
fn a_store_that_another_program_holds_is_busy_until_it_lets_go() {
    let harness = Harness::with_spool();
    let daemon = started(&harness, &[]);
    let mut other = Command::new("sqlite3").arg(&harness.store).stdin(Stdio::piped()).spawn().unwrap();
    let mut hands = other.stdin.take().unwrap();
    hands.write_all(b".timeout 10000\nBEGIN EXCLUSIVE;\n").unwrap();
    suffers(&harness, &daemon, "was busy for too long");
    drop(hands);
    other.wait().unwrap();
    recovers(&harness, &daemon);
}

#[test]
fn a_store_that_is_deleted_while_in_use_is_reported_until_it_is_put_back() {
    let harness = Harness::with_spool();
    let daemon = started(&harness, &[]);
    let away = harness.folder.path().join("away.db");
    fs::rename(&harness.store, &away).unwrap();
    suffers(&harness, &daemon, "was deleted or replaced while it was open");
    assert!(!harness.store.exists(), "something was made in its place");
    fs::rename(&away, &harness.store).unwrap();
    recovers(&harness, &daemon);
}

#[test]
fn a_store_that_is_deleted_for_good_is_created_again_by_a_restart() {
    let harness = Harness::with_spool();
    let daemon = started(&harness, &[]);
    for file in fs::read_dir(harness.store.parent().unwrap()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    suffers(&harness, &daemon, "was deleted or replaced while it was open");
    daemon.kill();
    let daemon = harness.start();
    recovers(&harness, &daemon);
}

#[test]
fn a_store_that_cannot_be_opened_ends_the_daemon_with_4_and_a_clear_reason_and_stays_unchanged() {
    let newer = |harness: &Harness| sql(&harness.store, "PRAGMA user_version = 999");
    let corrupt = |harness: &Harness| fs::write(&harness.store, "no database at all ".repeat(1_000)).unwrap();
    let torn = |harness: &Harness| {
        let bytes = fs::read(&harness.store).unwrap();
        fs::write(&harness.store, [&bytes[..100], &vec![0xA5; bytes.len() - 100]].concat()).unwrap();
    };
    let foreign = |harness: &Harness| {
        fs::remove_file(&harness.store).unwrap();
        sql(&harness.store, "CREATE TABLE theirs (x)");
    };
    let folder = |harness: &Harness| {
        fs::remove_file(&harness.store).unwrap();
        fs::create_dir(&harness.store).unwrap();
    };
    let no_folder = |harness: &Harness| fs::remove_dir_all(harness.store.parent().unwrap()).unwrap();
    let cases: [(Harm, &str); 6] = [
        (newer, "newer Driftwise"),
        (corrupt, "damaged or not a database"),
        (torn, "damaged or not a database"),
        (foreign, "a database of another program"),
        (folder, "is a folder"),
        (no_folder, "its folder does not exist"),
    ];
    for (harm, words) in cases {
        let harness = Harness::with_spool();
        let daemon = started(&harness, &[]);
        daemon.kill();
        // As after an orderly stop: one file.
        sql(&harness.store, "PRAGMA wal_checkpoint(TRUNCATE)");
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", harness.store.display()));
        }
        harm(&harness);
        let before = fs::read(&harness.store).ok();
        let (code, said) = ended(harness.start());
        assert_eq!(code, Some(4), "{words}: {said}");
        assert!(said.contains(words) && said.contains("driftwise.db"), "{words}: {said}");
        assert!(fs::read(&harness.store).ok() == before, "{words}: the file was changed");
    }
}

#[test]
fn a_second_daemon_names_the_owner_of_the_store() {
    let harness = Harness::with_spool();
    let first = started(&harness, &[]);
    let other = Harness::with_spool();
    let store = format!("sqlite://{}", harness.store.display());
    edit(&other.folder.path().join("driftwise.yaml"), &[("sqlite://store/driftwise.db", &store)]);
    let (code, said) = ended(other.start());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("is in use by process {}", first.pid())), "{said}");
}

#[test]
fn a_store_that_may_not_be_written_is_refused_at_start() {
    if !run(
        "setpriv",
        &["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_driftwise"), "--version"],
    ) {
        return skipped("this user may not run a program as nobody");
    }
    let harness = Harness::with_spool();
    started(&harness, &[]).kill();
    let allow = |path: &Path, mode: &str| assert!(run("chmod", &[mode, path.to_str().unwrap()]));
    allow(harness.folder.path(), "777");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    for (folder, file, words) in [("755", "644", "lacks permission"), ("777", "444", "read-only")] {
        allow(harness.store.parent().unwrap(), folder);
        allow(&harness.store, file);
        let lock = format!("{}.lock", harness.store.display());
        if folder == "777" {
            allow(Path::new(&lock), "666");
        }
        let (code, said) = ended(harness.start_under(&nobody));
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}
