//! A wall clock that a test sets, for programs that are started with it. libfaketime shifts their clock by the offset in a file;
//! elapsed time, the times of files and the clock of the machine stay as they are.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a Debian system has the library.
pub fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

pub struct FakeClock {
    file: PathBuf,
    library: PathBuf,
}

impl FakeClock {
    /// A clock that is right so far, with its file in `folder`.
    pub fn new(folder: &Path, library: PathBuf) -> Self {
        let clock = Self { file: folder.join("clock"), library };
        clock.ahead(0);
        clock
    }

    /// Sets it ahead of the real clock by so many seconds. Replaces the file as a whole, so that no program reads half of it.
    pub fn ahead(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    /// The environment variables of a program that has this clock.
    pub fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}
