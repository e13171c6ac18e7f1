//! Limits how many messages leave in a minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// At most this many sends a minute, as mail services demand.
#[derive(Debug)]
pub struct RateLimiter {
    per_minute: AtomicUsize,
    sends: Mutex<VecDeque<DateTime<Utc>>>,
}

impl RateLimiter {
    /// `per_minute` of 0 means without limit.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: AtomicUsize::new(per_minute as usize), sends: Mutex::default() }
    }

    /// Sets another limit, after a reload; past sends count towards it.
    pub fn set(&self, per_minute: u32) {
        self.per_minute.store(per_minute as usize, Ordering::Relaxed);
    }

    fn per_minute(&self) -> usize {
        self.per_minute.load(Ordering::Relaxed)
    }

    /// How many more messages may be sent now.
    pub(super) fn room(&self, now: DateTime<Utc>) -> usize {
        if self.per_minute() == 0 {
            return usize::MAX;
        }
        let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        // A time in the future is from before the clock was set back.
        sends.retain(|at| *at <= now && now - *at < TimeDelta::minutes(1));
        self.per_minute().saturating_sub(sends.len())
    }

    pub(super) fn free_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        sends.front().map_or(now, |first| *first + TimeDelta::minutes(1))
    }

    pub(super) fn sending(&self, now: DateTime<Utc>) {
        if self.per_minute() > 0 {
            self.sends.lock().unwrap_or_else(PoisonError::into_inner).push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::world::start;

    #[test]
    fn no_more_leaves_in_a_minute_than_the_service_allows() {
        let rate_limiter = RateLimiter::new(3);
        for _ in 0..3 {
            assert!(rate_limiter.room(start()) > 0);
            rate_limiter.sending(start());
        }
        assert_eq!(rate_limiter.room(start() + TimeDelta::seconds(59)), 0);
        assert_eq!(rate_limiter.free_at(start()), start() + TimeDelta::minutes(1));
        assert_eq!(rate_limiter.room(start() + TimeDelta::seconds(60)), 3);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_mail_up() {
        let rate_limiter = RateLimiter::new(1);
        rate_limiter.sending(start());
        assert_eq!(rate_limiter.room(start() - TimeDelta::hours(1)), 1);
    }
}
