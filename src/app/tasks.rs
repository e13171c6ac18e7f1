//! The loops of the running program. They only wait; the work is a cycle of the engine.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::retention::RetentionClock;
use crate::domain::timetable::{Timetable, missed};
use crate::engine::alerting::Alerting;
use crate::engine::audit::Auditor;
use crate::engine::current::Current;
use crate::engine::dispatcher::Dispatcher;
use crate::engine::mailbox::Mailboxes;
use crate::engine::published::Published;
use crate::engine::wait::until;
use crate::metrics::{Late, Metrics};
use crate::scheduler::Ticker;
use crate::store::{Operation, RENEW_EVERY, Store, StoreError};
use crate::web;

/// A lead of the clock that is worth a line in the log: downtime of a few days is nothing unusual.
const NOTICEABLE_LEAD: TimeDelta = TimeDelta::days(7);

/// At start sources begin one after another, this far apart.
const STAGGER: Duration = Duration::from_millis(20);

/// Within this time every source has begun, however many there are.
const ALL_BEGUN: Duration = Duration::from_mins(1);

/// How far apart so many sources begin.
fn apart(sources: usize) -> Duration {
    let shared = u32::try_from(sources.max(1)).map_or(Duration::ZERO, |sources| ALL_BEGUN / sources);
    shared.min(STAGGER)
}

pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<(), String> {
    web::serve(listener, router, stop).await;
    Ok(())
}

/// Alerts whenever an audit changed an incident, and when a grace period or the time to a reminder ends.
pub(super) async fn alert(
    alerting: Arc<Alerting>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), String> {
    loop {
        // At start too: whatever a process that died left owed.
        let outcome = alerting.run(clock.now()).await;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = alerting.changed() => {}
            () = until(outcome.next(), &*clock) => {}
        }
    }
}

/// Delivers whenever something was recorded or falls due.
pub(super) async fn deliver(
    dispatcher: Arc<Dispatcher>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), String> {
    loop {
        let next = match dispatcher.run_round().await {
            Ok(round) => round.next,
            Err(error) => {
                tracing::error!(%error, "failed to read or write the outbox; will retry");
                Some(clock.now() + TimeDelta::seconds(5))
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = dispatcher.rung() => {}
            () = until(next, &*clock) => {}
        }
    }
}

/// Turns ticks into sessions that are due.
pub(super) struct Timing {
    pub published: Arc<Published>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub mailboxes: Arc<Mailboxes>,
}

impl Timing {
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let started = self.clock.now();
        let mut plans = self.published.plans();
        let mut timetable = Timetable::new(plans.values(), started);
        let mut ticker = Ticker::start().await.map_err(|e| e.to_string())?;
        self.publish(&timetable);
        self.ticked();
        self.count_missed(started);
        let mut beginning = pin!(self.begin());
        let mut begun = false;
        loop {
            // Thousands of sources take a while to begin, in which time goes on.
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut beginning, if !begun => {
                    begun = true;
                    continue;
                }
                () = ticker.tick() => self.ticked(),
            }
            let now = self.clock.now();
            let latest = self.published.plans();
            let reloaded = !Arc::ptr_eq(&plans, &latest);
            if reloaded {
                timetable.replace_plans(latest.values(), now);
                plans = latest;
            }
            let due = timetable.take_due(now);
            if due.is_empty() && !reloaded {
                continue;
            }
            for call in due {
                let waits = self.mailboxes.of(&call.source).is_some_and(|mailbox| mailbox.due([call.schedule_key]));
                // One audit is late for one reason: what was slept through would have come late to a worker at leisure, too.
                let reason = call.late.then_some(Late::Downtime).or(waits.then_some(Late::Busy));
                if let Some(reason) = reason {
                    self.metrics.late(&call.source, reason, 1);
                }
            }
            self.publish(&timetable);
        }
        ticker.stop().await.map_err(|e| e.to_string())
    }

    fn ticked(&self) {
        self.published.write(|present| present.ticked = Some(Instant::now()));
    }

    /// Counts what was due while the process did not run, before the first audit makes it look as if it had run.
    fn count_missed(&self, started: DateTime<Utc>) {
        for plan in self.published.plans().values() {
            let missed =
                self.published.read(|present| present.state(&plan.name).map(|state| missed(plan, state, started)));
            self.metrics.late(&plan.name, Late::Downtime, missed.unwrap_or_default());
        }
    }

    /// The first audit of everything, source after source.
    async fn begin(&self) {
        let plans = self.published.plans();
        let apart = apart(plans.len());
        for plan in plans.values() {
            if let Some(mailbox) = self.mailboxes.of(&plan.name) {
                mailbox.due(plan.sessions.values().map(|session| session.schedule.key()));
            }
            tokio::time::sleep(apart).await;
        }
    }

    fn publish(&self, timetable: &Timetable) {
        let upcoming =
            timetable.upcoming().map(|(name, schedule_key, at)| ((name.clone(), schedule_key.clone()), at)).collect();
        self.published.write(|present| present.next_audits = upcoming);
    }
}

/// Renews the ownership of the store, and sees whether it still works. Ends where another process owns it: two would send
/// everything twice.
pub(super) async fn own(store: Arc<Store>, auditor: Arc<Auditor>, stop: CancellationToken) -> Result<(), String> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        let probed = store.ping_writer().await;
        if let Err(error) = &probed {
            auditor.metrics.store_error(Operation::Probe);
            if error.is_taken() {
                return Err(error.to_string());
            }
            tracing::error!(%error, "the store does not take what is written");
        }
        auditor.published.write(|present| present.store_sound = probed.is_ok());
    }
}

/// Forgets what is older than the retention, at start and once a day.
pub(super) struct Upkeep {
    pub store: Arc<Store>,
    pub auditor: Arc<Auditor>,
    pub clock: Arc<dyn Clock>,
    pub retain: Arc<Current<Duration>>,
    /// Retention believes the clock as it is at the start.
    pub trust_clock: bool,
}

impl Upkeep {
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), String> {
        const CHECK: Duration = Duration::from_secs(15);
        const ROUNDS_A_DAY: u32 = 24 * 60 * 60 / 15;
        const ROUNDS_A_NOTE: u32 = 5 * 60 / 15;
        let mut time = None;
        let mut checked = Instant::now();
        let mut prune_due = true;
        for round in 1.. {
            let elapsed = checked.elapsed();
            checked = Instant::now();
            self.advance(&mut time, elapsed).await;
            match self.store.disk_usage().await {
                Ok(usage) => self.auditor.metrics.disk(usage.size, usage.free),
                Err(error) => tracing::debug!(%error, "cannot read the disk usage of the store"),
            }
            if let (true, Some(time)) = (prune_due, &time) {
                self.prune(time.at(), &stop).await;
                prune_due = false;
                self.note(time).await;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(CHECK) => {}
            }
            prune_due |= round % ROUNDS_A_DAY == 0;
            if let (0, Some(time)) = (round % ROUNDS_A_NOTE, &time) {
                self.note(time).await;
            }
        }
        Ok(())
    }

    /// Advances the time that retention goes by; reads it first where it is not known yet.
    async fn advance(&self, time: &mut Option<RetentionClock>, elapsed: Duration) {
        let now = self.clock.now();
        let before = time.as_ref().map_or(TimeDelta::zero(), RetentionClock::lead);
        match time {
            Some(time) => time.advance(elapsed, now),
            None => match self.store.retention_seen().await {
                Ok(seen) => *time = Some(RetentionClock::new(seen, now, self.trust_clock)),
                Err(error) => self.failed(&error),
            },
        }
        let lead = time.as_ref().map_or(TimeDelta::zero(), RetentionClock::lead);
        if lead - before > NOTICEABLE_LEAD {
            tracing::warn!(
                days = lead.num_days(),
                "the clock is ahead of the last time recorded in the store; retention waits for a day of running before it \
                 goes by it (run --trust-clock does not wait)"
            );
        }
    }

    /// Records how far time has come, so that the next start knows.
    async fn note(&self, time: &RetentionClock) {
        if let Err(error) = self.store.note_retention_seen(time.at()).await {
            self.failed(&error);
        }
    }

    async fn prune(&self, now: DateTime<Utc>, stop: &CancellationToken) {
        /// Rows at a time: a small transaction that no audit has to wait for.
        const BATCH: usize = 500;
        // A retention beyond the beginning of the calendar keeps everything.
        let Some(before) =
            TimeDelta::from_std(*self.retain.get()).ok().and_then(|retain| now.checked_sub_signed(retain))
        else {
            return;
        };
        match self.store.prune(before, BATCH, || stop.is_cancelled()).await {
            Ok(rows) => tracing::debug!(rows, "forgot what is older than the retention"),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &StoreError) {
        self.auditor.metrics.store_error(Operation::Prune);
        tracing::warn!(%error, "retention failed; old history stays until it works again");
    }
}

#[cfg(test)]
mod tests;
