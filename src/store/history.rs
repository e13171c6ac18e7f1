//! Reads the history: events, and the observations of a session over time.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{count, read, stamp, time};
use super::load::{Keys, observation, source_name};
use crate::domain::alerting::SuppressionReason;
use crate::domain::event::Event;
use crate::domain::incident::{Incident, IncidentKey};
use crate::domain::name::Name;
use crate::domain::observation::Observation;
use crate::domain::session::{SessionId, SessionKey};

/// An incident that was held back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSuppression {
    /// When it was held back first.
    pub at: DateTime<Utc>,
    pub source: Name,
    pub incident: Uuid,
    pub key: IncidentKey,
    pub reason: SuppressionReason,
}

impl StoredSuppression {
    /// `None` for what concerns a whole source.
    pub fn place(&self) -> Option<SessionKey> {
        Some(SessionKey { source: self.source.clone(), id: self.key.session()?.clone() })
    }
}

/// A period in which a session had the same values. It includes times in which the session could not be read.
#[derive(Debug, Clone)]
pub struct Run {
    /// The observation; its time is when the run began.
    pub observation: Observation,
    /// When the values changed, or the session was no longer audited; `None` for the present.
    pub until: Option<DateTime<Utc>>,
}

impl Store {
    /// The last `limit` events, newest last; optionally of one source or session, or since a time.
    pub async fn events(
        &self,
        source: Option<&Name>,
        session: Option<&SessionId>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<(Name, Event)>, StoreError> {
        self.try_events(source, session, since, limit).await.map_err(self.error(Operation::Read))
    }

    async fn try_events(
        &self,
        source: Option<&Name>,
        session: Option<&SessionId>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<(Name, Event)>, Fault> {
        const SQL: &str = "SELECT id, source, doc FROM events
            WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR session = ?2) AND (?3 IS NULL OR at >= ?3)
            ORDER BY id DESC LIMIT ?4";
        // With a session, its index serves; the general form would walk all events.
        const OF_SESSION: &str = "SELECT id, source, doc FROM events
            WHERE source = ?1 AND session = ?2 AND (?3 IS NULL OR at >= ?3)
            ORDER BY at DESC, id DESC LIMIT ?4";
        let query = sqlx::query_as(if source.is_some() && session.is_some() { OF_SESSION } else { SQL })
            .bind(source.map(Name::as_str))
            .bind(session.map(SessionId::as_str))
            .bind(since.map(stamp))
            .bind(count(limit));
        events(query.fetch_all(&self.readers).await?)
    }

    /// The last `limit` events of a source as a whole, such as outages, newest last; optionally since a time.
    pub async fn source_events(
        &self,
        source: &Name,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<(Name, Event)>, StoreError> {
        const SQL: &str = "SELECT id, source, doc FROM events
            WHERE source = ?1 AND session IS NULL AND (?2 IS NULL OR at >= ?2)
            ORDER BY at DESC, id DESC LIMIT ?3";
        let query = sqlx::query_as(SQL).bind(source.as_str()).bind(since.map(stamp)).bind(count(limit));
        let rows = query.fetch_all(&self.readers).await.map_err(Fault::from);
        rows.and_then(events).map_err(self.error(Operation::Read))
    }

    /// The last `limit` incidents that were held back for a reason, newest last; optionally of one session and its source, or
    /// since a time.
    pub async fn suppressions(
        &self,
        session: Option<&SessionKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<StoredSuppression>, StoreError> {
        self.try_suppressions(session, since, limit).await.map_err(self.error(Operation::Read))
    }

    async fn try_suppressions(
        &self,
        session: Option<&SessionKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<StoredSuppression>, Fault> {
        const SQL: &str = "SELECT suppressions.at, suppressions.reason, incidents.id, incidents.doc
            FROM incidents JOIN suppressions ON suppressions.incident = incidents.id
            WHERE (?1 IS NULL OR source = ?1 AND (session IS NULL OR session = ?2))
              AND (?3 IS NULL OR suppressions.at >= ?3)
            ORDER BY suppressions.at DESC, incidents.id DESC LIMIT ?4";
        let query = sqlx::query_as(SQL)
            .bind(session.map(|key| key.source.as_str()))
            .bind(session.map(|key| key.id.as_str()))
            .bind(since.map(stamp))
            .bind(count(limit));
        let rows: Vec<(i64, String, String, String)> = query.fetch_all(&self.readers).await?;
        let suppression = |(at, label, id, doc): (i64, String, String, String)| {
            let incident: Incident = read(&doc, || format!("incident {id}"))?;
            let unknown = || Fault::unreadable(format!("incident {id}"), format!("suppression {label:?}"));
            let reason = SuppressionReason::from_label(&label).ok_or_else(unknown)?;
            let Incident { id: incident, source, key, .. } = incident;
            Ok(StoredSuppression { at: time(at), source, incident, key, reason })
        };
        rows.into_iter().rev().map(suppression).collect()
    }

    /// The observations of a session: its last `limit` runs, newest last.
    pub async fn observations(&self, session: &SessionKey, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.try_observations(session, limit).await.map_err(self.error(Operation::Read))
    }

    async fn try_observations(&self, session: &SessionKey, limit: usize) -> Result<Vec<Run>, Fault> {
        const SQL: &str = "SELECT since, until, shape, raw_values FROM observations WHERE source = ?1 AND session = ?2
            ORDER BY since DESC, id DESC LIMIT ?3";
        let mut transaction = self.readers.begin().await?;
        let shapes = Self::shapes(&mut transaction, &mut Keys::default()).await?;
        let query = sqlx::query_as(SQL).bind(session.source.as_str()).bind(session.id.as_str()).bind(count(limit));
        let rows: Vec<(i64, Option<i64>, i64, String)> = query.fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;
        let run = |(since, until, shape, raw_values): (i64, Option<i64>, i64, String)| {
            let observation =
                observation(&shapes, (since, shape, &raw_values), || format!("the history of {session}"))?;
            Ok(Run { observation, until: until.map(time) })
        };
        rows.into_iter().rev().map(run).collect()
    }
}

/// Rows of the table `events`, newest first, as events, newest last.
fn events(rows: Vec<(i64, String, String)>) -> Result<Vec<(Name, Event)>, Fault> {
    let event =
        |(id, source, doc): (i64, String, String)| Ok((source_name(&source)?, read(&doc, || format!("event {id}"))?));
    rows.into_iter().rev().map(event).collect()
}
