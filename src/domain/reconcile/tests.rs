//! Histories as tables: what happens, look by look, and who is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::decide::{Sender, decide_retired};
use crate::domain::event::Happening;
use crate::domain::expectation::Expectation;
use crate::domain::incident::{End, IncidentKind};
use crate::domain::message::MessageKind;
use crate::domain::observation::Sighting;
use crate::domain::plan::Due;
use crate::domain::policy::Severity;
use crate::domain::reading::Cell;
use crate::domain::reconcile::{News, SourceLook};
use crate::domain::setting::SettingKey;
use crate::domain::status::{Status, status};
use crate::domain::world::{World, address, id, name, rule, rules, session, start, told};

const OWNER: &str = "owner@acme.example";
const OPS: &str = "ops@integrator.example";

fn status_of(world: &World, session: &str) -> Status {
    status(&world.state, &world.plan.sessions[&id(session)]).status
}

#[test]
fn a_quiet_world_tells_nobody_and_changes_nothing() {
    let mut world = World::new();
    assert_eq!(status_of(&world, "1"), Status::Pending);
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
    let delta = world.decide(&SourceLook::Answer(sighting), &Due::All).delta;
    assert!(delta.sessions.is_empty() && delta.observations.is_empty() && delta.pins.is_empty());
    assert!(delta.events.is_empty() && delta.incidents.is_empty() && delta.notices.is_empty());
}

#[test]
fn one_drift_is_one_mail_to_each_who_must_know_and_its_repair_another() {
    let mut world = World::new();
    world.look();
    world.tick("1", "export", true);
    let opened = world.look();
    assert_eq!(told(&opened), [(MessageKind::Drift, OPS), (MessageKind::Drift, OWNER)]);
    assert_eq!(opened[1].subject, "shop 1: Export is ticked, should be unticked");
    let incident = opened[1].items[0].incident().unwrap();
    assert_eq!(incident.window.last_good, Some(start() + TimeDelta::minutes(1)));
    assert_eq!(incident.window.first_bad, start() + TimeDelta::minutes(2));
    for _ in 0..3 {
        assert!(world.look().is_empty());
    }
    assert_eq!(status_of(&world, "1"), Status::Drifted);
    world.tick("1", "export", false);
    let resolved = world.look();
    assert_eq!(told(&resolved), [(MessageKind::Resolved, OPS), (MessageKind::Resolved, OWNER)]);
    assert_eq!(resolved[1].items[0].news, News::Ended(End::Repaired));
    assert_eq!(resolved[1].subject, format!("Re: {}", opened[1].subject));
    assert_eq!(resolved[1].in_reply_to.as_ref(), Some(&opened[1].message_id));
    assert!(resolved[1].references.contains(&opened[1].references[0]));
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
}

#[test]
fn what_is_wrong_at_the_first_look_has_been_so_since_before_it() {
    let mut world = World::new();
    world.tick("1", "export", true);
    let messages = world.look();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn a_look_that_failed_resolves_nothing_and_opens_no_drift() {
    let mut world = World::new();
    world.look();
    world.tick("1", "export", true);
    world.look();
    world.tick("1", "export", false);
    world.tick("2", "export", true);
    for _ in 0..30 {
        assert!(world.fail().is_empty());
    }
    assert_eq!(status_of(&world, "1"), Status::Unreachable);
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1);
    let messages = world.look();
    assert_eq!(told(&messages), [(MessageKind::Drift, OPS), (MessageKind::Drift, OWNER)]);
    let kinds = messages[0].items.iter().map(|item| item.kind).collect::<Vec<_>>();
    assert_eq!(kinds, [MessageKind::Drift, MessageKind::Resolved]);
}

#[test]
fn not_being_able_to_look_is_told_once_when_patience_ends_and_so_is_its_end() {
    let mut world = World::new();
    world.look();
    for minute in 0..60 {
        assert!(world.fail().is_empty(), "minute {minute}");
    }
    assert_eq!(told(&world.fail()), [(MessageKind::Unreachable, OPS)]);
    for _ in 0..60 {
        assert!(world.fail().is_empty());
    }
    let back = world.look();
    assert_eq!(told(&back), [(MessageKind::Recovered, OPS)]);
    assert!(back[0].subject.starts_with("Re: "));
    assert!(world.look().is_empty());
}

#[test]
fn a_short_outage_is_told_to_nobody_but_shown_at_once() {
    let mut world = World::new();
    world.look();
    world.fail();
    assert_eq!(status_of(&world, "2"), Status::Unreachable);
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "2"), Status::Compliant);
}

#[test]
fn without_a_fallback_the_owners_are_told_that_nobody_can_look() {
    let mut world = World::new();
    let mut contacts = (*world.plan.contacts).clone();
    contacts.fallback.clear();
    world.plan.contacts = Arc::new(contacts);
    world.plan.alerts.unreachable_after = Duration::ZERO;
    assert_eq!(told(&world.fail()), [(MessageKind::Unreachable, OWNER)]);
}

#[test]
fn a_session_without_a_row_is_missing_and_its_drifts_stay_open() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.look();
    let row = world.rows.remove(0);
    assert_eq!(told(&world.look()), [(MessageKind::Missing, OPS), (MessageKind::Missing, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Missing);
    assert!(world.look().is_empty());
    world.rows.insert(0, row);
    assert_eq!(told(&world.look()), [(MessageKind::Recovered, OPS), (MessageKind::Recovered, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Drifted);
}

#[test]
fn no_row_at_all_is_not_missing_sessions_but_an_answer_that_cannot_be_trusted() {
    let mut world = World::new();
    world.look();
    world.rows.clear();
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Unreachable);
    assert_eq!(world.state.unreachable.as_ref().unwrap().facts.reason, "it returned no sessions");
}

#[test]
fn two_rows_for_one_session_are_unverifiable_and_move_no_drift() {
    let mut world = World::new();
    world.plan.alerts.unreachable_after = Duration::ZERO;
    world.tick("1", "export", true);
    world.look();
    let mut twin = world.rows[0].clone();
    twin.1[1].1 = Cell::Flag(false);
    world.rows.push(twin);
    assert_eq!(told(&world.look()), [(MessageKind::Unverifiable, OWNER)]);
    let shown = status(&world.state, &world.plan.sessions[&id("1")]);
    assert_eq!(shown.status, Status::Drifted);
    let incident = world.state.sessions[&id("1")].incident(IncidentKind::Unverifiable).unwrap();
    assert_eq!(incident.facts.reason, "the source returned 2 rows for this session");
    world.rows.pop();
    assert_eq!(told(&world.look()), [(MessageKind::Recovered, OWNER)]);
}

#[test]
fn a_setting_that_cannot_be_read_neither_opens_nor_resolves_and_waits_for_patience() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.look();
    world.set("1", "export", &Cell::text("perhaps"));
    for _ in 0..60 {
        assert!(world.look().is_empty());
    }
    assert_eq!(told(&world.look()), [(MessageKind::Unverifiable, OWNER)]);
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1);
    world.tick("1", "export", true);
    assert_eq!(told(&world.look()), [(MessageKind::Recovered, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Drifted);
}

#[test]
fn a_drift_found_after_settings_could_not_be_read_began_after_the_last_good_look_before_that() {
    let mut world = World::new();
    world.look();
    let last_good = world.now;
    world.set("1", "export", &Cell::Null);
    world.look();
    world.look();
    world.tick("1", "export", true);
    let messages = world.look();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, Some(last_good));
}

#[test]
fn confirm_and_resolve_count_looks_in_a_row_and_blind_looks_neither_count_nor_reset() {
    let mut world = World::new();
    (world.plan.alerts.confirm_looks, world.plan.alerts.resolve_looks) = (3, 2);
    world.look();
    world.tick("1", "export", true);
    assert!(world.look().is_empty());
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    world.tick("1", "export", false);
    assert!(world.look().is_empty());
    world.tick("1", "export", true);
    for wrong in 0..3 {
        assert!(world.fail().is_empty());
        assert_eq!(world.look().is_empty(), wrong < 2, "look {wrong}");
    }
    world.tick("1", "export", false);
    assert!(world.look().is_empty());
    world.tick("1", "export", true);
    assert!(world.look().is_empty());
    world.tick("1", "export", false);
    assert!(world.look().is_empty());
    world.fail();
    assert_eq!(told(&world.look()), [(MessageKind::Resolved, OPS), (MessageKind::Resolved, OWNER)]);
}

#[test]
fn an_open_drift_whose_value_changes_is_updated_in_its_thread() {
    let mut world = World::new();
    world.look();
    world.tick("1", "customer_validation_1", false);
    let opened = world.look();
    assert_eq!(told(&opened), [(MessageKind::Drift, OWNER)]);
    world.set("1", "customer_validation_1", &Cell::text("no"));
    assert!(world.look().is_empty(), "another spelling of the same value is no update");
    world.tick("1", "customer_validation_2", false);
    let updated = world.look();
    assert_eq!(told(&updated), [(MessageKind::Update, OWNER)]);
    let before = String::from("unticked: customer_validation_1");
    assert_eq!(updated[0].items[0].news, News::Updated { before });
    assert_eq!(updated[0].in_reply_to.as_ref(), Some(&opened[0].message_id));
}

#[test]
fn the_first_look_pins_and_a_later_column_is_pinned_and_noted() {
    let mut world = World::new();
    world.look();
    world.set("1", "NewOption", &Cell::text("a"));
    assert!(world.look().is_empty());
    world.set("1", "NewOption", &Cell::text("b"));
    let messages = world.look();
    assert_eq!(told(&messages), [(MessageKind::Drift, OWNER)]);
    let facts = messages[0].items[0].facts().unwrap();
    assert_eq!((facts.label.as_str(), facts.expected.as_str(), facts.found.as_str()), ("NewOption", "a", "b"));
    world.set("1", "newoption", &Cell::text("b"));
    world.unset("1", "NewOption");
    assert!(world.look().is_empty(), "the case of a column name does not matter");
    world.unset("1", "newoption");
    assert!(world.look().is_empty());
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).count(), 1, "its absence resolves nothing");
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Unverifiable).count(), 1);
}

#[test]
fn a_drift_that_ends_because_the_baseline_changed_says_so() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.look();
    let mut rules = rules();
    rules[0] = rule("export-off", "export", Expectation::Ticked, Severity::Critical);
    world.plan.sessions.insert(id("1"), session("1", rules));
    let messages = world.look();
    assert_eq!(messages[0].items[0].news, News::Ended(End::BaselineChanged));
    assert_eq!(messages[0].kind, MessageKind::Resolved);
}

#[test]
fn a_rule_that_is_gone_ends_its_drift_at_once() {
    let mut world = World::new();
    world.plan.alerts.resolve_looks = 5;
    world.tick("1", "export", true);
    world.look();
    world.plan.sessions.insert(id("1"), session("1", rules().into_iter().skip(1).collect()));
    let messages = world.look();
    assert_eq!(messages[0].items[0].news, News::Ended(End::NoLongerAudited));
}

#[test]
fn a_new_rule_over_an_old_value_does_not_claim_to_know_since_when() {
    let mut world = World::new();
    world.plan.sessions.insert(id("1"), session("1", rules().into_iter().skip(1).collect()));
    world.tick("1", "export", true);
    world.look();
    world.plan.sessions.insert(id("1"), session("1", rules()));
    world.state.plan_changed();
    let messages = world.look();
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, None);
}

#[test]
fn editing_the_wording_of_a_rule_alerts_nobody_again() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.look();
    let mut edited = rules();
    Arc::make_mut(&mut edited[0]).why = String::from("other words");
    Arc::make_mut(&mut edited[0]).severity = Severity::Warning;
    world.plan.sessions.insert(id("1"), session("1", edited));
    assert!(world.look().is_empty());
}

#[test]
fn what_matters_less_than_mail_from_is_shown_and_not_mailed() {
    let mut world = World::new();
    world.plan.alerts.mail_from = Severity::Critical;
    world.look();
    world.tick("1", "customer_validation_1", false);
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Drifted);
    world.tick("1", "customer_validation_1", true);
    assert!(world.look().is_empty(), "nobody was told, so nobody hears of the end");
    world.tick("1", "export", true);
    assert_eq!(world.look().len(), 2);
}

#[test]
fn a_reminder_comes_after_its_time_and_no_sooner() {
    let mut world = World::new();
    world.plan.alerts.remind_every = Some(Duration::from_mins(10));
    world.tick("1", "export", true);
    world.look();
    for _ in 0..9 {
        assert!(world.look().is_empty());
    }
    assert_eq!(told(&world.look()), [(MessageKind::Reminder, OPS), (MessageKind::Reminder, OWNER)]);
    assert!(world.look().is_empty());
}

#[test]
fn a_session_that_nobody_audits_is_told_once_unless_it_was_there_from_the_start() {
    let mut world = World::new();
    world.rows.push((String::from("8"), Vec::new()));
    assert!(world.look().is_empty());
    assert_eq!(world.state.record.unaudited, 1);
    world.rows.push((String::from("9"), vec![(String::from("name"), Cell::text("cloned"))]));
    let found = world.look();
    assert_eq!(told(&found), [(MessageKind::Found, OPS)]);
    assert_eq!(world.state.record.unaudited, 2);
    assert!(world.look().is_empty());
}

#[test]
fn an_alert_about_the_notification_address_goes_to_the_expected_one_never_to_the_one_found() {
    let mut world = World::new();
    let mut changed = session("1", rules());
    changed.owners = vec![address("boss@acme.example")];
    world.plan.sessions.insert(id("1"), changed);
    world.look();
    world.set("1", "notification_email", &Cell::text("thief@evil.example"));
    let messages = world.look();
    let to = told(&messages).into_iter().map(|(_, to)| to).collect::<Vec<_>>();
    assert_eq!(to, ["boss@acme.example", OPS, OWNER]);
}

#[test]
fn an_optional_rule_does_not_apply_until_the_source_has_once_returned_the_setting() {
    let mut world = World::new();
    let mut optional = rule("active", "active", Expectation::Ticked, Severity::Critical);
    Arc::make_mut(&mut optional).optional = true;
    world.plan.sessions.insert(id("1"), session("1", vec![optional]));
    world.look();
    assert_eq!(status_of(&world, "1"), Status::Compliant);
    world.tick("2", "active", true);
    world.look();
    world.unset("2", "active");
    world.look();
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
}

#[test]
fn only_sessions_that_are_due_are_judged() {
    let mut world = World::new();
    world.look();
    world.tick("1", "export", true);
    world.tick("2", "export", true);
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
    let due = Due::Sessions([id("2")].into());
    let decision = world.decide(&SourceLook::Answer(sighting), &due);
    assert_eq!(decision.delta.sessions.keys().collect::<Vec<_>>(), [&id("2")]);
    assert!(decision.delta.rhythms.is_empty(), "the other session of the rhythm was not looked at");
}

#[test]
fn a_session_that_is_not_configured_any_more_ends_its_incidents_and_says_why() {
    let mut world = World::new();
    world.tick("1", "export", true);
    world.look();
    world.plan.sessions.remove(&id("1"));
    let sender = Sender { domain: String::from("driftwise.example"), public_url: None };
    let decision = decide_retired(&name("erp"), Some(&world.plan), &world.state, &sender, world.now);
    assert_eq!(told(&decision.messages), [(MessageKind::Resolved, OPS), (MessageKind::Resolved, OWNER)]);
    assert_eq!(decision.messages[0].items[0].news, News::Ended(End::NoLongerAudited));
    world.state.apply(decision.delta);
    assert!(!world.state.sessions.contains_key(&id("1")));
    let again = decide_retired(&name("erp"), Some(&world.plan), &world.state, &sender, world.now);
    assert!(again.delta.events.is_empty());
}

#[test]
fn every_setting_that_changes_is_an_event_even_where_no_rule_minds() {
    let mut world = World::new();
    world.look();
    world.set("1", "name", &Cell::text("renamed"));
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
    let delta = world.decide(&SourceLook::Answer(sighting), &Due::All).delta;
    let changed = delta.events.iter().any(|event| {
        matches!(&event.what, Happening::SettingChanged { before: Some(b), after: Some(a), .. } if b == "shop 1" && a == "renamed")
    });
    assert!(changed, "{:?}", delta.events);
}

#[test]
fn many_findings_of_one_audit_for_one_recipient_are_one_message_most_severe_first() {
    let mut world = World::new();
    world.look();
    for session in ["1", "2"] {
        world.tick(session, "customer_validation_1", false);
        world.tick(session, "export", true);
    }
    let messages = world.look();
    assert_eq!(told(&messages), [(MessageKind::Drift, OPS), (MessageKind::Drift, OWNER)]);
    let severities = messages[1].items.iter().map(|item| item.severity).collect::<Vec<_>>();
    assert_eq!(severities, [Severity::Critical, Severity::Critical, Severity::Warning, Severity::Warning]);
    assert_eq!(messages[1].subject, "erp, 2 sessions: 4 settings are not as they should be");
    assert_eq!(messages[0].items.len(), 2, "the fallback hears of what is critical only");
}

#[test]
fn a_drift_that_comes_to_matter_enough_is_told_then_and_once() {
    let mut world = World::new();
    world.plan.alerts.mail_from = Severity::Critical;
    world.look();
    world.tick("1", "customer_validation_1", false);
    assert!(world.look().is_empty());
    world.plan.alerts.mail_from = Severity::Warning;
    assert_eq!(told(&world.look()), [(MessageKind::Drift, OWNER)]);
    assert!(world.look().is_empty());
    world.plan.alerts.mail_from = Severity::Critical;
    world.plan.alerts.remind_every = Some(Duration::from_secs(1));
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
    let quiet = world.decide(&SourceLook::Answer(sighting), &Due::All);
    assert_eq!(quiet.below_severity, 0, "what nobody waits for is not suppressed look after look");
}

#[test]
fn a_session_that_was_never_seen_has_not_disappeared() {
    let mut world = World::new();
    world.rows.remove(0);
    let messages = world.look();
    assert_eq!(messages[1].subject, "erp/1: the session was not found");
    world.look();
    let mut world = World::new();
    world.look();
    world.rows.remove(0);
    assert_eq!(world.look()[1].subject, "shop 1: the session has disappeared");
}

#[test]
fn a_follow_up_refers_to_every_message_that_opened_what_it_tells_of() {
    let mut world = World::new();
    world.look();
    world.tick("1", "export", true);
    let first = world.look();
    world.tick("2", "export", true);
    let second = world.look();
    world.tick("1", "export", false);
    world.tick("2", "export", false);
    let both = world.look();
    assert_eq!(both[0].subject, "erp, 2 sessions: 2 settings are as they should be again");
    for opening in [&first[0].message_id, &second[0].message_id] {
        assert!(both[0].references.contains(opening));
    }
    assert!(first[0].message_id == *both[0].in_reply_to.as_ref().unwrap());
}

#[test]
fn teaching_what_a_value_means_alerts_nobody() {
    let mut world = World::new();
    world.set("1", "colour", &Cell::Number("1".into()));
    world.tick("1", "customer_validation_1", false);
    world.look();
    let red = HashMap::from([(String::from("1"), Cell::text("red"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("colour"), red)]);
    world.state.plan_changed();
    assert!(world.look().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Drifted, "what was open stays open");
    world.set("1", "colour", &Cell::Number("2".into()));
    let messages = world.look();
    let facts = messages[0].items[0].facts().unwrap();
    assert_eq!((facts.expected.as_str(), facts.found.as_str()), ("red", "2"));
    let blue = HashMap::from([(String::from("1"), Cell::text("red")), (String::from("2"), Cell::text("blue"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("colour"), blue)]);
    world.state.plan_changed();
    assert!(world.look().is_empty(), "the open drift is read in another way, and no update");
    assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Drift).last().unwrap().facts.found, "blue");
}

#[test]
fn a_column_that_is_given_to_a_setting_is_not_missed_under_its_own_name() {
    let mut world = World::new();
    world.set("1", "TransferTypeName", &Cell::text("Web Service"));
    world.look();
    world.set("1", "TransferTypeName", &Cell::text("FTP"));
    assert_eq!(told(&world.look()), [(MessageKind::Drift, OWNER)]);
    world.plan.mapping.columns = vec![(SettingKey::new("transfer_type"), String::from("TransferTypeName"))];
    world.state.plan_changed();
    let messages = world.look();
    assert_eq!(messages[0].items[0].news, News::Ended(End::NoLongerAudited));
    assert_eq!(status_of(&world, "1"), Status::Compliant);
}

#[test]
fn a_look_at_one_session_is_remembered_as_its_last_good_look() {
    let mut world = World::new();
    world.look();
    world.now += TimeDelta::minutes(9);
    let glance = |world: &mut World| {
        let sighting = Sighting::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
        let decision = world.decide(&SourceLook::Answer(sighting), &Due::Sessions([id("1")].into()));
        world.state.apply(decision.delta);
        decision.messages
    };
    assert!(glance(&mut world).is_empty());
    let last_good = world.now;
    world.now += TimeDelta::minutes(1);
    world.tick("1", "export", true);
    let messages = glance(&mut world);
    assert_eq!(messages[0].items[0].incident().unwrap().window.last_good, Some(last_good));
    assert_eq!(world.state.last_verdict(&world.state.sessions[&id("1")]), Some(world.now));
    world.look();
    assert_eq!(world.state.last_verdict(&world.state.sessions[&id("1")]), Some(world.now));
}

#[test]
fn a_missing_session_that_comes_back_twice_is_not_missing_any_more() {
    let mut world = World::new();
    world.look();
    let row = world.rows.remove(0);
    world.look();
    world.rows.extend([row.clone(), row]);
    assert_eq!(told(&world.look()), [(MessageKind::Recovered, OPS), (MessageKind::Recovered, OWNER)]);
    assert_eq!(status_of(&world, "1"), Status::Unverifiable);
}
