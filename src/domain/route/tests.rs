//! Who is told of an end, what is counted instead of told, and what a subject may not hide.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::incident::IncidentKind;
use crate::domain::notification::NotificationKind;
use crate::domain::plan::Due;
use crate::domain::policy::{Policy, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;
use crate::domain::session::Contacts;
use crate::domain::snapshot::Snapshot;
use crate::domain::world::{World, address, id, told};

const OWNER: &str = "owner@acme.example";
const OPS: &str = "ops@integrator.example";
const NEW: &str = "new@acme.example";

fn contacts(world: &World, fallback: &str) -> Arc<Contacts> {
    Arc::new(Contacts { fallback: vec![address(fallback)], ..(*world.plan.contacts).clone() })
}

#[test]
fn a_former_owner_who_was_told_that_it_began_is_told_that_it_is_over() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "customer_validation_1", false);
    let opened = world.poll();
    assert_eq!(told(&opened), [(NotificationKind::Drift, OWNER)]);
    world.plan.sessions.get_mut(&id("1")).unwrap().owners = vec![address(NEW)];
    world.state.plan_changed();
    world.tick("1", "customer_validation_1", true);
    let over = world.poll();
    assert_eq!(told(&over), [(NotificationKind::Resolved, NEW), (NotificationKind::Resolved, OWNER)]);
    assert_eq!(over[0].in_reply_to, None, "who never heard of it gets no answer to a mail of somebody else");
    assert_eq!(over[1].in_reply_to.as_ref(), Some(&opened[0].message_id));
}

#[test]
fn a_former_fallback_is_told_that_a_source_can_be_read_again() {
    let mut world = World::new();
    world.plan.alerts.unreachable_after = Duration::ZERO;
    world.poll();
    let opened = world.fail();
    assert_eq!(told(&opened), [(NotificationKind::Unreachable, OPS)]);
    world.plan.contacts = contacts(&world, NEW);
    let over = world.poll();
    assert_eq!(told(&over), [(NotificationKind::Recovered, NEW), (NotificationKind::Recovered, OPS)]);
    assert_eq!(over[1].in_reply_to.as_ref(), Some(&opened[0].message_id));
}

#[test]
fn a_former_fallback_is_told_that_a_critical_drift_is_over_also_where_it_matters_less_now() {
    let mut world = World::new();
    world.tick("1", "export", true);
    assert_eq!(told(&world.poll()), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let contacts = contacts(&world, NEW);
    let session = world.plan.sessions.get_mut(&id("1")).unwrap();
    session.contacts = contacts;
    let mut rules = session.policy.rules().to_vec();
    Arc::make_mut(&mut rules[0]).severity = Severity::Warning;
    session.policy = Arc::new(Policy::new(session.policy.name.clone(), rules));
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    world.tick("1", "export", false);
    assert_eq!(told(&world.poll()), [(NotificationKind::Resolved, OPS), (NotificationKind::Resolved, OWNER)]);
}

#[test]
fn what_cannot_be_read_and_matters_too_little_is_counted_once_for_each_opening() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.plan.alerts.unreachable_after = Duration::ZERO;
    world.poll();
    let counted = |world: &mut World| {
        let snapshot = Snapshot::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
        let decision = world.decide(&PollOutcome::Snapshot(snapshot), &Due::All);
        assert!(decision.messages.is_empty(), "{:?}", decision.messages);
        world.state.apply(decision.delta);
        decision.below_severity
    };
    for _ in 0..2 {
        world.set("1", "customer_validation_1", &RawValue::text("perhaps"));
        assert_eq!([counted(&mut world), counted(&mut world)], [1, 0]);
        assert_eq!(world.state.sessions[&id("1")].open(IncidentKind::Unverifiable).count(), 1);
        world.tick("1", "customer_validation_1", true);
        assert_eq!(counted(&mut world), 0);
    }
    world.plan.alerts.min_severity = Severity::Warning;
    world.set("1", "customer_validation_1", &RawValue::text("perhaps"));
    assert_eq!(told(&world.poll()), [(NotificationKind::Unverifiable, OWNER)]);
}

/// The fallback is reminded of a critical drift, while so many sessions appear that nobody audits.
fn reminded_while_appear(unaudited: usize) -> String {
    let mut world = World::new();
    world.plan.alerts.remind_every = Some(Duration::from_mins(2));
    world.tick("1", "export", true);
    world.poll();
    assert!(world.poll().is_empty());
    let rows = (0..unaudited).map(|n| (format!("9{n}"), vec![(String::from("name"), RawValue::text("cloned"))]));
    world.rows.extend(rows);
    let messages = world.poll();
    assert_eq!(told(&messages), [(NotificationKind::Reminder, OPS), (NotificationKind::Reminder, OWNER)]);
    messages[0].subject.clone()
}

#[test]
fn what_is_known_does_not_hide_a_session_that_nobody_checks() {
    assert!(reminded_while_appear(0).starts_with("Re: "));
    let one = "A session that nobody checks has appeared. Reminder: shop 1: 1 key is still not as it should be";
    assert_eq!(reminded_while_appear(1), one);
    let two = "Sessions that nobody checks have appeared. Reminder: shop 1: 1 key is still not as it should be";
    assert_eq!(reminded_while_appear(2), two);
    let mut world = World::new();
    world.tick("1", "export", true);
    world.poll();
    world.tick("1", "export", false);
    world.rows.push((String::from("9"), Vec::new()));
    let messages = world.poll();
    assert_eq!(told(&messages), [(NotificationKind::Resolved, OPS), (NotificationKind::Resolved, OWNER)]);
    let both = "A session that nobody checks has appeared. shop 1: 1 setting is as it should be again";
    assert_eq!(messages[0].subject, both);
    assert!(messages[1].subject.starts_with("Re: "));
}
