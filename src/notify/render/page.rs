//! A notification as one page of words, which the templates lay out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::entry::{Entry, entry, still};
use super::lead::{brief, brief_still, lead};
use super::words::{PROSE, VALUE, count, escaped, plain};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{About, Item, Notification, NotificationKind, Role};
use crate::domain::session::{SessionId, SessionKey};

/// Things told in full; the others are listed.
const IN_FULL: usize = 50;
/// Bytes of words told in full, so that hostile lengths do not add up: a message stays under 200 KB.
const BUDGET: usize = 32_000;
/// Things that are listed by a line; the others are counted.
const LISTED: usize = 100;
/// Bytes of that list.
const LIST_BUDGET: usize = 12_000;
/// Longest line of that list, in characters.
const LINE: usize = 120;

#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    /// What a preview shows: the message in a sentence or two.
    lead: Vec<String>,
    groups: Vec<Group>,
    rest: Option<Rest>,
    notes: Vec<String>,
    foot: String,
}

/// What is told of one session, or of the source as a whole.
#[derive(Debug, Serialize)]
struct Group {
    name: String,
    /// A line under the name, as long as it, for plain text.
    rule: String,
    link: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Rest {
    heading: String,
    lines: Vec<String>,
}

impl Page {
    /// All its words, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.lead.clone();
        for group in &self.groups {
            lines.extend([String::new(), group.name.clone()]);
            for entry in &group.entries {
                lines.push(entry.heading.clone());
                let row = |row: &super::entry::Row| format!("  {}: {}", row.label, row.values.join("; "));
                lines.extend(entry.rows.iter().map(row));
            }
            lines.extend(group.link.iter().map(|link| format!("More about it: {link}")));
        }
        if let Some(rest) = &self.rest {
            lines.extend([String::new(), rest.heading.clone()]);
            lines.extend(rest.lines.iter().map(|line| format!("- {line}")));
        }
        lines.push(String::new());
        lines.extend(self.notes.iter().cloned());
        lines.extend(["-- ".to_owned(), self.foot.clone()]);
        lines
    }
}

/// Something to tell: new, or known and still wrong.
#[derive(Clone, Copy)]
enum Thing<'a> {
    New(&'a Item),
    Still(&'a Incident),
}

impl<'a> Thing<'a> {
    fn place(self) -> (Option<&'a Name>, Option<&'a SessionId>) {
        match self {
            Self::New(item) => (item.source(), item.session()),
            Self::Still(incident) => (Some(&incident.source), incident.key.session()),
        }
    }

    fn name(self) -> Option<String> {
        let name = match self {
            Self::New(item) => match &item.about {
                About::Incident { incident, .. } => incident.facts.name.as_deref(),
                About::Unaudited(found) => found.name.as_deref(),
                About::Reload(_) | About::Undeliverable(_) => None,
            },
            Self::Still(incident) => incident.facts.name.as_deref(),
        };
        name.map(|name| plain(name, LINE)).filter(|name| !name.is_empty())
    }

    fn entry(self, notification: &Notification) -> Entry {
        match self {
            Self::New(item) => entry(item, notification.at),
            Self::Still(incident) => still(incident, notification.zone, notification.at),
        }
    }

    fn brief(self) -> String {
        match self {
            Self::New(item) => brief(item),
            Self::Still(incident) => brief_still(incident),
        }
    }

    fn is_put_right(self) -> bool {
        matches!(self, Self::New(item) if item.change().is_some() && !item.is_wrong() || item.kind() == NotificationKind::Recovered)
    }

    /// The name of the session and its number, or the source.
    fn heading(self) -> String {
        let (Some(source), session) = self.place() else {
            let mail = matches!(self, Self::New(Item { about: About::Undeliverable(_), .. }));
            return String::from(if mail { "Mail that Driftwise sends" } else { "The configuration of Driftwise" });
        };
        let key = session.map_or_else(|| source.to_string(), |id| format!("{source}/{id}"));
        self.name().map_or_else(|| key.clone(), |name| format!("{name} ({key})"))
    }
}

/// `public_url`: where the pages are, if they are public.
pub(super) fn page(notification: &Notification, title: &str, public_url: Option<&str>) -> Page {
    // What is wrong comes before what was put right.
    let new = notification.items.iter().map(Thing::New);
    let (over, wrong): (Vec<_>, Vec<_>) = new.partition(|thing| thing.is_put_right());
    let still = notification.still.iter().map(|incident: &Arc<Incident>| Thing::Still(incident));
    let things = wrong.into_iter().chain(still).chain(over).collect::<Vec<_>>();
    let (full, rest) = things.split_at(in_full(&things, notification));
    Page {
        title: plain(title, VALUE),
        lead: lead(notification),
        groups: groups(full, notification, public_url),
        rest: (!rest.is_empty()).then(|| listed(rest)),
        notes: notes(notification),
        foot: foot(notification),
    }
}

/// How many things, from the first, fit in full.
fn in_full(things: &[Thing<'_>], notification: &Notification) -> usize {
    let mut bytes = 0;
    let fits = |thing: &&Thing<'_>| {
        bytes += thing.entry(notification).bytes();
        bytes <= BUDGET
    };
    // The first is always told in full: one entry is bounded by itself.
    things.iter().take(IN_FULL).take_while(fits).count().max(1).min(things.len())
}

/// By session, in the order in which each is first told of.
fn groups(things: &[Thing<'_>], notification: &Notification, public_url: Option<&str>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = BTreeMap::new();
    for thing in things {
        let at = *places.entry(thing.place()).or_insert_with(|| {
            let name = thing.heading();
            let rule = "-".repeat(name.chars().count().min(72));
            groups.push(Group { name, rule, link: link(*thing, public_url), entries: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.entries.push(thing.entry(notification));
        }
    }
    groups
}

/// The page of an audited session, if pages are public.
fn link(thing: Thing<'_>, public_url: Option<&str>) -> Option<String> {
    let url = public_url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
    if matches!(thing, Thing::New(Item { about: About::Unaudited(_), .. })) {
        return None;
    }
    let (source, session) = thing.place();
    let key = SessionKey { source: source?.clone(), id: session?.clone() };
    Some(plain(&format!("{}{}", url.trim_end_matches('/'), key.page()), PROSE))
}

fn listed(rest: &[Thing<'_>]) -> Rest {
    let mut bytes = 0;
    let fits = |line: &String| {
        bytes += escaped(line);
        bytes <= LIST_BUDGET
    };
    let briefs = rest.iter().take(LISTED).map(|thing| plain(&thing.brief(), LINE));
    let mut lines = briefs.take_while(fits).collect::<Vec<_>>();
    if rest.len() > lines.len() {
        lines.push(format!("and {} more that are not listed here", rest.len() - lines.len()));
    }
    Rest { heading: format!("And {} more:", rest.len()), lines }
}

fn notes(notification: &Notification) -> Vec<String> {
    let mut notes = Vec::new();
    let wrong = notification.wrong();
    if wrong.iter().any(|incident| matches!(incident.kind(), IncidentKind::Drift | IncidentKind::Missing)) {
        notes.push("Who changed it? OrderWise does not record that.".to_owned());
    }
    let intended = wrong.iter().any(|incident| incident.kind() == IncidentKind::Drift);
    let contact = notification.contact.as_deref().map(|contact| plain(contact, VALUE));
    if let (Some(contact), true) = (&contact, intended) {
        notes.push(format!("If this change is intended, tell {contact} and the reminders stop."));
    }
    let reply = notification.reply_to.is_some();
    match (&contact, reply) {
        (Some(contact), true) => notes.push(format!("Questions? Ask {contact}, or reply to this message.")),
        (Some(contact), false) => notes.push(format!("Questions? Ask {contact}.")),
        (None, true) => notes.push("Questions? Reply to this message.".to_owned()),
        (None, false) => {}
    }
    if notification.kind == NotificationKind::Test {
        notes.insert(0, "Nothing is wrong, and there is nothing to do.".to_owned());
    }
    notes
}

/// Why the reader gets it.
fn foot(notification: &Notification) -> String {
    let Some(role) = notification.items.iter().map(|item| item.role).min() else {
        return format!("Sent by Driftwise to {}.", notification.to);
    };
    let sessions = notification.sessions();
    let these = match sessions.as_slice() {
        [] => "these sessions".to_owned(),
        [one] => format!("session {one}"),
        several => count(several.len(), "session"),
    };
    let customer = notification.customer.as_ref();
    match role {
        Role::Owner => format!("You get this because you are responsible for {these}."),
        Role::ExpectedAddress => format!("You get this because alerts about {these} are meant to go to this address."),
        Role::Fallback => match customer {
            Some(customer) => format!("You get this because you are {customer}'s contact for critical alerts."),
            None => "You get this because you are the contact for critical alerts.".to_owned(),
        },
        Role::Operator => "You get this because you operate these checks.".to_owned(),
    }
}
