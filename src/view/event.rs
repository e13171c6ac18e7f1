//! Events in words, for the history of a session.

use super::incident;
use super::session::{NO_ROW, Status};
use super::words::capital;
use crate::domain::catalogue;
use crate::domain::event::EventKind;
use crate::domain::incident::{End, IncidentKey};
use crate::domain::setting::SettingKey;

/// The event as a sentence without its full stop.
pub fn words(what: &EventKind) -> String {
    match what {
        EventKind::Opened { key, expected, found, reason, .. } => opened(key, expected, found, reason),
        EventKind::Updated { key: IncidentKey::SourceChanged, found, .. } => format!("The source changed: {found}"),
        EventKind::Updated { key, before, found, .. } => {
            format!("{} changed from {before} to {found}, still not as it should be", about(key))
        }
        EventKind::Ended { key, end, .. } => ended(key, *end),
        EventKind::SettingChanged { setting, before, after } => changed(setting, before.as_deref(), after.as_deref()),
        EventKind::Pinned { setting, value } => {
            format!(
                "{} was returned for the first time: {value}. Changes to it will be reported",
                catalogue::label(setting)
            )
        }
        EventKind::SettingForgotten { setting } => {
            format!(
                "{} is no longer returned for any session. Changes to it are no longer reported",
                catalogue::label(setting)
            )
        }
        EventKind::SessionFound { .. } => "The session appeared in the source and was not audited".to_owned(),
        EventKind::SessionRetired { .. } => "The configuration no longer audits the session".to_owned(),
    }
}

fn changed(setting: &SettingKey, before: Option<&str>, after: Option<&str>) -> String {
    let label = catalogue::label(setting);
    match (before, after) {
        (Some(before), Some(after)) => format!("{label} changed from {before} to {after}"),
        (Some(before), None) => format!("{label}, which was {before}, is no longer returned"),
        (None, Some(after)) => format!("{label} is now returned: {after}"),
        (None, None) => format!("{label} changed"),
    }
}

fn opened(key: &IncidentKey, expected: &str, found: &str, reason: &str) -> String {
    match key {
        IncidentKey::Drift { .. } => format!("{} was found {found}; it should be {expected}", about(key)),
        IncidentKey::Missing { .. } => capital(NO_ROW),
        IncidentKey::Unverifiable { .. } => format!("{}: {reason}", Status::Unverifiable.words()),
        IncidentKey::Unreachable => format!("The source could not be read: {reason}"),
        IncidentKey::SourceChanged => format!("The source changed: {reason}"),
    }
}

fn ended(key: &IncidentKey, end: End) -> String {
    let about = about(key);
    match end {
        End::NotReturned => format!("{about} is no longer returned by the source, and no rule names it"),
        End::TakenAsReal => format!("{about} has stayed changed, so each session is now reported separately"),
        End::Removed if key.session().is_none() => "The configuration no longer audits the source".to_owned(),
        End::BaselineChanged if *key == IncidentKey::SourceChanged => {
            "No rule needs the columns that are gone".to_owned()
        }
        _ if *key == IncidentKey::SourceChanged => format!("{about} is {}", incident::ended(key.kind(), end)),
        End::Repaired => format!("{about} is as it should be again"),
        End::BaselineChanged => format!("{about} did not change; the configuration now expects another value"),
        End::NoLongerAudited => format!("No rule covers {about} any more"),
        End::Removed => format!("{about} was not put right; the configuration no longer audits it"),
        End::VisibleAgain => format!("{about} is {}", incident::ended(key.kind(), end)),
        End::Unconfirmed => format!("{about} was right again before it was confirmed"),
    }
}

/// The subject of an incident.
pub(super) fn about(key: &IncidentKey) -> String {
    match key {
        IncidentKey::Drift { setting, .. } => catalogue::label(setting),
        IncidentKey::Missing { .. } | IncidentKey::Unverifiable { .. } => "The session".to_owned(),
        IncidentKey::Unreachable | IncidentKey::SourceChanged => "The source".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::world::id;

    #[test]
    fn the_history_words_an_end_as_mails_do() {
        for (key, words) in [
            (IncidentKey::Missing { session: id("1") }, "The session is back again"),
            (IncidentKey::Unverifiable { session: id("1") }, "The session is being checked again"),
            (IncidentKey::Unreachable, "The source is being checked again"),
            (IncidentKey::SourceChanged, "The source is being checked as before"),
        ] {
            assert_eq!(ended(&key, End::VisibleAgain), words);
        }
    }
}
