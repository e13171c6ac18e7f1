//! Something that happened, kept until retention.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::incident::{End, IncidentKey, IncidentKind};
use super::policy::Severity;
use super::session::SessionId;
use super::setting::SettingKey;

/// One event of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: DateTime<Utc>,
    /// `None` for what concerns the whole source.
    pub session: Option<SessionId>,
    pub what: EventKind,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    Opened {
        incident: Uuid,
        key: IncidentKey,
        severity: Severity,
        expected: String,
        found: String,
        reason: String,
    },
    Updated {
        incident: Uuid,
        key: IncidentKey,
        before: String,
        found: String,
    },
    Ended {
        incident: Uuid,
        key: IncidentKey,
        severity: Severity,
        end: End,
        found: String,
    },
    /// The value of a setting is another one than at the last poll; `None` where the source did not return it.
    SettingChanged {
        setting: SettingKey,
        before: Option<String>,
        after: Option<String>,
    },
    /// A setting that came later was pinned as it was found.
    Pinned {
        setting: SettingKey,
        value: String,
    },
    /// A session that nobody audits has appeared.
    SessionFound {
        id: SessionId,
        name: Option<String>,
    },
    /// The configuration does not audit the session any more.
    SessionRetired {
        id: SessionId,
    },
}

impl EventKind {
    /// The kind and severity of an incident that opened.
    pub fn opened(&self) -> Option<(IncidentKind, Severity)> {
        match self {
            Self::Opened { key, severity, .. } => Some((key.kind(), *severity)),
            _ => None,
        }
    }

    /// The kind and severity of an incident that ended.
    pub fn ended(&self) -> Option<(IncidentKind, Severity)> {
        match self {
            Self::Ended { key, severity, .. } => Some((key.kind(), *severity)),
            _ => None,
        }
    }
}
