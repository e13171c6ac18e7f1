//! Sessions and sources that the configuration no longer audits, with open incidents.

use super::*;
use crate::domain::incident::End;
use crate::domain::reconcile::take_up;

/// A world with a warning open in session 1, of which the owner alone was notified.
fn with_open_warning() -> World {
    let mut world = world(&[OPS], &[RUN]);
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OWNER)]);
    world
}

#[test]
fn a_removed_session_with_an_open_incident_is_notified_to_its_recipients_and_to_the_operators() {
    let mut world = with_open_warning();
    world.plan.sessions.remove(&id("1"));
    let removed = world.retire();
    assert_eq!(notified(&removed), [(NotificationKind::Unaudited, OWNER), (NotificationKind::Unaudited, RUN)]);
    assert_eq!(removed[0].items[0].change(), Some(Change::Ended(End::Removed)));
    let About::Removed(session) = &removed[1].items[0].about else { panic!("{:?}", removed[1]) };
    assert_eq!((session.session.as_str(), session.name.as_deref()), ("1", Some("shop 1")));
    assert_eq!(session.wrong.len(), 1);
    assert!(removed.iter().all(|notified| notified.wrong().is_empty()));
    assert!(world.alert().is_empty() && world.retire().is_empty() && world.poll().is_empty());
    assert_eq!((world.state.record.audited, world.state.record.unaudited), (1, 1));
}

#[test]
fn an_operator_who_was_notified_of_the_incident_gets_one_notification_of_the_removed_session() {
    let mut world = world(&[OPS], &[RUN]);
    world.poll();
    world.tick("1", "export", true);
    world.poll();
    world.plan.sessions.remove(&id("1"));
    let removed = world.retire();
    assert_eq!(notified(&removed), [OPS, OWNER, RUN].map(|to| (NotificationKind::Unaudited, to)));
    assert!(removed.iter().all(|notified| notified.items.len() == 1));
}

#[test]
fn a_removed_session_without_an_open_incident_is_notified_to_no_recipient() {
    let mut world = world(&[OPS], &[RUN]);
    world.poll();
    world.plan.sessions.remove(&id("1"));
    assert!(world.retire().is_empty());
}

/// What alerting makes of the end of `world`'s source, where only another one is left, which NEW operates.
fn without_its_source(world: &mut World, recipients: &[(Address, Role)]) -> Vec<(NotificationKind, String)> {
    let mut delta = take_up(None, &world.state, world.now);
    let again = take_up(None, &world.state, world.now + TimeDelta::minutes(1));
    assert_eq!(delta.announcements[0].id(), again.announcements[0].id(), "a second attempt announces the same");
    let [Announcement::Removed(removed)] = delta.announcements.as_mut_slice() else { panic!("{delta:?}") };
    removed.recipients = recipients.to_vec();
    world.commit(delta);
    let mut other = world.plan.clone();
    (other.name, other.contacts) = (name("other"), contacts(world, &[NEW], &[NEW]));
    let plans = Plans::from([(other.name.clone(), other)]);
    let evaluation = evaluate(&plans, &name("email"), &mut world.known, world.now);
    world.known.apply(&evaluation);
    assert!(evaluate(&plans, &name("email"), &mut world.known, world.now).is_empty());
    notified(&evaluation.notifications).into_iter().map(|(kind, to)| (kind, to.to_owned())).collect()
}

#[test]
fn a_removed_source_is_notified_to_its_own_recipients_and_to_no_operator_of_another_one() {
    let unaudited =
        |to: &[&str]| to.iter().map(|to| (NotificationKind::Unaudited, String::from(*to))).collect::<Vec<_>>();
    let mut world = with_open_warning();
    let kept = recipients::of_removed(&world.plan, &id("1"));
    assert_eq!(without_its_source(&mut world, &kept), unaudited(&[OWNER, RUN]));
    assert_eq!(without_its_source(&mut with_open_warning(), &[]), unaudited(&[OWNER]), "nothing is known of it");
}

#[test]
fn a_removed_session_goes_to_the_operators_or_else_the_fallback_or_else_its_own_owners() {
    let own = "own@acme.example";
    for (fallback, operators, expected) in [
        (&[OPS][..], &[RUN][..], (RUN, Role::Operator)),
        (&[OPS], &[], (OPS, Role::Fallback)),
        (&[], &[], (own, Role::Owner)),
    ] {
        let mut world = world(fallback, operators);
        world.plan.sessions.get_mut(&id("1")).unwrap().owners = vec![address(own)];
        let (to, role) = expected;
        assert_eq!(recipients::of_removed(&world.plan, &id("1")), [(address(to), role)]);
    }
}
