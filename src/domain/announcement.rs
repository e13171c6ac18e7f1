//! An announcement: something to notify once that does not last, such as an unaudited session. It waits until it is notified.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Address;
use super::credential::{Credential, CredentialKind};
use super::incident::Incident;
use super::name::{Name, Rename};
use super::notification::Role;
use super::session::SessionId;
use super::source_change::ColumnChange;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Announcement {
    Unaudited(UnauditedSession),
    Removed(RemovedSession),
    Forgotten(ForgottenColumns),
    Reload(RefusedConfig),
    Credential(EndingCredential),
}

/// A session with open incidents that the configuration no longer audits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedSession {
    /// Stable: a version 5 UUID of the open incidents.
    pub id: Uuid,
    pub source: Name,
    pub session: SessionId,
    pub name: Option<String>,
    /// The incidents that were open; their recipients are notified of the end instead.
    pub incidents: Vec<Uuid>,
    /// The settings that were wrong, by their labels.
    pub wrong: Vec<String>,
    pub at: DateTime<Utc>,
    /// Those that the configuration named for it before it was removed; empty for those that its source has now.
    pub recipients: Vec<(Address, Role)>,
}

/// Columns that only patterns watched and that a source no longer returns: they are not watched any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenColumns {
    /// Stable: a version 5 UUID of the source and the poll that missed them.
    pub id: Uuid,
    pub source: Name,
    pub columns: ColumnChange,
    pub at: DateTime<Utc>,
}

/// A session that the configuration does not name has appeared since the first poll of its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnauditedSession {
    /// Stable: a version 5 UUID of the source, the session and the poll that found it.
    pub id: Uuid,
    pub source: Name,
    pub session: SessionId,
    /// The name that the source returns for the session.
    pub name: Option<String>,
    pub at: DateTime<Utc>,
}

/// A reload read a configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedConfig {
    /// Stable: a version 5 UUID of the problems and of the time at which the configuration in force was accepted.
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// One line each, without secrets, at most [`RefusedConfig::MOST`].
    pub problems: Vec<String>,
    /// How many more problems are not listed.
    pub more: usize,
    /// The recipients that the configuration in force names for it. Kept with it, because it belongs to no source.
    pub recipients: Vec<(Address, Role)>,
}

/// A credential of the configuration ends soon, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingCredential {
    /// Stable: a version 5 UUID of the key, the end and the threshold.
    pub id: Uuid,
    /// The key of the configuration.
    pub key: String,
    /// The source that needs it; `None` if mail does.
    pub source: Option<Name>,
    #[serde(rename = "credential")]
    pub kind: CredentialKind,
    pub end: DateTime<Utc>,
    pub at: DateTime<Utc>,
    /// Kept with it, as those of [`RefusedConfig`].
    pub recipients: Vec<(Address, Role)>,
}

impl EndingCredential {
    /// Of the last threshold that has passed; see [`Credential::expiry_threshold`].
    pub fn new(credential: &Credential, recipients: &[(Address, Role)], at: DateTime<Utc>) -> Option<Self> {
        let threshold = credential.expiry_threshold(at)?;
        let Credential { key, source, kind, .. } = credential;
        let id = format!("driftwise ending credential\n{key}\n{}\n{}", threshold.end.to_rfc3339(), threshold.days);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        Some(Self {
            id,
            key: key.clone(),
            source: source.clone(),
            kind: *kind,
            end: threshold.end,
            at,
            recipients: recipients.to_vec(),
        })
    }
}

impl RefusedConfig {
    /// Most problems that are kept, so that the mail stays readable.
    pub const MOST: usize = 20;
    /// Longest line that is kept, in characters.
    pub const LONGEST: usize = 500;

    /// `accepted`: when the configuration in force was accepted, so that the same problems under a later one are another refusal.
    pub fn new(
        problems: &[String],
        accepted: DateTime<Utc>,
        recipients: Vec<(Address, Role)>,
        at: DateTime<Utc>,
    ) -> Self {
        let id = format!("driftwise refused configuration\n{}\n{}", accepted.to_rfc3339(), problems.join("\n"));
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        let cut = |problem: &String| problem.chars().take(Self::LONGEST).collect();
        let kept = problems.iter().take(Self::MOST).map(cut).collect();
        Self { id, at, problems: kept, more: problems.len().saturating_sub(Self::MOST), recipients }
    }
}

impl UnauditedSession {
    /// Found by the `poll`th poll of `source`.
    pub fn new(source: &Name, poll: u64, session: SessionId, name: Option<String>, at: DateTime<Utc>) -> Self {
        let id = format!("driftwise unaudited session\n{source}\n{poll}\n{}\n{session}", at.timestamp_micros());
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        Self { id, source: source.clone(), session, name, at }
    }
}

impl Announcement {
    pub fn unaudited(source: &Name, poll: u64, session: SessionId, name: Option<String>, at: DateTime<Utc>) -> Self {
        Self::Unaudited(UnauditedSession::new(source, poll, session, name, at))
    }

    /// `open`: the open incidents of `session`; `None` if there are none.
    pub fn removed(session: &SessionId, open: &[&Incident], at: DateTime<Utc>) -> Option<Self> {
        let first = open.first()?;
        let incidents = open.iter().map(|incident| incident.id).collect::<Vec<_>>();
        let ids = incidents.iter().map(Uuid::to_string).collect::<Vec<_>>().join("\n");
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("driftwise removed session\n{ids}").as_bytes());
        let wrong =
            open.iter().map(|incident| incident.facts.label.clone()).filter(|label| !label.is_empty()).collect();
        Some(Self::Removed(RemovedSession {
            id,
            source: first.source.clone(),
            session: session.clone(),
            name: first.facts.name.clone(),
            incidents,
            wrong,
            at,
            recipients: Vec::new(),
        }))
    }

    /// Missed by the `poll`th poll of `source`.
    pub fn forgotten(source: &Name, poll: u64, columns: ColumnChange, at: DateTime<Utc>) -> Self {
        let id = format!("driftwise forgotten columns\n{source}\n{poll}\n{}", at.timestamp_micros());
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        Self::Forgotten(ForgottenColumns { id, source: source.clone(), columns, at })
    }

    pub fn id(&self) -> Uuid {
        match self {
            Self::Unaudited(found) => found.id,
            Self::Forgotten(forgotten) => forgotten.id,
            Self::Removed(removed) => removed.id,
            Self::Reload(refused) => refused.id,
            Self::Credential(ending) => ending.id,
        }
    }

    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Unaudited(found) => found.at,
            Self::Forgotten(forgotten) => forgotten.at,
            Self::Removed(removed) => removed.at,
            Self::Reload(refused) => refused.at,
            Self::Credential(ending) => ending.at,
        }
    }

    /// Moves the announcement to the new name of its source.
    pub fn rename(&mut self, rename: &Rename) {
        let source = match self {
            Self::Unaudited(found) => &mut found.source,
            Self::Removed(removed) => &mut removed.source,
            Self::Forgotten(forgotten) => &mut forgotten.source,
            Self::Credential(EndingCredential { source: Some(source), .. }) => source,
            Self::Reload(_) | Self::Credential(_) => return,
        };
        if *source == rename.from {
            source.clone_from(&rename.to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_bounded_and_is_another_one_after_the_next_accepted_configuration() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let problems = vec!["x".repeat(10_000); 1_000];
        let refused = RefusedConfig::new(&problems, at(0), Vec::new(), at(5));
        assert_eq!((refused.problems.len(), refused.more), (RefusedConfig::MOST, 1_000 - RefusedConfig::MOST));
        assert!(refused.problems.iter().all(|line| line.len() == RefusedConfig::LONGEST));
        assert_eq!(RefusedConfig::new(&problems, at(0), Vec::new(), at(6)).id, refused.id);
        assert_ne!(RefusedConfig::new(&problems, at(4), Vec::new(), at(6)).id, refused.id);
        assert_ne!(RefusedConfig::new(&problems[..999], at(0), Vec::new(), at(6)).id, refused.id);
    }
}
