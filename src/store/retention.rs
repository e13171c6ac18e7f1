//! Deletes history past retention, in batches small enough that no audit waits for them, and returns the space to the disk.
//!
//! SQLite reuses the pages that a deletion frees but keeps them in the file. With `auto_vacuum = INCREMENTAL` it can cut them
//! off, a few at a time (<https://www.sqlite.org/pragma.html#pragma_incremental_vacuum>). A tenth of the file stays free for
//! the rows of the next days, which would otherwise make the file grow again at once.

use chrono::{DateTime, Utc};

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{count, stamp, time};

/// Each removes at most `?2` rows that ended before `?1`, and no current row.
const STATEMENTS: [&str; 4] = [
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ?1 LIMIT ?2)",
    "DELETE FROM incidents WHERE rowid IN (SELECT rowid FROM incidents WHERE ended_at < ?1 LIMIT ?2)",
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE finished_at < ?1 LIMIT ?2)",
    "DELETE FROM observations WHERE id IN (SELECT id FROM observations WHERE until < ?1 LIMIT ?2)",
];

/// Removes the shapes that no observation has any more.
pub(super) const SHAPES: &str =
    "DELETE FROM shapes WHERE NOT EXISTS (SELECT 1 FROM observations WHERE shape = shapes.id)";

/// One in this many pages may stay free.
const SPARE: i64 = 10;

impl Store {
    /// The time up to which retention has seen the clock advance; `None` in a new store.
    pub async fn retention_seen(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let query = sqlx::query_scalar::<_, Option<i64>>("SELECT seen FROM retention");
        let seen = query.fetch_one(&self.readers).await;
        seen.map(|seen| seen.map(time)).map_err(|error| self.error(Operation::Prune)(error.into()))
    }

    /// Records the time up to which retention has seen the clock advance.
    pub async fn note_retention_seen(&self, seen: DateTime<Utc>) -> Result<(), StoreError> {
        let write = async {
            let mut transaction = self.writing().await?;
            let note = "UPDATE retention SET seen = ?1, begun = coalesce(begun, ?1)";
            sqlx::query(note).bind(stamp(seen)).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        };
        write.await.map_err(self.error(Operation::Prune))
    }

    /// Removes events, ended incidents, finished notifications and ended runs from before `before`. Removes nothing until
    /// `before` has passed the beginning of the store: older rows have the time of a wrong clock. Each transaction removes
    /// `batch` rows, so that audits and deliveries are not blocked, until none is left or `stop` returns true. Returns the number
    /// of rows. Can be cancelled at any time.
    pub async fn prune(
        &self,
        before: DateTime<Utc>,
        batch: usize,
        stop: impl Fn() -> bool + Send,
    ) -> Result<u64, StoreError> {
        self.try_prune(before, batch.max(1), stop).await.map_err(self.error(Operation::Prune))
    }

    async fn try_prune(
        &self,
        before: DateTime<Utc>,
        batch: usize,
        stop: impl Fn() -> bool + Send,
    ) -> Result<u64, Fault> {
        let begun =
            sqlx::query_scalar::<_, Option<i64>>("SELECT begun FROM retention").fetch_one(&self.readers).await?;
        if begun.is_some_and(|begun| stamp(before) <= begun) {
            return Ok(0);
        }
        let mut removed = 0;
        for sql in STATEMENTS {
            loop {
                if stop() {
                    return Ok(removed);
                }
                let mut transaction = self.writing().await?;
                let query = sqlx::query(sql).bind(stamp(before)).bind(count(batch));
                let rows = query.execute(&mut *transaction).await?.rows_affected();
                transaction.commit().await?;
                removed += rows;
                if rows < batch as u64 {
                    break;
                }
            }
        }
        let mut transaction = self.writing().await?;
        sqlx::query(SHAPES).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.shrink(stop).await?;
        Ok(removed)
    }

    /// Cuts free pages off the file until at most one in [`SPARE`] pages is free, or `stop` returns true.
    async fn shrink(&self, stop: impl Fn() -> bool + Send) -> Result<(), Fault> {
        /// Pages in one transaction: 2 MiB.
        const PAGES: i64 = 512;
        while !stop() {
            let mut transaction = self.writing().await?;
            let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *transaction).await?;
            let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *transaction).await?;
            let too_many = free - pages / SPARE;
            if too_many <= 0 {
                break;
            }
            let cut = format!("PRAGMA incremental_vacuum({})", too_many.min(PAGES));
            // Each row that is fetched is a page.
            sqlx::query(sqlx::AssertSqlSafe(cut)).fetch_all(&mut *transaction).await?;
            let left: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            if left >= free {
                break; // A database of an earlier build, which cannot shrink.
            }
        }
        Ok(())
    }
}
