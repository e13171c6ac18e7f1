//! A snapshot: divides what a poll returned into sessions by row, and names its values by setting.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::observation::{Digest, Mapping, Observation, RawSnapshot, RowMatch, Shape};
use super::reading::{RawValue, quote};
use super::session::{SessionId, SessionIdError};
use super::setting::SettingKey;

/// All sessions that one poll returned.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order of their ids, each once.
    sessions: Vec<(SessionId, Rows)>,
    /// Rows whose session ID cannot be read, and why the first of them cannot.
    unidentified: usize,
    unread: Option<&'static str>,
    /// Every setting that any row has, in order.
    pub settings: Vec<SettingKey>,
    /// Of the raw snapshot, where the source gave one.
    pub digest: Option<Digest>,
}

#[derive(Debug)]
enum Rows {
    One(Arc<Observation>),
    Several(usize),
}

impl Rows {
    fn one(&self) -> Option<&Arc<Observation>> {
        match self {
            Self::One(observation) => Some(observation),
            Self::Several(_) => None,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(count) => *count,
        }
    }
}

/// Why a raw snapshot cannot be divided into sessions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("it returned no sessions")]
    Empty,
    #[error("its rows have no column {wanted}; the columns are: {columns}")]
    NoIdColumn { wanted: String, columns: String },
    #[error("its rows have the column {0} more than once, so the sessions of its rows are unknown")]
    RepeatedIdColumn(String),
}

impl SnapshotError {
    /// Our words, and the names of columns that came from outside.
    pub fn parts(&self) -> (String, Option<&str>) {
        match self {
            Self::NoIdColumn { wanted, columns } => {
                (format!("its rows have no column {wanted}; the columns are"), Some(columns))
            }
            other => (other.to_string(), None),
        }
    }
}

impl Snapshot {
    /// Reads a raw snapshot that is still needed afterwards.
    pub fn read(raw: &RawSnapshot, mapping: &Mapping, now: DateTime<Utc>) -> Result<Self, SnapshotError> {
        Self::take(raw.clone(), mapping, now)
    }

    /// Reads a raw snapshot: finds each row's session and names its raw values by setting.
    pub fn take(raw: RawSnapshot, mapping: &Mapping, now: DateTime<Utc>) -> Result<Self, SnapshotError> {
        let Some(first) = raw.rows.first().map(|row| Arc::clone(&row.columns)) else {
            return Err(SnapshotError::Empty);
        };
        let sessions = Vec::with_capacity(raw.rows.len());
        let mut snapshot = Self { sessions, ..Self::default() };
        // By the address of the columns, which lasts as long as they are held here.
        let mut plans: HashMap<usize, Plan> = HashMap::new();
        for row in raw.rows {
            let plan = plans.entry(address(&row.columns)).or_insert_with(|| Plan::new(&row.columns, mapping));
            snapshot.add(plan, row.raw_values, now);
        }
        if plans.values().all(|plan| plan.id.is_none()) {
            return Err(no_id_column(&first, mapping));
        }
        let mut settings = plans.into_values().flat_map(|plan| plan.shape.settings().to_vec()).collect::<Vec<_>>();
        settings.sort();
        settings.dedup();
        snapshot.settings = settings;
        snapshot.settle();
        Ok(snapshot)
    }

    fn add(&mut self, plan: &Plan, raw_values: Vec<RawValue>, now: DateTime<Utc>) {
        let id = match plan.id.map_or(Err("the row has no ID column"), |at| identify(&raw_values[at])) {
            Ok(id) => id,
            Err(reason) => {
                self.unidentified += 1;
                self.unread.get_or_insert(reason);
                return;
            }
        };
        let observation =
            Observation { at: now, shape: Arc::clone(&plan.shape), raw_values: plan.raw_values(raw_values) };
        self.sessions.push((id, Rows::One(Arc::new(observation))));
    }

    /// Sorts the sessions, which mostly come in order, and merges several rows of one session into one entry.
    fn settle(&mut self) {
        self.sessions.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.sessions.dedup_by(|(id, _), (first, rows)| {
            let same = id == first;
            if same {
                *rows = Rows::Several(rows.count() + 1);
            }
            same
        });
    }

    fn rows(&self, id: &SessionId) -> Option<&Rows> {
        let at = self.sessions.binary_search_by(|(known, _)| known.cmp(id)).ok()?;
        Some(&self.sessions[at].1)
    }

    /// The rows of one session.
    pub fn row_match(&self, id: &SessionId) -> RowMatch {
        self.poll_at(self.rows(id))
    }

    fn poll_at(&self, rows: Option<&Rows>) -> RowMatch {
        match rows {
            Some(Rows::One(observation)) => RowMatch::Seen(Arc::clone(observation)),
            Some(Rows::Several(count)) => {
                RowMatch::Duplicate(format!("the source returned {count} rows for this session"))
            }
            None => match self.unidentified() {
                Some(rows) => RowMatch::Uncertain(format!("the source returned no row with this ID, but {rows}")),
                None => RowMatch::Missing,
            },
        }
    }

    /// How many rows belong to no known session and why, in words: `2 rows whose ID cannot be read (the first: …)`.
    pub fn unidentified(&self) -> Option<String> {
        let (rows, first) = match self.unidentified {
            0 => return None,
            1 => ("one row".to_owned(), ""),
            rows => (format!("{rows} rows"), "the first: "),
        };
        Some(format!("{rows} whose ID cannot be read ({first}{})", self.unread.unwrap_or("no reason is known")))
    }

    /// Whether any row has the setting.
    pub fn returns(&self, setting: &SettingKey) -> bool {
        self.settings.binary_search(setting).is_ok()
    }

    /// The ids of all rows, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &SessionId> {
        self.sessions.iter().map(|(id, _)| id)
    }

    /// How many sessions have rows.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Finds many sessions, in the order of their ids.
    pub fn walk(&self) -> Walk<'_> {
        Walk { snapshot: self, ahead: &self.sessions }
    }

    /// The observation of a session that has exactly one row.
    pub fn seen(&self, id: &SessionId) -> Option<&Arc<Observation>> {
        self.rows(id)?.one()
    }
}

/// Finds sessions one after the other in the order of their ids, which is faster than a search for each.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    snapshot: &'a Snapshot,
    ahead: &'a [(SessionId, Rows)],
}

impl<'a> Walk<'a> {
    /// Goes on to `id`, which is not before the last one.
    pub fn to(&mut self, id: &SessionId) -> Stop<'a> {
        let passed = self.ahead.iter().take_while(|(other, _)| other < id).count();
        self.ahead = &self.ahead[passed..];
        let rows = self.ahead.first().filter(|(other, _)| other == id).map(|(_, rows)| rows);
        Stop { snapshot: self.snapshot, rows }
    }
}

/// The rows of one session in a raw snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Stop<'a> {
    snapshot: &'a Snapshot,
    rows: Option<&'a Rows>,
}

impl<'a> Stop<'a> {
    /// See [`Snapshot::seen`].
    pub fn seen(&self) -> Option<&'a Arc<Observation>> {
        self.rows?.one()
    }

    /// See [`Snapshot::row_match`].
    pub fn row_match(&self) -> RowMatch {
        self.snapshot.poll_at(self.rows)
    }
}

/// The session of a row by the raw value of its ID column; the error says in words why there is none.
fn identify(raw: &RawValue) -> Result<SessionId, &'static str> {
    if let RawValue::Number(text) | RawValue::Text(text) = raw
        && let Some(id) = SessionId::shared(text)
    {
        return Ok(id);
    }
    match raw.as_text() {
        None => Err("it is null"),
        Some("") => Err("it is empty"),
        Some(text) => SessionId::parse(text).map_err(|error| match error {
            SessionIdError::Text => "it is longer than 128 characters, or holds one that cannot be printed",
            SessionIdError::Number => "it is a number of more than 128 digits",
        }),
    }
}

/// Tells shared columns apart.
fn address(columns: &Arc<[Box<str>]>) -> usize {
    Arc::as_ptr(columns).cast::<()>().addr()
}

fn no_id_column(columns: &[Box<str>], mapping: &Mapping) -> SnapshotError {
    const SHOWN: usize = 20;
    let id_column = SettingKey::new(&mapping.session_id_column);
    if columns.iter().any(|column| SettingKey::new(column) == id_column) {
        return SnapshotError::RepeatedIdColumn(mapping.session_id_column.clone());
    }
    let mut shown = columns.iter().take(SHOWN).map(|c| quote(c)).collect::<Vec<_>>().join(", ");
    if columns.len() > SHOWN {
        shown.push_str(", …");
    }
    if shown.is_empty() {
        shown.push_str("none");
    }
    SnapshotError::NoIdColumn { wanted: mapping.session_id_column.clone(), columns: shown }
}

/// How the rows of one shape are read, worked out once.
struct Plan {
    id: Option<usize>,
    shape: Arc<Shape>,
    /// For each setting, the place of its column, or none where several columns claim it.
    places: Vec<Option<usize>>,
    /// Whether the settings are all columns but the ID, in their order.
    straight: bool,
    /// Keeps the columns, and so their address.
    _columns: Arc<[Box<str>]>,
}

impl Plan {
    fn new(columns: &Arc<[Box<str>]>, mapping: &Mapping) -> Self {
        let id_column = SettingKey::new(&mapping.session_id_column);
        let is_id = |column: &str| SettingKey::new(column) == id_column;
        let ids = columns.iter().enumerate().filter(|(_, c)| is_id(c)).map(|(at, _)| at).collect::<Vec<_>>();
        let mut settings: Vec<SettingKey> = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::new();
        let mut seen: HashMap<SettingKey, usize> = HashMap::new();
        for (at, column) in columns.iter().enumerate().filter(|(_, c)| !is_id(c)) {
            let setting = mapping.setting(column);
            match seen.get(&setting) {
                Some(known) => places[*known] = None,
                None => {
                    seen.insert(setting.clone(), settings.len());
                    settings.push(setting);
                    places.push(Some(at));
                }
            }
        }
        // An ID column that comes twice identifies nothing.
        let id = if ids.len() == 1 { Some(ids[0]) } else { None };
        let straight = id.is_some() && places.len() + 1 == columns.len() && places.iter().all(Option::is_some);
        let shape = Arc::new(Shape::new(settings));
        Self { id, shape, places, straight, _columns: Arc::clone(columns) }
    }

    fn raw_values(&self, mut raw_values: Vec<RawValue>) -> Vec<RawValue> {
        if let (Some(id), true) = (self.id, self.straight) {
            raw_values.remove(id);
            return raw_values;
        }
        let raw = |place: &Option<usize>| match place {
            None => RawValue::Repeated,
            // No two settings have one place.
            Some(at) => std::mem::replace(&mut raw_values[*at], RawValue::Null),
        };
        self.places.iter().map(raw).collect()
    }
}
