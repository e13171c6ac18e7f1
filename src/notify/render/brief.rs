//! One line for each item or incident of a notification that has more than fit in full.

use super::lead::{SHORT, called, name, short};
use super::words::{VALUE, plain};
use super::{credential, undeliverable};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::notification::{About, Change, Item};
use crate::view::incident::ended;

/// The line of one item in the list of those that do not fit.
pub(super) fn brief(item: &Item) -> String {
    if let About::Undeliverable(change) = &item.about {
        return undeliverable::brief(change);
    }
    let who = called(item);
    let (Some(incident), Some(change)) = (item.incident(), item.change()) else {
        return match &item.about {
            About::Forgotten(forgotten) => format!("{who}: {}", forgotten.columns.words()),
            About::Credential(ending) => credential::brief(ending),
            About::Removed(_) => format!("{who}: no longer checked"),
            _ => format!("{who}: not checked"),
        };
    };
    format!("{who}: {}", state(incident, change))
}

/// The same for an open incident of which the recipient was notified before.
pub(super) fn brief_still(incident: &Incident) -> String {
    format!("{}: still wrong: {}", name(incident), state(incident, Change::Opened))
}

fn state(incident: &Incident, change: Change) -> String {
    let label = plain(&incident.facts.label, SHORT);
    match (incident.kind(), change) {
        (IncidentKind::Drift, Change::Ended(end)) => format!("{label}: {}", ended(IncidentKind::Drift, end)),
        (kind, Change::Ended(end)) => ended(kind, end).to_owned(),
        (IncidentKind::Drift, _) => {
            let (found, expected) = (short(&incident.facts.found), short(&incident.facts.expected));
            format!("{label}: {found}, should be {expected}")
        }
        (IncidentKind::Missing, Change::StillOpen(_)) => "still missing".to_owned(),
        (IncidentKind::Missing, _) => "missing".to_owned(),
        (IncidentKind::SourceChanged, _) => plain(&incident.facts.reason, VALUE),
        (IncidentKind::Unverifiable | IncidentKind::Unreachable, _) => "could not be checked".to_owned(),
    }
}
