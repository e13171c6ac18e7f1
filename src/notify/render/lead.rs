//! The first sentences: what is wrong now and what was put right, in words that fit a mail preview.

use std::collections::HashSet;

use super::times::at;
use super::words::{PROSE, VALUE, count, listed, name_of, named, number, plain, value, who};
use super::{credential, undeliverable};
use crate::domain::announcement::{RemovedSession, UnauditedSession};
use crate::domain::incident::{End, Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{About, BlindSession, Change, Item, Notification, NotificationKind};
use crate::domain::policy::Severity;
use crate::domain::session::SessionId;
use crate::view::incident::{IncidentView, ended};
use crate::view::words::capital;

/// Longest value in the first sentence, in characters; the entry below has the whole value.
pub(super) const SHORT: usize = 80;
/// Most sessions with a sentence of their own; more are counted.
const ONE_BY_ONE: usize = 3;
/// Most settings that are named in a list; the others are counted.
const NAMED: usize = 6;

type SourceOrSession<'a> = (Option<&'a Name>, Option<&'a SessionId>);

pub(super) fn lead(notification: &Notification) -> Vec<String> {
    if notification.kind == NotificationKind::Test {
        return vec![
            "This is a test message from Driftwise. If you can read it, alerts reach this address.".to_owned(),
        ];
    }
    let ending = credential::of(notification);
    if !ending.is_empty() {
        return vec![credential::lead(&ending, notification.at)];
    }
    let addresses = undeliverable::of(notification);
    if !addresses.is_empty() {
        return vec![undeliverable::lead(&addresses)];
    }
    let mut seen = HashSet::new();
    let of_items = notification.items.iter().map(|item| (item.source(), item.session()));
    let of_still = notification.still.iter().map(|incident| (Some(&incident.source), incident.key.session()));
    let places = of_items.chain(of_still).filter(|place| seen.insert(*place)).collect::<Vec<_>>();
    if places.len() > ONE_BY_ONE {
        return counted(notification, places.len());
    }
    places.into_iter().map(|place| of_place(notification, place)).collect()
}

/// All words about one session, or about a source as a whole.
fn of_place(notification: &Notification, place: SourceOrSession<'_>) -> String {
    let items = notification.items.iter().filter(|item| (item.source(), item.session()) == place).collect::<Vec<_>>();
    let still = notification.still.iter().map(|incident| &**incident);
    let still = still.filter(|incident| (Some(&incident.source), incident.key.session()) == place).collect::<Vec<_>>();
    match (items.as_slice(), still.as_slice()) {
        ([item], []) => one(item),
        _ if place.1.is_none() => {
            let still = still.iter().map(|incident| sentence_on(incident, Change::StillOpen(0)));
            items.iter().map(|item| one(item)).chain(still).collect::<Vec<_>>().join(" ")
        }
        _ => parts(&items, &still),
    }
}

/// `acme-uk: Put right: Export. Still wrong: Active (orders may have stopped), Tax code.`
fn parts(items: &[&Item], still: &[&Incident]) -> String {
    let of = |wanted: fn(Change) -> bool| {
        items.iter().filter(|i| i.change().is_some_and(wanted)).filter_map(|i| i.incident()).collect::<Vec<_>>()
    };
    let (new, unseen) = split(of(|change| matches!(change, Change::Opened | Change::Handover)));
    let updated = of(|change| matches!(change, Change::Updated));
    let mut known = of(|change| matches!(change, Change::StillOpen(_)));
    known.extend(still);
    let (known, still_unseen) = split(known);
    let (repaired, seen) = split(of(is_repair));
    let changed = of(|change| matches!(change, Change::Ended(End::BaselineChanged)));
    let left = of(|change| matches!(change, Change::Ended(End::NoLongerAudited | End::NotReturned)));
    let removed = of(|change| matches!(change, Change::Ended(End::Removed)));
    let part = |what: &str, of: &[&Incident], wrong| (!of.is_empty()).then(|| format!("{what}: {}.", names(of, wrong)));
    let repaired = part(&over(IncidentKind::Drift, End::Repaired), &repaired, false);
    let wrong = [part("Wrong", &new, true), part("Changed again and still wrong", &updated, true)];
    let nothing_new = wrong.iter().all(Option::is_none);
    let known = part("Still wrong", &known, true);
    // New incidents come first; without any, repairs, and then the known incidents that are left.
    let middle = if nothing_new { [repaired, known] } else { [known, repaired] };
    let others = [
        part("Could not be checked", &unseen, true),
        part("Still not checked", &still_unseen, true),
        part(&over(IncidentKind::Unverifiable, End::VisibleAgain), &seen, false),
        part(&over(IncidentKind::Drift, End::BaselineChanged), &changed, false),
        part(&over(IncidentKind::Drift, End::NoLongerAudited), &left, false),
        part("The session is no longer checked. Not put right", &removed, true),
    ];
    let found = items.iter().any(|item| matches!(item.about, About::Unaudited(_)));
    let found = found.then(|| "This session is not checked.".to_owned());
    let clear = repaired_only(items, still).then(|| NOTHING_ELSE.to_owned());
    let all = wrong.into_iter().chain(middle).chain(others).chain([found, clear]).flatten();
    let all = all.collect::<Vec<_>>().join(" ");
    let who = items.first().map(|item| called(item)).or_else(|| still.first().map(|incident| name(incident)));
    who.map_or(all.clone(), |who| format!("{who}: {all}"))
}

/// The end of the lead if everything about a session was put right.
pub(super) const NOTHING_ELSE: &str = "Nothing else is reported as wrong.";

/// The end of an incident, at the beginning of a sentence.
fn over(kind: IncidentKind, end: End) -> String {
    capital(ended(kind, end))
}

fn is_repair(change: Change) -> bool {
    matches!(change, Change::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed | End::TakenAsReal))
}

fn repaired_only(items: &[&Item], still: &[&Incident]) -> bool {
    still.is_empty() && items.iter().all(|item| item.change().is_some_and(is_repair))
}

/// Splits incidents into those of settings and sessions, and those of what could not be checked.
fn split(all: Vec<&Incident>) -> (Vec<&Incident>, Vec<&Incident>) {
    let seen = |incident: &&Incident| matches!(incident.kind(), IncidentKind::Drift | IncidentKind::Missing);
    all.into_iter().partition(seen)
}

/// The settings of incidents by their labels, with the effect on orders where they are wrong.
fn names(incidents: &[&Incident], wrong: bool) -> String {
    let name = |incident: &&Incident| match incident.kind() {
        IncidentKind::Drift if wrong && incident.facts.stops_orders => {
            format!("{} (orders may have stopped)", plain(&incident.facts.label, SHORT))
        }
        IncidentKind::Drift => plain(&incident.facts.label, SHORT),
        IncidentKind::Missing if wrong => "the session is missing (orders may have stopped)".to_owned(),
        IncidentKind::Missing => "the session, which is back".to_owned(),
        IncidentKind::Unverifiable => unread(incident),
        IncidentKind::Unreachable | IncidentKind::SourceChanged => "all settings".to_owned(),
    };
    let mut names = incidents.iter().take(NAMED).map(name).collect::<Vec<_>>();
    if incidents.len() > NAMED {
        names.push(format!("{} more", incidents.len() - NAMED));
    }
    names.join(", ")
}

/// For many sessions: where orders may have stopped, and how many there are of each kind.
fn counted(notification: &Notification, places: usize) -> Vec<String> {
    let changed = |wanted: fn(Change) -> bool| {
        notification.items.iter().filter(|i| i.change().is_some_and(wanted)).filter_map(Item::incident).collect()
    };
    let (new, unseen) = split(changed(|change| matches!(change, Change::Opened | Change::Handover)));
    let updated = changed(|change| matches!(change, Change::Updated));
    let mut known = changed(|change| matches!(change, Change::StillOpen(_)));
    known.extend(notification.still.iter().map(|incident| &**incident));
    let (known, still_unseen) = split(known);
    let (repaired, seen) = split(changed(is_repair));
    let others = changed(|change| {
        matches!(change, Change::Ended(End::BaselineChanged | End::NoLongerAudited | End::NotReturned))
    });
    let removed = changed(|change| matches!(change, Change::Ended(End::Removed)));
    let announced = |wanted: fn(&About) -> bool| notification.items.iter().filter(|i| wanted(&i.about)).count();
    let dropped = announced(|about| matches!(about, About::Removed(_)));
    let found = announced(|about| matches!(about, About::Unaudited(_)));
    let gone = announced(|about| matches!(about, About::Forgotten(_)));
    let part = |of: &[&Incident], what: &str| {
        let settings = of.iter().all(|incident| incident.kind() == IncidentKind::Drift);
        let n = if settings { count(of.len(), "setting") } else { number(of.len()) };
        (!of.is_empty()).then(|| format!("{n} {what}"))
    };
    let parts = [
        part(&new, "wrong"),
        part(&updated, "changed again and still wrong"),
        part(&known, "still wrong"),
        part(&unseen, "could not be checked"),
        part(&still_unseen, "still not checked"),
        part(&repaired, ended(IncidentKind::Drift, End::Repaired)),
        part(&seen, ended(IncidentKind::Unverifiable, End::VisibleAgain)),
        part(&others, ended(IncidentKind::Drift, End::BaselineChanged)),
        part(&removed, ended(IncidentKind::Drift, End::Removed)),
        (dropped > 0).then(|| format!("{} no longer checked", count(dropped, "session"))),
        (found > 0).then(|| format!("{} not checked", count(found, "new session"))),
        (gone > 0).then(|| format!("columns no longer returned by {}", count(gone, "source"))),
    ];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let sources = notification.items.iter().any(|item| item.session().is_none());
    let places = if sources { format!("{places} sessions and sources") } else { count(places, "session") };
    let mut lines = vec![format!("{places}: {parts}.")];
    let mut stopped = Vec::new();
    for incident in notification.wrong().into_iter().filter(|incident| IncidentView(incident).may_stop_orders()) {
        let name = plain(&name(incident), SHORT);
        if !stopped.contains(&name) {
            stopped.push(name);
        }
    }
    if !stopped.is_empty() {
        let more = stopped.len().saturating_sub(NAMED);
        stopped.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.insert(0, format!("Orders may have stopped: {}{more}.", stopped.join(", ")));
    }
    lines
}

/// The name that people give the session or source of an incident.
pub(super) fn name(incident: &Incident) -> String {
    who(&incident.source, incident.key.session(), incident.facts.name.as_deref())
}

/// The same for an item.
pub(super) fn called(item: &Item) -> String {
    match &item.about {
        About::Incident { incident, .. } => name(incident),
        About::Removed(removed) => who(&removed.source, Some(&removed.session), removed.name.as_deref()),
        About::Forgotten(forgotten) => forgotten.source.to_string(),
        About::Unaudited(found) => who(&found.source, Some(&found.session), found.name.as_deref()),
        About::Reload(_) => String::from("The configuration"),
        About::Credential(ending) => {
            ending.source.as_ref().map_or_else(|| String::from("Mail of Driftwise"), Name::to_string)
        }
        About::Undeliverable(change) => change.address.address.to_string(),
    }
}

fn one(item: &Item) -> String {
    let who = called(item);
    match &item.about {
        About::Unaudited(found) => unaudited(found, &who),
        About::Undeliverable(change) => undeliverable::lead(&[change]),
        About::Removed(removed) => removed_session(removed, &who),
        About::Forgotten(forgotten) => {
            format!("{who} changed, but no rule needs what is gone. {}", sentence(&forgotten.columns.words()))
        }
        About::Credential(ending) => credential::lead(&[ending], ending.at),
        About::Reload(refused) => {
            let problems = count(refused.problems.len() + refused.more, "problem");
            format!("Driftwise refused a changed configuration: it has {problems}. The previous one stays in force.")
        }
        About::Incident { incident, change, blind: Some(sessions) } => blind(sessions, incident, *change, item.zone),
        About::Incident { incident, change, blind: None } => sentence_on(incident, *change),
    }
}

fn sentence_on(incident: &Incident, change: Change) -> String {
    let (who, source) = (name(incident), &incident.source);
    match (incident.kind(), change) {
        (IncidentKind::Drift, change) => drift(incident, change, &who),
        (IncidentKind::SourceChanged, Change::Ended(End::Removed)) => {
            no_longer(&who, "It was still reported as changed.")
        }
        (IncidentKind::Missing, Change::Ended(End::Removed)) => no_longer(&who, "It was missing until then."),
        (_, Change::Ended(End::Removed)) => no_longer(&who, "It could not be checked until then."),
        (IncidentKind::Missing, Change::Ended(end)) => {
            format!("{}: {}. {NOTHING_ELSE}", over(incident.kind(), end), session(incident, &who))
        }
        (IncidentKind::Missing, Change::StillOpen(_)) => {
            format!("Still missing, and orders may have stopped: {}.", session(incident, &who))
        }
        (IncidentKind::Missing, _) => {
            let returns = if incident.window.last_good.is_none() { "does not return" } else { "no longer returns" };
            let session = session(incident, &who);
            format!("Orders may have stopped: {session} is missing. OrderWise {returns} it.")
        }
        (IncidentKind::Unverifiable, Change::Ended(end)) => {
            format!("{}: all settings of {who}.", over(incident.kind(), end))
        }
        (IncidentKind::Unverifiable, Change::StillOpen(_)) => {
            format!("Still not checked: {} of {who}.", unread(incident))
        }
        (IncidentKind::Unverifiable, _) => format!("Could not be checked: {} of {who}.", unread(incident)),
        (IncidentKind::Unreachable, Change::Ended(end)) => {
            format!("{}: {source} and its sessions.", over(incident.kind(), end))
        }
        (IncidentKind::Unreachable, Change::StillOpen(_)) => {
            format!("Still not checked: {source} and all its sessions.")
        }
        (IncidentKind::Unreachable, _) => format!("{source} and all its sessions could not be checked."),
        (IncidentKind::SourceChanged, Change::Ended(End::TakenAsReal)) => {
            format!(
                "The change in {source} has lasted, so it counts as real. Each session that is still wrong is reported separately."
            )
        }
        (IncidentKind::SourceChanged, Change::Ended(end @ End::BaselineChanged)) => {
            format!("{}: the change in {source}. No rule needs the columns that are gone.", over(incident.kind(), end))
        }
        (IncidentKind::SourceChanged, Change::Ended(end)) => format!("{}: {source}.", over(incident.kind(), end)),
        (IncidentKind::SourceChanged, change) => {
            let orders = if incident.facts.stops_orders { "Orders may have stopped: " } else { "" };
            let still = if matches!(change, Change::StillOpen(_)) { "is still changed" } else { "changed" };
            format!("{orders}{source} {still}. {}", sentence(&incident.facts.reason))
        }
    }
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    let text = plain(reason, PROSE);
    let stop = if text.ends_with('?') { "" } else { "." };
    format!("{text}{stop}")
}

fn unaudited(found: &UnauditedSession, who: &str) -> String {
    let id = found.session.as_str();
    let named = named(found.name.as_deref()).is_some();
    let who = if named { format!("{who}, session ID {}", plain(id, SHORT)) } else { who.to_owned() };
    format!("A new session has appeared in {} and is not checked: {who}.", found.source)
}

/// The words for a shop owner, who cannot repair the audit.
fn blind(sessions: &[BlindSession], incident: &Incident, change: Change, zone: chrono_tz::Tz) -> String {
    let names = sessions.iter().map(|s| plain(&name_of(&s.key, s.name.as_deref()), SHORT));
    let names = if sessions.is_empty() { incident.source.to_string() } else { listed(names, NAMED) };
    let some = incident.kind() == IncidentKind::Unverifiable;
    match change {
        Change::Ended(End::Removed) if sessions.len() > 1 => {
            format!(
                "{names} are no longer checked: they were taken out of these checks. They could not be checked until then."
            )
        }
        Change::Ended(End::Removed) => no_longer(&names, "It could not be checked until then."),
        Change::Ended(end) if some => format!("{}: all settings of {names}.", over(incident.kind(), end)),
        Change::Ended(end) => format!("{}: {names}.", over(incident.kind(), end)),
        _ => {
            let what = if some { unread(incident) } else { String::from("the settings") };
            let (verb, them) = if some && incident.facts.unread.len() == 1 { ("has", "it") } else { ("have", "them") };
            format!(
                "{} of {names} {verb} not been checked since {}. A change to {them} would go unnoticed.",
                capital(&what),
                at(incident.window.first_bad, zone)
            )
        }
    }
}

/// The words for a session with open incidents that is not audited any more.
fn removed_session(removed: &RemovedSession, who: &str) -> String {
    let wrong = removed.wrong.iter().take(NAMED).map(|label| plain(label, SHORT)).collect::<Vec<_>>().join(", ");
    let wrong = if wrong.is_empty() { String::new() } else { format!("Not put right: {wrong}.") };
    no_longer(who, &wrong)
}

fn no_longer(who: &str, more: &str) -> String {
    format!("{who} is no longer checked: it was taken out of these checks. {more}").trim_end().to_owned()
}

/// A session without a name is called `session SOURCE/ID` already.
fn session(incident: &Incident, who: &str) -> String {
    if named(incident.facts.name.as_deref()).is_some() { format!("session {who}") } else { who.to_owned() }
}

fn unread(incident: &Incident) -> String {
    match incident.facts.unread.as_slice() {
        [] => "settings".to_owned(),
        [one] => format!("“{}”", plain(&one.label, SHORT)),
        several => count(several.len(), "setting"),
    }
}

pub(super) fn short(text: &str) -> String {
    plain(&value(text), SHORT)
}

fn drift(incident: &Incident, change: Change, who: &str) -> String {
    let facts = &incident.facts;
    let label = plain(&facts.label, VALUE);
    let (found, expected) = (short(&facts.found), short(&facts.expected));
    let quoted = if facts.flag.is_some() { found.clone() } else { format!("“{found}”") };
    let and_orders = if facts.stops_orders { ", and orders may have stopped" } else { "" };
    match change {
        Change::Opened | Change::Handover => {
            let first = match incident.severity {
                _ if facts.stops_orders => "Orders may have stopped",
                Severity::Critical => "Critical",
                Severity::Warning | Severity::Info => "Wrong",
            };
            format!("{first}: “{label}” of {who} is {quoted} and should be {expected}.")
        }
        Change::Updated => format!(
            "Changed again and still wrong{and_orders}: “{label}” of {who} was “{}” and is {quoted} now. It should be {expected}.",
            short(facts.before.as_deref().unwrap_or_default())
        ),
        Change::StillOpen(_) => {
            format!("Still wrong{and_orders}: “{label}” of {who} is {quoted} and should be {expected}.")
        }
        Change::Ended(End::Removed) => no_longer(who, &format!("Not put right: “{label}”.")),
        Change::Ended(end) => {
            let more = match end {
                End::BaselineChanged => ". The expected value changed; the value found did not.",
                End::NoLongerAudited => ". No rule asks for it, and nothing was put right.",
                End::NotReturned => ". The source no longer returns it for any session, and nothing was put right.",
                _ => &format!(" is as it should be: {expected}. {NOTHING_ELSE}"),
            };
            format!("{}: “{label}” of {who}{more}", over(incident.kind(), end))
        }
    }
}
