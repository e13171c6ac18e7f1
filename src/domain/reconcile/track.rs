//! The counting of polls: how one bad or good poll moves one incident.

use chrono::{DateTime, Utc};

use crate::domain::incident::{Incident, Phase};

/// What a bad poll did to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moved {
    /// Not yet found often enough.
    Waiting,
    Opened,
    /// Open already, and the found value is another one.
    Updated,
    /// Open already, and as it was.
    Still,
}

/// A poll that found it wrong; `changed`: with another value than the poll before.
pub(super) fn bad_poll(incident: &mut Incident, changed: bool, confirm_polls: u32, now: DateTime<Utc>) -> Moved {
    match &mut incident.phase {
        Phase::Suspected { bad } => {
            *bad += 1;
            if *bad >= confirm_polls {
                incident.phase = Phase::Open { since: now, good: 0 };
                Moved::Opened
            } else {
                Moved::Waiting
            }
        }
        Phase::Open { good, .. } => {
            *good = 0;
            if changed { Moved::Updated } else { Moved::Still }
        }
        Phase::Ended { .. } => Moved::Still,
    }
}

/// Counts a poll that found it right. True if the incident is over.
pub(super) fn good_poll(incident: &mut Incident, resolve_polls: u32) -> bool {
    match &mut incident.phase {
        Phase::Suspected { .. } => true,
        Phase::Open { good, .. } => {
            *good += 1;
            *good >= resolve_polls
        }
        Phase::Ended { .. } => false,
    }
}
