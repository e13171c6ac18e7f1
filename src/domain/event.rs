//! Events: what happened to sessions and sources, kept until retention deletes it.

use std::fmt;

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

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { key, expected, found, .. } if key.rule().is_some() => {
                write!(f, "{} opened: found {found}, expected {expected}", About(key))
            }
            Self::Opened { key, reason, .. } if reason.is_empty() => write!(f, "{} opened", About(key)),
            Self::Opened { key, reason, .. } => write!(f, "{} opened: {reason}", About(key)),
            Self::Updated { key, before, found, .. } => {
                write!(f, "{} updated: found {found}, before {before}", About(key))
            }
            Self::Ended { key, end, .. } => write!(f, "{} ended: {}", About(key), end.label()),
            Self::SettingChanged { setting, before, after } => {
                let said = |value: &Option<String>| value.clone().unwrap_or_else(|| String::from("(not returned)"));
                write!(f, "{setting} changed from {} to {}", said(before), said(after))
            }
            Self::Pinned { setting, value } => write!(f, "{setting} is new and pinned as {value}"),
            Self::SessionFound { id, .. } => write!(f, "session {id} has appeared and is not audited"),
            Self::SessionRetired { id } => write!(f, "session {id} is not audited any more"),
        }
    }
}

/// The subject of an incident, for the log.
struct About<'a>(&'a IncidentKey);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind().label())?;
        match self.0.rule() {
            Some((rule, setting)) => write!(f, " of {setting} from {rule}"),
            None => Ok(()),
        }
    }
}
