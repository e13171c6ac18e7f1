//! The loops of the running program. They only wait; the engine does the work of each cycle.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::credentials::Credentials;
use super::heartbeat::Heartbeat;
use crate::clock::Clock;
use crate::domain::announcement::Announcement;
use crate::domain::retention::RetentionClock;
use crate::domain::timetable::{Timetable, missed};
use crate::engine::alerting::Alerting;
use crate::engine::audit::{Auditor, describe};
use crate::engine::current::{Current, CurrentChannel};
use crate::engine::dispatcher::Dispatcher;
use crate::engine::mailbox::Mailboxes;
use crate::engine::published::Published;
use crate::engine::wait::until;
use crate::lifecycle::systemd::ServiceManager;
use crate::metrics::{Late, Metrics};
use crate::scheduler::Ticker;
use crate::spans::traced;
use crate::store::{Operation, RENEW_EVERY, Store, StoreError};
use crate::web;

/// The lead of the clock above which the log has a warning: a downtime of a few days is normal.
const NOTICEABLE_LEAD: TimeDelta = TimeDelta::days(7);

/// At the start, time between the first polls of two sources.
const STAGGER: Duration = Duration::from_millis(20);

/// At the start, the time within which every source has its first poll.
const ALL_BEGUN: Duration = Duration::from_mins(1);

/// The time between the first polls of `sources` sources.
fn apart(sources: usize) -> Duration {
    let shared = u32::try_from(sources.max(1)).map_or(Duration::ZERO, |sources| ALL_BEGUN / sources);
    shared.min(STAGGER)
}

pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<(), String> {
    web::serve(listener, router, stop).await;
    Ok(())
}

/// Runs alerting when an audit has changed an incident, when a grace period ends and when a reminder is due.
pub(super) async fn alert(
    alerting: Arc<Alerting>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), String> {
    loop {
        // At the start too, for notifications that a killed process left due.
        let outcome = traced!("alert", {}, alerting.run(clock.now()));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = alerting.changed() => {}
            () = until(outcome.next(), &*clock) => {}
        }
    }
}

/// Runs the dispatcher when a notification is recorded or due.
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

/// Makes schedules due as time passes.
pub(super) struct Timing {
    pub published: Arc<Published>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub mailboxes: Arc<Mailboxes>,
    pub service: ServiceManager,
}

impl Timing {
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let started = self.clock.now();
        let mut plans = self.published.plans();
        let mut timetable = Timetable::new(plans.values(), started);
        let mut ticker = Ticker::start().await.map_err(|e| e.to_string())?;
        self.publish(&timetable);
        self.ticked();
        let mut heartbeat = Heartbeat::start(self.service.clone(), Arc::clone(&self.published));
        self.count_missed(started);
        let mut beginning = pin!(self.begin());
        let mut begun = false;
        loop {
            // The first polls of thousands of sources take a minute, and ticks continue meanwhile.
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut beginning, if !begun => {
                    begun = true;
                    continue;
                }
                () = ticker.tick() => {
                    self.ticked();
                    heartbeat.tick(Instant::now());
                }
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
            for trigger in due {
                let waits =
                    self.mailboxes.of(&trigger.source).is_some_and(|mailbox| mailbox.due([trigger.schedule_key]));
                // A late audit has one reason. A schedule missed during downtime is late also if the source is busy.
                let reason = trigger.late.then_some(Late::Downtime).or(waits.then_some(Late::Busy));
                if let Some(reason) = reason {
                    self.metrics.late(&trigger.source, reason, 1);
                }
            }
            self.publish(&timetable);
        }
        self.service.stopping();
        ticker.stop().await.map_err(|e| e.to_string())
    }

    fn ticked(&self) {
        self.published.write(|present| present.ticked = Some(Instant::now()));
    }

    /// Counts the schedules that were due during downtime. Call it before the first audit, which hides the downtime.
    fn count_missed(&self, started: DateTime<Utc>) {
        for plan in self.published.plans().values() {
            let missed =
                self.published.read(|present| present.state(&plan.name).map(|state| missed(plan, state, started)));
            self.metrics.late(&plan.name, Late::Downtime, missed.unwrap_or_default());
        }
    }

    /// Makes all schedules due for the first time, source by source.
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

/// Renews the ownership of the store, and probes whether it can be written. Ends the program if another process owns the store:
/// two owners would send every notification twice.
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
            tracing::error!(error = %describe(error), "store write probe failed");
        }
        auditor.published.write(|present| present.store_sound = probed.is_ok());
    }
}

/// Deletes history that is older than the retention, at the start and once a day. Every 15 seconds it publishes the disk usage
/// and the ends of credentials, and announces those that are near.
pub(super) struct Upkeep {
    pub store: Arc<Store>,
    pub auditor: Arc<Auditor>,
    pub clock: Arc<dyn Clock>,
    pub retain: Arc<Current<Duration>>,
    pub credentials: Arc<Current<Credentials>>,
    pub channel: Arc<CurrentChannel>,
    pub alerting: Arc<Alerting>,
    /// Retention trusts the clock at the start.
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
        let mut announced = BTreeSet::new();
        for round in 1.. {
            let elapsed = checked.elapsed();
            checked = Instant::now();
            self.advance(&mut time, elapsed).await;
            match self.store.disk_usage().await {
                Ok(usage) => self.auditor.metrics.disk(usage.size, usage.free),
                Err(error) => tracing::debug!(%error, "cannot read the disk usage of the store"),
            }
            self.publish_credentials(&mut announced).await;
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

    /// `announced`: the announcements that the store has, so that it is not asked again.
    async fn publish_credentials(&self, announced: &mut BTreeSet<Uuid>) {
        let (credentials, sources) = (self.credentials.get(), self.auditor.sources.get());
        let channel = Arc::clone(&self.channel);
        // On a blocking thread, because it reads a file.
        let now = self.clock.now();
        let read = move || {
            let known = credentials.known(&sources, Some(&*channel));
            let ending = credentials.ending(&known, now);
            (known, ending)
        };
        let (known, ending) = match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, "cannot read the ends of credentials");
                return;
            }
        };
        self.auditor.published.write(|present| present.credentials = known);
        for ending in ending {
            let (id, key, end) = (ending.id, ending.key.clone(), ending.end);
            if announced.contains(&id) || !self.alerting.announce_once(Announcement::Credential(ending)).await {
                continue;
            }
            announced.insert(id);
            tracing::warn!(key, %end, "a credential expires soon or has expired");
        }
    }

    /// Advances the time of retention; reads it from the store first.
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
                "the clock is ahead of the last time recorded in the store; retention trusts it after a day of running \
                 (at once with run --trust-clock)"
            );
        }
    }

    /// Records the time of retention for the next start.
    async fn note(&self, time: &RetentionClock) {
        if let Err(error) = self.store.note_retention_seen(time.at()).await {
            self.failed(&error);
        }
    }

    async fn prune(&self, now: DateTime<Utc>, stop: &CancellationToken) {
        /// Rows in one transaction: few enough that no audit waits for it.
        const BATCH: usize = 500;
        // A retention that reaches beyond the calendar keeps everything.
        let Some(before) =
            TimeDelta::from_std(*self.retain.get()).ok().and_then(|retain| now.checked_sub_signed(retain))
        else {
            return;
        };
        match self.store.prune(before, BATCH, || stop.is_cancelled()).await {
            Ok(rows) => tracing::debug!(rows, "deleted history older than the retention"),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &StoreError) {
        self.auditor.metrics.store_error(Operation::Prune);
        tracing::warn!(error = %describe(error), "failed to delete old history; will retry");
    }
}

#[cfg(test)]
mod tests;
