//! Mails whose words depend on whether the reader can act on the configuration.

use super::*;

#[test]
fn operators_read_technical_words_and_others_whom_to_tell() {
    for sample in [
        Sample::Of(NotificationKind::SourceChanged),
        Sample::SessionsChanged,
        Sample::ColumnsForgotten,
        Sample::SessionRemoved,
        Sample::Of(NotificationKind::Undeliverable),
    ] {
        let text = |role| {
            let mut notification = example(sample, &Address::parse("it@acme.example").unwrap(), at()).unwrap();
            for item in &mut notification.items {
                item.role = role;
            }
            render(&notification).unwrap().text
        };
        let (operator, owner) = (text(Role::Operator), text(Role::Owner));
        insta::assert_snapshot!(format!("operator-{}", sample.label()), operator);
        let jargon = ["definition of Driftwise", "configuration of Driftwise", "driftwise notifications", "_after"];
        let found = jargon.iter().filter(|words| owner.contains(**words)).collect::<Vec<_>>();
        assert!(found.is_empty(), "{found:?} in {owner}");
        assert!(owner.contains("ell Integrator support") || owner.contains("ell the people"), "{owner}");
    }
}

#[test]
fn the_end_of_a_changed_source_says_whether_it_is_as_before() {
    for (end, subject, said) in [
        (End::VisibleAgain, "acme-erp is being checked as before", "Being checked as before: acme-erp."),
        (
            End::BaselineChanged,
            "acme-erp: the change is no longer reported",
            "No rule needs the columns that are gone.",
        ),
        (End::TakenAsReal, "acme-erp: sessions are reported one by one", "it counts as real"),
    ] {
        let mut message = message(NotificationKind::SourceChanged);
        let About::Incident { incident, change, .. } = &mut message.items[0].about else { panic!("no incident") };
        Arc::make_mut(incident).phase = Phase::Ended { at: at(), end };
        *change = Change::Ended(end);
        message.kind = message.items[0].kind();
        let rendered = render(&message).unwrap();
        assert_eq!((message.kind, &*rendered.subject), (NotificationKind::Recovered, subject));
        assert!(rendered.text.contains(said), "{}", rendered.text);
    }
}

#[test]
fn a_change_that_may_stop_orders_says_so_first() {
    let mut message = message(NotificationKind::SourceChanged);
    incident(&mut message).facts.stops_orders = true;
    let Rendered { subject, text, .. } = render(&message).unwrap();
    assert_eq!(subject, "acme-erp: orders may have stopped (1 column gone)");
    assert!(text.starts_with("Orders may have stopped: acme-erp changed."), "{text}");
}

#[test]
fn a_change_and_a_forgotten_column_of_one_source_both_stand_in_the_first_sentences() {
    let mut message = message(NotificationKind::SourceChanged);
    let forgotten = example(Sample::ColumnsForgotten, &message.to, at()).unwrap();
    message.items.extend(forgotten.items);
    let text = render(&message).unwrap().text;
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("Column \"transfer_type\" is gone") && first.contains("\"other_option\" is gone"),
        "{first}"
    );
}
