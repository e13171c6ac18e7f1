//! The outbox: notifications waiting for delivery, in which order they leave, and the outcome of each attempt.
//!
//! Properties:
//! - A row belongs to a channel and a recipient in it. Each channel has its own dispatcher, which sees only the rows of its
//!   channel.
//! - Mail to one recipient over one channel leaves in the order recorded: only the head of each recipient's line is ever due.
//!   While the head waits for a retry, the line behind it waits too; a sent or dead notification holds nothing back.
//! - Lines with a new opening go before lines of follow-ups, critical ones first. A line takes the urgency of its most urgent
//!   notification, because that one cannot overtake the head. A failed attempt takes the urgency away, so retries to broken
//!   mailboxes delay no new opening and no follow-up.
//! - Lines of the same urgency take turns: `turn_at` is the time since when the head waits for its turn. When a notification
//!   leaves, the one behind it starts to wait at that time, so a long line gets one turn per round. A follow-up that replaces
//!   another one takes over its turn, so a flapping session does not send its own line to the back.
//! - A follow-up may be replaced while its first attempt is under way. If it is accepted, it is sent all the same; if not, it
//!   stays replaced, and the attempt counts for nothing.
//! - A message stays due until its outcome is recorded. A crash between the two repeats it, with the same Message-ID.
//! - A message due later than the longest retry wait, and recorded or last attempted later than now, dates from before the clock
//!   was set back: it is due now. One that was last attempted before now waits because a server asked for it.
//! - Retry age counts the time the dispatcher ran, so sleep and clock changes do not count: between two failed attempts, at
//!   most the longest retry wait counts; of a longer wait, the dispatcher notes each piece. `delivery` holds the sum.
//! - Nothing is due while the store file is not at its path or has another owner: the outcome could not be recorded.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use super::error::{Fault, Operation, StoreError};
use super::form::{count, doc, number, stamp, time};
use super::{Store, undeliverable};
use crate::domain::address::Address;
use crate::domain::backoff::DELIVERY_LONGEST_WAIT;
use crate::domain::name::Name;
use crate::domain::notification::{NotificationKind, Reason};
use crate::domain::policy::Severity;

/// A notification as it is recorded, in its final form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Stable: deriving the notification again gives the same id.
    pub notification: Uuid,
    /// With angle brackets; no two notifications share one.
    pub message_id: String,
    pub channel: Name,
    pub kind: NotificationKind,
    /// Of its most severe item.
    pub severity: Severity,
    pub to: Address,
    pub subject: String,
    /// `SOURCE/ID` of each session in it.
    pub sessions: Vec<String>,
    /// Its incidents, if all of it follows up earlier notifications.
    pub follows_up: Option<Vec<Uuid>>,
    /// Why it goes to its recipient.
    pub reason: Reason,
    /// The number of the notification that an operator asked to send again as this one.
    pub resend_of: Option<i64>,
    /// As it goes over the wire.
    pub raw: Vec<u8>,
    pub recorded_at: DateTime<Utc>,
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub id: i64,
    pub message_id: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub raw: Vec<u8>,
    /// How many attempts failed.
    pub attempts: u32,
    pub recorded_at: DateTime<Utc>,
}

/// How many messages of a channel wait, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Never tried yet.
    pub pending: u64,
    /// Tried without success, to be tried again.
    pub retrying: u64,
    pub dead: u64,
    /// When the oldest message was recorded that is neither sent nor dead.
    pub oldest_pending: Option<DateTime<Utc>>,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Accepted,
    Failed,
    GivenUp,
}

impl Outgoing {
    /// The column `urgency`: the lower, the sooner.
    fn urgency(&self) -> i64 {
        match (self.follows_up.is_some(), self.severity) {
            (false, Severity::Critical) => 0,
            (false, _) => 1,
            (true, Severity::Critical) => 2,
            (true, _) => LEAST_URGENT,
        }
    }
}

/// The urgency of most follow-ups, and of every notification after a failed attempt.
const LEAST_URGENT: i64 = 3;

/// Reads the index to find one row for each head, and the body only of the chosen ones.
pub(super) const DUE: &str = "WITH line AS (
        SELECT min(id) AS head, min(urgency) AS urgency FROM outbox
        WHERE channel = ?5 AND finished_at IS NULL GROUP BY recipient_folded),
    chosen AS (
        SELECT line.head, line.urgency, outbox.turn_at FROM line JOIN outbox ON outbox.id = line.head
        WHERE (next_attempt_at <= ?1 OR next_attempt_at > ?3 AND (attempted_at IS NULL OR attempted_at > ?1))
          AND recipient_folded NOT IN (SELECT value FROM json_each(?4))
        ORDER BY line.urgency, outbox.turn_at, line.head LIMIT ?2)
    SELECT id, message_id, kind, recipient, raw, attempts, recorded_at FROM chosen JOIN outbox ON id = chosen.head
    ORDER BY chosen.urgency, chosen.turn_at, id";

pub(super) const NEXT_DUE: &str = "SELECT min(next_attempt_at) FROM outbox
    WHERE id IN (SELECT min(id) FROM outbox WHERE channel = ?2 AND finished_at IS NULL GROUP BY recipient_folded)
      AND next_attempt_at > ?1";

type PendingRow = (i64, String, String, String, Vec<u8>, i64, i64);

impl Store {
    /// The messages of a channel that are due, at most one a recipient, in the order in which they are to leave.
    pub async fn due(&self, channel: &str, now: DateTime<Utc>, limit: usize) -> Result<Vec<Pending>, StoreError> {
        self.due_besides(channel, now, limit, &BTreeSet::new()).await
    }

    /// As [`Self::due`], without messages to some recipients.
    pub async fn due_besides(
        &self,
        channel: &str,
        now: DateTime<Utc>,
        limit: usize,
        besides: &BTreeSet<Address>,
    ) -> Result<Vec<Pending>, StoreError> {
        self.try_due(channel, now, limit, besides).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_due(
        &self,
        channel: &str,
        now: DateTime<Utc>,
        limit: usize,
        besides: &BTreeSet<Address>,
    ) -> Result<Vec<Pending>, Fault> {
        let mut reader = self.readers.acquire().await?;
        if let Some(owned) = &self.owned {
            owned.expect_in_place()?;
            owned.owner.expect_ours(&mut reader).await?;
        }
        let longest = stamp(now + DELIVERY_LONGEST_WAIT);
        let besides = doc(&besides.iter().map(folded).collect::<Vec<_>>())?;
        let query = sqlx::query_as(DUE).bind(stamp(now)).bind(count(limit)).bind(longest).bind(besides).bind(channel);
        let rows: Vec<PendingRow> = query.fetch_all(&mut *reader).await?;
        let pending = |(id, message_id, kind, to, raw, attempts, recorded_at): PendingRow| {
            let (kind, to) = (kind_of(id, &kind)?, address_of(id, &to)?);
            let (attempts, recorded_at) = (number(attempts), time(recorded_at));
            Ok(Pending { id, message_id, kind, to, raw, attempts, recorded_at })
        };
        rows.into_iter().map(pending).collect()
    }

    /// When the next message of a channel is due after `after`, which may be in the past; `None` if none waits.
    pub async fn next_due(
        &self,
        channel: &str,
        after: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let query = sqlx::query_scalar::<_, Option<i64>>(NEXT_DUE).bind(after.map_or(i64::MIN, stamp)).bind(channel);
        let next = query.fetch_one(&self.readers).await;
        next.map(|next| next.map(time)).map_err(|error| self.error(Operation::Deliver)(error.into()))
    }

    /// Records that a server accepted the message. True if its address was undeliverable until now.
    pub async fn sent(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StoreError> {
        // A notification that was replaced while it was being sent counts as sent.
        const SQL: &str = "UPDATE outbox SET state = 'sent', finished_at = ?2, attempted_at = ?2,
            attempts = attempts + 1, last_error = NULL
            WHERE id = ?1 AND (finished_at IS NULL OR state = 'superseded')";
        let outcome = self.outcome(id, now, sqlx::query(SQL).bind(id).bind(stamp(now)), Attempt::Accepted).await;
        outcome.map(Option::unwrap_or_default)
    }

    /// An attempt failed; the message is due again at `next_attempt_at`. False if it was replaced meanwhile.
    pub async fn failed(
        &self,
        id: i64,
        now: DateTime<Utc>,
        next_attempt_at: DateTime<Utc>,
        error: &str,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE outbox SET state = 'retrying', attempted_at = ?2, next_attempt_at = ?3, turn_at = ?3,
            urgency = ?5, attempts = attempts + 1, last_error = ?4 WHERE id = ?1 AND finished_at IS NULL";
        let update = sqlx::query(SQL).bind(id).bind(stamp(now)).bind(stamp(next_attempt_at));
        let outcome = self.outcome(id, now, update.bind(error.to_owned()).bind(LEAST_URGENT), Attempt::Failed).await;
        outcome.map(|outcome| outcome.is_some())
    }

    /// An attempt failed for good; the message is not tried again. True if its address is undeliverable since then, `None` if
    /// the message was replaced meanwhile.
    pub async fn dead(&self, id: i64, now: DateTime<Utc>, error: &str) -> Result<Option<bool>, StoreError> {
        const SQL: &str = "UPDATE outbox SET state = 'dead', finished_at = ?2, attempted_at = ?2,
            attempts = attempts + 1, last_error = ?3
            WHERE id = ?1 AND finished_at IS NULL";
        self.outcome(id, now, sqlx::query(SQL).bind(id).bind(stamp(now)).bind(error.to_owned()), Attempt::GivenUp).await
    }

    /// Records an outcome at `now`, and passes the turn to the next notification of the line where this one has left it. True if
    /// its address became undeliverable, or is no longer so; `None` if `update` finds the row finished.
    async fn outcome(
        &self,
        id: i64,
        now: DateTime<Utc>,
        update: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
        attempt: Attempt,
    ) -> Result<Option<bool>, StoreError> {
        const PASS_TURN: &str = "UPDATE outbox SET turn_at = ?2 WHERE id = (
            SELECT min(behind.id) FROM outbox behind JOIN outbox done ON done.id = ?1
            WHERE behind.channel = done.channel AND behind.recipient_folded = done.recipient_folded
              AND behind.finished_at IS NULL AND done.finished_at IS NOT NULL)";
        let write = async {
            let mut transaction = self.writing().await?;
            if attempt != Attempt::Accepted {
                count_watched(&mut transaction, now).await?;
            }
            let mut turned = None;
            if update.execute(&mut *transaction).await?.rows_affected() == 1 {
                sqlx::query(PASS_TURN).bind(id).bind(stamp(now)).execute(&mut *transaction).await?;
                turned = Some(match attempt {
                    Attempt::Accepted => undeliverable::end(&mut transaction, id, now).await?,
                    Attempt::Failed => false,
                    Attempt::GivenUp => undeliverable::begin(&mut transaction, id, now).await?,
                });
            }
            transaction.commit().await?;
            Ok(turned)
        };
        write.await.map_err(self.error(Operation::Deliver))
    }

    /// Counts the time up to `now` toward the retry age, without an attempt.
    pub async fn note_watched(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let write = async {
            let mut transaction = self.writing().await?;
            count_watched(&mut transaction, now).await?;
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

    /// How many notifications of a channel wait or are dead.
    pub async fn outbox_counts(&self, channel: &str) -> Result<OutboxCounts, StoreError> {
        self.try_counts(channel).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_counts(&self, channel: &str) -> Result<OutboxCounts, Fault> {
        const SQL: &str = "SELECT
            (SELECT count(*) FROM outbox WHERE channel = ?1 AND state = 'pending'),
            (SELECT count(*) FROM outbox WHERE channel = ?1 AND state = 'retrying'),
            (SELECT count(*) FROM outbox WHERE channel = ?1 AND state = 'dead'),
            (SELECT min(recorded_at) FROM outbox WHERE channel = ?1 AND finished_at IS NULL)";
        let (pending, retrying, dead, oldest): (i64, i64, i64, Option<i64>) =
            sqlx::query_as(SQL).bind(channel).fetch_one(&self.readers).await?;
        Ok(OutboxCounts {
            pending: number(pending),
            retrying: number(retrying),
            dead: number(dead),
            oldest_pending: oldest.map(time),
        })
    }

    /// Puts messages into the outbox that alerting did not derive, as tests do.
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

/// Adds notifications to the outbox; one that is already there stays as it is. A follow-up replaces earlier follow-ups with no
/// outcome of an attempt that tell of no other incident.
pub(super) async fn add(to: &mut SqliteConnection, outgoing: &[Outgoing]) -> Result<(), Fault> {
    const SQL: &str =
        "INSERT INTO outbox (notification, message_id, channel, kind, severity, recipient, recipient_folded, subject,
        sessions, follows_up, reason, raw, recorded_at, state, next_attempt_at, turn_at, watched_from, urgency, resend_of)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'pending', ?13, ?13, ?14, ?15, ?16)
        ON CONFLICT DO NOTHING";
    const REPLACE: &str = "UPDATE outbox SET state = 'superseded', finished_at = ?5, superseded_by = ?1
        WHERE channel = ?2 AND recipient_folded = ?3 AND finished_at IS NULL AND state = 'pending' AND attempts = 0
          AND notification <> ?1 AND follows_up IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM json_each(outbox.follows_up) WHERE value NOT IN (SELECT value FROM json_each(?4)))
        RETURNING turn_at";
    const TAKE_TURN: &str = "UPDATE outbox SET turn_at = min(turn_at, ?2) WHERE notification = ?1";
    let Some(first) = outgoing.first() else { return Ok(()) };
    let watched_from = watched(to, first.recorded_at).await?;
    for notification in outgoing {
        let id = notification.notification.to_string();
        let follows_up = notification.follows_up.as_ref().map(doc).transpose()?;
        let added = sqlx::query(SQL)
            .bind(&id)
            .bind(&notification.message_id)
            .bind(notification.channel.as_str())
            .bind(notification.kind.label())
            .bind(notification.severity.label())
            .bind(notification.to.as_str())
            .bind(folded(&notification.to))
            .bind(&notification.subject)
            .bind(doc(&notification.sessions)?)
            .bind(&follows_up)
            .bind(doc(&notification.reason)?)
            .bind(&notification.raw)
            .bind(stamp(notification.recorded_at))
            .bind(watched_from)
            .bind(notification.urgency())
            .bind(notification.resend_of)
            .execute(&mut *to)
            .await?;
        if let (Some(incidents), 1) = (follows_up, added.rows_affected()) {
            let replaced: Vec<i64> = sqlx::query_scalar(REPLACE)
                .bind(&id)
                .bind(notification.channel.as_str())
                .bind(folded(&notification.to))
                .bind(incidents)
                .bind(stamp(notification.recorded_at))
                .fetch_all(&mut *to)
                .await?;
            if let Some(turn) = replaced.into_iter().min() {
                sqlx::query(TAKE_TURN).bind(&id).bind(turn).execute(&mut *to).await?;
            }
        }
    }
    Ok(())
}

/// Records the result of [`watched`] at `now`.
async fn count_watched(connection: &mut SqliteConnection, now: DateTime<Utc>) -> Result<(), Fault> {
    const SQL: &str = "UPDATE delivery SET watched = ?1, at = ?2";
    let watched = watched(connection, now).await?;
    sqlx::query(SQL).bind(watched).bind(stamp(now)).execute(connection).await?;
    Ok(())
}

/// How long the dispatcher has run with something to deliver, up to `now`, in nanoseconds. Since the time was last recorded, at
/// most the longest retry wait counts, and no time before the oldest waiting message was recorded. A message recorded later
/// than `now` was recorded before the clock was set back.
async fn watched(connection: &mut SqliteConnection, now: DateTime<Utc>) -> Result<i64, Fault> {
    const SQL: &str = "SELECT watched + max(0, min(?2, ?1 - max(at, coalesce(
        (SELECT min(iif(recorded_at > ?1, at, recorded_at)) FROM outbox WHERE finished_at IS NULL), ?1)))) FROM delivery";
    let longest = DELIVERY_LONGEST_WAIT.num_nanoseconds().unwrap_or(i64::MAX);
    Ok(sqlx::query_scalar(SQL).bind(stamp(now)).bind(longest).fetch_one(connection).await?)
}

/// The form of an address by which the order of delivery compares recipients.
pub(super) fn folded(to: &Address) -> String {
    to.as_str().to_ascii_lowercase()
}

pub(super) fn kind_of(id: i64, label: &str) -> Result<NotificationKind, Fault> {
    NotificationKind::from_label(label)
        .ok_or_else(|| Fault::unreadable(format!("notification {id}"), format!("kind {label:?}")))
}

pub(super) fn address_of(id: i64, text: &str) -> Result<Address, Fault> {
    Address::parse(text).map_err(|error| Fault::unreadable(format!("notification {id}"), error))
}
