//! Builds the typed configuration from the trees of all files, and follows references between sections.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::reading::quote;
use crate::domain::session::{Contacts, Session};

use super::containers::Member;
use super::customer::{self, AlertsConfig, Customer, zone};
use super::declaration::Declared;
use super::fields::{Fields, read_entry};
use super::file::Written;
use super::inputs::Inputs;
use super::keys::{AlertKeys, CustomerMember, IncludedKeys, MAIN, MainKeys, SessionMember, SourceMember};
use super::policy::{self, BASELINE, Kinds};
use super::report::{Report, suggestion};
use super::session::{Known, Sessions};
use super::tree::{Entry, Node, Place, Value};
use super::{Config, NeededSecrets, ServerConfig, email, source};

/// What applies to a source, session or customer that says nothing itself.
struct Defaults<'a> {
    source: Fields<'a>,
    session: Fields<'a>,
    /// Inherits from `alerts`.
    customer: Fields<'a>,
}

impl<'a> Defaults<'a> {
    /// `root` was read before, so unknown keys in it are reported.
    fn of(root: &'a Node) -> Self {
        let part = |path: &[&str], sections| {
            let node = path.iter().try_fold(root, |node, key| Some(&node.entry(key)?.value));
            node.map_or(Fields::empty(root.place, sections), |node| Fields::of(node, sections))
        };
        let customer = part(&["defaults", "customer"], CustomerMember::SECTIONS);
        Self {
            source: part(&["defaults", "source"], SourceMember::SECTIONS),
            session: part(&["defaults", "session"], SessionMember::SECTIONS),
            customer: customer.with_defaults(part(&["alerts"], AlertKeys::SECTIONS)),
        }
    }
}

/// Named things of all files, each name once.
type Named<'a> = BTreeMap<&'a str, &'a Entry>;

/// Builds the configuration. It is only valid if the report holds no problem.
pub(super) fn resolve(report: &mut Report, written: &Written, needed: &NeededSecrets, now: DateTime<Utc>) -> Config {
    let root = &written.root;
    // The mail account is the one section with secrets that is read here.
    report.secrets_needed = needed.email;
    let keys = Fields::of(root, MAIN).read::<MainKeys>(report);
    report.secrets_needed = true;
    for root in written.roots() {
        Fields::of(root, IncludedKeys::SECTIONS).read::<IncludedKeys>(report);
    }
    let alerts = AlertsConfig::from(keys.alerts.value);
    let defaults = Defaults::of(root);
    let customers_written = named(report, written, "customers", "customer");
    let read_customer =
        |(name, entry): (&_, &&Entry)| (*name, customer::read(report, &entry.value, defaults.customer, &alerts));
    let customers: BTreeMap<_, _> = customers_written.iter().map(read_customer).collect();
    let written_sources = named(report, written, "sources", "source");
    let sources = self::sources(report, &written_sources, &defaults, needed);
    let policies_written = policies_written(report, written);
    check_renames(report, &written_sources, &sources);
    let policies = policy::read_all(report, &policies_written, &kinds(&sources));
    let default_zone = defaults.session.entry("timezone").and_then(|entry| read_entry::<Tz>(report, entry));
    let known = written_sources.keys().map(|name| {
        let source = sources.get(name).zip(Name::parse(name).ok());
        (*name, source.map(|(source, name)| known_source(report, name, source, &customers, &alerts, default_zone)))
    });
    let known = known.collect();
    let policy_names = policies_written.keys().copied().collect();
    let any_fallback = alerts.may_have_fallback || customers.values().flatten().any(|c| c.alerts.may_have_fallback);
    let mut reader = Sessions::new(now, defaults.session, known, &policies, policy_names, any_fallback);
    let items = written.roots().filter_map(|root| root.entry("sessions")?.value.items()).flatten();
    let sessions = items.filter_map(|item| reader.read(report, item)).collect();
    nothing_configured(report, written);
    let plans = plans(&sources, reader.sources, sessions);
    for plan in plans.values().filter(|plan| plan.sessions.is_empty()) {
        let place = written_sources.get(plan.name.as_str()).map_or(root.place, |entry| entry.place);
        let message = format!("the source {} has no audited session", plan.name);
        report.warning(place, (message, "Driftwise will not poll it"));
    }
    Config {
        sources: sources.into_values().filter_map(|source| source.config).collect(),
        plans,
        email: keys.email.value.and_then(|keys| email::understand(report, keys)),
        alerts,
        max_polls: keys.defaults.value.max_polls.value,
        watch: keys.reload.value.is_some(),
        store: keys.store.value.into(),
        server: ServerConfig::understand(report, keys.server.value),
        policies,
        files: written.files.clone(),
        inputs: Inputs::default(),
        warnings: Vec::new(),
    }
}

/// The entries of `customers`, `sources` or `policies` of all files.
fn named<'a>(report: &mut Report, written: &'a Written, key: &str, singular: &str) -> Named<'a> {
    let mut found: Named<'a> = BTreeMap::new();
    for entry in written.roots().filter_map(|root| root.entry(key)?.value.entries()).flatten() {
        if let Some(first) = found.get(entry.key.as_str()) {
            let (name, first) = (quote(&entry.key), report.shown(first.place));
            report.problem(entry.place, format!("the {singular} {name} is defined twice; first defined at {first}"));
        } else {
            found.insert(&entry.key, entry);
        }
    }
    found
}

type Sources<'a> = BTreeMap<&'a str, source::Read>;

fn sources<'a>(
    report: &mut Report,
    written: &Named<'a>,
    defaults: &Defaults<'_>,
    needed: &NeededSecrets,
) -> Sources<'a> {
    let mut sources = BTreeMap::new();
    for (name, entry) in written {
        let Ok(valid) = Name::parse(name) else { continue };
        report.secrets_needed = needed.source(&valid);
        if let Some(source) = source::read(report, &valid, entry, defaults.source) {
            sources.insert(*name, source);
        }
    }
    report.secrets_needed = true;
    sources
}

/// Reports a history that two sources would continue.
fn check_renames(report: &mut Report, written: &Named<'_>, sources: &Sources<'_>) {
    let mut taken = BTreeMap::new();
    for (name, source) in sources {
        let Some((former, place)) = &source.renamed_from else { continue };
        if written.contains_key(former.as_str()) {
            let message = format!("\"renamed_from\" names {former}, which is a configured source");
            let help = format!("remove the source {former}, or remove renamed_from where {name} is another source");
            report.problem(*place, (message, help));
        } else if let Some(first) = taken.insert(former.clone(), *name) {
            let message = format!("\"renamed_from\" names {former}, as that of {first} does");
            report.problem(*place, (message, "only one source can continue the history of another"));
        }
    }
}

/// The policies of all files and the built-in one, whose name is reserved.
fn policies_written<'a>(report: &mut Report, written: &'a Written) -> policy::Written<'a> {
    let mut policies = named(report, written, "policies", "policy");
    if let Some(entry) = policies.remove(BASELINE) {
        let message = format!("{BASELINE} is the name of the built-in baseline");
        let help = format!("give this policy another name and let it extend that one: extends: {BASELINE}");
        report.problem(entry.place, (message, help));
    }
    let built_in = written.built_in.as_ref().and_then(|root| root.entry("policies")?.value.entries());
    policies.extend(built_in.into_iter().flatten().map(|entry| (entry.key.as_str(), entry)));
    policies
}

fn kinds(sources: &Sources<'_>) -> Kinds {
    let mut kinds: Kinds = HashMap::new();
    for (setting, kind) in sources.values().flat_map(|source| &source.mapping.kinds) {
        kinds.entry(setting.clone()).or_default().push(*kind);
    }
    kinds
}

/// Joins a source with its customer.
fn known_source(
    report: &mut Report,
    name: Name,
    source: &source::Read,
    customers: &BTreeMap<&str, Option<Customer>>,
    alerts: &AlertsConfig,
    default_zone: Option<Tz>,
) -> Known {
    let customer = customer_of(report, source, customers);
    let alerts = customer.as_ref().map_or(alerts, |customer| &customer.alerts);
    let contacts = Contacts {
        customer: source.customer.as_ref().and_then(|(name, _)| Name::parse(name).ok()),
        fallback: alerts.fallback.clone(),
        operators: alerts.operators.clone(),
        contact: customer.as_ref().and_then(|customer| customer.contact.clone()),
        reply_to: customer.as_ref().and_then(|customer| customer.reply_to.clone()),
        zone: zone(None, customer.as_ref(), default_zone),
    };
    let plan = SourcePlan {
        name,
        origin: source.config.as_ref().map(source::SourceConfig::origin).unwrap_or_default(),
        mapping: source.mapping.clone(),
        sessions: BTreeMap::new(),
        contacts: Arc::new(contacts),
        alerts: alerts.alerts.clone(),
    };
    Known { may_have_fallback: alerts.may_have_fallback, plan, customer }
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
    report.refuse(*place, (message, suggestion(name, customers.keys().copied())))
}

/// Reports a configuration with nothing to audit.
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
    report.problem(Place::file(written.main), (message, help));
}

/// The plans of all valid sources.
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
