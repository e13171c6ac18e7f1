//! Customers: who stands behind their sources, in which zone they live, and when they are notified.

use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::plan::{Alerts, Breaker};

use super::containers::{Item, Member};
use super::declaration::Found;
use super::fields::Fields;
use super::keys::{AlertKeys, BreakerKeys, CustomerKeys, CustomerMember};
use super::report::Report;
use super::tree::Node;

/// When people are notified, and who stands behind the sources: of the program, or of one customer.
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    pub alerts: Alerts,
    /// Notified of what is critical, and of what has no owner.
    pub fallback: Vec<Address>,
    /// Notified of what concerns the audit itself, and of what is critical.
    pub operators: Vec<Address>,
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
                breaker: keys.breaker.value.map(Breaker::from).unwrap_or_default(),
            },
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

/// What the configuration says of a customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    /// With what `alerts` says where the customer says nothing.
    pub alerts: AlertsConfig,
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
    pub zone: Found<Option<Tz>>,
}

/// Reads one customer. What it lacks is looked for in `defaults.customer`, and that in `alerts`, which is `everybody`.
pub(super) fn read(
    report: &mut Report,
    node: &Node,
    defaults: Fields<'_>,
    everybody: &AlertsConfig,
) -> Option<Customer> {
    let sections = CustomerMember::SECTIONS;
    let own = if node.is_null() { Fields::empty(node.place, sections) } else { Fields::new(report, node, sections)? };
    let fields = own.with_defaults(defaults);
    let keys = fields.read::<CustomerKeys>(report);
    let mut alerts = AlertsConfig::from(fields.read::<AlertKeys>(report));
    if alerts.fallback.is_empty() {
        alerts.fallback.clone_from(&everybody.fallback);
    }
    Some(Customer { alerts, contact: keys.contact.value, reply_to: keys.reply_to.value, zone: keys.timezone })
}
