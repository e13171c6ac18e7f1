//! Grace periods: the program inside the test, with a clock that the test sets.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use driftwise::clock::ManualClock;
use driftwise::simulator::Mode;

use crate::program::eventually;
use crate::world::{FALLBACK, OWNER, Setup, World, moment};

const UNREACHABLE: (&str, &[(&str, &str)]) = ("driftwise_audits_total", &[("outcome", "unreachable")]);

#[test]
fn the_grace_period_of_a_source_counts_from_the_first_failed_poll_also_across_a_restart() {
    let world = World::new(1, &Setup { alerts: String::from("unreachable_after: 1h"), ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.fail(Mode::ServerError, None);
    let first = world.inside(&clock);
    first.until(UNREACHABLE.0, UNREACHABLE.1, 1.0);
    assert_eq!(first.metric("driftwise_source_up", &[]), Some(0.0), "the metric does not wait");
    first.stop();
    clock.advance(TimeDelta::minutes(50));
    let second = world.inside(&clock);
    second.until(UNREACHABLE.0, UNREACHABLE.1, 1.0);
    assert!(world.mails().is_empty(), "{:?}", world.notified());
    clock.advance(TimeDelta::minutes(11));
    let mail = world.mail("unreachable", FALLBACK);
    mail.says("09:00");
    assert_eq!(world.mails().len(), 1);
    world.simulator.heal();
    clock.advance(TimeDelta::minutes(20));
    world.mail("recovered", FALLBACK);
    second.stop();
}

#[test]
fn a_grace_period_ends_beside_that_of_an_older_incident_that_was_not_notified_either() {
    let sessions = ["{ id: 14, schedule: \"0 0 1 1 *\" }", "{ id: 15, schedule: \"*/5 * * * *\" }"].map(String::from);
    let alerts = String::from("unreachable_after: 1h");
    let world = World::new(2, &Setup { sessions: sessions.to_vec(), alerts, ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.set(14, "export", "perhaps");
    let inside = world.inside(&clock);
    let opened = |least| inside.until("driftwise_incidents_opened_total", &[("kind", "unverifiable")], least);
    opened(1.0);
    world.simulator.unset(15, "export");
    clock.advance(TimeDelta::minutes(30));
    opened(2.0);
    world.no_mail("unverifiable");
    // Polled once a year, and once more after the failure: the notification comes when the hour is over.
    clock.set(moment("2026-11-23T10:00:01Z"));
    let older = world.mail("unverifiable", FALLBACK);
    assert_eq!(older.all("X-Driftwise-Session"), ["erp/14"]);
    clock.set(moment("2026-11-23T10:30:01Z"));
    eventually("mail about the other", || (world.mails().len() == 2).then_some(()));
    let mails = world.mails();
    let notified = mails.iter().flat_map(|mail| mail.all("X-Driftwise-Session")).collect::<BTreeSet<_>>();
    assert_eq!(notified, BTreeSet::from(["erp/14", "erp/15"]));
    inside.stop();
}

#[test]
fn an_incident_that_ends_within_its_grace_period_sends_no_notification() {
    let world = World::new(1, &Setup { alerts: String::from("unreachable_after: 1h"), ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.set(14, "export", "perhaps");
    let inside = world.inside(&clock);
    inside.until("driftwise_incidents_opened_total", &[("kind", "unverifiable")], 1.0);
    world.simulator.set(14, "export", false);
    clock.advance(TimeDelta::minutes(10));
    inside.until("driftwise_incidents_resolved_total", &[("kind", "unverifiable")], 1.0);
    clock.advance(TimeDelta::hours(2));
    inside.until("driftwise_audits_total", &[("outcome", "ok")], 3.0);
    assert!(world.mails().is_empty(), "{:?}", world.notified());
    inside.stop();
}

#[test]
fn a_reminder_of_an_open_drift_comes_once_a_day_in_its_thread() {
    let world = World::new(1, &Setup { alerts: String::from("remind_every: 24h"), ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.set(14, "import_orders_as", "j.doe");
    let inside = world.inside(&clock);
    let opening = world.mail("drift", OWNER);
    clock.advance(TimeDelta::hours(23));
    inside.until("driftwise_audits_total", &[("outcome", "ok")], 2.0);
    world.no_mail("reminder");
    clock.advance(TimeDelta::hours(2));
    let reminder = world.mail("reminder", OWNER);
    assert_eq!(reminder.header("In-Reply-To"), opening.id());
    assert_eq!(reminder.subject, format!("Re: {}", opening.subject));
    clock.advance(TimeDelta::hours(12));
    inside.until("driftwise_audits_total", &[("outcome", "ok")], 4.0);
    assert_eq!(world.mails().len(), 2, "{:?}", world.notified());
    inside.stop();
}

#[test]
fn a_reminder_about_a_session_that_is_polled_once_a_year_comes_on_time() {
    let sessions = vec![String::from("{ id: 14, schedule: \"0 0 1 1 *\" }")];
    let alerts = String::from("remind_every: 24h");
    let world = World::new(1, &Setup { sessions, alerts, ..Setup::default() });
    let clock = ManualClock::new(moment("2026-11-23T09:00:00Z"));
    world.simulator.set(14, "import_orders_as", "j.doe");
    let inside = world.inside(&clock);
    let opening = world.mail("drift", OWNER);
    for day in 1..=2 {
        clock.advance(TimeDelta::hours(24));
        eventually("a reminder", || (world.mails().len() == 1 + day).then_some(()));
    }
    let reminder = world.mail("reminder", OWNER);
    assert_eq!(reminder.header("In-Reply-To"), opening.id());
    assert_eq!(inside.metric("driftwise_audits_total", &[("outcome", "ok")]), Some(1.0), "nothing was polled for it");
    inside.stop();
}
