//! Policies: each with the rules of those that it extends. The built-in baseline is read by the same code as a user's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::domain::address::Address;
use crate::domain::catalogue;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::name::Name;
use crate::domain::policy::{Policy, Rule};
use crate::domain::reading::{Kind, RawValue, Reading, quote, read as read_raw};
use crate::domain::setting::{SettingKey, SettingPattern};

use super::containers::{Item, Member};
use super::declaration::Found;
use super::fields::Fields;
use super::keys::{PolicyKeys, PolicyMember, RuleKeys};
use super::report::{Report, suggestion};
use super::tree::{Entry, Place};

/// The default policy of a session.
pub const BASELINE: &str = "orderwise-shopify";

/// The configured policies by name; of two with one name, the first.
pub(super) type Written<'a> = BTreeMap<&'a str, &'a Entry>;

/// The kinds that sources define for settings; the values in rules are checked against them.
pub(super) type Kinds = HashMap<SettingKey, Vec<Kind>>;

/// Reads all policies. An invalid one is reported and left out.
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
    /// The policies being read: a second visit to one is a cycle.
    open: Vec<&'a str>,
    /// Policies with an invalid rule: a rule that seems to be missing may be that one.
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
        let fields = Fields::new(report, &entry.value, PolicyMember::SECTIONS)?.at(entry.place);
        let before = report.count();
        let keys = fields.read::<PolicyKeys>(report);
        let own = self.rules(report, &keys.rules);
        let partly_read = report.count() > before;
        if keys.rules.value.as_ref().is_some_and(Vec::is_empty) {
            report.problem(keys.rules.key, "\"rules\" is empty");
        }
        let base = keys.extends.value.as_deref().map(|base| self.base(report, base, keys.extends.at));
        let unsure = base.iter().flatten().any(|policy| self.partial.contains(&policy.name));
        // The rules of an invalid base are unknown, so references to them are not checked.
        let mut rules = match base {
            Some(Some(policy)) => policy.rules().to_vec(),
            Some(None) => return None,
            None if keys.extends.given => return None,
            None => Vec::new(),
        };
        for (rule, _) in &own {
            match rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = Arc::clone(rule),
                None => rules.push(Arc::clone(rule)),
            }
        }
        let reported = unsure || leave_out(report, &keys.without, &own, &mut rules);
        if rules.is_empty() && !reported && !keys.rules.given {
            let message =
                format!("the policy {:?} has no rules, so it would find nothing wrong with anything", entry.key);
            report.problem(entry.place, (message, "give it rules, or extends: orderwise-shopify"));
        }
        let name = Name::parse(&entry.key).ok()?;
        if unsure || partly_read {
            self.partial.insert(name.clone());
        }
        Some(Arc::new(Policy::new(name, rules)))
    }

    fn base(&mut self, report: &mut Report, base: &str, at: Place) -> Option<Arc<Policy>> {
        if let Some(position) = self.open.iter().position(|open| *open == base) {
            let cycle = self.open[position..].join(" extends ");
            return report.refuse(at, format!("policies extend each other in a circle: {cycle} extends {base}"));
        }
        let Some((name, _)) = self.written.get_key_value(base) else {
            let message = format!("there is no policy {} to extend", quote(base));
            return report.refuse(at, (message, suggestion(base, self.written.keys().copied())));
        };
        self.policy(report, name)
    }

    fn rules(&self, report: &mut Report, written: &Found<Option<Vec<Item<RuleKeys>>>>) -> Vec<(Arc<Rule>, Place)> {
        let mut rules: Vec<(Arc<Rule>, Place)> = Vec::new();
        for item in written.value.iter().flatten() {
            let Some(rule) = rule(&item.value) else { continue };
            self.check(report, &item.value, &rule);
            if let Some((_, first)) = rules.iter().find(|(known, _)| known.id == rule.id) {
                let message = format!("rule {:?} is given twice; first defined at {}", rule.id, report.shown(*first));
                report.problem(item.place, message);
                continue;
            }
            rules.push((Arc::new(rule), item.place));
        }
        rules
    }

    /// Checks the parts of a rule against each other.
    fn check(&self, report: &mut Report, keys: &RuleKeys, rule: &Rule) {
        let pattern = matches!(rule.setting, SettingPattern::Many(_));
        match (&rule.expect, pattern) {
            (Expectation::AllTicked { .. }, false) => {
                let help = "for example setting: customer_validation_*";
                report.problem(keys.setting.at, ("\"all_ticked\" is for a group: its setting needs a *", help));
            }
            (Expectation::AllTicked { .. } | Expectation::Unchanged, _) | (_, false) => {}
            (_, true) => {
                let message = "a setting with * is only allowed together with \"all_ticked\" or \"unchanged\"";
                report.problem(keys.setting.at, (message, "name one setting, or write a rule for each"));
            }
        }
        if !rule.ignore.is_empty() && !rule.watches_each() {
            let message = "\"ignore\" is only allowed together with \"expect: unchanged\" over a setting with *";
            report.problem(keys.ignore.at, message);
        }
        self.check_literals(report, keys.expect.at, rule);
    }

    /// A value that is not of the setting's kind would make the rule unverifiable for ever.
    fn check_literals(&self, report: &mut Report, place: Place, rule: &Rule) {
        let setting = rule.setting.key();
        let known = catalogue::kind(setting);
        let mut kinds = rule.expect.kind().map_or_else(|| vec![known], |kind| vec![kind]);
        if rule.expect.kind().is_none() {
            kinds.extend(self.kinds.get(setting).into_iter().flatten());
        }
        for operand in rule.expect.operands() {
            let Operand::Literal(text) = operand else { continue };
            if matches!(rule.expect, Expectation::Includes(_)) {
                if let Err(error) = Address::parse(text) {
                    report.problem(place, format!("\"includes\": {error}"));
                }
            } else if !kinds.iter().any(|kind| is_readable(text, *kind)) {
                let message = format!("{} cannot be read as {}, which {setting} is", quote(text), kind_words(kinds[0]));
                report.problem(place, message);
            }
        }
    }
}

/// Whether `text` can be read as a value of that kind.
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

/// The rule, if its required parts are valid.
fn rule(keys: &RuleKeys) -> Option<Rule> {
    let words = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    Some(Rule {
        id: keys.id.value.clone()?,
        setting: keys.setting.value.clone()?,
        expect: keys.expect.value.clone()?,
        severity: keys.severity.value,
        why: words(&keys.why.value),
        fix: words(&keys.fix.value),
        optional: keys.optional.value,
        stops_orders: keys.stops_orders.value,
        ignore: keys.ignore.value.iter().flatten().map(|item| item.value.clone()).collect(),
    })
}

/// Removes the rules of `without`. True if it reported a problem.
fn leave_out(
    report: &mut Report,
    without: &Found<Option<Vec<Item<String>>>>,
    own: &[(Arc<Rule>, Place)],
    rules: &mut Vec<Arc<Rule>>,
) -> bool {
    let before = report.count();
    let mut gone = Vec::new();
    for Item { value: id, place, .. } in without.value.iter().flatten() {
        if own.iter().any(|(rule, _)| rule.id.as_str() == id) {
            report.problem(*place, format!("rule {} is both given and left out", quote(id)));
        } else if rules.iter().any(|rule| rule.id.as_str() == id) {
            gone.push(id.as_str());
        } else {
            let message = format!("there is no rule {} to leave out", quote(id));
            report.problem(*place, (message, suggestion(id, rules.iter().map(|rule| rule.id.as_str()))));
        }
    }
    rules.retain(|rule| !gone.contains(&rule.id.as_str()));
    if rules.is_empty() && !gone.is_empty() {
        report.problem(without.key, "\"without\" leaves no rule at all");
    }
    report.count() > before
}
