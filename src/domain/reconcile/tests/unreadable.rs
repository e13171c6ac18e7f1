//! A value that was right and changes into one that cannot be read: drift, as it was sent.

use super::*;
use crate::domain::evaluate::VerdictKind;
use crate::domain::incident::Incident;
use crate::domain::reading::Kind;
use crate::domain::reconcile::assess;
use crate::domain::state::{SessionRecord, SessionState};

/// Sessions 1 and 2 with a rule about the schedule, both compliant and polled once.
fn polled() -> World {
    let mut world = World::new();
    let every = Expectation::Every(Duration::from_mins(5));
    let mut rules = rules();
    rules.push(rule("every-5", "schedule", every, Severity::Critical));
    for n in ["1", "2"] {
        world.plan.sessions.insert(id(n), session(n, rules.clone()));
        world.set(n, "schedule", &RawValue::text("Every 5 minutes"));
    }
    world.poll();
    world
}

fn drifts(world: &World, session: &str) -> Vec<(String, String)> {
    let open = world.state.sessions[&id(session)].open(IncidentKind::Drift);
    open.map(|incident| (incident.facts.label.clone(), incident.facts.found.clone())).collect()
}

/// Writes and reads back what the store keeps of sessions and incidents.
fn restart(world: &mut World) {
    for state in world.state.sessions.values_mut() {
        let record = serde_json::to_string(&state.record).unwrap();
        let incidents = serde_json::to_string(&state.incidents).unwrap();
        *state = SessionState {
            record: serde_json::from_str::<SessionRecord>(&record).unwrap(),
            incidents: serde_json::from_str::<Vec<Incident>>(&incidents).unwrap(),
            ..state.clone()
        };
    }
    world.state.plan_changed();
}

/// The verdict of `check` on one rule of session 1.
fn checked(world: &World, state: &crate::domain::state::SourceState, rule: &str) -> VerdictKind {
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
    let assessed = assess(&world.plan, state, &snapshot, world.now).sessions;
    let finding = assessed[0].findings.iter().find(|finding| finding.rule.id.as_str() == rule);
    finding.unwrap().verdict.kind()
}

#[test]
fn a_schedule_or_a_flag_that_becomes_unreadable_or_switched_off_is_drift_at_once_as_it_was_sent() {
    let text = RawValue::text;
    let table = [
        ("schedule", text("Manual"), "Manual"),
        ("schedule", text("Disabled"), "Disabled"),
        ("schedule", text("Never"), "Never"),
        ("schedule", text("Whenever"), "Whenever"),
        ("schedule", text(""), "(empty)"),
        ("schedule", RawValue::Null, "null"),
        ("export", text("perhaps"), "perhaps"),
        ("export", RawValue::Null, "null"),
        ("export", text(" "), "(empty)"),
        ("export", RawValue::Number("2".into()), "2"),
    ];
    for (setting, raw, shown) in table {
        let mut world = polled();
        let last_good = world.now;
        world.set("1", setting, &raw);
        assert_eq!(
            checked(&world, &world.state, if setting == "export" { "export-off" } else { "every-5" }),
            VerdictKind::Drifted
        );
        let sent = world.poll();
        assert_eq!(notified(&sent), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)], "{raw:?}");
        let incident = sent[0].items[0].incident().unwrap();
        assert_eq!((incident.facts.found.as_str(), incident.window.last_good), (shown, Some(last_good)), "{raw:?}");
        let expected = if setting == "export" { "unticked" } else { "every 5 minutes" };
        assert_eq!(incident.facts.expected, expected);
        assert_eq!(status_of(&world, "1"), Status::Drifted);
        assert_eq!(world.state.incidents().count(), 1, "the session has no unverifiable setting: {raw:?}");
    }
}

#[test]
fn a_setting_is_unverifiable_at_a_first_poll_or_when_it_is_not_returned() {
    let mut world = World::new();
    world.set("1", "export", &RawValue::text("perhaps"));
    for _ in 0..3 {
        assert!(world.poll().is_empty());
    }
    assert_eq!((status_of(&world, "1"), drifts(&world, "1")), (Status::Unverifiable, Vec::new()));
    world.set("1", "export", &RawValue::Null);
    world.poll();
    assert_eq!(status_of(&world, "1"), Status::Unverifiable, "another unreadable value is no more known to be wrong");

    let mut world = polled();
    world.unset("1", "export");
    world.poll();
    assert_eq!((status_of(&world, "1"), drifts(&world, "1")), (Status::Unverifiable, Vec::new()));
    world.set("1", "export", &RawValue::Repeated);
    world.poll();
    assert_eq!((status_of(&world, "1"), drifts(&world, "1")), (Status::Unverifiable, Vec::new()));
    world.set("1", "export", &RawValue::text("perhaps"));
    world.poll();
    assert_eq!(status_of(&world, "1"), Status::Drifted, "it was right before it was not returned");
}

#[test]
fn the_drift_stays_while_the_value_cannot_be_read_follows_it_and_ends_when_it_is_right() {
    let mut world = polled();
    world.set("1", "schedule", &RawValue::text("Whenever"));
    let opened = world.poll();
    for _ in 0..3 {
        restart(&mut world);
        assert!(world.poll().is_empty());
        assert!(world.fail().is_empty());
    }
    world.set("1", "schedule", &RawValue::Null);
    let updated = world.poll();
    assert_eq!(notified(&updated), [(NotificationKind::Update, OPS), (NotificationKind::Update, OWNER)]);
    let incident = updated[0].items[0].incident().unwrap();
    assert_eq!(incident.id, opened[0].items[0].id());
    assert_eq!((incident.facts.before.as_deref(), incident.facts.found.as_str()), (Some("Whenever"), "null"));
    world.set("1", "schedule", &RawValue::text("Every hour"));
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Update);
    world.set("1", "schedule", &RawValue::text("Whenever"));
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Update, "an unreadable value is followed too");
    world.unset("1", "schedule");
    assert!(world.poll().is_empty());
    assert_eq!(drifts(&world, "1"), [("Schedule".to_owned(), "Whenever".to_owned())], "its absence resolves nothing");
    world.set("1", "schedule", &RawValue::Null);
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Update);
    world.set("1", "schedule", &RawValue::text("5"));
    let ended = world.poll();
    assert_eq!(change(&ended[0]), Change::Ended(End::Repaired));
    assert_eq!(ended[0].items[0].id(), opened[0].items[0].id());
    assert_eq!(world.state.incidents().count(), 0);
}

#[test]
fn a_drift_of_a_value_that_was_never_right_stays_as_it_was_while_it_cannot_be_read() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    world.set("1", "export", &RawValue::text("perhaps"));
    assert!(world.poll().is_empty());
    assert_eq!(drifts(&world, "1"), [("Export".to_owned(), "ticked".to_owned())]);
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Unverifiable).count(), 1);
}

#[test]
fn a_drift_that_cannot_be_read_is_confirmed_and_resolved_like_any_other() {
    let mut world = polled();
    (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (2, 2);
    world.set("1", "export", &RawValue::Null);
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant, "status follows the confirmed state");
    assert_eq!(checked(&world, &world.state, "export-off"), VerdictKind::Drifted, "check prints what it sees");
    restart(&mut world);
    world.tick("1", "export", false);
    assert!(world.poll().is_empty());
    world.set("1", "export", &RawValue::Null);
    assert!(world.poll().is_empty());
    restart(&mut world);
    world.set("1", "export", &RawValue::text("perhaps"));
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Drift);
    assert_eq!(drifts(&world, "1"), [("Export".to_owned(), "perhaps".to_owned())]);
    world.tick("1", "export", false);
    assert!(world.poll().is_empty());
    assert_eq!(notified(&world.poll())[0].0, NotificationKind::Resolved);
}

#[test]
fn a_member_of_a_group_that_was_ticked_and_becomes_unreadable_is_drift_and_a_new_member_is_not() {
    let mut world = polled();
    world.set("1", "customer_validation_2", &RawValue::text("perhaps"));
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
    let label = world.state.sessions[&id("1")].open(IncidentKind::Drift).next().unwrap().facts.label.clone();
    assert_eq!(drifts(&world, "1"), [(label.clone(), "customer_validation_2: perhaps".to_owned())]);
    restart(&mut world);
    assert!(world.poll().is_empty());
    world.tick("1", "customer_validation_1", false);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Update, OWNER)]);
    world.tick("1", "customer_validation_1", true);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Update, OWNER)]);
    world.tick("1", "customer_validation_2", true);
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::Repaired));

    world.set("2", "customer_validation_3", &RawValue::Null);
    for _ in 0..3 {
        assert!(world.poll().is_empty());
        assert_eq!((status_of(&world, "2"), drifts(&world, "2")), (Status::Unverifiable, Vec::new()));
    }
}

#[test]
fn a_pinned_flag_that_becomes_unreadable_is_drift_from_the_pinned_value() {
    let mut world = World::new();
    world.plan.mapping.kinds = HashMap::from([(SettingKey::new("gift_wrap"), Kind::Flag)]);
    world.tick("1", "gift_wrap", true);
    world.poll();
    world.set("1", "gift_wrap", &RawValue::text("perhaps"));
    let sent = world.poll();
    let facts = sent[0].items[0].facts().unwrap();
    assert_eq!((facts.expected.as_str(), facts.found.as_str()), ("ticked", "perhaps"));
    world.tick("1", "gift_wrap", true);
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::Repaired));
}

#[test]
fn a_value_that_is_unreadable_only_because_of_a_new_translation_did_not_change() {
    let mut world = World::new();
    let off = HashMap::from([(String::from("aus"), RawValue::Flag(false))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("export"), off)]);
    world.set("1", "export", &RawValue::text("aus"));
    world.poll();
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    world.plan.mapping.values.clear();
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    assert_eq!((status_of(&world, "1"), drifts(&world, "1")), (Status::Unverifiable, Vec::new()));
}

#[test]
fn an_edited_rule_or_a_new_translation_keeps_the_open_drift() {
    let mut world = polled();
    world.set("1", "schedule", &RawValue::text("Whenever"));
    world.poll();
    let mut edited = rules();
    edited.push(rule("every-5", "schedule", Expectation::AtMost(Duration::from_mins(9)), Severity::Critical));
    world.plan.sessions.insert(id("1"), session("1", edited));
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    assert_eq!(drifts(&world, "1"), [("Schedule".to_owned(), "Whenever".to_owned())]);
    let five = HashMap::from([(String::from("Whenever"), RawValue::text("Every 5 minutes"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("schedule"), five)]);
    world.state.plan_changed();
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::BaselineChanged), "it was not put right");
}

#[test]
fn a_check_without_a_store_cannot_know_that_the_value_was_right() {
    let mut world = polled();
    world.set("1", "export", &RawValue::Null);
    let nothing = crate::domain::state::SourceState::default();
    assert_eq!(checked(&world, &nothing, "export-off"), VerdictKind::Unverifiable);
    assert_eq!(checked(&world, &world.state, "export-off"), VerdictKind::Drifted);
    world.poll();
    assert_eq!(checked(&world, &world.state, "export-off"), VerdictKind::Drifted, "also while the drift is open");
}
