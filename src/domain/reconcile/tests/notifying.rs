//! Which recipients are notified, of what, and when again.

use super::*;
use crate::domain::notification::Item;

#[test]
fn a_drift_below_min_severity_is_shown_and_not_notified() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert!(world.poll().is_empty());
    assert_eq!(status_of(&world, "1"), Status::Drifted);
    world.tick("1", "customer_validation_1", true);
    assert!(world.poll().is_empty(), "without a notification of the beginning there is none of the end");
    world.tick("1", "export", true);
    assert_eq!(world.poll().len(), 2);
}

#[test]
fn a_reminder_comes_after_its_time_and_no_sooner() {
    let mut world = World::new();
    world.plan.alerts.remind_every = Some(Duration::from_mins(10));
    world.tick("1", "export", true);
    world.poll();
    for _ in 0..9 {
        assert!(world.poll().is_empty());
    }
    assert_eq!(notified(&world.poll()), [(NotificationKind::Reminder, OPS), (NotificationKind::Reminder, OWNER)]);
    assert!(world.poll().is_empty());
}

#[test]
fn a_session_that_nobody_audits_is_announced_once_unless_it_was_there_from_the_start() {
    let mut world = World::new();
    world.rows.push((String::from("8"), Vec::new()));
    assert!(world.poll().is_empty());
    assert_eq!(world.state.record.unaudited, 1);
    world.rows.push((String::from("9"), vec![(String::from("name"), RawValue::text("cloned"))]));
    let found = world.poll();
    assert_eq!(notified(&found), [(NotificationKind::Unaudited, OPS)]);
    assert_eq!(world.state.record.unaudited, 2);
    assert!(world.poll().is_empty());
}

#[test]
fn an_alert_about_the_notification_address_goes_to_the_expected_one_never_to_the_one_found() {
    let mut world = World::new();
    let mut changed = session("1", rules());
    changed.owners = vec![address("boss@acme.example")];
    world.plan.sessions.insert(id("1"), changed);
    world.poll();
    world.set("1", "notification_email", &RawValue::text("thief@evil.example"));
    let messages = world.poll();
    let to = notified(&messages).into_iter().map(|(_, to)| to).collect::<Vec<_>>();
    assert_eq!(to, ["boss@acme.example", OPS, OWNER]);
}

#[test]
fn many_findings_of_one_audit_for_one_recipient_are_one_notification_most_severe_first() {
    let mut world = World::new();
    world.poll();
    for session in ["1", "2"] {
        world.tick(session, "customer_validation_1", false);
        world.tick(session, "export", true);
    }
    let messages = world.poll();
    assert_eq!(notified(&messages), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let severities = messages[1].items.iter().map(Item::severity).collect::<Vec<_>>();
    assert_eq!(severities, [Severity::Critical, Severity::Critical, Severity::Warning, Severity::Warning]);
    assert_eq!(messages[0].items.len(), 2, "the fallback hears of what is critical only");
}

#[test]
fn a_follow_up_refers_to_the_first_notification_of_each_of_its_incidents() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "export", true);
    let first = world.poll();
    world.tick("2", "export", true);
    let second = world.poll();
    world.tick("1", "export", false);
    world.tick("2", "export", false);
    let both = world.poll();
    let openings = both[0].openings.iter().map(|opening| opening.notification).collect::<Vec<_>>();
    assert_eq!(openings, [first[0].id, second[0].id]);
}
