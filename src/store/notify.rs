//! Records the outcome of alerting in one transaction: the notification log, the outbox rows, the suppressions, and who was
//! notified of undeliverable addresses.
//!
//! Properties:
//! - Log and outbox agree: the log has an entry for a recipient exactly if the notification is in the outbox.
//! - A notification that alerting derives a second time is added once.
//! - A follow-up without the outcome of an attempt is replaced by a later one about the same incidents, and says by which. What opens
//!   something is never replaced.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Fault, Operation, StoreError};
use super::form::{doc, read, stamp};
use super::outbox::{add, folded};
use super::{Outgoing, Store, undeliverable};
use crate::domain::address::Address;
use crate::domain::alerting::working_set::Recorded;
use crate::domain::alerting::{Evaluation, LogChange, LogKey, Suppression, SuppressionReason};
use crate::domain::announcement::Announcement;
use crate::domain::name::Name;

/// Most rows in one statement.
const CHUNK: usize = 1_000;

/// The same end of a credential is found until the credential is replaced, so the ids of its announcements stay: at most four for an end.
const KEEP_ID: &str = "UPDATE announcements SET doc = '{}'
    WHERE id IN (SELECT value FROM json_each(?1)) AND doc ->> 'kind' = 'credential'";

/// Deletes announcements that were notified.
const FORGET: &str = "DELETE FROM announcements WHERE id IN (SELECT value FROM json_each(?1)) AND doc <> '{}'";

impl Store {
    /// Records an evaluation with its composed notifications: together or not at all.
    pub async fn notify(
        &self,
        evaluation: &Evaluation,
        outgoing: &[Outgoing],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.try_notify(evaluation, outgoing, now).await.map_err(self.error(Operation::Notify))
    }

    async fn try_notify(
        &self,
        evaluation: &Evaluation,
        outgoing: &[Outgoing],
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let mut transaction = self.writing().await?;
        log(&mut transaction, &evaluation.log).await?;
        suppressions(&mut transaction, &evaluation.suppressions, now).await?;
        put(&mut transaction, KEEP_ID, &evaluation.announced).await?;
        put(&mut transaction, FORGET, &evaluation.announced).await?;
        undeliverable::note(&mut transaction, evaluation).await?;
        add(&mut transaction, outgoing).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Records an announcement that no audit made. False if it is already recorded; one about a credential stays recorded after
    /// it was notified.
    pub async fn announce(&self, announcement: &Announcement) -> Result<bool, StoreError> {
        self.try_announce(announcement).await.map_err(self.error(Operation::Notify))
    }

    async fn try_announce(&self, announcement: &Announcement) -> Result<bool, Fault> {
        const SQL: &str = "INSERT INTO announcements (id, at, doc) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let mut transaction = self.writing().await?;
        let query = sqlx::query(SQL).bind(announcement.id().to_string()).bind(stamp(announcement.at()));
        let new = query.bind(doc(announcement)?).execute(&mut *transaction).await?.rows_affected() > 0;
        transaction.commit().await?;
        Ok(new)
    }

    /// The working set of alerting as of the last commit.
    pub async fn load_alerting(&self) -> Result<Recorded, StoreError> {
        self.try_load_alerting().await.map_err(self.error(Operation::Load))
    }

    async fn try_load_alerting(&self) -> Result<Recorded, Fault> {
        const INCIDENTS: &str = "SELECT id, doc FROM incidents
            WHERE ended_at IS NULL OR id IN (SELECT incident FROM notification_log WHERE ended = 0)";
        const ANNOUNCEMENTS: &str = "SELECT id, doc FROM announcements WHERE doc <> '{}' ORDER BY at, id";
        const LOG: &str = "SELECT incident, channel, recipient, doc FROM notification_log WHERE incident IN (
            SELECT id FROM incidents WHERE ended_at IS NULL OR id IN (SELECT incident FROM notification_log WHERE ended = 0))";
        const SUPPRESSIONS: &str = "SELECT incident, reason FROM suppressions
            WHERE incident IN (SELECT id FROM incidents WHERE ended_at IS NULL)";
        let mut from = self.readers.begin().await?;
        let mut recorded = Recorded::default();
        let rows: Vec<(String, String)> = sqlx::query_as(INCIDENTS).fetch_all(&mut *from).await?;
        for (id, text) in rows {
            recorded.incidents.push(read(&text, || format!("incident {id}"))?);
        }
        let rows: Vec<(String, String)> = sqlx::query_as(ANNOUNCEMENTS).fetch_all(&mut *from).await?;
        for (id, text) in rows {
            recorded.announcements.push(read(&text, || format!("announcement {id}"))?);
        }
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(LOG).fetch_all(&mut *from).await?;
        for (incident, channel, to, text) in rows {
            let what = || format!("the notification log of incident {incident}");
            let key = LogKey {
                channel: Name::parse(&channel).map_err(|e| Fault::unreadable(what(), e))?,
                to: Address::parse(&to).map_err(|e| Fault::unreadable(what(), e))?,
            };
            recorded.log.push(LogChange { incident: uuid(&incident)?, key, entry: read(&text, what)? });
        }
        let rows: Vec<(String, String)> = sqlx::query_as(SUPPRESSIONS).fetch_all(&mut *from).await?;
        for (incident, label) in rows {
            let unknown = || Fault::unreadable(format!("incident {incident}"), format!("suppression {label:?}"));
            let reason = SuppressionReason::from_label(&label).ok_or_else(unknown)?;
            recorded.suppressed.push(Suppression { incident: uuid(&incident)?, reason });
        }
        from.rollback().await?;
        Ok(recorded)
    }
}

pub(super) fn uuid(text: &str) -> Result<Uuid, Fault> {
    Uuid::parse_str(text).map_err(|error| Fault::unreadable(format!("the id {text:?}"), error))
}

/// Records entries of the log, except those of incidents that retention has deleted.
async fn log(to: &mut SqliteConnection, changes: &[LogChange]) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO notification_log (incident, channel, recipient, recipient_folded, ended, doc)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?1)
        WHERE value ->> 0 IN (SELECT id FROM incidents)
        ON CONFLICT (incident, channel, recipient_folded) DO UPDATE SET ended = excluded.ended, doc = excluded.doc";
    let row = |change: &LogChange| {
        let LogChange { incident, key, entry } = change;
        let ended = i32::from(entry.ended);
        Ok::<_, Fault>((*incident, key.channel.clone(), key.to.clone(), folded(&key.to), ended, doc(entry)?))
    };
    put(to, SQL, &changes.iter().map(row).collect::<Result<Vec<_>, _>>()?).await
}

async fn suppressions(to: &mut SqliteConnection, new: &[Suppression], now: DateTime<Utc>) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO suppressions (incident, reason, at)
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)
        WHERE value ->> 0 IN (SELECT id FROM incidents) ON CONFLICT DO NOTHING";
    let row = |held: &Suppression| (held.incident, held.reason.label(), stamp(now));
    put(to, SQL, &new.iter().map(row).collect::<Vec<_>>()).await
}

/// Runs a statement that takes rows as a JSON array; not at all where there are no rows.
async fn put<Row: Serialize>(to: &mut SqliteConnection, sql: &'static str, rows: &[Row]) -> Result<(), Fault> {
    for chunk in rows.chunks(CHUNK) {
        sqlx::query(sql).bind(doc(&chunk)?).execute(&mut *to).await?;
    }
    Ok(())
}
