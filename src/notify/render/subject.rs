//! The subject: the shop, and what is wrong with it now, most severe first; short enough for a phone.
//!
//! A subject is true when the mail is sent. It is `Re:` and the subject of the opening only if that still says exactly what is
//! wrong, as in a reminder; the references keep a thread together.

use std::collections::BTreeSet;

use super::lead::called;
use super::words::{clean, count, name_of, who};
use super::{credential, undeliverable};
use crate::domain::incident::{End, Incident, IncidentKind};
use crate::domain::notification::{About, Change, Item, Notification, NotificationKind};
use crate::view::incident::{IncidentView, ended};
use crate::view::words::capital;

/// Longest subject, in characters.
const LONGEST: usize = 70;
/// Precedes a subject that repeats that of the opening, if it fits.
const ANSWER: &str = "Re: ";
/// Longest name of a shop, in characters.
const NAME: usize = 34;
/// Longest label of a setting, in characters.
const LABEL: usize = 28;

/// See the module.
pub(super) fn subject(notification: &Notification) -> String {
    if notification.kind == NotificationKind::Test {
        return "Test message from Driftwise".to_owned();
    }
    if notification.kind == NotificationKind::Reload {
        return "Driftwise refused a changed configuration".to_owned();
    }
    let ending = credential::of(notification);
    if !ending.is_empty() {
        return clean(&credential::subject(&ending, notification.at), LONGEST);
    }
    let addresses = undeliverable::of(notification);
    if !addresses.is_empty() {
        return clean(&undeliverable::subject(&addresses), LONGEST);
    }
    let wrong = notification.wrong();
    let text = if wrong.is_empty() { nothing_wrong(notification) } else { wrong_now(notification, &wrong) };
    let new_session = notification.items.iter().any(|item| matches!(item.about, About::Unaudited(_)));
    let hides = new_session && notification.kind != NotificationKind::Unaudited;
    let text = clean(&if hides { format!("New unchecked session; {text}") } else { text }, LONGEST);
    // Words are compared because a reply repeats the words of its opening.
    let answers = notification.is_follow_up() && notification.openings.first().is_some_and(|o| o.subject == text);
    let fits = ANSWER.len() + text.chars().count() <= LONGEST;
    if answers && fits { format!("{ANSWER}{text}") } else { text }
}

/// The first that is short enough, or the last.
fn fitting(candidates: &[String]) -> String {
    let fits = |text: &&String| text.chars().count() <= LONGEST;
    candidates.iter().find(fits).or(candidates.last()).cloned().unwrap_or_default()
}

fn label(incident: &Incident) -> String {
    clean(&incident.facts.label, LABEL)
}

/// The shop of an incident, or its source.
fn shop(incident: &Incident) -> String {
    clean(&who(&incident.source, incident.key.session(), incident.facts.name.as_deref()), NAME)
}

/// What several sessions share: their customer, or their source, or the number of their sources.
fn place(notification: &Notification, wrong: &[&Incident]) -> String {
    let mut sources = wrong.iter().map(|incident| &incident.source).collect::<Vec<_>>();
    sources.sort();
    sources.dedup();
    match (sources.as_slice(), &notification.customer) {
        (_, Some(customer)) => capital(customer.as_str()),
        ([one], None) => one.to_string(),
        (many, None) => count(many.len(), "source"),
    }
}

fn wrong_now(notification: &Notification, wrong: &[&Incident]) -> String {
    let blind = notification.items.iter().find_map(|item| match &item.about {
        About::Incident { blind: Some(sessions), incident, .. }
            if item.is_wrong() && incident.kind() != IncidentKind::Unverifiable =>
        {
            sessions.first().map(|s| (s, sessions.len()))
        }
        _ => None,
    });
    if let (Some((session, sessions)), true) = (blind, wrong.iter().all(|incident| is_unseen(incident))) {
        let first = clean(&name_of(&session.key, session.name.as_deref()), NAME);
        return match sessions {
            1 => format!("{first} could not be checked for some time"),
            n => format!("{first} and {} more could not be checked", n - 1),
        };
    }
    let [first, rest @ ..] = wrong else { return String::new() };
    let same_shop =
        rest.iter().all(|other| (&other.source, other.key.session()) == (&first.source, first.key.session()));
    let stops = wrong.iter().filter(|incident| IncidentView(incident).may_stop_orders()).collect::<Vec<_>>();
    let more = more(wrong);
    match (rest, same_shop, stops.first()) {
        ([], ..) => one(first),
        (_, true, Some(worst)) => fitting(&[
            format!("{}: orders may have stopped ({}), {more}", shop(worst), cause(worst)),
            format!("{}: orders may have stopped, {more}", shop(worst)),
        ]),
        (_, true, None) if wrong.iter().all(|i| i.kind() == IncidentKind::Drift) => match wrong {
            [a, b] => format!("{}: {} and {} are wrong", shop(a), label(a), label(b)),
            all => format!("{}: {} settings are wrong", shop(first), all.len()),
        },
        (_, true, None) => format!("{}, {more}", one(first)),
        (_, false, Some(worst)) => fitting(&[
            format!("{}: orders may have stopped ({}), {more}", place(notification, wrong), shop(worst)),
            format!("{}: orders may have stopped, {more}", place(notification, wrong)),
        ]),
        (_, false, None) => several_shops(notification, wrong),
    }
}

/// How many incidents there are beside the one that a subject names.
fn more(wrong: &[&Incident]) -> String {
    let others = wrong.len() - 1;
    let changed = |incident: &&Incident| incident.kind() == IncidentKind::Drift && incident.window.last_good.is_some();
    if wrong.iter().all(changed) {
        format!("{others} more change{}", if others == 1 { "" } else { "s" })
    } else {
        format!("{others} more")
    }
}

/// Why orders may have stopped.
fn cause(incident: &Incident) -> String {
    match incident.kind() {
        IncidentKind::Missing => "session missing".to_owned(),
        IncidentKind::SourceChanged => source_change(incident),
        _ => label(incident),
    }
}

fn is_unseen(incident: &Incident) -> bool {
    matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable | IncidentKind::SourceChanged)
}

fn several_shops(notification: &Notification, wrong: &[&Incident]) -> String {
    let place = place(notification, wrong);
    if wrong.iter().all(|incident| incident.kind() == IncidentKind::Unreachable) {
        return format!("{} could not be checked", count(wrong.len(), "source"));
    }
    let shops = wrong.iter().map(|incident| (&incident.source, incident.key.session())).collect::<BTreeSet<_>>();
    let sources = shops.iter().filter(|(_, session)| session.is_none()).count();
    let sessions = count(shops.len() - sources, "session");
    if wrong.iter().all(|incident| is_unseen(incident)) {
        let shops = match (sources, shops.len() - sources) {
            (0, _) => sessions,
            (_, 0) => count(sources, "source"),
            _ => format!("{} and {sessions}", count(sources, "source")),
        };
        return format!("{place}: {shops} could not be checked");
    }
    let drifts = wrong.iter().filter(|incident| incident.kind() == IncidentKind::Drift).count();
    let (settings, are) = (count(drifts, "setting"), if drifts == 1 { "is" } else { "are" });
    let unchecked = notification.items.iter().map(|item| item.blind().len()).sum::<usize>();
    let unchecked = match (wrong.len() - drifts, unchecked) {
        (0, _) => return format!("{place}: {settings} {are} wrong in {sessions}"),
        (places, 0) => format!("{places} more"),
        (_, blind) => count(blind, "session"),
    };
    format!("{place}: {settings} {are} wrong, {unchecked} could not be checked")
}

fn one(incident: &Incident) -> String {
    let (shop, label) = (shop(incident), label(incident));
    match incident.kind() {
        _ if IncidentView(incident).may_stop_orders() => fitting(&[
            format!("{shop}: orders may have stopped ({})", cause(incident)),
            format!("{shop}: orders may have stopped"),
        ]),
        IncidentKind::Drift if incident.facts.flag.is_some() => format!("{shop}: {label} is {}", incident.facts.found),
        IncidentKind::Drift => format!("{shop}: {label} is wrong"),
        IncidentKind::Missing => format!("{shop}: the session is missing"),
        IncidentKind::Unverifiable => match incident.facts.unread.len() {
            0 | 1 => format!("{shop}: a setting could not be checked"),
            n => format!("{shop}: {n} settings could not be checked"),
        },
        IncidentKind::Unreachable => format!("{shop} could not be checked"),
        IncidentKind::SourceChanged => format!("{shop}: {}", source_change(incident)),
    }
}

/// The change under the rules of a source.
fn source_change(incident: &Incident) -> String {
    let change = incident.facts.change.as_deref();
    let gone = change.map_or(0, |change| change.columns.gone.len());
    match gone {
        0 => "many sessions changed at once".to_owned(),
        gone => format!("{} gone", count(gone, "column")),
    }
}

fn nothing_wrong(notification: &Notification) -> String {
    let items = &notification.items;
    let found = items.iter().filter(|item| matches!(item.about, About::Unaudited(_))).count();
    let ended = notification.incidents().collect::<Vec<_>>();
    let gone = items.iter().find_map(|item| match &item.about {
        About::Forgotten(forgotten) => Some((&forgotten.source, forgotten.columns.gone.len())),
        _ => None,
    });
    if let Some(text) = removed(notification) {
        return text;
    }
    match (ended.as_slice(), found) {
        ([], 0) => match gone {
            Some((source, columns)) => format!("{source}: {} gone", count(columns, "column")),
            None => "Nothing to report".to_owned(),
        },
        ([], n) => {
            let source = items.first().and_then(Item::source).map(ToString::to_string).unwrap_or_default();
            let (sessions, verb) =
                if n == 1 { ("a session".to_owned(), "is") } else { (format!("{n} sessions"), "are") };
            format!("{source}: {sessions} appeared and {verb} not checked")
        }
        ([one], _) => end(one, notification),
        (all @ [first, ..], _) => {
            let same = |other: &&Incident| (&other.source, other.key.session()) == (&first.source, first.key.session());
            let place = if all.iter().all(same) { shop(first) } else { place(notification, all) };
            let right = items.iter().filter(|item| is_repaired(item)).count();
            let all_of = |kind: IncidentKind| all.iter().all(|incident| incident.kind() == kind);
            match all {
                [a, b] if right == 2 && all.iter().all(same) && all_of(IncidentKind::Drift) => {
                    format!("{place}: {} and {} put right", label(a), label(b))
                }
                all if right == all.len() && all_of(IncidentKind::Drift) => {
                    format!("{place}: {} settings put right", all.len())
                }
                all if right == all.len() && all_of(IncidentKind::Missing) => {
                    format!("{place}: {} sessions are back", all.len())
                }
                all if right == all.len() && all_of(IncidentKind::Unverifiable) => {
                    format!("{place}: {} sessions are being checked again", all.len())
                }
                all => format!("{place}: {} alerts ended", all.len()),
            }
        }
    }
}

/// The subject if all items say that sessions are not audited any more.
fn removed(notification: &Notification) -> Option<String> {
    let removed =
        |item: &&Item| matches!(item.about, About::Removed(_)) || item.change() == Some(Change::Ended(End::Removed));
    let first = notification.items.first()?;
    if !notification.items.iter().all(|item| removed(&item)) {
        return None;
    }
    let places = notification.items.iter().map(|item| (item.source(), item.session()));
    let places = places.collect::<BTreeSet<_>>().len();
    Some(match places {
        1 => format!("{} is no longer checked", clean(&called(first), NAME)),
        n => format!("{}: {n} sessions are no longer checked", first.source()?),
    })
}

fn is_repaired(item: &Item) -> bool {
    matches!(item.change(), Some(Change::Ended(End::Repaired | End::VisibleAgain)))
}

fn end(incident: &Incident, notification: &Notification) -> String {
    let end = notification.items.iter().find_map(|item| match item.change() {
        Some(Change::Ended(end)) => Some(end),
        _ => None,
    });
    let end = end.unwrap_or(End::Repaired);
    let (shop, label, ended) = (shop(incident), label(incident), ended(incident.kind(), end));
    match (incident.kind(), end) {
        (IncidentKind::Drift, End::BaselineChanged | End::NoLongerAudited | End::NotReturned) => {
            format!("{shop}: {label} is {ended}")
        }
        (IncidentKind::Drift, _) => format!("{shop}: {label} was {ended}"),
        (IncidentKind::Missing, _) => format!("{shop}: the session is back"),
        (IncidentKind::SourceChanged, End::TakenAsReal) => format!("{shop}: sessions are reported one by one"),
        (IncidentKind::SourceChanged, End::BaselineChanged) => format!("{shop}: the change is {ended}"),
        (IncidentKind::SourceChanged | IncidentKind::Unverifiable | IncidentKind::Unreachable, _) => {
            format!("{shop} is {ended}")
        }
    }
}
