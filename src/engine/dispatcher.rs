//! The dispatcher of one channel: each round gives one attempt to every message that is due, and the store records the outcome.
//!
//! Properties:
//! - A dispatcher reads and counts only the rows of its channel, so a backlog in one channel delays no other.
//! - Mail to one recipient leaves in the order recorded: the store offers only the head of each recipient's line, and no
//!   second send to a recipient begins beside one under way, whose notification a later one may have replaced meanwhile. In
//!   which order the lines are served is the store's decision, see `store/outbox.rs`.
//! - A message is recorded as sent after the server accepted it. After a crash in between, it is sent again under the same
//!   Message-ID.
//! - A failed message delays only its own line. A message that is refused permanently, or retried for three days, is dead.
//! - Recipients whose server times out never occupy every connection.
//! - Logs hold no addresses: a server's reply, which often repeats the address, is only in the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::bells::Bells;
use super::published::Published;
use super::rate_limiter::RateLimiter;
use super::wait::until;
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::backoff::{DELIVERY, DELIVERY_ENDS_AFTER, DELIVERY_LONGEST_ASKED, DELIVERY_LONGEST_WAIT};
use crate::domain::name::{Name, NameError};
use crate::domain::notification::NotificationKind;
use crate::metrics::Metrics;
use crate::notify::{Channel, Obstacle, Outbound, SendError};
use crate::spans::traced;
use crate::store::{Operation, Pending, Store, StoreError};

/// Most sends at the same time: Microsoft 365 allows as many connections.
const AT_ONCE: usize = 3;

/// How many of them may go to recipients whose last attempt timed out. Each may take a minute, in which the remaining connection
/// serves the other recipients.
const MOST_SILENT: usize = AT_ONCE - 1;

/// The parts that a dispatcher works with.
pub struct DispatcherParts {
    pub store: Arc<Store>,
    pub channel: Arc<dyn Channel>,
    pub published: Arc<Published>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub rate_limiter: Arc<RateLimiter>,
    pub bells: Bells,
    /// When cancelled, sends under way are finished and none is begun.
    pub stop: CancellationToken,
}

/// How often a long round publishes the state of delivery, which takes reading every row that is retried.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Sends messages from the outbox over a channel.
pub struct Dispatcher {
    parts: DispatcherParts,
    /// The name of the channel.
    name: Name,
    /// Attempts whose outcome the store failed to record. They are recorded before anything else is sent, so that a full
    /// disk does not cause the same mail to be sent every few seconds.
    unrecorded: Mutex<VecDeque<Attempted>>,
    /// Recipients whose last attempt timed out.
    silent: Mutex<BTreeSet<Address>>,
}

/// Recipients to whom a message is being sent, and whether the last attempt to them timed out.
type UnderWay = BTreeMap<Address, bool>;

/// An attempt that was made, and its outcome.
#[derive(Debug, Clone)]
pub(super) struct Attempted {
    id: i64,
    outbound: Outbound,
    kind: NotificationKind,
    attempts: u32,
    recorded_at: DateTime<Utc>,
    at: DateTime<Utc>,
    pub(super) outcome: Result<(), SendError>,
}

/// The result of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub sent: u32,
    pub retrying: u32,
    pub dead: u32,
    /// When the next message is due, if any is waiting.
    pub next: Option<DateTime<Utc>>,
    /// A message is due and waits only for the rate limit.
    pub rate_limited: bool,
}

enum AttemptResult {
    Sent,
    Retrying,
    Dead,
    /// It failed after a later notification had replaced this one.
    Superseded,
}

impl Round {
    fn count(&mut self, result: &AttemptResult) {
        match result {
            AttemptResult::Sent => self.sent += 1,
            AttemptResult::Retrying => self.retrying += 1,
            AttemptResult::Dead => self.dead += 1,
            AttemptResult::Superseded => {}
        }
    }
}

impl Dispatcher {
    /// # Errors
    /// If the label of the channel is not a name.
    pub fn new(parts: DispatcherParts) -> Result<Self, NameError> {
        let name = Name::parse(parts.channel.label())?;
        Ok(Self { parts, name, unrecorded: Mutex::default(), silent: Mutex::default() })
    }

    /// Waits until notifications are recorded. Returns at once if some were recorded since the last call.
    pub async fn rung(&self) {
        self.parts.bells.recorded.notified().await;
    }

    /// Attempts every message that is due, and those that are recorded or fall due meanwhile, until none is left. A send that
    /// stalls delays its own recipient and one connection, never the round. When the store fails to record an outcome, sends
    /// under way are finished and none is begun.
    pub async fn run_round(&self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        self.catch_up(&mut round).await?;
        let mut sends = FuturesUnordered::new();
        let mut under_way = UnderWay::new();
        let mut failed = None;
        let mut shown: Option<Instant> = None;
        loop {
            let now = self.parts.clock.now();
            if !self.parts.stop.is_cancelled() && failed.is_none() {
                match self.choose(now, &mut under_way).await {
                    Ok(chosen) => sends.extend(chosen.into_iter().map(|message| self.attempt(message))),
                    Err(error) => failed = Some(error),
                }
            }
            if sends.is_empty() {
                match failed {
                    Some(error) => return Err(error),
                    None => (round.next, round.rate_limited) = self.next(now).await?,
                }
                break;
            }
            let published = if shown.is_some_and(|at| at.elapsed() < SHOW_EVERY) {
                self.count().await
            } else {
                shown = Some(Instant::now());
                self.show().await
            };
            if let Err(error) = published {
                failed = Some(error);
            }
            let more = if self.parts.stop.is_cancelled() || failed.is_some() {
                Ok(None)
            } else {
                self.more(now, &under_way).await
            };
            let more = more.unwrap_or_else(|error| {
                failed = Some(error);
                None
            });
            tokio::select! {
                Some(attempted) = sends.next() => {
                    under_way.remove(&attempted.outbound.to);
                    match self.settle(&attempted).await {
                        Ok(result) => round.count(&result),
                        Err(error) => {
                            self.unrecorded().push_back(attempted);
                            failed = Some(error);
                        }
                    }
                }
                () = self.rung() => {}
                () = until(more, &*self.parts.clock) => {}
            }
        }
        self.show().await?;
        Ok(round)
    }

    /// Chooses the messages to send now, and adds them to those under way.
    async fn choose(&self, now: DateTime<Utc>, under_way: &mut UnderWay) -> Result<Vec<Pending>, StoreError> {
        let mut chosen = Vec::new();
        loop {
            let room = self.parts.rate_limiter.room(now).min(AT_ONCE - under_way.len());
            let mut room_for_silent = MOST_SILENT.saturating_sub(under_way.values().filter(|silent| **silent).count());
            if room == 0 {
                return Ok(chosen);
            }
            let silent = self.silent().clone();
            let left_out = silent.iter().filter(|_| room_for_silent == 0);
            let besides = under_way.keys().chain(left_out).cloned().collect();
            let due =
                self.noted(self.parts.store.due_besides(self.parts.channel.label(), now, room, &besides).await)?;
            let before = chosen.len();
            for message in due {
                let was_silent = silent.contains(&message.to);
                if was_silent && room_for_silent == 0 {
                    continue;
                }
                room_for_silent -= usize::from(was_silent);
                under_way.insert(message.to.clone(), was_silent);
                self.parts.rate_limiter.sending(now);
                chosen.push(message);
            }
            if chosen.len() == before {
                return Ok(chosen);
            }
        }
    }

    /// When another send can begin beside those under way; `None` if one of them has to end first.
    async fn more(&self, now: DateTime<Utc>, under_way: &UnderWay) -> Result<Option<DateTime<Utc>>, StoreError> {
        if under_way.len() >= AT_ONCE {
            return Ok(None);
        }
        if self.parts.rate_limiter.room(now) == 0 {
            return Ok(Some(self.parts.rate_limiter.free_at(now)));
        }
        let next = self.noted(self.parts.store.next_due(self.parts.channel.label(), Some(now)).await)?;
        Ok(next.map(|next| next.min(now + DELIVERY_LONGEST_WAIT)))
    }

    /// Records outcomes that the store failed to record before.
    async fn catch_up(&self, round: &mut Round) -> Result<(), StoreError> {
        loop {
            let Some(attempted) = self.unrecorded().front().cloned() else { return Ok(()) };
            round.count(&self.settle(&attempted).await?);
            self.unrecorded().pop_front();
        }
    }

    /// When the next round is due, if a message waits, and whether a message is due and waits only for the rate limit.
    ///
    /// The next round is at most the longest wait of the backoff from now: the clock may be set back meanwhile, and a longer wait
    /// counts toward the retry age in such pieces.
    async fn next(&self, now: DateTime<Utc>) -> Result<(Option<DateTime<Utc>>, bool), StoreError> {
        let free = (self.parts.rate_limiter.room(now) == 0).then(|| self.parts.rate_limiter.free_at(now));
        let next = self.noted(self.parts.store.next_due(self.parts.channel.label(), None).await)?;
        let rate_limited = free.is_some() && next.is_some_and(|next| next <= now);
        if next.is_some_and(|next| next > now + DELIVERY.longest) {
            // A server asked for a long wait, which counts toward the retry age.
            self.noted(self.parts.store.note_watched(now).await)?;
        }
        let next = next.map(|next| free.map_or(next, |free| next.max(free)).min(now + DELIVERY.longest));
        Ok((next, rate_limited))
    }

    /// Publishes how many notifications wait in the outbox.
    async fn count(&self) -> Result<(), StoreError> {
        let counts = self.noted(self.parts.store.outbox_counts(self.parts.channel.label()).await)?;
        self.parts.metrics.outbox(counts.pending, counts.retrying, counts.dead, counts.oldest_pending);
        Ok(())
    }

    /// The same, and publishes the state of delivery.
    async fn show(&self) -> Result<(), StoreError> {
        self.count().await?;
        let delivery = self.noted(self.parts.store.delivery(&self.name).await)?;
        self.parts.published.write(|present| present.delivery = Some(delivery));
        Ok(())
    }

    async fn attempt(&self, message: Pending) -> Attempted {
        let channel = self.parts.channel.label();
        traced!("deliver", { notification = message.id, channel = channel }, self.send(message))
    }

    async fn send(&self, message: Pending) -> Attempted {
        let Pending { id, message_id, kind, to, raw, attempts, recorded_at } = message;
        let outbound = Outbound { message_id, to, raw };
        let outcome = self.parts.channel.send(&outbound).await;
        self.note_silence(&outbound.to, &outcome);
        self.parts.metrics.attempt(outcome.as_ref().err().map(|e| e.obstacle));
        Attempted { id, outbound, kind, attempts, recorded_at, at: self.parts.clock.now(), outcome }
    }

    /// Records the outcome of an attempt.
    async fn settle(&self, attempted: &Attempted) -> Result<AttemptResult, StoreError> {
        let Attempted { id, outbound, kind, attempts, recorded_at, at, outcome } = attempted;
        let (id, at, message_id) = (*id, *at, &outbound.message_id);
        let result = match outcome {
            Ok(()) => {
                let accepts_again = self.noted(self.parts.store.sent(id, at).await)?;
                self.address_turned(accepts_again);
                self.parts.metrics.notification(*kind, true);
                self.parts.metrics.delivered_after((at - *recorded_at).to_std().unwrap_or_default());
                tracing::info!(message_id, %kind, "sent mail");
                AttemptResult::Sent
            }
            Err(e) if e.permanent || self.noted(self.parts.store.tried_for(id, at).await)? >= DELIVERY_ENDS_AFTER => {
                let Some(is_undeliverable) = self.noted(self.parts.store.dead(id, at, &e.reason).await)? else {
                    return Ok(superseded(message_id, e));
                };
                self.address_turned(is_undeliverable);
                self.parts.metrics.notification(*kind, false);
                let (obstacle, reply, reason) = (e.obstacle.label(), e.reply, e.for_log());
                tracing::error!(message_id, %kind, obstacle, reply, reason, "mail is dead; will not retry");
                whole_reason(message_id, e);
                AttemptResult::Dead
            }
            Err(e) => {
                let wait = DELIVERY.after_jittered(attempts + 1, seed(message_id));
                let wait = wait.max(e.retry_after.unwrap_or_default().min(DELIVERY_LONGEST_ASKED));
                let again = at + wait;
                if !self.noted(self.parts.store.failed(id, at, again, &e.reason).await)? {
                    return Ok(superseded(message_id, e));
                }
                warn(message_id, e, again);
                AttemptResult::Retrying
            }
        };
        Ok(result)
    }

    /// Wakes alerting if an address began to refuse mail, or accepts it again.
    fn address_turned(&self, turned: bool) {
        if turned {
            self.parts.bells.changed.notify_one();
        }
    }

    fn note_silence(&self, to: &Address, outcome: &Result<(), SendError>) {
        if outcome.as_ref().is_err_and(|error| error.obstacle == Obstacle::Timeout) {
            self.silent().insert(to.clone());
        } else {
            self.silent().remove(to);
        }
    }

    fn silent(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unrecorded(&self) -> MutexGuard<'_, VecDeque<Attempted>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if outcome.is_err() {
            self.parts.metrics.store_error(Operation::Deliver);
        }
        outcome
    }

    #[cfg(test)]
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }
}

/// Logs a failed attempt. A failed sign-in is an error, because it stops all mail.
fn warn(message_id: &str, error: &SendError, again: DateTime<Utc>) {
    let again = crate::domain::reading::time::utc(again);
    let (obstacle, reply, reason) = (error.obstacle.label(), error.reply, error.for_log());
    if error.obstacle == Obstacle::Auth {
        tracing::error!(
            message_id,
            obstacle,
            reply,
            reason,
            again,
            "failed to sign in to the mail server; no mail leaves until this is fixed"
        );
    } else {
        tracing::warn!(message_id, obstacle, reply, reason, again, "failed to send mail; will retry");
    }
    whole_reason(message_id, error);
}

/// Logs a failed attempt to send a notification that a later one has replaced, so that the store does not have the failure.
fn superseded(message_id: &str, error: &SendError) -> AttemptResult {
    tracing::debug!(message_id, reason = error.for_log(), "failed to send mail that a later one has replaced");
    AttemptResult::Superseded
}

/// Logs the words of the server, which may repeat an address, at `debug`.
fn whole_reason(message_id: &str, error: &SendError) {
    if !error.own_words {
        tracing::debug!(message_id, reason = %error, "reason for the failed attempt");
    }
}

/// The Message-ID as a seed for jitter: repeatable, and different for each message.
fn seed(message_id: &str) -> u64 {
    message_id.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
