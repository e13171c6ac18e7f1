//! What is shown of one source as a whole.

use crate::domain::incident::Incident;
use crate::domain::name::Name;
use crate::domain::state::SourceState;

/// What is known of one source.
#[derive(Debug, Clone, Copy)]
pub struct SourceView<'a> {
    pub name: &'a Name,
    pub state: &'a SourceState,
    /// Set while the source cannot be read.
    pub unreachable: Option<&'a Incident>,
}

impl<'a> SourceView<'a> {
    pub fn of(name: &'a Name, state: &'a SourceState) -> Self {
        Self { name, state, unreachable: state.unreachable.as_ref().filter(|incident| incident.is_open()) }
    }
}

/// The sentence for a source that cannot be read.
pub fn outage(name: &Name, since: Option<&str>, reason: &str) -> String {
    match since {
        Some(since) => format!("{name} has not been readable since {since}: {reason}"),
        None => format!("{name} could not be read: {reason}"),
    }
}
