//! Announcements in full: a refused configuration, and sessions that are not audited.

use super::entry::{EntryRow, EntryWriter, HeadedRows, NAMED, prose, row};
use super::words::{VALUE, count, plain};
use crate::domain::announcement::{RefusedConfig, RemovedSession, UnauditedSession};

impl EntryWriter {
    pub(super) fn refused(&self, refused: &RefusedConfig) -> HeadedRows {
        let mut problems =
            refused.problems.iter().map(|problem| plain(problem, RefusedConfig::LONGEST)).collect::<Vec<_>>();
        if refused.more > 0 {
            problems.push(format!("and {} more", count(refused.more, "problem")));
        }
        let rows = vec![
            row("Read", &self.at(refused.at)),
            Some(EntryRow { label: "Problems", values: problems, strong: false }),
            prose(
                "What this means",
                "checks, mails and pages continue as before; no part of the change is in force. Driftwise will not start with these files",
            ),
            prose("What to do", "correct the files and reload. driftwise validate shows each problem with its line"),
        ];
        ("A changed configuration was refused".to_owned(), rows)
    }

    pub(super) fn removed(&self, removed: &RemovedSession) -> HeadedRows {
        let wrong = removed.wrong.iter().take(NAMED).map(|label| plain(label, VALUE)).collect::<Vec<_>>();
        let rows = vec![
            row("Removed", &self.at(removed.at)),
            (!wrong.is_empty()).then_some(EntryRow { label: "Still wrong when removed", values: wrong, strong: false }),
            prose("What this means", "its settings are no longer checked, and nothing was put right"),
            prose(
                "What to do",
                &if self.role.runs_checks() {
                    "if the session is still in use, add it to the configuration of Driftwise again".to_owned()
                } else {
                    format!("if the session is still in use, tell {}", self.contact)
                },
            ),
        ];
        ("A session that is no longer checked".to_owned(), rows)
    }

    pub(super) fn unaudited(&self, found: &UnauditedSession) -> HeadedRows {
        let rows = vec![
            row("Name", found.name.as_deref().unwrap_or("(none)")),
            row("Session ID", found.session.as_str()),
            row("First seen", &self.at(found.at)),
            prose("What this means", "its settings are not checked, so a change to them goes unnoticed"),
            prose(
                "What to do",
                &if self.role.runs_checks() {
                    "if it is the session of a shop, perhaps a copy of another, add it to the configuration of Driftwise. Otherwise find out what it is for".to_owned()
                } else {
                    format!(
                        "if it is the session of a shop, perhaps a copy of another, tell {}. Otherwise find out what it is for",
                        self.contact
                    )
                },
            ),
        ];
        ("A session that is not checked".to_owned(), rows)
    }
}
