//! The configuration changes while something is wrong: incidents that this ends, and notifications that it does not repeat.

use super::*;

#[test]
fn a_drift_that_ends_because_the_baseline_changed_says_so() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    let mut rules = rules();
    rules[0] = rule("export-off", "export", Expectation::Ticked, Severity::Critical);
    world.plan.sessions.insert(id("1"), session("1", rules));
    let messages = world.poll();
    assert_eq!(change(&messages[0]), Change::Ended(End::BaselineChanged));
    assert_eq!(messages[0].kind, NotificationKind::Resolved);
}

#[test]
fn a_rule_that_is_gone_ends_its_drift_at_once() {
    let mut world = World::new();
    world.plan.alerts.resolve_polls = 5;
    world.tick("1", "export", true);
    world.poll();
    world.plan.sessions.insert(id("1"), session("1", rules().into_iter().skip(1).collect()));
    let messages = world.poll();
    assert_eq!(change(&messages[0]), Change::Ended(End::NoLongerAudited));
}

#[test]
fn a_new_rule_over_an_old_value_does_not_claim_when_it_went_wrong() {
    let mut world = World::new();
    world.plan.sessions.insert(id("1"), session("1", rules().into_iter().skip(1).collect()));
    world.tick("1", "export", true);
    world.poll();
    world.plan.sessions.insert(id("1"), session("1", rules()));
    world.state.plan_changed();
    let messages = world.poll();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn editing_the_wording_of_a_rule_alerts_no_recipient_again() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    let mut edited = rules();
    Arc::make_mut(&mut edited[0]).why = String::from("other words");
    Arc::make_mut(&mut edited[0]).severity = Severity::Warning;
    world.plan.sessions.insert(id("1"), session("1", edited));
    assert!(world.poll().is_empty());
}

#[test]
fn a_session_that_is_not_configured_any_more_ends_its_incidents_and_says_why() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    world.plan.sessions.remove(&id("1"));
    let ended = world.retire();
    assert_eq!(notified(&ended), [(NotificationKind::Unaudited, OPS), (NotificationKind::Unaudited, OWNER)]);
    assert_eq!(change(&ended[0]), Change::Ended(End::Removed));
    assert_eq!((world.state.record.audited, world.state.record.unaudited), (1, 1), "before the next poll");
    assert!(!world.state.sessions.contains_key(&id("1")));
    assert!(world.retire().is_empty());
}

#[test]
fn a_drift_that_comes_to_matter_enough_is_notified_then_and_once() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert!(world.poll().is_empty());
    world.plan.alerts.min_severity = Severity::Warning;
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
    assert!(world.poll().is_empty());
    world.plan.alerts.min_severity = Severity::Critical;
    world.plan.alerts.remind_every = Some(Duration::from_secs(1));
    world.now += TimeDelta::minutes(1);
    let quiet = world.alert();
    assert!(quiet.notifications.is_empty());
    assert!(quiet.suppressions.is_empty(), "an incident is counted once for a reason, and it was before");
}

#[test]
fn a_new_translation_of_a_value_alerts_no_recipient() {
    let mut world = World::new();
    world.set("1", "colour", &RawValue::Number("1".into()));
    world.tick("1", "customer_validation_1", false);
    world.poll();
    let red = HashMap::from([(String::from("1"), RawValue::text("red"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("colour"), red)]);
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Drifted, "what was open stays open");
    world.set("1", "colour", &RawValue::Number("2".into()));
    let messages = world.poll();
    let facts = messages[0].items[0].facts().unwrap();
    assert_eq!((facts.expected.as_str(), facts.found.as_str()), ("red", "2"));
    let blue = HashMap::from([(String::from("1"), RawValue::text("red")), (String::from("2"), RawValue::text("blue"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("colour"), blue)]);
    world.state.plan_changed();
    assert!(world.poll().is_empty(), "the open drift is read in another way, and no update");
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).last().unwrap().facts.found, "blue");
}

#[test]
fn a_column_that_is_given_to_a_setting_is_not_missed_under_its_own_name() {
    let mut world = World::new();
    world.set("1", "TransferTypeName", &RawValue::text("Web Service"));
    world.poll();
    world.set("1", "TransferTypeName", &RawValue::text("FTP"));
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
    world.plan.mapping.columns = vec![(SettingKey::new("transfer_type"), String::from("TransferTypeName"))];
    world.state.plan_changed();
    let messages = world.poll();
    assert_eq!(change(&messages[0]), Change::Ended(End::NoLongerAudited));
    assert_eq!(status_of(&world, "1"), Status::Compliant);
}

#[test]
fn a_drift_that_is_right_only_because_its_value_is_read_in_another_way_was_not_repaired() {
    let mut world = World::new();
    (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (1, 2);
    world.set("1", "export", &RawValue::text("aus"));
    world.poll();
    world.tick("1", "export", true);
    world.poll();
    let off = HashMap::from([(String::from("true"), RawValue::Flag(false))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("export"), off)]);
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::BaselineChanged));
}

#[test]
fn a_repair_that_two_polls_confirm_is_a_repair() {
    let mut world = World::new();
    world.plan.alerts.resolve_polls = 2;
    world.tick("1", "customer_validation_1", false);
    world.poll();
    world.tick("1", "customer_validation_1", true);
    assert!(world.poll().is_empty());
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::Repaired));
}

#[test]
fn a_new_rule_whose_setting_could_not_be_read_does_not_claim_that_it_was_right() {
    let mut world = World::new();
    world.plan.sessions.insert(id("1"), session("1", rules().into_iter().skip(1).collect()));
    world.set("1", "export", &RawValue::text("perhaps"));
    world.poll();
    world.plan.sessions.insert(id("1"), session("1", rules()));
    world.state.plan_changed();
    world.poll();
    world.tick("1", "export", true);
    let messages = world.poll();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn a_value_that_changes_when_it_comes_to_matter_is_notified_as_new() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert!(world.poll().is_empty());
    world.plan.alerts.min_severity = Severity::Warning;
    world.tick("1", "customer_validation_2", false);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
}
