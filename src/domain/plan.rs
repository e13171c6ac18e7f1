//! What the configuration asks of one source: which sessions, read how, and when people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::observation::Mapping;
use super::policy::Severity;
use super::schedule::ScheduleKey;
use super::session::{Contacts, Session, SessionId};

/// Everything that an audit of one source needs to know beforehand.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    pub name: Name,
    pub mapping: Mapping,
    pub sessions: BTreeMap<SessionId, Session>,
    /// For what concerns the whole source.
    pub contacts: Arc<Contacts>,
    pub alerts: Alerts,
}

/// When people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// Polls in a row before a drift or a missing session is mailed; at least 1.
    pub confirm_polls: u32,
    /// Polls in a row before it is over; at least 1.
    pub resolve_polls: u32,
    /// `None`: never.
    pub remind_every: Option<Duration>,
    /// What is less is not mailed.
    pub min_severity: Severity,
    /// Patience with what cannot be read, source or setting.
    pub unreachable_after: Duration,
}

/// Which sessions of a source an audit looks at.
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
