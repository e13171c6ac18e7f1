//! Failed polls and settings that cannot be read: no drift opens or ends, and recipients are notified when the grace period ends.

use super::*;
use crate::domain::notification::Item;

#[test]
fn a_poll_that_failed_resolves_nothing_and_opens_no_drift() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "export", true);
    world.poll();
    world.tick("1", "export", false);
    world.tick("2", "export", true);
    for _ in 0..30 {
        assert!(world.fail().is_empty());
    }
    assert_eq!(status_of(&world, "1"), Status::Unreachable);
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1);
    let messages = world.poll();
    assert_eq!(notified(&messages), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let kinds = messages[0].items.iter().map(Item::kind).collect::<Vec<_>>();
    assert_eq!(kinds, [NotificationKind::Drift, NotificationKind::Resolved]);
}

#[test]
fn an_outage_is_notified_once_when_its_grace_period_ends_and_so_is_its_end() {
    let mut world = World::new();
    world.poll();
    for minute in 0..60 {
        assert!(world.fail().is_empty(), "minute {minute}");
    }
    assert_eq!(notified(&world.fail()), [(NotificationKind::Unreachable, OPS)]);
    for _ in 0..60 {
        assert!(world.fail().is_empty());
    }
    let back = world.poll();
    assert_eq!(notified(&back), [(NotificationKind::Recovered, OPS)]);
    assert_eq!(back[0].openings.len(), 1);
    assert!(world.poll().is_empty());
}

/// As after a process that was stopped within one exchange: the failure is found long after it began, and a cooldown then repeats
/// it without another poll.
#[test]
fn a_grace_period_that_is_over_by_one_failed_poll_is_notified_by_the_second() {
    let mut world = World::new();
    world.poll();
    world.fail();
    world.now += TimeDelta::hours(3);
    let held = PollOutcome::Cooldown(String::from("refused; it is not asked again before 12:00"));
    for _ in 0..5 {
        assert!(world.poll_now(&held).is_empty(), "a repeated failure is no poll");
    }
    assert_eq!(status_of(&world, "1"), Status::Unreachable, "it is shown at once");
    let mut recovers = World {
        plan: world.plan.clone(),
        state: world.state.clone(),
        known: world.known.clone(),
        rows: world.rows.clone(),
        ..world
    };
    assert!(recovers.poll().is_empty(), "the process stood still, not the source");
    assert_eq!(notified(&world.fail()), [(NotificationKind::Unreachable, OPS)]);
}

#[test]
fn an_outage_is_notified_during_a_cooldown_if_its_polls_were_enough() {
    let mut world = World::new();
    world.poll();
    world.fail();
    world.fail();
    world.now += TimeDelta::hours(1);
    assert_eq!(
        notified(&world.poll_now(&PollOutcome::Cooldown(String::from("refused")))),
        [(NotificationKind::Unreachable, OPS)]
    );
}

#[test]
fn a_setting_that_cannot_be_read_is_notified_by_a_second_poll_and_what_stays_is_not_written_again() {
    let mut world = World::new();
    world.poll();
    world.unset("1", "export");
    let changed = |world: &mut World| {
        let poll =
            PollOutcome::Snapshot(Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap());
        let written = world.reconcile(&poll, &Due::All).incidents.len();
        (written, world.poll_now(&poll).len())
    };
    assert_eq!(changed(&mut world), (1, 0));
    assert_eq!(changed(&mut world), (1, 0), "the second poll is counted");
    assert_eq!(changed(&mut world), (0, 0), "and no more are");
    world.now += TimeDelta::hours(3);
    assert_eq!(changed(&mut world), (0, 1));
}

#[test]
fn without_a_grace_period_the_first_failed_poll_is_notified() {
    let mut world = World::new();
    world.plan.alerts.unreachable_after = Duration::ZERO;
    assert_eq!(notified(&world.fail()), [(NotificationKind::Unreachable, OPS)]);
}

#[test]
fn a_short_outage_is_shown_at_once_and_not_notified() {
    let mut world = World::new();
    world.poll();
    world.fail();
    assert_eq!(status_of(&world, "2"), Status::Unreachable);
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "2"), Status::Compliant);
}

#[test]
fn without_a_fallback_the_owners_are_notified_of_an_outage() {
    let mut world = World::new();
    let mut contacts = (*world.plan.contacts).clone();
    contacts.fallback.clear();
    world.plan.contacts = Arc::new(contacts);
    world.plan.alerts.unreachable_after = Duration::ZERO;
    assert_eq!(notified(&world.fail()), [(NotificationKind::Unreachable, OWNER)]);
}

#[test]
fn a_session_without_a_row_is_missing_and_its_drifts_stay_open() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    let row = world.rows.remove(0);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Missing, OPS), (NotificationKind::Missing, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Missing);
    assert!(world.poll().is_empty());
    world.rows.insert(0, row);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Recovered, OPS), (NotificationKind::Recovered, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Drifted);
}

#[test]
fn no_row_at_all_is_not_missing_sessions_but_a_snapshot_that_cannot_be_trusted() {
    let mut world = World::new();
    world.poll();
    world.rows.clear();
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Unreachable);
    assert_eq!(world.state.unreachable.as_ref().unwrap().facts.reason, "it returned no sessions");
}

#[test]
fn two_rows_for_one_session_are_unverifiable_and_move_no_drift() {
    let mut world = World::new();
    world.plan.alerts.unreachable_after = Duration::ZERO;
    world.tick("1", "export", true);
    world.poll();
    let mut twin = world.rows[0].clone();
    twin.1[1].1 = RawValue::Flag(false);
    world.rows.push(twin);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Unverifiable, OPS)]);
    assert_eq!(status_of(&world, "1"), Status::Drifted);
    let incident = world.state.sessions[&id("1")].incident(IncidentKind::Unverifiable).unwrap();
    assert_eq!(incident.facts.reason, "the source returned 2 rows for this session");
    world.rows.pop();
    assert_eq!(notified(&world.poll()), [(NotificationKind::Recovered, OPS)]);
}

#[test]
fn a_setting_that_cannot_be_read_neither_opens_nor_resolves_and_waits_for_grace_period() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    world.set("1", "export", &RawValue::text("perhaps"));
    for _ in 0..60 {
        assert!(world.poll().is_empty());
    }
    assert_eq!(notified(&world.poll()), [(NotificationKind::Unverifiable, OPS)]);
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1);
    world.tick("1", "export", true);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Recovered, OPS)]);
    assert_eq!(status_of(&world, "1"), Status::Drifted);
}

#[test]
fn a_drift_found_after_settings_could_not_be_read_began_after_the_last_good_poll_before_that() {
    let mut world = World::new();
    world.poll();
    let last_good = world.now;
    world.set("1", "export", &RawValue::Null);
    world.poll();
    world.poll();
    world.tick("1", "export", true);
    let messages = world.poll();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, Some(last_good));
}

#[test]
fn an_optional_rule_does_not_apply_until_the_source_has_once_returned_the_setting() {
    let mut world = World::new();
    let mut optional = rule("active", "active", Expectation::Ticked, Severity::Critical);
    Arc::make_mut(&mut optional).optional = true;
    world.plan.sessions.insert(id("1"), session("1", vec![optional]));
    world.poll();
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    world.tick("2", "active", true);
    world.poll();
    world.unset("2", "active");
    world.poll();
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
}

#[test]
fn a_session_that_was_never_seen_has_not_disappeared() {
    let mut world = World::new();
    world.rows.remove(0);
    let messages = world.poll();
    assert_eq!(messages[1].items[0].incident().unwrap().window.last_good, None);
    world.poll();
    let mut world = World::new();
    world.poll();
    world.rows.remove(0);
    assert!(world.poll()[1].items[0].incident().unwrap().window.last_good.is_some());
}

#[test]
fn a_missing_session_that_comes_back_twice_is_not_missing_any_more() {
    let mut world = World::new();
    world.poll();
    let row = world.rows.remove(0);
    world.poll();
    world.rows.extend([row.clone(), row]);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Recovered, OPS), (NotificationKind::Recovered, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
}

#[test]
fn a_setting_that_comes_for_the_first_time_and_is_wrong_was_never_seen_right() {
    let mut world = World::new();
    let mut optional = rule("active", "active", Expectation::Ticked, Severity::Critical);
    Arc::make_mut(&mut optional).optional = true;
    world.plan.sessions.insert(id("1"), session("1", vec![optional]));
    world.poll();
    world.poll();
    world.tick("1", "active", false);
    let messages = world.poll();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn a_clock_that_is_set_back_delays_no_grace_period_and_no_reminder() {
    let mut world = World::new();
    world.poll();
    world.now += TimeDelta::days(1);
    assert!(world.fail().is_empty());
    world.now -= TimeDelta::days(1);
    for minute in 0..60 {
        assert!(world.fail().is_empty(), "minute {minute}");
    }
    assert_eq!(notified(&world.fail()), [(NotificationKind::Unreachable, OPS)]);

    world.plan.alerts.remind_every = Some(Duration::from_hours(2));
    world.now -= TimeDelta::days(1);
    for minute in 0..120 {
        assert!(world.fail().is_empty(), "minute {minute}");
    }
    assert_eq!(notified(&world.fail()), [(NotificationKind::Reminder, OPS)]);
}
