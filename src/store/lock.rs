//! A lock on a file beside the database, held by the operating system for as long as the process lives: the first of three
//! guards against a second owner (see `owner`), taken before the database is opened.
//!
//! The lock file stays when its owner ends: removing it would let two processes hold locks on two files of one name. Its text
//! only serves the message that a second owner gets; the lock itself decides.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::error::{Fault, Trouble};
use super::file;

/// Attempts to take the lock: a reader that asks for the owner holds it for an instant.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Held while this process owns the store.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    /// Takes the lock beside `store`, or fails with its owner.
    pub(super) fn take(store: &Path) -> Result<Self, Fault> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file::lock(store))?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Err(TryLockError::WouldBlock) => return Err(Trouble::Locked { by: owner(&mut file) }.into()),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

impl Lock {
    /// Whether a process holds the lock beside `store`. To ask, it holds a shared lock for an instant, for which [`Lock::take`]
    /// waits.
    pub(super) fn is_held(store: &Path) -> bool {
        let file = File::open(file::lock(store));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// The process that wrote the lock file, in words.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_asks_for_the_owner_does_not_refuse_one_that_starts() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("driftwise.db");
        drop(Lock::take(&store).unwrap());
        let asking = File::open(file::lock(&store)).unwrap();
        asking.lock_shared().unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| Lock::take(&store));
            drop(asking);
            assert!(taken.join().unwrap().is_ok());
        });
        let held = Lock::take(&store).unwrap();
        assert!(Lock::is_held(&store) && Lock::take(&store).is_err());
        drop(held);
    }
}
