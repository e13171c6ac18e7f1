//! The state of delivery over one channel: addresses that refuse our mail, and mail that waits for a retry.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::name::Name;
use super::notification::{NotificationKind, Opening, Role};
use super::policy::Severity;

/// An address is undeliverable from the first notification to it that was given up until a later one is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndeliverableAddress {
    /// See [`UndeliverableAddress::id_of`].
    pub id: Uuid,
    pub address: Address,
    /// When the first notification was given up.
    pub since: DateTime<Utc>,
    /// Why the last one was given up: in our words, with those of the server in quotation marks.
    pub last_error: String,
    pub lost: LostNotifications,
    /// When a later notification was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Who was notified of it.
    pub notified: Vec<NotifiedRecipient>,
}

impl UndeliverableAddress {
    /// A version 5 UUID of the channel, the address and the first notification that was given up.
    pub fn id_of(channel: &str, address: &Address, first: Uuid) -> Uuid {
        let address = address.as_str().to_ascii_lowercase();
        let name = format!("driftwise undeliverable address\n{channel}\n{address}\n{first}");
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }

    /// The severity of a notification about it: that of the most severe one that was lost, at least a warning.
    pub fn severity(&self) -> Severity {
        self.lost.worst.as_ref().map_or(Severity::Warning, |worst| worst.severity.max(Severity::Warning))
    }
}

/// The notifications to one address that were given up since it refuses mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostNotifications {
    pub count: usize,
    /// The first of the most severe ones.
    pub worst: Option<LostNotification>,
    /// How many of each kind, in the order of kinds.
    pub kinds: Vec<(NotificationKind, usize)>,
    /// `SOURCE/ID` of the sessions that they were about, each once.
    pub sessions: Vec<String>,
}

/// One notification that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostNotification {
    /// Its number in the outbox.
    pub number: i64,
    pub severity: Severity,
    pub subject: String,
}

/// A recipient who was notified that an address is undeliverable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifiedRecipient {
    pub to: Address,
    pub role: Role,
    pub opening: Opening,
}

/// Why an address is no longer undeliverable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressEnd {
    Accepted(DateTime<Utc>),
    /// The configuration does not name the address any more.
    Unused,
}

/// An address that began to refuse mail, or ceased to: as a notification says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressChange {
    pub address: Arc<UndeliverableAddress>,
    /// `None` where it began.
    pub end: Option<AddressEnd>,
}

/// The delivery over one channel, as pages and commands show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    pub channel: Name,
    /// Notifications whose last attempt failed and that will be tried again.
    pub retrying: u64,
    /// When the oldest of them was recorded.
    pub retrying_since: Option<DateTime<Utc>>,
    /// Why the last attempt of one of them failed.
    pub last_error: Option<String>,
    /// Addresses that refuse mail now, in their order.
    pub undeliverable: Vec<UndeliverableAddress>,
}
