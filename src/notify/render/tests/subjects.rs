//! Subjects and first sentences of notifications about several incidents of a session.

use super::*;

/// The notification with another open incident of the same session beside it.
fn beside(mut message: Notification, label: &str, stops_orders: bool) -> Notification {
    let mut other = message.items[0].incident().unwrap().clone();
    other.id = uuid::Uuid::from_u128(7);
    other.phase = Phase::Open { since: at(), good: 0 };
    (other.facts.label, other.facts.stops_orders) = (label.to_owned(), stops_orders);
    message.still.push(Arc::new(other));
    message
}

#[test]
fn a_partial_repair_never_reads_as_all_clear() {
    let mut repaired = with_end(End::Repaired);
    incident(&mut repaired).facts.label = "Export".to_owned();
    let partial = beside(beside(repaired, "Active", true), "Tax code", false);
    let Rendered { subject, text, .. } = render(&partial).unwrap();
    assert_eq!(subject, "acme-uk.myshopify.com: orders may have stopped (Active), 1 more change");
    let lead = "acme-uk.myshopify.com: Put right: Export. Still wrong: Active (orders may have stopped), Tax code.";
    assert_eq!(text.lines().next(), Some(lead));
    insta::assert_snapshot!("text-partial-repair", format!("Subject: {subject}\n\n{text}"));
}

#[test]
fn a_further_drift_counts_what_was_wrong_before() {
    let both = beside(message(NotificationKind::Drift), "Export", false);
    let Rendered { subject, text, .. } = render(&both).unwrap();
    assert_eq!(subject, "acme-uk.myshopify.com: orders may have stopped, 1 more change");
    let lead = "acme-uk.myshopify.com: Wrong: Transfer Type (orders may have stopped). Still wrong: Export.";
    assert_eq!(text.lines().next(), Some(lead));
    assert!(text.contains("\nStill wrong: Export\n"), "{text}");
}

#[test]
fn a_follow_up_carries_the_subject_of_its_opening_only_while_that_is_still_true() {
    let reminder = message(NotificationKind::Reminder);
    let opening = reminder.openings[0].subject.clone();
    assert_eq!(render(&reminder).unwrap().subject, format!("Re: {opening}"));
    let more = render(&beside(reminder, "Export", false)).unwrap().subject;
    assert!(!more.starts_with("Re: "), "{more}");
    let over = render(&message(NotificationKind::Resolved)).unwrap().subject;
    assert_eq!(over, "acme-uk.myshopify.com: Transfer Type was put right");
}

#[test]
fn a_subject_fits_into_70_characters_whatever_it_names() {
    for kind in NotificationKind::ALL {
        for name in ["x".repeat(300), "語".repeat(300), String::new()] {
            let mut message = message(kind);
            if message.items.first().is_some_and(|item| item.incident().is_some()) {
                let facts = &mut incident(&mut message).facts;
                (facts.name, facts.label) = (Some(name.clone()), name);
            }
            let subject = render(&message).unwrap().subject;
            assert!(subject.chars().count() <= 70, "{subject}");
        }
    }
}

#[test]
fn the_end_of_several_alerts_claims_no_setting_that_was_put_right() {
    use crate::domain::incident::IncidentKey;
    for (kind, subject) in [
        (NotificationKind::Missing, "acme-erp: 2 sessions are back"),
        (NotificationKind::Unverifiable, "acme-erp: 2 sessions are being checked again"),
    ] {
        let mut message = message(kind);
        set(&mut message, Change::Ended(End::VisibleAgain));
        incident(&mut message).phase = Phase::Ended { at: at(), end: End::VisibleAgain };
        let mut other = message.items[0].clone();
        let About::Incident { incident, .. } = &mut other.about else { unreachable!() };
        let incident = Arc::make_mut(incident);
        incident.id = uuid::Uuid::from_u128(8);
        let (IncidentKey::Missing { session } | IncidentKey::Unverifiable { session }) = &mut incident.key else {
            unreachable!()
        };
        *session = SessionId::parse("15").unwrap();
        message.items.push(other);
        assert_eq!(render(&message).unwrap().subject, subject);
    }
}

#[test]
fn a_source_is_not_counted_as_a_session() {
    let mut message = message(NotificationKind::Unverifiable);
    message.items.extend(super::message(NotificationKind::Unreachable).items);
    let subject = render(&message).unwrap().subject;
    assert!(subject.ends_with(": 1 source and 1 session could not be checked"), "{subject}");
}

/// The notification as the owner of session 14 gets it after a long time.
fn blind(kind: NotificationKind) -> Notification {
    let mut blind = message(kind);
    blind.items[0].role = crate::domain::notification::Role::Owner;
    let About::Incident { blind: sessions, .. } = &mut blind.items[0].about else { unreachable!() };
    let key = crate::domain::session::SessionKey::parse("acme-erp/14").unwrap();
    let name = Some("acme-uk.myshopify.com".to_owned());
    *sessions = Some(vec![crate::domain::notification::BlindSession { key, name }]);
    blind
}

#[test]
fn an_owner_reads_which_settings_could_not_be_checked_where_others_were() {
    let Rendered { subject, text, .. } = render(&blind(NotificationKind::Unverifiable)).unwrap();
    assert_eq!(subject, "acme-uk.myshopify.com: 2 settings could not be checked");
    let lead = "2 settings of acme-uk.myshopify.com have not been checked since Mon 23 Nov 2026 08:10 GMT. A change to them \
                would go unnoticed.";
    assert_eq!(text.lines().next(), Some(lead));
    assert!(text.contains("  - Export: the source did not return it\n"), "{text}");
}

#[test]
fn an_owner_of_a_session_that_could_not_be_checked_reads_plain_words() {
    let Rendered { subject, text, .. } = render(&blind(NotificationKind::Unreachable)).unwrap();
    assert_eq!(subject, "acme-uk.myshopify.com could not be checked for some time");
    assert!(!text.contains("401") && !text.contains("sign-in"), "{text}");
    insta::assert_snapshot!("text-blind", format!("Subject: {subject}\n\n{text}"));
}
