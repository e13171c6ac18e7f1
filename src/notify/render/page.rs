//! A notification as one page of words, which the templates lay out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::brief::{brief, brief_still};
use super::entry::{EntryRow, MailEntry, entry, still};
use super::lead::{called, lead};
use super::words::{PROSE, VALUE, count, escaped, name_of, plain};
use crate::domain::incident::{End, Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{About, Change, Item, Notification, NotificationKind, Role};
use crate::domain::policy::Severity;
use crate::domain::session::{SessionId, SessionKey};
use crate::view::words::capital;

/// Most incidents in full; the others are listed.
const IN_FULL: usize = 50;
/// Most bytes of the words in full, so that hostile lengths do not add up: a message stays under 200 KB.
const BUDGET: usize = 32_000;
/// Most incidents that are listed by a line; the others are counted.
const LISTED: usize = 100;
/// Most bytes of that list.
const LIST_BUDGET: usize = 12_000;
/// Longest line of that list, in characters.
const LINE: usize = 120;

#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    /// The message in a sentence or two, for a mail preview.
    lead: Vec<String>,
    groups: Vec<Group>,
    rest: Option<Rest>,
    notes: Vec<String>,
    foot: String,
}

/// All entries about one session, or about a source as a whole.
#[derive(Debug, Serialize)]
struct Group {
    name: String,
    /// A line under the name, of the same length, for plain text.
    rule: String,
    link: Option<String>,
    entries: Vec<MailEntry>,
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
                let row = |row: &EntryRow| format!("  {}: {}", row.label, row.values.join("; "));
                lines.extend(entry.rows.iter().map(row));
            }
            lines.extend(group.link.iter().map(|link| format!("More about this session: {link}")));
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

/// One part of the page: an item, or an incident that is still wrong.
#[derive(Clone, Copy)]
enum Topic<'a> {
    New(&'a Item),
    Still(&'a Incident),
}

impl<'a> Topic<'a> {
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
                About::Removed(removed) => removed.name.as_deref(),
                About::Forgotten(_) | About::Reload(_) | About::Credential(_) | About::Undeliverable(_) => None,
            },
            Self::Still(incident) => incident.facts.name.as_deref(),
        };
        name.map(|name| plain(name, LINE)).filter(|name| !name.is_empty())
    }

    fn entry(self, notification: &Notification) -> MailEntry {
        match self {
            Self::New(item) => entry(item, notification),
            Self::Still(incident) => still(incident, notification),
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
        if let Self::New(item) = self {
            match item.blind() {
                [] => {}
                [one] => return name_of(&one.key, one.name.as_deref()),
                several => return count(several.len(), "session"),
            }
        }
        let (Some(source), session) = self.place() else {
            let mail = matches!(self, Self::New(Item { about: About::Undeliverable(_), .. }));
            return String::from(if mail { "Mail that Driftwise sends" } else { "The configuration of Driftwise" });
        };
        let key = session.map_or_else(|| source.to_string(), |id| format!("{source}/{id}"));
        self.name().map_or_else(|| key.clone(), |name| format!("{name} ({key})"))
    }
}

/// `public_url`: the address of the pages, if they are public.
pub(super) fn page(notification: &Notification, title: &str, public_url: Option<&str>) -> Page {
    // Open incidents come before repairs.
    let new = notification.items.iter().map(Topic::New);
    let (over, wrong): (Vec<_>, Vec<_>) = new.partition(|topic| topic.is_put_right());
    let still = notification.still.iter().map(|incident: &Arc<Incident>| Topic::Still(incident));
    let topics = wrong.into_iter().chain(still).chain(over).collect::<Vec<_>>();
    let (full, rest) = topics.split_at(in_full(&topics, notification));
    Page {
        title: plain(title, VALUE),
        lead: lead(notification),
        groups: groups(full, notification, public_url),
        rest: (!rest.is_empty()).then(|| listed(rest)),
        notes: notes(notification),
        foot: foot(notification),
    }
}

/// How many topics, from the first, fit in full.
fn in_full(topics: &[Topic<'_>], notification: &Notification) -> usize {
    let mut bytes = 0;
    let fits = |topic: &&Topic<'_>| {
        bytes += topic.entry(notification).bytes();
        bytes <= BUDGET
    };
    // The first is always in full: the size of one entry is bounded.
    topics.iter().take(IN_FULL).take_while(fits).count().max(1).min(topics.len())
}

/// Groups topics by session, in the order in which each session first occurs.
fn groups(topics: &[Topic<'_>], notification: &Notification, public_url: Option<&str>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = BTreeMap::new();
    for topic in topics {
        let at = *places.entry(topic.place()).or_insert_with(|| {
            let name = topic.heading();
            let rule = "-".repeat(name.chars().count().min(72));
            groups.push(Group { name, rule, link: link(*topic, public_url), entries: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.entries.push(topic.entry(notification));
        }
    }
    groups
}

/// The page of an audited session, if pages are public.
fn link(topic: Topic<'_>, public_url: Option<&str>) -> Option<String> {
    let url = public_url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
    if matches!(topic, Topic::New(Item { about: About::Unaudited(_) | About::Removed(_), .. })) {
        return None;
    }
    if matches!(topic, Topic::New(item) if item.change() == Some(Change::Ended(End::Removed))) {
        return None;
    }
    let (source, session) = topic.place();
    let key = SessionKey { source: source?.clone(), id: session?.clone() };
    Some(plain(&format!("{}{}", url.trim_end_matches('/'), key.page()), PROSE))
}

fn listed(rest: &[Topic<'_>]) -> Rest {
    let mut bytes = 0;
    let fits = |line: &String| {
        bytes += escaped(line);
        bytes <= LIST_BUDGET
    };
    let briefs = rest.iter().take(LISTED).map(|topic| plain(&topic.brief(), LINE));
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
    let operator = role(notification).is_some_and(Role::runs_checks);
    let contact = notification.contact.as_deref().map(|contact| plain(contact, VALUE)).filter(|_| !operator);
    let drifts = wrong.iter().filter(|incident| incident.kind() == IncidentKind::Drift).count();
    let this = if drifts == 1 { "this change" } else { "a change" };
    match &contact {
        _ if drifts == 0 => {}
        // Nothing but the configuration ends a drift that is intended.
        Some(contact) if notification.reminders => {
            notes
                .push(format!("If {this} is intended, tell {contact}: the reminders stop once they have accepted it."));
        }
        Some(contact) => notes.push(format!("If {this} is intended, tell {contact}.")),
        None if operator => {
            notes.push(format!("If {this} is intended, change the rule and reload: the alert then ends."));
        }
        None => {}
    }
    match (&contact, notification.reply_to.is_some() && !operator) {
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

/// The role for which the words are chosen: the one closest to the shop.
fn role(notification: &Notification) -> Option<Role> {
    notification.items.iter().map(|item| item.role).min()
}

/// Why the reader gets the mail.
fn foot(notification: &Notification) -> String {
    let Some(role) = role(notification) else {
        return format!("You get this because a test message was sent to {}.", notification.to);
    };
    let shops = shops(notification);
    let critical = if notification.severity() == Severity::Critical { "critical alerts" } else { "alerts" };
    match role {
        Role::Owner => format!("You get this because you are responsible for {shops}."),
        Role::ExpectedAddress => format!("You get this because alerts about {shops} are meant for this address."),
        Role::Fallback | Role::ActingOperator => match &notification.customer {
            Some(customer) => {
                format!("You get this because you are {}'s contact for {critical}.", capital(customer.as_str()))
            }
            None => format!("You get this because you are the contact for {critical}."),
        },
        Role::Operator => "You get this because you run these checks.".to_owned(),
    }
}

/// The one session of the notification by its name, or how many there are.
fn shops(notification: &Notification) -> String {
    let mut shops = std::collections::BTreeSet::new();
    for item in &notification.items {
        match item.blind() {
            [] => _ = shops.insert(plain(&called(item), VALUE)),
            blind => shops.extend(blind.iter().map(|session| name_of(&session.key, session.name.as_deref()))),
        }
    }
    match shops.len() {
        1 => shops.into_iter().collect(),
        several => count(several, "session"),
    }
}
