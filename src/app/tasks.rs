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
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::policy::Severity;
use crate::domain::schedule::Rhythm;
use crate::domain::state::SourceState;
use crate::engine::audit::{Auditor, Outcome};
use crate::engine::board::Board;
use crate::engine::deliver::Courier;
use crate::engine::inbox::Inbox;
use crate::metrics::{Late, Metrics, StoreOperation};
use crate::scheduler::Ticker;
use crate::store::Store;
use crate::web;

/// A look that failed is repeated after this long, if its schedule does not come round sooner: a session that is looked at once
/// a year must not wait for a year.
const RETRY: TimeDelta = TimeDelta::minutes(5);

/// An audit that could not be recorded is repeated after this long: until then nobody is told what it found.
const STORE_RETRY: TimeDelta = TimeDelta::seconds(30);

/// Longest sleep: a clock that is set, or a machine that wakes up, is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// At start-up sources begin one after another, this far apart.
const STAGGER: Duration = Duration::from_millis(20);

pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<(), String> {
    web::serve(listener, router, stop).await.map_err(|e| e.to_string())
}

/// The one worker of a source.
pub(super) struct Worker {
    pub source: Name,
    pub inbox: Arc<Inbox>,
    pub auditor: Arc<Auditor>,
}

impl Worker {
    pub(super) async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<(), String> {
        let mut owed: BTreeSet<Rhythm> = BTreeSet::new();
        let mut again: Option<DateTime<Utc>> = None;
        loop {
            let due = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                due = self.inbox.take() => due,
                () = until(again, &*clock) => std::mem::take(&mut owed),
            };
            let outcome = self.auditor.run(&self.source, &Due::Rhythms(due.clone())).await;
            self.inbox.done();
            let now = clock.now();
            match outcome {
                Outcome::Stopped => return Ok(()),
                Outcome::Unreachable { .. } => {
                    owed.extend(due);
                    again = Some(self.patience_ends(now).map_or(now + RETRY, |end| end.min(now + RETRY)));
                }
                Outcome::NotRecorded { .. } => {
                    owed.extend(due);
                    again = Some(now + STORE_RETRY);
                }
                Outcome::Looked { .. } => {
                    owed = owed.difference(&due).cloned().collect();
                    again = self.patience_ends(now);
                    owed.extend(self.impatient());
                }
            }
        }
    }

    /// When something that cannot be seen has lasted long enough to be told, and nobody has been told.
    fn patience_ends(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let plan = self.plan()?;
        let patience = TimeDelta::from_std(plan.alerts.unreachable_after).ok()?;
        self.auditor.board.read(|present| {
            let state = present.states.get(&self.source)?;
            let ends = untold(state, plan.alerts.mail_from).map(|incident| incident.window.first_bad + patience);
            ends.filter(|end| *end > now).min()
        })
    }

    /// The rhythms of sessions of which somebody will have to be told that they could not be read.
    fn impatient(&self) -> Vec<Rhythm> {
        let Some(plan) = self.plan() else { return Vec::new() };
        let mail_from = plan.alerts.mail_from;
        self.auditor.board.read(|present| {
            let incidents = present.states.get(&self.source).into_iter().flat_map(|state| untold(state, mail_from));
            let sessions = incidents.filter_map(|incident| incident.thing.session());
            sessions.filter_map(|id| plan.sessions.get(id)).map(|session| session.schedule.rhythm()).collect()
        })
    }

    fn plan(&self) -> Option<&SourcePlan> {
        self.auditor.board.plans().get(&self.source)
    }
}

/// What cannot be seen, nobody has been told of, and somebody will have to be.
fn untold(state: &SourceState, mail_from: Severity) -> impl Iterator<Item = &Incident> {
    let waits = move |incident: &&Incident| {
        matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable)
            && incident.severity >= mail_from
            && incident.is_open()
            && incident.told_at.is_none()
    };
    state.incidents().filter(waits)
}

/// Sleeps until `at` by `clock`, in pieces, so that a clock that is set is noticed; for ever without a time. Where the clock
/// was set back it returns at once: `at` was reckoned by a clock that was ahead, and is to be reckoned anew.
async fn until(at: Option<DateTime<Utc>>, clock: &dyn Clock) {
    let Some(at) = at else { return std::future::pending().await };
    let mut before = clock.now();
    loop {
        let now = clock.now();
        let left = (at - now).to_std().unwrap_or_default();
        if left.is_zero() || now < before {
            return;
        }
        before = now;
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
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
                if call.late {
                    self.metrics.late(&call.source, Late::Downtime, 1);
                }
                let waits = self.inboxes.get(&call.source).is_some_and(|inbox| inbox.put([call.rhythm]));
                if waits {
                    self.metrics.late(&call.source, Late::Busy, 1);
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

/// Forgets what is older than the retention, and sees whether the store still works.
pub(super) async fn keep_up(
    store: Arc<Store>,
    auditor: Arc<Auditor>,
    clock: Arc<dyn Clock>,
    retain: Duration,
    stop: CancellationToken,
) -> Result<(), String> {
    const CHECK: Duration = Duration::from_secs(15);
    const ROUNDS_A_DAY: u32 = 24 * 60 * 60 / 15;
    let mut round = 0u32;
    loop {
        if round.is_multiple_of(ROUNDS_A_DAY) {
            prune(&store, &auditor, clock.now(), retain).await;
        }
        round = round.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CHECK) => {}
        }
        let probed = store.ping_writer().await;
        if let Err(error) = &probed {
            auditor.metrics.store_error(StoreOperation::Probe);
            tracing::error!(%error, "the store does not take what is written");
        }
        auditor.board.write(|present| present.store_sound = probed.is_ok());
    }
}

async fn prune(store: &Store, auditor: &Auditor, now: DateTime<Utc>, retain: Duration) {
    /// Rows at a time: a small transaction that no audit has to wait for.
    const BATCH: usize = 500;
    let before = now - TimeDelta::from_std(retain).unwrap_or(TimeDelta::days(730));
    loop {
        match store.prune(before, BATCH).await {
            Ok(0) => return,
            Ok(rows) => tracing::debug!(rows, "forgot what is older than the retention"),
            Err(error) => {
                auditor.metrics.store_error(StoreOperation::Prune);
                tracing::warn!(%error, "old history could not be removed; it is tried again tomorrow");
                return;
            }
        }
    }
}
