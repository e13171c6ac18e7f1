//! The store: one SQLite file with the state of every source, the events, the notification log and the outbox.
//!
//! Properties:
//! - An audit is one transaction: it stores state and events together or not at all, and they survive a power cut once
//!   [`Store::record`] has returned (WAL with `synchronous = FULL`). Alerting is another: the notification log and the outbox
//!   rows, see [`Store::notify`].
//! - Writes grow with what changed. Every table takes its rows of a delta as one JSON array through `json_each`, so even a
//!   first poll of 10,000 sessions is some dozens of statements.
//! - One process owns the file (`owner`); others may read it meanwhile with [`Store::read`].
//! - The log is copied into the database every few seconds, and emptied while nothing else is written (`probe`).
//! - Nothing is written while the database, its log or its lock is no longer at its path: that would look like recording
//!   and be lost, or be shared with a second owner.
//!
//! One connection writes, a few read, so readers never wait for the writer nor it for them. State that is only ever read as a
//! whole is a JSON document; a value that queries search for is a column. Times are INTEGER nanoseconds: they compare and index
//! as numbers whatever the year, and keep the whole precision of the clock, which texts of mixed precision would not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};

mod copy;
mod disk;
mod error;
mod file;
mod form;
mod history;
mod load;
mod lock;
mod notifications;
mod notify;
mod outbox;
mod owner;
mod probe;
mod purge;
mod record;
mod rename;
mod resend;
mod restore;
mod retention;
mod schema;
#[cfg(test)]
mod tests;
mod undeliverable;

pub use copy::{Copied, CopyError};
pub use disk::DiskUsage;
pub use error::{Operation, StoreError, Trouble};
pub use history::{Run, StoredSuppression};
pub use notifications::{NotificationFilter, NotificationId, NotificationState, StoredNotification};
pub use outbox::{OutboxCounts, Outgoing, Pending};
pub use owner::RENEW_EVERY;
pub use purge::{MASK, PurgeScope, Purged};
pub use rename::Renamed;
pub use resend::{Resend, Unsendable};
pub use restore::Restored;

use error::Fault;
use file::{Held, Identity, InodeLock, Locking};
use lock::Lock;
use owner::Owner;

/// How long a connection waits for a lock of another connection.
const BUSY: Duration = Duration::from_secs(10);

/// How long a caller waits for a connection: longer than any transaction of ours takes.
const GRACE: Duration = Duration::from_secs(30);

/// Pages and probes read next to a delivery; more than a few at once would only share the same disk.
const READERS: u32 = 4;

/// The store. Cheap to clone; the lock is released with the last clone.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    /// `None` if the store was opened for reading.
    owned: Option<Owned>,
    readers: SqlitePool,
}

#[derive(Debug, Clone)]
struct Owned {
    writer: SqlitePool,
    /// The database, its write-ahead log and its lock, as they were opened.
    files: Arc<[Identity]>,
    /// A read found damage. The writer caches pages, so it is replaced before its next use: otherwise it would go on failing
    /// after the file was repaired.
    doubted: Arc<AtomicBool>,
    owner: Owner,
    /// Transactions begun since the last probe.
    writes: Arc<AtomicU64>,
    _inode_lock: Option<Arc<InodeLock>>,
    _held: Arc<Held>,
    _lock: Arc<Lock>,
}

impl Owned {
    /// Fails unless every file is still the one that was opened: writes into a deleted log are lost, and a deleted lock does not
    /// keep out a second owner.
    fn expect_in_place(&self) -> Result<(), Fault> {
        self.files.iter().try_for_each(Identity::expect_in_place)
    }
}

impl Store {
    /// Opens the store as its one owner, and creates it if there is none.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_owned(path).await.map_err(|fault| StoreError::new(Operation::Open, path, fault))
    }

    /// Opens the store for reading, also while another process owns it. Creates no file if it can be avoided.
    pub async fn read(path: &Path) -> Result<Self, StoreError> {
        Self::open_read(path).await.map_err(|fault| StoreError::new(Operation::Open, path, fault))
    }

    /// The process that owns the store at `path`, in words; `None` where none does. An owner that this machine cannot see is
    /// watched for up to 15 seconds.
    pub async fn owner(path: &Path) -> Option<String> {
        owner::alive(&file::real(path).ok()?, owner::LEASE).await
    }

    /// Closes the connections, so that the files beside the database are folded into it.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(owned) = &self.owned {
            // If that fails, the next owner finds out by itself that this one has ended.
            if let Ok(mut writer) = owned.writer.acquire().await {
                let _ = owned.owner.release(&mut writer).await;
            }
            owned.writer.close().await;
        }
    }

    async fn open_owned(path: &Path) -> Result<Self, Fault> {
        let path = file::real(path)?;
        let lock = Lock::take(&path)?;
        let held = Arc::new(Held::open(&path)?);
        let inode_lock = match held.lock()? {
            Locking::Held(lock) => Some(Arc::new(lock)),
            Locking::Taken => return Err(Trouble::Locked { by: owner::name(&path).await }.into()),
            Locking::Unknown => None,
        };
        // An outdated one passes: `schema` reports it.
        held.expect_not_foreign(&[schema::APPLICATION_ID, schema::OUTDATED_ID])?;
        let owner = Owner::new(&path, inode_lock.is_some());
        owner.expect_alone(&path, owner::LEASE).await?;
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY);
        let mut writing = (options.clone())
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        if held.is_empty()? {
            // `retention` says why. On an existing database this pragma is a write, also on one that is then refused.
            writing = writing.auto_vacuum(SqliteAutoVacuum::Incremental);
        }
        let doubted = Arc::new(AtomicBool::new(false));
        let (doubt, begins) = (Arc::clone(&doubted), Arc::clone(&held));
        let keep = move || {
            let replaced = doubt.load(Ordering::SeqCst) && begins.is_ours(schema::APPLICATION_ID);
            !(replaced && doubt.swap(false, Ordering::SeqCst))
        };
        let writer = pool(1)
            .min_connections(1)
            .after_release(|connection, _| Box::pin(fit_for_use(connection)))
            .before_acquire(move |_, _| Box::pin(std::future::ready(Ok(keep()))));
        let writer = writer.connect_with(writing.clone()).await?;
        // If the file were away when the writer is replaced, SQLite would create an empty one and delete the log of the other.
        writer.set_connect_options(writing.create_if_missing(false));
        schema::migrate(&mut *writer.acquire().await?).await?;
        owner.claim(&mut *writer.acquire().await?).await?;
        let beside = [file::log(&path), file::lock(&path)].into_iter().map(Identity::of);
        let files = std::iter::once(held.identity(&path)).chain(beside).collect::<Result<Arc<[_]>, _>>()?;
        files.iter().try_for_each(Identity::expect_in_place)?;
        // One reader stays connected: if the writer's connection were the last one, closing it would remove the log. SQLite
        // counts a connection only once it has read something.
        let readers = pool(READERS).min_connections(1).connect_with(options.read_only(true)).await?;
        schema::expect_present(&mut *readers.acquire().await?).await?;
        Ok(Self {
            path,
            owned: Some(Owned {
                writer,
                files,
                doubted,
                owner,
                writes: Arc::default(),
                _inode_lock: inode_lock,
                _held: held,
                _lock: Arc::new(lock),
            }),
            readers,
        })
    }

    async fn open_read(path: &Path) -> Result<Self, Fault> {
        let path = file::real(path)?;
        if !path.try_exists()? {
            return Err(Trouble::Absent.into());
        }
        // Without a write-ahead log no process has the file open for writing, so it can be read as it is, without the shared
        // memory file that SQLite would create beside it. If an owner starts meanwhile, its first changes go to a log that this
        // reader does not read.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(BUSY)
            .read_only(true)
            .immutable(!file::log(&path).exists());
        let readers = pool(READERS).connect_with(options).await?;
        schema::expect_present(&mut *readers.acquire().await?).await?;
        Ok(Self { path, owned: None, readers })
    }

    /// Begins a transaction that writes, or says why none can.
    async fn writing(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        let owned = self.owned.as_ref().ok_or(Trouble::ReadOnly)?;
        owned.expect_in_place()?;
        owned.writes.fetch_add(1, Ordering::SeqCst);
        let mut transaction = owned.writer.begin_with("BEGIN IMMEDIATE").await?;
        owned.owner.expect_ours(&mut transaction).await?;
        Ok(transaction)
    }

    fn error(&self, operation: Operation) -> impl FnOnce(Fault) -> StoreError {
        move |fault| {
            if let Some(owned) = self.owned.as_ref().filter(|_| fault.is_damage()) {
                owned.doubted.store(true, Ordering::SeqCst);
            }
            StoreError::new(operation, &self.path, fault)
        }
    }
}

/// Whether the writer may be used again. After a full or failed disk, SQLite has rolled back by itself, and sqlx does not learn
/// of it: it takes the transaction for open and would refuse every other one. A new connection does not have this problem.
async fn fit_for_use(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A transaction that was dropped is rolled back before the ping is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Keeps connections open: a new one costs time, and the file is the same.
fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(most).acquire_timeout(GRACE).max_lifetime(None).idle_timeout(None)
}
