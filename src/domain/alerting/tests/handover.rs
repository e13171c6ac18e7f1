//! Owners, fallback and operators that change while an incident is open.

use super::*;

/// Replaces the contacts of the source and of all its sessions.
fn set_contacts(world: &mut World, fallback: &[&str], operators: &[&str]) {
    let contacts = contacts(world, fallback, operators);
    for session in world.plan.sessions.values_mut() {
        session.contacts = Arc::clone(&contacts);
    }
    world.plan.contacts = contacts;
}

#[test]
fn new_fallback_and_operators_are_notified_once_at_the_next_evaluation() {
    let mut world = world(&[OPS], &[]);
    world.poll();
    world.tick("1", "export", true);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    set_contacts(&mut world, &[NEW], &[RUN]);
    let handover = world.alert().notifications;
    assert_eq!(notified(&handover), [(NotificationKind::Drift, NEW), (NotificationKind::Drift, RUN)]);
    assert!(handover.iter().all(|notified| notified.items[0].change() == Some(Change::Handover)));
    assert!(world.alert().is_empty() && world.poll().is_empty());
    world.tick("1", "export", false);
    let ends = [NEW, OPS, OWNER, RUN].map(|to| (NotificationKind::Resolved, to));
    assert_eq!(notified(&world.poll()), ends, "each that was notified of the beginning");
}

#[test]
fn new_operators_are_notified_of_an_unreachable_source_and_the_former_of_its_end() {
    let mut world = world(&[], &[OPS]);
    world.poll();
    let outage = (0..70).flat_map(|_| world.fail()).collect::<Vec<_>>();
    assert_eq!(notified(&outage), [(NotificationKind::Unreachable, OPS)]);
    set_contacts(&mut world, &[], &[RUN]);
    assert_eq!(notified(&world.alert().notifications), [(NotificationKind::Unreachable, RUN)]);
    assert!(world.alert().is_empty());
    let ends = [OPS, RUN].map(|to| (NotificationKind::Recovered, to));
    assert_eq!(notified(&world.poll()), ends, "and not the owner, who was not notified of the beginning");
}

#[test]
fn a_new_owner_is_notified_of_an_open_incident_once_and_a_former_owner_of_its_end() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "customer_validation_1", false);
    let opened = world.poll();
    assert_eq!(notified(&opened), [(NotificationKind::Drift, OWNER)]);
    world.plan.sessions.get_mut(&id("1")).unwrap().owners = vec![address(NEW)];
    let handover = world.alert().notifications;
    assert_eq!(notified(&handover), [(NotificationKind::Drift, NEW)]);
    assert_eq!(handover[0].items[0].change(), Some(Change::Handover));
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    world.tick("1", "customer_validation_2", false);
    assert_eq!(
        notified(&world.poll()),
        [(NotificationKind::Update, NEW)],
        "a former owner is notified of the end only"
    );
    world.tick("1", "customer_validation_1", true);
    world.tick("1", "customer_validation_2", true);
    let over = world.poll();
    assert_eq!(notified(&over), [(NotificationKind::Resolved, NEW), (NotificationKind::Resolved, OWNER)]);
    assert_eq!(over[0].openings[0].notification, handover[0].id);
    assert_eq!(over[1].openings[0].notification, opened[0].id);
}

#[test]
fn an_end_is_not_notified_where_the_beginning_was_not() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert!(world.poll().is_empty());
    world.plan.alerts.min_severity = Severity::Info;
    world.tick("1", "customer_validation_1", true);
    assert!(world.poll().is_empty());
}

#[test]
fn a_former_fallback_is_notified_of_the_end_of_a_critical_drift_that_is_a_warning_now() {
    let mut world = World::new();
    world.tick("1", "export", true);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let contacts = contacts(&world, &[NEW], &[]);
    let session = world.plan.sessions.get_mut(&id("1")).unwrap();
    session.contacts = contacts;
    let mut rules = session.policy.rules().to_vec();
    Arc::make_mut(&mut rules[0]).severity = Severity::Warning;
    session.policy = Arc::new(Policy::new(session.policy.name.clone(), rules));
    world.state.plan_changed();
    assert!(notified(&world.poll()).iter().all(|(_, to)| *to == NEW), "until the next poll it was critical still");
    world.tick("1", "export", false);
    let over = notified(&world.poll()).into_iter().map(|(kind, to)| format!("{kind} {to}")).collect::<Vec<_>>();
    assert!(over.contains(&format!("resolved {OPS}")) && over.contains(&format!("resolved {OWNER}")), "{over:?}");
}
