//! Customers: who stands behind their sources, and in which zone they live.

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::domain::address::Address;
use crate::domain::reading::quote;

use super::fields::{Fields, Keys};
use super::report::{Report, nearest};
use super::tree::Node;

/// What the configuration says of a customer.
#[derive(Debug, Clone, Default)]
pub(super) struct Customer {
    /// `None` where the customer has none of its own.
    pub fallback: Option<Vec<Address>>,
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
    /// Only where the customer itself gives one.
    pub own_zone: Option<Tz>,
    /// From `defaults.customer`.
    pub default_zone: Option<Tz>,
}

pub(super) const KEYS: Keys =
    Keys { of: "a customer", known: &["fallback", "contact", "reply_to", "timezone"], later: &[] };

pub(super) fn read(report: &mut Report, node: &Node, defaults: Fields<'_>) -> Option<Customer> {
    let own = if node.is_null() { Fields::empty(node.place) } else { Fields::new(report, node, KEYS)? };
    let fields = own.with_defaults(defaults);
    let fallback = fields.addresses(report, "fallback");
    Some(Customer {
        fallback: fallback.filter(|addresses| !addresses.is_empty()),
        contact: fields.text(report, "contact").map(str::to_owned),
        reply_to: fields.address(report, "reply_to"),
        own_zone: zone(report, &own),
        default_zone: zone(report, &defaults),
    })
}

/// The key `timezone`, an IANA name.
pub(super) fn zone(report: &mut Report, fields: &Fields<'_>) -> Option<Tz> {
    let text = fields.text(report, "timezone")?.trim();
    let node = fields.node(report, "timezone")?;
    if let Ok(zone) = text.parse::<Tz>() {
        return Some(zone);
    }
    let message = format!("there is no time zone {}", quote(text));
    // The nearest of 600 names is not looked for again for each of 10,000 sessions.
    if report.has_said(node.place, &message) {
        return None;
    }
    let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let cities = || known().filter(|name| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text)));
    let help = match cities().next().or_else(|| nearest(text, known())) {
        Some(near) => format!("did you mean {near:?}? Zones have IANA names, such as Europe/London or UTC"),
        None => "zones have IANA names, such as Europe/London or UTC".to_owned(),
    };
    report.problem_with(node.place, message, help);
    None
}
