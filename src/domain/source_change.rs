//! What changed under the rules of a source: columns that it no longer returns, and rules that many sessions began to break in
//! one poll.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::name::Name;
use super::observation::Mapping;
use super::policy::Severity;
use super::session::SessionId;
use super::setting::{SettingKey, SettingPattern};

/// The facts of an incident of kind source changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceChange {
    pub columns: ColumnChange,
    pub failures: Vec<MassFailure>,
}

/// Columns that no row has any more, and those that came in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChange {
    /// What lists the columns, in words: `definition 61`.
    pub origin: String,
    pub gone: Vec<Column>,
    /// Columns that were returned for the first time when others were gone.
    pub new: Vec<String>,
}

/// A column with the setting that it was read as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub setting: SettingKey,
    pub name: String,
}

/// A rule that many sessions began to break in one poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassFailure {
    pub rule: Name,
    /// The setting, or the pattern of a group.
    pub setting: SettingKey,
    pub label: String,
    pub severity: Severity,
    pub stops_orders: bool,
    pub expected: String,
    /// What most of the sessions have: a value, or the reason why it cannot be read.
    pub found: String,
    /// The poll in which they began.
    pub since: DateTime<Utc>,
    /// How many sessions kept the rule before.
    pub of: usize,
    /// Those that break it now.
    pub sessions: BTreeSet<SessionId>,
}

impl Column {
    /// The column of a setting, as `mapping` names it.
    pub fn of(setting: &SettingKey, mapping: &Mapping) -> Self {
        let mapped = mapping.columns.iter().find(|(mapped, _)| mapped == setting).map(|(_, column)| column.clone());
        Self { setting: setting.clone(), name: mapped.unwrap_or_else(|| setting.to_string()) }
    }
}

impl ColumnChange {
    /// `Column "transfer_type" is gone from definition 61; "TransferTypeName" is new. Renamed?`
    pub fn words(&self) -> String {
        let list = |names: &mut dyn Iterator<Item = &str>| {
            let names = names.map(|name| format!("{name:?}")).collect::<Vec<_>>();
            let verb = if names.len() == 1 { "is" } else { "are" };
            (names.join(", "), verb, if names.len() == 1 { "Column" } else { "Columns" })
        };
        let (gone, verb, noun) = list(&mut self.gone.iter().map(|column| &*column.name));
        let mut words = format!("{noun} {gone} {verb} gone from {}", self.origin);
        if !self.new.is_empty() {
            let (new, verb, _) = list(&mut self.new.iter().map(String::as_str));
            let _ = write!(words, "; {new} {verb} new. Renamed?");
        }
        words
    }
}

impl MassFailure {
    /// Whether it is the failure of this rule and setting.
    pub fn is_of(&self, rule: &Name, setting: &SettingKey) -> bool {
        self.rule == *rule && self.setting == *setting
    }

    /// `7 of 12 sessions have failed "Export" since the same poll (rule export-off): found ticked, expected unticked`
    pub fn words(&self) -> String {
        let (count, of) = (self.sessions.len(), self.of.max(self.sessions.len()));
        format!(
            "{count} of {of} sessions have failed {:?} since the same poll (rule {}): found {}, expected {}",
            self.label, self.rule, self.found, self.expected
        )
    }
}

impl SourceChange {
    /// A sentence without its full stop for each thing that changed.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        let columns = (!self.columns.gone.is_empty()).then(|| self.columns.words());
        columns.into_iter().chain(self.failures.iter().map(MassFailure::words))
    }

    pub fn words(&self) -> String {
        let mut words = String::new();
        for (at, sentence) in self.sentences().enumerate() {
            words.push_str(match at {
                0 => "",
                // The question whether a column was renamed.
                1 if !self.columns.new.is_empty() => " ",
                _ => ". ",
            });
            words.push_str(&sentence);
        }
        words
    }

    pub fn failure(&self, rule: &Name, setting: &SettingKey) -> Option<&MassFailure> {
        self.failures.iter().find(|failure| failure.is_of(rule, setting))
    }

    /// Whether it explains that a setting, or a group of them, cannot be read.
    pub fn explains_unread(&self, rule: &Name, setting: &SettingKey) -> bool {
        let pattern = SettingPattern::parse(setting.as_str());
        self.columns.gone.iter().any(|column| pattern.matches(&column.setting)) || self.failure(rule, setting).is_some()
    }

    /// Its content without the number of sessions: a change of it is an update for its recipients.
    pub fn subjects(&self) -> BTreeSet<String> {
        let gone = self.columns.gone.iter().map(|column| column.setting.folded().to_owned());
        gone.chain(self.failures.iter().map(|failure| format!("{}\n{}", failure.rule, failure.setting.folded())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::world::{id, name, start};

    #[test]
    fn a_change_names_the_columns_and_counts_the_sessions() {
        let column = |text: &str| Column { setting: SettingKey::new(text), name: text.to_owned() };
        let mut columns = ColumnChange {
            origin: "definition 61".to_owned(),
            gone: vec![column("transfer_type")],
            new: vec!["TransferTypeName".to_owned()],
        };
        let one = "Column \"transfer_type\" is gone from definition 61; \"TransferTypeName\" is new. Renamed?";
        assert_eq!(columns.words(), one);
        let failure = MassFailure {
            rule: name("export-off"),
            setting: SettingKey::new("export"),
            label: "Export".to_owned(),
            severity: Severity::Critical,
            stops_orders: false,
            expected: "unticked".to_owned(),
            found: "ticked".to_owned(),
            since: start(),
            of: 12,
            sessions: ["1", "2"].map(id).into(),
        };
        let many = "2 of 12 sessions have failed \"Export\" since the same poll (rule export-off): found ticked, expected unticked";
        assert_eq!(failure.words(), many);
        let both = SourceChange { columns: columns.clone(), failures: vec![failure] };
        assert_eq!(both.words(), format!("{one} {many}"));
        assert!(both.explains_unread(&name("other"), &SettingKey::new("TRANSFER_TYPE")));
        assert!(both.explains_unread(&name("export-off"), &SettingKey::new("export")));
        assert!(!both.explains_unread(&name("other"), &SettingKey::new("export")));
        columns.gone.push(column("active"));
        columns.new.clear();
        assert_eq!(columns.words(), "Columns \"transfer_type\", \"active\" are gone from definition 61");
    }
}
