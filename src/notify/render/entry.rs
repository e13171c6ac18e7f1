//! One thing told in full: what it is, what it should be, since when, what it does to orders, and where to click.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::times::{about, at, between, catching_up, recoverable, since};
use super::undeliverable;
use super::words::{PROSE, VALUE, count, escaped, plain, value};
use crate::domain::announcement::{RefusedConfig, UnauditedSession};
use crate::domain::incident::{End, Facts, Incident, IncidentKind, Phase, Unread};
use crate::domain::notification::{About, Change, Item, NotificationKind};
use crate::domain::policy::Severity;

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

/// What is new, told at `now`.
pub(super) fn entry(item: &Item, now: DateTime<Utc>) -> Entry {
    let teller = Teller { zone: item.zone, now, change: item.change(), blind: is_blind(item) };
    let (heading, rows) = match &item.about {
        About::Incident { incident, .. } => teller.incident(incident),
        About::Unaudited(found) => teller.unaudited(found),
        About::Reload(refused) => teller.refused(refused),
        About::Undeliverable(news) => undeliverable::entry(news, item.zone),
    };
    let colour = match (item.change(), item.severity()) {
        (None, severity) if item.kind() == NotificationKind::Undeliverable => colour(severity),
        (None, _) if item.kind() == NotificationKind::Recovered => GREEN,
        (Some(Change::Ended(End::BaselineChanged | End::NoLongerAudited)) | None, _) => GREY,
        (Some(Change::Ended(_)), _) => GREEN,
        (_, severity) => colour(severity),
    };
    Entry { heading, colour, rows: rows.into_iter().flatten().collect() }
}

/// What is wrong and was known before.
pub(super) fn still(incident: &Incident, zone: Tz, now: DateTime<Utc>) -> Entry {
    let teller = Teller { zone, now, change: Some(Change::StillOpen(0)), blind: false };
    let (heading, rows) = teller.incident(incident);
    let heading = format!("Still wrong: {heading}");
    Entry { heading, colour: colour(incident.severity), rows: rows.into_iter().flatten().collect() }
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => RED,
        Severity::Warning | Severity::Info => AMBER,
    }
}

fn is_blind(item: &Item) -> bool {
    matches!(&item.about, About::Incident { blind: Some(_), .. })
}

pub(super) fn row(label: &'static str, text: &str) -> Option<Row> {
    let text = plain(text, PROSE);
    (!text.is_empty()).then(|| Row { label, values: vec![text], strong: false })
}

/// Words of ours or of a rule: a sentence.
pub(super) fn prose(label: &'static str, text: &str) -> Option<Row> {
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

struct Teller {
    zone: Tz,
    now: DateTime<Utc>,
    change: Option<Change>,
    /// The reader owns the session and cannot put its audit right.
    blind: bool,
}

impl Teller {
    fn incident(&self, incident: &Incident) -> Told {
        match (self.change, incident.kind()) {
            (Some(Change::Ended(end)), IncidentKind::Drift) => self.drift_over(incident, end),
            (Some(Change::Ended(end)), _) => self.seen_again(incident, end),
            (_, IncidentKind::Unverifiable | IncidentKind::Unreachable) if self.blind => self.unseen(incident),
            (_, IncidentKind::Drift) => self.drift(incident),
            (_, IncidentKind::Missing) => self.missing(incident),
            (_, IncidentKind::Unverifiable) => self.unverifiable(incident),
            (_, IncidentKind::Unreachable) => self.unreachable(incident),
        }
    }

    fn at(&self, time: DateTime<Utc>) -> String {
        at(time, self.zone)
    }

    fn since(&self, incident: &Incident) -> Option<Row> {
        row("Since when", &since(incident.window, self.zone))
    }

    fn importance(incident: &Incident) -> Option<Row> {
        row(
            "Importance",
            match incident.severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info => "for information",
            },
        )
    }

    fn drift(&self, incident: &Incident) -> Told {
        let facts = &incident.facts;
        let before = facts.before.as_ref().filter(|_| self.change == Some(Change::Updated));
        let orders = || recoverable(incident.window, self.now, self.zone);
        let rows = vec![
            before.and_then(|before| row("Was", &value(before))),
            strong("Now", &facts.found),
            strong("Should be", &facts.expected),
            before.and_then(|_| row("Seen", &self.at(self.now))),
            self.since(incident),
            prose("What this does", &facts.why),
            facts.stops_orders.then(|| prose("Orders", &orders())).flatten(),
            row("How to put it right", &facts.fix),
            Self::importance(incident),
        ];
        (plain(&facts.label, VALUE), rows)
    }

    fn drift_over(&self, incident: &Incident, end: End) -> Told {
        let facts = &incident.facts;
        let seen = ended(incident).map(|time| self.at(time)).unwrap_or_default();
        let was = || row("It was", &value(&facts.found));
        let rows = match end {
            End::BaselineChanged => vec![
                prose("Why", "what is expected of it changed. The value did not change, so it was not put right"),
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
                row("Was wrong from", &about(incident.window, self.zone)),
                facts.stops_orders.then(|| prose("Orders", &catching_up(incident.window, self.zone))).flatten(),
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
            prose("Orders", &recoverable(incident.window, self.now, self.zone)),
            prose(
                "What to do",
                if never_seen {
                    "look for it under E-Commerce > E-Commerce Sessions and compare its session ID with the one that the configuration of Driftwise names. If they are the same, the export that Driftwise reads omits it: ask the person who maintains the export"
                } else {
                    "look for it under E-Commerce > E-Commerce Sessions. If it is listed there, the export that Driftwise reads omits it: ask the person who maintains the export. If it was removed on purpose, take it out of the configuration of Driftwise"
                },
            ),
            Self::importance(incident),
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
                "check the export that Driftwise reads: most often a column is missing or renamed, or a value comes in a new spelling",
            ),
            Self::importance(incident),
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
        (format!("{} could not be checked", incident.source), rows)
    }

    /// The end of what could not be seen.
    fn seen_again(&self, incident: &Incident, end: End) -> Told {
        let first = incident.window.first_bad;
        let over = ended(incident).unwrap_or(self.now);
        let time = between(first, over, self.zone);
        let missing = incident.kind() == IncidentKind::Missing;
        let heading = match (end, missing, incident.kind()) {
            (End::NoLongerAudited, ..) => "Not checked any more".to_owned(),
            (_, true, _) => "The session is back".to_owned(),
            (_, _, IncidentKind::Unreachable) => format!("{} is being checked again", incident.source),
            _ => "All its settings are being checked again".to_owned(),
        };
        if end == End::NoLongerAudited {
            let why = "the configuration of Driftwise does not include it any more";
            return (
                heading,
                vec![prose("Why", why), row(if missing { "It was missing" } else { "It could not be checked" }, &time)],
            );
        }
        let reason = if missing || self.blind { None } else { row("Why it could not", &incident.facts.reason) };
        let rows = vec![
            row(if missing { "It was missing" } else { "It could not be checked" }, &time),
            reason,
            prose(
                "What this means",
                "what changed and changed back in that time was not seen. Anything wrong now is reported separately",
            ),
        ];
        (heading, rows)
    }

    /// The same of what an owner hears after a long time.
    fn unseen(&self, incident: &Incident) -> Told {
        let rows = vec![
            row("Since when", &self.at(incident.window.first_bad)),
            prose("What this means", "a change to its settings, even one that stops orders, could go unnoticed"),
            prose("What to do", "nothing in OrderWise. The people who run these checks have been told"),
        ];
        ("Could not be checked".to_owned(), rows)
    }

    fn refused(&self, refused: &RefusedConfig) -> Told {
        let mut problems =
            refused.problems.iter().map(|problem| plain(problem, RefusedConfig::LONGEST)).collect::<Vec<_>>();
        if refused.more > 0 {
            problems.push(format!("and {} more", count(refused.more, "problem")));
        }
        let rows = vec![
            row("Read", &self.at(refused.at)),
            Some(Row { label: "Problems", values: problems, strong: false }),
            prose(
                "What this means",
                "checks, mails and pages go on as before; nothing of the change is in force. At the next start Driftwise would not run with it",
            ),
            prose("What to do", "correct the files and reload. driftwise validate shows each problem with its line"),
        ];
        ("A changed configuration was refused".to_owned(), rows)
    }

    fn unaudited(&self, found: &UnauditedSession) -> Told {
        let rows = vec![
            row("Name", found.name.as_deref().unwrap_or("(none)")),
            row("Session ID", found.session.as_str()),
            row("First seen", &self.at(found.at)),
            prose("What this means", "its settings are not checked, so a change to them goes unnoticed"),
            prose(
                "What to do",
                "if it is the session of a shop, perhaps a copy of another, have it added to the configuration of Driftwise. Otherwise find out what it is for",
            ),
        ];
        ("A session that is not checked".to_owned(), rows)
    }
}

fn ended(incident: &Incident) -> Option<DateTime<Utc>> {
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
        let count = count(facts.unread.len(), "setting");
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
        values.push(format!("and {} more", count(more, "setting")));
    }
    Some(Row { label: "Settings", values, strong: false })
}
