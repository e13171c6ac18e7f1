//! The outcomes of traced work of the engine, by the labels of the metrics where there is one.

use super::alerting::AlertingOutcome;
use super::audit::{Attempt, AuditOutcome, JudgedPoll, RecordError};
use super::dispatcher::Attempted;
use crate::spans::Outcome;

type Word = Result<&'static str, &'static str>;

impl Outcome for AuditOutcome {
    fn outcome(&self) -> Word {
        match self {
            Self::Polled { .. } => Ok("polled"),
            Self::Stopped => Ok("stopped"),
            Self::Replaced => Ok("replaced"),
            Self::Unreachable { .. } => Err("unreachable"),
            Self::NotAsked { .. } => Err("not_asked"),
            Self::NotRecorded { .. } => Err("not_recorded"),
        }
    }
}

impl Outcome for Attempt {
    fn outcome(&self) -> Word {
        self.fetched.as_ref().map(|_| "answered").map_err(|error| error.failure.label())
    }
}

impl Outcome for Result<JudgedPoll, RecordError> {
    fn outcome(&self) -> Word {
        self.as_ref().map(|_| "reconciled").map_err(|_| "interrupted")
    }
}

impl Outcome for Result<AuditOutcome, RecordError> {
    fn outcome(&self) -> Word {
        self.as_ref().map(|_| "recorded").map_err(|_| "not_recorded")
    }
}

impl Outcome for AlertingOutcome {
    fn outcome(&self) -> Word {
        match self {
            Self::Recorded { notifications: 0, .. } => Ok("nothing_due"),
            Self::Recorded { .. } => Ok("recorded"),
            Self::NotRecorded { .. } => Err("not_recorded"),
        }
    }
}

impl Outcome for Attempted {
    fn outcome(&self) -> Word {
        self.outcome.as_ref().map(|()| "sent").map_err(|error| error.obstacle.label())
    }
}
