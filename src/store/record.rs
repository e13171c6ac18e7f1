//! Records one audit in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{doc, stamp};
use crate::domain::incident::{Incident, Phase};
use crate::domain::name::Name;
use crate::domain::observation::{Observation, Shape};
use crate::domain::session::SessionId;
use crate::domain::state::Delta;

/// Most rows in one statement: bounds the memory of a first poll of many sessions.
const CHUNK: usize = 1_000;

impl Store {
    /// Records one audit of `source`: its state, events and announcements together or not at all.
    ///
    /// The state of each changed session is the one in `delta.sessions`, with its pinned values, as [`Delta`] is applied in
    /// memory.
    pub async fn record(&self, source: &Name, delta: &Delta, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.try_record(source, delta, now).await.map_err(self.error(Operation::Record))
    }

    async fn try_record(&self, source: &Name, delta: &Delta, now: DateTime<Utc>) -> Result<(), Fault> {
        let mut transaction = self.writing().await?;
        let mut tables = Tables { to: &mut transaction, source };
        tables.source(delta).await?;
        tables.retire(&delta.retired, now).await?;
        tables.sessions(delta).await?;
        tables.observations(&delta.observations).await?;
        tables.incidents(delta.all_incidents()).await?;
        tables.known(delta).await?;
        tables.events(delta).await?;
        tables.announcements(delta).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The tables of one source, in an open transaction.
struct Tables<'a> {
    to: &'a mut SqliteConnection,
    source: &'a Name,
}

impl Tables<'_> {
    async fn source(&mut self, delta: &Delta) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO sources (name, record) VALUES (?1, ?2)
            ON CONFLICT (name) DO UPDATE SET record = excluded.record";
        const SCHEDULES: &str = "INSERT INTO schedules (source, schedule_key, polled_at)
            SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2) WHERE true
            ON CONFLICT (source, schedule_key) DO UPDATE SET polled_at = excluded.polled_at";
        sqlx::query(SQL).bind(self.source.as_str()).bind(doc(&delta.record)?).execute(&mut *self.to).await?;
        let schedules = delta.schedules.iter().map(|(schedule_key, at)| (schedule_key, stamp(*at))).collect::<Vec<_>>();
        self.put(SCHEDULES, &schedules).await
    }

    /// Removes sessions from the present state; their history stays.
    async fn retire(&mut self, retired: &[SessionId], now: DateTime<Utc>) -> Result<(), Fault> {
        const SESSIONS: &str = "DELETE FROM sessions WHERE source = ?1 AND id IN (SELECT value FROM json_each(?2))";
        self.put(SESSIONS, retired).await?;
        self.end_runs(retired.iter(), stamp(now)).await
    }

    async fn sessions(&mut self, delta: &Delta) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO sessions (source, id, record, pinned)
            SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true
            ON CONFLICT (source, id) DO UPDATE SET record = excluded.record, pinned = excluded.pinned";
        let row = |(id, state): (_, &crate::domain::state::SessionState)| {
            Ok::<_, Fault>((id, doc(&state.record)?, doc(&*state.pinned)?))
        };
        let rows = delta.sessions.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        self.put(SQL, &rows).await
    }

    /// Ends the present run of each session and begins a new one.
    async fn observations(&mut self, seen: &[(SessionId, Arc<Observation>)]) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO observations (source, session, since, shape, raw_values)
            SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?2)";
        let mut shapes = HashMap::new();
        let mut ends: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut rows = Vec::with_capacity(seen.len());
        for (id, observation) in seen {
            let known = shapes.get(&address(&observation.shape)).copied();
            let shape = match known {
                Some(shape) => shape,
                None => self.shape(&observation.shape).await?,
            };
            shapes.insert(address(&observation.shape), shape);
            ends.entry(stamp(observation.at)).or_default().push(id);
            rows.push((id, stamp(observation.at), shape, doc(&observation.raw_values)?));
        }
        for (at, ended) in ends {
            self.end_runs(ended.into_iter(), at).await?;
        }
        self.put(SQL, &rows).await
    }

    /// Ends the present runs of sessions. The index is named so that neither other sessions nor long histories are walked.
    async fn end_runs<'id>(&mut self, ended: impl Iterator<Item = &'id SessionId>, at: i64) -> Result<(), Fault> {
        const SQL: &str = "UPDATE observations SET until = ?3 WHERE id IN (
            SELECT id FROM observations INDEXED BY observations_now
            WHERE source = ?1 AND until IS NULL AND session IN (SELECT value FROM json_each(?2)))";
        let ended = ended.collect::<Vec<_>>();
        for chunk in ended.chunks(CHUNK) {
            let query = sqlx::query(SQL).bind(self.source.as_str()).bind(doc(&chunk)?).bind(at);
            query.execute(&mut *self.to).await?;
        }
        Ok(())
    }

    async fn shape(&mut self, shape: &Shape) -> Result<i64, Fault> {
        let settings = doc(&shape.settings())?;
        let add = "INSERT INTO shapes (settings) VALUES (?1) ON CONFLICT (settings) DO NOTHING";
        sqlx::query(add).bind(&settings).execute(&mut *self.to).await?;
        let find = sqlx::query_scalar("SELECT id FROM shapes WHERE settings = ?1").bind(&settings);
        Ok(find.fetch_one(&mut *self.to).await?)
    }

    async fn incidents(&mut self, changed: impl Iterator<Item = &Incident>) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO incidents (source, id, session, kind, ended_at, doc)
            SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2) WHERE true
            ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, doc = excluded.doc";
        let row = |incident: &Incident| {
            let ended_at = match incident.phase {
                Phase::Ended { at, .. } => Some(stamp(at)),
                Phase::Suspected { .. } | Phase::Open { .. } => None,
            };
            let session = incident.key.session().cloned();
            Ok::<_, Fault>((incident.id, session, incident.kind().label(), ended_at, doc(incident)?))
        };
        let rows = changed.map(row).collect::<Result<Vec<_>, _>>()?;
        self.put(SQL, &rows).await
    }

    async fn known(&mut self, delta: &Delta) -> Result<(), Fault> {
        const IDS: &str = "INSERT INTO known_ids (source, id) SELECT ?1, value FROM json_each(?2) WHERE true
            ON CONFLICT DO NOTHING";
        const FORGOTTEN: &str = "DELETE FROM known_settings
            WHERE source = ?1 AND setting IN (SELECT value FROM json_each(?2))";
        const SETTINGS: &str = "INSERT INTO known_settings (source, setting)
            SELECT ?1, value FROM json_each(?2) WHERE true ON CONFLICT DO NOTHING";
        let settings = delta.new_settings.iter().map(doc).collect::<Result<Vec<_>, _>>()?;
        let forgotten = delta.forgotten.iter().map(doc).collect::<Result<Vec<_>, _>>()?;
        self.put(IDS, &delta.new_ids).await?;
        self.put(SETTINGS, &settings).await?;
        self.put(FORGOTTEN, &forgotten).await
    }

    async fn events(&mut self, delta: &Delta) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO events (source, session, at, doc)
            SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2)";
        let rows = (delta.events.iter())
            .map(|event| Ok::<_, Fault>((&event.session, stamp(event.at), doc(event)?)))
            .collect::<Result<Vec<_>, _>>()?;
        self.put(SQL, &rows).await
    }

    async fn announcements(&mut self, delta: &Delta) -> Result<(), Fault> {
        const SQL: &str = "INSERT INTO announcements (source, id, at, doc)
            SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true ON CONFLICT DO NOTHING";
        let rows = (delta.announcements.iter())
            .map(|found| Ok::<_, Fault>((found.id(), stamp(found.at()), doc(found)?)))
            .collect::<Result<Vec<_>, _>>()?;
        self.put(SQL, &rows).await
    }

    /// Runs a statement that takes the source and rows as a JSON array; not at all where there are no rows.
    async fn put<Row: Serialize>(&mut self, sql: &'static str, rows: &[Row]) -> Result<(), Fault> {
        for chunk in rows.chunks(CHUNK) {
            sqlx::query(sql).bind(self.source.as_str()).bind(doc(&chunk)?).execute(&mut *self.to).await?;
        }
        Ok(())
    }
}

/// Tells shared shapes apart; a number, because a pointer could not be held across a wait.
fn address(shape: &Arc<Shape>) -> usize {
    Arc::as_ptr(shape).addr()
}
