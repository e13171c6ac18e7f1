//! The words of the pages: calm, plain, and the same for the same thing.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::catalogue;
use crate::domain::event::EventKind;
use crate::domain::incident::{End, IncidentKey, IncidentKind, Window};
use crate::domain::route;
use crate::domain::session::SessionKey;
use crate::domain::setting::SettingKey;
use crate::domain::status::{SessionStatus, Status};

/// A moment as a page shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct When {
    /// For machines, in UTC.
    iso: String,
    /// In the reader's zone, which it names.
    text: String,
}

impl When {
    pub fn new(at: DateTime<Utc>, zone: Tz) -> Self {
        Self { iso: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), text: moment(at, zone) }
    }
}

pub(super) fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%-d %b %Y, %H:%M %Z").to_string()
}

/// How a page marks something, besides saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mood {
    Bad,
    Unclear,
    Good,
    Quiet,
}

pub(super) fn mood(status: Status) -> Mood {
    match status {
        Status::Drifted | Status::Missing => Mood::Bad,
        Status::Unreachable | Status::Unverifiable => Mood::Unclear,
        Status::Compliant => Mood::Good,
        Status::Pending => Mood::Quiet,
    }
}

pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Unreachable => "Could not be checked",
        Status::Missing => "Not found in its source",
        Status::Drifted => "Not as it should be",
        Status::Unverifiable => "Could not be checked in full",
        Status::Compliant => "As it should be",
        Status::Pending => "Not polled at yet",
    }
}

/// What was known of a session before it could not be seen any more.
pub(super) fn when_last_seen(shown: &SessionStatus) -> Option<&'static str> {
    if shown.visible {
        return None;
    }
    Some(match shown.verdict {
        Status::Drifted => "not as it should be when last seen",
        Status::Unverifiable => "could not be checked in full when last seen",
        Status::Compliant => "as it should be when last seen",
        Status::Pending | Status::Unreachable | Status::Missing => "not seen so far",
    })
}

/// When it went wrong, as exactly as looks can tell.
pub(super) fn window(kind: IncidentKind, window: Window, zone: Tz) -> String {
    let first_bad = moment(window.first_bad, zone);
    let last_good = window.last_good.map(|last_good| moment(last_good, zone));
    match (kind, last_good) {
        (IncidentKind::Unreachable, Some(last_good)) => format!("since {first_bad}; last read on {last_good}"),
        (IncidentKind::Unverifiable, Some(last_good)) => {
            format!("since {first_bad}; last checked in full on {last_good}")
        }
        (IncidentKind::Unreachable | IncidentKind::Unverifiable, None) => {
            format!("since the first poll on {first_bad}")
        }
        (IncidentKind::Drift | IncidentKind::Missing, Some(last_good)) => {
            format!("between {last_good} and {first_bad}")
        }
        (IncidentKind::Drift | IncidentKind::Missing, None) => format!("before the first poll on {first_bad}"),
    }
}

/// A reason as a sentence of its own.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A number of things: `1 session`, `10,000 sessions`.
pub(super) fn sessions(count: usize) -> String {
    format!("{} session{}", number(count), if count == 1 { "" } else { "s" })
}

/// With a comma before every three digits.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `text`, or its beginning where it is longer than `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `text` with the mail addresses in it made out only by their first letter and their host: `i…@acme.example`.
pub(super) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split('@').peekable();
    while let Some(part) = parts.next() {
        // What could be the part before the @, whatever a mail server thinks of it.
        let local = |c: char| !c.is_whitespace() && !"<>()[]{}:;,|“”‘’".contains(c);
        let start = part.char_indices().rev().take_while(|(_, c)| local(*c)).last().map_or(part.len(), |(at, _)| at);
        let first = part[start..].char_indices().find(|(_, c)| !matches!(c, '"' | '\''));
        match first.filter(|_| parts.peek().is_some()) {
            Some((at, first)) => {
                shown.push_str(&part[..start + at + first.len_utf8()]);
                shown.push('…');
            }
            None => shown.push_str(part),
        }
        if parts.peek().is_some() {
            shown.push('@');
        }
    }
    shown
}

/// The page of a session, as a link.
pub(super) fn link(key: &SessionKey) -> String {
    format!("/sessions/{}/{}", key.source, route::encoded(key.id.as_str()))
}

/// What happened to a session.
pub(super) fn happening(what: &EventKind) -> String {
    match what {
        EventKind::Opened { key, expected, found, reason, .. } => opened(key, expected, found, reason),
        EventKind::Updated { key, before, found, .. } => {
            format!("{} changed from {before} to {found}, still not as it should be", about(key))
        }
        EventKind::Ended { key, end, .. } => ended(key, *end),
        EventKind::SettingChanged { setting, before, after } => changed(setting, before.as_deref(), after.as_deref()),
        EventKind::Pinned { setting, value } => {
            format!("{} was returned for the first time: {value}. Changes of it will be reported", label(setting))
        }
        EventKind::SessionFound { .. } => "It appeared in the source, and nobody audited it".to_owned(),
        EventKind::SessionRetired { .. } => "The configuration does not audit it any more".to_owned(),
    }
}

fn changed(setting: &SettingKey, before: Option<&str>, after: Option<&str>) -> String {
    let label = label(setting);
    match (before, after) {
        (Some(before), Some(after)) => format!("{label} changed from {before} to {after}"),
        (Some(before), None) => format!("{label}, which was {before}, is not returned any more"),
        (None, Some(after)) => format!("{label} is returned now: {after}"),
        (None, None) => format!("{label} changed"),
    }
}

fn opened(key: &IncidentKey, expected: &str, found: &str, reason: &str) -> String {
    match key {
        IncidentKey::Drift { .. } => format!("{} was found {found}; it should be {expected}", about(key)),
        IncidentKey::Missing { .. } => "The source returned other sessions, but no row for this one".to_owned(),
        IncidentKey::Unverifiable { .. } => format!("Could not be checked in full: {reason}"),
        IncidentKey::Unreachable => format!("The source could not be read: {reason}"),
    }
}

fn ended(key: &IncidentKey, end: End) -> String {
    let about = about(key);
    match end {
        End::Repaired => format!("{about} is as it should be again"),
        End::BaselineChanged => format!("{about} is as it was, but the configuration asks for something else now"),
        End::NoLongerAudited => format!("{about} is not audited any more"),
        End::VisibleAgain => format!("{about} can be checked again"),
        End::Unconfirmed => format!("{about} was right again before it was confirmed"),
    }
}

fn about(key: &IncidentKey) -> String {
    match key {
        IncidentKey::Drift { setting, .. } => label(setting),
        IncidentKey::Missing { .. } | IncidentKey::Unverifiable { .. } => "The session".to_owned(),
        IncidentKey::Unreachable => "The source".to_owned(),
    }
}

fn label(setting: &SettingKey) -> String {
    catalogue::label(setting)
}
