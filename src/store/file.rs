//! The file itself: where it really lies, and whether it is still the one that was opened.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::error::{Fault, Trouble};

/// Which file is at a path, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    path: PathBuf,
    file: (u64, u64),
}

impl Identity {
    pub(super) fn of(path: PathBuf) -> Result<Self, Fault> {
        let file = numbers(&std::fs::metadata(&path)?);
        Ok(Self { path, file })
    }

    /// Fails where another file, or none, is at the path now.
    pub(super) fn expect_in_place(&self) -> Result<(), Fault> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if numbers(&metadata) == self.file => Ok(()),
            _ => Err(Trouble::Gone { file: self.path.clone() }.into()),
        }
    }
}

#[cfg(unix)]
fn numbers(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere an open file cannot be deleted, so that one is there is enough.
#[cfg(not(unix))]
fn numbers(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Fails where the file is a database with tables of another program, before anything is changed in it: opening it as ours
/// would change its journal (<https://www.sqlite.org/fileformat.html#the_database_header>). See [`Beginning`] for when to ask.
pub(super) fn expect_not_foreign(path: &Path, ours: &[u32]) -> Result<(), Fault> {
    match File::open(path).ok().and_then(header) {
        Some(header) if header.changes_of_form > 0 && !ours.contains(&header.application) => {
            Err(Trouble::Foreign.into())
        }
        _ => Ok(()), // There is none, or SQLite says what is wrong with it.
    }
}

/// SQLite opens a file that it may not write as a read-only one, without a word. See [`Beginning`] for when to ask.
pub(super) fn expect_writable(path: &Path) -> Result<(), Fault> {
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()), // SQLite makes it, or says why it cannot.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Trouble::ReadOnly.into()),
        Err(error) => Err(error.into()),
    }
}

/// The database, held open to look at its beginning.
///
/// A process that closes a file loses every lock that it has on it, those of SQLite too, and SQLite goes on believing that it has
/// them: the next program that reads the store would take the write-ahead log away under it
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2). So nothing but SQLite may open and close the file while it has it open,
/// and this is closed after it.
#[derive(Debug, Default)]
pub(super) struct Beginning(OnceLock<File>);

impl Beginning {
    /// Opens the file, which is there by now.
    pub(super) fn hold(&self, path: &Path) -> Result<(), Fault> {
        let file = File::open(path)?;
        self.0.get_or_init(|| file);
        Ok(())
    }

    /// Whether the file begins as ours do: opening one that does not, SQLite would take it for an empty database and write to it.
    pub(super) fn is_ours(&self, ours: u32) -> bool {
        let header = self.0.get().and_then(|mut file| file.rewind().ok().and_then(|()| header(file)));
        header.is_some_and(|header| header.application == ours)
    }
}

/// What the beginning of a database says of it.
struct Header {
    changes_of_form: u32,
    application: u32,
}

fn header(mut file: impl Read) -> Option<Header> {
    let mut header = [0; 100];
    file.read_exact(&mut header).ok()?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let is_one = header.starts_with(b"SQLite format 3\0");
    is_one.then(|| Header { changes_of_form: number(40), application: number(68) })
}

/// The file behind any links, so that one file has one lock.
pub(super) fn real(path: &Path) -> Result<PathBuf, Fault> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real.is_dir() { Err(Trouble::Folder.into()) } else { Ok(real) }
}

/// The write-ahead log beside the database.
pub(super) fn log(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The file beside the database whose lock makes an owner.
pub(super) fn lock(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}
