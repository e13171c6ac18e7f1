//! The one task of a source: it polls due schedules, repeats failed polls, and takes up another plan after a reload.
//!
//! Properties: nothing else polls this source or changes its state, so audits never overlap and a reload is a message, not a
//! lock. An audit under way finishes under the plan it began with; the task takes up the new one after it. Where what a
//! reload ends could not be recorded, it is recorded before the next poll. A task that a reload starts begins with a poll of
//! all sessions, as at the start of the program: a renamed source may have retries pending, of which its new task knows nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::audit::{AuditOutcome, Auditor};
use super::mailbox::Mailbox;
use super::wait::until;
use crate::clock::Clock;
use crate::domain::name::Name;
use crate::domain::plan::Due;
use crate::domain::retry::{FinishedPoll, PollEnd, Retries, due_under};
use crate::domain::schedule::ScheduleKey;
use crate::spans::traced;

/// Wait before the task tries again to record the ends that a reload causes.
const SETTLE_RETRY: TimeDelta = TimeDelta::seconds(30);

/// See the module.
pub struct SourceTask {
    pub source: Name,
    pub mailbox: Arc<Mailbox>,
    pub auditor: Arc<Auditor>,
    pub clock: Arc<dyn Clock>,
}

/// Why a task has ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The program stops.
    Stopped,
    /// The configuration no longer has the source.
    Removed,
}

impl SourceTask {
    /// Runs until `stop`, or until a reload has removed the source.
    pub async fn run(&self, stop: CancellationToken) -> Ended {
        let mut retries = Retries::default();
        let mut begins = true;
        // When what a reload ends is to be recorded, where it could not be.
        let mut unsettled = None;
        loop {
            let next = [retries.next(), unsettled].into_iter().flatten().min();
            let orders = tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                orders = self.mailbox.take() => orders,
                () = until(next, &*self.clock) => self.mailbox.begin(),
            };
            let _working = self.mailbox.working().await;
            let mut due = orders.due;
            due.extend(retries.take());
            if orders.reloaded {
                due = self.due_after_reload(&due, begins);
            }
            begins = false;
            if orders.reloaded || unsettled.is_some() {
                unsettled = match self.auditor.take_up_plan(&self.source).await {
                    Ok(true) => None,
                    Ok(false) => return Ended::Removed,
                    Err(error) => {
                        self.auditor.not_recorded(&self.source, &error);
                        Some(self.clock.now() + SETTLE_RETRY)
                    }
                };
            }
            if due.is_empty() || unsettled.is_some() {
                // Nothing is polled while what a reload has ended may be taken for open.
                retries.postpone(&due, unsettled);
                self.mailbox.done();
                continue;
            }
            let schedules = Due::Schedules(due.clone());
            let audit = self.auditor.run(&self.source, &schedules);
            let outcome = traced!("audit", { source = self.source }, audit);
            self.mailbox.done();
            let came = match outcome {
                AuditOutcome::Stopped => return Ended::Stopped,
                AuditOutcome::Replaced => {
                    // The reload that did it is in the mailbox, or will be in a moment.
                    retries.postpone(&due, Some(self.clock.now() + SETTLE_RETRY));
                    continue;
                }
                AuditOutcome::Unreachable { .. } => PollEnd::Unreachable,
                AuditOutcome::NotAsked { .. } => PollEnd::NotAsked,
                AuditOutcome::NotRecorded { .. } => PollEnd::NotRecorded,
                AuditOutcome::Polled { .. } => PollEnd::Seen,
            };
            let plans = self.auditor.published.plans();
            // If a reload has removed the source meanwhile, it is in the mailbox.
            let Some(plan) = plans.get(&self.source) else { continue };
            let poll = FinishedPoll { due: &due, ended: self.clock.now(), came };
            retries.note(poll, plan, &self.auditor.published.state(&self.source));
        }
    }

    /// The schedules to poll at once after a reload whose plan is not taken up yet: of sessions that were never polled, and of those
    /// for which a poll was `due`. All if the task `begins` with it.
    fn due_after_reload(&self, due: &BTreeSet<ScheduleKey>, begins: bool) -> BTreeSet<ScheduleKey> {
        let plans = self.auditor.published.plans();
        match plans.get(&self.source) {
            Some(plan) if begins => plan.sessions.values().map(|session| session.schedule.key()).collect(),
            Some(plan) => due_under(due, plan, &self.auditor.published.state(&self.source)),
            None => due.clone(),
        }
    }
}
