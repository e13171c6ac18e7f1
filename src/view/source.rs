//! The view of one source as a whole.

use chrono_tz::Tz;

use super::times;
use crate::domain::incident::Incident;
use crate::domain::name::Name;
use crate::domain::state::SourceState;

/// The view of one source.
#[derive(Debug, Clone, Copy)]
pub struct SourceView<'a> {
    pub name: &'a Name,
    pub state: &'a SourceState,
    /// Set while the source cannot be read.
    pub unreachable: Option<&'a Incident>,
    /// Set while its columns are missing, or since many of its sessions changed at once.
    pub changed: Option<&'a Incident>,
}

impl<'a> SourceView<'a> {
    pub fn of(name: &'a Name, state: &'a SourceState) -> Self {
        let open = |incident: &'a Option<Incident>| incident.as_ref().filter(|incident| incident.is_open());
        Self { name, state, unreachable: open(&state.unreachable), changed: open(&state.changed) }
    }

    /// What changed under the rules of the source, and since when.
    pub fn change(&self, zone: Tz) -> Option<String> {
        let incident = self.changed?;
        let since = times::at(incident.window.first_bad, zone);
        Some(format!("{} changed, first seen {since}: {}", self.name, incident.facts.reason))
    }
}

/// The sentence for a source that cannot be read.
pub fn outage(name: &Name, since: Option<&str>, reason: &str) -> String {
    match since {
        Some(since) => format!("{name} has been unreachable since {since}: {reason}"),
        None => format!("{name} could not be read: {reason}"),
    }
}
