//! The reason of a notification: why it went to its recipient, and which incidents a stage held back.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Role;

/// Why a notification went to its recipient, and which incidents were held back meanwhile: stored with it, for `notifications show`.
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
    /// `drift of export from export-off in erp/14`.
    pub what: String,
    /// See [`Change::token`](super::Change::token).
    pub change: String,
    pub role: Role,
    /// Only because it lasts longer than `blind_after`.
    #[serde(default)]
    pub blind: bool,
}

/// An incident that is not in a notification, and the stage that held it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedIncident {
    pub id: Uuid,
    pub what: String,
    pub stage: Stage,
}

/// A stage of alerting that can hold back an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Inhibition,
    Severity,
    GracePeriod,
}

impl Stage {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Inhibition => "inhibition: it follows from an incident of the source",
            Self::Severity => "severity: below min_severity",
            Self::GracePeriod => "grace period: it has not lasted long enough",
        }
    }
}
