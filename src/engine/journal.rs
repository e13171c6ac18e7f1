//! Writes events to the log: at `info` without values, at `debug` with them, because a value may be an address and more people
//! read logs than mail.

use crate::domain::event::{Event, EventKind};
use crate::domain::incident::IncidentKey;
use crate::domain::name::Name;

/// Logs one event of a source.
pub(super) fn note(source: &Name, event: &Event) {
    let Line { what, key, setting, reason } = line(&event.what);
    tracing::info!(
        %source,
        session = event.session.as_ref().map(tracing::field::display),
        kind = key.map(|key| key.kind().label()),
        rule = key.and_then(IncidentKey::rule).map(|(rule, _)| rule.as_str()),
        setting,
        reason,
        "{what}"
    );
    tracing::debug!(%source, session = event.session.as_ref().map(tracing::field::display), what = ?event.what, "event");
}

/// An event without any value.
struct Line<'a> {
    what: &'static str,
    key: Option<&'a IncidentKey>,
    setting: Option<&'a str>,
    /// Why the incident ended.
    reason: Option<&'static str>,
}

fn line(what: &EventKind) -> Line<'_> {
    let about = |what, key| {
        let setting = IncidentKey::rule(key).map(|(_, setting)| setting.as_str());
        Line { what, key: Some(key), setting, reason: None }
    };
    let of = |what, setting| Line { what, key: None, setting, reason: None };
    match what {
        EventKind::Opened { key, .. } => about("an incident opened", key),
        EventKind::Updated { key, .. } => about("an open incident changed", key),
        EventKind::Ended { key, end, .. } => Line { reason: Some(end.label()), ..about("an incident ended", key) },
        EventKind::SettingChanged { setting, .. } => of("a setting changed", Some(setting.as_str())),
        EventKind::Pinned { setting, .. } => of("a setting is new and was pinned", Some(setting.as_str())),
        EventKind::SettingForgotten { setting } => {
            of("a setting is no longer returned and was forgotten", Some(setting.as_str()))
        }
        EventKind::SessionFound { .. } => of("an unaudited session has appeared", None),
        EventKind::SessionRetired { .. } => of("a session is no longer audited", None),
    }
}
