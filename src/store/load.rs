//! Loads the state of every source, as the last audit recorded it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::{Sqlite, Transaction};

use super::Store;
use super::error::{Fault, Operation, StoreError};
use super::form::{read, time};
use crate::domain::evaluate::{PinnedValue, PinnedValues};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::observation::{Observation, Shape};
use crate::domain::reading::RawValue;
use crate::domain::schedule::ScheduleKey;
use crate::domain::session::SessionId;
use crate::domain::setting::SettingKey;
use crate::domain::state::{SessionRecord, SessionState, SourceState};

impl Store {
    /// The state of every source that was ever polled.
    pub async fn load(&self) -> Result<BTreeMap<Name, SourceState>, StoreError> {
        self.try_load().await.map_err(self.error(Operation::Load))
    }

    async fn try_load(&self) -> Result<BTreeMap<Name, SourceState>, Fault> {
        // One transaction, so that all tables are as of the same audit.
        let mut loading =
            Loading { from: self.readers.begin().await?, keys: Keys::default(), sources: BTreeMap::new() };
        loading.sources().await?;
        loading.schedules().await?;
        loading.known().await?;
        loading.sessions().await?;
        loading.incidents().await?;
        loading.from.rollback().await?;
        Ok(loading.sources)
    }

    /// The shapes by the ids that observations refer to.
    pub(super) async fn shapes(from: &mut Transaction<'_, Sqlite>, keys: &mut Keys) -> Result<Shapes, Fault> {
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT id, settings FROM shapes").fetch_all(&mut **from).await?;
        let shape = |(id, settings): (i64, String)| {
            let settings: Vec<String> = read(&settings, || format!("shape {id}"))?;
            Ok((id, Arc::new(Shape::new(settings.iter().map(|name| keys.key(name)).collect()))))
        };
        rows.into_iter().map(shape).collect()
    }
}

pub(super) type Shapes = HashMap<i64, Arc<Shape>>;

/// One key for each name of a setting, so that thousands of sessions share it.
#[derive(Default)]
pub(super) struct Keys(HashMap<String, SettingKey>);

impl Keys {
    fn key(&mut self, name: &str) -> SettingKey {
        if let Some(key) = self.0.get(name) {
            return key.clone();
        }
        let key = SettingKey::new(name);
        self.0.insert(name.to_owned(), key.clone());
        key
    }

    fn pinned(&mut self, text: &str, what: impl FnOnce() -> String) -> Result<Arc<PinnedValues>, Fault> {
        let pinned: HashMap<String, PinnedValue> = read(text, what)?;
        Ok(Arc::new(pinned.into_iter().map(|(name, pinned_value)| (self.key(&name), pinned_value)).collect()))
    }
}

/// Combines the raw values and the shape of a stored observation.
pub(super) fn observation(
    shapes: &Shapes,
    (since, shape, raw_values): (i64, i64, &str),
    what: impl Fn() -> String,
) -> Result<Observation, Fault> {
    let shape = shapes.get(&shape).ok_or_else(|| Fault::unreadable(what(), "its settings are missing"))?;
    let mut raw_values: Vec<_> = read(raw_values, &what)?;
    raw_values.shrink_to_fit();
    if raw_values.len() != shape.settings().len() {
        return Err(Fault::unreadable(what(), "it does not have one value for each of its settings"));
    }
    Ok(Observation { at: time(since), shape: Arc::clone(shape), raw_values })
}

/// Lets raw values share their text with the same value of the row above: most are equal.
fn share(raw_values: &mut [RawValue], above: &[RawValue]) {
    for (raw, above) in raw_values.iter_mut().zip(above).filter(|(raw, above)| raw == above) {
        raw.clone_from(above);
    }
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Fault> {
    SessionId::parse(text).map_err(|error| Fault::unreadable(format!("the session ID {text:?}"), error))
}

pub(super) fn source_name(text: &str) -> Result<Name, Fault> {
    Name::parse(text).map_err(|error| Fault::unreadable(format!("the source name {text:?}"), error))
}

type SessionRow = (String, String, String, String, Option<i64>, Option<i64>, Option<String>);

struct Loading {
    from: Transaction<'static, Sqlite>,
    keys: Keys,
    sources: BTreeMap<Name, SourceState>,
}

impl Loading {
    async fn sources(&mut self) -> Result<(), Fault> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, record FROM sources").fetch_all(&mut *self.from).await?;
        for (name, record) in rows {
            let record = read(&record, || format!("the record of {name}"))?;
            self.sources.insert(source_name(&name)?, SourceState { record, ..SourceState::default() });
        }
        Ok(())
    }

    fn source(&mut self, name: &str) -> Result<&mut SourceState, Fault> {
        Ok(self.sources.entry(source_name(name)?).or_default())
    }

    async fn schedules(&mut self) -> Result<(), Fault> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT source, schedule_key, polled_at FROM schedules").fetch_all(&mut *self.from).await?;
        for (source, schedule_key, at) in rows {
            self.source(&source)?.schedules.insert(ScheduleKey::from_stored(&schedule_key), time(at));
        }
        Ok(())
    }

    async fn known(&mut self) -> Result<(), Fault> {
        const IDS: &str = "SELECT source, json_group_array(id) FROM known_ids GROUP BY source";
        const SETTINGS: &str = "SELECT source, json_group_array(json(setting)) FROM known_settings GROUP BY source";
        let rows: Vec<(String, String)> = sqlx::query_as(IDS).fetch_all(&mut *self.from).await?;
        for (source, ids) in rows {
            self.source(&source)?.known_ids = read(&ids, || format!("the known sessions of {source}"))?;
        }
        let rows: Vec<(String, String)> = sqlx::query_as(SETTINGS).fetch_all(&mut *self.from).await?;
        for (source, settings) in rows {
            let settings: Vec<String> = read(&settings, || format!("the known settings of {source}"))?;
            let settings = settings.iter().map(|name| self.keys.key(name)).collect();
            self.source(&source)?.known_settings = settings;
        }
        Ok(())
    }

    async fn sessions(&mut self) -> Result<(), Fault> {
        const SQL: &str = "SELECT s.source, s.id, s.record, s.pinned, o.since, o.shape, o.raw_values FROM sessions AS s
            LEFT JOIN observations AS o INDEXED BY observations_now
                ON o.source = s.source AND o.session = s.id AND o.until IS NULL";
        let shapes = Store::shapes(&mut self.from, &mut self.keys).await?;
        let mut above: Option<Arc<Observation>> = None;
        let mut pinned_above: Option<(String, Arc<PinnedValues>)> = None;
        // One by one: together, the rows of thousands of sessions take tens of megabytes.
        let mut rows = sqlx::query_as::<_, SessionRow>(SQL).fetch(&mut *self.from);
        while let Some((source, id, record, pinned, since, shape, raw_values)) = rows.try_next().await? {
            let what = || format!("session {source}/{id}");
            // Most sessions of a source have the same pinned values and share them.
            let pinned = match &pinned_above {
                Some((text, above)) if *text == pinned => Arc::clone(above),
                _ => {
                    let values = self.keys.pinned(&pinned, what)?;
                    Arc::clone(&pinned_above.insert((pinned, values)).1)
                }
            };
            let observation = match (since, shape, &raw_values) {
                (Some(since), Some(shape), Some(raw_values)) => {
                    let mut observation = observation(&shapes, (since, shape, raw_values), what)?;
                    share(&mut observation.raw_values, above.as_ref().map_or(&[], |above| &above.raw_values));
                    above.insert(Arc::new(observation)).clone().into()
                }
                _ => None,
            };
            let mut record: SessionRecord = read(&record, what)?;
            let known = self.sources.entry(source_name(&source)?).or_default();
            if let Some((schedule_key, _)) = known.schedules.get_key_value(&record.schedule_key) {
                record.schedule_key = schedule_key.clone();
            }
            known
                .sessions
                .insert(session_id(&id)?, SessionState { record, observation, pinned, incidents: Vec::new() });
        }
        Ok(())
    }

    async fn incidents(&mut self) -> Result<(), Fault> {
        const SQL: &str = "SELECT source, id, doc FROM incidents WHERE ended_at IS NULL ORDER BY rowid";
        let rows: Vec<(String, String, String)> = sqlx::query_as(SQL).fetch_all(&mut *self.from).await?;
        for (source, id, doc) in rows {
            let incident: Incident = read(&doc, || format!("incident {id}"))?;
            let known = self.source(&source)?;
            match incident.key.session() {
                None if incident.kind() == IncidentKind::SourceChanged => known.changed = Some(incident),
                None => known.unreachable = Some(incident),
                Some(session) => {
                    if let Some(session) = known.sessions.get_mut(session) {
                        session.incidents.push(incident);
                    }
                }
            }
        }
        Ok(())
    }
}
