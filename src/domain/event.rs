//! Events: what happened to sessions and sources, kept until retention deletes it.

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
    /// The value of a setting differs from the last poll; `None` where the source did not return it.
    SettingChanged {
        setting: SettingKey,
        before: Option<String>,
        after: Option<String>,
    },
    /// A setting that appeared after the first poll was pinned to the value found.
    Pinned {
        setting: SettingKey,
        value: String,
    },
    /// A setting that only a pattern watched is in no row any more; its pinned values are dropped.
    SettingForgotten {
        setting: SettingKey,
    },
    /// An unaudited session has appeared.
    SessionFound {
        id: SessionId,
        name: Option<String>,
    },
    /// The configuration no longer audits the session.
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
