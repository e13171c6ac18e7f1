//! The file itself: where it really lies, and whether it is still the one that was opened.

use std::ffi::OsString;
use std::fs::{Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{Fault, Trouble};

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(path: &Path) -> Result<Self, Fault> {
        Ok(Self::from(&std::fs::metadata(path)?))
    }

    /// Fails where another file, or none, is at `path` now.
    pub(super) fn expect_at(self, path: &Path) -> Result<(), Fault> {
        match std::fs::metadata(path) {
            Ok(metadata) if Self::from(&metadata) == self => Ok(()),
            _ => Err(Trouble::Gone.into()),
        }
    }
}

impl From<&Metadata> for Identity {
    #[cfg(unix)]
    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(metadata.dev(), metadata.ino())
    }

    /// Elsewhere an open file cannot be deleted, so that one is there is enough.
    #[cfg(not(unix))]
    fn from(_: &Metadata) -> Self {
        Self(0, 0)
    }
}

/// SQLite opens a file that it may not write as a read-only one, without a word.
pub(super) fn expect_writable(path: &Path) -> Result<(), Fault> {
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Trouble::ReadOnly.into()),
        Err(error) => Err(error.into()),
    }
}

/// The file behind any links, so that one file has one lock.
pub(super) fn real(path: &Path) -> Result<PathBuf, Fault> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real.is_dir() { Err(Trouble::Folder.into()) } else { Ok(real) }
}

/// Whether a write-ahead log lies beside the database.
pub(super) fn has_log(path: &Path) -> bool {
    let mut name = OsString::from(path);
    name.push("-wal");
    Path::new(&name).exists()
}
