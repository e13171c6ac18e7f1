//! A message as one page of words, which the templates lay out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::{Entry, entry};
use super::lead::{brief, lead};
use super::words::{PROSE, VALUE, count, escaped, plain};
use crate::domain::incident::IncidentKind;
use crate::domain::name::Name;
use crate::domain::notification::{Item, Notification, NotificationKind};
use crate::domain::reconcile::{About, News};

/// IncidentKeys told in full; the others are listed.
const IN_FULL: usize = 50;
/// Bytes of words told in full, so that hostile lengths do not add up: a message stays under 200 KB.
const BUDGET: usize = 32_000;
/// IncidentKeys that are listed by a line; the others are counted.
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

pub(super) fn page(message: &Notification) -> Page {
    let (full, rest) = message.items.split_at(in_full(message));
    Page {
        title: plain(&message.subject, VALUE),
        lead: lead(message),
        groups: groups(full, message),
        rest: (!rest.is_empty()).then(|| listed(rest, &message.source)),
        notes: notes(message),
        foot: format!("Sent by Driftwise to {}.", message.to),
    }
}

/// How many things, from the first, fit in full.
fn in_full(message: &Notification) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += entry(item, message).bytes();
        bytes <= BUDGET
    };
    // The first is always told in full: one entry is bounded by itself.
    message.items.iter().take(IN_FULL).take_while(fits).count().max(1).min(message.items.len())
}

/// The session's name and its number, or the source.
pub(super) fn heading(item: &Item, source: &Name) -> String {
    let key = item.session().map_or_else(|| source.to_string(), |id| format!("{source}/{id}"));
    name(item).map_or_else(|| key.clone(), |name| format!("{name} ({key})"))
}

/// The session's name for people, or how it is numbered, or the source.
pub(super) fn who(item: &Item, source: &Name) -> String {
    name(item)
        .unwrap_or_else(|| item.session().map_or_else(|| source.to_string(), |id| format!("session {source}/{id}")))
}

fn name(item: &Item) -> Option<String> {
    let name = match &item.about {
        About::Incident(incident) => incident.facts.name.as_deref(),
        About::Unaudited { name, .. } => name.as_deref(),
    };
    name.map(|name| plain(name, LINE)).filter(|name| !name.is_empty())
}

/// By session, in the order in which each is first told of.
fn groups(items: &[Item], message: &Notification) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = BTreeMap::new();
    for item in items {
        let at = *places.entry(item.session()).or_insert_with(|| {
            let name = heading(item, &message.source);
            let rule = "-".repeat(name.chars().count().min(72));
            let web = |link: &&str| link.starts_with("https://") || link.starts_with("http://");
            let link = item.link.as_deref().filter(web).map(|link| plain(link, PROSE));
            groups.push(Group { name, rule, link, entries: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.entries.push(entry(item, message));
        }
    }
    groups
}

fn listed(rest: &[Item], source: &Name) -> Rest {
    let mut bytes = 0;
    let fits = |line: &String| {
        bytes += escaped(line);
        bytes <= LIST_BUDGET
    };
    let briefs = rest.iter().take(LISTED).map(|item| plain(&brief(item, source), LINE));
    let mut lines = briefs.take_while(fits).collect::<Vec<_>>();
    if rest.len() > lines.len() {
        lines.push(format!("and {} more that are not listed here", rest.len() - lines.len()));
    }
    Rest { heading: format!("And {} more:", rest.len()), lines }
}

fn notes(message: &Notification) -> Vec<String> {
    let mut notes = Vec::new();
    let changed = |item: &Item| {
        let kind = item.incident().map(crate::domain::incident::Incident::kind);
        kind.is_some_and(|kind| matches!(kind, IncidentKind::Drift | IncidentKind::Missing))
            && !matches!(item.news, News::Ended(_))
    };
    if message.items.iter().any(changed) {
        notes.push("Who changed it? OrderWise does not record that.".to_owned());
    }
    let reply = message.reply_to.is_some();
    match (&message.contact, reply) {
        (Some(contact), true) => {
            notes.push(format!("Questions? Ask {}, or reply to this message.", plain(contact, VALUE)));
        }
        (Some(contact), false) => notes.push(format!("Questions? Ask {}.", plain(contact, VALUE))),
        (None, true) => notes.push("Questions? Reply to this message.".to_owned()),
        (None, false) => {}
    }
    if message.kind == NotificationKind::Test {
        notes.insert(0, "Nothing is wrong, and there is nothing to do.".to_owned());
    }
    notes
}

/// The sessions that `items` tell of: the one by name, or how many.
pub(super) fn of_sessions(items: &[&Item], source: &Name) -> String {
    let mut sessions = items.iter().map(|item| item.session()).collect::<Vec<_>>();
    sessions.sort();
    sessions.dedup();
    match (sessions.len(), items.first()) {
        (0 | 1, Some(first)) => who(first, source),
        (n, _) => format!("{} of {source}", count(n, "session", "sessions")),
    }
}
