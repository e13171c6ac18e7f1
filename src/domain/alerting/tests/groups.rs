//! Grouping over two sources.

use super::*;

#[test]
fn incidents_that_waited_are_grouped_over_sources_and_those_that_leave_at_once_are_not() {
    let (plans, mut known) = two_sources(&unreachable());
    for source in ["erp", "other"] {
        let drift = Incident {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, source.as_bytes()),
            source: name(source),
            ..drift(Severity::Warning)
        };
        known.note(&crate::domain::state::Delta { incidents: vec![drift], ..crate::domain::state::Delta::default() });
    }
    let evaluation = evaluate(&plans, &name("email"), &mut known, start() + TimeDelta::hours(2));
    let shape =
        evaluation.notifications.iter().map(|notified| (notified.kind, notified.items.len())).collect::<Vec<_>>();
    let drift = (NotificationKind::Drift, 1);
    assert_eq!(shape, [drift, drift, (NotificationKind::Unreachable, 2)]);
}

/// A working set with one incident of each of two sources, and the plans of both.
fn two_sources(incident: &Incident) -> (Plans, WorkingSet) {
    let (world, mut known) = (World::new(), WorkingSet::default());
    let mut plans = Plans::new();
    for source in ["erp", "other"] {
        let mut plan = world.plan.clone();
        plan.name = name(source);
        plans.insert(plan.name.clone(), plan);
        let id = Uuid::new_v5(&incident.id, source.as_bytes());
        let incident = Incident { id, source: name(source), failed_polls: 2, ..incident.clone() };
        let mut delta = crate::domain::state::Delta::default();
        match incident.key.session() {
            Some(_) => delta.incidents.push(incident),
            None => delta.unreachable = Some(incident),
        }
        known.note(&delta);
    }
    (plans, known)
}

#[test]
fn reminders_of_all_sources_are_one_notification() {
    let (plans, mut known) = two_sources(&drift(Severity::Warning));
    let opened = evaluate(&plans, &name("email"), &mut known, start());
    assert_eq!(opened.notifications.len(), 2);
    known.apply(&opened);
    let reminded = evaluate(&plans, &name("email"), &mut known, opened.next.unwrap());
    let shape = reminded.notifications.iter().map(|notified| (notified.kind, notified.items.len())).collect::<Vec<_>>();
    assert_eq!(shape, [(NotificationKind::Reminder, 2)]);
}

#[test]
fn a_clock_set_back_in_a_grace_period_restarts_it() {
    let (plans, mut known) = two_sources(&unreachable());
    let channel = name("email");
    let back = start() - TimeDelta::days(30);
    let next = evaluate(&plans, &channel, &mut known, back).next;
    assert_eq!(next, Some(back + TimeDelta::hours(1)), "and not a month and an hour");
    assert!(evaluate(&plans, &channel, &mut known, back + TimeDelta::minutes(59)).notifications.is_empty());
    assert_eq!(evaluate(&plans, &channel, &mut known, back + TimeDelta::hours(1)).notifications.len(), 1);
}

#[test]
fn a_notification_names_the_customer_and_contact_that_all_its_sources_share() {
    for (other, shared) in [("acme", true), ("brewco", false)] {
        let (mut plans, mut known) = two_sources(&unreachable());
        for (source, customer) in [("erp", "acme"), ("other", other)] {
            let plan = plans.get_mut(&name(source)).unwrap();
            let contact = Some(format!("contact of {customer}"));
            plan.contacts =
                Arc::new(Contacts { customer: Some(name(customer)), contact, ..Contacts::clone(&plan.contacts) });
        }
        let evaluation = evaluate(&plans, &name("email"), &mut known, start() + TimeDelta::hours(2));
        let [notification] = evaluation.notifications.as_slice() else { panic!("one for both sources") };
        assert_eq!(notification.items.len(), 2);
        assert_eq!(notification.customer, shared.then(|| name("acme")));
        assert_eq!(notification.contact.is_some(), shared);
    }
}
