//! One thing told in full: what it is, what it should be, since when, what it does to orders, and where to click.

use serde::Serialize;

use super::times::{at, between, catching_up, recoverable, since};
use super::words::{PROSE, VALUE, count, escaped, plain, value};
use crate::domain::incident::{End, Facts, Incident, IncidentKind, Phase, Unread};
use crate::domain::notification::{Item, Notification};
use crate::domain::policy::Severity;
use crate::domain::reconcile::{About, News};

/// Settings that could not be checked and are named; the others are counted.
const NAMED: usize = 20;

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub heading: String,
    /// Of the bar beside it; it never stands alone for a meaning.
    pub colour: &'static str,
    pub rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub label: &'static str,
    /// One, or a list.
    pub values: Vec<String>,
    pub strong: bool,
}

impl Entry {
    /// How much room its words take.
    pub fn bytes(&self) -> usize {
        escaped(&self.heading) + self.rows.iter().flat_map(|row| &row.values).map(|text| escaped(text)).sum::<usize>()
    }
}

const RED: &str = "#cf222e";
const AMBER: &str = "#bf8700";
const GREEN: &str = "#2da44e";
const GREY: &str = "#6e7781";

pub(super) fn entry(item: &Item, message: &Notification) -> Entry {
    let teller = Teller { item, message };
    let (heading, rows) = match &item.about {
        About::Incident(incident) => teller.incident(incident),
        About::Unaudited { id, name } => teller.unaudited(id.as_str(), name.as_deref()),
    };
    let colour = match (&item.news, item.severity) {
        (News::Ended(End::BaselineChanged | End::NoLongerAudited) | News::Found, _) => GREY,
        (News::Ended(_), _) => GREEN,
        (_, Severity::Critical) => RED,
        (_, _) => AMBER,
    };
    Entry { heading, colour, rows: rows.into_iter().flatten().collect() }
}

fn row(label: &'static str, text: &str) -> Option<Row> {
    let text = plain(text, PROSE);
    (!text.is_empty()).then(|| Row { label, values: vec![text], strong: false })
}

/// Words of ours or of a rule: a sentence.
fn prose(label: &'static str, text: &str) -> Option<Row> {
    let text = plain(text, PROSE);
    let mut rest = text.chars();
    let first = rest.next()?.to_uppercase();
    // A sentence that ends in brackets still wants its stop; one that stands in brackets has it inside.
    let ended = text.trim_end_matches(')').ends_with(['.', '!', '?', '…']);
    let stop = if ended { "" } else { "." };
    Some(Row { label, values: vec![format!("{first}{}{stop}", rest.as_str())], strong: false })
}

fn strong(label: &'static str, text: &str) -> Option<Row> {
    row(label, &value(text)).map(|row| Row { strong: true, ..row })
}

type Told = (String, Vec<Option<Row>>);

struct Teller<'a> {
    item: &'a Item,
    message: &'a Notification,
}

impl Teller<'_> {
    fn incident(&self, incident: &Incident) -> Told {
        match (&self.item.news, incident.kind()) {
            (News::Ended(end), IncidentKind::Drift) => self.drift_over(incident, *end),
            (News::Ended(end), _) => self.seen_again(incident, *end),
            (_, IncidentKind::Drift) => self.drift(incident),
            (_, IncidentKind::Missing) => self.missing(incident),
            (_, IncidentKind::Unverifiable) => self.unverifiable(incident),
            (_, IncidentKind::Unreachable) => self.unreachable(incident),
        }
    }

    fn at(&self, time: chrono::DateTime<chrono::Utc>) -> String {
        at(time, self.item.zone)
    }

    fn since(&self, incident: &Incident) -> Option<Row> {
        row("Since when", &since(incident.window, self.item.zone))
    }

    fn importance(&self) -> Option<Row> {
        row(
            "Importance",
            match self.item.severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info => "for information",
            },
        )
    }

    fn drift(&self, incident: &Incident) -> Told {
        let facts = &incident.facts;
        let before = match &self.item.news {
            News::Updated { before } => Some(before),
            _ => None,
        };
        let orders = || recoverable(incident.window, self.message.at, self.item.zone);
        let rows = vec![
            before.and_then(|before| row("Was", &value(before))),
            strong("Now", &facts.found),
            strong("Should be", &facts.expected),
            before.and_then(|_| row("Seen", &self.at(self.message.at))),
            self.since(incident),
            prose("What this does", &facts.why),
            facts.stops_orders.then(|| prose("Orders", &orders())).flatten(),
            row("How to put it right", &facts.fix),
            self.importance(),
        ];
        (plain(&facts.label, VALUE), rows)
    }

    fn drift_over(&self, incident: &Incident, end: End) -> Told {
        let facts = &incident.facts;
        let seen = ended(incident).map(|time| self.at(time)).unwrap_or_default();
        let was = || row("It was", &value(&facts.found));
        let rows = match end {
            End::BaselineChanged => vec![
                prose("Why", "what is expected of it changed; the value did not change, so nobody put it right"),
                row("The value", &value(&facts.found)),
                row("Was expected until now", &value(&facts.expected)),
                row("Seen", &seen),
            ],
            End::NoLongerAudited => vec![
                prose("Why", "the configuration of Driftwise does not ask for it any more"),
                row("Last seen as", &value(&facts.found)),
                row("Should have been", &value(&facts.expected)),
            ],
            End::Repaired | End::VisibleAgain | End::Unconfirmed => vec![
                strong("Now as expected", &facts.expected),
                was(),
                row("Seen right again", &seen),
                row("Since when it was not", &since(incident.window, self.item.zone)),
                facts.stops_orders.then(|| prose("Orders", &catching_up(incident.window, self.item.zone))).flatten(),
            ],
        };
        (plain(&facts.label, VALUE), rows)
    }

    fn missing(&self, incident: &Incident) -> Told {
        let never_seen = incident.window.last_good.is_none();
        let rows = vec![
            prose("What was seen", "OrderWise returned its other sessions, but not this one"),
            self.since(incident),
            prose(
                "What this does",
                "if the session was deleted, orders of its shop have no session to arrive in, and none of its settings can be checked",
            ),
            prose("Orders", &recoverable(incident.window, self.message.at, self.item.zone)),
            prose(
                "What to do",
                if never_seen {
                    "poll for it under E-Commerce > E-Commerce Sessions and compare its session ID with the one that the configuration of Driftwise names. If they are the same, what Driftwise reads leaves it out: ask whoever polls after that export"
                } else {
                    "poll for it under E-Commerce > E-Commerce Sessions. If it is there, what Driftwise reads leaves it out: ask whoever polls after that export. If it was removed on purpose, take it out of the configuration of Driftwise"
                },
            ),
            self.importance(),
        ];
        let heading = if never_seen { "The session was not found" } else { "The session has disappeared" };
        (heading.to_owned(), rows)
    }

    fn unverifiable(&self, incident: &Incident) -> Told {
        let rows = vec![
            settings(&incident.facts),
            self.since(incident),
            prose(
                "What this means",
                "whether these settings are as they should be is not known: a change to them would go unnoticed",
            ),
            prose(
                "What to do",
                "ask whoever polls after the export that Driftwise reads: most often a column is missing from it, or a value comes in another spelling than before",
            ),
            self.importance(),
        ];
        ("Settings that could not be checked".to_owned(), rows)
    }

    fn unreachable(&self, incident: &Incident) -> Told {
        let rows = vec![
            row("Why", &incident.facts.reason),
            self.since(incident),
            prose(
                "What this means",
                "as long as this lasts, nothing is known about the settings of its sessions: a change, even one that stops orders, could go unnoticed",
            ),
            prose(
                "What to do",
                "see that the system runs and can be reached, and that the sign-in and the export that Driftwise uses still work. Driftwise keeps trying, and says so when it is being checked again",
            ),
        ];
        (format!("{} could not be checked", self.message.source), rows)
    }

    /// The end of what could not be seen.
    fn seen_again(&self, incident: &Incident, end: End) -> Told {
        let first = incident.window.first_bad;
        let over = ended(incident).unwrap_or(self.message.at);
        let time = between(first, over, self.item.zone);
        let missing = incident.kind() == IncidentKind::Missing;
        let heading = match (end, missing, incident.kind()) {
            (End::NoLongerAudited, ..) => "Not checked any more".to_owned(),
            (_, true, _) => "The session is back".to_owned(),
            (_, _, IncidentKind::Unreachable) => format!("{} is being checked again", self.message.source),
            _ => "All its settings are being checked again".to_owned(),
        };
        if end == End::NoLongerAudited {
            let why = "the configuration of Driftwise does not include it any more";
            return (
                heading,
                vec![prose("Why", why), row(if missing { "It was missing" } else { "It could not be checked" }, &time)],
            );
        }
        let reason = if missing { None } else { row("Why it could not", &incident.facts.reason) };
        let rows = vec![
            row(if missing { "It was missing" } else { "It could not be checked" }, &time),
            reason,
            prose(
                "What this means",
                "what changed and changed back in that time was not seen; what is wrong now is told as always",
            ),
        ];
        (heading, rows)
    }

    fn unaudited(&self, id: &str, name: Option<&str>) -> Told {
        let rows = vec![
            row("Name", name.unwrap_or("(none)")),
            row("Session ID", id),
            row("First seen", &self.at(self.message.at)),
            prose("What this means", "its settings are not checked, and nobody would be told of a change"),
            prose(
                "What to do",
                "if it is the session of a shop, perhaps a copy of another, have it added to the configuration of Driftwise. If nobody knows it, find out what it is for",
            ),
        ];
        ("A session that nobody checks".to_owned(), rows)
    }
}

fn ended(incident: &Incident) -> Option<chrono::DateTime<chrono::Utc>> {
    match incident.phase {
        Phase::Ended { at, .. } => Some(at),
        _ => None,
    }
}

/// Each setting once, with the reason.
fn settings(facts: &Facts) -> Option<Row> {
    if let [first, rest @ ..] = facts.unread.as_slice()
        && !rest.is_empty()
        && rest.iter().all(|other| other.reason == first.reason)
    {
        let count = count(facts.unread.len(), "setting", "settings");
        return row("Why", &format!("{} ({count})", plain(&first.reason, VALUE)));
    }
    let say = |unread: &Unread| format!("{}: {}", plain(&unread.label, VALUE), plain(&unread.reason, VALUE));
    let mut values: Vec<String> = Vec::new();
    for line in facts.unread.iter().map(say) {
        if !values.contains(&line) {
            values.push(line);
        }
    }
    if values.is_empty() {
        return row("Why", &facts.reason);
    }
    if values.len() > NAMED {
        let more = values.len() - NAMED;
        values.truncate(NAMED);
        values.push(format!("and {} more", count(more, "setting", "settings")));
    }
    Some(Row { label: "Settings", values, strong: false })
}
