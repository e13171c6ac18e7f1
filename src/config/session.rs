//! Sessions: what is audited, against which policy, when, and who is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::policy::Policy;
use crate::domain::reading::{Kind, quote};
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Params, Session, SessionId, SessionKey};

use super::customer::{Customer, zone};
use super::fields::{self, Fields, Keys};
use super::policy::{BASELINE, is_readable, kind_words};
use super::report::{Report, nearest, suggestion};
use super::tree::{Node, Place};

pub(super) const KEYS: Keys = Keys {
    of: "a session",
    known: &["source", "id", "name", "policy", "schedule", "timezone", "params", "owners", "labels"],
    later: &["waivers"],
};

const SCHEDULE: &str = "*/5 * * * *";

/// The param that the built-in baseline compares the notification address with, and whose address is the owner by default.
const NOTIFICATION_EMAIL: &str = "notification_email";

/// A source as far as sessions need it.
pub(super) struct Known {
    pub mapping: Mapping,
    pub contacts: Arc<Contacts>,
    pub customer: Option<Customer>,
}

/// Who stands behind sessions, anywhere in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fallbacks {
    /// Somebody is named.
    pub any: bool,
    /// What is named cannot be read. That is said; that nobody would be told does not follow from it.
    pub unread: bool,
}

impl Fallbacks {
    pub fn of<'a>(root: &'a Node, customers: impl Iterator<Item = &'a Node>) -> Self {
        let key = |node: &'a Node, key: &str| node.entries()?.iter().find(|entry| entry.key == key).map(|e| &e.value);
        let alerts = key(root, "alerts");
        let defaults = key(root, "defaults").and_then(|defaults| key(defaults, "customer"));
        let mut found = Self::default();
        for written in customers.chain(alerts).chain(defaults).filter_map(|node| key(node, "fallback")) {
            let readable = |item: &Node| item.scalar().is_some_and(|text| Address::parse(text).is_ok());
            let readable = written.items().is_some_and(|items| items.is_empty() || items.iter().any(readable));
            found.any |= written.items().is_some_and(|items| !items.is_empty());
            found.unread |= !readable;
        }
        found
    }
}

/// Everything that sessions refer to, and what was met on the way.
pub(super) struct Sessions<'a> {
    pub now: DateTime<Utc>,
    pub defaults: Fields<'a>,
    /// Every source that is written; `None` where nothing can be said of it.
    pub sources: BTreeMap<&'a str, Option<Known>>,
    pub policies: &'a BTreeMap<Name, Arc<Policy>>,
    /// Every policy that is written, also one that cannot be used.
    pub policy_names: Vec<&'a str>,
    /// Parsed once for each expression and zone; for one that is refused, why.
    schedules: HashMap<(String, Tz), Result<Schedule, String>>,
    fallbacks: Fallbacks,
    places: HashMap<SessionKey, Place>,
}

impl<'a> Sessions<'a> {
    pub fn new(
        now: DateTime<Utc>,
        defaults: Fields<'a>,
        sources: BTreeMap<&'a str, Option<Known>>,
        policies: &'a BTreeMap<Name, Arc<Policy>>,
        policy_names: Vec<&'a str>,
        fallbacks: Fallbacks,
    ) -> Self {
        let (schedules, places) = (HashMap::new(), HashMap::new());
        Self { now, defaults, sources, policies, policy_names, schedules, fallbacks, places }
    }

    /// Reads one session. What is wrong is told in full, also where the session cannot be one for another reason.
    pub fn read(&mut self, report: &mut Report, node: &Node) -> Option<Session> {
        let own = Fields::new(report, node, KEYS)?;
        let fields = own.with_defaults(self.defaults);
        let source = fields.required(report, "source", "a session").and_then(|node| self.source(report, node));
        let id = id(report, &fields);
        let key = source.clone().zip(id).map(|(source, id)| SessionKey { source, id });
        let first = key.as_ref().is_some_and(|key| self.is_first(report, key, fields.place));
        let params = read_params(report, &fields);
        let policy = self.policy(report, &fields);
        let labels = fields.texts(report, "labels");
        let name = fields.text(report, "name").map(|name| name.trim().to_owned());
        let owners = owners(report, &fields, &params);
        let own_zone = zone(report, &own);
        let default_zone = zone(report, &self.defaults);
        let source = source.and_then(|source| self.sources.get(source.as_str())?.as_ref());
        let customer = source.and_then(|source| source.customer.as_ref());
        let zone = own_zone
            .or(customer.and_then(|customer| customer.own_zone))
            .or(default_zone)
            .or(customer.and_then(|customer| customer.default_zone));
        let called = key.as_ref().map_or_else(|| "this session".to_owned(), |key| format!("session {key}"));
        if let Some(policy) = &policy {
            check_params(report, &fields, &called, &params, policy, source.map(|source| &source.mapping));
        }
        let fallback = source.map_or(self.fallbacks.any, |source| !source.contacts.fallback.is_empty());
        if owners.as_ref().is_some_and(Vec::is_empty) && !fallback && !self.fallbacks.unread {
            let help = "give it params: { notification_email: ... } or owners, or its customer or alerts a fallback";
            report.problem_with(node.place, format!("nobody would be told about {called}"), help);
        }
        let contacts = source.map(|source| Arc::clone(&source.contacts));
        let schedule = self.schedule(report, &fields, zone.unwrap_or(Tz::UTC));
        let (key, policy, schedule) = (key.filter(|_| first)?, policy?, schedule?);
        Some(Session { key, name, policy, schedule, params, owners: owners?, labels, contacts: contacts? })
    }

    /// Whether this is the first session of this name.
    fn is_first(&mut self, report: &mut Report, key: &SessionKey, place: Place) -> bool {
        let Some(first) = self.places.get(key) else {
            self.places.insert(key.clone(), place);
            return true;
        };
        let message = format!("session {key} is given twice; first defined at {}", report.shown(*first));
        report.problem(place, message);
        false
    }

    fn source(&self, report: &mut Report, node: &Node) -> Option<Name> {
        let text = fields::text(report, node, "source")?;
        if self.sources.contains_key(text) {
            return Name::parse(text).ok();
        }
        let message = format!("there is no source {}", quote(text));
        report.problem_with(node.place, message, suggestion(text, self.sources.keys().copied()));
        None
    }

    fn policy(&self, report: &mut Report, fields: &Fields<'_>) -> Option<Arc<Policy>> {
        let wanted = if fields.has("policy") { fields.text(report, "policy")? } else { BASELINE };
        if let Some(policy) = Name::parse(wanted).ok().and_then(|name| self.policies.get(&name)) {
            return Some(Arc::clone(policy));
        }
        if !self.policy_names.contains(&wanted) {
            let place = fields.entry("policy").map_or(fields.place, |entry| entry.value.place);
            let message = format!("there is no policy {}", quote(wanted));
            report.problem_with(place, message, suggestion(wanted, self.policy_names.iter().copied()));
        }
        None
    }

    fn schedule(&mut self, report: &mut Report, fields: &Fields<'_>, zone: Tz) -> Option<Schedule> {
        let expression = if fields.has("schedule") { fields.text(report, "schedule")?.trim() } else { SCHEDULE };
        let now = self.now;
        let parse = || Schedule::parse(expression, zone, now).map_err(|error| error.to_string());
        let parsed = self.schedules.entry((expression.to_owned(), zone)).or_insert_with(parse);
        if let Err(reason) = parsed {
            let place = fields.entry("schedule").map_or(fields.place, |entry| entry.value.place);
            let help = "for example \"*/5 * * * *\" (every 5 minutes) or \"0 9 * * MON-FRI\" (09:00 on weekdays)";
            report.problem_with(place, format!("the schedule {} cannot be used: {reason}", quote(expression)), help);
        }
        parsed.clone().ok()
    }
}

fn id(report: &mut Report, fields: &Fields<'_>) -> Option<SessionId> {
    let node = fields.required(report, "id", "a session")?;
    let text = fields::text(report, node, "id")?;
    let id = SessionId::parse(text);
    if let Err(error) = &id {
        report.problem(node.place, format!("\"id\" cannot be {}: {error}", quote(text)));
    }
    id.ok()
}

/// `None` where those that are given cannot be read: that is said, and no more follows from it.
fn owners(report: &mut Report, fields: &Fields<'_>, params: &Params) -> Option<Vec<Address>> {
    let notified = params.get(NOTIFICATION_EMAIL).and_then(|values| values.first()).map(|text| Address::parse(text));
    if let Some(Err(error)) = &notified {
        report.problem(param_place(fields, NOTIFICATION_EMAIL), format!("the param {NOTIFICATION_EMAIL}: {error}"));
    }
    if fields.has("owners") {
        let written = fields.list(report, "owners")?.len();
        return fields.addresses(report, "owners").filter(|owners| written == 0 || !owners.is_empty());
    }
    match notified {
        Some(Ok(address)) => Some(vec![address]),
        Some(Err(_)) => None,
        None => Some(Vec::new()),
    }
}

/// Each param with its value, or with its list of values.
fn read_params(report: &mut Report, fields: &Fields<'_>) -> Params {
    let mut params = Params::new();
    for entry in fields.map(report, "params").unwrap_or_default() {
        let values = match entry.value.items() {
            Some([]) => {
                report.problem(entry.value.place, format!("the param {} is an empty list", quote(&entry.key)));
                continue;
            }
            Some(items) => {
                items.iter().filter_map(|item| fields::text(report, item, &entry.key)).map(str::to_owned).collect()
            }
            None => fields::text(report, &entry.value, &entry.key).map(str::to_owned).into_iter().collect::<Vec<_>>(),
        };
        if !values.is_empty() {
            params.insert(entry.key.clone(), values);
        }
    }
    params
}

fn param_place(fields: &Fields<'_>, name: &str) -> Place {
    let params = fields.entry("params");
    let entry = params.and_then(|params| params.value.entries()?.iter().find(|entry| entry.key == name));
    entry.map(|entry| entry.value.place).or(params.map(|params| params.place)).unwrap_or(fields.place)
}

/// What the policy needs of the params, and whether the params are of any use to it.
fn check_params(
    report: &mut Report,
    fields: &Fields<'_>,
    called: &str,
    params: &Params,
    policy: &Policy,
    mapping: Option<&Mapping>,
) {
    for rule in policy.rules() {
        for operand in rule.expect.operands() {
            let Operand::Param { name, or_present } = operand else { continue };
            let Some(values) = params.get(name) else {
                if !or_present {
                    let message = format!("{called} needs the param {name:?}: rule {} compares with it", rule.id);
                    report.problem_with(fields.place, message, format!("add params: {{ {name}: ... }}"));
                }
                continue;
            };
            if values.len() != 1 && !matches!(rule.expect, Expectation::OneOf(_) | Expectation::NotOneOf(_)) {
                let message =
                    format!("the param {name} has {} values; rule {} compares with one", values.len(), rule.id);
                report.problem(param_place(fields, name), message);
                continue;
            }
            let is_address = matches!(rule.expect, Expectation::Includes(_));
            // A source of which nothing is known may have a kind of its own for it: any text will do.
            let kind = rule.expect.kind().or_else(|| Some(mapping?.kind(rule.setting.key()))).unwrap_or(Kind::Text);
            for text in values {
                if is_address && name != NOTIFICATION_EMAIL {
                    if let Err(error) = Address::parse(text) {
                        report.problem(param_place(fields, name), format!("the param {name}: {error}"));
                    }
                } else if kind != Kind::Addresses && !is_readable(text, kind) {
                    let setting = rule.setting.key();
                    let message = format!(
                        "the param {name}: {} cannot be read as {}, which {setting} is",
                        quote(text),
                        kind_words(kind)
                    );
                    report.problem(param_place(fields, name), message);
                }
            }
        }
    }
    warn_of_unused(report, fields, params, policy);
}

/// A param that no rule asks for is a slip more often than not.
fn warn_of_unused(report: &mut Report, fields: &Fields<'_>, params: &Params, policy: &Policy) {
    let asked = || {
        let operands = policy.rules().iter().flat_map(|rule| rule.expect.operands());
        operands.filter_map(|operand| match operand {
            Operand::Param { name, .. } => Some(name.as_str()),
            Operand::Literal(_) => None,
        })
    };
    for name in params.keys().filter(|name| *name != NOTIFICATION_EMAIL && !asked().any(|asked| asked == **name)) {
        let message = format!("no rule of policy {} asks for the param {}", policy.name, quote(name));
        let help = nearest(name, asked())
            .map_or_else(|| "it has no effect".to_owned(), |near| format!("it has no effect; did you mean {near:?}?"));
        report.warning(param_place(fields, name), message, help);
    }
}
