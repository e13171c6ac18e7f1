//! What the log says of an event: at `info` what happened to what, at `debug` also the values. A value may be an address, and
//! logs go further than mail.

use crate::domain::event::{Event, Happening};
use crate::domain::incident::Thing;
use crate::domain::name::Name;

/// Logs one event of a source.
pub(super) fn note(source: &Name, event: &Event) {
    let Line { what, thing, setting, reason } = line(&event.what);
    tracing::info!(
        %source,
        session = event.session.as_ref().map(tracing::field::display),
        kind = thing.map(|thing| thing.kind().label()),
        rule = thing.and_then(Thing::rule).map(|(rule, _)| rule.as_str()),
        setting,
        reason,
        "{what}"
    );
    tracing::debug!(%source, session = event.session.as_ref().map(tracing::field::display), what = %event.what, "event");
}

/// An event without any value.
struct Line<'a> {
    what: &'static str,
    thing: Option<&'a Thing>,
    setting: Option<&'a str>,
    /// Why it is over.
    reason: Option<&'static str>,
}

fn line(what: &Happening) -> Line<'_> {
    let about = |what, thing| {
        let setting = Thing::rule(thing).map(|(_, setting)| setting.as_str());
        Line { what, thing: Some(thing), setting, reason: None }
    };
    let of = |what, setting| Line { what, thing: None, setting, reason: None };
    match what {
        Happening::Opened { thing, .. } => about("an incident opened", thing),
        Happening::Updated { thing, .. } => about("an open incident changed", thing),
        Happening::Ended { thing, end, .. } => Line { reason: Some(end.label()), ..about("an incident ended", thing) },
        Happening::SettingChanged { setting, .. } => of("a setting changed", Some(setting.as_str())),
        Happening::Pinned { setting, .. } => of("a setting is new and was pinned", Some(setting.as_str())),
        Happening::SessionFound { .. } => of("a session has appeared that is not audited", None),
        Happening::SessionRetired { .. } => of("a session is not audited any more", None),
    }
}
