//! Puts a copy in the place of the store, and keeps the replaced one beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::copy::{self, Copied, CopyError, Partial, give, sync_folder};
use super::error::{Fault, Operation, StoreError, Trouble};
use super::file::{self, Held, Locking};
use super::lock::Lock;
use super::owner::{self, Owner};
use super::{Store, schema};

/// A store that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub copied: Copied,
    /// Where the replaced store is now; `None` where there was none.
    pub replaced: Option<PathBuf>,
}

impl Store {
    /// Replaces the store at `path` with a copy of the database `from`. Fails while a process owns the store, and if `from` is
    /// damaged or not a store.
    pub async fn restore(path: &Path, from: &Path, now: DateTime<Utc>) -> Result<Restored, CopyError> {
        let failed = |fault| StoreError::new(Operation::Restore, path, fault);
        let store = file::real(path).map_err(failed)?;
        if file::are_same(&store, from) {
            return Err(CopyError::Same { path: from.to_owned() });
        }
        let _owned = own(&store).await.map_err(failed)?;
        let opened = copy::open(from).await.map_err(|fault| StoreError::new(Operation::Open, from, fault));
        let readers = opened.map_err(|error| unusable(from, error.into()))?;
        let written = Partial::write(Operation::Restore, from, &readers, &store).await;
        let (partial, copied) = written.map_err(|error| unusable(from, error))?;
        readers.close().await;
        let replaced = replace(&store, partial, now)?;
        Ok(Restored { copied, replaced })
    }
}

/// Replaces an error whose advice is to restore a copy: that is no help with the copy itself.
fn unusable(from: &Path, error: CopyError) -> CopyError {
    match error {
        CopyError::Store(error)
            if matches!(error.trouble, Trouble::Corrupt | Trouble::Unreadable { .. } | Trouble::Outdated) =>
        {
            CopyError::Unusable { path: from.to_owned() }
        }
        other => other,
    }
}

/// Keeps every other owner out until it is dropped.
async fn own(store: &Path) -> Result<(Lock, Option<(Arc<Held>, Locking)>), Fault> {
    let lock = Lock::take(store)?;
    if !store.try_exists()? {
        return Ok((lock, None));
    }
    let held = Arc::new(Held::open(store)?);
    let inode = held.lock()?;
    if matches!(inode, Locking::Taken) {
        return Err(Trouble::Locked { by: owner::name(store).await }.into());
    }
    held.expect_not_foreign(&[schema::APPLICATION_ID, schema::OUTDATED_ID])?;
    Owner::new(store, matches!(inode, Locking::Held(_))).expect_alone(store, owner::LEASE).await?;
    Ok((lock, Some((held, inode))))
}

/// Keeps the database under a second name, renames its log, and gives the copy the name `store`. Killed between the last two, it
/// leaves the replaced database there without its log, so without its latest writes: both are beside it, and restoring again goes on.
fn replace(store: &Path, partial: Partial, now: DateTime<Utc>) -> Result<Option<PathBuf>, CopyError> {
    let present = std::fs::metadata(store).ok();
    let folder = store.parent().unwrap_or(Path::new("/"));
    let like = present.as_ref().map_or_else(|| std::fs::metadata(folder), |present| Ok(present.clone()));
    let adopt = |like: std::fs::Metadata| {
        // The user who restores may differ from the user of the daemon.
        give(&file::lock(store), &like)?;
        partial.adopt(&like)
    };
    like.and_then(adopt).map_err(CopyError::write(store))?;
    let aside = file::beside(store, &format!(".replaced-{}", now.format("%Y%m%dT%H%M%S%3fZ")));
    if present.is_some() {
        link(store, &aside).map_err(CopyError::write(&aside))?;
    }
    let log = file::log(store);
    // SQLite would read a log that stays as part of the new database.
    if log.exists() {
        let aside = file::log(&aside);
        std::fs::rename(&log, &aside).map_err(CopyError::write(&aside))?;
    }
    let _ = std::fs::remove_file(file::shared_memory(store));
    sync_folder(store).map_err(CopyError::write(store))?;
    partial.persist(store)?;
    Ok(present.map(|_| aside))
}

/// Gives a file a second name, or a new one if the file system has no hard links.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::rename(from, to))
}
