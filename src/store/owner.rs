//! One owner, as the database itself records it: a row with a random id, renewed while the owner lives.
//!
//! Three guards keep a second owner out, and each covers cases that the one before cannot see:
//! - `lock`, a lock on a file beside the path: the same path, a symbolic link, a bind mount of the folder. It names the owner.
//! - [`file::InodeLock`], a lock on the inode of the database: a hard link, a bind mount of the file alone, another container
//!   on this machine. Like the first it goes with the process, however that ends, so a restart never waits.
//! - The row: an owner whose locks are not seen here, because it runs on another machine or the file system keeps no locks. A
//!   store whose row was written under another kernel is taken once the row has not changed for [`LEASE`] by the monotonic clock,
//!   which no setting of the clock can shorten or prolong. A plain copy, or a store after a power cut, waits that long too. Every
//!   transaction that writes, and every choice of the next mails to send, begins by checking the row: an owner that was overtaken
//!   stops.
//!
//! Not covered: two names for one file keep two write-ahead logs, and an owner that cannot see the other's log cannot see the row
//! in it, so each renewal is copied into the database at once. Two mounts of one file on one kernel that share no inode (an
//! overlay and the folder below it) are two files to all three.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::BUSY;
use super::error::{Fault, Trouble};
use super::file;
use super::lock::Lock;

/// How often an owner renews its row.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How long a row may stay the same before its owner counts as dead.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How often a row is read within a lease.
const LOOKS: u32 = 15;

/// The owner of a store, as its row names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    id: String,
    boot: Option<String>,
    process: i64,
    host: String,
    path: String,
    renewed: i64,
}

impl Owner {
    /// This process, as the owner of the store at `path`. `locks`: the inode is locked, so no other process on this kernel can
    /// own it.
    pub fn new(path: &Path, locks: bool) -> Self {
        let random = RandomState::new();
        Self {
            id: format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1)),
            boot: locks.then(boot).flatten(),
            process: std::process::id().into(),
            host: host(),
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned(),
            renewed: 0,
        }
    }

    /// In words, for the process that is refused.
    fn named(&self) -> String {
        let elsewhere = self.host != host();
        format!("process {}{}", self.process, if elsewhere { format!(" on {}", self.host) } else { String::new() })
    }

    /// Waits until no other owner can be alive, at most for `lease`, or fails with that owner. Does not change the database.
    pub async fn expect_alone(&self, path: &Path, lease: Duration) -> Result<(), Fault> {
        // SQLite itself reports a file that cannot be read.
        let Ok(Some(last)) = peek(path).await else { return Ok(()) };
        last.expect_no_log_elsewhere(Path::new(&self.path))?;
        if self.boot.is_some() && last.boot == self.boot {
            return Ok(());
        }
        match renewed(path, &last, lease).await {
            Some(owner) => Err(Trouble::Locked { by: owner.named() }.into()),
            None => Ok(()),
        }
    }

    /// Fails if a log with content lies beside another name of the file. SQLite keeps its log beside the name by which it opened
    /// the file, so it would miss that log now and damage the file with it later.
    fn expect_no_log_elsewhere(&self, path: &Path) -> Result<(), Fault> {
        let theirs = PathBuf::from(&self.path);
        let left = std::fs::metadata(file::log(&theirs)).is_ok_and(|log| log.len() > 0);
        if theirs != path && left && file::are_same(&theirs, path) {
            return Err(Trouble::LogElsewhere { path: theirs }.into());
        }
        Ok(())
    }

    /// Makes this the owner.
    pub async fn claim(&self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO owner (id, boot, process, host, path, renewed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM owner").execute(&mut *transaction).await?;
        let claim = sqlx::query(SQL).bind(&self.id).bind(&self.boot).bind(self.process).bind(&self.host);
        claim.bind(&self.path).bind(self.renewed).execute(&mut *transaction).await?;
        transaction.commit().await?;
        publish(connection).await
    }

    /// Fails if another process is the owner by now.
    pub async fn expect_ours(&self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        match row(connection).await? {
            Some(owner) if owner.id == self.id => Ok(()),
            Some(owner) => Err(Trouble::Locked { by: owner.named() }.into()),
            None => Err(Trouble::Locked { by: "another process, which has since closed it".to_owned() }.into()),
        }
    }

    /// Lets the next owner begin at once.
    pub async fn release(&self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        sqlx::query("DELETE FROM owner WHERE id = ?1").bind(&self.id).execute(connection).await?;
        Ok(())
    }
}

/// Changes the row in a transaction of the owner.
pub(super) async fn renew(connection: &mut SqliteConnection) -> Result<(), Fault> {
    sqlx::query("UPDATE owner SET renewed = renewed + 1").execute(connection).await?;
    Ok(())
}

/// Copies the content of the log into the database, where it is seen under every name of the file.
pub(super) async fn publish(connection: &mut SqliteConnection) -> Result<(), Fault> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(connection).await?;
    Ok(())
}

/// The same, and empties the log, so that a plain copy of the database is a copy of the store. While a reader is at work, the log
/// stays as it is until the next time.
pub(super) async fn publish_whole(connection: &mut SqliteConnection) -> Result<(), Fault> {
    // Otherwise the writer would wait for readers, and every audit for the writer.
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
    let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await;
    let patient = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {}", BUSY.as_millis()));
    sqlx::query(patient).execute(&mut *connection).await?;
    emptied?;
    Ok(())
}

/// The owner of the store at `path`, in words.
pub(super) async fn name(path: &Path) -> String {
    match peek(path).await {
        Ok(Some(owner)) => owner.named(),
        _ => "another process".to_owned(),
    }
}

/// The owner of the store at `path`, in words. The row of an owner that died stays. On this kernel its lock says whether it
/// lives; the row of another machine, or from before this one was restarted, is watched for a `lease`.
pub(super) async fn alive(path: &Path, lease: Duration) -> Option<String> {
    let owner = peek(path).await.ok()??;
    if owner.boot.is_none() || owner.boot == boot() {
        return Lock::is_held(path).then(|| owner.named());
    }
    renewed(path, &owner, lease).await.map(|owner| owner.named())
}

/// Watches the row until it differs from `last`, at most for `lease`, and returns the owner that it names then; `None` if the row
/// stays the same or is gone.
async fn renewed(path: &Path, last: &Owner, lease: Duration) -> Option<Owner> {
    let began = Instant::now();
    while began.elapsed() < lease {
        tokio::time::sleep(lease / LOOKS).await;
        match peek(path).await {
            Ok(Some(now)) if now == *last => {}
            Ok(changed) => return changed,
            // The row is being written.
            Err(_) => {}
        }
    }
    None
}

/// Reads the row from the database file alone: takes no lock, creates no file, and does not see the log.
async fn peek(path: &Path) -> Result<Option<Owner>, Fault> {
    const THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'owner'";
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut connection = options.connect().await?;
    let there: i64 = sqlx::query_scalar(THERE).fetch_one(&mut connection).await?;
    let found = if there == 0 { None } else { row(&mut connection).await? };
    connection.close().await?;
    Ok(found)
}

async fn row(connection: &mut SqliteConnection) -> Result<Option<Owner>, Fault> {
    const SQL: &str = "SELECT id, boot, process, host, path, renewed FROM owner";
    type OwnerRow = (String, Option<String>, i64, String, String, i64);
    let found: Option<OwnerRow> = sqlx::query_as(SQL).fetch_optional(connection).await?;
    Ok(found.map(|(id, boot, process, host, path, renewed)| Owner { id, boot, process, host, path, renewed }))
}

/// Which start of which kernel this is: the same in every container on it.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "an unknown host".to_owned(), |name| name.to_string_lossy().into_owned())
}
