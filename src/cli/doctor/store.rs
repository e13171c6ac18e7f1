//! Checks of the store: its owner, its soundness, its disk, the age of its audits, and mail that does not arrive.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Check, incidents};
use crate::config::Config;
use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::state::SourceState;
use crate::store::{DiskUsage, NotificationFilter, NotificationState, Store, StoreError, StoredNotification};
use crate::view::session::SessionView;
use crate::view::times::ago;
use crate::view::words::{count, size};

/// With less free space, SQLite may fail at the next audit: 16 MiB.
const FULL: u64 = 16 << 20;

/// A clock that is set by NTP moves less.
const JITTER: TimeDelta = TimeDelta::seconds(5);

pub(super) async fn checks(config: &Config, now: DateTime<Utc>) -> Vec<Check> {
    let path = &config.store.path;
    let store = match Store::read(path).await {
        Ok(store) => store,
        Err(e) if e.is_absent() => {
            let found = format!("{} does not exist yet", path.display());
            return vec![Check::warning("store", found, "start the daemon, which creates it")];
        }
        Err(e) => return vec![failed(&e)],
    };
    let mut checks = vec![match Store::owner(path).await {
        Some(owner) => Check::ok("daemon", format!("{owner} owns the store")),
        None => Check::problem("daemon", "no daemon owns the store, so nothing is checked", "start `driftwise run`"),
    }];
    checks.push(match store.quick_check().await {
        Ok(()) => Check::ok("store", format!("{} is sound", path.display())),
        Err(e) => failed(&e),
    });
    checks.push(store.disk_usage().await.map_or_else(|e| failed(&e), |usage| disk(&usage)));
    match store.load().await {
        Ok(states) => {
            checks.extend(config.plans.values().map(|plan| audits(plan, states.get(&plan.name), now)));
            let known = config.plans.values().filter_map(|plan| Some((plan, states.get(&plan.name)?)));
            checks.extend(known.flat_map(|(plan, state)| incidents::checks(plan, state)));
            checks.push(clock(&states, now));
        }
        Err(e) => checks.push(failed(&e)),
    }
    match store.notifications(&NotificationFilter::default(), usize::MAX).await {
        Ok(notifications) => checks.extend(undelivered(&notifications)),
        Err(e) => checks.push(failed(&e)),
    }
    checks
}

fn failed(error: &StoreError) -> Check {
    Check::problem("store", error.to_string(), "docs/operating.md says how to restore a backup")
}

fn disk(usage: &DiskUsage) -> Check {
    let found = format!("the store takes {}; {} are free", size(usage.size), size(usage.free));
    match usage.free {
        free if free < FULL => Check::problem("disk", found, "free some space, or shorten store.retain"),
        free if free < usage.size => {
            Check::warning("disk", found, "free some space: a backup beside the store does not fit")
        }
        _ => Check::ok("disk", found),
    }
}

fn audits(plan: &SourcePlan, state: Option<&SourceState>, now: DateTime<Utc>) -> Check {
    let subject = format!("source {}", plan.name);
    let Some((state, poll)) = state.and_then(|state| Some((state, state.record.last_success?))) else {
        let act = "start the daemon; if it is running, see the check of the connection";
        return Check::warning("audits", "no poll has succeeded yet", act).of(&subject);
    };
    let views = plan.sessions.values().map(|session| SessionView::of(Some(state), session));
    let old = views.filter(|view| view.is_stale(now)).count();
    let found = format!("last successful poll {} ago", ago(now - poll));
    let check = match old {
        0 => Check::ok("audits", found),
        old => {
            let found = format!("{found}; the verdict on {} is stale", count(old, "session"));
            Check::problem(
                "audits",
                found,
                "start the daemon; if it is running, see its log and the check of the connection",
            )
        }
    };
    check.of(&subject)
}

/// Compares the clock of this machine with the last poll in the store.
fn clock(states: &BTreeMap<Name, SourceState>, now: DateTime<Utc>) -> Check {
    let last = states.values().filter_map(|state| state.record.last_poll).max();
    match last.filter(|last| *last > now + JITTER) {
        Some(last) => {
            let found = format!("the last poll in the store is {} in the future", ago(last - now));
            Check::problem("clock", found, "set the clock of this machine by NTP")
        }
        None => Check::ok("clock", "is not behind the store"),
    }
}

/// The recipients whose last notification was given up, or is being retried.
fn undelivered(notifications: &[StoredNotification]) -> Vec<Check> {
    let mut last: BTreeMap<&Address, &StoredNotification> = BTreeMap::new();
    for notification in notifications {
        let attempted = notification.attempted_at.is_some();
        if attempted && last.get(&notification.to).is_none_or(|known| known.attempted_at <= notification.attempted_at) {
            last.insert(&notification.to, notification);
        }
    }
    let check = |(to, notification): (&Address, &StoredNotification)| {
        let reason = notification.last_error.as_deref().unwrap_or("no reason is recorded");
        let id = notification.id;
        let check = match notification.state {
            NotificationState::Dead => Check::problem(
                "recipient",
                format!("the last mail to it was given up: {reason}"),
                format!("correct what the reason names, then `driftwise notifications resend {id}`"),
            ),
            // A refusal of the address itself is permanent, so a retry has another cause.
            NotificationState::Retrying => Check::warning(
                "recipient",
                format!("the last mail to it is being retried: {reason}"),
                "correct what the reason names: user name, password or token, or the connection to the mail server",
            ),
            NotificationState::Pending | NotificationState::Sent | NotificationState::Superseded => return None,
        };
        Some(check.of(to))
    };
    let found = last.into_iter().filter_map(check).collect::<Vec<_>>();
    if found.is_empty() { vec![Check::ok("recipient", "no mail failed to reach its recipient")] } else { found }
}
