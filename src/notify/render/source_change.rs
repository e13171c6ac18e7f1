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
        let gone = change.is_some_and(|change| !change.columns.gone.is_empty());
        let means = match (gone, self.role.runs_checks()) {
            (true, _) => {
                "these settings cannot be checked in any session of the source. A change to them would go unnoticed"
            }
            (false, true) => {
                "either the export returns other values than before, or many sessions were changed in OrderWise at once. The owners are notified of each session that is still wrong later: of critical settings after unreachable_after, of others after blind_after"
            }
            (false, _) => {
                "either these checks read other values than before, or many sessions were changed in OrderWise at once. Sessions that stay wrong are reported one by one later"
            }
        };
        let act = match (gone, self.role.runs_checks()) {
            (true, true) => {
                "put the column back into the export, or name the new one under columns in the configuration of Driftwise".to_owned()
            }
            (false, true) => {
                "compare a session in OrderWise with the export. If the export is wrong, correct it or name the new values under values in the configuration of Driftwise. If the change is real, put the sessions right".to_owned()
            }
            (true, _) => format!("nothing in OrderWise. Tell {}", self.contact),
            (false, _) => format!(
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
        let act = if self.role.runs_checks() {
            "nothing, if the column was taken out on purpose. Otherwise put it back into the export: its values are watched from then on, as they are then".to_owned()
        } else {
            format!("nothing in OrderWise. If this is a surprise, tell {}", self.contact)
        };
        let rows = vec![
            row("What changed", &forgotten.columns.words()),
            row("Seen", &self.at(forgotten.at)),
            prose("What this means", "no rule needs these columns. Changes to their values are no longer reported"),
            prose("What to do", &act),
        ];
        (format!("{}: columns that are no longer returned", forgotten.source), rows)
    }
}
