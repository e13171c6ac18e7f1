//! A source that changed under its rules, in full: columns that are gone, and many sessions that changed at once.

use super::entry::{EntryRow, EntryWriter, HeadedRows, ended, prose, row};
use super::times::between;
use super::words::{PROSE, plain};
use crate::domain::announcement::ForgottenColumns;
use crate::domain::incident::{End, Incident};
use crate::domain::source_change::SourceChange;
use crate::view::incident;

impl EntryWriter {
    pub(super) fn source_changed(&self, incident: &Incident) -> HeadedRows {
        let change = incident.facts.change.as_deref();
        let values = change.into_iter().flat_map(SourceChange::sentences).map(|text| plain(&text, PROSE)).collect();
        let columns = change.map_or(0, |change| change.columns.gone.len());
        let means = match (columns, self.role.runs_checks()) {
            (1, _) => {
                "the setting in this column cannot be checked in any session of the source. A change to it would go unnoticed"
            }
            (2.., _) => {
                "the settings in these columns cannot be checked in any session of the source. A change to them would go unnoticed"
            }
            (0, true) => {
                "either the export returns different values than before, or many sessions were changed in OrderWise at once. If sessions stay wrong, their owners are notified: of critical settings after unreachable_after, of others after blind_after"
            }
            (0, false) => {
                "either these checks read different values than before, or many sessions were changed in OrderWise at once. Sessions that stay wrong are reported one by one later"
            }
        };
        let act = match (columns, self.role.runs_checks()) {
            (1, true) => {
                "put the column back into the export, or name the new one under columns in the configuration of Driftwise".to_owned()
            }
            (2.., true) => {
                "put the columns back into the export, or name the new ones under columns in the configuration of Driftwise".to_owned()
            }
            (0, true) => {
                "compare a session in OrderWise with the export. If the export is wrong, correct it or name the new values under values in the configuration of Driftwise. If the change is real, put the sessions right".to_owned()
            }
            (1.., _) => format!("nothing in OrderWise. Tell {}", self.contact),
            (0, _) => format!(
                "look at one of the sessions in OrderWise. If the change is real, put the sessions right. Otherwise tell {}",
                self.contact
            ),
        };
        let rows = vec![
            Self::importance(incident),
            Some(EntryRow { label: "What changed", values, strong: true }),
            self.since(incident),
            prose("What this means", means),
            prose("What to do", &act),
        ];
        (format!("{} changed", incident.source), rows)
    }

    pub(super) fn source_change_over(&self, incident: &Incident, end: End) -> HeadedRows {
        let over = ended(incident).unwrap_or(self.now);
        let ended = incident::ended(incident.kind(), end);
        let (heading, means) = match end {
            End::TakenAsReal => (
                "still changed: sessions are reported one by one".to_owned(),
                "the change lasted, so it counts as real. Each session that is still wrong is reported separately",
            ),
            End::BaselineChanged => (
                format!("the change is {ended}"),
                "no rule needs the columns that are gone. Anything wrong now is reported separately",
            ),
            _ => (
                ended.to_owned(),
                "all settings are being checked as before. Anything wrong now is reported separately",
            ),
        };
        let rows = vec![
            row("It lasted", &between(incident.window.first_bad, over, self.zone)),
            row("What had changed", &incident.facts.reason),
            prose("What this means", means),
        ];
        (format!("{}: {heading}", incident.source), rows)
    }

    pub(super) fn forgotten(&self, forgotten: &ForgottenColumns) -> HeadedRows {
        let (these, them, their) = if forgotten.columns.gone.len() == 1 {
            ("this column", "it", "its")
        } else {
            ("these columns", "them", "their")
        };
        let act = if self.role.runs_checks() {
            format!(
                "nothing, if this was done on purpose. Otherwise put {them} back into the export: Driftwise then watches {their} values again, starting from what it finds"
            )
        } else {
            format!("nothing in OrderWise. If this is a surprise, tell {}", self.contact)
        };
        let rows = vec![
            row("What changed", &forgotten.columns.words()),
            row("Seen", &self.at(forgotten.at)),
            prose(
                "What this means",
                &format!("no rule needs {these}. Changes to {their} values are no longer reported"),
            ),
            prose("What to do", &act),
        ];
        (format!("{}: columns that are no longer returned", forgotten.source), rows)
    }
}
