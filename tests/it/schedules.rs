//! Each session is looked at by its own schedule, and looks at one source never overlap.

use std::time::Duration;

use driftwise::simulator::{Mode, RequestKind};

use crate::program::eventually;
use crate::world::{OWNER, Setup, World};

#[test]
fn a_session_is_looked_at_by_its_own_schedule_and_at_start() {
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
    daemon.look();
    world.untold("update");
    assert!((verdict("15") - first).abs() < 0.0005, "nobody looked at it again");
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
fn looks_at_a_slow_source_never_overlap_and_are_counted_as_late() {
    let world = World::new(1, &Setup { source: String::from("timeout: 20s"), ..Setup::default() });
    world.simulator.fail(Mode::Slow(Duration::from_millis(250)), None);
    let daemon = world.daemon();
    daemon.until("driftwise_audits_late_total", &[("source", "erp"), ("reason", "busy")], 3.0);
    let exports = world.simulator.count(RequestKind::Export);
    let audits = daemon.metric("driftwise_audits_total", &[("outcome", "ok")]).unwrap();
    assert!(exports <= 3, "an answer takes 2.5 s, so three ticks cannot have asked {exports} times");
    eventually("more audits", || {
        daemon.metric("driftwise_audits_total", &[("outcome", "ok")]).filter(|now| *now > audits)
    });
    assert!(daemon.metric("driftwise_audit_duration_seconds_sum", &[("phase", "fetch")]).unwrap() > 2.0);
    assert_eq!(daemon.metric("driftwise_audits_total", &[("outcome", "unreachable")]), Some(0.0));
    world.simulator.fail(Mode::Stall, None);
    eventually("look that hangs", || (world.simulator.count(RequestKind::Token) > 0).then_some(()));
    daemon.stop();
}
