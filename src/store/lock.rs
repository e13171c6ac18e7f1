//! A lock on a file beside the database, held by the operating system for as long as the process lives: the first of three
//! guards against a second owner (see `owner`), taken before the database is opened.
//!
//! The lock file stays when its owner goes: removing it would let two processes hold locks on two files of one name.
//! Its text only serves the message that the second owner gets; the lock itself decides.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::error::{Fault, Trouble};
use super::file;

/// Held while this process owns the store.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    /// Takes the lock beside `store`, or fails with its owner.
    pub(super) fn take(store: &Path) -> Result<Self, Fault> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file::lock(store))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Trouble::Locked { by: owner(&mut file) }.into()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

impl Lock {
    /// Whether a process holds the lock beside `store`. To ask, it holds a shared lock for an instant, in which an owner that
    /// starts is refused; so ask only where a row says that there is one.
    pub(super) fn is_held(store: &Path) -> bool {
        let file = File::open(file::lock(store));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Who wrote the lock file, in words.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}
