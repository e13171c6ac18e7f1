//! Evaluates the rules of a policy on one observation. The only past that it uses are the pinned values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::expectation::{Compared, Expectation, Surroundings, present};
use super::observation::{Mapping, Observation};
use super::policy::{Policy, Rule};
use super::reading::{Kind, NOT_RETURNED, RawValue, Reading, Value, addresses, read};
use super::session::Session;
use super::setting::{SettingKey, SettingPattern};

#[cfg(test)]
mod tests;

/// A value that `unchanged` holds a setting to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedValue {
    pub raw: RawValue,
    pub at: DateTime<Utc>,
}

/// The pinned values of one session.
pub type PinnedValues = BTreeMap<SettingKey, PinnedValue>;

/// A rule's verdict on one setting of an observation.
#[derive(Debug, Clone)]
pub struct Finding {
    pub rule: Arc<Rule>,
    /// The setting, or the pattern of a group.
    pub setting: SettingKey,
    pub verdict: Verdict,
}

/// The verdicts of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Compliant,
    Drifted {
        expected: String,
        found: String,
    },
    /// The value could not be read; neither right nor wrong.
    Unverifiable {
        reason: String,
    },
    NotApplicable,
}

impl Verdict {
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Compliant => VerdictKind::Compliant,
            Self::Drifted { .. } => VerdictKind::Drifted,
            Self::Unverifiable { .. } => VerdictKind::Unverifiable,
            Self::NotApplicable => VerdictKind::NotApplicable,
        }
    }
}

/// A verdict without the values, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    Drifted,
    Unverifiable,
    NotApplicable,
    Compliant,
}

impl VerdictKind {
    /// The label in JSON output and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Drifted => "drifted",
            Self::Unverifiable => "unverifiable",
            Self::NotApplicable => "not_applicable",
            Self::Compliant => "compliant",
        }
    }
}

/// The other sessions of the same snapshot: needed by `unique` and by optional rules.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// For each setting under a `unique` rule, how many audited sessions have each value.
    pub counts: HashMap<SettingKey, HashMap<String, usize>>,
    /// Every setting that the source has ever returned, but for those that were forgotten.
    pub known: HashSet<SettingKey>,
    /// Every setting that any row of the snapshot has.
    pub returned: HashSet<SettingKey>,
}

/// Everything besides the session that a verdict depends on.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub mapping: &'a Mapping,
    pub neighbours: &'a Neighbours,
    pub pinned: &'a PinnedValues,
    pub now: DateTime<Utc>,
}

/// All findings of the session's policy on `seen`, in the policy's order.
pub fn evaluate(session: &Session, seen: &Observation, around: Circumstances<'_>) -> Vec<Finding> {
    let mut findings = Vec::with_capacity(session.policy.rules().len());
    for rule in session.policy.rules() {
        if rule.watches_each() {
            watch(session, rule, seen, around, &mut findings);
        } else {
            let verdict = judge(session, rule, seen, around);
            findings.push(Finding { rule: Arc::clone(rule), setting: rule.setting.key().clone(), verdict });
        }
    }
    findings
}

/// The verdict of one rule on one setting of `seen`; a rule that watches each setting of a pattern judges this one alone.
pub fn verdict_on(
    session: &Session,
    rule: &Rule,
    setting: &SettingKey,
    seen: &Observation,
    around: Circumstances<'_>,
) -> Verdict {
    if !rule.watches_each() {
        return judge(session, rule, seen, around);
    }
    match seen.raw(setting) {
        Some(raw) => {
            let kind = kind_for(rule, setting, around.mapping);
            judge_pinned(session, setting, around.mapping.mean(setting, raw), kind, around)
        }
        None => missing(rule, around),
    }
}

/// The values under a rule that were sent and cannot be read, each with its setting; a group can have several.
pub fn unreadable_values<'a>(
    session: &Session,
    rule: &'a Rule,
    setting: &'a SettingKey,
    seen: &'a Observation,
    mapping: &Mapping,
) -> Vec<(&'a SettingKey, &'a str)> {
    let kind = kind_for(rule, setting, mapping);
    let unreadable = |(setting, raw): (&'a SettingKey, &'a RawValue)| {
        let reading = read(mapping.mean(setting, raw), kind, session.zone());
        matches!(reading, Reading::Unreadable(_)).then(|| raw.as_sent()).flatten().map(|sent| (setting, sent))
    };
    if rule.is_group() {
        seen.iter().filter(|(setting, _)| rule.setting.matches(setting)).filter_map(unreadable).collect()
    } else {
        seen.raw(setting).map(|raw| (setting, raw)).and_then(unreadable).into_iter().collect()
    }
}

/// The demand of a rule on a setting in words; of `unchanged`, the pinned value.
pub fn expected(session: &Session, rule: &Rule, setting: &SettingKey, around: Circumstances<'_>) -> String {
    let pinned = || {
        let pinned = around.pinned.get(setting)?;
        let kind = kind_for(rule, setting, around.mapping);
        match read(around.mapping.mean(setting, &pinned.raw), kind, session.zone()) {
            Reading::Value(value) => Some(value.to_string()),
            Reading::Missing | Reading::Unreadable(_) => None,
        }
    };
    let pinned = if matches!(rule.expect, Expectation::Unchanged) { pinned() } else { None };
    pinned.unwrap_or_else(|| rule.expect.describe(&session.params).into_owned())
}

/// All findings of a session whose row is ambiguous: every rule is unverifiable for the same reason.
pub fn unreadable(session: &Session, reason: &str) -> Vec<Finding> {
    let finding = |rule: &Arc<Rule>| Finding {
        rule: Arc::clone(rule),
        setting: rule.setting.key().clone(),
        verdict: Verdict::Unverifiable { reason: reason.to_owned() },
    };
    session.policy.rules().iter().map(finding).collect()
}

/// The settings of `seen` that the session's `unchanged` rules watch.
pub fn watched<'a>(
    session: &'a Session,
    seen: &'a Observation,
) -> impl Iterator<Item = (&'a SettingKey, &'a RawValue)> {
    seen.iter().filter(|(setting, _)| {
        session.policy.rules().iter().any(|rule| match (&rule.expect, &rule.setting) {
            (Expectation::Unchanged, SettingPattern::One(key)) => key == *setting,
            (Expectation::Unchanged, SettingPattern::Many(_)) => in_scope(&session.policy, rule, setting),
            _ => false,
        })
    })
}

/// Whether `rule`, which watches a pattern, is the one that answers for `setting`: no other rule covers it and it is not ignored.
pub fn in_scope(policy: &Policy, rule: &Rule, setting: &SettingKey) -> bool {
    let covered = |other: &Arc<Rule>| {
        other.id != rule.id && other.setting.matches(setting) && (!other.watches_each() || is_narrower(other, rule))
    };
    rule.setting.matches(setting)
        && !rule.ignore.iter().any(|ignored| ignored.matches(setting))
        && !policy.rules().iter().any(covered)
}

/// Of two patterns that match the same setting, the more specific one covers it.
fn is_narrower(one: &Rule, other: &Rule) -> bool {
    let said = |rule: &Rule| rule.setting.key().folded().chars().filter(|c| *c != '*').count();
    said(one) > said(other)
}

/// The kind as which a rule reads a setting.
pub fn kind_for(rule: &Rule, setting: &SettingKey, mapping: &Mapping) -> Kind {
    rule.expect.kind().unwrap_or_else(|| mapping.kind(setting))
}

fn judge(session: &Session, rule: &Rule, seen: &Observation, around: Circumstances<'_>) -> Verdict {
    let setting = rule.setting.key();
    if let Some(size) = rule.group_size() {
        return judge_group(session, rule, size, seen, around);
    }
    let Some(raw) = seen.raw(setting) else {
        return missing(rule, around);
    };
    let raw = around.mapping.mean(setting, raw);
    let surroundings = Surroundings { params: &session.params, zone: session.zone(), now: around.now };
    let kind = kind_for(rule, setting, around.mapping);
    match &rule.expect {
        Expectation::Unchanged => judge_pinned(session, setting, raw, kind, around),
        Expectation::Unique => judge_unique(session, setting, raw, kind, around),
        expect => match expect.compare(raw, kind, surroundings) {
            Compared::Met => Verdict::Compliant,
            Compared::Unmet { found } => {
                Verdict::Drifted { expected: expect.describe(&session.params).into_owned(), found }
            }
            Compared::Unclear(reason) => Verdict::Unverifiable { reason },
        },
    }
}

/// An optional rule does not apply until the source has once returned the setting.
fn missing(rule: &Rule, around: Circumstances<'_>) -> Verdict {
    let known = around.neighbours.known.iter().any(|setting| rule.setting.matches(setting));
    if rule.optional && !known {
        return Verdict::NotApplicable;
    }
    Verdict::Unverifiable { reason: NOT_RETURNED.to_owned() }
}

fn judge_group(session: &Session, rule: &Rule, count: usize, seen: &Observation, around: Circumstances<'_>) -> Verdict {
    let (mut ticked, mut unticked, mut unclear) = (0, Vec::new(), Vec::new());
    for (setting, raw) in seen.iter().filter(|(setting, _)| rule.setting.matches(setting)) {
        match read(around.mapping.mean(setting, raw), Kind::Flag, session.zone()) {
            Reading::Value(Value::Flag(true)) => ticked += 1,
            Reading::Value(_) => unticked.push(setting.as_str()),
            Reading::Unreadable(reason) => unclear.push(format!("{setting}: {reason}")),
            Reading::Missing => {}
        }
    }
    if !unticked.is_empty() {
        let expected = rule.expect.describe(&session.params).into_owned();
        unticked.sort_unstable();
        return Verdict::Drifted { expected, found: format!("unticked: {}", unticked.join(", ")) };
    }
    if !unclear.is_empty() {
        return Verdict::Unverifiable { reason: unclear.join("; ") };
    }
    if ticked == 0 {
        return missing(rule, around);
    }
    if ticked < count {
        let reason = format!("the source returned {ticked} of the {count} options that must be ticked");
        return Verdict::Unverifiable { reason };
    }
    Verdict::Compliant
}

fn judge_pinned(
    session: &Session,
    setting: &SettingKey,
    raw: &RawValue,
    kind: Kind,
    around: Circumstances<'_>,
) -> Verdict {
    let value = match read(raw, kind, session.zone()) {
        Reading::Value(value) => value,
        Reading::Unreadable(reason) => return Verdict::Unverifiable { reason },
        Reading::Missing => return Verdict::Unverifiable { reason: NOT_RETURNED.to_owned() },
    };
    let Some(pinned_value) = around.pinned.get(setting) else {
        return Verdict::Compliant;
    };
    match read(around.mapping.mean(setting, &pinned_value.raw), kind, session.zone()) {
        Reading::Value(pinned) if pinned.same(&value) => Verdict::Compliant,
        Reading::Value(pinned) => Verdict::Drifted { expected: pinned.to_string(), found: value.to_string() },
        Reading::Unreadable(_) | Reading::Missing => {
            Verdict::Unverifiable { reason: "the value that was pinned cannot be read any more".to_owned() }
        }
    }
}

fn judge_unique(
    session: &Session,
    setting: &SettingKey,
    raw: &RawValue,
    kind: Kind,
    around: Circumstances<'_>,
) -> Verdict {
    match read(raw, kind, session.zone()) {
        Reading::Value(value) if !present(&value) => Verdict::Compliant,
        Reading::Value(value) => {
            let shared = around.neighbours.counts.get(setting).and_then(|counts| counts.get(&unique_key(&value)));
            if shared.is_some_and(|count| *count > 1) {
                let expected = Expectation::Unique.describe(&session.params).into_owned();
                return Verdict::Drifted { expected, found: value.to_string() };
            }
            Verdict::Compliant
        }
        Reading::Unreadable(reason) => Verdict::Unverifiable { reason },
        Reading::Missing => Verdict::Unverifiable { reason: NOT_RETURNED.to_owned() },
    }
}

/// Equal for values that are [`Value::same`].
fn unique_key(value: &Value<'_>) -> String {
    match value {
        Value::Choice(text) => text.to_lowercase(),
        Value::Addresses(text) => addresses::folded(text).join(" "),
        other => other.to_string(),
    }
}

/// One finding for each watched setting that differs or cannot be read; a single compliant one if there is none.
fn watch(
    session: &Session,
    rule: &Arc<Rule>,
    seen: &Observation,
    around: Circumstances<'_>,
    findings: &mut Vec<Finding>,
) {
    let before = findings.len();
    let mut push = |setting: &SettingKey, verdict| {
        findings.push(Finding { rule: Arc::clone(rule), setting: setting.clone(), verdict });
    };
    for (setting, raw) in seen.iter().filter(|(setting, _)| in_scope(&session.policy, rule, setting)) {
        let kind = kind_for(rule, setting, around.mapping);
        match judge_pinned(session, setting, around.mapping.mean(setting, raw), kind, around) {
            Verdict::Compliant => {}
            verdict => push(setting, verdict),
        }
    }
    // A setting that no session of the source has any more is forgotten; see `reconcile::columns`.
    let gone = |setting: &&SettingKey| {
        seen.raw(setting).is_none()
            && around.neighbours.returned.contains(*setting)
            && in_scope(&session.policy, rule, setting)
    };
    for setting in around.pinned.keys().filter(gone) {
        push(setting, Verdict::Unverifiable { reason: "the source no longer returns it".to_owned() });
    }
    if findings.len() == before {
        let verdict = Verdict::Compliant;
        findings.push(Finding { rule: Arc::clone(rule), setting: rule.setting.key().clone(), verdict });
    }
}

/// Counts the values under `unique` rules over all audited sessions that were seen.
pub fn count_values<'a>(
    seen: impl Iterator<Item = (&'a Session, &'a Observation)>,
    mapping: &Mapping,
) -> HashMap<SettingKey, HashMap<String, usize>> {
    let mut counts: HashMap<SettingKey, HashMap<String, usize>> = HashMap::new();
    for (session, observation) in seen {
        for rule in session.policy.rules().iter().filter(|rule| matches!(rule.expect, Expectation::Unique)) {
            let setting = rule.setting.key();
            let reading = observation.reading(setting, mapping, kind_for(rule, setting, mapping), session.zone());
            if let Reading::Value(value) = reading {
                *counts.entry(setting.clone()).or_default().entry(unique_key(&value)).or_default() += 1;
            }
        }
    }
    counts
}
