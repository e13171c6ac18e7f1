//! An announcement: something to notify once that does not last, such as an unaudited session. It waits until it is notified.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::Name;
use super::session::SessionId;

/// A session that the configuration does not name has appeared since the first poll of its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Stable: a version 5 UUID of the source, the session and the poll that found it.
    pub id: Uuid,
    pub source: Name,
    pub session: SessionId,
    /// What the source calls the session.
    pub name: Option<String>,
    pub at: DateTime<Utc>,
}

impl Announcement {
    /// An unaudited session, found by the `poll`th poll of `source`.
    pub fn unaudited(source: &Name, poll: u64, session: SessionId, name: Option<String>, at: DateTime<Utc>) -> Self {
        let id = format!("driftwise unaudited session\n{source}\n{poll}\n{session}");
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
        Self { id, source: source.clone(), session, name, at }
    }
}
