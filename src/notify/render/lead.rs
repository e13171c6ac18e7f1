//! The first sentences: what happened, in words that a preview shows. Of a follow-up they say first what became of it.

use super::page::{of_sessions, who};
use super::words::{VALUE, count, plain, value};
use crate::domain::incident::{End, Facts, Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::notification::{Item, Notification, NotificationKind};
use crate::domain::reconcile::{About, News};

/// Longest value in the first sentence, in characters; the whole value stands below.
const SHORT: usize = 80;

pub(super) fn lead(message: &Notification) -> Vec<String> {
    if message.kind == NotificationKind::Test {
        return vec!["This is a test message of Driftwise. If you can read it, alerts reach this address.".to_owned()];
    }
    let source = &message.source;
    match message.items.as_slice() {
        [] => vec!["There is nothing to report.".to_owned()],
        [item] => vec![one(item, source)],
        items => {
            let of = |kind| items.iter().filter(|item| item.kind == kind).collect::<Vec<_>>();
            let said = NotificationKind::ALL.map(of).into_iter().filter(|items| !items.is_empty());
            said.map(|items| several(&items, source)).collect()
        }
    }
}

fn one(item: &Item, source: &Name) -> String {
    let who = who(item, source);
    let incident = match &item.about {
        About::Incident(incident) => incident,
        About::Unaudited { id, .. } => {
            return format!("A session that nobody checks has appeared in {source}: {}.", unaudited(&who, id.as_str()));
        }
    };
    match (incident.kind(), &item.news) {
        (IncidentKind::Drift, news) => drift(&incident.facts, news, &who),
        (_, News::Ended(End::NoLongerAudited)) => not_any_more(&who, ""),
        (IncidentKind::Missing, News::Ended(_)) => format!("Back again: the {} is there.", session(&who)),
        (IncidentKind::Missing, News::StillOpen) => format!("Still missing: the {} has not come back.", session(&who)),
        (IncidentKind::Missing, _) if incident.window.last_good.is_none() => {
            format!("The {} was not found: OrderWise returned other sessions, but not this one.", session(&who))
        }
        (IncidentKind::Missing, _) => {
            format!("The {} has disappeared: OrderWise does not return it any more.", session(&who))
        }
        (IncidentKind::Unverifiable, News::Ended(_)) => format!("Being checked again: all settings of {who}."),
        (IncidentKind::Unverifiable, News::StillOpen) => {
            format!("Still not checked: {} of {who}.", unread(incident))
        }
        (IncidentKind::Unverifiable, _) => format!("Could not be checked: {} of {who}.", unread(incident)),
        (IncidentKind::Unreachable, News::Ended(_)) => format!("Being checked again: {source} and its sessions."),
        (IncidentKind::Unreachable, News::StillOpen) => format!("Still not checked: {source} and all its sessions."),
        (IncidentKind::Unreachable, _) => format!("{source} and all its sessions could not be checked."),
    }
}

fn unaudited(who: &str, id: &str) -> String {
    if who.ends_with(id) { who.to_owned() } else { format!("{who}, session ID {}", plain(id, SHORT)) }
}

/// A session that has no name is called one already.
fn session(who: &str) -> String {
    if who.starts_with("session ") { who.to_owned() } else { format!("session {who}") }
}

fn not_any_more(who: &str, what: &str) -> String {
    format!("Not checked any more: {what}{who}. The configuration of Driftwise does not include it now.")
}

fn unread(incident: &Incident) -> String {
    match incident.facts.unread.as_slice() {
        [] => "settings".to_owned(),
        [one] => format!("“{}”", plain(&one.label, SHORT)),
        several => count(several.len(), "setting", "settings"),
    }
}

fn short(text: &str) -> String {
    plain(&value(text), SHORT)
}

fn drift(facts: &Facts, news: &News, who: &str) -> String {
    let label = plain(&facts.label, VALUE);
    let (found, expected) = (short(&facts.found), short(&facts.expected));
    let plainly = matches!(facts.expected.as_str(), "ticked" | "unticked");
    match news {
        News::Opened | News::Found if plainly => {
            format!("In {who}, “{label}” is {found} and should be {expected}.")
        }
        News::Opened | News::Found => {
            format!("In {who}, “{label}” is not as it should be: it is “{found}” and should be {expected}.")
        }
        News::Updated { before } => format!(
            "Changed again, and still not as it should be: “{label}” of {who} was “{}” and is “{found}” now. It should be {expected}.",
            short(before)
        ),
        News::StillOpen => {
            format!("Still not as it should be: “{label}” of {who} is “{found}” and should be {expected}.")
        }
        News::Ended(End::BaselineChanged) => {
            format!("Not reported any more: “{label}” of {who}. The value did not change; what is expected of it did.")
        }
        News::Ended(End::NoLongerAudited) => not_any_more(who, &format!("“{label}” of ")),
        News::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed) => {
            format!("As it should be again: “{label}” of {who}. Expected: {expected}.")
        }
    }
}

fn several(items: &[&Item], source: &Name) -> String {
    let Some(kind) = items.first().map(|item| item.kind) else { return String::new() };
    let place = of_sessions(items, source);
    let settings = count(items.len(), "setting", "settings");
    let sessions = count(items.len(), "session", "sessions");
    let one = items.len() == 1;
    match kind {
        NotificationKind::Drift if one => format!("1 setting of {place} is not as it should be."),
        NotificationKind::Drift => format!("{settings} of {place} are not as they should be."),
        NotificationKind::Missing if one => {
            format!("The {} is missing: OrderWise does not return it.", session(&place))
        }
        NotificationKind::Missing => format!("{sessions} of {source} are missing: OrderWise does not return them."),
        NotificationKind::Unreachable => format!("{source} and all its sessions could not be checked."),
        NotificationKind::Unverifiable => format!("Could not be checked: settings of {place}."),
        NotificationKind::Update => format!("Changed again, and still not as it should be: {settings} of {place}."),
        NotificationKind::Resolved => resolved(items, &place),
        NotificationKind::Recovered => recovered(items, &place, source),
        NotificationKind::Reminder if one => format!("Still not as it should be: 1 key of {place}."),
        NotificationKind::Reminder => format!("Still not as they should be: {} things of {place}.", items.len()),
        NotificationKind::Found if one => format!("A session that nobody checks has appeared in {source}."),
        NotificationKind::Found => format!("{sessions} that nobody checks have appeared in {source}."),
        NotificationKind::Test => String::new(),
    }
}

/// Says only of what was put right that it was.
fn resolved(items: &[&Item], place: &str) -> String {
    let of = |end| items.iter().filter(|item| item.news == News::Ended(end)).count();
    let (repaired, changed, left) = (of(End::Repaired), of(End::BaselineChanged), of(End::NoLongerAudited));
    let part = |n: usize, what: &str| (n > 0).then(|| format!("{what}: {}", count(n, "setting", "settings")));
    let left_part = (left > 0).then(|| format!("Not checked any more: {left}"));
    let parts = [part(repaired, "As it should be again"), part(changed, "Not reported any more"), left_part];
    format!("{} of {place}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn recovered(items: &[&Item], place: &str, source: &Name) -> String {
    let missing = |item: &&Item| item.incident().is_some_and(|incident| incident.kind() == IncidentKind::Missing);
    if items.iter().all(missing) {
        format!("Back again: {}.", if items.len() == 1 { format!("the {}", session(place)) } else { place.to_owned() })
    } else if items.iter().any(|item| item.of_source()) {
        format!("Being checked again: {source} and its sessions.")
    } else {
        format!("Being checked again: {place}.")
    }
}

/// One line of the list of what does not fit.
pub(super) fn brief(item: &Item, source: &Name) -> String {
    let who = who(item, source);
    let Some(incident) = item.incident() else { return format!("{who}: nobody checks it") };
    let label = plain(&incident.facts.label, SHORT);
    match (incident.kind(), &item.news) {
        (IncidentKind::Drift, News::Ended(End::BaselineChanged)) => format!("{who}: {label}: not reported any more"),
        (IncidentKind::Drift, News::Ended(End::NoLongerAudited)) => format!("{who}: {label}: not checked any more"),
        (IncidentKind::Drift, News::Ended(End::Repaired | End::VisibleAgain | End::Unconfirmed)) => {
            format!("{who}: {label}: as it should be again")
        }
        (IncidentKind::Drift, _) => {
            let (found, expected) = (short(&incident.facts.found), short(&incident.facts.expected));
            format!("{who}: {label}: {found}, should be {expected}")
        }
        (_, News::Ended(End::NoLongerAudited)) => format!("{who}: not checked any more"),
        (IncidentKind::Missing, News::Ended(_)) => format!("{who}: back again"),
        (IncidentKind::Missing, News::StillOpen) => format!("{who}: still missing"),
        (IncidentKind::Missing, _) if incident.window.last_good.is_none() => format!("{who}: not found"),
        (IncidentKind::Missing, _) => format!("{who}: disappeared"),
        (_, News::Ended(_)) => format!("{who}: being checked again"),
        (_, _) => format!("{who}: could not be checked"),
    }
}
