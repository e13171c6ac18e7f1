//! One incident or announcement in full: importance, found and expected value, since when, the effect on orders, and what to do.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::times::{about, at, between, catching_up, recoverable, since};
use super::words::{PROSE, VALUE, count, escaped, plain, value};
use crate::domain::incident::{End, Facts, Incident, IncidentKind, Phase, Unread};
use crate::domain::notification::{About, Change, Item, Notification, NotificationKind, Role};
use crate::domain::policy::Severity;
use crate::view::incident::{self, IncidentView};
use crate::view::words::capital;

/// Most settings that are named; the others are counted.
pub(super) const NAMED: usize = 20;

#[derive(Debug, Serialize)]
pub(super) struct MailEntry {
    pub heading: String,
    /// The colour of the bar beside the entry; it never carries a meaning alone.
    pub colour: &'static str,
    pub rows: Vec<EntryRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct EntryRow {
    pub label: &'static str,
    /// One value, or a list.
    pub values: Vec<String>,
    pub strong: bool,
}

impl MailEntry {
    /// The length of its words.
    pub fn bytes(&self) -> usize {
        escaped(&self.heading) + self.rows.iter().flat_map(|row| &row.values).map(|text| escaped(text)).sum::<usize>()
    }
}

const RED: &str = "#cf222e";
const AMBER: &str = "#bf8700";
const GREEN: &str = "#2da44e";
const GREY: &str = "#6e7781";

/// The entry of an item of `notification`.
pub(super) fn entry(item: &Item, notification: &Notification) -> MailEntry {
    let writer = EntryWriter {
        zone: item.zone,
        now: notification.at,
        change: item.change(),
        blind: is_blind(item),
        role: item.role,
        contact: contact(notification),
    };
    let (heading, rows) = match &item.about {
        About::Incident { incident, .. } => writer.incident(incident),
        About::Unaudited(found) => writer.unaudited(found),
        About::Removed(removed) => writer.removed(removed),
        About::Forgotten(forgotten) => writer.forgotten(forgotten),
        About::Reload(refused) => writer.refused(refused),
        About::Credential(ending) => writer.credential(ending),
        About::Undeliverable(change) => writer.undeliverable(change),
    };
    let colour = match (item.change(), item.severity()) {
        (None, severity) if matches!(item.kind(), NotificationKind::Undeliverable | NotificationKind::Credential) => {
            colour(severity)
        }
        (None, _) if item.kind() == NotificationKind::Recovered => GREEN,
        (
            Some(Change::Ended(End::BaselineChanged | End::NoLongerAudited | End::Removed | End::NotReturned)) | None,
            _,
        ) => GREY,
        (Some(Change::Ended(_)), _) => GREEN,
        (_, severity) => colour(severity),
    };
    MailEntry { heading, colour, rows: rows.into_iter().flatten().collect() }
}

/// The entry of an open incident of which the recipient was notified before.
pub(super) fn still(incident: &Incident, notification: &Notification) -> MailEntry {
    let writer = EntryWriter {
        zone: notification.zone,
        now: notification.at,
        change: Some(Change::StillOpen(0)),
        blind: false,
        role: notification.items.iter().map(|item| item.role).min().unwrap_or(Role::Owner),
        contact: contact(notification),
    };
    let (heading, rows) = writer.incident(incident);
    let heading = match incident.kind() {
        IncidentKind::Drift => format!("Still wrong: {heading}"),
        IncidentKind::Missing
        | IncidentKind::Unverifiable
        | IncidentKind::Unreachable
        | IncidentKind::SourceChanged => heading,
    };
    MailEntry { heading, colour: colour(incident.severity), rows: rows.into_iter().flatten().collect() }
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => RED,
        Severity::Warning | Severity::Info => AMBER,
    }
}

/// The contact of the recipient, or the words for one who has none.
fn contact(notification: &Notification) -> String {
    let contact = notification.contact.as_deref().map(|contact| plain(contact, VALUE)).filter(|text| !text.is_empty());
    contact.unwrap_or_else(|| "the people who run these checks".to_owned())
}

fn is_blind(item: &Item) -> bool {
    matches!(&item.about, About::Incident { blind: Some(_), .. })
}

pub(super) fn row(label: &'static str, text: &str) -> Option<EntryRow> {
    let text = plain(text, PROSE);
    (!text.is_empty()).then(|| EntryRow { label, values: vec![text], strong: false })
}

/// Our words, or those of a rule, as a sentence.
pub(super) fn prose(label: &'static str, text: &str) -> Option<EntryRow> {
    let text = plain(text, PROSE);
    let mut rest = text.chars();
    let first = rest.next()?.to_uppercase();
    // A sentence that ends in brackets still needs its stop; one that is in brackets has it inside.
    let ended = text.trim_end_matches(')').ends_with(['.', '!', '?', '…']);
    let stop = if ended { "" } else { "." };
    Some(EntryRow { label, values: vec![format!("{first}{}{stop}", rest.as_str())], strong: false })
}

fn strong(label: &'static str, text: &str) -> Option<EntryRow> {
    row(label, &value(text)).map(|row| EntryRow { strong: true, ..row })
}

/// The heading of an entry, and its rows.
pub(super) type HeadedRows = (String, Vec<Option<EntryRow>>);

/// Writes entries for one reader.
pub(super) struct EntryWriter {
    pub(super) zone: Tz,
    pub(super) now: DateTime<Utc>,
    change: Option<Change>,
    /// The reader owns the session and cannot repair its audit.
    blind: bool,
    pub(super) role: Role,
    /// The contact to ask.
    pub(super) contact: String,
}

impl EntryWriter {
    fn incident(&self, incident: &Incident) -> HeadedRows {
        match (self.change, incident.kind()) {
            (Some(Change::Ended(End::Removed)), _) => self.audit_over(incident),
            (Some(Change::Ended(end)), IncidentKind::Drift) => self.drift_over(incident, end),
            (Some(Change::Ended(end)), IncidentKind::SourceChanged) => self.source_change_over(incident, end),
            (Some(Change::Ended(_)), _) => self.seen_again(incident),
            (_, IncidentKind::Unverifiable | IncidentKind::Unreachable) if self.blind => self.unseen(incident),
            (_, IncidentKind::Drift) => self.drift(incident),
            (_, IncidentKind::Missing) => self.missing(incident),
            (_, IncidentKind::Unverifiable) => self.unverifiable(incident),
            (_, IncidentKind::Unreachable) => self.unreachable(incident),
            (_, IncidentKind::SourceChanged) => self.source_changed(incident),
        }
    }

    pub(super) fn at(&self, time: DateTime<Utc>) -> String {
        at(time, self.zone)
    }

    pub(super) fn since(&self, incident: &Incident) -> Option<EntryRow> {
        row("Since when", &since(incident.window, self.zone))
    }

    pub(super) fn importance(incident: &Incident) -> Option<EntryRow> {
        let orders = if IncidentView(incident).may_stop_orders() { ", orders may have stopped" } else { "" };
        let severity = match incident.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "for information",
        };
        row("Importance", &format!("{severity}{orders}"))
    }

    fn drift(&self, incident: &Incident) -> HeadedRows {
        let facts = &incident.facts;
        let before = facts.before.as_ref().filter(|_| self.change == Some(Change::Updated));
        let orders = || recoverable(incident.window, self.now, self.zone);
        let rows = vec![
            Self::importance(incident),
            before.and_then(|before| row("Was", &value(before))),
            strong("Now", &facts.found),
            strong("Should be", &facts.expected),
            before.and_then(|_| row("Seen", &self.at(self.now))),
            self.since(incident),
            prose("What this does", &facts.why),
            facts.stops_orders.then(|| prose("Orders", &orders())).flatten(),
            row("How to put it right", &facts.fix),
        ];
        (plain(&facts.label, VALUE), rows)
    }

    fn drift_over(&self, incident: &Incident, end: End) -> HeadedRows {
        let facts = &incident.facts;
        let seen = ended(incident).map(|time| self.at(time)).unwrap_or_default();
        let was = || row("It was", &value(&facts.found));
        let rows = match end {
            End::BaselineChanged => vec![
                prose("Why", "the expected value changed. The value found did not, so nothing was put right"),
                row("The value", &value(&facts.found)),
                row("Was expected until now", &value(&facts.expected)),
                row("Seen", &seen),
            ],
            End::NoLongerAudited | End::Removed | End::NotReturned => vec![
                prose(
                    "Why",
                    if end == End::NotReturned {
                        "the source no longer returns this setting for any session. Nothing was put right"
                    } else {
                        "no rule covers this setting any more. Nothing was put right"
                    },
                ),
                row("Last seen as", &value(&facts.found)),
                row("Should have been", &value(&facts.expected)),
            ],
            End::Repaired | End::VisibleAgain | End::Unconfirmed | End::TakenAsReal => vec![
                strong("Now as expected", &facts.expected),
                was(),
                row("Seen right again", &seen),
                row("Was wrong from", &about(incident.window, self.zone)),
                facts.stops_orders.then(|| prose("Orders", &catching_up(incident.window, self.zone))).flatten(),
            ],
        };
        (plain(&facts.label, VALUE), rows)
    }

    fn missing(&self, incident: &Incident) -> HeadedRows {
        let never_seen = incident.window.last_good.is_none();
        let operator = self.role.runs_checks();
        let rows = vec![
            Self::importance(incident),
            prose("What was seen", "OrderWise returned its other sessions, but not this one"),
            self.since(incident),
            prose(
                "What this does",
                "if the session was deleted, orders of its shop have no session to arrive in, and none of its settings can be checked",
            ),
            prose("Orders", &recoverable(incident.window, self.now, self.zone)),
            prose(
                "What to do",
                &match (operator, never_seen) {
                    (true, true) => "look for it under E-Commerce > E-Commerce Sessions and compare its session ID with the one in the configuration of Driftwise. If they are the same, the export that Driftwise reads omits the session: correct its definition".to_owned(),
                    (true, false) => "look for it under E-Commerce > E-Commerce Sessions. If it is listed there, the export that Driftwise reads omits it: correct its definition. If it was deleted on purpose, take it out of the configuration of Driftwise".to_owned(),
                    (false, _) => format!("look for it under E-Commerce > E-Commerce Sessions. If it is listed there, or was deleted on purpose, tell {}", self.contact),
                },
            ),
        ];
        ("The session is missing".to_owned(), rows)
    }

    fn unverifiable(&self, incident: &Incident) -> HeadedRows {
        let rows = vec![
            Self::importance(incident),
            settings(&incident.facts),
            self.since(incident),
            prose("What this means", "a change to these settings would go unnoticed"),
            prose(
                "What to do",
                "check the export that Driftwise reads: most often a column is missing or renamed, or a value has a new spelling",
            ),
        ];
        ("Settings that could not be checked".to_owned(), rows)
    }

    fn unreachable(&self, incident: &Incident) -> HeadedRows {
        let rows = vec![
            row("Why", &incident.facts.reason),
            self.since(incident),
            prose(
                "What this means",
                "as long as this lasts, nothing is known about the settings of its sessions: a change, even one that stops orders, could go unnoticed",
            ),
            prose(
                "What to do",
                "check that the system is running and can be reached, and that the sign-in and the export that Driftwise uses still work. Driftwise keeps trying and sends a mail when it can check again",
            ),
        ];
        (format!("{} could not be checked", incident.source), rows)
    }

    /// The end of an incident of a session or source that could not be checked.
    fn seen_again(&self, incident: &Incident) -> HeadedRows {
        let first = incident.window.first_bad;
        let over = ended(incident).unwrap_or(self.now);
        let time = between(first, over, self.zone);
        let missing = incident.kind() == IncidentKind::Missing;
        let again = incident::ended(incident.kind(), End::VisibleAgain);
        let heading = match (missing, incident.kind()) {
            (true, _) => "The session is back".to_owned(),
            (_, IncidentKind::Unreachable) if self.blind => capital(again),
            (_, IncidentKind::Unreachable) => format!("{} is {again}", incident.source),
            _ => format!("All its settings are {again}"),
        };
        let reason = if missing || self.blind { None } else { row("Why it could not", &incident.facts.reason) };
        let rows = vec![
            row(if missing { "Was missing" } else { "Could not be checked" }, &time),
            reason,
            prose(
                "What this means",
                "a change that was undone in that time was not seen. Anything wrong now is reported separately",
            ),
        ];
        (heading, rows)
    }

    /// The same for an owner, who is notified after a long time.
    fn unseen(&self, incident: &Incident) -> HeadedRows {
        let some = incident.kind() == IncidentKind::Unverifiable;
        let (heading, means) = if some {
            ("Settings that could not be checked", "a change to these settings would go unnoticed")
        } else {
            ("Could not be checked", "a change, even one that stops orders, could go unnoticed")
        };
        let rows = vec![
            settings(&incident.facts).filter(|_| some),
            row("Since when", &self.at(incident.window.first_bad)),
            prose("What this means", means),
            prose("What to do", "nothing in OrderWise. The people who run these checks have been notified"),
        ];
        (heading.to_owned(), rows)
    }
}

pub(super) fn ended(incident: &Incident) -> Option<DateTime<Utc>> {
    match incident.phase {
        Phase::Ended { at, .. } => Some(at),
        _ => None,
    }
}

/// Each setting once, with the reason. Words are compared because only words are repeated.
fn settings(facts: &Facts) -> Option<EntryRow> {
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
    Some(EntryRow { label: "Settings", values, strong: false })
}
