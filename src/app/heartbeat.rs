//! Reports the scheduler's ticks, and a status line on the sessions, to the service manager.
//!
//! Only a tick sends a sign of life, so the service manager restarts a program whose scheduler has stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::published::Published;
use crate::lifecycle::systemd::ServiceManager;
use crate::view::session::{SessionView, Status, tally};
use crate::view::words::{count, number};

/// Time between two counts of the sessions, each of which takes milliseconds for thousands of them.
const RECOUNT: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Heartbeat {
    service: ServiceManager,
    published: Arc<Published>,
    pinged: Option<Instant>,
    counted: Instant,
    status: String,
}

impl Heartbeat {
    /// Reports that the program is ready. Call it after the first tick.
    pub(super) fn start(service: ServiceManager, published: Arc<Published>) -> Self {
        let status = status(&service, &published);
        service.ready(&status);
        Self { service, published, pinged: None, counted: Instant::now(), status }
    }

    /// Call it at each tick.
    pub(super) fn tick(&mut self, now: Instant) {
        // `sd_watchdog_enabled(3)` recommends half the time. Ticks may be seconds apart, so this aims at a quarter.
        let due = |watchdog: Duration| self.pinged.is_none_or(|pinged| now.duration_since(pinged) >= watchdog / 4);
        if self.service.watchdog().is_some_and(due) {
            self.pinged = Some(now);
            self.service.alive();
        }
        if self.service.listens() && now.duration_since(self.counted) >= RECOUNT {
            self.counted = now;
            let status = status(&self.service, &self.published);
            if status != self.status {
                self.service.status(&status);
                self.status = status;
            }
        }
    }
}

/// `12 sessions, 1 drifted`; empty if no service manager listens.
pub(super) fn status(service: &ServiceManager, published: &Published) -> String {
    if !service.listens() {
        return String::new();
    }
    let plans = published.plans();
    published.read(|present| {
        let sessions = plans.values().flat_map(|plan| plan.sessions.values());
        let views = sessions.map(|session| SessionView::of(present.state(&session.key.source), session));
        let views = views.collect::<Vec<_>>();
        let notable = tally(&views).filter(|(status, _)| *status != Status::Compliant);
        let notable = notable.map(|(status, sessions)| format!("{} {}", number(sessions), status.label()));
        let parts = std::iter::once(count(views.len(), "session")).chain(notable).collect::<Vec<_>>();
        let refused = present.refused_reload.as_ref().map(|_| "; the last reload was refused");
        parts.join(", ") + refused.unwrap_or_default()
    })
}
