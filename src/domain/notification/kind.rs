//! The kinds of notifications.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a notification: the first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    Drift,
    Missing,
    Unreachable,
    SourceChanged,
    Unverifiable,
    Update,
    Resolved,
    /// The end of missing, unreachable, source changed, unverifiable or undeliverable.
    Recovered,
    Reminder,
    /// A session that is not audited has appeared, or one with open incidents is no longer audited.
    Unaudited,
    /// A reload read a configuration that cannot be used.
    Reload,
    /// A secret or certificate of the configuration ends soon, or has ended.
    Credential,
    /// An address refuses our mail.
    Undeliverable,
    Test,
}

impl NotificationKind {
    pub const ALL: [Self; 14] = [
        Self::Drift,
        Self::Missing,
        Self::Unreachable,
        Self::SourceChanged,
        Self::Unverifiable,
        Self::Update,
        Self::Resolved,
        Self::Recovered,
        Self::Reminder,
        Self::Unaudited,
        Self::Reload,
        Self::Credential,
        Self::Undeliverable,
        Self::Test,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::Unreachable => "unreachable",
            Self::SourceChanged => "source_changed",
            Self::Unverifiable => "unverifiable",
            Self::Update => "update",
            Self::Resolved => "resolved",
            Self::Recovered => "recovered",
            Self::Reminder => "reminder",
            Self::Unaudited => "unaudited",
            Self::Reload => "reload",
            Self::Credential => "credential",
            Self::Undeliverable => "undeliverable",
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
