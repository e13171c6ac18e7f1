//! A source that changes under its rules: columns that are gone, and many sessions that begin to fail in one poll.

use std::collections::BTreeSet;

use super::*;
use crate::domain::incident::Incident;
use crate::domain::observation::Mapping;
use crate::domain::plan::Breaker;
use crate::domain::schedule::Schedule;
use crate::domain::world::compliant;

/// `count` sessions, all compliant, polled once.
fn polled(count: usize) -> World {
    let mut world = World::new();
    world.plan.alerts.remind_every = None;
    world.rows.clear();
    for n in 1..=count {
        let n = n.to_string();
        world.plan.sessions.insert(id(&n), session(&n, rules()));
        world.rows.push((n.clone(), compliant(&n)));
    }
    world.poll();
    world
}

fn each(world: &mut World, sessions: std::ops::RangeInclusive<usize>, setting: &str, raw: &RawValue) {
    sessions.for_each(|n| world.set(&n.to_string(), setting, raw));
}

fn rename_column(world: &mut World) {
    for (_, row) in &mut world.rows {
        row.iter_mut().filter(|(name, _)| name == "export").for_each(|(name, _)| *name = String::from("ExportFlag"));
    }
}

fn change_of(world: &World) -> &Incident {
    world.state.changed.as_ref().unwrap()
}

fn kinds(notifications: &[Notification]) -> BTreeSet<(NotificationKind, &str)> {
    notified(notifications).into_iter().collect()
}

fn open(world: &World, kind: IncidentKind) -> usize {
    world.state.sessions.values().map(|state| state.open(kind).count()).sum()
}

/// Lets time pass without a poll.
fn wait(world: &mut World, time: TimeDelta) -> Vec<Notification> {
    world.now += time;
    world.alert().notifications
}

#[test]
fn a_column_that_is_gone_is_one_incident_of_the_source_which_names_it_and_what_is_new() {
    let mut world = polled(2);
    rename_column(&mut world);
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS)]);
    let incident = sent[0].items[0].incident().unwrap();
    let reason = "Column \"export\" is gone from definition 61; \"ExportFlag\" is new. Renamed?";
    assert_eq!((incident.facts.reason.as_str(), incident.severity), (reason, Severity::Critical));
    assert_eq!((status_of(&world, "1"), open(&world, IncidentKind::Unverifiable)), (Status::Unverifiable, 2));
    for _ in 0..90 {
        assert!(world.poll().is_empty(), "what follows from it is held back");
    }
    assert_eq!(change_of(&world).facts.reason, reason, "the column is not new any more, but still said");
    // Owners are notified once that their sessions could not be checked.
    let late = wait(&mut world, TimeDelta::hours(24));
    assert_eq!(kinds(&late), BTreeSet::from([(NotificationKind::Unverifiable, OWNER)]));
    assert_eq!(late.iter().map(|sent| sent.items.len()).sum::<usize>(), 2);
    for (_, row) in &mut world.rows {
        row.push((String::from("export"), RawValue::Flag(false)));
    }
    let back = world.poll();
    let expected = [(NotificationKind::Recovered, OPS), (NotificationKind::Recovered, OWNER)];
    assert_eq!(kinds(&back), BTreeSet::from(expected));
    assert_eq!((status_of(&world, "1"), world.state.incidents().count()), (Status::Compliant, 0));
}

#[test]
fn a_source_change_ends_when_its_column_is_mapped_again_or_no_rule_needs_it() {
    let mut world = polled(2);
    rename_column(&mut world);
    world.poll();
    let mut edited = World {
        plan: world.plan.clone(),
        state: world.state.clone(),
        known: world.known.clone(),
        rows: world.rows.clone(),
        now: world.now,
    };
    world.plan.mapping =
        Mapping { columns: vec![(SettingKey::new("export"), String::from("ExportFlag"))], ..world.plan.mapping };
    world.state.plan_changed();
    let ended = world.poll();
    assert_eq!(
        (notified(&ended), change(&ended[0])),
        (vec![(NotificationKind::Recovered, OPS)], Change::Ended(End::VisibleAgain))
    );
    assert_eq!(status_of(&world, "1"), Status::Compliant);

    for n in ["1", "2"] {
        edited.plan.sessions.insert(id(n), session(n, rules().into_iter().skip(1).collect()));
    }
    edited.state.plan_changed();
    assert_eq!(change(&edited.poll()[0]), Change::Ended(End::BaselineChanged));
    assert!(edited.state.changed.is_none());
}

#[test]
fn a_column_that_was_never_returned_or_that_one_session_lacks_is_no_change_of_the_source() {
    let mut world = World::new();
    for n in ["1", "2"] {
        world.unset(n, "export");
    }
    world.poll();
    world.poll();
    assert!(world.state.changed.is_none());
    let mut world = polled(2);
    world.unset("1", "export");
    world.poll();
    assert!(world.state.changed.is_none());
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
}

#[test]
fn a_group_that_keeps_enough_members_does_not_need_a_further_column() {
    let mut world = polled(2);
    each(&mut world, 1..=2, "customer_validation_3", &RawValue::Flag(true));
    world.poll();
    for n in ["1", "2"] {
        world.unset(n, "customer_validation_3");
    }
    world.poll();
    assert!(world.state.changed.is_none());
    for n in ["1", "2"] {
        world.unset(n, "customer_validation_2");
    }
    world.poll();
    assert_eq!(change_of(&world).severity, Severity::Warning);
    assert_eq!(change_of(&world).facts.reason, "Column \"customer_validation_2\" is gone from definition 61");
}

#[test]
fn a_setting_that_becomes_unreadable_in_many_sessions_at_once_is_unverifiable_and_one_incident() {
    let mut world = polled(8);
    each(&mut world, 1..=5, "export", &RawValue::text("perhaps"));
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS)]);
    let facts = sent[0].items[0].facts().unwrap();
    assert_eq!(
        facts.reason,
        "5 of 8 sessions have failed \"Export\" since the same poll (rule export-off): found perhaps, expected unticked"
    );
    assert_eq!((open(&world, IncidentKind::Drift), open(&world, IncidentKind::Unverifiable)), (0, 5));
    for _ in 0..70 {
        assert!(world.poll().is_empty());
    }
    assert_eq!(open(&world, IncidentKind::Drift), 0);
    // A sixth session that joins later is explained too. Once most are right again, the others have drifts of their own.
    world.set("6", "export", &RawValue::text("maybe"));
    assert!(world.poll().is_empty());
    assert_eq!(change_of(&world).facts.change.as_ref().unwrap().failures[0].sessions.len(), 6);
    each(&mut world, 1..=4, "export", &RawValue::Flag(false));
    let ended = world.poll();
    let expected = [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)];
    assert_eq!(kinds(&ended), BTreeSet::from(expected), "the end of the source's incident is with the drifts");
    assert!(world.state.changed.is_none());
    assert_eq!((open(&world, IncidentKind::Drift), open(&world, IncidentKind::Unverifiable)), (2, 0));
}

#[test]
fn a_group_that_was_held_back_with_the_others_drifts_when_it_is_no_longer_held_back() {
    let mut world = polled(6);
    each(&mut world, 1..=6, "customer_validation_2", &RawValue::Null);
    assert_eq!(notified(&world.poll()), [(NotificationKind::SourceChanged, OPS)]);
    assert!(world.poll().is_empty());
    each(&mut world, 1..=5, "customer_validation_2", &RawValue::Flag(true));
    assert_eq!(
        kinds(&world.poll()),
        BTreeSet::from([(NotificationKind::Recovered, OPS), (NotificationKind::Drift, OWNER)])
    );
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "6"), Status::Drifted);
}

#[test]
fn drifts_of_a_share_at_once_are_held_for_a_bounded_time_and_then_notified() {
    let mut world = polled(8);
    world.plan.alerts.remind_every = None;
    each(&mut world, 1..=5, "export", &RawValue::Flag(true));
    each(&mut world, 1..=5, "customer_validation_1", &RawValue::Flag(false));
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS)]);
    assert_eq!((sent[0].severity(), open(&world, IncidentKind::Drift)), (Severity::Critical, 10));
    assert_eq!(status_of(&world, "1"), Status::Drifted, "only the notification is held");
    assert_eq!(world.evaluate().next, Some(world.now + TimeDelta::hours(1)), "alerting wakes up by itself");
    assert!(wait(&mut world, TimeDelta::minutes(59)).is_empty());
    let critical = wait(&mut world, TimeDelta::minutes(1));
    assert_eq!(kinds(&critical), BTreeSet::from([(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]));
    let of_export = |sent: &Notification| sent.items.iter().all(|item| item.severity() == Severity::Critical);
    assert!(critical.iter().all(|sent| sent.items.len() == 5 && of_export(sent)));
    assert!(wait(&mut world, TimeDelta::hours(22)).is_empty());
    let rest = wait(&mut world, TimeDelta::hours(1));
    assert_eq!(notified(&rest), [(NotificationKind::Drift, OWNER)]);
    assert_eq!(rest[0].items.len(), 5);
    let ended = world.poll();
    assert_eq!(
        (notified(&ended), change(&ended[0])),
        (vec![(NotificationKind::Recovered, OPS)], Change::Ended(End::TakenAsReal))
    );
    assert!(world.poll().is_empty());
    assert_eq!(open(&world, IncidentKind::Drift), 10);
}

#[test]
fn a_change_that_lasts_for_blind_after_is_taken_as_real_even_if_it_cannot_be_read() {
    let mut world = polled(5);
    each(&mut world, 1..=5, "export", &RawValue::Null);
    world.poll();
    world.now += TimeDelta::hours(25);
    let sent = world.poll();
    assert_eq!(kinds(&sent), BTreeSet::from([(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]));
    assert_eq!((open(&world, IncidentKind::Drift), open(&world, IncidentKind::Unverifiable)), (5, 0));
    assert!(world.poll().is_empty());
    assert_eq!(open(&world, IncidentKind::Drift), 5);
}

#[test]
fn fewer_sessions_or_a_smaller_share_are_drifts_of_their_own() {
    for (count, failing, breaks) in [(8, 4, false), (12, 5, false), (10, 5, true), (5, 5, true)] {
        let mut world = polled(count);
        each(&mut world, 1..=failing, "export", &RawValue::Null);
        world.poll();
        assert_eq!(world.state.changed.is_some(), breaks, "{failing} of {count}");
        assert_eq!(open(&world, IncidentKind::Drift), if breaks { 0 } else { failing }, "{failing} of {count}");
    }
    let mut world = polled(2);
    world.plan.alerts.breaker = Breaker { share: 100, at_least: 2 };
    each(&mut world, 1..=2, "export", &RawValue::Null);
    world.poll();
    assert!(world.state.changed.is_some());
}

#[test]
fn an_edited_rule_that_many_sessions_break_is_not_a_change_of_the_source() {
    let mut world = polled(6);
    let mut edited = rules();
    edited[0] = rule("export-off", "export", Expectation::Ticked, Severity::Critical);
    for n in 1..=6 {
        world.plan.sessions.insert(id(&n.to_string()), session(&n.to_string(), edited.clone()));
    }
    world.state.plan_changed();
    world.poll();
    assert!(world.state.changed.is_none());
    assert_eq!(open(&world, IncidentKind::Drift), 6);
}

#[test]
fn a_drift_from_before_is_still_notified_while_the_source_has_changed() {
    let mut world = polled(7);
    world.set("7", "export", &RawValue::Flag(true));
    world.poll();
    each(&mut world, 1..=6, "export", &RawValue::Null);
    assert_eq!(notified(&world.poll()), [(NotificationKind::SourceChanged, OPS)]);
    world.set("7", "export", &RawValue::text("perhaps"));
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Update);
    world.set("7", "export", &RawValue::Flag(false));
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Resolved);
}

#[test]
fn sessions_of_another_schedule_join_and_those_that_are_not_due_stay() {
    let mut world = polled(10);
    for n in 6..=10 {
        let seldom = Schedule::parse("0 * * * *", chrono_tz::UTC, start()).unwrap();
        world.plan.sessions.get_mut(&id(&n.to_string())).unwrap().schedule = seldom;
    }
    world.poll();
    each(&mut world, 1..=10, "export", &RawValue::Null);
    let due = |world: &World, n: &str| Due::Schedules([world.plan.sessions[&id(n)].schedule.key()].into());
    let poll = |world: &mut World, n: &str| {
        world.now += TimeDelta::minutes(1);
        let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
        let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &due(world, n));
        world.commit(delta);
        world.alert().notifications
    };
    assert_eq!(notified(&poll(&mut world, "1")), [(NotificationKind::SourceChanged, OPS)]);
    assert!(poll(&mut world, "6").is_empty());
    let failing = |world: &World| change_of(world).facts.change.as_ref().unwrap().failures[0].sessions.len();
    assert_eq!(failing(&world), 10);
    each(&mut world, 1..=4, "export", &RawValue::Flag(false));
    poll(&mut world, "1");
    assert_eq!((failing(&world), open(&world, IncidentKind::Drift)), (6, 0));
}

#[test]
fn a_source_change_outlives_restarts_and_outages_and_ends_with_its_source() {
    let mut world = polled(6);
    each(&mut world, 1..=6, "export", &RawValue::Null);
    world.poll();
    let stored = serde_json::to_string(change_of(&world)).unwrap();
    world.state.changed = Some(serde_json::from_str(&stored).unwrap());
    assert_eq!(serde_json::to_string(change_of(&world)).unwrap(), stored);
    world.state.plan_changed();
    assert!(world.fail().is_empty());
    assert!(world.poll().is_empty());
    assert_eq!(open(&world, IncidentKind::Drift), 0);
    let delta = crate::domain::reconcile::take_up(None, &world.state, world.now);
    let ended = delta.all_incidents().find(|incident| incident.kind() == IncidentKind::SourceChanged).unwrap();
    assert!(ended.is_ended());
}

#[test]
fn a_further_change_is_notified_as_an_update_and_counts_from_then() {
    let mut world = polled(6);
    each(&mut world, 1..=6, "export", &RawValue::Null);
    let opened = world.poll();
    each(&mut world, 1..=6, "notification_email", &RawValue::text("nobody@acme.example"));
    let updated = world.poll();
    assert_eq!(notified(&updated), [(NotificationKind::Update, OPS)]);
    assert_eq!(updated[0].items[0].id(), opened[0].items[0].id());
    assert_eq!(change_of(&world).facts.change.as_ref().unwrap().failures.len(), 2);
}
