//! The mail that is to go out, and what became of it.
//!
//! Properties:
//! - Mail to one recipient leaves in the order recorded: only the head of each recipient's line is ever due. While it waits
//!   for a retry, what is behind it waits too; what is sent or dead holds nothing back.
//! - A message stays due until its outcome is recorded. A crash between the two repeats it, with the same Message-ID.
//! - What has been due longest goes first, so that many mailboxes in trouble starve nobody.
//! - A message that is due later than any wait lasts was recorded or put off by a clock that has been set back: it is due.
//! - For how long a message has been tried is not told by the clock, which may be set, and stands still for nobody while the
//!   machine sleeps. Between two failed attempts no more counts than the longest wait between them; `delivery` adds that up.
//! - Nothing is due of a file that is no longer at its path or has another owner: what became of it could not be recorded.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{count, doc, number, read, stamp, time};
use crate::domain::address::Address;
use crate::domain::backoff::DELIVERY_LONGEST_WAIT;
use crate::domain::notification::NotificationKind;

/// A message as it is recorded, in its final form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// With angle brackets; no two messages share one.
    pub message_id: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub subject: String,
    /// `SOURCE/ID` of each session told of.
    pub sessions: Vec<String>,
    /// As it goes over the wire.
    pub raw: Vec<u8>,
    pub recorded_at: DateTime<Utc>,
}

/// A message whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub id: i64,
    pub message_id: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub raw: Vec<u8>,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub recorded_at: DateTime<Utc>,
}

/// How many messages wait, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Never tried yet.
    pub pending: u64,
    /// Tried in vain, to be tried again.
    pub retrying: u64,
    pub dead: u64,
    /// When the oldest message was recorded that is neither sent nor dead.
    pub oldest_pending: Option<DateTime<Utc>>,
}

type PendingRow = (i64, String, String, String, Vec<u8>, i64, i64);

impl Store {
    /// The messages whose turn it is, at most one a recipient, longest due first.
    pub async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Pending>, StoreError> {
        self.due_besides(now, limit, &BTreeSet::new()).await
    }

    /// The same, without those to some recipients.
    pub async fn due_besides(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        besides: &BTreeSet<Address>,
    ) -> Result<Vec<Pending>, StoreError> {
        self.try_due(now, limit, besides).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        besides: &BTreeSet<Address>,
    ) -> Result<Vec<Pending>, Fault> {
        const SQL: &str = "SELECT id, message_id, kind, recipient, raw, attempts, recorded_at FROM outbox
            WHERE id IN (SELECT min(id) FROM outbox WHERE finished_at IS NULL GROUP BY recipient_folded)
              AND (next_attempt_at <= ?1 OR next_attempt_at > ?3)
              AND recipient_folded NOT IN (SELECT value FROM json_each(?4)) ORDER BY next_attempt_at, id LIMIT ?2";
        let mut reader = self.readers.acquire().await?;
        if let Some(owned) = &self.owned {
            owned.expect_in_place()?;
            owned.owner.expect_ours(&mut reader).await?;
        }
        let longest = stamp(now + DELIVERY_LONGEST_WAIT);
        let besides = doc(&besides.iter().map(folded).collect::<Vec<_>>())?;
        let query = sqlx::query_as(SQL).bind(stamp(now)).bind(count(limit)).bind(longest).bind(besides);
        let rows: Vec<PendingRow> = query.fetch_all(&mut *reader).await?;
        let pending = |(id, message_id, kind, to, raw, attempts, recorded_at): PendingRow| {
            let (kind, to) = (kind_of(id, &kind)?, address_of(id, &to)?);
            let (attempts, recorded_at) = (number(attempts), time(recorded_at));
            Ok(Pending { id, message_id, kind, to, raw, attempts, recorded_at })
        };
        rows.into_iter().map(pending).collect()
    }

    /// When the next message is due, which may be in the past; `None` where nothing waits.
    pub async fn next_due(&self, after: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, StoreError> {
        const SQL: &str = "SELECT min(next_attempt_at) FROM outbox
            WHERE id IN (SELECT min(id) FROM outbox WHERE finished_at IS NULL GROUP BY recipient_folded)
              AND next_attempt_at > ?1";
        let query = sqlx::query_scalar::<_, Option<i64>>(SQL).bind(after.map_or(i64::MIN, stamp));
        let next = query.fetch_one(&self.readers).await;
        next.map(|next| next.map(time)).map_err(|error| self.error(Operation::Deliver)(error.into()))
    }

    /// A server has accepted the message.
    pub async fn sent(&self, id: i64, now: DateTime<Utc>) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE outbox SET state = 'sent', finished_at = ?2, attempted_at = ?2,
            attempts = attempts + 1, last_error = NULL
            WHERE id = ?1 AND finished_at IS NULL";
        self.outcome(sqlx::query(SQL).bind(id).bind(stamp(now)), None).await
    }

    /// An attempt failed; the message is due again at `next_attempt_at`.
    pub async fn failed(
        &self,
        id: i64,
        now: DateTime<Utc>,
        next_attempt_at: DateTime<Utc>,
        error: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE outbox SET state = 'retrying', attempted_at = ?2, next_attempt_at = ?3,
            attempts = attempts + 1, last_error = ?4 WHERE id = ?1 AND finished_at IS NULL";
        let update = sqlx::query(SQL).bind(id).bind(stamp(now)).bind(stamp(next_attempt_at)).bind(error.to_owned());
        self.outcome(update, Some(now)).await
    }

    /// An attempt failed for good; the message is not tried again.
    pub async fn dead(&self, id: i64, now: DateTime<Utc>, error: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE outbox SET state = 'dead', finished_at = ?2, attempted_at = ?2,
            attempts = attempts + 1, last_error = ?3
            WHERE id = ?1 AND finished_at IS NULL";
        self.outcome(sqlx::query(SQL).bind(id).bind(stamp(now)).bind(error.to_owned()), Some(now)).await
    }

    /// Records an outcome; `failed_at` is when somebody tried in vain.
    async fn outcome(
        &self,
        update: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
        failed_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        const WATCHED: &str = "UPDATE delivery SET watched = ?1, at = ?2";
        let write = async {
            let mut transaction = self.writing().await?;
            if let Some(at) = failed_at {
                let watched = watched(&mut transaction, at).await?;
                sqlx::query(WATCHED).bind(watched).bind(stamp(at)).execute(&mut *transaction).await?;
            }
            update.execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        };
        write.await.map_err(self.error(Operation::Deliver))
    }

    /// For how long a message has been tried, as of a failed attempt at `now` that is not recorded yet.
    pub async fn tried_for(&self, id: i64, now: DateTime<Utc>) -> Result<TimeDelta, StoreError> {
        self.try_tried_for(id, now).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_tried_for(&self, id: i64, now: DateTime<Utc>) -> Result<TimeDelta, Fault> {
        const SQL: &str = "SELECT watched_from FROM outbox WHERE id = ?1";
        let mut reader = self.readers.acquire().await?;
        let from: Option<i64> = sqlx::query_scalar(SQL).bind(id).fetch_optional(&mut *reader).await?;
        let watched = watched(&mut reader, now).await?;
        Ok(from.map_or(TimeDelta::zero(), |from| TimeDelta::nanoseconds(watched - from)))
    }

    pub async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.try_counts().await.map_err(self.error(Operation::Deliver))
    }

    async fn try_counts(&self) -> Result<OutboxCounts, Fault> {
        const SQL: &str = "SELECT
            (SELECT count(*) FROM outbox WHERE state = 'pending'),
            (SELECT count(*) FROM outbox WHERE state = 'retrying'),
            (SELECT count(*) FROM outbox WHERE state = 'dead'),
            (SELECT min(recorded_at) FROM outbox WHERE finished_at IS NULL)";
        let (pending, retrying, dead, oldest): (i64, i64, i64, Option<i64>) =
            sqlx::query_as(SQL).fetch_one(&self.readers).await?;
        Ok(OutboxCounts {
            pending: number(pending),
            retrying: number(retrying),
            dead: number(dead),
            oldest_pending: oldest.map(time),
        })
    }

    /// A message as it was recorded, for a resend; `None` where there is none of that id.
    pub async fn message(&self, id: i64) -> Result<Option<Outgoing>, StoreError> {
        self.try_message(id).await.map_err(self.error(Operation::Read))
    }

    async fn try_message(&self, id: i64) -> Result<Option<Outgoing>, Fault> {
        const SQL: &str = "SELECT message_id, kind, recipient, subject, sessions, raw, recorded_at FROM outbox
            WHERE id = ?1";
        type Row = (String, String, String, String, String, Vec<u8>, i64);
        let row: Option<Row> = sqlx::query_as(SQL).bind(id).fetch_optional(&self.readers).await?;
        let Some((message_id, kind, to, subject, sessions, raw, recorded_at)) = row else { return Ok(None) };
        let (kind, to) = (kind_of(id, &kind)?, address_of(id, &to)?);
        let sessions = read(&sessions, || format!("message {id}"))?;
        Ok(Some(Outgoing { message_id, kind, to, subject, sessions, raw, recorded_at: time(recorded_at) }))
    }

    /// Puts messages into the outbox that no audit caused: a test, a resend, a digest.
    pub async fn post(&self, messages: &[Outgoing]) -> Result<(), StoreError> {
        let write = async {
            let mut transaction = self.writing().await?;
            add(&mut transaction, messages).await?;
            transaction.commit().await?;
            Ok(())
        };
        write.await.map_err(self.error(Operation::Deliver))
    }
}

/// Adds messages to the outbox; one that is there already is left as it is.
pub(super) async fn add(to: &mut SqliteConnection, messages: &[Outgoing]) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO outbox (message_id, kind, recipient, recipient_folded, subject, sessions, raw,
        recorded_at, state, next_attempt_at, watched_from) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'pending', ?8, ?9)
        ON CONFLICT (message_id) DO NOTHING";
    let Some(first) = messages.first() else { return Ok(()) };
    let watched_from = watched(to, first.recorded_at).await?;
    for message in messages {
        sqlx::query(SQL)
            .bind(&message.message_id)
            .bind(message.kind.label())
            .bind(message.to.as_str())
            .bind(folded(&message.to))
            .bind(&message.subject)
            .bind(doc(&message.sessions)?)
            .bind(&message.raw)
            .bind(stamp(message.recorded_at))
            .bind(watched_from)
            .execute(&mut *to)
            .await?;
    }
    Ok(())
}

/// How long somebody has been there to deliver, up to `now`, in nanoseconds. Since the last failed attempt, no more than the
/// longest wait counts, and nothing from before there was anything to send. What was recorded later than now was recorded by a
/// clock that has been set back since.
async fn watched(connection: &mut SqliteConnection, now: DateTime<Utc>) -> Result<i64, Fault> {
    const SQL: &str = "SELECT watched + max(0, min(?2, ?1 - max(at, coalesce(
        (SELECT min(iif(recorded_at > ?1, at, recorded_at)) FROM outbox WHERE finished_at IS NULL), ?1)))) FROM delivery";
    let longest = DELIVERY_LONGEST_WAIT.num_nanoseconds().unwrap_or(i64::MAX);
    Ok(sqlx::query_scalar(SQL).bind(stamp(now)).bind(longest).fetch_one(connection).await?)
}

/// What the order of delivery goes by.
fn folded(to: &Address) -> String {
    to.as_str().to_ascii_lowercase()
}

pub(super) fn kind_of(id: i64, label: &str) -> Result<NotificationKind, Fault> {
    NotificationKind::from_label(label)
        .ok_or_else(|| Fault::unreadable(format!("message {id}"), format!("kind {label:?}")))
}

pub(super) fn address_of(id: i64, text: &str) -> Result<Address, Fault> {
    Address::parse(text).map_err(|error| Fault::unreadable(format!("message {id}"), error))
}
