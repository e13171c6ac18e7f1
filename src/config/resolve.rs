//! From the trees to the typed configuration: every reference is followed, every problem is collected, nothing is guessed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::reading::quote;
use crate::domain::session::{Contacts, Session};

use super::containers::{Member, items};
use super::customer::{self, AlertsConfig, Customer};
use super::declaration::{Declared, Section};
use super::fields::{Fields, absent, read_entry};
use super::file::Written;
use super::keys::{AlertKeys, CustomerMember, DefaultsKeys, MAIN, MainKeys, SessionMember, SourceMember};
use super::policy::{self, BASELINE, Kinds};
use super::report::{Report, suggestion};
use super::session::{Fallbacks, Known, Sessions};
use super::tree::{Entry, Node, Place, Value};
use super::words::Parsed;
use super::{Config, ServerConfig, email, source};

type Sections = &'static [&'static Section];

/// What applies where a source, session or customer says nothing itself.
struct Defaults<'a> {
    source: Fields<'a>,
    session: Fields<'a>,
    /// Which inherits from `alerts`.
    customer: Fields<'a>,
    max_polls: usize,
}

/// Named things from all files, each name once, with the problem of a second one already told.
type Named<'a> = BTreeMap<&'a str, &'a Entry>;

/// Understands what was written. Worth using only where the report is free of problems.
pub(super) fn resolve(report: &mut Report, written: &Written, now: DateTime<Utc>) -> Config {
    let root = &written.root;
    let alerts_written = root_part(report, root, "alerts", AlertKeys::SECTIONS);
    let alerts = AlertsConfig::from(alerts_written.read::<AlertKeys>(report));
    let defaults = defaults(report, root, alerts_written);
    let customers_written = named(report, written, "customers");
    let customers = customers_written
        .iter()
        .map(|(name, entry)| (*name, customer::read(report, &entry.value, defaults.customer, &alerts)))
        .collect();
    let written_sources = named(report, written, "sources");
    let sources = self::sources(report, &written_sources, &defaults);
    let policies_written = policies_written(report, written);
    check_renames(report, &written_sources, &sources);
    let policies = policy::read_all(report, &policies_written, &kinds(&sources));
    let known = known_sources(report, &written_sources, &sources, &customers, &alerts, &defaults);
    let policy_names = policies_written.keys().copied().collect();
    let fallbacks = Fallbacks::of(root, customers_written.values().map(|entry| &entry.value));
    let mut reader = Sessions::new(now, defaults.session, known, &policies, policy_names, fallbacks);
    let sessions = self::sessions(report, written, &mut reader);
    let keys = Fields::of(root, MAIN).read::<MainKeys>(report);
    let (store, server) = (keys.store.value, keys.server.value);
    let store = store.unwrap_or_else(|| absent(report, root.place));
    let server = server.unwrap_or_else(|| absent(report, root.place));
    let server = ServerConfig::understand(report, server);
    nothing_configured(report, written);
    let plans = plans(&sources, reader.sources, sessions);
    for plan in plans.values().filter(|plan| plan.sessions.is_empty()) {
        let place = written_sources.get(plan.name.as_str()).map_or(root.place, |entry| entry.place);
        report.warning(place, format!("no session of the source {} is audited", plan.name), "it will not be read");
    }
    Config {
        sources: sources.into_values().filter_map(|source| source.config).collect(),
        plans,
        email: keys.email.value.and_then(|keys| email::understand(report, keys)),
        alerts,
        max_polls: defaults.max_polls,
        watch: keys.reload.value.is_some(),
        store: store.into(),
        server,
        policies,
        files: written.files.clone(),
        folders: written.folders.clone(),
        warnings: Vec::new(),
    }
}

/// A section of the main file; an empty one where it is missing or no section.
fn root_part<'a>(report: &mut Report, root: &'a Node, key: &str, sections: Sections) -> Fields<'a> {
    let part = root_node(report, root, key).and_then(|node| Fields::new(report, node, sections));
    part.unwrap_or(Fields::empty(root.place, sections))
}

/// The value of a key of the main file, unless nothing stands there.
fn root_node<'a>(report: &mut Report, root: &'a Node, key: &str) -> Option<&'a Node> {
    let entry = root.entry(key)?;
    if entry.value.is_null() {
        return report.refuse_with(entry.place, format!("{key:?} has no value"), "give one, or remove the key");
    }
    Some(&entry.value)
}

fn defaults<'a>(report: &mut Report, root: &'a Node, alerts: Fields<'a>) -> Defaults<'a> {
    let fields = root_part(report, root, "defaults", DefaultsKeys::SECTIONS);
    let mut part = |key: &str, sections: Sections| {
        let node = fields.entry(key).map(|entry| &entry.value).filter(|node| !node.is_null());
        let part = node.and_then(|node| Fields::new(report, node, sections));
        part.unwrap_or(Fields::empty(root.place, sections))
    };
    let source = part("source", SourceMember::SECTIONS);
    let session = part("session", SessionMember::SECTIONS);
    let customer = part("customer", CustomerMember::SECTIONS).with_defaults(alerts);
    Defaults { source, session, customer, max_polls: fields.read::<DefaultsKeys>(report).max_polls.value }
}

/// The entries of `customers`, `sources` or `policies` from all files.
fn named<'a>(report: &mut Report, written: &'a Written, key: &str) -> Named<'a> {
    let mut found: Named<'a> = BTreeMap::new();
    for root in written.roots() {
        let Some(node) = root_node(report, root, key) else { continue };
        let Some(entries) = node.entries() else {
            let message = format!("{key:?} must be a mapping of names to what they name, not {}", node.sort());
            report.problem_with(node.place, message, format!("for example {key}: {{ NAME: {{ ... }} }}"));
            continue;
        };
        for entry in entries {
            let singular =
                key.strip_suffix("ies").map_or_else(|| key.trim_end_matches('s').to_owned(), |s| format!("{s}y"));
            if let Err(error) = Name::parse(&entry.key) {
                report.problem_with(
                    entry.place,
                    format!("{} cannot name a {singular}", quote(&entry.key)),
                    error.to_string(),
                );
            }
            if let Some(first) = found.get(entry.key.as_str()) {
                let first = report.shown(first.place);
                let message =
                    format!("the {singular} {} is defined twice; first defined at {first}", quote(&entry.key));
                report.problem(entry.place, message);
                continue;
            }
            found.insert(&entry.key, entry);
        }
    }
    found
}

type Sources<'a> = BTreeMap<&'a str, source::Read>;

fn sources<'a>(report: &mut Report, written: &Named<'a>, defaults: &Defaults<'_>) -> Sources<'a> {
    let mut sources = BTreeMap::new();
    for (name, entry) in written {
        let Ok(valid) = Name::parse(name) else { continue };
        if let Some(source) = source::read(report, &valid, entry, defaults.source) {
            sources.insert(*name, source);
        }
    }
    sources
}

/// One history cannot be that of two sources.
fn check_renames(report: &mut Report, written: &Named<'_>, sources: &Sources<'_>) {
    let mut taken = BTreeMap::new();
    for (name, source) in sources {
        let Some((former, place)) = &source.renamed_from else { continue };
        if written.contains_key(former.as_str()) {
            let message = format!("\"renamed_from\" names {former}, which is configured as a source");
            let help = format!("remove the source {former}, or remove renamed_from where {name} is another source");
            report.problem_with(*place, message, help);
        } else if let Some(first) = taken.insert(former.clone(), *name) {
            let message = format!("\"renamed_from\" names {former}, which {first} was renamed from, too");
            report.problem_with(*place, message, "the history of a source can go on under one name only");
        }
    }
}

/// The policies of all files and the built-in one, whose name nobody else may take.
fn policies_written<'a>(report: &mut Report, written: &'a Written) -> policy::Written<'a> {
    let mut policies = named(report, written, "policies");
    if let Some(entry) = policies.remove(BASELINE) {
        let message = format!("{BASELINE} is the name of the built-in baseline");
        let help = format!("give this policy another name and let it extend that one: extends: {BASELINE}");
        report.problem_with(entry.place, message, help);
    }
    let built_in = written.built_in.as_ref().and_then(|root| root_node(report, root, "policies"));
    policies
        .extend(built_in.and_then(Node::entries).unwrap_or_default().iter().map(|entry| (entry.key.as_str(), entry)));
    policies
}

fn kinds(sources: &Sources<'_>) -> Kinds {
    let mut kinds: Kinds = HashMap::new();
    for (setting, kind) in sources.values().flat_map(|source| &source.mapping.kinds) {
        kinds.entry(setting.clone()).or_default().push(*kind);
    }
    kinds
}

/// Joins sources and customers. A source of which nothing can be said stays known by name, so that its sessions are not blamed.
fn known_sources<'a>(
    report: &mut Report,
    written: &Named<'a>,
    sources: &Sources<'a>,
    customers: &BTreeMap<&'a str, Option<Customer>>,
    alerts: &AlertsConfig,
    defaults: &Defaults<'_>,
) -> BTreeMap<&'a str, Option<Known>> {
    let default_zone = defaults.session.entry("timezone").and_then(|entry| read_entry::<Parsed<Tz>>(report, entry));
    let mut known = BTreeMap::new();
    for name in written.keys() {
        let Some((source, valid)) = sources.get(name).zip(Name::parse(name).ok()) else {
            known.insert(*name, None);
            continue;
        };
        let customer = customer_of(report, source, customers);
        let of_customer = customer.as_ref().map(|customer| &customer.zone);
        let zone = of_customer.and_then(|zone| zone.value.filter(|_| zone.own)).or(default_zone);
        let alerts = customer.as_ref().map_or(alerts, |customer| &customer.alerts);
        let contacts = Contacts {
            customer: source.customer.as_ref().and_then(|(name, _)| Name::parse(name).ok()),
            fallback: alerts.fallback.clone(),
            operators: alerts.operators.clone(),
            contact: customer.as_ref().and_then(|customer| customer.contact.clone()),
            reply_to: customer.as_ref().and_then(|customer| customer.reply_to.clone()),
            zone: zone.or(of_customer.and_then(|zone| zone.value)).unwrap_or(Tz::UTC),
        };
        let plan = SourcePlan {
            name: valid,
            origin: source.config.as_ref().map(source::SourceConfig::origin).unwrap_or_default(),
            mapping: source.mapping.clone(),
            sessions: BTreeMap::new(),
            contacts: Arc::new(contacts),
            alerts: alerts.alerts.clone(),
        };
        known.insert(*name, Some(Known { plan, customer }));
    }
    known
}

fn customer_of(
    report: &mut Report,
    source: &source::Read,
    customers: &BTreeMap<&str, Option<Customer>>,
) -> Option<Customer> {
    let (name, place) = source.customer.as_ref()?;
    if let Some(customer) = customers.get(name.as_str()).filter(|_| Name::parse(name).is_ok()) {
        return customer.clone();
    }
    let message = format!("there is no customer {}", quote(name));
    report.refuse_with(*place, message, suggestion(name, customers.keys().copied()))
}

fn sessions(report: &mut Report, written: &Written, reader: &mut Sessions<'_>) -> Vec<Session> {
    let mut sessions = Vec::new();
    for root in written.roots() {
        let Some(node) = root_node(report, root, "sessions") else { continue };
        let Some(items) = items(report, node, "sessions") else { continue };
        sessions.extend(items.iter().filter_map(|item| reader.read(report, item)));
    }
    sessions
}

/// Says in one plain sentence that there is nothing to do, where that is the case.
fn nothing_configured(report: &mut Report, written: &Written) {
    let holds_something = |node: &Node| matches!(node.value, Value::Scalar(..)) || node.size() > 1;
    let has = |key: &str| written.roots().filter_map(|root| root.entry(key)).any(|entry| holds_something(&entry.value));
    let (message, help) = match (has("sources"), has("sessions")) {
        (true, true) => return,
        (false, false) => (
            "nothing is configured: there are no sources and no sessions",
            "it needs a source to read from and a session to audit: config/driftwise.example.yaml shows how",
        ),
        (true, false) => (
            "nothing is audited: there are no sessions",
            "list them under \"sessions\", each with its source and id; \"driftwise sessions --source NAME\" shows which there are",
        ),
        (false, true) => {
            ("nothing can be audited: there are no sources", "name under \"sources\" where the sessions are read from")
        }
    };
    report.problem_with(Place { file: written.main, line: 0, column: 0 }, message, help);
}

/// What is audited of the sources that can be used.
fn plans(
    sources: &Sources<'_>,
    known: BTreeMap<&str, Option<Known>>,
    sessions: Vec<Session>,
) -> BTreeMap<Name, SourcePlan> {
    let usable = |name: &str| sources.get(name).is_some_and(|source| source.config.is_some());
    let known = known.into_iter().filter(|(name, _)| usable(name)).filter_map(|(_, known)| known);
    let mut plans: BTreeMap<_, _> = known.map(|Known { plan, .. }| (plan.name.clone(), plan)).collect();
    for session in sessions {
        if let Some(plan) = plans.get_mut(&session.key.source) {
            plan.sessions.insert(session.key.id.clone(), session);
        }
    }
    plans
}
