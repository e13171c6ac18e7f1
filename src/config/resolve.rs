//! From the trees to the typed configuration: every reference is followed, every problem is collected, nothing is guessed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::plan::{Alerts, SourcePlan};
use crate::domain::reading::quote;
use crate::domain::session::{Contacts, Session};

use super::customer::{self, Customer, zone};
use super::environment::Environment;
use super::fields::{Fields, Keys};
use super::file::Written;
use super::policy::{self, BASELINE, Kinds};
use super::report::{Report, suggestion};
use super::session::{self, Fallbacks, Known, Sessions};
use super::source;
use super::tree::{Entry, Node, Place, Value};
use super::{Config, alerts, email, service};

pub(super) const DEFAULTS: Keys =
    Keys { of: "\"defaults\"", known: &["source", "session", "customer", "max_polls"], later: &[] };

/// Enough for hundreds of sources that answer within seconds, and far below the 1,024 descriptors that a process may have.
const MAX_POLLS: usize = 64;

/// More polls at the same time than a process commonly may have descriptors.
const MOST_POLLS: u64 = 10_000;

/// What applies where a source, session or customer says nothing itself.
struct Defaults<'a> {
    source: Fields<'a>,
    session: Fields<'a>,
    customer: Fields<'a>,
    max_polls: usize,
}

/// Named things from all files, each name once, with the problem of a second one already told.
type Named<'a> = BTreeMap<&'a str, &'a Entry>;

/// Understands what was written. Worth using only where the report is free of problems.
pub(super) fn resolve(
    report: &mut Report,
    written: &Written,
    environment: &dyn Environment,
    now: DateTime<Utc>,
) -> Config {
    let root = &written.root;
    let defaults = defaults(report, root);
    let (alerts, fallback) = {
        let node = root_node(report, root, "alerts");
        alerts::read(report, node)
    };
    let customers_written = named(report, written, "customers");
    let customers = self::customers(report, &customers_written, defaults.customer);
    let written_sources = named(report, written, "sources");
    let sources = self::sources(report, &written_sources, &defaults, environment);
    let policies_written = policies_written(report, written);
    let policies = policy::read_all(report, &policies_written, &kinds(&sources));
    let default_zone = zone(report, &defaults.session);
    let known = known_sources(report, &written_sources, &sources, &customers, &fallback, default_zone);
    let policy_names = policies_written.keys().copied().collect();
    let fallbacks = Fallbacks::of(root, customers_written.values().map(|entry| &entry.value));
    let mut reader = Sessions::new(now, defaults.session, known, &policies, policy_names, fallbacks);
    let sessions = self::sessions(report, written, &mut reader);
    let email = root_node(report, root, "email").and_then(|node| email::read(report, node, environment));
    let store = root_node(report, root, "store");
    let store = service::store(report, store, written.main);
    let server = root_node(report, root, "server");
    let server = service::server(report, server);
    nothing_configured(report, written, &written_sources);
    let plans = self::plans(&sources, reader.sources, sessions, &alerts);
    Config {
        sources: sources.into_values().filter_map(|source| source.config).collect(),
        plans,
        max_polls: defaults.max_polls,
        email,
        alerts,
        store,
        server,
        reload_on_change: false,
        policies,
        files: written.files.clone(),
        warnings: Vec::new(),
    }
}

/// The value of a key of the main file, unless nothing stands there.
fn root_node<'a>(report: &mut Report, root: &'a Node, key: &str) -> Option<&'a Node> {
    let entry = root.entries()?.iter().find(|entry| entry.key == key)?;
    if entry.value.is_null() {
        report.problem_with(entry.place, format!("{key:?} has no value"), "give one, or remove the key");
        return None;
    }
    Some(&entry.value)
}

fn defaults<'a>(report: &mut Report, root: &'a Node) -> Defaults<'a> {
    let empty = Fields::empty(root.place);
    let mut defaults = Defaults { source: empty, session: empty, customer: empty, max_polls: MAX_POLLS };
    let Some(fields) = root_node(report, root, "defaults").and_then(|node| Fields::new(report, node, DEFAULTS)) else {
        return defaults;
    };
    let mut part = |key: &str, keys: Keys| {
        let node = fields.node(report, key)?;
        Fields::new(report, node, keys)
    };
    defaults.source = part("source", source::KEYS).unwrap_or(empty);
    defaults.session = part("session", session::KEYS).unwrap_or(empty);
    defaults.customer = part("customer", customer::KEYS).unwrap_or(empty);
    let max_polls = fields.whole(report, "max_polls", 1..=MOST_POLLS);
    defaults.max_polls = max_polls.and_then(|polls| usize::try_from(polls).ok()).unwrap_or(MAX_POLLS);
    defaults
}

/// The entries of `customers`, `sources` or `policies` from all files.
fn named<'a>(report: &mut Report, written: &'a Written, key: &str) -> Named<'a> {
    let mut found: Named<'a> = BTreeMap::new();
    for root in std::iter::once(&written.root).chain(&written.included) {
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

fn customers<'a>(
    report: &mut Report,
    written: &Named<'a>,
    defaults: Fields<'a>,
) -> BTreeMap<&'a str, Option<Customer>> {
    written.iter().map(|(name, entry)| (*name, customer::read(report, &entry.value, defaults))).collect()
}

type Sources<'a> = BTreeMap<&'a str, source::Read>;

fn sources<'a>(
    report: &mut Report,
    written: &Named<'a>,
    defaults: &Defaults<'_>,
    environment: &dyn Environment,
) -> Sources<'a> {
    let mut sources = BTreeMap::new();
    for (name, entry) in written {
        let Ok(valid) = Name::parse(name) else { continue };
        if let Some(source) = source::read(report, &valid, entry, defaults.source, environment) {
            sources.insert(*name, source);
        }
    }
    sources
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
    fallback: &[Address],
    default_zone: Option<Tz>,
) -> BTreeMap<&'a str, Option<Known>> {
    let mut known = BTreeMap::new();
    for name in written.keys() {
        let Some(source) = sources.get(name) else {
            known.insert(*name, None);
            continue;
        };
        let customer = customer_of(report, source, customers);
        let zone = customer.as_ref().and_then(|customer| customer.own_zone).or(default_zone);
        let zone = zone.or(customer.as_ref().and_then(|customer| customer.default_zone)).unwrap_or(Tz::UTC);
        let contacts = Contacts {
            customer: source.customer.as_ref().map(|(name, _)| name.clone()),
            fallback: customer.as_ref().and_then(|c| c.fallback.clone()).unwrap_or_else(|| fallback.to_vec()),
            operators: Vec::new(),
            contact: customer.as_ref().and_then(|customer| customer.contact.clone()),
            reply_to: customer.as_ref().and_then(|customer| customer.reply_to.clone()),
            zone,
        };
        let mapping = source.mapping.clone();
        known.insert(*name, Some(Known { mapping, contacts: Arc::new(contacts), customer }));
    }
    known
}

fn customer_of(
    report: &mut Report,
    source: &source::Read,
    customers: &BTreeMap<&str, Option<Customer>>,
) -> Option<Customer> {
    let (name, place) = source.customer.as_ref()?;
    if let Some(customer) = customers.get(name.as_str()) {
        return customer.clone();
    }
    let message = format!("there is no customer {}", quote(name.as_str()));
    report.problem_with(*place, message, suggestion(name.as_str(), customers.keys().copied()));
    None
}

fn sessions(report: &mut Report, written: &Written, reader: &mut Sessions<'_>) -> Vec<Session> {
    let mut sessions = Vec::new();
    for root in std::iter::once(&written.root).chain(&written.included) {
        let Some(node) = root_node(report, root, "sessions") else { continue };
        let items = super::fields::list(report, node, "sessions").unwrap_or_default();
        sessions.extend(items.iter().filter_map(|item| reader.read(report, item)));
    }
    sessions
}

/// Says in one plain sentence that there is nothing to do, where that is the case.
fn nothing_configured(report: &mut Report, written: &Written, sources: &Named<'_>) {
    let roots = || std::iter::once(&written.root).chain(&written.included);
    let has = |key: &str| {
        roots().filter_map(Node::entries).flatten().any(|entry| entry.key == key && !is_empty(&entry.value))
    };
    let place = Place { file: written.main, line: 0, column: 0 };
    if sources.is_empty() && !has("sources") && !has("sessions") {
        let help = "it needs a source to read from and a session to audit: config/driftwise.example.yaml shows how";
        report.problem_with(place, "nothing is configured: there are no sources and no sessions", help);
    } else if !has("sessions") {
        let help = "list them under \"sessions\", each with its source and id; \"driftwise sessions --source NAME\" shows which there are";
        report.problem_with(place, "nothing is audited: there are no sessions", help);
    } else if sources.is_empty() && !has("sources") {
        let help = "name under \"sources\" where the sessions are read from";
        report.problem_with(place, "nothing can be audited: there are no sources", help);
    } else {
        warn_of_idle_sources(report, written, sources);
    }
}

fn warn_of_idle_sources(report: &mut Report, written: &Written, sources: &Named<'_>) {
    let roots = std::iter::once(&written.root).chain(&written.included);
    let mut used = BTreeSet::new();
    for entry in roots.filter_map(Node::entries).flatten().filter(|entry| entry.key == "sessions") {
        let Value::List(items) = &entry.value.value else { continue };
        let source =
            |item: &'_ Node| item.entries()?.iter().find(|e| e.key == "source")?.value.scalar().map(str::to_owned);
        used.extend(items.iter().filter_map(source));
    }
    let default = root_default_source(&written.root);
    for (name, entry) in sources.iter().filter(|(name, _)| !used.contains(**name) && default != Some(**name)) {
        report.warning(entry.place, format!("no session of the source {name} is audited"), "it will not be read");
    }
}

/// `defaults.session.source`, with which every session is of one source.
fn root_default_source(root: &Node) -> Option<&str> {
    let defaults = &root.entries()?.iter().find(|entry| entry.key == "defaults")?.value;
    let session = &defaults.entries()?.iter().find(|entry| entry.key == "session")?.value;
    session.entries()?.iter().find(|entry| entry.key == "source")?.value.scalar()
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(..) => false,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}

fn plans<'a>(
    sources: &Sources<'a>,
    mut known: BTreeMap<&'a str, Option<Known>>,
    sessions: Vec<Session>,
    alerts: &Alerts,
) -> BTreeMap<Name, SourcePlan> {
    let mut plans = BTreeMap::new();
    for (name, source) in sources {
        let Some(source) = &source.config else { continue };
        let Some(Some(Known { mapping, contacts, .. })) = known.remove(name) else { continue };
        let name = source.name.clone();
        let plan =
            SourcePlan { name: name.clone(), mapping, sessions: BTreeMap::new(), contacts, alerts: alerts.clone() };
        plans.insert(name, plan);
    }
    for session in sessions {
        if let Some(plan) = plans.get_mut(&session.key.source) {
            plan.sessions.insert(session.key.id.clone(), session);
        }
    }
    plans
}
