//! Notices to messages: who is told what, in which thread, under which subject.
//!
//! All that one audit found for one recipient is one message. Decisions not to tell are counted with their reason.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::address::Address;
use super::incident::{IncidentKind, Told};
use super::name::Name;
use super::notification::{Item, Notification, NotificationKind};
use super::plan::SourcePlan;
use super::policy::Severity;
use super::reconcile::{About, News, Notice};
use super::session::{Contacts, Session};

mod subject;

/// What routing came to.
#[derive(Debug, Default)]
pub struct Routed {
    /// In the order of their recipients.
    pub messages: Vec<Notification>,
    /// Who was told of which incident by which message.
    pub told: Vec<(Uuid, Told)>,
    /// Notices that nobody gets because they matter less than `min_severity`.
    pub below_severity: u64,
}

/// What routing needs to know besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Postmark<'a> {
    pub source: &'a Name,
    /// The number of the poll: with source and recipient it makes the Message-ID.
    pub poll: u64,
    pub now: DateTime<Utc>,
    /// The right side of Message-IDs: the domain of the sender.
    pub domain: &'a str,
    /// Where the pages are, if they are public.
    pub public_url: Option<&'a str>,
}

/// Divides notices among recipients. `plan` is absent for a source that is not configured any more: then those are told who were told before.
pub fn route(plan: Option<&SourcePlan>, notices: &[Notice], mark: Postmark<'_>) -> Routed {
    let mut routed = Routed::default();
    let mut outbound: BTreeMap<Address, Vec<Item>> = BTreeMap::new();
    for notice in notices {
        if suppressed(plan, notice) {
            routed.below_severity += 1;
            continue;
        }
        let item = item(plan, notice, mark);
        for to in recipients(plan, notice) {
            outbound.entry(to).or_default().push(item.clone());
        }
    }
    for (to, items) in outbound {
        let message = message(plan, to, items, mark);
        routed.told.extend(told(&message));
        routed.messages.push(message);
    }
    routed
}

fn suppressed(plan: Option<&SourcePlan>, notice: &Notice) -> bool {
    let About::Incident(incident) = &notice.subject else { return false };
    let followed_up = matches!(notice.what, News::Ended(_)) && !incident.told.is_empty();
    !followed_up && plan.is_some_and(|plan| incident.severity < plan.alerts.min_severity)
}

fn kind(notice: &Notice) -> NotificationKind {
    let About::Incident(incident) = &notice.subject else { return NotificationKind::Found };
    match (&notice.what, incident.kind()) {
        (News::Opened | News::Found, IncidentKind::Drift) => NotificationKind::Drift,
        (News::Opened | News::Found, IncidentKind::Missing) => NotificationKind::Missing,
        (News::Opened | News::Found, IncidentKind::Unverifiable) => NotificationKind::Unverifiable,
        (News::Opened | News::Found, IncidentKind::Unreachable) => NotificationKind::Unreachable,
        (News::Updated { .. }, _) => NotificationKind::Update,
        (News::Ended(_), IncidentKind::Drift) => NotificationKind::Resolved,
        (News::Ended(_), _) => NotificationKind::Recovered,
        (News::StillOpen, _) => NotificationKind::Reminder,
    }
}

fn item(plan: Option<&SourcePlan>, notice: &Notice, mark: Postmark<'_>) -> Item {
    let session = match &notice.subject {
        About::Incident(incident) => incident.key.session(),
        About::Unaudited { .. } => None,
    };
    let severity = match &notice.subject {
        About::Incident(incident) => incident.severity,
        About::Unaudited { .. } => Severity::Info,
    };
    let known = plan.and_then(|plan| session.and_then(|id| plan.sessions.get(id)));
    let zone = known.map(Session::zone).or(plan.map(|plan| plan.contacts.zone)).unwrap_or(chrono_tz::UTC);
    let link = mark.public_url.and_then(|url| {
        let base = url.trim_end_matches('/');
        known.map(|session| format!("{base}/sessions/{}/{}", session.key.source, encoded(session.key.id.as_str())))
    });
    Item { kind: kind(notice), severity, news: notice.what.clone(), about: notice.subject.clone(), zone, link }
}

/// A text as one piece of an address: everything but the plainest characters is percent-encoded, so that nothing of it is taken
/// for a step up or down.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut piece, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            piece.push(char::from(byte));
        } else {
            let _ = write!(piece, "%{byte:02X}");
        }
        piece
    })
}

fn recipients(plan: Option<&SourcePlan>, notice: &Notice) -> Vec<Address> {
    let mut to: Vec<Address> = Vec::new();
    match (&notice.subject, plan) {
        (About::Unaudited { .. }, Some(plan)) => to.extend(source_recipients(plan)),
        (About::Unaudited { .. }, None) => {}
        (About::Incident(incident), plan) => {
            let session = plan.and_then(|plan| incident.key.session().and_then(|id| plan.sessions.get(id)));
            match (session, plan) {
                (Some(session), _) => {
                    to.extend(session.owners.iter().cloned());
                    to.extend(incident.facts.expected_address.clone());
                    let urgent = matches!(incident.kind(), IncidentKind::Drift | IncidentKind::Missing)
                        && incident.severity == Severity::Critical;
                    if urgent || to.is_empty() {
                        to.extend(session.contacts.fallback.iter().cloned());
                    }
                }
                (None, Some(plan)) if incident.kind() == IncidentKind::Unreachable => {
                    to.extend(source_recipients(plan));
                }
                _ => to.extend(incident.told.iter().map(|told| told.to.clone())),
            }
        }
    }
    // Whoever was told that it began is told that it is over, whoever would be told today.
    if let (About::Incident(incident), News::Ended(_)) = (&notice.subject, &notice.what) {
        to.extend(incident.told.iter().map(|told| told.to.clone()));
    }
    to.sort();
    to.dedup();
    to
}

/// The fallback, or the owners of the source's sessions where there is none.
fn source_recipients(plan: &SourcePlan) -> Vec<Address> {
    if plan.contacts.fallback.is_empty() {
        plan.sessions.values().flat_map(|session| session.owners.iter().cloned()).collect()
    } else {
        plan.contacts.fallback.clone()
    }
}

/// Most roots of incidents, and most openings, that one message refers to (some servers refuse longer headers).
const MOST_ROOTS: usize = 20;

fn message(plan: Option<&SourcePlan>, to: Address, mut items: Vec<Item>, mark: Postmark<'_>) -> Notification {
    items.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)).then(a.session().cmp(&b.session())));
    let kind = items.iter().map(|item| item.kind).min().unwrap_or(NotificationKind::Found);
    let openings = items.iter().filter_map(|item| opening(item, &to)).collect::<Vec<_>>();
    let mut references =
        items.iter().filter_map(Item::incident).take(MOST_ROOTS).map(|i| root(i.id, mark.domain)).collect::<Vec<_>>();
    references.dedup();
    let first = openings.first();
    let in_reply_to = first.map(|told| told.message_id.clone());
    for opening in &openings {
        if references.len() < 2 * MOST_ROOTS && !references.contains(&opening.message_id) {
            references.push(opening.message_id.clone());
        }
    }
    let one_thread =
        openings.len() == items.len() && openings.iter().all(|o| Some(&o.message_id) == in_reply_to.as_ref());
    let subject = match first {
        Some(told) if one_thread => format!("Re: {}", told.subject),
        _ => subject::subject(&items, mark.source),
    };
    let contacts = contacts(plan, &items);
    Notification {
        message_id: message_id(&to, mark),
        kind,
        zone: items.first().map_or(chrono_tz::UTC, |item| item.zone),
        to,
        source: mark.source.clone(),
        at: mark.now,
        subject,
        items,
        references,
        in_reply_to,
        contact: contacts.and_then(|contacts| contacts.contact.clone()),
        reply_to: contacts.and_then(|contacts| contacts.reply_to.clone()),
    }
}

/// The message that told `to` of the item's incident first.
fn opening<'a>(item: &'a Item, to: &Address) -> Option<&'a Told> {
    item.incident()?.told.iter().find(|told| told.to == *to)
}

fn contacts<'a>(plan: Option<&'a SourcePlan>, items: &[Item]) -> Option<&'a Contacts> {
    let plan = plan?;
    let session = items.iter().find_map(Item::session).and_then(|id| plan.sessions.get(id));
    Some(session.map_or(&*plan.contacts, |session| &*session.contacts))
}

/// The name of an incident in mail headers, which every message about it refers to.
fn root(incident: Uuid, domain: &str) -> String {
    format!("<incident-{incident}@{domain}>")
}

fn message_id(to: &Address, mark: Postmark<'_>) -> String {
    let stamp = mark.now.timestamp_micros();
    let name = format!("driftwise message\n{}\n{}\n{stamp}\n{}", mark.source, mark.poll, to.as_str().to_lowercase());
    format!("<{}@{}>", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), mark.domain)
}

/// Every incident that `message` tells of; the state keeps who was told first.
fn told(message: &Notification) -> Vec<(Uuid, Told)> {
    let entry =
        Told { to: message.to.clone(), message_id: message.message_id.clone(), subject: message.subject.clone() };
    message.items.iter().filter_map(Item::incident).map(|incident| (incident.id, entry.clone())).collect()
}

#[cfg(test)]
mod tests;
