//! Errors of the store: the operation, the file, the cause, and what the operator can do.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

type Cause = Box<dyn Error + Send + Sync>;

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
#[error("the store {} {trouble} (while {operation})", path.display())]
pub struct StoreError {
    pub operation: Operation,
    pub path: PathBuf,
    pub trouble: Trouble,
    #[source]
    cause: Option<Cause>,
}

impl StoreError {
    /// The kind of failure, as a fixed label.
    pub fn label(&self) -> &'static str {
        self.trouble.label()
    }

    /// Whether there is no store yet.
    pub fn is_absent(&self) -> bool {
        matches!(self.trouble, Trouble::Absent)
    }

    /// Whether another process owns the store.
    pub fn is_taken(&self) -> bool {
        matches!(self.trouble, Trouble::Locked { .. })
    }

    pub(super) fn new(operation: Operation, path: &Path, fault: impl Into<Fault>) -> Self {
        let Fault { trouble, cause } = fault.into();
        Self { operation, path: path.to_owned(), trouble, cause }
    }
}

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Open,
    Load,
    Record,
    Notify,
    Deliver,
    Read,
    Prune,
    Probe,
    Backup,
    Restore,
    Purge,
}

impl Operation {
    /// The operations of a running program. A failure of the others ends the program at start.
    pub const WHILE_RUNNING: [Self; 6] =
        [Self::Record, Self::Notify, Self::Deliver, Self::Read, Self::Prune, Self::Probe];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Load => "load",
            Self::Record => "record",
            Self::Notify => "notify",
            Self::Deliver => "outbox",
            Self::Read => "read",
            Self::Prune => "prune",
            Self::Probe => "probe",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Purge => "purge",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening it",
            Self::Load => "loading the state",
            Self::Record => "recording an audit",
            Self::Notify => "recording notifications",
            Self::Deliver => "working on the outbox",
            Self::Read => "reading the history",
            Self::Prune => "removing history past retention",
            Self::Probe => "checking it",
            Self::Backup => "copying it",
            Self::Restore => "restoring it",
            Self::Purge => "removing data",
        })
    }
}

/// The failure, worded to follow the path of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("is in use by {by}")]
    Locked { by: String },
    #[error(
        "was written by a newer Driftwise (schema version {found}; this build supports up to {known}): use that version"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "was written by an older Driftwise (schema version {found}; this build needs {known}): start the daemon once"
    )]
    Older { found: i64, known: i64 },
    #[error(
        "was written by an earlier Driftwise, in a form that this version cannot read: move it away to start with an empty store"
    )]
    Outdated,
    #[error("is a folder, not a file")]
    Folder,
    #[error("is a database of another program")]
    Foreign,
    #[error("is damaged or not a database: restore a copy, or move it away to start with an empty store")]
    Corrupt,
    #[error("holds {what} that cannot be read: restore a copy, or move it away to start with an empty store")]
    Unreadable { what: String },
    #[error("cannot be written: the disk is full")]
    Full,
    #[error("cannot be written: the file, its folder or this connection is read-only")]
    ReadOnly,
    #[error("cannot be opened: this user lacks permission")]
    Forbidden,
    #[error("does not exist")]
    Absent,
    #[error("cannot be created: its folder does not exist")]
    NoFolder,
    #[error("cannot be used: {} was deleted or replaced while it was open: put it back, or restart to continue with what is there now", file.display())]
    Gone { file: PathBuf },
    #[error("has changes in the log of another path to the same file: start once with the path {}", path.display())]
    LogElsewhere { path: PathBuf },
    #[error("was busy for too long")]
    Busy,
    #[error("cannot be read or written: the disk is failing, or the file size limit is reached")]
    Disk,
    #[error("failed")]
    Failed,
}

impl Trouble {
    pub fn label(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "locked",
            Self::Newer { .. } => "newer",
            Self::Older { .. } => "older",
            Self::Outdated => "outdated",
            Self::Folder => "folder",
            Self::Foreign => "foreign",
            Self::Corrupt | Self::Unreadable { .. } => "corrupt",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
            Self::NoFolder => "no_folder",
            Self::Gone { .. } => "gone",
            Self::LogElsewhere { .. } => "log_elsewhere",
            Self::Busy => "busy",
            Self::Disk => "disk",
            Self::Failed => "failed",
        }
    }
}

/// A failure with its cause, before its operation is added.
#[derive(Debug)]
pub(super) struct Fault {
    trouble: Trouble,
    cause: Option<Cause>,
}

impl Fault {
    /// A stored value that cannot be parsed.
    pub(super) fn unreadable(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { trouble: Trouble::Unreadable { what: what.into() }, cause: Some(cause.into()) }
    }
}

impl Fault {
    /// The data read is not the data that was written.
    pub(super) fn is_damage(&self) -> bool {
        self.trouble == Trouble::Corrupt
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, cause: None }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let trouble = match &error {
            sqlx::Error::Database(database) => from_code(database.code().as_deref()),
            sqlx::Error::PoolTimedOut => Trouble::Busy,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Trouble::Corrupt,
            sqlx::Error::Io(io) => from_io(io.kind()),
            _ => Trouble::Failed,
        };
        Self { trouble, cause: Some(Box::new(error)) }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self { trouble: from_io(error.kind()), cause: Some(Box::new(error)) }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self { trouble: Trouble::Failed, cause: Some(Box::new(error)) }
    }
}

/// The primary result code of SQLite is the low byte of the extended one (<https://www.sqlite.org/rescode.html>).
fn from_code(code: Option<&str>) -> Trouble {
    /// `SQLITE_IOERR_SHMSIZE`: no space for the shared memory file while the database is opened.
    const NO_ROOM: u32 = 4874;
    let code = code.and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        _ if code == Some(NO_ROOM) => Trouble::Full,
        Some(3 | 23) => Trouble::Forbidden,
        Some(5 | 6) => Trouble::Busy,
        Some(8) => Trouble::ReadOnly,
        Some(10) => Trouble::Disk,
        Some(11 | 26) => Trouble::Corrupt,
        Some(13) => Trouble::Full,
        _ => Trouble::Failed,
    }
}

fn from_io(kind: ErrorKind) -> Trouble {
    match kind {
        ErrorKind::PermissionDenied => Trouble::Forbidden,
        ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::Full,
        ErrorKind::NotFound => Trouble::NoFolder,
        _ => Trouble::Failed,
    }
}
