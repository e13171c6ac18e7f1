//! Every trouble of disk and store, under the real daemon: it says so in clear words, counts it, is not ready, mails nothing
//! that was not recorded, and goes on by itself when the trouble is over.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use driftwise::store::MessageState;

use super::dice::until;
use super::house::{Daemon, House, SESSIONS};

const DRIFT: [bool; SESSIONS] = [true, false, false];

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn sql(store: &Path, statement: &str) {
    assert!(run("sqlite3", &[store.to_str().unwrap(), statement]), "these tests need sqlite3");
}

/// A daemon that has looked once and found nothing.
fn started(house: &House, wrapper: &[&str]) -> Daemon {
    let daemon = house.start_under(wrapper);
    daemon.expect_ready(200);
    until("the first look", || daemon.has_looked().then_some(()));
    daemon
}

/// While the store takes nothing: in clear words, counted, not ready, and nobody is told of the drift.
fn suffers(house: &House, daemon: &Daemon, words: &str) {
    let before = house.spooled();
    house.write(DRIFT);
    daemon.expect_said(words);
    daemon.expect_ready(503);
    until("two errors of recording", || (daemon.errors_of_recording() >= 2).then_some(()));
    assert_eq!(house.spooled(), before, "mail about what is not recorded");
    assert!(daemon.get("/readyz").unwrap().1.contains("store: "));
    assert_eq!(daemon.get("/healthz").unwrap().0, 200);
}

/// Once the trouble is over: ready again without a restart, and the drift is told once to each.
fn recovers(house: &House, daemon: &Daemon) {
    daemon.expect_ready(200);
    until("the mail about the drift", || (house.spooled().len() == 2).then_some(()));
    let known = until("its record", || {
        let known = house.known().unwrap();
        known.messages.iter().all(|message| message.state == MessageState::Sent).then_some(known)
    });
    assert_eq!(known.messages.len(), 2);
    assert_eq!(known.events.iter().filter(|event| event.what.opened().is_some()).count(), 1);
}

/// Loud, and a failure where a machine is meant to run everything.
fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped here: {why}");
    println!("SKIPPED: {why}");
}

/// Something done to the store while nobody uses it.
type Harm = fn(&House);

/// A file system of its own for the store; none where this user may not mount.
struct Mount(std::path::PathBuf);

impl Mount {
    fn small(house: &House) -> Option<Self> {
        let folder = house.store.parent().unwrap().to_owned();
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
fn a_full_disk_is_called_so_and_when_there_is_room_everything_goes_on() {
    let house = House::with_spool();
    let Some(mount) = Mount::small(&house) else {
        return skipped("this user may not mount a small disk; the limit on file sizes stands in for it");
    };
    let mut daemon = started(&house, &[]);
    let filler = mount.0.join("filler");
    fs::write(&filler, vec![0_u8; 1 << 22]).unwrap_err();
    // What is left of a log that was written before still has room for a little.
    suffers(&house, &daemon, "the disk is full");
    fs::remove_file(filler).unwrap();
    recovers(&house, &daemon);
    // Before it goes, so that nothing holds the disk.
    daemon.kill();
}

#[test]
fn a_disk_that_is_full_at_start_ends_the_daemon_with_4_and_clear_words() {
    // Before there is a store, and with one that was there before.
    for first in [true, false] {
        let house = House::with_spool();
        let Some(mount) = Mount::small(&house) else {
            return skipped("this user may not mount a small disk");
        };
        if !first {
            started(&house, &[]).kill();
            sql(&house.store, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
        let filler = mount.0.join("filler");
        fs::write(&filler, vec![0_u8; 1 << 22]).unwrap_err();
        let (code, said) = house.start().ended();
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("the disk is full") && said.contains("driftwise.db"), "{said}");
        fs::remove_file(filler).unwrap();
        started(&house, &[]).kill();
    }
}

/// Puts `bytes` over the file, in place: the same file, for whoever has it open.
fn overwrite(store: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(store).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_store_that_is_damaged_while_in_use_is_called_so_until_it_is_whole_again() {
    // All but the header, or all of it.
    for left in [100, 0] {
        damaged(left);
    }
}

fn damaged(left: usize) {
    let house = House::with_spool();
    let daemon = started(&house, &[]);
    // While it stands still, and is not just writing: everything in the one file, and its log begun anew, so that it has to
    // read again what it has at hand.
    let signal = |name: &str| assert!(run("kill", &[name, &daemon.id()]));
    until("a moment at which it does not write", || {
        signal("-STOP");
        let folded = Command::new("sqlite3").arg(&house.store).arg("PRAGMA wal_checkpoint(TRUNCATE)").output().unwrap();
        let at_rest = folded.stdout.starts_with(b"0|");
        if !at_rest {
            signal("-CONT");
        }
        at_rest.then_some(())
    });
    let whole = fs::read(&house.store).unwrap();
    overwrite(&house.store, &[&whole[..left], &vec![if left == 0 { 0 } else { 0xA5 }; whole.len() - left]].concat());
    signal("-CONT");
    suffers(&house, &daemon, "is damaged");
    overwrite(&house.store, &whole);
    recovers(&house, &daemon);
    expect_unmoved_by_a_visitor(&house);
}

/// Another program that opens the store to look into it is not the last one that has it open, and so leaves the log.
fn expect_unmoved_by_a_visitor(house: &House) {
    let log = house.store.with_extension("db-wal");
    assert!(log.exists(), "{}", log.display());
    sql(&house.store, "SELECT count(*) FROM sqlite_schema");
    assert!(log.exists(), "a visitor took the log away");
}

#[test]
fn a_visitor_takes_nothing_from_a_store_however_often_it_was_opened() {
    let house = House::with_spool();
    for _ in 0..2 {
        let mut daemon = started(&house, &[]);
        expect_unmoved_by_a_visitor(&house);
        daemon.kill();
    }
    let daemon = started(&house, &[]);
    expect_unmoved_by_a_visitor(&house);
    house.write(DRIFT);
    recovers(&house, &daemon);
}

#[test]
fn a_limit_on_file_sizes_is_called_a_trouble_of_the_disk_and_does_not_kill() {
    let house = House::with_spool();
    // What a shell ignores, its child ignores: the signal would end the daemon.
    let daemon = started(&house, &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let process = daemon.id();
    assert!(run("prlimit", &["--pid", &process, "--fsize=65536:unlimited"]), "these tests need prlimit");
    // Mail and logs obey the limit as well, but are far smaller than the log of the store already is.
    suffers(&house, &daemon, "a limit on the size of files");
    assert!(run("prlimit", &["--pid", &process, "--fsize=unlimited"]));
    recovers(&house, &daemon);
}

#[test]
fn a_store_that_another_program_holds_is_busy_until_it_lets_go() {
    let house = House::with_spool();
    let daemon = started(&house, &[]);
    let mut other = Command::new("sqlite3").arg(&house.store).stdin(Stdio::piped()).spawn().unwrap();
    let mut hands = other.stdin.take().unwrap();
    hands.write_all(b".timeout 10000\nBEGIN EXCLUSIVE;\n").unwrap();
    suffers(&house, &daemon, "was busy for too long");
    drop(hands);
    other.wait().unwrap();
    recovers(&house, &daemon);
}

#[test]
fn a_store_that_is_deleted_while_in_use_is_missed_until_it_is_put_back() {
    let house = House::with_spool();
    let daemon = started(&house, &[]);
    let away = house.folder.path().join("away.db");
    fs::rename(&house.store, &away).unwrap();
    suffers(&house, &daemon, "was deleted or replaced meanwhile");
    assert!(!house.store.exists(), "something was made in its place");
    fs::rename(&away, &house.store).unwrap();
    recovers(&house, &daemon);
}

#[test]
fn a_store_that_is_deleted_for_good_is_made_anew_by_a_restart() {
    let house = House::with_spool();
    let mut daemon = started(&house, &[]);
    for file in fs::read_dir(house.store.parent().unwrap()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    suffers(&house, &daemon, "was deleted or replaced meanwhile");
    daemon.kill();
    let daemon = house.start();
    recovers(&house, &daemon);
}

#[test]
fn what_cannot_be_opened_ends_the_daemon_with_4_and_clear_words_and_is_left_alone() {
    let newer = |house: &House| sql(&house.store, "PRAGMA user_version = 999");
    let corrupt = |house: &House| fs::write(&house.store, "no database at all ".repeat(1_000)).unwrap();
    let torn = |house: &House| {
        let bytes = fs::read(&house.store).unwrap();
        fs::write(&house.store, [&bytes[..100], &vec![0xA5; bytes.len() - 100]].concat()).unwrap();
    };
    let foreign = |house: &House| {
        fs::remove_file(&house.store).unwrap();
        sql(&house.store, "CREATE TABLE theirs (x)");
    };
    let folder = |house: &House| {
        fs::remove_file(&house.store).unwrap();
        fs::create_dir(&house.store).unwrap();
    };
    let no_folder = |house: &House| fs::remove_dir_all(house.store.parent().unwrap()).unwrap();
    let cases: [(Harm, &str); 6] = [
        (newer, "newer Driftwise"),
        (corrupt, "damaged or not a database"),
        (torn, "damaged or not a database"),
        (foreign, "a database of another program"),
        (folder, "is a folder"),
        (no_folder, "its folder does not exist"),
    ];
    for (harm, words) in cases {
        let house = House::with_spool();
        let mut daemon = started(&house, &[]);
        daemon.kill();
        // As an orderly stop leaves it: one file.
        sql(&house.store, "PRAGMA wal_checkpoint(TRUNCATE)");
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", house.store.display()));
        }
        harm(&house);
        let before = fs::read(&house.store).ok();
        let (code, said) = house.start().ended();
        assert_eq!(code, Some(4), "{words}: {said}");
        assert!(said.contains(words) && said.contains("driftwise.db"), "{words}: {said}");
        assert!(fs::read(&house.store).ok() == before, "{words}: the file was changed");
    }
}

#[test]
fn a_second_daemon_is_told_who_has_the_store() {
    let house = House::with_spool();
    let first = started(&house, &[]);
    let other = House::with_spool();
    let config = fs::read_to_string(other.folder.path().join("driftwise.yaml")).unwrap();
    let config = config.replace("sqlite://store/driftwise.db", &format!("sqlite://{}", house.store.display()));
    fs::write(other.folder.path().join("driftwise.yaml"), config).unwrap();
    let (code, said) = other.start().ended();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("is in use by process {}", first.id())), "{said}");
}

#[test]
fn a_store_that_may_not_be_written_is_refused_at_start() {
    if !run(
        "setpriv",
        &["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_driftwise"), "--version"],
    ) {
        return skipped("this user may not run a program as nobody");
    }
    let house = House::with_spool();
    started(&house, &[]).kill();
    let allow = |path: &Path, mode: &str| assert!(run("chmod", &[mode, path.to_str().unwrap()]));
    allow(house.folder.path(), "777");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    for (folder, file, words) in [("755", "644", "lacks the permission"), ("777", "444", "read-only")] {
        allow(house.store.parent().unwrap(), folder);
        allow(&house.store, file);
        let lock = format!("{}.lock", house.store.display());
        if folder == "777" {
            allow(Path::new(&lock), "666");
        }
        let (code, said) = house.start_under(&nobody).ended();
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}
