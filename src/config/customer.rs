//! Customers: the contacts, zone and alerts of their sources.

use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::plan::{Alerts, Breaker};

use super::containers::{Item, Member};
use super::declaration::Found;
use super::fields::Fields;
use super::keys::{AlertKeys, BreakerKeys, CustomerKeys, CustomerMember};
use super::report::Report;
use super::tree::Node;

/// When and whom Driftwise notifies: by default, or for the sources of one customer.
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    pub alerts: Alerts,
    /// Notified of critical incidents, and of those without an owner.
    pub fallback: Vec<Address>,
    /// Notified of all that concerns the audit itself, and of critical incidents.
    pub operators: Vec<Address>,
    /// `fallback` has an address, or cannot be read.
    pub(super) may_have_fallback: bool,
}

impl From<AlertKeys> for AlertsConfig {
    fn from(keys: AlertKeys) -> Self {
        let every = keys.remind_every.value;
        Self {
            alerts: Alerts {
                confirm_polls: keys.confirm_polls.value,
                resolve_polls: keys.resolve_polls.value,
                remind_every: (!every.is_zero()).then_some(every),
                min_severity: keys.min_severity.value,
                unreachable_after: keys.unreachable_after.value,
                blind_after: keys.blind_after.value,
                breaker: keys.breaker.value.into(),
            },
            may_have_fallback: keys.fallback.value.as_ref().map_or(keys.fallback.given, |list| !list.is_empty()),
            fallback: addresses(keys.fallback.value),
            operators: addresses(keys.operators.value),
        }
    }
}

impl From<BreakerKeys> for Breaker {
    fn from(keys: BreakerKeys) -> Self {
        Self { share: keys.share.value, at_least: keys.at_least.value }
    }
}

/// Each address once.
pub(super) fn addresses(items: Option<Vec<Item<Address>>>) -> Vec<Address> {
    let mut found = Vec::new();
    for item in items.into_iter().flatten() {
        if !found.contains(&item.value) {
            found.push(item.value);
        }
    }
    found
}

/// A customer as it is configured.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    /// Its own, completed by those of `alerts`.
    pub alerts: AlertsConfig,
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
    zone: Found<Option<Tz>>,
}

/// Reads one customer, which inherits from `defaults.customer`, and that from `alerts`, read as `common`.
pub(super) fn read(report: &mut Report, node: &Node, defaults: Fields<'_>, common: &AlertsConfig) -> Option<Customer> {
    let sections = CustomerMember::SECTIONS;
    let own = if node.is_null() { Fields::empty(node.place, sections) } else { Fields::new(report, node, sections)? };
    let fields = own.with_defaults(defaults);
    let keys = fields.read::<CustomerKeys>(report);
    let mut alerts = AlertsConfig::from(fields.read::<AlertKeys>(report));
    if alerts.fallback.is_empty() {
        alerts.fallback.clone_from(&common.fallback);
        alerts.may_have_fallback |= common.may_have_fallback;
    }
    Some(Customer { alerts, contact: keys.contact.value, reply_to: keys.reply_to.value, zone: keys.timezone })
}

/// The zone of a session or source: its own, else its customer's, else that of `defaults.session`, then `defaults.customer`.
pub(super) fn zone(own: Option<Tz>, customer: Option<&Customer>, default: Option<Tz>) -> Tz {
    let of_customer = customer.and_then(|customer| customer.zone.value.map(|zone| (zone, customer.zone.own)));
    let written = of_customer.filter(|(_, own)| *own).map(|(zone, _)| zone);
    own.or(written).or(default).or(of_customer.map(|(zone, _)| zone)).unwrap_or(Tz::UTC)
}
