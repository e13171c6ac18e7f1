//! The loops of the running program. They only wait; the work is a cycle of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::agenda::Agenda;
use crate::domain::name::Name;
use crate::domain::owed::{Came, Made, Owed};
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::schedule::Rhythm;
use crate::engine::audit::{Auditor, Outcome};
use crate::engine::board::Board;
use crate::engine::deliver::Courier;
use crate::engine::inbox::Inbox;
use crate::engine::wait::until;
use crate::metrics::{Late, Metrics};
use crate::scheduler::Ticker;
use crate::store::{Operation, RENEW_EVERY, Store};
use crate::web;

/// At start-up sources begin one after another, this far apart.
const STAGGER: Duration = Duration::from_millis(20);

pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<(), String> {
    web::serve(listener, router, stop).await;
    Ok(())
}

/// The one worker of a source.
pub(super) struct Worker {
    pub source: Name,
    pub inbox: Arc<Inbox>,
    pub auditor: Arc<Auditor>,
}

impl Worker {
    pub(super) async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<(), String> {
        let mut owed = Owed::default();
        loop {
            let mut due = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                due = self.inbox.take() => due,
                () = until(owed.next(), &*clock) => self.inbox.begin(),
            };
            let began = clock.now();
            due.extend(owed.take(began));
            if due.is_empty() {
                // The clock was set back: what was planned is not due yet.
                self.inbox.done();
                continue;
            }
            let outcome = self.auditor.run(&self.source, &Due::Rhythms(due.clone())).await;
            self.inbox.done();
            let came = match outcome {
                Outcome::Stopped => return Ok(()),
                Outcome::Unreachable { .. } => Came::Unreachable,
                Outcome::NotAsked { .. } => Came::NotAsked,
                Outcome::NotRecorded { .. } => Came::NotRecorded,
                Outcome::Looked { .. } => Came::Seen,
            };
            let made = Made { due: &due, began, ended: clock.now(), came };
            let board = &self.auditor.board;
            let Some(plan) = board.plans().get(&self.source) else { return Err(String::from("it has no plan")) };
            let state = board.state(&self.source);
            owed.note(made, plan, &state);
        }
    }
}

/// Delivers whenever something was recorded or falls due.
pub(super) async fn deliver(
    courier: Arc<Courier>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), String> {
    loop {
        let next = match courier.run_round().await {
            Ok(round) => round.next,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read or written; it is tried again");
                Some(clock.now() + TimeDelta::seconds(5))
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = courier.rung() => {}
            () = until(next, &*clock) => {}
        }
    }
}

/// Turns ticks into sessions that are due.
pub(super) struct Timing {
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub inboxes: BTreeMap<Name, Arc<Inbox>>,
}

impl Timing {
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let mut agenda = Agenda::new(self.board.plans().values(), self.clock.now());
        let (sender, mut ticks) = mpsc::channel(1);
        let ticker = Ticker::start(sender).await.map_err(|e| e.to_string())?;
        self.publish(&agenda);
        self.board.write(|present| present.scheduling = true);
        self.begin(&stop).await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                tick = ticks.recv() => tick.ok_or("the scheduler ended")?,
            }
            let due = agenda.take_due(self.clock.now());
            if due.is_empty() {
                continue;
            }
            for call in due {
                let waits = self.inboxes.get(&call.source).is_some_and(|inbox| inbox.put([call.rhythm]));
                // One audit is late for one reason: what was slept through would have come late to a worker at leisure, too.
                let reason = call.late.then_some(Late::Downtime).or(waits.then_some(Late::Busy));
                if let Some(reason) = reason {
                    self.metrics.late(&call.source, reason, 1);
                }
            }
            self.publish(&agenda);
        }
        ticker.stop().await.map_err(|e| e.to_string())
    }

    /// The first audit of everything, source after source.
    async fn begin(&self, stop: &CancellationToken) {
        for (name, inbox) in &self.inboxes {
            let Some(plan) = self.board.plans().get(name) else { continue };
            let rhythms = plan.sessions.values().map(|session| session.schedule.rhythm()).collect::<BTreeSet<_>>();
            let missed = self.missed(plan);
            if missed > 0 {
                self.metrics.late(name, Late::Downtime, missed);
            }
            inbox.put(rhythms);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(STAGGER) => {}
            }
        }
    }

    /// How many rhythms of a source were due while nobody was running.
    fn missed(&self, plan: &SourcePlan) -> u64 {
        let now = self.clock.now();
        let schedules: BTreeMap<Rhythm, _> =
            plan.sessions.values().map(|s| (s.schedule.rhythm(), &s.schedule)).collect();
        self.board.read(|present| {
            let Some(state) = present.states.get(&plan.name) else { return 0 };
            let missed = |(rhythm, schedule): &(&Rhythm, &&crate::domain::schedule::Schedule)| {
                // A look that failed was made in time, too.
                let last = state.rhythms.get(*rhythm).copied().max(state.record.last_look);
                last.and_then(|last| schedule.next_after(last)).is_some_and(|due| due < now)
            };
            schedules.iter().filter(missed).count() as u64
        })
    }

    fn publish(&self, agenda: &Agenda) {
        let upcoming = agenda.upcoming().map(|(name, rhythm, at)| ((name.clone(), rhythm.clone()), at)).collect();
        self.board.write(|present| present.next_audits = upcoming);
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
        auditor.board.write(|present| present.store_sound = probed.is_ok());
    }
}

/// Forgets what is older than the retention, at start and once a day.
pub(super) async fn keep_up(
    store: Arc<Store>,
    auditor: Arc<Auditor>,
    clock: Arc<dyn Clock>,
    retain: Duration,
    stop: CancellationToken,
) -> Result<(), String> {
    const DAY: Duration = Duration::from_hours(24);
    loop {
        prune(&store, &auditor, clock.now(), retain, &stop).await;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(DAY) => {}
        }
    }
}

async fn prune(store: &Store, auditor: &Auditor, now: DateTime<Utc>, retain: Duration, stop: &CancellationToken) {
    /// Rows at a time: a small transaction that no audit has to wait for.
    const BATCH: usize = 500;
    // A retention beyond the beginning of the calendar keeps everything.
    let Some(before) = TimeDelta::from_std(retain).ok().and_then(|retain| now.checked_sub_signed(retain)) else {
        return;
    };
    match store.prune(before, BATCH, || stop.is_cancelled()).await {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "forgot what is older than the retention"),
        Err(error) => {
            auditor.metrics.store_error(Operation::Prune);
            tracing::warn!(%error, "old history could not be removed; it is tried again tomorrow");
        }
    }
}
