//! Each session is polled by its own schedule, and polls of one source never overlap.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use driftwise::clock::ManualClock;
use driftwise::simulator::{Mode, RequestKind};

use crate::program::eventually;
use crate::world::{Inside, OWNER, Setup, World, moment};

#[test]
fn a_session_is_polled_by_its_own_schedule_and_at_start() {
    let sessions = ["{ id: 14 }", "{ id: 15, schedule: \"0 0 1 1 *\", timezone: Europe/London }"].map(String::from);
    let world = World::new(2, &Setup { sessions: sessions.to_vec(), ..Setup::default() });
    world.simulator.set(15, "import_orders_as", "first");
    let daemon = world.daemon();
    let at_start = world.mail("drift", OWNER);
    assert_eq!(at_start.all("X-Driftwise-Session"), ["erp/15"]);
    let verdict =
        |session| daemon.metric("driftwise_session_last_verdict_timestamp_seconds", &[("session", session)]).unwrap();
    let first = verdict("15");
    world.simulator.set(14, "use_cvariant_stock_location", false);
    world.simulator.set(15, "import_orders_as", "second");
    daemon.until("driftwise_drift_open", &[("session", "14")], 1.0);
    daemon.poll();
    world.no_mail("update");
    assert!((verdict("15") - first).abs() < 0.0005, "it was polled again");
    assert!(verdict("14") > first);
    let next =
        |session| daemon.metric("driftwise_session_next_audit_timestamp_seconds", &[("session", session)]).unwrap();
    assert!(next("15") - next("14") > 86_400.0, "{} {}", next("15"), next("14"));
    daemon.stop();
    let daemon = world.daemon();
    world.mail("update", OWNER);
    daemon.stop();
}

#[test]
fn polls_at_a_slow_source_never_overlap_and_are_counted_as_late() {
    let world = World::new(1, &Setup { source: String::from("timeout: 20s"), ..Setup::default() });
    world.simulator.fail(Mode::Slow(Duration::from_millis(250)), None);
    let daemon = world.daemon();
    daemon.until("driftwise_audits_late_total", &[("source", "erp"), ("reason", "busy")], 3.0);
    let exports = world.simulator.count(RequestKind::Export);
    let audits = daemon.metric("driftwise_audits_total", &[("outcome", "ok")]).unwrap();
    assert!(exports <= 3, "a response takes 2.5 s, so three ticks cannot have asked {exports} times");
    eventually("more audits", || {
        daemon.metric("driftwise_audits_total", &[("outcome", "ok")]).filter(|now| *now > audits)
    });
    assert!(daemon.metric("driftwise_audit_duration_seconds_sum", &[("phase", "fetch")]).unwrap() > 2.0);
    assert_eq!(daemon.metric("driftwise_audits_total", &[("outcome", "unreachable")]), Some(0.0));
    world.simulator.fail(Mode::Stall, None);
    eventually("poll that hangs", || (world.simulator.count(RequestKind::Token) > 0).then_some(()));
    daemon.stop();
}

/// When a session is polled next.
fn next_poll(inside: &Inside<'_>, session: &str) -> DateTime<Utc> {
    let at = inside.metric("driftwise_session_next_audit_timestamp_seconds", &[("session", session)]).unwrap();
    DateTime::UNIX_EPOCH + TimeDelta::from_std(Duration::from_secs_f64(at)).unwrap()
}

#[test]
fn a_machine_that_slept_for_hours_polls_once_and_counts_it_as_late() {
    let sessions = vec![String::from("{ id: 14, schedule: \"*/5 * * * *\" }")];
    let world = World::new(1, &Setup { sessions, ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    let inside = world.inside(&clock);
    let audits = |least| inside.until("driftwise_audits_total", &[("outcome", "ok")], least);
    let late = |reason| inside.metric("driftwise_audits_late_total", &[("reason", reason)]);
    audits(1.0);
    assert_eq!(late("downtime"), Some(0.0));
    clock.advance(TimeDelta::hours(9));
    audits(2.0);
    assert_eq!((late("downtime"), late("busy")), (Some(1.0), Some(0.0)));
    // A punctual poll is not late, and missed polls are not made up for.
    clock.set(next_poll(&inside, "14"));
    audits(3.0);
    assert_eq!((late("downtime"), late("busy")), (Some(1.0), Some(0.0)));
    assert_eq!(world.simulator.count(RequestKind::Export), 3);
    inside.stop();
}

#[test]
fn a_failed_poll_is_retried_as_soon_as_the_source_is_back_whatever_the_schedule() {
    let sessions = ["{ id: 14, schedule: \"0 0 1 1 *\" }", "{ id: 15, schedule: \"*/5 * * * *\" }"].map(String::from);
    let world = World::new(2, &Setup { sessions: sessions.to_vec(), ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.fail(Mode::ServerError, None);
    let inside = world.inside(&clock);
    inside.until("driftwise_audits_total", &[("outcome", "unreachable")], 1.0);
    world.simulator.heal();
    // The schedule of session 15 is due before the retry, which comes five minutes after the failure.
    clock.set(next_poll(&inside, "15").min(moment("2026-11-23T09:04:59Z")));
    clock.advance(TimeDelta::minutes(1));
    for session in ["14", "15"] {
        inside.until("driftwise_session_last_verdict_timestamp_seconds", &[("session", session)], 1.0);
    }
    inside.stop();
}
