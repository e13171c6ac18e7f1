//! One round of delivery: each message that is due gets one attempt, and the store records the outcome.
//!
//! Properties: mail to one recipient leaves in the order recorded, because the store offers only the head of each line; a
//! message is recorded as sent after it was accepted, so whatever dies in between, it is sent again under the same Message-ID;
//! a message that fails waits for itself and for nobody else; what is refused for good, or for three days, is dead and said so.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::backoff::{DELIVERY, DELIVERY_ENDS_AFTER, DELIVERY_LONGEST_WAIT};
use crate::domain::message::MessageKind;
use crate::metrics::Metrics;
use crate::notify::{Channel, Letter, SendError};
use crate::store::{Operation, Pending, Store, StoreError};

/// Sends at the same time: what Microsoft 365 allows as connections.
const AT_ONCE: usize = 3;

/// Carries messages from the outbox to a channel.
pub struct Courier {
    store: Arc<Store>,
    channel: Arc<dyn Channel>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    /// Rung when messages were recorded.
    recorded: Arc<Notify>,
    /// What is under way is finished, nothing more is begun.
    stop: CancellationToken,
    /// Attempts whose outcome the store would not take. They are recorded before anything else is sent, so that a full
    /// disk does not send the same mail again every few seconds.
    unrecorded: Mutex<VecDeque<Attempted>>,
}

/// An attempt that was made, and what came of it.
#[derive(Debug, Clone)]
struct Attempted {
    id: i64,
    letter: Letter,
    kind: MessageKind,
    attempts: u32,
    recorded_at: DateTime<Utc>,
    at: DateTime<Utc>,
    outcome: Result<(), SendError>,
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
    pub fn new(
        store: Arc<Store>,
        channel: Arc<dyn Channel>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        pace: Pace,
        recorded: Arc<Notify>,
        stop: CancellationToken,
    ) -> Self {
        Self { store, channel, metrics, clock, pace, recorded, stop, unrecorded: Mutex::default() }
    }

    /// Waits until messages were recorded since the last round took notice.
    pub async fn rung(&self) {
        self.recorded.notified().await;
    }

    /// Attempts everything that is due, and what is recorded meanwhile, until nothing is. A send that stalls holds up its own
    /// recipient and one of the few connections, never the round. Where the store takes no outcome, what is under way is
    /// finished and nothing more is sent.
    pub async fn run_round(&self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        self.catch_up(&mut round).await?;
        let mut under_way = FuturesUnordered::new();
        let mut ids = BTreeSet::new();
        let mut failed = None;
        loop {
            let now = self.clock.now();
            let halted = self.stop.is_cancelled() || failed.is_some();
            let room = if halted { 0 } else { self.pace.room(now).min(AT_ONCE - under_way.len()) };
            // Those under way are still due as far as the store knows.
            let due = if room == 0 { Ok(Vec::new()) } else { self.noted(self.store.due(now, room + ids.len()).await) };
            let due = due.unwrap_or_else(|error| {
                failed = Some(error);
                Vec::new()
            });
            for message in due.into_iter().filter(|message| !ids.contains(&message.id)).take(room).collect::<Vec<_>>() {
                ids.insert(message.id);
                self.pace.sending(now);
                under_way.push(self.attempt(message));
            }
            if under_way.is_empty() {
                match failed {
                    Some(error) => return Err(error),
                    None => (round.next, round.paced) = self.next(now).await?,
                }
                break;
            }
            if let Err(error) = self.count().await {
                failed = Some(error);
            }
            tokio::select! {
                Some(attempted) = under_way.next() => {
                    ids.remove(&attempted.id);
                    match self.settle(&attempted).await {
                        Ok(fate) => round.count(&fate),
                        Err(error) => {
                            self.unrecorded().push_back(attempted);
                            failed = Some(error);
                        }
                    }
                }
                () = self.rung() => {}
            }
        }
        self.count().await?;
        Ok(round)
    }

    /// Records what could not be recorded before.
    async fn catch_up(&self, round: &mut Round) -> Result<(), StoreError> {
        loop {
            let Some(attempted) = self.unrecorded().front().cloned() else { return Ok(()) };
            round.count(&self.settle(&attempted).await?);
            self.unrecorded().pop_front();
        }
    }

    /// When the next round is due, if anything waits: never later than a message is ever put off, because the clock may be
    /// set back meanwhile. Also whether something is due and only paced.
    async fn next(&self, now: DateTime<Utc>) -> Result<(Option<DateTime<Utc>>, bool), StoreError> {
        let free = (self.pace.room(now) == 0).then(|| self.pace.free_at(now));
        let next = self.noted(self.store.next_due().await)?;
        let paced = free.is_some() && next.is_some_and(|next| next <= now);
        let next = next.map(|next| free.map_or(next, |free| next.max(free)).min(now + DELIVERY_LONGEST_WAIT));
        Ok((next, paced))
    }

    /// Publishes what waits in the outbox.
    pub async fn count(&self) -> Result<(), StoreError> {
        let counts = self.noted(self.store.outbox_counts().await)?;
        self.metrics.outbox(counts.pending, counts.retrying, counts.dead, counts.oldest_pending);
        Ok(())
    }

    async fn attempt(&self, message: Pending) -> Attempted {
        let Pending { id, message_id, kind, to, raw, attempts, recorded_at } = message;
        let letter = Letter { message_id, to, raw };
        let outcome = self.channel.send(&letter).await;
        self.metrics.attempt(outcome.as_ref().err().map(|e| e.obstacle));
        Attempted { id, letter, kind, attempts, recorded_at, at: self.clock.now(), outcome }
    }

    /// Records what came of an attempt.
    async fn settle(&self, attempted: &Attempted) -> Result<Fate, StoreError> {
        let Attempted { id, letter, kind, attempts, recorded_at, at, outcome } = attempted;
        let (id, at, message_id) = (*id, *at, &letter.message_id);
        let fate = match outcome {
            Ok(()) => {
                self.noted(self.store.sent(id, at).await)?;
                self.metrics.message(*kind, true);
                self.metrics.delivered_after((at - *recorded_at).to_std().unwrap_or_default());
                tracing::info!(message_id, %kind, "mail accepted");
                Fate::Sent
            }
            Err(e) if e.permanent || gives_up(*recorded_at, at) => {
                self.noted(self.store.dead(id, at, &e.reason).await)?;
                self.metrics.message(*kind, false);
                tracing::error!(message_id, %kind, reason = %e, "mail is dead and will not be tried again");
                Fate::Dead
            }
            Err(e) => {
                let wait = DELIVERY.after_jittered(attempts + 1, seed(message_id));
                let again = at + TimeDelta::from_std(wait).unwrap_or(DELIVERY_LONGEST_WAIT);
                self.noted(self.store.failed(id, at, again, &e.reason).await)?;
                warn(message_id, e, again);
                Fate::Retrying
            }
        };
        Ok(fate)
    }

    fn unrecorded(&self) -> MutexGuard<'_, VecDeque<Attempted>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if outcome.is_err() {
            self.metrics.store_error(Operation::Deliver);
        }
        outcome
    }

    #[cfg(test)]
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
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
