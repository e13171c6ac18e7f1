//! One round of delivery: each message that is due gets one attempt, and the store records the outcome.
//!
//! Properties: mail to one recipient leaves in the order recorded, because the store offers only the head of each line; a
//! message is recorded as sent after it was accepted, so whatever dies in between, it is sent again under the same Message-ID;
//! a message that fails waits for itself and for nobody else; what is refused for good, or for three days, is dead and said so.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::backoff::{DELIVERY, DELIVERY_ENDS_AFTER};
use crate::metrics::{Metrics, StoreOperation};
use crate::notify::{Channel, Letter, SendError};
use crate::store::{Pending, Store, StoreError};

/// Sends at the same time: what Microsoft 365 allows as connections.
const AT_ONCE: usize = 3;

/// Carries messages from the outbox to a channel.
pub struct Courier {
    pub store: Arc<Store>,
    pub channel: Arc<dyn Channel>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
    /// Rung when messages were recorded.
    pub recorded: Arc<Notify>,
    /// What is under way is finished, nothing more is begun.
    pub stop: CancellationToken,
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub sent: u32,
    pub retrying: u32,
    pub dead: u32,
    /// When the next message is due, if any is waiting.
    pub next: Option<DateTime<Utc>>,
    /// Something is due and waits only because enough has left in this minute.
    pub paced: bool,
}

enum Fate {
    Sent,
    Retrying,
    Dead,
}

impl Round {
    fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Sent => self.sent += 1,
            Fate::Retrying => self.retrying += 1,
            Fate::Dead => self.dead += 1,
        }
    }
}

impl Courier {
    /// Attempts everything that is due, and what is recorded meanwhile, until nothing is. A send that stalls holds up its own
    /// recipient and one of the few connections, never the round.
    pub async fn run_round(&self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let mut under_way = FuturesUnordered::new();
        let mut ids = BTreeSet::new();
        loop {
            let now = self.clock.now();
            let room = if self.stop.is_cancelled() { 0 } else { self.pace.room(now).min(AT_ONCE - under_way.len()) };
            // Those under way are still due as far as the store knows.
            let due = if room == 0 { Vec::new() } else { self.noted(self.store.due(now, room + ids.len()).await)? };
            for message in due.into_iter().filter(|message| !ids.contains(&message.id)).take(room).collect::<Vec<_>>() {
                ids.insert(message.id);
                self.pace.sending(now);
                under_way.push(self.attempt(message));
            }
            if under_way.is_empty() {
                let paced = (self.pace.room(now) == 0).then(|| self.pace.free_at(now));
                let next = self.noted(self.store.next_due().await)?;
                round.paced = paced.is_some() && next.is_some_and(|next| next <= now);
                round.next = next.map(|next| paced.map_or(next, |free| next.max(free)));
                break;
            }
            self.count().await?;
            tokio::select! {
                Some(done) = under_way.next() => {
                    let (id, fate) = done?;
                    ids.remove(&id);
                    round.count(&fate);
                }
                () = self.recorded.notified() => {}
            }
        }
        self.count().await?;
        Ok(round)
    }

    /// Publishes what waits in the outbox.
    pub async fn count(&self) -> Result<(), StoreError> {
        let counts = self.noted(self.store.outbox_counts().await)?;
        self.metrics.outbox(counts.pending, counts.retrying, counts.dead, counts.oldest_pending);
        Ok(())
    }

    async fn attempt(&self, message: Pending) -> Result<(i64, Fate), StoreError> {
        let Pending { id, message_id, kind, to, raw, attempts, recorded_at } = message;
        let letter = Letter { message_id, to, raw };
        let outcome = self.channel.send(&letter).await;
        let now = self.clock.now();
        self.metrics.attempt(outcome.as_ref().err().map(|e| e.obstacle));
        let message_id = &letter.message_id;
        let fate = match outcome {
            Ok(()) => {
                self.noted(self.store.sent(id, now).await)?;
                self.metrics.message(kind, true);
                self.metrics.delivered_after((now - recorded_at).to_std().unwrap_or_default());
                tracing::info!(message_id, %kind, "mail accepted");
                Fate::Sent
            }
            Err(e) if e.permanent || gives_up(recorded_at, now) => {
                self.noted(self.store.dead(id, now, &e.reason).await)?;
                self.metrics.message(kind, false);
                tracing::error!(message_id, %kind, reason = %e, "mail is dead and will not be tried again");
                Fate::Dead
            }
            Err(e) => {
                let wait = DELIVERY.after_jittered(attempts + 1, seed(message_id));
                let again = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(15));
                self.noted(self.store.failed(id, now, again, &e.reason).await)?;
                warn(message_id, &e, again);
                Fate::Retrying
            }
        };
        Ok((id, fate))
    }

    fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if outcome.is_err() {
            self.metrics.store_error(StoreOperation::Outbox);
        }
        outcome
    }
}

/// A refused sign-in concerns every mail, so it is loud.
fn warn(message_id: &str, error: &SendError, again: DateTime<Utc>) {
    let again = again.format("%H:%M:%S UTC").to_string();
    if error.obstacle == crate::notify::Obstacle::Auth {
        tracing::error!(message_id, reason = %error, again, "the mail server refused the sign-in; no mail leaves until that is mended");
    } else {
        tracing::warn!(message_id, reason = %error, again, "mail could not be sent; it is tried again");
    }
}

fn gives_up(recorded_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - recorded_at).to_std().is_ok_and(|age| age >= DELIVERY_ENDS_AFTER)
}

/// The Message-ID as a seed for jitter: repeatable, and different for each message.
fn seed(message_id: &str) -> u64 {
    message_id.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// At most so many sends a minute, as mail services demand.
#[derive(Debug)]
pub struct Pace {
    per_minute: usize,
    sends: Mutex<VecDeque<DateTime<Utc>>>,
}

impl Pace {
    /// `per_minute` of 0 means without limit.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute as usize, sends: Mutex::default() }
    }

    /// How many may be sent now.
    fn room(&self, now: DateTime<Utc>) -> usize {
        if self.per_minute == 0 {
            return usize::MAX;
        }
        let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        // What lies ahead was noted by a clock that has been set back since.
        sends.retain(|at| *at <= now && now - *at < TimeDelta::minutes(1));
        self.per_minute.saturating_sub(sends.len())
    }

    fn free_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        sends.front().map_or(now, |first| *first + TimeDelta::minutes(1))
    }

    fn sending(&self, now: DateTime<Utc>) {
        if self.per_minute > 0 {
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
        let pace = Pace::new(3);
        for _ in 0..3 {
            assert!(pace.room(start()) > 0);
            pace.sending(start());
        }
        assert_eq!(pace.room(start() + TimeDelta::seconds(59)), 0);
        assert_eq!(pace.free_at(start()), start() + TimeDelta::minutes(1));
        assert_eq!(pace.room(start() + TimeDelta::seconds(60)), 3);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_mail_up() {
        let pace = Pace::new(1);
        pace.sending(start());
        assert_eq!(pace.room(start() - TimeDelta::hours(1)), 1);
    }
}
