//! The end of an incident whose session or source the configuration no longer includes, in full.

use super::entry::{EntryRow, EntryWriter, HeadedRows, prose, row};
use super::times::about;
use super::words::{VALUE, plain, value};
use crate::domain::incident::{End, Incident, IncidentKind};
use crate::view::incident::ended;
use crate::view::words::capital;

impl EntryWriter {
    pub(super) fn audit_over(&self, incident: &Incident) -> HeadedRows {
        let ended = ended(incident.kind(), End::Removed);
        match incident.kind() {
            IncidentKind::Drift => {
                let rows = vec![
                    self.removed_because(),
                    row("Last seen as", &value(&incident.facts.found)),
                    row("Should have been", &value(&incident.facts.expected)),
                ];
                (format!("{}: {ended}", plain(&incident.facts.label, VALUE)), rows)
            }
            kind => {
                let label = match kind {
                    IncidentKind::Missing => "Was missing",
                    IncidentKind::SourceChanged => "Was changed",
                    _ => "Could not be checked",
                };
                let from = format!("from {}", about(incident.window, self.zone));
                (capital(ended), vec![self.removed_because(), row(label, &from)])
            }
        }
    }

    fn removed_because(&self) -> Option<EntryRow> {
        prose(
            "Why",
            &if self.role.runs_checks() {
                "the configuration of Driftwise no longer includes it".to_owned()
            } else {
                format!("it was taken out of these checks. If that is a mistake, tell {}", self.contact)
            },
        )
    }
}
