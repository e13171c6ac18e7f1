//! What one audit has to tell one recipient: facts, fixed when they are recorded.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::incident::{Facts, Incident, IncidentKind};
use super::name::Name;
use super::policy::Severity;
use super::reconcile::{About, News};
use super::session::SessionId;

/// What kind of message it is; the first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationKind {
    Drift,
    Missing,
    Unreachable,
    Unverifiable,
    Update,
    Resolved,
    /// The end of missing, unreachable or unverifiable.
    Recovered,
    Reminder,
    /// A session that nobody audits has appeared.
    Found,
    Test,
}

impl NotificationKind {
    pub const ALL: [Self; 10] = [
        Self::Drift,
        Self::Missing,
        Self::Unreachable,
        Self::Unverifiable,
        Self::Update,
        Self::Resolved,
        Self::Recovered,
        Self::Reminder,
        Self::Found,
        Self::Test,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::Unreachable => "unreachable",
            Self::Unverifiable => "unverifiable",
            Self::Update => "update",
            Self::Resolved => "resolved",
            Self::Recovered => "recovered",
            Self::Reminder => "reminder",
            Self::Found => "found",
            Self::Test => "test",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One thing that a message tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: NotificationKind,
    pub severity: Severity,
    pub news: News,
    pub about: About,
    /// The zone in which the reader thinks of it.
    pub zone: Tz,
    /// The address of the session's page, if there is a public one.
    pub link: Option<String>,
}

impl Item {
    pub fn incident(&self) -> Option<&Incident> {
        match &self.about {
            About::Incident(incident) => Some(incident),
            About::Unaudited { .. } => None,
        }
    }

    pub fn facts(&self) -> Option<&Facts> {
        self.incident().map(|incident| &incident.facts)
    }

    pub fn session(&self) -> Option<&SessionId> {
        match &self.about {
            About::Incident(incident) => incident.key.session(),
            About::Unaudited { id, .. } => Some(id),
        }
    }

    /// Whether it tells of a source as a whole.
    pub fn of_source(&self) -> bool {
        self.incident().is_some_and(|incident| incident.kind() == IncidentKind::Unreachable)
    }
}

/// One message to one recipient, before it is put into a channel's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// With angle brackets, as in the header.
    pub message_id: String,
    pub kind: NotificationKind,
    pub to: Address,
    pub source: Name,
    /// When it was recorded: the mail's `Date`.
    pub at: DateTime<Utc>,
    pub zone: Tz,
    pub subject: String,
    /// Most severe first.
    pub items: Vec<Item>,
    /// With angle brackets, in order.
    pub references: Vec<String>,
    pub in_reply_to: Option<String>,
    /// Whom to ask, in words.
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
}

impl Notification {
    /// The sessions told of, each once, in order: for the headers and the outbox.
    pub fn sessions(&self) -> Vec<&SessionId> {
        let mut sessions = Vec::new();
        for id in self.items.iter().filter_map(Item::session) {
            if !sessions.contains(&id) {
                sessions.push(id);
            }
        }
        sessions
    }
}
