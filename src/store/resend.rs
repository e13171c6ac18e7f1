//! An operator's resend of a notification: a row of its own, with a new Message-ID and the same content.
//!
//! The new row joins the end of its recipient's line and is never replaced by a later follow-up. The old row stays as it is.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Fault, Operation, StoreError};
use super::form::read;
use super::outbox::{add, address_of, kind_of};
use super::{NotificationState, Outgoing, Store};
use crate::domain::name::Name;
use crate::domain::policy::Severity;

/// Most resends that wait at once. Clients of the listener do not sign in, so the number bounds how long resends delay a new alert:
/// 20 seconds at 30 mails a minute, the default of `max_per_minute`.
const MOST_WAITING: i64 = 10;

/// The result of a resend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    /// The number of the new row.
    pub number: i64,
    pub message_id: String,
}

/// Why a notification cannot be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("there is no notification {0}; `driftwise notifications list` shows those in the store")]
    Unknown(i64),
    #[error("notification {number} is {state} and will be sent anyway")]
    Waiting { number: i64, state: NotificationState },
    #[error(
        "notification {number} was superseded before it was sent: resend the later one, which `driftwise notifications show {number}` names"
    )]
    Superseded { number: i64 },
    #[error("an earlier resend of notification {number} is still waiting, as notification {resend}")]
    InTheOutbox { number: i64, resend: i64 },
    #[error(
        "{MOST_WAITING} resends are already waiting, and new alerts queue behind them: try again when they have been sent"
    )]
    TooMany,
    #[error("the configuration no longer names the recipient of notification {number}")]
    NoRecipient { number: i64 },
}

/// The columns of the row to send again.
type OldRow = (String, String, String, String, String, String, String, String, String, Vec<u8>);

impl Store {
    /// Records notification `number` again at `now`. `allowed` says whether its address may get mail. `reissue` gives the message
    /// another Message-ID: it takes the old message and the new stable id, and returns the new Message-ID and message.
    pub async fn resend(
        &self,
        number: i64,
        now: DateTime<Utc>,
        allowed: impl FnOnce(&crate::domain::address::Address) -> bool + Send,
        reissue: impl FnOnce(&[u8], Uuid) -> (String, Vec<u8>) + Send,
    ) -> Result<Result<Resend, Unsendable>, StoreError> {
        const NEW: &str = "SELECT id FROM outbox WHERE message_id = ?1";
        let write = async {
            let mut transaction = self.writing().await?;
            let outgoing = match again(&mut transaction, number, now, allowed, reissue).await? {
                Ok(outgoing) => outgoing,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let message_id = outgoing.message_id.clone();
            add(&mut transaction, &[outgoing]).await?;
            let number = sqlx::query_scalar(NEW).bind(&message_id).fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Ok(Resend { number, message_id }))
        };
        write.await.map_err(self.error(Operation::Deliver))
    }
}

async fn again(
    from: &mut SqliteConnection,
    number: i64,
    now: DateTime<Utc>,
    allowed: impl FnOnce(&crate::domain::address::Address) -> bool,
    reissue: impl FnOnce(&[u8], Uuid) -> (String, Vec<u8>),
) -> Result<Result<Outgoing, Unsendable>, Fault> {
    const OLD: &str = "SELECT state, notification, channel, kind, severity, recipient, subject, sessions, reason, raw
        FROM outbox WHERE id = ?1";
    const EARLIER: &str = "SELECT id FROM outbox WHERE resend_of = ?1 AND finished_at IS NULL LIMIT 1";
    const WAITING: &str = "SELECT count(*) FROM outbox WHERE resend_of IS NOT NULL AND finished_at IS NULL";
    const RESENDS: &str = "SELECT count(*) FROM outbox WHERE resend_of = ?1";
    let old: Option<OldRow> = sqlx::query_as(OLD).bind(number).fetch_optional(&mut *from).await?;
    let Some((state, notification, channel, kind, severity, recipient, subject, sessions, reason, raw)) = old else {
        return Ok(Err(Unsendable::Unknown(number)));
    };
    let what = || format!("notification {number}");
    let unknown = |column: &str, value: &str| Fault::unreadable(what(), format!("{column} {value:?}"));
    match NotificationState::from_label(&state).ok_or_else(|| unknown("state", &state))? {
        NotificationState::Sent | NotificationState::Dead => {}
        NotificationState::Superseded => return Ok(Err(Unsendable::Superseded { number })),
        state @ (NotificationState::Pending | NotificationState::Retrying) => {
            return Ok(Err(Unsendable::Waiting { number, state }));
        }
    }
    let to = address_of(number, &recipient)?;
    if !allowed(&to) {
        return Ok(Err(Unsendable::NoRecipient { number }));
    }
    let earlier: Option<i64> = sqlx::query_scalar(EARLIER).bind(number).fetch_optional(&mut *from).await?;
    if let Some(resend) = earlier {
        return Ok(Err(Unsendable::InTheOutbox { number, resend }));
    }
    let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut *from).await?;
    if waiting >= MOST_WAITING {
        return Ok(Err(Unsendable::TooMany));
    }
    let before: i64 = sqlx::query_scalar(RESENDS).bind(number).fetch_one(&mut *from).await?;
    let stable = format!("driftwise resend\n{notification}\n{}", before + 1);
    let stable = Uuid::new_v5(&Uuid::NAMESPACE_OID, stable.as_bytes());
    let (message_id, raw) = reissue(&raw, stable);
    Ok(Ok(Outgoing {
        notification: stable,
        message_id,
        channel: Name::parse(&channel).map_err(|e| Fault::unreadable(what(), e))?,
        kind: kind_of(number, &kind)?,
        severity: Severity::from_label(&severity).ok_or_else(|| unknown("severity", &severity))?,
        to,
        subject,
        sessions: read(&sessions, what)?,
        follows_up: None,
        reason: read(&reason, what)?,
        resend_of: Some(number),
        raw,
        recorded_at: now,
    }))
}
