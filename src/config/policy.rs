//! Policies: each with everything it extends already in it. The built-in baseline is read by the same code as a user's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::domain::catalogue;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::name::Name;
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::{Kind, RawValue, Reading, is_invisible, quote, read as read_raw};
use crate::domain::setting::{SettingKey, SettingPattern};

use super::alerts::SEVERITIES;
use super::expect;
use super::fields::{self, Fields, Keys};
use super::report::{Report, suggestion};
use super::tree::{Entry, Node, Place};

/// The policy of a session that names none.
pub const BASELINE: &str = "orderwise-shopify";

pub(super) const KEYS: Keys = Keys { of: "a policy", known: &["extends", "rules", "without"], later: &[] };

pub(super) const RULE: Keys = Keys {
    of: "a rule",
    known: &["id", "setting", "expect", "severity", "why", "fix", "optional", "stops_orders", "ignore"],
    later: &[],
};

/// The policies that were written, by name; where two share one, the first.
pub(super) type Written<'a> = BTreeMap<&'a str, &'a Entry>;

/// The kinds that sources give to settings, for a check of the values in rules.
pub(super) type Kinds = HashMap<SettingKey, Vec<Kind>>;

/// Reads all policies. One that cannot be used is absent, and reported.
pub(super) fn read_all(report: &mut Report, written: &Written<'_>, kinds: &Kinds) -> BTreeMap<Name, Arc<Policy>> {
    let mut reading = Reader { written, kinds, done: HashMap::new(), open: Vec::new(), partial: HashSet::new() };
    for name in written.keys() {
        reading.policy(report, name);
    }
    reading.done.into_values().flatten().map(|policy| (policy.name.clone(), policy)).collect()
}

struct Reader<'a> {
    written: &'a Written<'a>,
    kinds: &'a Kinds,
    done: HashMap<&'a str, Option<Arc<Policy>>>,
    /// Those that are being read: meeting one again is a cycle.
    open: Vec<&'a str>,
    /// Those of which not every rule could be read: what they lack may be among those.
    partial: HashSet<Name>,
}

impl<'a> Reader<'a> {
    fn policy(&mut self, report: &mut Report, name: &'a str) -> Option<Arc<Policy>> {
        if let Some(policy) = self.done.get(name) {
            return policy.clone();
        }
        let entry = *self.written.get(name)?;
        self.open.push(name);
        let policy = self.build(report, entry);
        self.open.pop();
        self.done.insert(name, policy.clone());
        policy
    }

    fn build(&mut self, report: &mut Report, entry: &'a Entry) -> Option<Arc<Policy>> {
        let fields = Fields::new(report, &entry.value, KEYS)?.at(entry.place);
        let base = fields.node(report, "extends").map(|node| self.base(report, node));
        let own = self.rules(report, &fields);
        let written = fields.entry("rules").and_then(|entry| entry.value.items()).unwrap_or_default().len();
        let unsure = base.iter().flatten().any(|policy| self.partial.contains(&policy.name));
        // What stands in a base that cannot be used is unknown, so nothing is said of what refers to it.
        let mut rules = match base {
            Some(Some(policy)) => policy.rules().to_vec(),
            Some(None) => return None,
            None => Vec::new(),
        };
        for (rule, _) in &own {
            match rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = Arc::clone(rule),
                None => rules.push(Arc::clone(rule)),
            }
        }
        let told = unsure || leave_out(report, &fields, &own, &mut rules);
        if rules.is_empty() && !told && !fields.has("rules") {
            let message =
                format!("the policy {:?} has no rules, so it would find nothing wrong with anything", entry.key);
            report.problem_with(entry.place, message, "give it rules, or extends: orderwise-shopify");
        }
        let name = Name::parse(&entry.key).ok()?;
        if unsure || own.len() < written {
            self.partial.insert(name.clone());
        }
        Some(Arc::new(Policy::new(name, rules)))
    }

    fn base(&mut self, report: &mut Report, node: &'a Node) -> Option<Arc<Policy>> {
        let base = fields::text(report, node, "extends")?;
        if let Some(at) = self.open.iter().position(|open| *open == base) {
            let cycle = self.open[at..].join(" extends ");
            report.problem(node.place, format!("policies extend each other in a circle: {cycle} extends {base}"));
            return None;
        }
        if !self.written.contains_key(base) {
            let message = format!("there is no policy {} to extend", quote(base));
            report.problem_with(node.place, message, suggestion(base, self.written.keys().copied()));
            return None;
        }
        self.policy(report, base)
    }

    fn rules(&self, report: &mut Report, fields: &Fields<'_>) -> Vec<(Arc<Rule>, Place)> {
        let mut rules: Vec<(Arc<Rule>, Place)> = Vec::new();
        let items = fields.list(report, "rules").unwrap_or_default();
        for node in items {
            let Some(rule) = self.rule(report, node) else { continue };
            if let Some((_, first)) = rules.iter().find(|(known, _)| known.id == rule.id) {
                let message = format!("rule {:?} is given twice; first defined at {}", rule.id, report.shown(*first));
                report.problem(node.place, message);
                continue;
            }
            rules.push((Arc::new(rule), node.place));
        }
        if let (true, Some(entry)) = (items.is_empty(), fields.entry("rules").filter(|e| !e.value.is_null())) {
            report.problem(entry.place, "\"rules\" is empty");
        }
        rules
    }

    fn rule(&self, report: &mut Report, node: &Node) -> Option<Rule> {
        let fields = Fields::new(report, node, RULE)?;
        for key in ["id", "setting", "expect"] {
            fields.required(report, key, "a rule");
        }
        let id = fields.has("id").then(|| id(report, &fields)).flatten();
        let setting = fields.has("setting").then(|| setting(report, &fields)).flatten();
        let expect = fields.entry("expect").filter(|e| !e.value.is_null()).and_then(|e| expect::read(report, &e.value));
        let severity = fields.choice(report, "severity", &SEVERITIES).unwrap_or(Severity::Warning);
        let words = |report: &mut Report, key| fields.text(report, key).map(|text| text.trim().to_owned());
        let why = words(report, "why").unwrap_or_default();
        let fix = words(report, "fix").unwrap_or_default();
        let optional = fields.flag(report, "optional").unwrap_or(false);
        let stops_orders = fields.flag(report, "stops_orders").unwrap_or(false);
        let ignore = ignored(report, &fields);
        let rule =
            Rule { id: id?, setting: setting?, expect: expect?, severity, why, fix, optional, stops_orders, ignore };
        self.check(report, &fields, &rule);
        Some(rule)
    }

    /// What the parts of a rule demand of each other.
    fn check(&self, report: &mut Report, fields: &Fields<'_>, rule: &Rule) {
        let place = |key: &str| fields.entry(key).map_or(fields.place, |entry| entry.value.place);
        let pattern = matches!(rule.setting, SettingPattern::Many(_));
        match (&rule.expect, pattern) {
            (Expectation::AllTicked { .. }, false) => {
                let help = "for example setting: customer_validation_*";
                report.problem_with(place("setting"), "\"all_ticked\" is about a group: its setting needs a *", help);
            }
            (Expectation::AllTicked { .. } | Expectation::Unchanged, _) | (_, false) => {}
            (_, true) => {
                let message = "a setting with * is only allowed together with \"all_ticked\" or \"unchanged\"";
                report.problem_with(place("setting"), message, "name one setting, or write a rule for each");
            }
        }
        if !rule.ignore.is_empty() && !rule.watches_each() {
            let message = "\"ignore\" is only allowed together with \"expect: unchanged\" over a setting with *";
            report.problem(place("ignore"), message);
        }
        self.check_literals(report, place("expect"), rule);
    }

    /// A value that cannot be read as the setting's kind would make the rule unverifiable for ever.
    fn check_literals(&self, report: &mut Report, place: Place, rule: &Rule) {
        let setting = rule.setting.key();
        let known = catalogue::kind(setting);
        let mut kinds = rule.expect.kind().map_or_else(|| vec![known], |kind| vec![kind]);
        if rule.expect.kind().is_none() {
            kinds.extend(self.kinds.get(setting).into_iter().flatten());
        }
        for operand in rule.expect.operands() {
            let Operand::Literal(text) = operand else { continue };
            if !kinds.iter().any(|kind| is_readable(text, *kind)) {
                let message = format!("{} cannot be read as {}, which {setting} is", quote(text), kind_words(kinds[0]));
                report.problem(place, message);
            }
        }
    }
}

/// Whether `text` means something as a value of that kind.
pub(super) fn is_readable(text: &str, kind: Kind) -> bool {
    matches!(read_raw(&RawValue::text(text), kind, chrono_tz::UTC), Reading::Value(_))
}

pub(super) fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Choice => "text",
        Kind::Flag => "a tick-box (ticked or unticked)",
        Kind::Interval => "an interval (such as 5m)",
        Kind::Addresses => "mail addresses",
        Kind::Time => "a date and time",
    }
}

fn id(report: &mut Report, fields: &Fields<'_>) -> Option<Name> {
    let node = fields.node(report, "id")?;
    let text = fields::text(report, node, "id")?;
    let name = Name::parse(text);
    if let Err(error) = &name {
        report.problem_with(node.place, format!("{} cannot be the id of a rule", quote(text)), error.to_string());
    }
    name.ok()
}

fn setting(report: &mut Report, fields: &Fields<'_>) -> Option<SettingPattern> {
    let node = fields.node(report, "setting")?;
    let text = fields::text(report, node, "setting")?;
    if text.chars().any(is_invisible) {
        report.problem(node.place, "\"setting\" holds characters that cannot be seen");
        return None;
    }
    Some(SettingPattern::parse(text))
}

fn ignored(report: &mut Report, fields: &Fields<'_>) -> Vec<SettingPattern> {
    let items = fields.list(report, "ignore").unwrap_or_default();
    items.iter().filter_map(|item| fields::text(report, item, "ignore")).map(SettingPattern::parse).collect()
}

/// Takes the rules of `without` out. True where something is wrong with them, and told.
fn leave_out(report: &mut Report, fields: &Fields<'_>, own: &[(Arc<Rule>, Place)], rules: &mut Vec<Arc<Rule>>) -> bool {
    let before = report.count();
    let mut gone = Vec::new();
    for node in fields.list(report, "without").unwrap_or_default() {
        let Some(id) = fields::text(report, node, "without") else { continue };
        if own.iter().any(|(rule, _)| rule.id.as_str() == id) {
            report.problem(node.place, format!("rule {} is both given and left out", quote(id)));
        } else if rules.iter().any(|rule| rule.id.as_str() == id) {
            gone.push(id);
        } else {
            let message = format!("there is no rule {} to leave out", quote(id));
            report.problem_with(node.place, message, suggestion(id, rules.iter().map(|rule| rule.id.as_str())));
        }
    }
    rules.retain(|rule| !gone.contains(&rule.id.as_str()));
    if rules.is_empty() && !gone.is_empty() {
        let place = fields.entry("without").map_or(fields.place, |entry| entry.place);
        report.problem(place, "\"without\" leaves no rule at all");
    }
    report.count() > before
}
