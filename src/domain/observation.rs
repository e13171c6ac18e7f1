//! Raw values: the raw snapshot of a source, the mapping of its columns to settings, and the values of one session in one snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::catalogue;
use super::reading::{Kind, RawValue, Reading, read};
use super::setting::SettingKey;

/// What a poll returned, unchanged: rows of named raw values. A [`Snapshot`](super::snapshot::Snapshot) divides it into sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawSnapshot {
    pub rows: Vec<Row>,
}

/// A fingerprint of all bytes of a snapshot, by a cryptographic hash: equal for equal snapshots, and for no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

/// One row. Rows of the same shape share their columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub columns: Arc<[Box<str>]>,
    /// One for each column, in its order.
    pub raw_values: Vec<RawValue>,
}

/// How the columns of a source become settings.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    pub session_id_column: String,
    /// Setting to column, where their names differ.
    pub columns: Vec<(SettingKey, String)>,
    /// Setting to the meaning of each text that the source sends for it.
    pub values: HashMap<SettingKey, HashMap<String, RawValue>>,
    /// Setting to kind, where the catalogue does not know it or is wrong.
    pub kinds: HashMap<SettingKey, Kind>,
}

impl Mapping {
    pub fn kind(&self, setting: &SettingKey) -> Kind {
        self.kinds.get(setting).copied().unwrap_or_else(|| catalogue::kind(setting))
    }

    /// A column that bears the name of a setting which is mapped to another column is kept under `column:NAME`.
    pub(super) fn setting(&self, column: &str) -> SettingKey {
        let key = SettingKey::new(column);
        if let Some((setting, _)) = self.columns.iter().find(|(_, name)| SettingKey::new(name) == key) {
            return setting.clone();
        }
        let taken = self.columns.iter().any(|(setting, _)| *setting == key);
        if taken { SettingKey::new(&format!("column:{column}")) } else { key }
    }

    /// The meaning of a raw value. Observations and pinned values keep the raw value, so a changed translation changes no
    /// observation.
    pub fn mean<'a>(&'a self, setting: &SettingKey, raw: &'a RawValue) -> &'a RawValue {
        if self.values.is_empty() {
            return raw;
        }
        let meaning = self.values.get(setting).zip(raw.as_text()).and_then(|(values, text)| values.get(text));
        meaning.unwrap_or(raw)
    }

    /// Whether `setting` is the name of a column that is mapped to another setting, and so is no setting itself.
    pub fn renames(&self, setting: &SettingKey) -> bool {
        self.columns.iter().any(|(mapped, column)| mapped != setting && SettingKey::new(column) == *setting)
    }
}

/// The settings that observations of one shape hold, in the order of their raw values. Shared by all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    settings: Vec<SettingKey>,
    index: HashMap<SettingKey, usize>,
}

impl Shape {
    pub fn new(settings: Vec<SettingKey>) -> Self {
        let index = settings.iter().cloned().enumerate().map(|(at, key)| (key, at)).collect();
        Self { settings, index }
    }

    pub fn settings(&self) -> &[SettingKey] {
        &self.settings
    }

    /// Whether both name the same settings in the same order.
    pub fn same(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || self.settings == other.settings
    }
}

/// All raw values of one session at one poll, as the source sent them.
#[derive(Debug, Clone)]
pub struct Observation {
    /// When the session first had these values.
    pub at: DateTime<Utc>,
    pub shape: Arc<Shape>,
    pub raw_values: Vec<RawValue>,
}

impl Observation {
    pub fn raw(&self, setting: &SettingKey) -> Option<&RawValue> {
        self.shape.index.get(setting).map(|at| &self.raw_values[*at])
    }

    /// The reading of a setting as `kind`.
    pub fn reading<'a>(
        &'a self,
        setting: &SettingKey,
        mapping: &'a Mapping,
        kind: Kind,
        zone: chrono_tz::Tz,
    ) -> Reading<'a> {
        self.raw(setting).map_or(Reading::Missing, |raw| read(mapping.mean(setting, raw), kind, zone))
    }

    /// The settings with their raw values.
    pub fn iter(&self) -> impl Iterator<Item = (&SettingKey, &RawValue)> {
        self.shape.settings.iter().zip(&self.raw_values)
    }

    /// The same with another value of one setting; `None`: without it.
    #[must_use]
    pub fn with(&self, setting: &SettingKey, raw: Option<&RawValue>) -> Self {
        let others = self.iter().filter(|(other, _)| *other != setting);
        let (settings, raw_values) =
            others.chain(raw.map(|raw| (setting, raw))).map(|(s, r)| (s.clone(), r.clone())).unzip();
        Self { at: self.at, shape: Arc::new(Shape::new(settings)), raw_values }
    }

    /// Whether both have the same values, whatever their time.
    pub fn same(&self, other: &Self) -> bool {
        self.shape.same(&other.shape) && self.raw_values == other.raw_values
    }

    /// The name that the source returns for the session, where it returns one.
    pub fn name(&self) -> Option<String> {
        let name = self.raw(&SettingKey::new("name"))?.as_text()?;
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// The rows of one session in a snapshot.
#[derive(Debug, Clone)]
pub enum RowMatch {
    Seen(Arc<Observation>),
    /// Others have a row, it has none.
    Missing,
    /// Several rows have the ID of the session.
    Duplicate(String),
    /// It has no row, and the ID of some row cannot be read.
    Uncertain(String),
}
