//! Reads the outbox for people: which notifications were recorded, why, and the outcome of each.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{count, number, read, stamp, time};
use super::notify::uuid;
use super::outbox::{address_of, kind_of};
use crate::domain::address::Address;
use crate::domain::notification::{NotificationKind, Reason};

/// The columns of a notification without its body.
const COLUMNS: &str =
    "id, notification, message_id, channel, kind, recipient, subject, sessions, state, attempts, attempted_at,
    next_attempt_at, last_error, recorded_at, finished_at, superseded_by, resend_of,
    (SELECT later.id FROM outbox later WHERE later.notification = outbox.superseded_by) AS replacement";

/// The progress of the delivery of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationState {
    /// Never tried yet.
    Pending,
    /// Tried without success, to be tried again.
    Retrying,
    Sent,
    /// Given up.
    Dead,
    /// Replaced, before its first attempt had an outcome, by a later follow-up of the same incidents.
    Superseded,
}

impl NotificationState {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Retrying, Self::Sent, Self::Dead, Self::Superseded];

    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.label() == label)
    }
}

impl fmt::Display for NotificationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What names one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationId {
    /// Its number in the store.
    Number(i64),
    /// Its UUID, as the log has it.
    Stable(Uuid),
}

impl From<i64> for NotificationId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Stable(stable) => stable.fmt(f),
        }
    }
}

/// Selects notifications; the default selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    pub state: Option<NotificationState>,
    /// `SOURCE/ID` of a session in it.
    pub session: Option<String>,
    /// Recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
}

/// A notification without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    pub id: i64,
    /// The stable id.
    pub notification: Uuid,
    pub message_id: String,
    pub channel: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub subject: String,
    /// `SOURCE/ID` of each session in it.
    pub sessions: Vec<String>,
    pub state: NotificationState,
    pub attempts: u32,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it is tried next, if it waits.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub recorded_at: DateTime<Utc>,
    /// When it was sent, given up or replaced.
    pub finished_at: Option<DateTime<Utc>>,
    /// The notification that replaced it, by its stable id.
    pub superseded_by: Option<Uuid>,
    /// The number of that notification, as long as retention keeps it.
    pub replacement: Option<i64>,
    /// The number of the notification that an operator asked to send again as this one.
    pub resend_of: Option<i64>,
}

impl Store {
    /// One notification and why it went to its recipient; `None` if the store has none with that id.
    pub async fn notification(
        &self,
        id: impl Into<NotificationId>,
    ) -> Result<Option<(StoredNotification, Reason)>, StoreError> {
        self.try_notification(id.into()).await.map_err(self.error(Operation::Read))
    }

    async fn try_notification(&self, id: NotificationId) -> Result<Option<(StoredNotification, Reason)>, Fault> {
        let (number, stable) = match id {
            NotificationId::Number(number) => (Some(number), None),
            NotificationId::Stable(stable) => (None, Some(stable.to_string())),
        };
        let sql = format!("SELECT {COLUMNS}, reason FROM outbox WHERE id = ?1 OR notification = ?2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(number).bind(stable);
        let row = query.fetch_optional(&self.readers).await?;
        row.as_ref().map(with_reason).transpose()
    }

    /// The last `limit` notifications that `filter` lets through, newest last.
    pub async fn notifications(
        &self,
        filter: &NotificationFilter,
        limit: usize,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        let rows = self.filtered(COLUMNS, filter, limit).await;
        rows.and_then(|rows| rows.iter().map(stored).collect()).map_err(self.error(Operation::Read))
    }

    /// The same with the reason of each.
    pub async fn notifications_with_reasons(
        &self,
        filter: &NotificationFilter,
        limit: usize,
    ) -> Result<Vec<(StoredNotification, Reason)>, StoreError> {
        let rows = self.filtered(&format!("{COLUMNS}, reason"), filter, limit).await;
        rows.and_then(|rows| rows.iter().map(with_reason).collect()).map_err(self.error(Operation::Read))
    }

    async fn filtered(
        &self,
        columns: &str,
        filter: &NotificationFilter,
        limit: usize,
    ) -> Result<Vec<SqliteRow>, Fault> {
        let sql = format!(
            "SELECT {columns} FROM outbox
            WHERE (?1 IS NULL OR state = ?1)
              AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(outbox.sessions) WHERE value = ?2))
              AND (?3 IS NULL OR recorded_at >= ?3)
            ORDER BY id DESC LIMIT ?4"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(filter.state.map(NotificationState::label))
            .bind(&filter.session)
            .bind(filter.since.map(stamp))
            .bind(count(limit));
        let mut rows = query.fetch_all(&self.readers).await?;
        rows.reverse();
        Ok(rows)
    }
}

fn with_reason(row: &SqliteRow) -> Result<(StoredNotification, Reason), Fault> {
    let notification = stored(row)?;
    let reason = read(row.try_get("reason")?, || format!("notification {}", notification.id))?;
    Ok((notification, reason))
}

fn stored(row: &SqliteRow) -> Result<StoredNotification, Fault> {
    let id = row.try_get("id")?;
    let text = |column| row.try_get::<&str, _>(column);
    let state = text("state")?;
    let unknown = || Fault::unreadable(format!("notification {id}"), format!("state {state:?}"));
    let state = NotificationState::from_label(state).ok_or_else(unknown)?;
    let waits = matches!(state, NotificationState::Pending | NotificationState::Retrying);
    Ok(StoredNotification {
        id,
        notification: uuid(text("notification")?)?,
        message_id: row.try_get("message_id")?,
        channel: row.try_get("channel")?,
        kind: kind_of(id, text("kind")?)?,
        to: address_of(id, text("recipient")?)?,
        subject: row.try_get("subject")?,
        sessions: read(text("sessions")?, || format!("notification {id}"))?,
        state,
        attempts: number(row.try_get("attempts")?),
        attempted_at: row.try_get::<Option<i64>, _>("attempted_at")?.map(time),
        next_attempt_at: row.try_get::<Option<i64>, _>("next_attempt_at")?.filter(|_| waits).map(time),
        last_error: row.try_get("last_error")?,
        recorded_at: time(row.try_get("recorded_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(time),
        superseded_by: row.try_get::<Option<&str>, _>("superseded_by")?.map(uuid).transpose()?,
        replacement: row.try_get("replacement")?,
        resend_of: row.try_get("resend_of")?,
    })
}
