//! The settings of one session as last seen, each beside what it should be.

use serde::Serialize;

use super::words::{self, Mood};
use crate::domain::catalogue;
use crate::domain::evaluate::{Verdict, in_scope};
use crate::domain::expectation::Expectation;
use crate::domain::observation::{Mapping, Observation};
use crate::domain::policy::Rule;
use crate::domain::reading::{Cell, Kind, Reading, read};
use crate::domain::session::Session;
use crate::domain::setting::{SettingKey, SettingPattern};
use crate::domain::state::{SessionState, Standing};

/// Longest value, in characters: a source may return anything.
const VALUE: usize = 400;

/// One setting, or one group under a rule of its own.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    label: String,
    /// The stable key, where the label is another.
    key: Option<String>,
    found: String,
    expected: Option<String>,
    rule: Option<String>,
    words: String,
    mood: Mood,
}

/// All settings that were returned and all that rules ask for: what is wrong first, then what is unclear. None before the
/// session was ever seen.
pub(super) fn settings(session: &Session, mapping: &Mapping, known: &SessionState) -> Vec<Setting> {
    let Some(observation) = known.observation.as_deref() else { return Vec::new() };
    let sheet = Sheet { session, mapping, known, observation };
    let mut settings = Vec::new();
    for rule in session.policy.rules.iter().filter(|rule| !rule.watches_each()) {
        settings.push(sheet.ruled(rule));
    }
    for (setting, cell) in observation.iter() {
        let ruled = |rule: &Rule| matches!(&rule.setting, SettingPattern::One(key) if key == setting);
        if !session.policy.rules.iter().any(|rule| ruled(rule)) {
            settings.push(sheet.other(setting, cell));
        }
    }
    settings.sort_by_key(|setting| match setting.mood {
        Mood::Bad => 0,
        Mood::Unclear => 1,
        Mood::Good => 2,
        Mood::Quiet => 3,
    });
    settings
}

struct Sheet<'a> {
    session: &'a Session,
    mapping: &'a Mapping,
    known: &'a SessionState,
    observation: &'a Observation,
}

impl Sheet<'_> {
    /// A setting, or a group, that a rule is about.
    fn ruled(&self, rule: &Rule) -> Setting {
        let setting = rule.setting.key();
        let cell = self.observation.cell(setting);
        let kind = rule.expect.kind().unwrap_or_else(|| self.mapping.kind(setting));
        let standing = self.standing(rule, setting);
        let found = match (cell, standing.map(|standing| &standing.verdict)) {
            (Some(cell), _) => self.found(cell, kind),
            (None, Some(Verdict::Drifted { found, .. })) => words::cut(found, VALUE),
            (None, None) => "all ticked".to_owned(),
            (None, Some(_)) => "not returned".to_owned(),
        };
        let expected = match (&rule.expect, self.known.pins.get(setting)) {
            (Expectation::Unchanged, Some(pin)) => self.found(&pin.cell, kind),
            (expect, _) => expect.describe(&self.session.params).into_owned(),
        };
        let (words, mood) = verdict(standing);
        shown(setting, found, Some(expected), Some(rule), words, mood)
    }

    /// A setting that no rule names: one of a group, one that must not change, or one that nobody watches.
    fn other(&self, setting: &SettingKey, cell: &Cell) -> Setting {
        let rules = &self.session.policy.rules;
        let group = rules.iter().find(|rule| !rule.watches_each() && rule.setting.matches(setting));
        if let Some(rule) = group {
            let (words, mood) = match read(cell, Kind::Flag, self.session.zone()) {
                Reading::Value(crate::domain::reading::Value::Flag(true)) => ("As it should be".to_owned(), Mood::Good),
                Reading::Value(_) => ("Not as it should be".to_owned(), Mood::Bad),
                Reading::Unreadable(reason) => (format!("Could not be checked: {reason}"), Mood::Unclear),
                Reading::Missing => ("Could not be checked".to_owned(), Mood::Unclear),
            };
            return shown(setting, self.found(cell, Kind::Flag), Some("ticked".to_owned()), Some(rule), words, mood);
        }
        let kind = self.mapping.kind(setting);
        let found = self.found(cell, kind);
        let watching = rules.iter().find(|rule| rule.watches_each() && in_scope(self.session, rule, setting));
        let Some((rule, pin)) = watching.zip(self.known.pins.get(setting)) else {
            return shown(setting, found, None, None, "Not watched".to_owned(), Mood::Quiet);
        };
        let (words, mood) = verdict(self.standing(rule, setting));
        shown(setting, found, Some(self.found(&pin.cell, kind)), Some(rule), words, mood)
    }

    fn standing(&self, rule: &Rule, setting: &SettingKey) -> Option<&Standing> {
        self.known.record.standing.iter().find(|standing| standing.rule == rule.id && standing.setting == *setting)
    }

    /// The value as read, or as it came where it cannot be read.
    fn found(&self, cell: &Cell, kind: Kind) -> String {
        let raw = || match cell {
            Cell::Null => "null".to_owned(),
            Cell::Repeated => "more than one value".to_owned(),
            cell => cell.as_text().filter(|text| !text.is_empty()).unwrap_or("(empty)").to_owned(),
        };
        let text = match read(cell, kind, self.session.zone()) {
            Reading::Value(value) => value.to_string(),
            Reading::Unreadable(_) | Reading::Missing => raw(),
        };
        words::cut(&text, VALUE)
    }
}

fn verdict(standing: Option<&Standing>) -> (String, Mood) {
    match standing.map(|standing| &standing.verdict) {
        None | Some(Verdict::Compliant) => ("As it should be".to_owned(), Mood::Good),
        Some(Verdict::Drifted { .. }) => ("Not as it should be".to_owned(), Mood::Bad),
        Some(Verdict::Unverifiable { reason }) => (format!("Could not be checked: {reason}"), Mood::Unclear),
        Some(Verdict::NotApplicable) => ("Does not apply: the source has never returned it".to_owned(), Mood::Quiet),
    }
}

fn shown(
    setting: &SettingKey,
    found: String,
    expected: Option<String>,
    rule: Option<&Rule>,
    words: String,
    mood: Mood,
) -> Setting {
    let label = catalogue::label(setting);
    Setting {
        key: (label != setting.as_str()).then(|| setting.to_string()),
        label,
        found,
        expected: expected.map(|expected| words::cut(&expected, VALUE)),
        rule: rule.map(|rule| rule.id.to_string()),
        words,
        mood,
    }
}
