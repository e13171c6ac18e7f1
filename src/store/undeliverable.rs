//! Addresses that refuse our mail: begun and ended in the transaction of the delivery outcome, so that neither is lost.
//!
//! A row exists from the first notification to an address that was given up. It ends when a later one is accepted, and is deleted
//! when the recipients are notified of the end. The lost notifications are read from the outbox.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{doc, number, read, stamp, time};
use super::notify::uuid;
use super::outbox::{address_of, kind_of};
use crate::domain::alerting::Evaluation;
use crate::domain::delivery::{DeliveryState, LostNotification, LostNotifications, UndeliverableAddress};
use crate::domain::name::Name;
use crate::domain::notification::NotificationKind;
use crate::domain::policy::Severity;

/// Most sessions that are listed of one address: a mail names a few.
const MOST_SESSIONS: usize = 100;

/// Notes that the address of a notification that was given up refuses mail from now on. False if it did so before.
pub(super) async fn begin(to: &mut SqliteConnection, id: i64, now: DateTime<Utc>) -> Result<bool, Fault> {
    const ROW: &str = "SELECT notification, channel, recipient FROM outbox WHERE id = ?1";
    const SQL: &str = "INSERT INTO undeliverable (id, channel, recipient, recipient_folded, first, since)
        SELECT ?2, channel, recipient, recipient_folded, id, ?3 FROM outbox WHERE id = ?1 ON CONFLICT DO NOTHING";
    let (notification, channel, recipient): (String, String, String) =
        sqlx::query_as(ROW).bind(id).fetch_one(&mut *to).await?;
    let address = address_of(id, &recipient)?;
    let stable = UndeliverableAddress::id_of(&channel, &address, uuid(&notification)?).to_string();
    let inserted = sqlx::query(SQL).bind(id).bind(stable).bind(stamp(now)).execute(to).await?;
    Ok(inserted.rows_affected() == 1)
}

/// Notes that the address of a notification that was sent accepts mail. False if it did so before.
pub(super) async fn end(to: &mut SqliteConnection, id: i64, now: DateTime<Utc>) -> Result<bool, Fault> {
    const SQL: &str = "UPDATE undeliverable SET accepted = ?1, accepted_at = ?2 WHERE accepted IS NULL
        AND (channel, recipient_folded) = (SELECT channel, recipient_folded FROM outbox WHERE id = ?1)";
    Ok(sqlx::query(SQL).bind(id).bind(stamp(now)).execute(to).await?.rows_affected() == 1)
}

/// Records which recipients were notified, and deletes the addresses that have ended.
pub(super) async fn note(to: &mut SqliteConnection, evaluation: &Evaluation) -> Result<(), Fault> {
    const NOTIFIED: &str = "UPDATE undeliverable SET notified = json_insert(notified, '$[#]', json(?2)) WHERE id = ?1";
    for (id, recipient) in &evaluation.addresses_notified {
        sqlx::query(NOTIFIED).bind(id.to_string()).bind(doc(recipient)?).execute(&mut *to).await?;
    }
    for id in &evaluation.addresses_ended {
        sqlx::query("DELETE FROM undeliverable WHERE id = ?1").bind(id.to_string()).execute(&mut *to).await?;
    }
    Ok(())
}

type AddressRow = (String, String, i64, Option<i64>, String);
type LostRow = (String, i64, String, String, String, String, Option<String>);

impl Store {
    /// The addresses of a channel that refuse mail, and those that accept it again and whose end is not notified yet.
    pub async fn undeliverable(&self, channel: &str) -> Result<Vec<UndeliverableAddress>, StoreError> {
        self.try_undeliverable(channel).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_undeliverable(&self, channel: &str) -> Result<Vec<UndeliverableAddress>, Fault> {
        const ADDRESSES: &str = "SELECT id, recipient, since, accepted_at, notified FROM undeliverable
            WHERE channel = ?1 ORDER BY recipient_folded, since";
        const LOST: &str = "SELECT u.id, o.id, o.kind, o.severity, o.subject, o.sessions, o.last_error
            FROM undeliverable u CROSS JOIN outbox o ON o.channel = u.channel AND o.recipient_folded = u.recipient_folded
            WHERE u.channel = ?1 AND o.state = 'dead' AND o.id >= u.first AND (u.accepted IS NULL OR o.id < u.accepted)
            ORDER BY o.id";
        let mut from = self.readers.begin().await?;
        let rows: Vec<AddressRow> = sqlx::query_as(ADDRESSES).bind(channel).fetch_all(&mut *from).await?;
        // Nearly always the case.
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut lost: BTreeMap<String, Tally> = BTreeMap::new();
        let rows_lost: Vec<LostRow> = sqlx::query_as(LOST).bind(channel).fetch_all(&mut *from).await?;
        from.rollback().await?;
        for (address, id, kind, severity, subject, sessions, error) in rows_lost {
            let unknown = || Fault::unreadable(format!("notification {id}"), format!("severity {severity:?}"));
            let severity = Severity::from_label(&severity).ok_or_else(unknown)?;
            let sessions: Vec<String> = read(&sessions, || format!("notification {id}"))?;
            let one = LostNotification { number: id, severity, subject };
            lost.entry(address).or_default().add(one, kind_of(id, &kind)?, sessions, error);
        }
        let address = |(id, recipient, since, accepted_at, notified): AddressRow| {
            let Tally { mut lost, kinds, last_error } = lost.remove(&id).unwrap_or_default();
            lost.kinds = kinds.into_iter().collect();
            let what = || format!("the undeliverable address {id}");
            Ok(UndeliverableAddress {
                address: crate::domain::address::Address::parse(&recipient)
                    .map_err(|e| Fault::unreadable(what(), e))?,
                since: time(since),
                last_error,
                lost,
                accepted_at: accepted_at.map(time),
                notified: read(&notified, what)?,
                id: uuid(&id)?,
            })
        };
        rows.into_iter().map(address).collect()
    }

    /// The delivery over a channel, as pages and commands show it.
    pub async fn delivery(&self, channel: &Name) -> Result<DeliveryState, StoreError> {
        self.try_delivery(channel).await.map_err(self.error(Operation::Deliver))
    }

    async fn try_delivery(&self, channel: &Name) -> Result<DeliveryState, Fault> {
        const RETRYING: &str =
            "SELECT count(*), min(recorded_at) FROM outbox WHERE channel = ?1 AND state = 'retrying'";
        const ERROR: &str = "SELECT last_error FROM outbox WHERE channel = ?1 AND state = 'retrying'
            ORDER BY attempted_at DESC, id DESC LIMIT 1";
        let (retrying, since): (i64, Option<i64>) =
            sqlx::query_as(RETRYING).bind(channel.as_str()).fetch_one(&self.readers).await?;
        let error: Option<Option<String>> =
            sqlx::query_scalar(ERROR).bind(channel.as_str()).fetch_optional(&self.readers).await?;
        let mut undeliverable = self.try_undeliverable(channel.as_str()).await?;
        undeliverable.retain(|address| address.accepted_at.is_none());
        Ok(DeliveryState {
            channel: channel.clone(),
            retrying: number(retrying),
            retrying_since: since.map(time),
            last_error: error.flatten(),
            undeliverable,
        })
    }
}

/// The sum of the lost notifications of one address.
#[derive(Default)]
struct Tally {
    lost: LostNotifications,
    kinds: BTreeMap<NotificationKind, usize>,
    last_error: String,
}

impl Tally {
    fn add(&mut self, one: LostNotification, kind: NotificationKind, sessions: Vec<String>, error: Option<String>) {
        self.lost.count += 1;
        *self.kinds.entry(kind).or_default() += 1;
        for key in sessions {
            if self.lost.sessions.len() < MOST_SESSIONS && !self.lost.sessions.contains(&key) {
                self.lost.sessions.push(key);
            }
        }
        if self.lost.worst.as_ref().is_none_or(|worst| worst.severity < one.severity) {
            self.lost.worst = Some(one);
        }
        self.last_error = error.unwrap_or_default();
    }
}
