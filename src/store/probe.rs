//! Whether the store works, for readiness; and whether it is whole.

use super::Store;
use super::error::{Fault, Operation, StoreError, Trouble};

impl Store {
    /// A cheap probe that writes nothing: the file is still the one at its path, and it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.try_ping().await.map_err(self.error(Operation::Probe))
    }

    async fn try_ping(&self) -> Result<(), Fault> {
        if let Some(owned) = &self.owned {
            owned.identity.expect_at(&self.path)?;
        }
        sqlx::query("SELECT count(*) FROM sources").execute(&self.readers).await?;
        Ok(())
    }

    /// Whether a write would begin: takes the write lock and changes nothing. Does not see a full disk.
    pub async fn ping_writer(&self) -> Result<(), StoreError> {
        let probe = async { Ok(self.writing().await?.rollback().await?) };
        probe.await.map_err(self.error(Operation::Probe))
    }

    /// Reads the whole file and checks that it is sound. Slow on a large one.
    pub async fn integrity_check(&self) -> Result<(), StoreError> {
        self.try_integrity().await.map_err(self.error(Operation::Probe))
    }

    async fn try_integrity(&self) -> Result<(), Fault> {
        let said: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&self.readers).await?;
        let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&self.readers).await?;
        if said == ["ok"] && dangling.is_empty() { Ok(()) } else { Err(Trouble::Corrupt.into()) }
    }
}
