//! The settings of one session as last seen, each beside its expected value.

use serde::Serialize;

use crate::domain::catalogue;
use crate::domain::evaluate::{Verdict, in_scope};
use crate::domain::expectation::Expectation;
use crate::domain::observation::{Mapping, Observation};
use crate::domain::policy::Rule;
use crate::domain::reading::{Kind, NOT_RETURNED, RawValue, Reading, Value, read};
use crate::domain::session::Session;
use crate::domain::setting::{SettingKey, SettingPattern};
use crate::domain::state::{NonCompliance, SessionState, SourceState};
use crate::view::checked::{Checked, checked};
use crate::view::finding::NEVER_RETURNED;
use crate::view::session::{SessionView, Status};
use crate::view::words::{Mood, cut};

/// Longest value, in characters: a source may return anything.
const VALUE: usize = 400;

/// One setting, or one group with its rule.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    label: String,
    /// The stable key, if the label differs from it.
    key: Option<String>,
    found: String,
    expected: Option<String>,
    rule: Option<String>,
    words: &'static str,
    /// Why it could not be checked, or does not apply.
    reason: Option<String>,
    mood: Mood,
}

/// All returned settings and all that rules name: wrong ones first, then unclear ones. Empty before the session was ever seen.
pub(super) fn settings(view: &SessionView<'_>, mapping: &Mapping, state: Option<&SourceState>) -> Vec<Setting> {
    let (session, observation) = (view.session, view.observation);
    let Some(((state, known), observation)) = state.zip(view.known).zip(observation) else { return Vec::new() };
    let sheet = Sheet { session, mapping, known, observation, checked: checked(session, mapping, state, known) };
    let mut settings = Vec::new();
    for rule in session.policy.rules().iter().filter(|rule| !rule.watches_each()) {
        settings.push(sheet.ruled(rule));
    }
    for (setting, raw) in observation.iter() {
        let ruled = |rule: &Rule| matches!(&rule.setting, SettingPattern::One(key) if key == setting);
        if !session.policy.rules().iter().any(|rule| ruled(rule)) {
            settings.push(sheet.other(setting, raw));
        }
    }
    settings.sort_by_key(|setting| setting.mood);
    settings
}

struct Sheet<'a> {
    session: &'a Session,
    mapping: &'a Mapping,
    known: &'a SessionState,
    observation: &'a Observation,
    checked: Checked,
}

impl Sheet<'_> {
    /// A setting or a group that a rule names.
    fn ruled(&self, rule: &Rule) -> Setting {
        let setting = rule.setting.key();
        let raw = self.observation.raw(setting).map(|raw| self.mapping.mean(setting, raw));
        let kind = rule.expect.kind().unwrap_or_else(|| self.mapping.kind(setting));
        let noncompliant = self.noncompliant(rule, setting);
        let found = match (raw, noncompliant.map(|noncompliant| &noncompliant.verdict)) {
            (Some(raw), _) => self.found(raw, kind),
            (None, Some(Verdict::Drifted { found, .. })) => cut(found, VALUE),
            (None, None) if self.checked.right(rule, setting) => "all ticked".to_owned(),
            (None, _) => "not returned".to_owned(),
        };
        let expected = match (&rule.expect, self.known.pinned.get(setting)) {
            (Expectation::Unchanged, Some(pinned_value)) => {
                self.found(self.mapping.mean(setting, &pinned_value.raw), kind)
            }
            (expect, _) => expect.describe(&self.session.params).into_owned(),
        };
        shown(setting, found, Some(expected), Some(rule), self.verdict(rule, setting))
    }

    /// A setting that no rule names: a member of a group, one that must not change, or one without a rule.
    fn other(&self, setting: &SettingKey, raw: &RawValue) -> Setting {
        let rules = &self.session.policy.rules();
        let raw = self.mapping.mean(setting, raw);
        let group = rules.iter().find(|rule| !rule.watches_each() && rule.setting.matches(setting));
        if let Some(rule) = group {
            let said = match read(raw, Kind::Flag, self.session.zone()) {
                Reading::Value(Value::Flag(true)) => self.good(),
                Reading::Value(_) if self.noncompliant(rule, rule.setting.key()).is_none() => UNCHECKED,
                Reading::Value(_) => BAD,
                Reading::Unreadable(reason) => unclear(reason),
                Reading::Missing => unclear(NOT_RETURNED.to_owned()),
            };
            return shown(setting, self.found(raw, Kind::Flag), Some("ticked".to_owned()), Some(rule), said);
        }
        let kind = self.mapping.kind(setting);
        let found = self.found(raw, kind);
        let watching = rules.iter().find(|rule| rule.watches_each() && in_scope(&self.session.policy, rule, setting));
        let Some((rule, pinned_value)) = watching.zip(self.known.pinned.get(setting)) else {
            return shown(setting, found, None, None, ("Not watched", None, Mood::Quiet));
        };
        let expected = Some(self.found(self.mapping.mean(setting, &pinned_value.raw), kind));
        shown(setting, found, expected, Some(rule), self.verdict(rule, setting))
    }

    fn noncompliant(&self, rule: &Rule, setting: &SettingKey) -> Option<&NonCompliance> {
        self.known
            .record
            .noncompliant
            .iter()
            .find(|noncompliant| noncompliant.rule == rule.id && noncompliant.setting == *setting)
    }

    fn verdict(&self, rule: &Rule, setting: &SettingKey) -> Said {
        match self.noncompliant(rule, setting).map(|noncompliant| &noncompliant.verdict) {
            Some(Verdict::Drifted { .. }) => BAD,
            Some(Verdict::Unverifiable { reason }) => unclear(reason.clone()),
            Some(Verdict::NotApplicable) => ("Does not apply", Some(NEVER_RETURNED.to_owned()), Mood::Quiet),
            None | Some(Verdict::Compliant) if self.checked.right(rule, setting) => self.good(),
            None | Some(Verdict::Compliant) => UNCHECKED,
        }
    }

    /// The words for a right value, now or when last seen.
    fn good(&self) -> Said {
        match self.checked {
            Checked::Now => GOOD,
            Checked::WhenLastSeen(_) => ("As it should be when last seen", None, Mood::Quiet),
        }
    }

    /// The value as read; as the source returned it if it cannot be read.
    fn found(&self, raw: &RawValue, kind: Kind) -> String {
        let text = match read(raw, kind, self.session.zone()) {
            Reading::Value(value) => value.to_string(),
            Reading::Unreadable(_) | Reading::Missing => raw.as_sent().unwrap_or("more than one value").to_owned(),
        };
        cut(&text, VALUE)
    }
}

/// The status of a setting: words, and a reason if there is one.
type Said = (&'static str, Option<String>, Mood);

const GOOD: Said = (Status::Compliant.words(), None, Mood::Good);
const UNCHECKED: Said = (Status::Pending.words(), None, Mood::Quiet);
const BAD: Said = (Status::Drifted.words(), None, Mood::Bad);

fn unclear(reason: String) -> Said {
    (Status::Unreachable.words(), Some(reason), Mood::Unclear)
}

fn shown(
    setting: &SettingKey,
    found: String,
    expected: Option<String>,
    rule: Option<&Rule>,
    (words, reason, mood): Said,
) -> Setting {
    let label = catalogue::label(setting);
    Setting {
        key: (label != setting.as_str()).then(|| setting.to_string()),
        label,
        found,
        expected: expected.map(|expected| cut(&expected, VALUE)),
        rule: rule.map(|rule| rule.id.to_string()),
        words,
        reason: reason.map(|reason| cut(&reason, VALUE)),
        mood,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::name::Name;
    use crate::domain::observation::Shape;
    use crate::domain::policy::{Policy, Severity};
    use crate::domain::state::{Presence, SessionRecord};
    use crate::domain::world::{name, start};
    use crate::metrics::polled_state::troubled;

    /// The settings of a session under one rule: label, found, expected, words.
    fn under(
        setting: &str,
        expect: Expectation,
        raw_values: &[(&str, RawValue)],
        verdict: Verdict,
    ) -> Vec<[String; 4]> {
        let published = troubled().published();
        let plan = &published.plans()[&name("acme-erp")];
        let mut session = plan.sessions.values().next().unwrap().clone();
        let old = Arc::clone(&session.policy.rules()[0]);
        let setting = SettingPattern::parse(setting);
        let key = setting.key().clone();
        let rule = Rule { id: Name::parse("the-rule").unwrap(), setting, expect, ..Rule::clone(&old) };
        session.policy = Arc::new(Policy::new(session.policy.name.clone(), vec![Arc::new(rule)]));
        let shape = Shape::new(raw_values.iter().map(|(setting, _)| SettingKey::new(setting)).collect());
        let raw_values = raw_values.iter().map(|(_, raw)| raw.clone()).collect();
        let observation = Observation { at: start(), shape: Arc::new(shape), raw_values };
        let noncompliant = NonCompliance {
            rule: name("the-rule"),
            setting: key,
            severity: Severity::Critical,
            verdict,
            last_good: None,
        };
        let record = SessionRecord {
            schedule_key: session.schedule.key(),
            presence: Presence::Seen { at: None },
            noncompliant: vec![noncompliant].into_iter().filter(|s| s.verdict != Verdict::Compliant).collect(),
            past: Vec::new(),
        };
        let known = SessionState {
            record,
            observation: Some(Arc::new(observation)),
            pinned: Arc::default(),
            incidents: Vec::new(),
        };
        let columns = |s: Setting| [s.label, s.found, s.expected.unwrap_or_default(), s.words.to_owned()];
        let judged = published.state(&name("acme-erp"));
        let mut state = SourceState::clone(&judged);
        state.sessions.insert(session.key.id.clone(), known);
        settings(&SessionView::of(Some(&state), &session), &plan.mapping, Some(&state))
            .into_iter()
            .map(columns)
            .collect()
    }

    #[test]
    fn a_group_is_shown_as_a_whole_and_option_by_option() {
        let raw_values =
            [("customer_validation_a", RawValue::Flag(true)), ("customer_validation_b", RawValue::text("no"))];
        let verdict = Verdict::Drifted {
            expected: "all 4 ticked".to_owned(),
            found: "unticked: customer_validation_b".to_owned(),
        };
        let shown = under("customer_validation_*", Expectation::AllTicked { count: 4 }, &raw_values, verdict);
        let label = |member: &str| format!("Customer Validation (customer_validation_{member})");
        let expected = [
            ["Customer Validation", "unticked: customer_validation_b", "all 4 ticked", "Not as it should be"],
            [&label("b"), "unticked", "ticked", "Not as it should be"],
            [&label("a"), "ticked", "ticked", "As it should be"],
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_setting_without_a_rule_says_so_and_an_unreadable_value_is_shown_as_returned() {
        let raw_values =
            [("Colour", RawValue::Null), ("export", RawValue::text(" maybe ")), ("twice", RawValue::Repeated)];
        let verdict = Verdict::Unverifiable { reason: "it is odd".to_owned() };
        let shown = under("export", Expectation::Unticked, &raw_values, verdict);
        let expected = [
            ["Export", "maybe", "unticked", "Could not be checked"],
            ["Colour", "(empty)", "", "Not watched"],
            ["twice", "more than one value", "", "Not watched"],
        ];
        assert_eq!(shown, expected);
    }
}
