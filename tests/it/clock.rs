//! The real program with a wall clock that jumps, and stops during an exchange.

use std::path::Path;
use std::time::{Duration, Instant};

use driftwise::simulator::{Mode, RequestKind};

use crate::fake_clock::{self, FakeClock};
use crate::program::{Daemon, driftwise, eventually, eventually_or, metric};
use crate::world::{FALLBACK, Setup, World};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// The clock for the programs of a world.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn fake_clock(world: &World) -> Option<FakeClock> {
    let library = fake_clock::library();
    if library.is_none() {
        assert!(std::env::var_os("CI").is_none(), "this test needs libfaketime: install the Debian package faketime");
        eprintln!("skipped: it needs libfaketime, the Debian package faketime");
    }
    Some(FakeClock::new(world.folder(), library?))
}

/// Starts a daemon whose clock is ahead by so many seconds.
fn begin(world: &World, clock: &FakeClock, seconds: i64, arguments: &[&str]) -> Daemon {
    clock.ahead(seconds);
    Daemon::begin(driftwise(world.folder()).envs(clock.variables()).arg("run").args(arguments))
}

fn real_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Asserts that audits continue, by the present clock.
fn audits_go_on(daemon: &Daemon, ahead: i64) {
    let audits = || daemon.metric("driftwise_audits_total", &[("outcome", "ok")]).unwrap();
    let before = audits();
    let on = || format!("audits with the clock {ahead:+} s ahead; log: {}", daemon.said());
    eventually_or(on, || (audits() >= before + 3.0).then_some(()));
    let next = || {
        let text = daemon.get("/metrics").1;
        let next = metric(&text, "driftwise_session_next_audit_timestamp_seconds", &[]).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        let now = (real_now() + ahead) as f64;
        (next - now).abs() < 60.0
    };
    assert!(next(), "planned by the clock as it is: {}", daemon.get("/metrics").1);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.metric("driftwise_scheduler_ticking", &[]), Some(1.0));
}

#[test]
fn wherever_the_clock_of_a_running_program_is_set_audits_go_on() {
    let world = World::new(1, &Setup::default());
    let Some(clock) = fake_clock(&world) else { return };
    let daemon = begin(&world, &clock, 0, &[]);
    daemon.first_poll();
    let to_1970 = DAY - real_now();
    for ahead in [-15, -7_200, -DAY, DAY, 10 * YEAR, 0, to_1970, 0] {
        clock.ahead(ahead);
        audits_go_on(&daemon, ahead);
    }
    daemon.stop();
    assert!(world.mails().is_empty(), "{:?}", world.notified());
}

#[test]
fn a_program_that_starts_far_ahead_or_in_1970_goes_on_when_its_clock_is_set_right() {
    for ahead in [30 * YEAR, DAY - real_now()] {
        let world = World::new(1, &Setup::default());
        let Some(clock) = fake_clock(&world) else { return };
        let daemon = begin(&world, &clock, ahead, &[]);
        daemon.first_poll();
        audits_go_on(&daemon, ahead);
        clock.ahead(0);
        audits_go_on(&daemon, 0);
        daemon.stop();
        let daemon = begin(&world, &clock, 0, &[]);
        audits_go_on(&daemon, 0);
        daemon.stop();
    }
}

/// How many events and notifications the store holds.
fn kept(store: &Path) -> (usize, usize) {
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        let output =
            std::process::Command::new("sqlite3").arg(store).arg(sql).output().expect("this test needs sqlite3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (count("events"), count("outbox"))
}

#[test]
fn one_start_years_ahead_erases_no_history_unless_the_clock_is_trusted() {
    let world = World::new(1, &Setup { more: String::from("store: { retain: 30d }\n"), ..Setup::default() });
    let Some(clock) = fake_clock(&world) else { return };
    world.simulator.set(14, "export", true);
    let daemon = begin(&world, &clock, 0, &[]);
    world.mail("drift", FALLBACK);
    world.simulator.set(14, "export", false);
    daemon.until("driftwise_notifications_total", &[("kind", "resolved"), ("outcome", "sent")], 2.0);
    daemon.stop();
    let before = kept(&world.path("driftwise.db"));
    assert!(before.0 >= 2 && before.1 == 4, "{before:?}");
    let forgets = |arguments: &[&str]| {
        let daemon = begin(&world, &clock, 4 * YEAR, &[&["--log-level", "debug"], arguments].concat());
        daemon.logs("deleted history older");
        let said = daemon.stop();
        (said, kept(&world.path("driftwise.db")))
    };
    let (said, after) = forgets(&[]);
    assert_eq!(after, before);
    assert!(said.contains("the clock is ahead of the last time recorded in the store"), "{said}");
    let (said, after) = forgets(&["--trust-clock"]);
    assert_eq!(after, (0, 0));
    assert!(!said.contains("the clock is ahead of the last time recorded"), "{said}");
}

#[test]
fn a_program_that_was_stopped_within_one_exchange_does_not_mail_unreachable() {
    let alerts = String::from("unreachable_after: 3s");
    let world = World::new(1, &Setup { alerts, source: String::from("timeout: 2s"), ..Setup::default() });
    let daemon = world.daemon();
    daemon.first_poll();
    let exports = world.simulator.count(RequestKind::Export);
    world.simulator.fail(Mode::Stall, None);
    let in_hand = || (world.simulator.count(RequestKind::Export) > exports).then_some(());
    eventually("exchange that hangs", in_hand);
    daemon.signal("STOP");
    let stopped = Instant::now();
    // The stop itself is the subject of the test: longer than the time-out and the grace period together.
    eventually("end of the stop", || (stopped.elapsed() > Duration::from_secs(6)).then_some(()));
    world.simulator.heal();
    daemon.signal("CONT");
    daemon.until("driftwise_audits_total", &[("outcome", "unreachable")], 1.0);
    daemon.until("driftwise_source_up", &[], 1.0);
    daemon.poll();
    daemon.stop();
    assert!(world.mails().is_empty(), "{:?}", world.notified());
}
