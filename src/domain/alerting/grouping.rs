//! Last stage: makes one notification of the items that one recipient gets together.
//!
//! Items without a wait (drift, missing, updates, ends, announcements) are grouped over one source. Items that waited
//! (unreachable, unverifiable, reminders) are grouped over all sources, and so are undeliverable addresses and credentials that
//! end. A refused configuration is a notification of its own.
//!
//! Each notification also lists all other open incidents of its sessions, so the last one about a session is complete. It leaves
//! out unverifiable settings of which the recipient has not been notified: their end would not be notified either.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DueItem, LogKey, Plans, SuppressionReason, WorkingSet};
use crate::domain::address::Address;
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{
    About, AboutKey, Because, Change, Item, Notification, NotificationKind, Reason, SuppressedIncident,
};
use crate::domain::session::{Contacts, SessionId};

/// Most lines of a stored reason, so that an outage of thousands of sessions does not store each of them for each recipient.
const MOST_REASONS: usize = 200;

/// The items that one recipient gets together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bundle {
    AtOnce(Name),
    /// One announcement about the program as a whole, by its id.
    Program(Uuid),
    /// Of addresses that refuse mail, or of those that take it again.
    Undeliverable {
        ended: bool,
    },
    /// Of credentials that end.
    Credentials,
    Waited,
}

impl Bundle {
    fn of(item: &Item) -> Self {
        let (incident, change) = match &item.about {
            About::Incident { incident, change, .. } => (incident, change),
            About::Unaudited(found) => return Self::AtOnce(found.source.clone()),
            About::Forgotten(forgotten) => return Self::AtOnce(forgotten.source.clone()),
            About::Removed(removed) => return Self::AtOnce(removed.source.clone()),
            About::Reload(refused) => return Self::Program(refused.id),
            About::Credential(_) => return Self::Credentials,
            About::Undeliverable(change) => return Self::Undeliverable { ended: change.end.is_some() },
        };
        let waits = matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable);
        match change {
            Change::StillOpen(_) => Self::Waited,
            Change::Opened | Change::Handover if waits => Self::Waited,
            _ => Self::AtOnce(incident.source.clone()),
        }
    }
}

/// Open incidents by their session.
type BySession<'a> = HashMap<(&'a Name, &'a SessionId), Vec<&'a Arc<Incident>>>;

/// See the module.
pub(super) fn group(
    plans: &Plans,
    channel: &Name,
    known: &WorkingSet,
    due: Vec<DueItem>,
    stopped: &[(Arc<Incident>, SuppressionReason)],
    now: DateTime<Utc>,
) -> Vec<Notification> {
    if due.is_empty() {
        return Vec::new();
    }
    let mut open = BySession::new();
    for incident in known.incidents().filter(|incident| incident.is_open()) {
        if let Some(session) = incident.key.session() {
            open.entry((&incident.source, session)).or_default().push(incident);
        }
    }
    let mut bundles: BTreeMap<(Bundle, Address), Vec<Item>> = BTreeMap::new();
    for DueItem { to, item } in due {
        bundles.entry((Bundle::of(&item), to)).or_default().push(item);
    }
    let notification = |((_, to), mut items): ((Bundle, Address), Vec<Item>)| {
        items.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let key = LogKey { channel: channel.clone(), to: to.clone() };
        let still = still_open(&open, &items, |incident| {
            let least = plans.get(&incident.source).map(|plan| plan.alerts.min_severity);
            let at_once = incident.kind() != IncidentKind::Unverifiable;
            let notified = known.log().of(incident.id).is_some_and(|entries| entries.contains_key(&key));
            notified || (at_once && least.is_some_and(|least| incident.severity >= least))
        });
        let contacts = items.iter().map(|item| contacts(plans, item)).collect::<Vec<_>>();
        let remind = |item: &Item| Some(plans.get(item.source()?)?.alerts.remind_every.is_some());
        Notification {
            id: Notification::id_of(channel, &to, &items),
            channel: channel.clone(),
            kind: items.iter().map(Item::kind).min().unwrap_or(NotificationKind::Unaudited),
            at: now,
            zone: items.first().map_or(chrono_tz::UTC, |item| item.zone),
            openings: openings(known, &key, &items),
            customer: shared(&contacts, |contacts| contacts.customer.as_ref()),
            contact: shared(&contacts, |contacts| contacts.contact.as_ref()),
            reply_to: shared(&contacts, |contacts| contacts.reply_to.as_ref()),
            reminders: items.iter().filter_map(remind).all(|reminds| reminds),
            reason: reason(&items, stopped),
            to,
            items,
            still,
        }
    };
    bundles.into_iter().map(notification).collect()
}

/// What the contacts of all items agree about.
fn shared<T: Clone + PartialEq>(contacts: &[Option<&Contacts>], of: fn(&Contacts) -> Option<&T>) -> Option<T> {
    let mut all = contacts.iter().map(|contacts| contacts.and_then(of));
    let first = all.next()??;
    all.all(|other| other == Some(first)).then(|| first.clone())
}

/// The other open incidents of the sessions in the notification, of those that are `reported`.
fn still_open(open: &BySession<'_>, items: &[Item], reported: impl Fn(&Incident) -> bool) -> Vec<Arc<Incident>> {
    let new = items.iter().filter(|item| item.is_wrong()).map(Item::id).collect::<HashSet<_>>();
    let mut seen = HashSet::new();
    let own = items.iter().filter_map(|item| Some((item.source()?, item.session()?)));
    let blind = items.iter().flat_map(Item::blind).map(|session| (&session.key.source, &session.key.id));
    let mut still = own
        .chain(blind)
        .filter(|place| seen.insert(*place))
        .flat_map(|place| open.get(&place).into_iter().flatten())
        .filter(|incident| !new.contains(&incident.id) && reported(incident))
        .map(|incident| Arc::clone(incident))
        .collect::<Vec<_>>();
    still.sort_by_key(|incident| {
        (std::cmp::Reverse((incident.severity, incident.facts.stops_orders)), incident.kind(), incident.id)
    });
    still
}

fn openings(known: &WorkingSet, key: &LogKey, items: &[Item]) -> Vec<crate::domain::notification::Opening> {
    let mut seen = HashSet::new();
    let opening = |item: &Item| match &item.about {
        About::Undeliverable(change) => {
            let notified = change.address.notified.iter().find(|notified| notified.to == key.to);
            notified.map(|notified| notified.opening.clone())
        }
        _ => Some(known.log().of(item.id())?.get(key)?.opening.clone()),
    };
    items.iter().filter_map(opening).filter(|opening| seen.insert(opening.notification)).collect()
}

fn contacts<'a>(plans: &'a Plans, item: &Item) -> Option<&'a Contacts> {
    let plan = plans.get(item.source()?)?;
    let session = item.session().and_then(|id| plan.sessions.get(id));
    Some(session.map_or(&*plan.contacts, |session| &*session.contacts))
}

fn reason(items: &[Item], stopped: &[(Arc<Incident>, SuppressionReason)]) -> Reason {
    let places = items.iter().map(|item| (item.source(), item.session())).collect::<HashSet<_>>();
    let sources = items.iter().filter_map(Item::source).collect::<HashSet<_>>();
    let concerns = |incident: &Incident| {
        places.contains(&(Some(&incident.source), incident.key.session()))
            || (incident.key.session().is_none() && sources.contains(&incident.source))
    };
    let because = |item: &Item| Because {
        id: item.id(),
        about: AboutKey::from(&item.about),
        change: item.token(),
        role: item.role,
        blind: matches!(&item.about, About::Incident { blind: Some(_), .. }),
    };
    let mut seen = HashSet::new();
    let stopped = stopped.iter().filter(|(incident, reason)| concerns(incident) && seen.insert((incident.id, *reason)));
    let suppressed = |(incident, reason): &(Arc<Incident>, SuppressionReason)| SuppressedIncident {
        id: incident.id,
        about: AboutKey::from(&**incident),
        reason: *reason,
    };
    let suppressions = stopped.map(suppressed).collect::<Vec<_>>();
    let more = items.len().saturating_sub(MOST_REASONS) + suppressions.len().saturating_sub(MOST_REASONS);
    Reason {
        because: items.iter().take(MOST_REASONS).map(because).collect(),
        suppressions: suppressions.into_iter().take(MOST_REASONS).collect(),
        more,
    }
}
