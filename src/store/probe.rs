//! Probes of the store: whether it works, for readiness, and whether the file is sound.

use std::sync::atomic::Ordering;

use super::error::{Fault, Operation, StoreError, Trouble};
use super::{Store, copy, owner};

impl Store {
    /// A cheap probe that writes nothing: the file is still the one at its path, and it answers.
    #[cfg(test)]
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.try_ping().await.map_err(self.error(Operation::Probe))
    }

    #[cfg(test)]
    async fn try_ping(&self) -> Result<(), Fault> {
        if let Some(owned) = &self.owned {
            owned.expect_in_place()?;
        }
        sqlx::query("SELECT count(*) FROM sources").execute(&self.readers).await?;
        Ok(())
    }

    /// A write probe: renews the owner's row. Call it every [`super::RENEW_EVERY`].
    pub async fn ping_writer(&self) -> Result<(), StoreError> {
        self.try_ping_writer().await.map_err(self.error(Operation::Probe))
    }

    async fn try_ping_writer(&self) -> Result<(), Fault> {
        let mut transaction = self.writing().await?;
        owner::renew(&mut transaction).await?;
        transaction.commit().await?;
        let owned = self.owned.as_ref().ok_or(Trouble::ReadOnly)?;
        // The renewal is one write; any other since the last probe shows that the store is in use.
        let idle = owned.writes.swap(0, Ordering::SeqCst) <= 1;
        let mut writer = owned.writer.acquire().await?;
        if idle { owner::publish_whole(&mut writer).await } else { owner::publish(&mut writer).await }
    }

    /// Reads the whole file and checks that it is sound. Slow on a large one.
    pub async fn integrity_check(&self) -> Result<(), StoreError> {
        self.try_integrity().await.map_err(self.error(Operation::Probe))
    }

    async fn try_integrity(&self) -> Result<(), Fault> {
        copy::expect_sound(&mut *self.readers.acquire().await?).await
    }

    /// As [`Self::integrity_check`], but does not compare indexes with their tables, which takes most of the time.
    pub async fn quick_check(&self) -> Result<(), StoreError> {
        let said = sqlx::query_scalar("PRAGMA quick_check").fetch_all(&self.readers).await.map_err(Fault::from);
        let said: Result<Vec<String>, _> = said;
        let sound = said.and_then(|said| if said == ["ok"] { Ok(()) } else { Err(Trouble::Corrupt.into()) });
        sound.map_err(self.error(Operation::Probe))
    }
}
