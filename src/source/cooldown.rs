//! The cooldown of a source: after a failed attempt, polls repeat its failure without a request until a wait is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Failure, FetchError};
use crate::domain::backoff::Backoff;

/// After a refused sign-in, because repeated attempts lock the account.
const SIGN_IN: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_mins(15) };

/// After a temporary failure.
const PASSING: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1) };

/// The longest `Retry-After` that is obeyed.
const ASKED_FOR: Duration = Duration::from_mins(15);

/// An attempt that failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailedAttempt {
    pub at: DateTime<Utc>,
    pub took: Duration,
    /// `Retry-After` of the response.
    pub retry_after: Option<Duration>,
    /// Of the credential.
    pub fingerprint: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cooldown {
    last: Option<LastFailure>,
    refused: u32,
    passing: u32,
}

#[derive(Debug)]
struct LastFailure {
    error: FetchError,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Of the credential that was refused.
    fingerprint: u64,
}

impl Cooldown {
    /// The failure to repeat instead of making a request. A changed credential ends the wait after a refused sign-in; a
    /// clock that was set back ends every wait.
    pub fn failure_to_repeat(&self, now: DateTime<Utc>, fingerprint: impl FnOnce() -> u64) -> Option<FetchError> {
        let last = self.last.as_ref()?;
        if now < last.since || now >= last.until {
            return None;
        }
        if last.error.failure == Failure::Auth && last.fingerprint != fingerprint() {
            return None;
        }
        Some(FetchError { asked: false, again: Some(last.until), ..last.error.clone() })
    }

    /// Records a failed attempt and sets the wait.
    pub fn failed(&mut self, error: &FetchError, attempt: FailedAttempt) {
        if !error.asked {
            return;
        }
        let wait = match error.failure {
            Failure::Auth => {
                self.refused = self.refused.saturating_add(1);
                SIGN_IN.after(self.refused)
            }
            Failure::RateLimited | Failure::ServerError | Failure::Connect | Failure::Timeout => {
                self.passing = self.passing.saturating_add(1);
                PASSING.after(self.passing)
            }
            // The source responds and needs a correction by a person: the next poll makes a request.
            _ => {
                *self = Self::default();
                return;
            }
        };
        let wait = wait.max(attempt.retry_after.unwrap_or_default().min(ASKED_FOR));
        // In whole seconds, so that the wait after an attempt that failed at once starts with the attempt.
        let wait = wait + Duration::from_secs(attempt.took.as_secs());
        let until = attempt.at + TimeDelta::from_std(wait).unwrap_or_default();
        self.last =
            Some(LastFailure { error: error.clone(), since: attempt.at, until, fingerprint: attempt.fingerprint });
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn attempt(seconds: i64, retry_after: Option<Duration>) -> FailedAttempt {
        FailedAttempt { at: at(seconds), retry_after, fingerprint: 1, ..FailedAttempt::default() }
    }

    fn waits(failure: Failure, times: usize) -> Vec<i64> {
        let mut cooldown = Cooldown::default();
        let mut now = 0;
        (0..times)
            .map(|_| {
                cooldown.failed(&FetchError::new(failure, "no"), attempt(now, None));
                let wait = (0..=900).find(|wait| cooldown.failure_to_repeat(at(now + wait), || 1).is_none()).unwrap();
                now += wait;
                wait
            })
            .collect()
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(waits(Failure::Auth, 10), [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        for failure in [Failure::RateLimited, Failure::ServerError, Failure::Connect, Failure::Timeout] {
            assert_eq!(waits(failure, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
        }
        for failure in [Failure::Forbidden, Failure::NotFound, Failure::Empty, Failure::Malformed, Failure::Refused] {
            assert_eq!(waits(failure, 3), [0, 0, 0]);
        }
    }

    #[test]
    fn a_poll_during_the_wait_repeats_the_failure() {
        let mut cooldown = Cooldown::default();
        cooldown.failed(&FetchError::new(Failure::Auth, "refused"), attempt(0, None));
        let error = cooldown.failure_to_repeat(at(4), || 1).unwrap();
        assert_eq!((error.failure, error.asked, error.again), (Failure::Auth, false, Some(at(5))));
        assert_eq!(error.to_string(), "refused; next attempt not before 2027-01-15 08:00:05 UTC");
        assert_eq!(cooldown.failure_to_repeat(at(4), || 2), None, "a changed credential is tried at once");
        assert_eq!(cooldown.failure_to_repeat(at(-1), || 1), None, "a clock set back does not prolong the wait");
        cooldown.succeeded();
        assert_eq!(cooldown.failure_to_repeat(at(4), || 1), None);
    }

    #[test]
    fn a_changed_credential_does_not_end_the_wait_of_a_busy_server() {
        let mut cooldown = Cooldown::default();
        cooldown.failed(&FetchError::new(Failure::RateLimited, "busy"), attempt(0, Some(Duration::from_secs(30))));
        assert!(cooldown.failure_to_repeat(at(29), || 2).is_some());
        assert!(cooldown.failure_to_repeat(at(30), || 1).is_none());
    }

    #[test]
    fn a_retry_after_counts_for_at_most_15_minutes() {
        let mut cooldown = Cooldown::default();
        cooldown.failed(&FetchError::new(Failure::ServerError, "busy"), attempt(0, Some(Duration::MAX)));
        assert!(cooldown.failure_to_repeat(at(899), || 1).is_some());
        assert!(cooldown.failure_to_repeat(at(900), || 1).is_none());
    }

    #[test]
    fn the_wait_begins_when_the_attempt_ended() {
        let mut cooldown = Cooldown::default();
        let took = Duration::from_millis(60_400);
        cooldown.failed(&FetchError::new(Failure::Timeout, "slow"), FailedAttempt { took, ..attempt(0, None) });
        assert!(cooldown.failure_to_repeat(at(60), || 1).is_some());
        assert!(cooldown.failure_to_repeat(at(61), || 1).is_none());
    }
}
