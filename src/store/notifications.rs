//! The outbox as people see it: which messages there were, and what became of each.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{count, number, read, time};
use super::outbox::{address_of, kind_of};
use crate::domain::address::Address;
use crate::domain::notification::NotificationKind;

/// What became of a message so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationState {
    /// Never tried yet.
    Pending,
    /// Tried in vain, to be tried again.
    Retrying,
    Sent,
    /// Given up.
    Dead,
}

impl NotificationState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Retrying, Self::Sent, Self::Dead];

    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Sent => "sent",
            Self::Dead => "dead",
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

/// Which messages are asked for; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    pub state: Option<NotificationState>,
    /// `SOURCE/ID` of a session told of.
    pub session: Option<String>,
}

/// A message without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    pub id: i64,
    pub message_id: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub subject: String,
    /// `SOURCE/ID` of each session told of.
    pub sessions: Vec<String>,
    pub state: NotificationState,
    pub attempts: u32,
    /// When it was last tried.
    pub attempted_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub recorded_at: DateTime<Utc>,
    /// When it was sent or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The last `limit` messages that `filter` lets through, newest last.
    pub async fn messages(
        &self,
        filter: &NotificationFilter,
        limit: usize,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        self.try_messages(filter, limit).await.map_err(self.error(Operation::Read))
    }

    async fn try_messages(&self, filter: &NotificationFilter, limit: usize) -> Result<Vec<StoredNotification>, Fault> {
        const SQL: &str =
            "SELECT id, message_id, kind, recipient, subject, sessions, state, attempts, attempted_at, last_error,
            recorded_at, finished_at FROM outbox
            WHERE (?1 IS NULL OR state = ?1)
              AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(outbox.sessions) WHERE value = ?2))
            ORDER BY id DESC LIMIT ?3";
        let query =
            sqlx::query(SQL).bind(filter.state.map(NotificationState::label)).bind(&filter.session).bind(count(limit));
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().rev().map(message).collect()
    }
}

fn message(row: &SqliteRow) -> Result<StoredNotification, Fault> {
    let id = row.try_get("id")?;
    let text = |column| row.try_get::<&str, _>(column);
    let state = text("state")?;
    let unknown = || Fault::unreadable(format!("message {id}"), format!("state {state:?}"));
    Ok(StoredNotification {
        id,
        message_id: row.try_get("message_id")?,
        kind: kind_of(id, text("kind")?)?,
        to: address_of(id, text("recipient")?)?,
        subject: row.try_get("subject")?,
        sessions: read(text("sessions")?, || format!("message {id}"))?,
        state: NotificationState::from_label(state).ok_or_else(unknown)?,
        attempts: number(row.try_get("attempts")?),
        attempted_at: row.try_get::<Option<i64>, _>("attempted_at")?.map(time),
        last_error: row.try_get("last_error")?,
        recorded_at: time(row.try_get("recorded_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(time),
    })
}
