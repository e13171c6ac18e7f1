//! The database file: its real path, its identity, and the lock on its inode.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Fault, Trouble};

/// The identity of a file, whatever path leads to it.
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

    /// Fails if another file, or none, is at the path now.
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

/// On other systems an open file cannot be deleted, so it is enough that the file exists.
#[cfg(not(unix))]
fn numbers(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// The database, held open beside SQLite: to lock it, and to read its header.
///
/// A process that closes a file loses every POSIX lock that it has on it, also those of SQLite, and SQLite goes on believing that
/// it has them: the next program that reads the store would remove the write-ahead log while it is in use
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2). So nothing but SQLite may open and close the file while SQLite has it open:
/// this is opened before and closed after it.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    /// Opens the file, and creates it if there is none. Fails if it is not writable: SQLite would open it read-only without an
    /// error.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644); // as SQLite creates it
        match options.open(path) {
            Ok(file) => Ok(Self(file)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => Err(Trouble::ReadOnly.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the database is still to be created.
    pub fn is_empty(&self) -> Result<bool, Fault> {
        Ok(self.0.metadata()?.len() == 0)
    }

    /// Locks the inode.
    ///
    /// This is an open file description lock (`fcntl(2)`): unlike a POSIX lock it is not lost when another descriptor is closed.
    /// It is on a byte that SQLite never locks, so the two do not conflict, also on file systems that treat all locks alike.
    pub fn lock(self: &Arc<Self>) -> std::io::Result<Locking> {
        Ok(match set_lock(&self.0, true)? {
            Some(true) => Locking::Held(InodeLock(Arc::clone(self))),
            Some(false) => Locking::Taken,
            None => Locking::Unknown,
        })
    }

    /// Fails if the file is a database with tables of another program, before anything is changed in it: opening it as ours would
    /// change its journal (<https://www.sqlite.org/fileformat.html#the_database_header>).
    pub fn expect_not_foreign(&self, ours: &[u32]) -> Result<(), Fault> {
        match self.header() {
            Some(header) if header.changes_of_form > 0 && !ours.contains(&header.application) => {
                Err(Trouble::Foreign.into())
            }
            _ => Ok(()), // There is none yet, or SQLite says what is wrong with it.
        }
    }

    /// Whether the file begins as ours do. SQLite would take one that does not for an empty database, and write to it.
    pub fn is_ours(&self, ours: u32) -> bool {
        self.header().is_some_and(|header| header.application == ours)
    }

    /// The identity of this file, as found at `path`.
    pub fn identity(&self, path: &Path) -> Result<Identity, Fault> {
        Ok(Identity { path: path.to_owned(), file: numbers(&self.0.metadata()?) })
    }

    fn header(&self) -> Option<Header> {
        let mut file = &self.0;
        file.rewind().ok()?;
        header(file)
    }
}

/// The outcome of locking an inode.
#[derive(Debug)]
pub(super) enum Locking {
    Held(InodeLock),
    /// Another process has it.
    Taken,
    /// The system or the file system has no such locks.
    Unknown,
}

/// Released when it is dropped, or with the process. The connections of SQLite, which use the file through [`Held`], may last a
/// little longer.
#[derive(Debug)]
pub(super) struct InodeLock(Arc<Held>);

impl Drop for InodeLock {
    fn drop(&mut self) {
        // If that fails, it is released with the last connection.
        let _ = set_lock(&self.0.0, false);
    }
}

/// Sets or removes the lock. Returns whether that was possible, or `None` where there are no such locks.
#[cfg(target_os = "linux")]
fn set_lock(file: &File, locked: bool) -> std::io::Result<Option<bool>> {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    /// Beyond the 512 bytes from 1 GiB on that SQLite locks (`PENDING_BYTE` in its `os.h`).
    const BYTE: libc::off_t = (1 << 30) + 1024;
    let kind = if locked { libc::F_WRLCK } else { libc::F_UNLCK };
    #[expect(clippy::cast_possible_truncation, reason = "constants of a few bits")]
    let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    let lock = libc::flock { l_type, l_whence, l_start: BYTE, l_len: 1, l_pid: 0 };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(Some(true)),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Some(false)),
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENOLCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as elsewhere")]
fn set_lock(_: &File, _: bool) -> std::io::Result<Option<bool>> {
    Ok(None)
}

/// Whether two paths lead to one file.
pub(super) fn are_same(one: &Path, other: &Path) -> bool {
    let metadata = |path| std::fs::metadata(path).map(|metadata| numbers(&metadata));
    matches!((metadata(one), metadata(other)), (Ok(one), Ok(other)) if one == other)
}

/// The header of a database.
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

/// The index of the log, which the connections share.
pub(super) fn shared_memory(path: &Path) -> PathBuf {
    beside(path, "-shm")
}

/// The file beside the database whose lock makes an owner.
pub(super) fn lock(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}
