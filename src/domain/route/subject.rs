//! Subjects: what happened, in the words of the reader, short enough for a phone.

use crate::domain::incident::{End, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{Item, NotificationKind};
use crate::domain::reading::is_invisible;
use crate::domain::reconcile::{About, News};

/// Longest subject, in characters: what mail lists still show.
const LONGEST: usize = 120;

/// The subject of a message that opens a thread.
pub(super) fn subject(items: &[Item], source: &Name) -> String {
    let text = match items {
        [] => String::from("Nothing to report"),
        [item] => one(item, source),
        _ => several(items, source),
    };
    clean(&text, LONGEST)
}

/// Outside text on one line: no control or direction marks, not longer than `most` characters.
fn clean(text: &str, most: usize) -> String {
    let line = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect::<String>();
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= most {
        return words;
    }
    let mut cut = words.chars().take(most - 1).collect::<String>();
    cut.push('…');
    cut
}

/// The session's name and where it is, or its key alone.
fn who(item: &Item, source: &Name) -> String {
    let name = match &item.about {
        About::Incident(incident) => incident.facts.name.clone(),
        About::Unaudited { name, .. } => name.clone(),
    };
    let key = item.session().map_or_else(|| source.to_string(), |id| format!("{source}/{id}"));
    name.map_or_else(|| key.clone(), |name| clean(&name, 50))
}

fn one(item: &Item, source: &Name) -> String {
    let who = who(item, source);
    let Some(incident) = item.incident() else {
        return format!("{who}: a session that nobody checks has appeared in {source}");
    };
    let facts = &incident.facts;
    let (label, found, expected) = (clean(&facts.label, 60), clean(&facts.found, 40), clean(&facts.expected, 40));
    match (&item.news, incident.kind()) {
        (News::Opened | News::Found, IncidentKind::Drift) => match expected.as_str() {
            "ticked" | "unticked" => format!("{who}: {label} is {found}, should be {expected}"),
            _ => format!("{who}: {label} is not as it should be"),
        },
        (News::Opened | News::Found, IncidentKind::Missing) if incident.window.last_good.is_none() => {
            format!("{who}: the session was not found")
        }
        (News::Opened | News::Found, IncidentKind::Missing) => format!("{who}: the session has disappeared"),
        (News::Opened | News::Found, IncidentKind::Unverifiable) => format!("{who}: settings could not be checked"),
        (News::Opened | News::Found, IncidentKind::Unreachable) => format!("{source} could not be checked"),
        (News::Updated { .. }, _) => format!("{who}: {label} changed again, still not as it should be"),
        (News::Ended(End::Repaired), _) => format!("{who}: {label} is as it should be again"),
        (News::Ended(End::NoLongerAudited), IncidentKind::Drift) => format!("{who}: {label} is not checked any more"),
        (News::Ended(End::NoLongerAudited), _) => format!("{who} is not checked any more"),
        (News::Ended(_), IncidentKind::Drift) => format!("{who}: {label} is not reported any more"),
        (News::Ended(_), IncidentKind::Missing) => format!("{who}: the session is back"),
        (News::Ended(_), _) => format!("{who} is being checked again"),
        (News::StillOpen, IncidentKind::Drift) => format!("Reminder: {who}: {label} is still not as it should be"),
        (News::StillOpen, IncidentKind::Missing) => format!("Reminder: {who}: the session is still missing"),
        (News::StillOpen, _) => format!("Reminder: {who} still could not be checked"),
    }
}

fn several(items: &[Item], source: &Name) -> String {
    let kind = items.iter().map(|item| item.kind).min().unwrap_or(NotificationKind::Found);
    let of_kind = items.iter().filter(|item| item.kind == kind).collect::<Vec<_>>();
    let mut sessions = of_kind.iter().filter_map(|item| item.session()).collect::<Vec<_>>();
    sessions.sort();
    sessions.dedup();
    let where_ = match (sessions.len(), of_kind.first()) {
        (0 | 1, Some(first)) => who(first, source),
        (n, _) => format!("{source}, {n} sessions"),
    };
    let count = of_kind.len();
    let settings = if count == 1 { "1 setting".to_owned() } else { format!("{count} settings") };
    let verb = if count == 1 { "is" } else { "are" };
    let what = match kind {
        NotificationKind::Drift => format!("{settings} {verb} not as they should be"),
        NotificationKind::Missing if count == 1 => "the session is missing".to_owned(),
        NotificationKind::Missing => "sessions are missing".to_owned(),
        NotificationKind::Unreachable | NotificationKind::Unverifiable => "could not be checked".to_owned(),
        NotificationKind::Update => format!("{settings} changed again, still not as they should be"),
        NotificationKind::Resolved if all_repaired(&of_kind) => format!("{settings} {verb} as they should be again"),
        NotificationKind::Resolved => format!("{settings} {verb} not reported any more"),
        NotificationKind::Recovered => "being checked again".to_owned(),
        NotificationKind::Reminder if count == 1 => "1 key is still not as it should be".to_owned(),
        NotificationKind::Reminder => format!("{count} things are still not as they should be"),
        NotificationKind::Found | NotificationKind::Test => "sessions that nobody checks have appeared".to_owned(),
    };
    let what = if count == 1 { what.replace("as they should", "as it should") } else { what };
    let known = matches!(kind, NotificationKind::Resolved | NotificationKind::Recovered | NotificationKind::Reminder);
    let reminder = if kind == NotificationKind::Reminder { "Reminder: " } else { "" };
    // What is new must not hide behind what is known.
    match items.iter().filter(|item| item.kind == NotificationKind::Found).count() {
        1 if known => format!("A session that nobody checks has appeared. {reminder}{where_}: {what}"),
        2.. if known => format!("Sessions that nobody checks have appeared. {reminder}{where_}: {what}"),
        _ => format!("{reminder}{where_}: {what}"),
    }
}

/// Whether every one of `items` was put right.
fn all_repaired(items: &[&Item]) -> bool {
    items.iter().all(|item| item.news == News::Ended(End::Repaired))
}
