//! Moves everything about a source to its new name.

use sqlx::SqliteConnection;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use crate::domain::name::Rename;

/// The outcome of a [`Rename`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    /// Everything about the former name now belongs to the new one.
    Moved,
    /// The store has nothing under the former name: it was moved before, or never polled.
    Nothing,
    /// Both names have a state of their own, which cannot be one state. Each keeps its own.
    Kept,
}

impl Store {
    /// Moves state, history, incidents, notifications and the notification log of sources to other names: all or nothing. Ids
    /// stay, so nothing open is notified again and its end is sent in the thread of its beginning. Text that was written for a
    /// reader stays too: subject and body of each notification, and the key of a credential.
    pub async fn rename(&self, renames: &[Rename]) -> Result<Vec<Renamed>, StoreError> {
        self.try_rename(renames).await.map_err(self.error(Operation::Record))
    }

    async fn try_rename(&self, renames: &[Rename]) -> Result<Vec<Renamed>, Fault> {
        if renames.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.writing().await?;
        let mut outcomes = Vec::with_capacity(renames.len());
        for rename in renames {
            outcomes.push(one(&mut transaction, rename).await?);
        }
        transaction.commit().await?;
        Ok(outcomes)
    }
}

async fn one(to: &mut SqliteConnection, rename: &Rename) -> Result<Renamed, Fault> {
    const KNOWN: &str = "SELECT count(*) FROM sources WHERE name = ?1";
    // First the new row and last the old one, because every other table refers to it.
    const STEPS: [&str; 11] = [
        "INSERT INTO sources (name, record) SELECT ?2, record FROM sources WHERE name = ?1",
        "UPDATE schedules SET source = ?2 WHERE source = ?1",
        "UPDATE sessions SET source = ?2 WHERE source = ?1",
        "UPDATE observations SET source = ?2 WHERE source = ?1",
        "UPDATE incidents SET source = ?2, doc = json_set(doc, '$.source', ?2) WHERE source = ?1",
        "UPDATE known_ids SET source = ?2 WHERE source = ?1",
        "UPDATE known_settings SET source = ?2 WHERE source = ?1",
        "UPDATE events SET source = ?2 WHERE source = ?1",
        // That of a credential has the source only in its document.
        "UPDATE announcements SET source = iif(source IS NULL, NULL, ?2), doc = json_set(doc, '$.source', ?2)
            WHERE doc ->> 'source' = ?1",
        "UPDATE outbox SET sessions = (SELECT json_group_array(
                iif(substr(value, 1, length(?1) + 1) = ?1 || '/', ?2 || substr(value, length(?1) + 1), value))
              FROM json_each(sessions))
            WHERE EXISTS (SELECT 1 FROM json_each(sessions) WHERE substr(value, 1, length(?1) + 1) = ?1 || '/')",
        // A quotation mark within a value is escaped, so only the key itself matches.
        r#"UPDATE outbox SET reason = replace(reason, format('"source":"%s"', ?1), format('"source":"%s"', ?2))
            WHERE instr(reason, format('"source":"%s"', ?1))"#,
    ];
    let (from, new) = (rename.from.as_str(), rename.to.as_str());
    let from_known: i64 = sqlx::query_scalar(KNOWN).bind(from).fetch_one(&mut *to).await?;
    let new_known: i64 = sqlx::query_scalar(KNOWN).bind(new).fetch_one(&mut *to).await?;
    match (from_known, new_known) {
        (0, _) => return Ok(Renamed::Nothing),
        (_, 0) => {}
        _ => return Ok(Renamed::Kept),
    }
    for step in STEPS {
        sqlx::query(step).bind(from).bind(new).execute(&mut *to).await?;
    }
    sqlx::query("DELETE FROM sources WHERE name = ?1").bind(from).execute(&mut *to).await?;
    Ok(Renamed::Moved)
}
