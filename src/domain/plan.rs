//! What the configuration asks of one source: which sessions, read how, and when people are notified.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::observation::Mapping;
use super::policy::Severity;
use super::schedule::ScheduleKey;
use super::session::{Contacts, Session, SessionId};

/// The plans of all sources.
pub type Plans = BTreeMap<Name, SourcePlan>;

/// Everything that an audit of one source needs to know beforehand.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    pub name: Name,
    /// What lists the columns of the source, in words for operators: `definition 61`.
    pub origin: String,
    pub mapping: Mapping,
    pub sessions: BTreeMap<SessionId, Session>,
    /// For notifications about the whole source.
    pub contacts: Arc<Contacts>,
    pub alerts: Alerts,
}

/// When people are notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// Polls in a row before a drift or a missing session is notified; at least 1.
    pub confirm_polls: u32,
    /// Polls in a row before an incident ends; at least 1.
    pub resolve_polls: u32,
    /// `None`: never.
    pub remind_every: Option<Duration>,
    /// Less severe incidents are not notified.
    pub min_severity: Severity,
    /// Grace period of an unreachable source or an unverifiable setting; at 0 the first failed poll is notified.
    pub unreachable_after: Duration,
    /// Owners and fallback are notified of a session that could not be checked for this long.
    pub blind_after: Duration,
    pub breaker: Breaker,
}

impl Alerts {
    /// The default of `blind_after`.
    pub const BLIND_AFTER: Duration = Duration::from_hours(24);
}

/// When the sessions of a source that begin to fail in one poll are one incident of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// The least share of the audited sessions of the source, in percent from 1 to 100.
    pub share: u8,
    /// The least number of sessions; at least 1.
    pub at_least: u32,
}

impl Default for Breaker {
    /// Half of the sessions and at least five: the default of `alerts.breaker` in the outward contract.
    fn default() -> Self {
        Self { share: 50, at_least: 5 }
    }
}

/// The sessions of a source that an audit covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    All,
    Schedules(BTreeSet<ScheduleKey>),
    Sessions(BTreeSet<SessionId>),
}

impl Due {
    pub fn includes(&self, session: &Session) -> bool {
        match self {
            Self::All => true,
            Self::Schedules(schedules) => schedules.contains(session.schedule.key_ref()),
            Self::Sessions(ids) => ids.contains(&session.key.id),
        }
    }
}
