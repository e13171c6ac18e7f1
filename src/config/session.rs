//! Sessions: each with its source, policy, schedule, params and owners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Policy;
use crate::domain::reading::{Kind, quote};
use crate::domain::schedule::Schedule;
use crate::domain::session::{Params, Session, SessionKey};

use super::containers::Member;
use super::customer::{Customer, addresses, zone};
use super::fields::Fields;
use super::keys::{SessionKeys, SessionMember};
use super::policy::{is_readable, kind_words};
use super::report::{Report, nearest, suggestion};
use super::tree::{Node, Place};

/// The param that the built-in baseline compares the notification address with, and whose address is the owner by default.
const NOTIFICATION_EMAIL: &str = "notification_email";

/// A source that sessions refer to.
pub(super) struct Known {
    /// Without its sessions.
    pub plan: SourcePlan,
    pub customer: Option<Customer>,
    /// It has a fallback, or one that cannot be read.
    pub may_have_fallback: bool,
}

/// Reads sessions; holds all that they refer to.
pub(super) struct Sessions<'a> {
    now: DateTime<Utc>,
    defaults: Fields<'a>,
    /// Every configured source; `None`: it is invalid.
    pub sources: BTreeMap<&'a str, Option<Known>>,
    policies: &'a BTreeMap<Name, Arc<Policy>>,
    /// Every configured policy, also an invalid one.
    policy_names: Vec<&'a str>,
    /// Every param that a rule of any policy compares with.
    asked: BTreeSet<&'a str>,
    /// Parsed once for each expression and zone; or why it is invalid.
    schedules: HashMap<(String, Tz), Result<Schedule, String>>,
    /// Most sessions have those of the defaults.
    params: BTreeSet<Arc<Params>>,
    /// Some part of the configuration has a fallback.
    any_fallback: bool,
    places: HashMap<SessionKey, Place>,
}

impl<'a> Sessions<'a> {
    pub fn new(
        now: DateTime<Utc>,
        defaults: Fields<'a>,
        sources: BTreeMap<&'a str, Option<Known>>,
        policies: &'a BTreeMap<Name, Arc<Policy>>,
        policy_names: Vec<&'a str>,
        any_fallback: bool,
    ) -> Self {
        let (schedules, params, places) = (HashMap::new(), BTreeSet::new(), HashMap::new());
        let asked = policies.values().flat_map(|policy| asked_by(policy)).collect();
        Self { now, defaults, sources, policies, policy_names, asked, schedules, params, any_fallback, places }
    }

    /// Reads one session, and reports all its problems also if it is invalid.
    pub fn read(&mut self, report: &mut Report, node: &Node) -> Option<Session> {
        let fields = Fields::new(report, node, SessionMember::SECTIONS)?.with_defaults(self.defaults);
        let keys = fields.read::<SessionKeys>(report);
        let named = keys.source.value.as_deref().and_then(|name| self.source(report, name, keys.source.at));
        let key = named.zip(keys.id.value.clone()).map(|(source, id)| SessionKey { source, id });
        let first = key.as_ref().is_some_and(|key| self.is_first(report, key, keys.place));
        let params = keys.params.value.iter().flatten();
        let params: Params = params.map(|param| (param.name.clone(), param.value.clone())).collect();
        let policy = self.policy(report, &keys);
        let owners = owners(report, &keys, &params);
        let source = keys.source.value.as_deref().and_then(|name| self.sources.get(name)?.as_ref());
        let own_zone = keys.timezone.value.filter(|_| keys.timezone.own);
        let zone = zone(own_zone, source.and_then(|source| source.customer.as_ref()), keys.timezone.value);
        let called = key.as_ref().map_or_else(|| "this session".to_owned(), |key| format!("session {key}"));
        if let Some(policy) = &policy {
            let mapping = source.map(|source| &source.plan.mapping);
            check_params(report, &keys, &called, &params, policy, mapping);
            self.check_unused(report, &keys, policy);
        }
        let may_have_fallback = source.map_or(self.any_fallback, |source| source.may_have_fallback);
        if owners.as_ref().is_some_and(Vec::is_empty) && !may_have_fallback {
            let help = "give it params: { notification_email: ... } or owners, or its customer or alerts a fallback";
            report.problem(node, (format!("no one would be notified about {called}"), help));
        }
        let contacts = source.map(|source| Arc::clone(&source.plan.contacts));
        let schedule = self.schedule(report, keys.schedule.value.trim(), keys.schedule.at, zone);
        let (key, policy, schedule) = (key.filter(|_| first)?, policy?, schedule?);
        let labels = keys.labels.value.into_iter().flatten().map(|label| (label.name, label.value)).collect();
        let name = keys.name.value.map(|name| name.trim().to_owned());
        let params = self.shared(params);
        Some(Session { key, name, policy, schedule, params, owners: owners?, labels, contacts: contacts? })
    }

    fn shared(&mut self, params: Params) -> Arc<Params> {
        if let Some(known) = self.params.get(&params) {
            return Arc::clone(known);
        }
        let params = Arc::new(params);
        self.params.insert(Arc::clone(&params));
        params
    }

    /// Reports a second session with this key.
    fn is_first(&mut self, report: &mut Report, key: &SessionKey, place: Place) -> bool {
        let Some(first) = self.places.get(key) else {
            self.places.insert(key.clone(), place);
            return true;
        };
        let message = format!("session {key} is given twice; first defined at {}", report.shown(*first));
        report.problem(place, message);
        false
    }

    fn source(&self, report: &mut Report, name: &str, at: Place) -> Option<Name> {
        if self.sources.contains_key(name) {
            return Name::parse(name).ok();
        }
        let message = format!("there is no source {}", quote(name));
        report.refuse(at, (message, suggestion(name, self.sources.keys().copied())))
    }

    fn policy(&self, report: &mut Report, keys: &SessionKeys) -> Option<Arc<Policy>> {
        let wanted = keys.policy.value.as_str();
        if let Some(policy) = Name::parse(wanted).ok().and_then(|name| self.policies.get(&name)) {
            return Some(Arc::clone(policy));
        }
        if !self.policy_names.contains(&wanted) {
            let message = format!("there is no policy {}", quote(wanted));
            report.problem(keys.policy.at, (message, suggestion(wanted, self.policy_names.iter().copied())));
        }
        None
    }

    fn schedule(&mut self, report: &mut Report, expression: &str, at: Place, zone: Tz) -> Option<Schedule> {
        let now = self.now;
        let parse = || Schedule::parse(expression, zone, now).map_err(|error| error.to_string());
        let parsed = self.schedules.entry((expression.to_owned(), zone)).or_insert_with(parse);
        if let Err(reason) = parsed {
            let help = "for example \"*/5 * * * *\" (every 5 minutes) or \"0 9 * * MON-FRI\" (09:00 on weekdays)";
            report.problem(at, (format!("the schedule {} is invalid: {reason}", quote(expression)), help));
        }
        parsed.clone().ok()
    }

    /// A param that no rule of the policy compares with is an error if its name misspells one that a rule does. Any other may be
    /// meant for a later rule, or for the policy of other sessions that inherit it.
    fn check_unused(&self, report: &mut Report, keys: &SessionKeys, policy: &Policy) {
        for param in keys.params.value.iter().flatten() {
            let name = param.name.as_str();
            if name == NOTIFICATION_EMAIL || asked_by(policy).any(|asked| asked == name) {
                continue;
            }
            let message = format!("no rule of policy {} compares with the param {}", policy.name, quote(name));
            let near = nearest(name, asked_by(policy).chain([NOTIFICATION_EMAIL]));
            match near.filter(|_| !self.asked.contains(name)) {
                Some(near) => report.problem(param.place, (message, format!("did you mean {near:?}?"))),
                None => report.warning(param.place, (message, "it has no effect")),
            }
        }
    }
}

/// The params that rules of the policy compare with.
fn asked_by(policy: &Policy) -> impl Iterator<Item = &str> + Clone {
    let operands = policy.rules().iter().flat_map(|rule| rule.expect.operands());
    operands.filter_map(|operand| match operand {
        Operand::Param { name, .. } => Some(name.as_str()),
        Operand::Literal(_) => None,
    })
}

/// `None`, and reported, if those that are given are invalid.
fn owners(report: &mut Report, keys: &SessionKeys, params: &Params) -> Option<Vec<Address>> {
    let notified = params.get(NOTIFICATION_EMAIL).and_then(|values| values.first()).map(|text| Address::parse(text));
    if let Some(Err(error)) = &notified {
        report.problem(param_place(keys, NOTIFICATION_EMAIL), format!("the param {NOTIFICATION_EMAIL}: {error}"));
    }
    if keys.owners.given {
        return keys.owners.value.clone().map(|owners| addresses(Some(owners)));
    }
    notified.map_or(Some(Vec::new()), |address| Some(vec![address.ok()?]))
}

fn param_place(keys: &SessionKeys, name: &str) -> Place {
    let param = keys.params.value.iter().flatten().find(|param| param.name == name);
    param.map_or(keys.params.key, |param| param.place)
}

/// Reports the params that rules of the policy compare with, and that are absent or unsuitable.
fn check_params(
    report: &mut Report,
    keys: &SessionKeys,
    called: &str,
    params: &Params,
    policy: &Policy,
    mapping: Option<&Mapping>,
) {
    let operands = policy.rules().iter().flat_map(|rule| rule.expect.operands().iter().map(move |of| (rule, of)));
    for (rule, operand) in operands {
        let Operand::Param { name, or_present } = operand else { continue };
        let Some(values) = params.get(name) else {
            if !or_present {
                let message = format!("{called} needs the param {name:?}: rule {} compares with it", rule.id);
                report.problem(keys.place, (message, format!("add params: {{ {name}: ... }}")));
            }
            continue;
        };
        let place = param_place(keys, name);
        if values.len() != 1 && !matches!(rule.expect, Expectation::OneOf(_) | Expectation::NotOneOf(_)) {
            let message = format!("the param {name} has {} values; rule {} compares with one", values.len(), rule.id);
            report.problem(place, message);
            continue;
        }
        let is_address = matches!(rule.expect, Expectation::Includes(_));
        let setting = rule.setting.key();
        // An invalid source may define another kind: any text will do.
        let kind = rule.expect.kind().or_else(|| Some(mapping?.kind(setting))).unwrap_or(Kind::Text);
        for text in values {
            if is_address && name != NOTIFICATION_EMAIL {
                if let Err(error) = Address::parse(text) {
                    report.problem(place, format!("the param {name}: {error}"));
                }
            } else if kind != Kind::Addresses && !is_readable(text, kind) {
                let (text, words) = (quote(text), kind_words(kind));
                report
                    .problem(place, format!("the param {name}: {text} cannot be read as {words}, which {setting} is"));
            }
        }
    }
}
