//! Settings that only a pattern watches and that the source stops returning: announced once and forgotten.

use super::*;
use crate::domain::evaluate::PinnedValue;
use crate::domain::event::Event;
use crate::domain::notification::{About, Item};
use crate::domain::schedule::Schedule;
use crate::domain::setting::SettingPattern;
use crate::domain::state::Delta;

fn polled() -> World {
    let mut world = World::new();
    world.poll();
    world
}

fn without(world: &mut World, setting: &str) {
    for n in ["1", "2"] {
        world.unset(n, setting);
    }
}

fn with(world: &mut World, setting: &str, value: &str) {
    for n in ["1", "2"] {
        world.set(n, setting, &RawValue::text(value));
    }
}

fn pinned<'a>(world: &'a World, session: &str, setting: &str) -> Option<&'a PinnedValue> {
    world.state.sessions[&id(session)].pinned.get(&SettingKey::new(setting))
}

/// What the next poll would change.
fn next(world: &World, due: &Due) -> Delta {
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
    world.reconcile(&PollOutcome::Snapshot(snapshot), due)
}

fn forgotten(events: &[Event]) -> Vec<String> {
    let setting = |event: &Event| match &event.what {
        EventKind::SettingForgotten { setting } => Some(setting.to_string()),
        _ => None,
    };
    events.iter().filter_map(setting).collect()
}

#[test]
fn a_watched_setting_that_no_session_has_any_more_is_announced_once_and_forgotten_with_its_pinned_value() {
    let mut world = polled();
    without(&mut world, "Postcodes");
    with(&mut world, "Post Codes", "paused");
    let delta = next(&world, &Due::All);
    assert_eq!(forgotten(&delta.events), ["Postcodes"]);
    assert!(delta.incidents.is_empty() && delta.changed.is_none());
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS)]);
    let About::Forgotten(gone) = &sent[0].items[0].about else { panic!("{:?}", sent[0].items) };
    assert_eq!(
        gone.columns.words(),
        "Column \"Postcodes\" is gone from definition 61; \"Post Codes\" is new. Renamed?"
    );
    assert_eq!((status_of(&world, "1"), status_of(&world, "2")), (Status::Compliant, Status::Compliant));
    assert_eq!((pinned(&world, "1", "Postcodes"), pinned(&world, "2", "Postcodes")), (None, None));
    assert!(!world.state.known_settings.contains(&SettingKey::new("Postcodes")));
    for _ in 0..3 {
        world.state.plan_changed();
        assert!(world.poll().is_empty());
        let quiet = next(&world, &Due::All);
        assert!(quiet.events.is_empty() && quiet.sessions.is_empty() && quiet.forgotten.is_empty());
    }
}

#[test]
fn a_forgotten_setting_that_returns_is_pinned_to_its_new_value() {
    let mut world = polled();
    without(&mut world, "Postcodes");
    world.poll();
    with(&mut world, "Postcodes", "active");
    let events = next(&world, &Due::All).events;
    let noted =
        events.iter().filter(|event| matches!(&event.what, EventKind::Pinned { value, .. } if value == "active"));
    assert_eq!(noted.count(), 2, "{events:?}");
    assert!(world.poll().is_empty());
    with(&mut world, "Postcodes", "paused");
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
    without(&mut world, "Postcodes");
    assert_eq!(world.poll().len(), 2, "its second loss is reported too, and its drift ends");
}

#[test]
fn an_open_drift_of_a_forgotten_setting_ends_and_says_why() {
    let mut world = polled();
    world.set("1", "Postcodes", &RawValue::text("active"));
    world.poll();
    without(&mut world, "Postcodes");
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS), (NotificationKind::Resolved, OWNER)]);
    assert_eq!(change(&sent[1]), Change::Ended(End::NotReturned));
    assert_eq!(world.state.incidents().count(), 0);
}

#[test]
fn a_setting_that_a_rule_names_stays_unverifiable_and_keeps_its_pinned_value() {
    let mut world = World::new();
    let mut named = rules();
    named.push(rule("postcodes", "Postcodes", Expectation::Unchanged, Severity::Warning));
    for n in ["1", "2"] {
        world.plan.sessions.insert(id(n), session(n, named.clone()));
    }
    world.poll();
    without(&mut world, "Postcodes");
    assert_eq!(notified(&world.poll()), [(NotificationKind::SourceChanged, OPS)]);
    assert!(world.state.changed.is_some() && pinned(&world, "1", "Postcodes").is_some());
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
    with(&mut world, "Postcodes", "paused");
    assert_eq!(notified(&world.poll()), [(NotificationKind::Recovered, OPS)]);
    assert_eq!(status_of(&world, "1"), Status::Compliant);
}

#[test]
fn a_setting_that_only_some_sessions_lack_is_not_forgotten() {
    let mut world = polled();
    world.unset("1", "Postcodes");
    assert!(world.poll().is_empty());
    assert_eq!((status_of(&world, "1"), status_of(&world, "2")), (Status::Unverifiable, Status::Compliant));
    assert!(pinned(&world, "1", "Postcodes").is_some());
}

#[test]
fn a_setting_that_no_rule_watches_is_forgotten_without_a_notification() {
    let mut watch = rule("others", "*", Expectation::Unchanged, Severity::Warning);
    Arc::make_mut(&mut watch).ignore = vec![SettingPattern::parse("last_run*")];
    for last in [Some(watch), None] {
        let mut world = World::new();
        let named = rules().into_iter().take(3).chain(last).collect::<Vec<_>>();
        for n in ["1", "2"] {
            world.plan.sessions.insert(id(n), session(n, named.clone()));
        }
        with(&mut world, "last_run_at", "now");
        world.poll();
        without(&mut world, "last_run_at");
        assert!(world.poll().is_empty());
        assert!(!world.state.known_settings.contains(&SettingKey::new("last_run_at")));
        assert_eq!(status_of(&world, "1"), Status::Compliant);
    }
}

#[test]
fn a_session_forgets_at_its_own_poll_and_not_at_all_if_the_column_is_back_before() {
    let mut world = polled();
    let seldom = Schedule::parse("0 * * * *", chrono_tz::UTC, start()).unwrap();
    world.plan.sessions.get_mut(&id("2")).unwrap().schedule = seldom;
    world.poll();
    let poll = |world: &mut World, n: &str| {
        world.now += TimeDelta::minutes(1);
        let due = Due::Schedules([world.plan.sessions[&id(n)].schedule.key()].into());
        let delta = next(world, &due);
        world.commit(delta);
        world.alert().notifications.len()
    };
    without(&mut world, "Postcodes");
    assert_eq!(poll(&mut world, "1"), 1);
    assert!(pinned(&world, "1", "Postcodes").is_none() && pinned(&world, "2", "Postcodes").is_some());
    let mut back = World {
        plan: world.plan.clone(),
        state: world.state.clone(),
        known: world.known.clone(),
        rows: world.rows.clone(),
        now: world.now,
    };
    assert_eq!(poll(&mut world, "2"), 0);
    assert!(pinned(&world, "2", "Postcodes").is_none());
    assert_eq!(status_of(&world, "2"), Status::Compliant);

    with(&mut back, "Postcodes", "active");
    assert_eq!(poll(&mut back, "1"), 0, "pinned as it is now");
    assert_eq!(poll(&mut back, "2"), 1, "it never missed its value, which changed");
}

#[test]
fn needed_and_watched_columns_that_go_at_once_are_one_notification() {
    let mut world = polled();
    without(&mut world, "Postcodes");
    without(&mut world, "export");
    let sent = world.poll();
    assert_eq!(notified(&sent), [(NotificationKind::SourceChanged, OPS)]);
    assert_eq!(sent[0].items.iter().map(Item::kind).collect::<Vec<_>>(), [NotificationKind::SourceChanged; 2]);
}
