//! Histories as tables: the events, poll by poll, and the notifications that they cause.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::event::EventKind;
use crate::domain::expectation::Expectation;
use crate::domain::incident::{End, IncidentKind};
use crate::domain::notification::{Change, Notification, NotificationKind};
use crate::domain::plan::Due;
use crate::domain::policy::Severity;
use crate::domain::reading::{Kind, RawValue};
use crate::domain::reconcile::PollOutcome;
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::domain::world::{World, address, id, notified, rule, rules, session, start};
use crate::view::session::{SessionView, Status};

mod blind;
mod edits;
mod forgotten;
mod notifying;
mod since;
mod source_changed;
mod unreadable;

const OWNER: &str = "owner@acme.example";
const OPS: &str = "ops@integrator.example";

/// The change of the first item of a notification.
fn change(notification: &Notification) -> Change {
    notification.items[0].change().unwrap()
}

fn status_of(world: &World, session: &str) -> Status {
    SessionView::of(Some(&world.state), &world.plan.sessions[&id(session)]).status
}

#[test]
fn a_quiet_poll_notifies_no_recipient_and_changes_nothing() {
    let mut world = World::new();
    assert_eq!(status_of(&world, "1"), Status::Pending);
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
    let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &Due::All);
    assert!(delta.sessions.is_empty() && delta.observations.is_empty() && delta.pinned.is_empty());
    assert!(delta.events.is_empty() && delta.incidents.is_empty() && delta.announcements.is_empty());
}

#[test]
fn a_drift_is_one_notification_to_each_recipient_and_its_repair_another() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "export", true);
    let opened = world.poll();
    assert_eq!(notified(&opened), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let incident = opened[1].items[0].incident().unwrap();
    assert_eq!(incident.window.last_good, Some(start() + TimeDelta::minutes(1)));
    assert_eq!(incident.window.first_bad, start() + TimeDelta::minutes(2));
    for _ in 0..3 {
        assert!(world.poll().is_empty());
    }
    assert_eq!(status_of(&world, "1"), Status::Drifted);
    world.tick("1", "export", false);
    let resolved = world.poll();
    assert_eq!(notified(&resolved), [(NotificationKind::Resolved, OPS), (NotificationKind::Resolved, OWNER)]);
    assert_eq!(change(&resolved[1]), Change::Ended(End::Repaired));
    assert_eq!(resolved[1].openings[0].notification, opened[1].id);
    assert_eq!(resolved[1].items[0].id(), opened[1].items[0].id());
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
}

#[test]
fn a_drift_at_the_first_poll_began_before_it() {
    let mut world = World::new();
    world.tick("1", "export", true);
    let messages = world.poll();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn confirm_and_resolve_count_polls_in_a_row_and_failed_polls_neither_count_nor_reset() {
    let mut world = World::new();
    (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (3, 2);
    world.poll();
    world.tick("1", "export", true);
    assert!(world.poll().is_empty());
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    world.tick("1", "export", false);
    assert!(world.poll().is_empty());
    world.tick("1", "export", true);
    for wrong in 0..3 {
        assert!(world.fail().is_empty());
        assert_eq!(world.poll().is_empty(), wrong < 2, "poll {wrong}");
    }
    world.tick("1", "export", false);
    assert!(world.poll().is_empty());
    world.tick("1", "export", true);
    assert!(world.poll().is_empty());
    world.tick("1", "export", false);
    assert!(world.poll().is_empty());
    world.fail();
    assert_eq!(notified(&world.poll()), [(NotificationKind::Resolved, OPS), (NotificationKind::Resolved, OWNER)]);
}

#[test]
fn an_open_drift_whose_value_changes_is_updated_in_its_thread() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "customer_validation_1", false);
    let opened = world.poll();
    assert_eq!(notified(&opened), [(NotificationKind::Drift, OWNER)]);
    world.set("1", "customer_validation_1", &RawValue::text("no"));
    assert!(world.poll().is_empty(), "another spelling of the same value is no update");
    world.tick("1", "customer_validation_2", false);
    let updated = world.poll();
    assert_eq!(notified(&updated), [(NotificationKind::Update, OWNER)]);
    assert_eq!(change(&updated[0]), Change::Updated);
    let facts = updated[0].items[0].facts().unwrap();
    assert_eq!(facts.before.as_deref(), Some("unticked: customer_validation_1"));
    assert_eq!(updated[0].openings[0].notification, opened[0].id);
}

#[test]
fn unaudited_sessions_are_known_with_their_names_until_they_are_gone() {
    let mut world = World::new();
    let row = |id: &str, name: &str| (id.to_owned(), vec![("name".to_owned(), RawValue::text(name))]);
    world.rows.extend([row("77", "new.example"), row("8", &"x".repeat(1_000))]);
    world.poll();
    let shown = |world: &World| {
        let rows = world.state.unaudited.iter();
        rows.map(|row| (row.id.to_string(), row.name.clone().unwrap_or_default())).collect::<Vec<_>>()
    };
    let [long, new] = [("8".to_owned(), "x".repeat(200)), ("77".to_owned(), "new.example".to_owned())];
    assert_eq!(shown(&world), [long.clone(), new]);
    assert_eq!(world.state.record.unaudited, 2);
    world.rows.retain(|(id, _)| id != "77");
    world.fail();
    assert_eq!(shown(&world).len(), 2, "a poll that failed changes nothing");
    world.poll();
    assert_eq!(shown(&world), [long]);
}

#[test]
fn the_first_poll_pins_and_a_later_column_is_pinned_and_noted() {
    let mut world = World::new();
    world.poll();
    world.set("1", "NewOption", &RawValue::text("a"));
    world.set("2", "NewOption", &RawValue::text("a"));
    assert!(world.poll().is_empty());
    world.set("1", "NewOption", &RawValue::text("b"));
    let messages = world.poll();
    assert_eq!(notified(&messages), [(NotificationKind::Drift, OWNER)]);
    let facts = messages[0].items[0].facts().unwrap();
    assert_eq!((facts.label.as_str(), facts.expected.as_str(), facts.found.as_str()), ("NewOption", "a", "b"));
    world.set("1", "newoption", &RawValue::text("b"));
    world.unset("1", "NewOption");
    assert!(world.poll().is_empty(), "the case of a column name does not matter");
    world.unset("1", "newoption");
    assert!(world.poll().is_empty());
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1, "its absence resolves nothing");
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Unverifiable).count(), 1);
}

#[test]
fn only_sessions_that_are_due_are_judged() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "export", true);
    world.tick("2", "export", true);
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
    let due = Due::Sessions([id("2")].into());
    let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &due);
    assert_eq!(delta.sessions.keys().collect::<Vec<_>>(), [&id("2")]);
    assert!(delta.schedules.is_empty(), "the other session of the schedule was not polled");
}

#[test]
fn every_setting_that_changes_is_an_event_even_without_a_rule() {
    let mut world = World::new();
    world.poll();
    world.set("1", "name", &RawValue::text("renamed"));
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
    let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &Due::All);
    let changed = delta.events.iter().any(|event| {
        matches!(&event.what, EventKind::SettingChanged { before: Some(b), after: Some(a), .. } if b == "shop 1" && a == "renamed")
    });
    assert!(changed, "{:?}", delta.events);
}

#[test]
fn a_value_in_another_spelling_is_no_update() {
    let mut world = World::new();
    world.plan.mapping.kinds = [("a", Kind::Choice), ("b", Kind::Addresses), ("c", Kind::Interval)]
        .map(|(setting, kind)| (SettingKey::new(setting), kind))
        .into();
    let set = |world: &mut World, values: [&str; 3]| {
        for (setting, value) in ["a", "b", "c"].into_iter().zip(values) {
            world.set("1", setting, &RawValue::text(value));
        }
        world.poll()
    };
    set(&mut world, ["Web Service", "x@a.example; y@a.example", "Every 5 minutes"]);
    assert_eq!(set(&mut world, ["File", "x@a.example; z@a.example", "Manual"])[0].kind, NotificationKind::Drift);
    assert!(set(&mut world, ["FILE", "Z@a.example, x@a.example", "Never"]).is_empty());
    let updated = set(&mut world, ["Folder", "z@a.example", "Hourly"]);
    assert_eq!((updated[0].kind, updated[0].items.len()), (NotificationKind::Update, 3));
    let before = updated[0].items.iter().filter_map(|item| item.facts()?.before.as_deref());
    assert_eq!(before.collect::<BTreeSet<_>>(), ["FILE", "Z@a.example, x@a.example", "Never"].into());
}

#[test]
fn a_poll_at_one_session_is_remembered_as_its_last_good_poll() {
    let mut world = World::new();
    world.poll();
    world.now += TimeDelta::minutes(9);
    let glance = |world: &mut World| {
        let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
        let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &Due::Sessions([id("1")].into()));
        world.commit(delta);
        world.alert().notifications
    };
    assert!(glance(&mut world).is_empty());
    let last_good = world.now;
    world.now += TimeDelta::minutes(1);
    world.tick("1", "export", true);
    let messages = glance(&mut world);
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, Some(last_good));
    assert_eq!(world.state.last_verdict(&world.state.sessions[&id("1")]), Some(world.now));
    world.poll();
    assert_eq!(world.state.last_verdict(&world.state.sessions[&id("1")]), Some(world.now));
}

/// Quick while the cost grows with the number of columns; if it grew with their square, this would take minutes.
#[test]
fn a_session_of_very_many_columns_is_judged_like_any_other() {
    const COLUMNS: usize = 20_000;
    let mut world = World::new();
    let columns = |text: &str| (0..COLUMNS).map(|n| (format!("column_{n}"), RawValue::text(text))).collect::<Vec<_>>();
    let fill = |world: &mut World, text: &str| {
        world.rows[0].1.truncate(6);
        world.rows[0].1.extend(columns(text));
        world.poll()
    };
    assert!(fill(&mut world, "a").is_empty());
    assert_eq!(fill(&mut world, "b")[0].items.len(), COLUMNS);
    assert!(fill(&mut world, "b").is_empty());
    assert_eq!(fill(&mut world, "c")[0].kind, NotificationKind::Update);
    assert_eq!(fill(&mut world, "a")[0].kind, NotificationKind::Resolved);
    assert!(world.state.sessions[&id("1")].incidents.is_empty());
}
