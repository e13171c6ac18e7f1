//! The first sentences: what is wrong now and what was put right, in words that a preview shows.

use std::collections::HashSet;

use super::times::at;
use super::undeliverable;
use super::words::{VALUE, count, name_of, named, plain, value, who};
use crate::domain::announcement::UnauditedSession;
use crate::domain::incident::{End, Facts, Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{About, BlindSession, Change, Item, Notification, NotificationKind};
use crate::domain::session::SessionId;

/// Longest value in the first sentence, in characters; the whole value stands below.
const SHORT: usize = 80;
/// Sessions that are told of one by one; more are counted.
const ONE_BY_ONE: usize = 3;
/// Settings that are named in a list; the others are counted.
const NAMED: usize = 6;

type Place<'a> = (Option<&'a Name>, Option<&'a SessionId>);

pub(super) fn lead(notification: &Notification) -> Vec<String> {
    if notification.kind == NotificationKind::Test {
        return vec!["This is a test message of Driftwise. If you can read it, alerts reach this address.".to_owned()];
    }
    let addresses = undeliverable::of(notification);
    if !addresses.is_empty() {
        return vec![undeliverable::lead(&addresses)];
    }
    let mut seen = HashSet::new();
    let places = notification.items.iter().map(|item| (item.source(), item.session()));
    let places = places.filter(|place| seen.insert(*place)).collect::<Vec<_>>();
    if places.len() > ONE_BY_ONE {
        return counted(notification, places.len());
    }
    places.into_iter().map(|place| of_place(notification, place)).collect()
}

/// All about one session, or about a source as a whole.
fn of_place(notification: &Notification, place: Place<'_>) -> String {
    let items = notification.items.iter().filter(|item| (item.source(), item.session()) == place).collect::<Vec<_>>();
    let still = notification.still.iter().map(|incident| &**incident);
    let still = still.filter(|incident| (Some(&incident.source), incident.key.session()) == place).collect::<Vec<_>>();
    match (items.as_slice(), still.as_slice()) {
        ([item], []) => one(item),
        _ => parts(&items, &still),
    }
}

/// `acme-uk: Put right: Export. Still wrong: Active (orders may have stopped), Tax code.`
fn parts(items: &[&Item], still: &[&Incident]) -> String {
    let of = |wanted: fn(Change) -> bool| {
        items.iter().filter(|i| i.change().is_some_and(wanted)).filter_map(|i| i.incident()).collect::<Vec<_>>()
    };
    let new = of(|change| matches!(change, Change::Opened | Change::Handover));
    let updated = of(|change| matches!(change, Change::Updated));
    let mut known = of(|change| matches!(change, Change::StillOpen(_)));
    known.extend(still);
    let repaired = of(|change| matches!(change, Change::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed)));
    let changed = of(|change| matches!(change, Change::Ended(End::BaselineChanged)));
    let left = of(|change| matches!(change, Change::Ended(End::NoLongerAudited)));
    let part = |what: &str, of: &[&Incident], wrong| (!of.is_empty()).then(|| format!("{what}: {}.", names(of, wrong)));
    let wrong = [part("Wrong", &new, true), part("Changed again and still wrong", &updated, true)];
    let repaired = part("Put right", &repaired, false);
    let known = part("Still wrong", &known, true);
    let others = [part("Not reported any more", &changed, false), part("Not checked any more", &left, false)];
    let found = items.iter().any(|item| matches!(item.about, About::Unaudited(_)));
    let found = found.then(|| "This session is not checked.".to_owned());
    // What is new comes first; where nothing is, what was put right and what is left of it.
    let middle = if new.is_empty() && updated.is_empty() { [repaired, known] } else { [known, repaired] };
    let all = wrong.into_iter().chain(middle).chain(others).chain([found]).flatten().collect::<Vec<_>>().join(" ");
    match items.first() {
        Some(item) => format!("{}: {all}", called(item)),
        None => all,
    }
}

/// The settings of incidents by their labels, with what they do to orders where they are wrong.
fn names(incidents: &[&Incident], wrong: bool) -> String {
    let name = |incident: &&Incident| match incident.kind() {
        IncidentKind::Drift if !wrong => plain(&incident.facts.label, SHORT),
        IncidentKind::Missing if !wrong => "the session, which is back".to_owned(),
        IncidentKind::Unverifiable | IncidentKind::Unreachable if !wrong => "what could not be checked".to_owned(),
        IncidentKind::Drift if incident.facts.stops_orders => {
            format!("{} (orders may have stopped)", plain(&incident.facts.label, SHORT))
        }
        IncidentKind::Drift => plain(&incident.facts.label, SHORT),
        IncidentKind::Missing => "the session is missing (orders may have stopped)".to_owned(),
        IncidentKind::Unverifiable => match incident.facts.unread.len() {
            0 | 1 => "a setting that could not be checked".to_owned(),
            n => format!("{n} settings that could not be checked"),
        },
        IncidentKind::Unreachable => "all of it could not be checked".to_owned(),
    };
    let mut names = incidents.iter().take(NAMED).map(name).collect::<Vec<_>>();
    if incidents.len() > NAMED {
        names.push(format!("{} more", incidents.len() - NAMED));
    }
    names.join(", ")
}

/// Many sessions: how many of each.
fn counted(notification: &Notification, places: usize) -> Vec<String> {
    let of = |wanted: fn(&Item) -> bool| notification.items.iter().filter(|item| wanted(item)).count();
    let new = of(|item| matches!(item.change(), Some(Change::Opened | Change::Handover)));
    let updated = of(|item| matches!(item.change(), Some(Change::Updated)));
    let known = of(|item| matches!(item.change(), Some(Change::StillOpen(_)))) + notification.still.len();
    let repaired =
        of(|item| matches!(item.change(), Some(Change::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed))));
    let others = of(|item| matches!(item.change(), Some(Change::Ended(End::BaselineChanged | End::NoLongerAudited))));
    let found = of(|item| item.change().is_none());
    let stopped = notification.wrong().iter().filter(|incident| incident.facts.stops_orders).count();
    let part = |n: usize, what: &str| (n > 0).then(|| format!("{what}: {n}."));
    let parts = [
        part(new, "New"),
        part(updated, "Changed again and still wrong"),
        part(known, "Still wrong"),
        part(repaired, "Put right"),
        part(others, "Not reported any more"),
        part(found, "Sessions that are not checked"),
        (stopped > 0).then(|| format!("Orders may have stopped: {}.", count(stopped, "setting"))),
    ];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let places = if places == 1 { "1 session or source".to_owned() } else { format!("{places} sessions and sources") };
    vec![format!("{places}: {parts}")]
}

/// What an item is about, as people call it.
fn called(item: &Item) -> String {
    match &item.about {
        About::Incident { incident, .. } => {
            who(&incident.source, incident.key.session(), incident.facts.name.as_deref())
        }
        About::Unaudited(found) => who(&found.source, Some(&found.session), found.name.as_deref()),
        About::Reload(_) => String::from("The configuration"),
        About::Undeliverable(news) => news.address.address.to_string(),
    }
}

fn one(item: &Item) -> String {
    let who = called(item);
    let (incident, change) = match &item.about {
        About::Unaudited(found) => return unaudited(found, &who),
        About::Undeliverable(news) => return undeliverable::lead(&[news]),
        About::Reload(refused) => {
            let problems = count(refused.problems.len() + refused.more, "problem");
            return format!(
                "Driftwise could not take over a changed configuration: it has {problems}. The configuration before it stays in force."
            );
        }
        About::Incident { incident, change, blind: Some(sessions) } => {
            return blind(sessions, incident, *change, item.zone);
        }
        About::Incident { incident, change, blind: None } => (incident, *change),
    };
    let source = &incident.source;
    match (incident.kind(), change) {
        (IncidentKind::Drift, change) => drift(&incident.facts, change, &who),
        (_, Change::Ended(End::NoLongerAudited)) => not_any_more(&who, ""),
        (IncidentKind::Missing, Change::Ended(_)) => format!("Back again: the {} is there.", session(incident, &who)),
        (IncidentKind::Missing, Change::StillOpen(_)) => {
            format!("Still missing: the {} has not come back (orders may have stopped).", session(incident, &who))
        }
        (IncidentKind::Missing, _) if incident.window.last_good.is_none() => {
            format!(
                "The {} was not found: OrderWise returned other sessions, but not this one.",
                session(incident, &who)
            )
        }
        (IncidentKind::Missing, _) => {
            format!("The {} has disappeared: OrderWise does not return it any more.", session(incident, &who))
        }
        (IncidentKind::Unverifiable, Change::Ended(_)) => format!("Being checked again: all settings of {who}."),
        (IncidentKind::Unverifiable, Change::StillOpen(_)) => {
            format!("Still not checked: {} of {who}.", unread(incident))
        }
        (IncidentKind::Unverifiable, _) => format!("Could not be checked: {} of {who}.", unread(incident)),
        (IncidentKind::Unreachable, Change::Ended(_)) => format!("Being checked again: {source} and its sessions."),
        (IncidentKind::Unreachable, Change::StillOpen(_)) => {
            format!("Still not checked: {source} and all its sessions.")
        }
        (IncidentKind::Unreachable, _) => format!("{source} and all its sessions could not be checked."),
    }
}

fn unaudited(found: &UnauditedSession, who: &str) -> String {
    let id = found.session.as_str();
    let named = named(found.name.as_deref()).is_some();
    let who = if named { format!("{who}, session ID {}", plain(id, SHORT)) } else { who.to_owned() };
    format!("A session that is not checked has appeared in {}: {who}.", found.source)
}

/// In the words of a shop owner, who cannot put it right.
fn blind(sessions: &[BlindSession], incident: &Incident, change: Change, zone: chrono_tz::Tz) -> String {
    let mut names =
        sessions.iter().take(NAMED).map(|s| plain(&name_of(&s.key, s.name.as_deref()), SHORT)).collect::<Vec<_>>();
    if sessions.len() > NAMED {
        names.push(format!("{} more", sessions.len() - NAMED));
    }
    let names = if names.is_empty() { incident.source.to_string() } else { names.join(", ") };
    match change {
        Change::Ended(End::NoLongerAudited) => not_any_more(&names, ""),
        Change::Ended(_) => format!("Being checked again: {names}."),
        _ => format!(
            "The settings of {names} could not be checked since {}. A change to them would go unnoticed.",
            at(incident.window.first_bad, zone)
        ),
    }
}

/// A session without a name is called `session SOURCE/ID` already.
fn session(incident: &Incident, who: &str) -> String {
    if named(incident.facts.name.as_deref()).is_some() { format!("session {who}") } else { who.to_owned() }
}

fn not_any_more(who: &str, what: &str) -> String {
    format!("Not checked any more: {what}{who}. The configuration of Driftwise does not include it now.")
}

fn unread(incident: &Incident) -> String {
    match incident.facts.unread.as_slice() {
        [] => "settings".to_owned(),
        [one] => format!("“{}”", plain(&one.label, SHORT)),
        several => count(several.len(), "setting"),
    }
}

fn short(text: &str) -> String {
    plain(&value(text), SHORT)
}

fn drift(facts: &Facts, change: Change, who: &str) -> String {
    let label = plain(&facts.label, VALUE);
    let (found, expected) = (short(&facts.found), short(&facts.expected));
    let stops = if facts.stops_orders { " Orders may have stopped." } else { "" };
    match change {
        Change::Opened | Change::Handover if facts.flag.is_some() => {
            format!("In {who}, “{label}” is {found} and should be {expected}.{stops}")
        }
        Change::Opened | Change::Handover => {
            format!("In {who}, “{label}” is wrong: it is “{found}” and should be {expected}.{stops}")
        }
        Change::Updated => format!(
            "Changed again and still wrong: “{label}” of {who} was “{}” and is “{found}” now. It should be {expected}.{stops}",
            short(facts.before.as_deref().unwrap_or_default())
        ),
        Change::StillOpen(_) => {
            format!("Still wrong: “{label}” of {who} is “{found}” and should be {expected}.{stops}")
        }
        Change::Ended(End::BaselineChanged) => {
            format!("Not reported any more: “{label}” of {who}. The value did not change; what is expected of it did.")
        }
        Change::Ended(End::NoLongerAudited) => not_any_more(who, &format!("“{label}” of ")),
        Change::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed) => {
            format!("Put right: “{label}” of {who}. Expected: {expected}.")
        }
    }
}

/// One line of the list of what does not fit.
pub(super) fn brief(item: &Item) -> String {
    if let About::Undeliverable(news) = &item.about {
        return undeliverable::brief(news);
    }
    let who = called(item);
    let (Some(incident), Some(change)) = (item.incident(), item.change()) else {
        return format!("{who}: not checked");
    };
    format!("{who}: {}", state(incident, change))
}

/// The same of what is wrong and was known.
pub(super) fn brief_still(incident: &Incident) -> String {
    let who = who(&incident.source, incident.key.session(), incident.facts.name.as_deref());
    format!("{who}: still wrong: {}", state(incident, Change::Opened))
}

fn state(incident: &Incident, change: Change) -> String {
    let label = plain(&incident.facts.label, SHORT);
    match (incident.kind(), change) {
        (IncidentKind::Drift, Change::Ended(End::BaselineChanged)) => format!("{label}: not reported any more"),
        (IncidentKind::Drift, Change::Ended(End::NoLongerAudited)) => format!("{label}: not checked any more"),
        (IncidentKind::Drift, Change::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed)) => {
            format!("{label}: put right")
        }
        (IncidentKind::Drift, _) => {
            let (found, expected) = (short(&incident.facts.found), short(&incident.facts.expected));
            format!("{label}: {found}, should be {expected}")
        }
        (_, Change::Ended(End::NoLongerAudited)) => "not checked any more".to_owned(),
        (IncidentKind::Missing, Change::Ended(_)) => "back again".to_owned(),
        (IncidentKind::Missing, Change::StillOpen(_)) => "still missing".to_owned(),
        (IncidentKind::Missing, _) if incident.window.last_good.is_none() => "not found".to_owned(),
        (IncidentKind::Missing, _) => "disappeared".to_owned(),
        (_, Change::Ended(_)) => "being checked again".to_owned(),
        (_, _) => "could not be checked".to_owned(),
    }
}
