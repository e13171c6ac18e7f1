//! The reason of a notification: why it went to its recipient, and which incidents a stage held back.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{About, Role};
use crate::domain::address::Address;
use crate::domain::alerting::SuppressionReason;
use crate::domain::incident::{Incident, IncidentKey};
use crate::domain::name::Name;
use crate::domain::session::SessionId;

/// Why a notification went to its recipient, and which incidents were held back meanwhile. Stored for `notifications show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub because: Vec<Because>,
    pub suppressions: Vec<SuppressedIncident>,
    /// How many more of either are not listed.
    #[serde(default)]
    pub more: usize,
}

/// Why one item is in a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// Incident or announcement.
    pub id: Uuid,
    pub about: AboutKey,
    /// See [`Change::token`](super::Change::token).
    pub change: String,
    pub role: Role,
    /// Only because it lasts longer than `blind_after`.
    #[serde(default)]
    pub blind: bool,
}

/// An incident that is not in a notification, and why a stage held it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedIncident {
    pub id: Uuid,
    pub about: AboutKey,
    pub reason: SuppressionReason,
}

/// What identifies the subject of an item: kept in the place of its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AboutKey {
    Incident { source: Name, key: IncidentKey },
    Unaudited { source: Name, session: SessionId },
    Forgotten { source: Name },
    Removed { source: Name, session: SessionId },
    Reload,
    Credential { key: String },
    Undeliverable { address: Address },
}

impl From<&Incident> for AboutKey {
    fn from(incident: &Incident) -> Self {
        Self::Incident { source: incident.source.clone(), key: incident.key.clone() }
    }
}

impl From<&About> for AboutKey {
    fn from(about: &About) -> Self {
        match about {
            About::Incident { incident, .. } => Self::from(&**incident),
            About::Unaudited(found) => Self::Unaudited { source: found.source.clone(), session: found.session.clone() },
            About::Forgotten(forgotten) => Self::Forgotten { source: forgotten.source.clone() },
            About::Removed(removed) => {
                Self::Removed { source: removed.source.clone(), session: removed.session.clone() }
            }
            About::Reload(_) => Self::Reload,
            About::Credential(ending) => Self::Credential { key: ending.key.clone() },
            About::Undeliverable(change) => Self::Undeliverable { address: change.address.address.clone() },
        }
    }
}
