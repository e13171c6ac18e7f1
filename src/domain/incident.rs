//! Incidents: one state machine for drift, missing, unverifiable, unreachable and source changed.
//!
//! ```text
//!            bad poll                confirmed                 good polls
//!   (none) ----------> Suspected ---------------> Open ------------------------> Ended
//!                         | good poll               ^ | bad poll, found changed: updated
//!                         v                         +-+
//!                       (none)
//! ```
//! Drift and missing are confirmed by `confirm_polls` in a row and end after `resolve_polls`. Unverifiable and unreachable open
//! at the first failed poll and end at the first good one. Source changed opens at the poll that finds the change and ends at the
//! poll that no longer does. A failed poll moves neither drift nor missing nor source changed.
//!
//! An incident records what is wrong, since when, and how severe it is. `alerting` decides who is notified of it, and when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::name::Name;
use super::policy::Severity;
use super::reading::RawValue;
use super::session::SessionId;
use super::setting::SettingKey;
use super::source_change::SourceChange;

/// The kind of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    Drift,
    Missing,
    Unverifiable,
    Unreachable,
    /// The columns of a source changed, or many of its sessions began to fail in one poll.
    SourceChanged,
}

impl IncidentKind {
    pub const ALL: [Self; 5] = [Self::Drift, Self::Missing, Self::Unverifiable, Self::Unreachable, Self::SourceChanged];

    pub fn label(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::Unverifiable => "unverifiable",
            Self::Unreachable => "unreachable",
            Self::SourceChanged => "source_changed",
        }
    }
}

/// The subject of an incident within one source. At most one incident is open for a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IncidentKey {
    Drift { session: SessionId, rule: Name, setting: SettingKey },
    Missing { session: SessionId },
    Unverifiable { session: SessionId },
    Unreachable,
    SourceChanged,
}

impl IncidentKey {
    pub fn kind(&self) -> IncidentKind {
        match self {
            Self::Drift { .. } => IncidentKind::Drift,
            Self::Missing { .. } => IncidentKind::Missing,
            Self::Unverifiable { .. } => IncidentKind::Unverifiable,
            Self::Unreachable => IncidentKind::Unreachable,
            Self::SourceChanged => IncidentKind::SourceChanged,
        }
    }

    /// `None` for what concerns the whole source.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Drift { session, .. } | Self::Missing { session } | Self::Unverifiable { session } => Some(session),
            Self::Unreachable | Self::SourceChanged => None,
        }
    }

    /// The rule and setting of a drift.
    pub fn rule(&self) -> Option<(&Name, &SettingKey)> {
        match self {
            Self::Drift { rule, setting, .. } => Some((rule, setting)),
            _ => None,
        }
    }
}

/// The phase of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// Found wrong `bad` times in a row, not yet often enough to open.
    Suspected {
        bad: u32,
    },
    /// `good` polls in a row have found it right again.
    Open {
        since: DateTime<Utc>,
        good: u32,
    },
    Ended {
        at: DateTime<Utc>,
        end: End,
    },
}

/// Why an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The value changed and is right.
    Repaired,
    /// The value is as it was; the rule changed.
    BaselineChanged,
    /// The session is audited, and no rule asks for the setting any more.
    NoLongerAudited,
    /// The configuration no longer audits the session or the source.
    Removed,
    /// The session, setting or source can be read again.
    VisibleAgain,
    /// It was right again before it was confirmed.
    Unconfirmed,
    /// The source no longer returns the setting, and no rule names it.
    NotReturned,
    /// A change of many sessions at once has lasted so long that each is reported for itself.
    TakenAsReal,
}

impl End {
    /// The stored form, also in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::BaselineChanged => "baseline_changed",
            Self::NoLongerAudited => "no_longer_audited",
            Self::Removed => "removed",
            Self::VisibleAgain => "visible_again",
            Self::Unconfirmed => "unconfirmed",
            Self::NotReturned => "not_returned",
            Self::TakenAsReal => "taken_as_real",
        }
    }
}

/// The time window in which it went wrong: after `last_good`, and not later than `first_bad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The last poll that found it right; `None` where it was wrong when first polled.
    pub last_good: Option<DateTime<Utc>>,
    pub first_bad: DateTime<Utc>,
}

/// What is wrong, in words, as of the last bad poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The session's name for people.
    pub name: Option<String>,
    /// The label of the setting in OrderWise.
    pub label: String,
    pub expected: String,
    pub found: String,
    /// The flag that was found, where the rule asks for ticked or unticked.
    pub flag: Option<bool>,
    /// What was found before it last changed while open.
    pub before: Option<String>,
    /// Of drifts: what the source sent when it was found, which distinguishes a repair from another reading of the same value.
    pub sent: BTreeMap<SettingKey, RawValue>,
    /// Of unverifiable, unreachable and source changed: why it cannot be read, or what changed.
    pub reason: String,
    /// Of unverifiable: each setting that cannot be read, with the reason.
    pub unread: Vec<Unread>,
    /// Of source changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<SourceChange>>,
    pub why: String,
    pub fix: String,
    pub stops_orders: bool,
    /// For an alert about the notification address: the address that should be there, which is notified as well.
    pub expected_address: Option<Address>,
}

/// A setting that a rule needs and that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub rule: Name,
    pub setting: SettingKey,
    pub label: String,
    pub reason: String,
}

/// Something that is wrong until it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable over restarts and edits; a version 5 UUID of the source, the key, and the number and time of the poll that found
    /// it. The time distinguishes it from incidents of an earlier store: mail servers drop a mail whose Message-ID they have
    /// seen.
    pub id: Uuid,
    pub source: Name,
    pub key: IncidentKey,
    pub severity: Severity,
    pub phase: Phase,
    pub window: Window,
    pub facts: Facts,
    /// How often the found value changed while it was open.
    pub revision: u32,
    /// Of unverifiable and unreachable: failed polls since it began, counted up to [`Incident::POLLS_COUNTED`], so that an outage
    /// does not write every incident at every poll.
    pub failed_polls: u32,
}

impl Incident {
    /// A grace period ends only after this many failed polls: a process that was frozen during one exchange must not report an
    /// outage.
    pub const POLLS_COUNTED: u32 = 2;

    /// A new incident, found by the `poll`th poll of `source`.
    pub fn found(source: &Name, poll: u64, key: IncidentKey, severity: Severity, window: Window, facts: Facts) -> Self {
        let first_bad = window.first_bad.timestamp_micros();
        let name = format!("driftwise incident\n{source}\n{poll}\n{first_bad}\n{}", key_name(&key));
        Self {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            source: source.clone(),
            key,
            severity,
            phase: Phase::Suspected { bad: 0 },
            window,
            facts,
            revision: 0,
            failed_polls: 0,
        }
    }

    pub fn kind(&self) -> IncidentKind {
        self.key.kind()
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Counts one failed poll, up to the number that is needed, so that a lasting incident writes nothing.
    pub fn poll_failed(&mut self) {
        self.failed_polls = self.failed_polls.saturating_add(1).min(Self::POLLS_COUNTED);
    }

    /// When it opened.
    pub fn open_since(&self) -> Option<DateTime<Utc>> {
        match self.phase {
            Phase::Open { since, .. } => Some(since),
            _ => None,
        }
    }
}

fn key_name(key: &IncidentKey) -> String {
    let kind = key.kind().label();
    let session = key.session().map_or("", SessionId::as_str);
    let (rule, setting) = key.rule().map_or(("", ""), |(rule, setting)| (rule.as_str(), setting.folded()));
    format!("{kind}\n{session}\n{rule}\n{setting}")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::world::{id, name, start};

    #[test]
    fn the_first_incident_of_a_new_store_is_another_one_than_that_of_the_store_before() {
        let found = |first_bad| {
            let window = Window { last_good: None, first_bad };
            let key = IncidentKey::Missing { session: id("1") };
            Incident::found(&name("erp"), 1, key, Severity::Critical, window, Facts::default()).id
        };
        assert_eq!(found(start()), found(start()));
        assert_ne!(found(start()), found(start() + TimeDelta::seconds(1)));
    }
}
