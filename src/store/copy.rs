//! Copies of a store: `backup` and `restore`.
//!
//! A copy is written by `VACUUM INTO` under a temporary name in the folder of its target, from one read transaction, so an owner
//! may write meanwhile. It gets its name once SQLite has found it sound and it is flushed to the disk. An interrupted copy leaves
//! nothing at the target; only a process that is killed leaves the temporary file, `TARGET.PROCESS.partial`.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::error::{Fault, Operation, StoreError, Trouble};
use super::form::read;
use super::{BUSY, Store, file, pool, schema};
use crate::domain::state::SourceRecord;

/// The content of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// In bytes.
    pub size: u64,
    /// Sources that were ever polled.
    pub sources: usize,
    pub last_poll: Option<DateTime<Utc>>,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{} exists", path.display())]
    Exists { path: PathBuf },
    #[error("{} belongs to the store itself", path.display())]
    Same { path: PathBuf },
    #[error("{} is damaged, of a version that can no longer be read, or not a backup of a store; the store is unchanged", path.display())]
    Unusable { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CopyError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

impl Store {
    /// Copies the store at `path` to `target`, also while a process owns it. `replace` permits a file at `target`.
    pub async fn backup(path: &Path, target: &Path, replace: bool) -> Result<Copied, CopyError> {
        let target = std::path::absolute(target).map_err(CopyError::write(target))?;
        let free = || match target.try_exists() {
            Ok(exists) if !exists || replace => Ok(()),
            Ok(_) => Err(CopyError::Exists { path: target.clone() }),
            Err(error) => Err(CopyError::write(&target)(error)),
        };
        free()?;
        let failed = |fault| StoreError::new(Operation::Backup, path, fault);
        expect_other(&file::real(path).map_err(failed)?, &target)?;
        loop {
            let before = Traces::of(path);
            let store = Self::read(path).await?;
            let (partial, copied) = Partial::write(Operation::Backup, path, &store.readers, &target).await?;
            store.readers.close().await;
            // A store without a log is read without locks (see `open_read`), so a write meanwhile means another attempt.
            if before.log || before == Traces::of(path) {
                free()?;
                partial.persist(&target)?;
                return Ok(copied);
            }
        }
    }
}

/// Fails where a copy at `target` would replace a file of the store.
fn expect_other(store: &Path, target: &Path) -> Result<(), CopyError> {
    let own = [store.to_owned(), file::log(store), file::shared_memory(store), file::lock(store)];
    let real = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    if own.iter().any(|own| *own == real || file::are_same(own, target)) {
        return Err(CopyError::Same { path: target.to_owned() });
    }
    Ok(())
}

/// Whether a process has written to the store.
#[derive(PartialEq)]
struct Traces {
    log: bool,
    database: Option<(u64, SystemTime)>,
}

impl Traces {
    fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        let database = metadata.and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
        Self { log: file::log(path).exists(), database }
    }
}

/// A copy that does not have its name yet; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
}

impl Partial {
    /// Copies what `from` reads, beside `target`, without the owner; checks the copy and flushes it to the disk. Errors name
    /// `store`, unless they are about the copy.
    pub(super) async fn write(
        operation: Operation,
        store: &Path,
        from: &SqlitePool,
        target: &Path,
    ) -> Result<(Self, Copied), CopyError> {
        let path = file::beside(target, &format!(".{}.partial", std::process::id()));
        // Only its owner may read it: it holds addresses.
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        new.map_err(CopyError::write(target))?;
        let partial = Self { path };
        let copy = sqlx::query("VACUUM INTO ?1").bind(partial.path.to_string_lossy()).execute(from).await;
        copy.map_err(|error| {
            let fault = Fault::from(error);
            let at = if fault.is_damage() { store } else { target };
            StoreError::new(operation, at, fault)
        })?;
        let copied = check(&partial.path).await.map_err(|fault| StoreError::new(operation, target, fault))?;
        File::open(&partial.path).and_then(|file| file.sync_all()).map_err(CopyError::write(target))?;
        Ok((partial, copied))
    }

    /// Gives it the owner of `other` and, if that is a file, its mode.
    pub(super) fn adopt(&self, other: &Metadata) -> io::Result<()> {
        give(&self.path, other)?;
        if other.is_dir() { Ok(()) } else { std::fs::set_permissions(&self.path, other.permissions()) }
    }

    /// Gives it its name, and replaces a file of that name.
    pub(super) fn persist(self, target: &Path) -> Result<(), CopyError> {
        let named = std::fs::rename(&self.path, target).and_then(|()| sync_folder(target));
        named.map_err(CopyError::write(target))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `persist` there is no such file.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the owner of `other` the owner of `path`.
pub(super) fn give(path: &Path, other: &Metadata) -> io::Result<()> {
    let own = std::fs::metadata(path)?;
    if (own.uid(), own.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(other.uid()), Some(other.gid()))
}

/// Flushes the names in the folder of `path` to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Opens the database at `path`, of this or an older form, for reading.
pub(super) async fn open(path: &Path) -> Result<SqlitePool, Fault> {
    if !path.try_exists()? {
        return Err(Trouble::Absent.into());
    }
    if path.is_dir() {
        return Err(Trouble::Folder.into());
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).read_only(true);
    let readers = pool(1).connect_with(options.immutable(!file::log(path).exists())).await?;
    schema::expect_ours(&mut *readers.acquire().await?).await?;
    Ok(readers)
}

/// Removes the owner from the copy at `path`, and checks that the copy is sound.
async fn check(path: &Path) -> Result<Copied, Fault> {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    schema::expect_ours(&mut connection).await?;
    // The owner of the copy is the process that opens it next, without waiting for the former one.
    sqlx::query("DELETE FROM owner").execute(&mut connection).await?;
    expect_sound(&mut connection).await?;
    let records: Vec<String> = sqlx::query_scalar("SELECT record FROM sources").fetch_all(&mut connection).await?;
    connection.close().await?;
    let last_poll = |record: &String| {
        Ok::<_, Fault>(read::<SourceRecord>(record, || "the record of a source".to_owned())?.last_poll)
    };
    let last_polls = records.iter().map(last_poll).collect::<Result<Vec<_>, _>>()?;
    let last_poll = last_polls.into_iter().flatten().max();
    Ok(Copied { size: std::fs::metadata(path)?.len(), sources: records.len(), last_poll })
}

/// Reads the whole database and checks that it is sound. Slow on a large one.
pub(super) async fn expect_sound(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let said: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut *connection).await?;
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(connection).await?;
    if said == ["ok"] && dangling.is_empty() { Ok(()) } else { Err(Trouble::Corrupt.into()) }
}
