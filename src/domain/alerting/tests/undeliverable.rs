//! The recipients of notifications about an address that refuses mail: two customers and the people who run Driftwise.

use super::*;
use crate::domain::delivery::{LostNotification, LostNotifications, NotifiedRecipient, UndeliverableAddress};
use crate::domain::notification::Opening;

const OPERATOR: &str = "ops@integrator.example";

/// Sources `acme` and `bravo`, each of a customer with an owner and a fallback of its own. Acme names no operators.
fn plans() -> Plans {
    let plan = |source: &str, operators: &[&str]| {
        let contacts = Arc::new(Contacts {
            fallback: vec![address(&format!("it@{source}.example"))],
            operators: operators.iter().map(|to| address(to)).collect(),
            ..Contacts::clone(&crate::domain::world::contacts())
        });
        let mut session = crate::domain::world::session("1", Vec::new());
        session.key.source = name(source);
        session.owners = vec![address(&format!("shop@{source}.example"))];
        Arc::make_mut(&mut session.params)
            .insert("notification_email".to_owned(), vec![format!("Orders@{source}.example")]);
        session.contacts = Arc::clone(&contacts);
        crate::domain::world::plan(source, contacts, [session])
    };
    [plan("acme", &[]), plan("bravo", &[OPERATOR])].map(|plan| (plan.name.clone(), plan)).into()
}

fn refusing(to: &str) -> UndeliverableAddress {
    UndeliverableAddress {
        id: UndeliverableAddress::id_of("email", &address(to), Uuid::nil()),
        address: address(to),
        since: start(),
        last_error: "no such user".to_owned(),
        lost: LostNotifications { count: 1, ..LostNotifications::default() },
        accepted_at: None,
        notified: Vec::new(),
    }
}

fn notified_of(found: UndeliverableAddress, to: &str) -> UndeliverableAddress {
    let opening = Opening { notification: Uuid::from_u128(7), subject: "refused".to_owned() };
    UndeliverableAddress {
        notified: vec![NotifiedRecipient { to: address(to), role: Role::Operator, opening }],
        ..found
    }
}

fn derived(addresses: Vec<UndeliverableAddress>) -> Evaluation {
    let mut known = WorkingSet::default();
    known.set_undeliverable(addresses);
    evaluate(&plans(), &name("email"), &mut known, start())
}

/// Kind, recipient and addresses of each notification.
fn sent(addresses: Vec<UndeliverableAddress>) -> Vec<(NotificationKind, String, usize)> {
    let notifications = derived(addresses).notifications;
    notifications.iter().map(|n| (n.kind, n.to.to_string(), n.items.len())).collect()
}

#[test]
fn operators_or_else_the_fallback_of_those_who_use_the_address_are_notified_and_no_other_customer() {
    let once = |to: &str| vec![(NotificationKind::Undeliverable, to.to_owned(), 1)];
    for (refused, expected) in [
        ("shop@bravo.example", once(OPERATOR)),
        ("shop@acme.example", once("it@acme.example")),
        // The expected notification address, in another case.
        ("orders@ACME.example", once("it@acme.example")),
        ("it@bravo.example", once(OPERATOR)),
        // Its own customer has no other recipient, so the operators of the other source are notified.
        ("it@acme.example", once(OPERATOR)),
        (OPERATOR, once("it@bravo.example")),
    ] {
        assert_eq!(sent(vec![refusing(refused)]), expected, "{refused}");
    }
}

#[test]
fn a_lost_notification_about_a_session_concerns_its_operators_whatever_its_recipient() {
    let mut found = refusing("shop@acme.example");
    found.lost.sessions = vec!["bravo/1".to_owned()];
    let both = ["it@acme.example", OPERATOR].map(|to| (NotificationKind::Undeliverable, to.to_owned(), 1));
    assert_eq!(sent(vec![found]), both);
}

#[test]
fn addresses_that_refuse_mail_are_notified_together_and_to_none_of_them() {
    let all = ["shop@bravo.example", "it@bravo.example"];
    assert_eq!(sent(all.map(refusing).into()), [(NotificationKind::Undeliverable, OPERATOR.to_owned(), 2)]);
    let none = ["shop@bravo.example", "it@bravo.example", OPERATOR];
    let evaluation = derived(none.map(refusing).into());
    assert!(evaluation.notifications.is_empty());
    assert_eq!(evaluation.addresses_unheard.len(), 3, "for the log");
    assert!(evaluation.is_empty(), "and nothing to commit");
}

#[test]
fn who_was_notified_is_not_notified_again_and_hears_of_the_end() {
    let current = notified_of(refusing("shop@bravo.example"), OPERATOR);
    assert!(derived(vec![current.clone()]).is_empty());
    let accepted = UndeliverableAddress { accepted_at: Some(start()), ..current };
    let evaluation = derived(vec![accepted.clone()]);
    assert_eq!(notified(&evaluation.notifications), [(NotificationKind::Recovered, OPERATOR)]);
    assert_eq!(evaluation.notifications[0].openings[0].notification, Uuid::from_u128(7), "in its thread");
    assert_eq!(evaluation.addresses_ended, [accepted.id]);
    // Accepted before a recipient was notified.
    let unheard = UndeliverableAddress { notified: Vec::new(), ..accepted };
    assert_eq!((sent(vec![unheard.clone()]), derived(vec![unheard]).addresses_ended.len()), (Vec::new(), 1));
}

#[test]
fn an_address_that_is_no_longer_configured_has_ended_and_its_lost_notifications_are_reported_all_the_same() {
    let mut gone = refusing("left@acme.example");
    gone.lost.sessions = vec!["acme/1".to_owned()];
    let evaluation = derived(vec![gone.clone()]);
    assert_eq!(notified(&evaluation.notifications), [(NotificationKind::Undeliverable, "it@acme.example")]);
    assert_eq!(evaluation.addresses_ended, [gone.id]);
    let evaluation = derived(vec![notified_of(gone, "it@acme.example")]);
    assert_eq!(notified(&evaluation.notifications), [(NotificationKind::Recovered, "it@acme.example")]);
}

#[test]
fn a_notification_is_as_urgent_as_the_worst_that_was_lost_and_derived_twice_it_has_the_same_id() {
    let mut found = refusing("shop@bravo.example");
    let ids = |found: &UndeliverableAddress| derived(vec![found.clone()]).notifications[0].id;
    let first = derived(vec![found.clone()]).notifications;
    assert_eq!(first[0].severity(), Severity::Warning);
    assert!(!first[0].is_follow_up(), "a later one does not replace it");
    let worst = LostNotification { number: 3, severity: Severity::Critical, subject: "orders".to_owned() };
    found.lost = LostNotifications { count: 9, worst: Some(worst), ..LostNotifications::default() };
    assert_eq!(derived(vec![found.clone()]).notifications[0].severity(), Severity::Critical);
    assert_eq!(ids(&found), first[0].id, "what was lost meanwhile changes the text, not the id");
}
