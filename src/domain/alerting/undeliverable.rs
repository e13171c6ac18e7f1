//! Addresses that refuse our mail: the recipients notified of them, once for each address, and of their end.
//!
//! The dispatcher records when an address begins to refuse mail and when it accepts mail again. This stage compares that with the
//! recipients notified so far:
//! - An address that refuses mail is never a recipient here. So the chain ends: where the notification about an address is
//!   refused too, that address joins those that are left out, and the next recipient in line is notified of both.
//! - The end goes to exactly the recipients who were notified of the beginning.
//! - An address that the configuration no longer names has ended, because no more mail goes to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{DueItem, Evaluation, Plans, WorkingSet, recipients};
use crate::domain::address::Address;
use crate::domain::delivery::{AddressChange, AddressEnd, NotifiedRecipient, UndeliverableAddress};
use crate::domain::notification::{About, Item, Notification, Opening, Role};
use uuid::Uuid;

/// Adds due notifications about undeliverable addresses.
pub(super) fn derive(plans: &Plans, known: &WorkingSet, due: &mut Vec<DueItem>, result: &mut Evaluation) {
    let current = known.undeliverable().iter().filter(|found| found.accepted_at.is_none());
    let refusing = current.map(|found| found.address.clone()).collect::<BTreeSet<_>>();
    for found in known.undeliverable() {
        let unused = || (!recipients::names(plans, &found.address)).then_some(AddressEnd::Unused);
        let end = found.accepted_at.map(AddressEnd::Accepted).or_else(unused);
        if end.is_some() {
            result.addresses_ended.push(found.id);
        }
        if let Some(end) = end.filter(|end| !found.notified.is_empty() || matches!(end, AddressEnd::Accepted(_))) {
            let item = |to: &NotifiedRecipient| item(plans, found, Some(end), to.to.clone(), to.role);
            due.extend(found.notified.iter().map(item));
            continue;
        }
        // Also for an address that ended before a recipient was notified: its notifications are lost all the same.
        let able = recipients::of_undeliverable(plans, found, &refusing);
        if able.is_empty() && found.notified.is_empty() {
            result.addresses_unheard.push(Arc::clone(found));
        }
        let new = able.into_iter().filter(|member| found.notified.iter().all(|notified| notified.to != member.to));
        due.extend(new.map(|member| item(plans, found, None, member.to, member.role)));
    }
}

fn item(plans: &Plans, found: &Arc<UndeliverableAddress>, end: Option<AddressEnd>, to: Address, role: Role) -> DueItem {
    let zone = recipients::zone_of(plans, &to);
    DueItem {
        to,
        item: Item { about: About::Undeliverable(AddressChange { address: Arc::clone(found), end }), zone, role },
    }
}

/// The recipients that recording `notifications` adds to undeliverable addresses.
pub(super) fn notified(notifications: &[Notification]) -> Vec<(Uuid, NotifiedRecipient)> {
    let items =
        notifications.iter().flat_map(|notification| notification.items.iter().map(move |item| (notification, item)));
    let begun = |(notification, item): (&Notification, &Item)| match &item.about {
        About::Undeliverable(AddressChange { address, end: None }) => {
            // The subject is known when the notification has been composed.
            let opening = Opening { notification: notification.id, subject: String::new() };
            Some((address.id, NotifiedRecipient { to: notification.to.clone(), role: item.role, opening }))
        }
        _ => None,
    };
    items.filter_map(begun).collect()
}
