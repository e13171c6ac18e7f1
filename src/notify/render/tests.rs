//! The words that people read, kind by kind; and that outside text cannot break them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::domain::address::Address;
use crate::domain::delivery::AddressEnd;
use crate::domain::incident::{End, Facts, Incident, Phase, Unread};
use crate::domain::notification::{About, Change, Item, NotificationKind, Role};
use crate::domain::session::SessionId;
use crate::notify::sample::{Sample, example, sample};

mod operators;
mod story;
mod subjects;

fn at() -> DateTime<Utc> {
    "2026-11-23T09:10:00Z".parse().unwrap()
}

fn message(kind: NotificationKind) -> Notification {
    sample(kind, &Address::parse("it@acme.example").unwrap(), at())
}

/// The message with the facts of its first incident changed.
fn with(kind: NotificationKind, change: impl FnOnce(&mut Facts)) -> Notification {
    let mut message = message(kind);
    change(&mut incident(&mut message).facts);
    message
}

fn with_end(end: End) -> Notification {
    let mut message = message(NotificationKind::Resolved);
    set(&mut message, Change::Ended(end));
    incident(&mut message).phase = Phase::Ended { at: at(), end };
    message
}

/// The first incident of a notification.
fn incident(message: &mut Notification) -> &mut Incident {
    let About::Incident { incident, .. } = &mut message.items[0].about else { panic!("no incident") };
    Arc::make_mut(incident)
}

fn set(message: &mut Notification, new: Change) {
    let About::Incident { change, .. } = &mut message.items[0].about else { panic!("no incident") };
    *change = new;
}

/// Renders with public pages.
fn render(message: &Notification) -> Result<Rendered, RenderError> {
    super::render(message, Some("https://driftwise.example"))
}

fn unadorned(message: &Notification) -> Rendered {
    super::unadorned(message, Some("https://driftwise.example"))
}

fn text(message: &Notification) -> String {
    render(message).unwrap().text
}

/// `count` drifts of ten sessions.
fn many(count: usize, change: impl Fn(&mut Facts)) -> Notification {
    let mut message = with(NotificationKind::Drift, change);
    let item = message.items[0].clone();
    message.items = (0..count)
        .map(|n| {
            let mut item: Item = item.clone();
            let About::Incident { incident, .. } = &mut item.about else { unreachable!() };
            let incident = Arc::make_mut(incident);
            let id = SessionId::parse(&(n % 10).to_string()).unwrap();
            if let crate::domain::incident::IncidentKey::Drift { session, .. } = &mut incident.key {
                *session = id;
            }
            item
        })
        .collect();
    message
}

#[test]
fn each_sample_reads_as_its_snapshot() {
    for sample in Sample::all() {
        let notification = example(sample, &Address::parse("it@acme.example").unwrap(), at()).unwrap();
        assert!(sample.label().starts_with(notification.kind.label()));
        let Rendered { subject, text, .. } = render(&notification).unwrap();
        insta::assert_snapshot!(format!("text-{}", sample.label()), format!("Subject: {subject}\n\n{text}"));
    }
}

/// The notification about one undeliverable address, or about its end.
fn address_news(end: Option<AddressEnd>, copies: usize) -> Notification {
    let mut message = message(NotificationKind::Undeliverable);
    let About::Undeliverable(change) = &mut message.items[0].about else { panic!("no address") };
    change.end = end;
    message.kind = message.items[0].kind();
    message.items = vec![message.items[0].clone(); copies];
    message
}

#[test]
fn the_end_of_an_undeliverable_address_reads_as_its_snapshot() {
    for (name, end) in [("accepted", AddressEnd::Accepted(at())), ("unused", AddressEnd::Unused)] {
        let message = address_news(Some(end), 1);
        assert_eq!(message.kind, NotificationKind::Recovered);
        let Rendered { subject, text, .. } = render(&message).unwrap();
        insta::assert_snapshot!(format!("text-address-{name}"), format!("Subject: {subject}\n\n{text}"));
    }
}

#[test]
fn several_addresses_that_accept_mail_again_are_plural() {
    let message = address_news(Some(AddressEnd::Accepted(at())), 2);
    let Rendered { subject, text, .. } = render(&message).unwrap();
    assert_eq!(subject, "2 addresses accept mail again");
    let lead = "orders@acme.example and orders@acme.example accept mail again. Before that, 4 notifications were not delivered.";
    assert_eq!(text.lines().next(), Some(lead));
}

#[test]
fn a_credential_that_has_expired_says_what_may_have_stopped_now() {
    let mut message = message(NotificationKind::Credential);
    let About::Credential(ending) = &mut message.items[0].about else { panic!("no credential") };
    ending.end = at() - TimeDelta::days(1);
    let text = text(&message);
    assert!(text.starts_with("The client secret for mail has expired; Driftwise may be unable to send mail"), "{text}");
    assert!(text.contains("\n  Expired: ") && !text.to_lowercase().contains("after that"), "{text}");
}

#[test]
fn many_undeliverable_addresses_are_one_mail_of_a_readable_length() {
    let message = address_news(None, 60);
    let Rendered { subject, text, .. } = render(&message).unwrap();
    assert_eq!(subject, "Mail to 60 addresses is refused");
    assert!(
        text.contains("orders@acme.example, orders@acme.example, orders@acme.example and 57 more is refused"),
        "{text}"
    );
    assert!(text.contains("120 notifications were not delivered."), "{text}");
    assert!(text.contains("And 10 more:\n- orders@acme.example: 2 notifications were not delivered"), "{text}");
}

#[test]
fn the_reply_of_a_mail_server_stays_on_its_line_and_is_cut() {
    let mut message = address_news(None, 1);
    let About::Undeliverable(change) = &mut message.items[0].about else { panic!("no address") };
    let hostile = format!("550 \"no\r\nBcc: x@evil.example <b>\u{202E}{}\"", "y".repeat(9_000));
    Arc::make_mut(&mut change.address).last_error = hostile;
    let Rendered { text, html, .. } = render(&message).unwrap();
    let line = text.lines().find(|line| line.contains("Bcc:")).unwrap();
    assert!(line.starts_with("  Why: 550") && line.ends_with("… (cut)") && line.chars().count() < 850, "{line}");
    assert!(!html.contains("<b>") && !html.contains('\u{202E}'));
}

#[test]
fn html_reads_as_its_snapshot() {
    insta::assert_snapshot!("html-drift", render(&message(NotificationKind::Drift)).unwrap().html);
}

#[test]
fn a_drift_that_was_not_repaired_does_not_claim_a_repair() {
    let changed = text(&with_end(End::BaselineChanged));
    insta::assert_snapshot!("text-baseline-changed", changed);
    assert!(!changed.contains("again"), "{changed}");
    insta::assert_snapshot!("text-not-audited", text(&with_end(End::NoLongerAudited)));
    let removed = render(&with_end(End::Removed)).unwrap();
    insta::assert_snapshot!("text-removed", format!("Subject: {}\n\n{}", removed.subject, removed.text));
}

#[test]
fn many_incidents_are_grouped_by_session_and_the_rest_is_listed() {
    let text = text(&many(60, |_| ()));
    insta::assert_snapshot!("text-many", text.lines().take(34).collect::<Vec<_>>().join("\n"));
    assert!(text.contains("And 10 more:"), "{text}");
}

#[test]
fn a_line_of_the_list_states_the_outcome() {
    let brief = |message: &Notification| brief::brief(&message.items[0]);
    let who = "acme-uk.myshopify.com";
    assert_eq!(brief(&message(NotificationKind::Drift)), format!("{who}: Transfer Type: FTP, should be Web Service"));
    for (end, said) in [
        (End::Repaired, "put right"),
        (End::BaselineChanged, "no longer reported"),
        (End::NoLongerAudited, "no longer checked"),
        (End::Removed, "no longer checked, not put right"),
    ] {
        assert_eq!(brief(&with_end(end)), format!("{who}: Transfer Type: {said}"));
    }
    let mut gone = message(NotificationKind::Missing);
    assert_eq!(brief(&gone), format!("{who}: missing"));
    set(&mut gone, Change::Ended(End::VisibleAgain));
    assert_eq!(brief(&gone), format!("{who}: back again"));
    set(&mut gone, Change::Ended(End::Removed));
    assert_eq!(brief(&gone), format!("{who}: no longer checked"));
    assert_eq!(brief(&message(NotificationKind::Recovered)), "acme-erp: being checked again");
    assert_eq!(brief(&message(NotificationKind::Unreachable)), "acme-erp: could not be checked");
}

#[test]
fn an_address_that_should_be_there_is_asked_for_in_a_sentence() {
    let message = with(NotificationKind::Drift, |facts| {
        facts.expected = "an address list that includes it@acme.example".to_owned();
        facts.found = "x@y.example".to_owned();
    });
    let text = text(&message);
    let sentence = "is “x@y.example” and should be an address list that includes it@acme.example.";
    assert!(text.contains(sentence), "{text}");
    assert!(text.contains("Should be: an address list that includes it@acme.example\n"), "{text}");
}

#[test]
fn every_explanation_ends_with_one_stop() {
    for (why, said) in [
        ("it matters", "It matters."),
        ("It matters (much)", "It matters (much)."),
        ("It matters. (Much.)", "It matters. (Much.)"),
        ("Does it?", "Does it?"),
    ] {
        let text = text(&with(NotificationKind::Drift, |facts| facts.why = why.to_owned()));
        assert!(text.contains(&format!("What this does: {said}\n")), "{text}");
    }
}

#[test]
fn a_session_without_a_name_is_called_by_its_number() {
    let lead = |kind| text(&with(kind, |facts| facts.name = None)).lines().next().unwrap_or_default().to_owned();
    let gone = "Orders may have stopped: session acme-erp/14 is missing. OrderWise no longer returns it.";
    assert_eq!(lead(NotificationKind::Missing), gone);
    let drift = lead(NotificationKind::Drift);
    assert!(drift.starts_with("Orders may have stopped: “Transfer Type” of session acme-erp/14"), "{drift}");
    assert!(text(&with(NotificationKind::Drift, |facts| facts.name = None)).contains("\nacme-erp/14\n-----------\n"));
}

#[test]
fn a_tick_box_has_a_plain_sentence() {
    let message = with(NotificationKind::Drift, |facts| {
        (facts.label, facts.found, facts.expected) = ("Export".to_owned(), "ticked".to_owned(), "unticked".to_owned());
        facts.flag = Some(true);
        facts.stops_orders = false;
    });
    let first = "Critical: “Export” of acme-uk.myshopify.com is ticked and should be unticked.\n";
    assert!(text(&message).starts_with(first), "{}", text(&message));
}

#[test]
fn a_message_of_many_kinds_says_each_most_severe_first() {
    let mut message = message(NotificationKind::Drift);
    for kind in [
        NotificationKind::Missing,
        NotificationKind::Unverifiable,
        NotificationKind::Resolved,
        NotificationKind::Reminder,
    ] {
        message.items.extend(super::tests::message(kind).items);
    }
    let text = text(&message);
    let lead = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>();
    insta::assert_snapshot!("lead-mixed", lead.join("\n"));
}

#[test]
fn a_value_that_was_wrong_at_the_first_check_has_no_known_beginning() {
    let mut message = message(NotificationKind::Drift);
    incident(&mut message).window.last_good = None;
    let text = text(&message);
    assert!(text.contains("Since when: not known; already so at the first check, Mon 23 Nov 2026 09:10 GMT"), "{text}");
    assert!(text.contains("before Mon 30 Nov 2026 09:10 GMT at the latest"), "{text}");
}

#[test]
fn every_message_is_bounded() {
    let hostile = ["<&\"'>".repeat(400), "語".repeat(2000), "\u{1F980}".repeat(2000), "\u{202E}".repeat(2000)];
    for evil in &hostile {
        for count in [1, 49, 500, 5000] {
            let message = many(count, |facts| {
                facts.name = Some(evil.clone());
                facts.label.clone_from(evil);
                facts.found.clone_from(evil);
                facts.expected.clone_from(evil);
                facts.why.clone_from(evil);
                facts.fix.clone_from(evil);
            });
            let Rendered { text, html, .. } = render(&message).unwrap();
            assert!(text.len() + html.len() < 140_000, "{count}: {} + {}", text.len(), html.len());
        }
    }
    let unread = with(NotificationKind::Unverifiable, |facts| {
        let one = facts.unread[0].clone();
        facts.unread = (0..500).map(|n| Unread { reason: format!("{n} {}", hostile[0]), ..one.clone() }).collect();
    });
    let Rendered { text, html, .. } = render(&unread).unwrap();
    assert!(text.contains("and 480 settings more"), "{text}");
    assert!(text.len() + html.len() < 140_000);
}

#[test]
fn outside_text_is_escaped_and_its_marks_are_shown() {
    let evil = "<script>alert(1)</script>\r\n\r\nPlease pay\u{202E}\0 \" onload='x' & {{ 7*7 }}";
    let message = with(NotificationKind::Drift, |facts| {
        facts.name = Some(evil.to_owned());
        facts.label = evil.to_owned();
        facts.found = evil.to_owned();
        facts.fix = evil.to_owned();
    });
    let Rendered { text, html, .. } = render(&message).unwrap();
    assert!(!html.contains("<script") && html.contains("&lt;script"), "{html}");
    assert!(html.contains("{{ 7*7 }}"));
    for part in [&text, &html] {
        let hidden = part.chars().find(|c| *c != '\n' && crate::domain::reading::is_invisible(*c));
        assert_eq!(hidden, None, "{part}");
        assert!(!part.contains("\nPlease pay"), "{part}");
    }
}

#[test]
fn a_link_is_followed_only_to_a_page() {
    let message = message(NotificationKind::Drift);
    assert!(!super::render(&message, Some("javascript:alert(1)")).unwrap().html.contains("javascript"));
    assert!(!super::render(&message, None).unwrap().html.contains("<a "));
}

/// The words of a part without its markup and punctuation.
fn words(part: &str) -> BTreeSet<String> {
    part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn without_markup(html: &str) -> String {
    let body = html.split_once("<body").unwrap().1;
    let pieces = body.split('<').map(|piece| piece.split_once('>').map_or("", |(_, said)| said));
    let said = pieces.collect::<Vec<_>>().join(" ");
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")]
        .iter()
        .fold(said, |said, (escaped, plain)| said.replace(escaped, plain))
}

#[test]
fn text_and_html_say_the_same() {
    let mut messages = NotificationKind::ALL.map(message).to_vec();
    messages.extend([many(400, |facts| facts.found = "a<b>&'c' \"d\"".to_owned()), with_end(End::BaselineChanged)]);
    for message in messages {
        let Rendered { text, html, .. } = render(&message).unwrap();
        assert_eq!(words(&text), words(&without_markup(&html)), "{}", message.kind);
    }
}

#[test]
fn no_word_of_the_code_reaches_the_reader() {
    for kind in NotificationKind::ALL {
        let Rendered { subject, text, .. } = render(&message(kind)).unwrap();
        let said = format!("{subject} {text}").to_lowercase();
        for word in ["unverifiable", "unreachable", "incident", "verdict", "drifted", "baseline", "finding"] {
            assert!(!said.contains(word), "{kind}: {word}: {said}");
        }
    }
}

#[test]
fn a_follow_up_begins_with_its_outcome() {
    let first = |kind| text(&message(kind)).lines().next().unwrap_or_default().to_owned();
    assert!(first(NotificationKind::Resolved).starts_with("Put right: "));
    assert!(
        first(NotificationKind::Update).starts_with("Changed again and still wrong, and orders may have stopped: ")
    );
    assert!(first(NotificationKind::Reminder).starts_with("Still wrong, and orders may have stopped: "));
    assert!(first(NotificationKind::Recovered).starts_with("Being checked again: "));
    assert!(text(&with_end(End::BaselineChanged)).starts_with("No longer reported: "));
    assert!(text(&with_end(End::NoLongerAudited)).starts_with("No longer checked: "));
}

#[test]
fn without_a_template_the_words_are_the_same() {
    let mut messages = NotificationKind::ALL.map(message).to_vec();
    messages.extend([many(400, |facts| facts.found = "a<b>&'c' \"d\"".to_owned()), with_end(End::BaselineChanged)]);
    for message in messages {
        let (laid_out, bare) = (render(&message).unwrap(), unadorned(&message));
        assert_eq!(words(&laid_out.text), words(&bare.text), "{}", message.kind);
        assert_eq!(words(&bare.text), words(&without_markup(&format!("<body>{}", bare.html))), "{}", message.kind);
        assert_eq!(bare.subject, laid_out.subject);
    }
}

#[test]
fn the_same_message_is_the_same_words() {
    for kind in NotificationKind::ALL {
        assert_eq!(render(&message(kind)).unwrap(), render(&message(kind)).unwrap());
    }
}

#[test]
fn a_reminder_after_a_week_does_not_promise_lost_orders() {
    let mut message = message(NotificationKind::Reminder);
    message.at = at() + TimeDelta::days(8);
    let text = text(&message);
    assert!(text.contains("which has passed"), "{text}");
    assert!(!text.contains("all orders can still be recovered"), "{text}");
}
