//! Mail as it is sent: headers, threads, encoding, and the limits on outside text. And the folder that takes files.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use mail_parser::{HeaderValue, MessageParser};

use super::*;
use crate::domain::address::Address;
use crate::domain::announcement::UnauditedSession;
use crate::domain::incident::Incident;
use crate::domain::name::Name;
use crate::domain::notification::{About, Item, NotificationKind, Opening};
use crate::domain::session::SessionId;
use crate::notify::Obstacle;
use crate::notify::sample::sample;

fn at() -> DateTime<Utc> {
    "2026-11-23T09:10:00Z".parse().unwrap()
}

fn to() -> Address {
    Address::parse("it@acme.example").unwrap()
}

fn email(delivery: Delivery) -> Email {
    let from = NamedAddress::parse("Driftwise <driftwise@integrator.example>").unwrap();
    Email::new(Options { from, delivery, public_url: Some("https://driftwise.example".to_owned()) }).unwrap()
}

fn spool() -> Email {
    email(Delivery::Spool(PathBuf::from("unused")))
}

fn message(kind: NotificationKind) -> Notification {
    sample(kind, &to(), at())
}

fn raw(message: &Notification) -> Vec<u8> {
    spool().compose(message).raw
}

fn parse(raw: &[u8]) -> mail_parser::Message<'_> {
    MessageParser::default().parse(raw).unwrap()
}

fn headers<'a>(parsed: &'a mail_parser::Message<'_>, name: &str) -> Vec<&'a str> {
    let named = parsed.headers().iter().filter(|header| header.name().eq_ignore_ascii_case(name));
    named.map(|header| header.value().as_text().unwrap_or("(not text)").trim()).collect()
}

fn incident(message: &mut Notification) -> &mut Incident {
    let About::Incident { incident, .. } = &mut message.items[0].about else { panic!("no incident") };
    Arc::make_mut(incident)
}

fn of_session(item: &Item, id: &str) -> Item {
    let found = UnauditedSession::new(item.source().unwrap(), 1, SessionId::parse(id).unwrap(), None, at());
    Item { about: About::Unaudited(found), ..item.clone() }
}

#[test]
fn a_mail_has_the_headers_of_the_contract() {
    let message = message(NotificationKind::Update);
    let raw = raw(&message);
    let parsed = parse(&raw);
    assert_eq!(parsed.from().unwrap().first().unwrap().address(), Some("driftwise@integrator.example"));
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Driftwise"));
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("it@acme.example"));
    assert_eq!(parsed.reply_to().unwrap().first().unwrap().address(), Some("support@integrator.example"));
    assert_eq!(parsed.subject(), Some("Re: acme-uk.myshopify.com: orders may have stopped (Transfer Type)"));
    assert_eq!(parsed.date().unwrap().to_timestamp(), at().timestamp());
    let id = format!("{}@integrator.example", message.id);
    assert_eq!(parsed.message_id(), Some(id.as_str()));
    assert_eq!(headers(&parsed, "X-Driftwise-Message-ID"), [format!("<{id}>")]);
    let root = format!("incident-{}@integrator.example", message.items[0].id());
    let opening = format!("{}@integrator.example", message.openings[0].notification);
    assert_eq!(parsed.references().as_text_list().unwrap(), [root.as_str(), opening.as_str()]);
    assert_eq!(parsed.in_reply_to().as_text(), Some(opening.as_str()));
    assert_eq!(headers(&parsed, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!(headers(&parsed, "X-Driftwise-Kind"), ["update"]);
    assert_eq!(headers(&parsed, "X-Driftwise-Session"), ["acme-erp/14"]);
    assert_eq!(headers(&parsed, "X-Driftwise-Source"), Vec::<&str>::new());
    assert!(String::from_utf8_lossy(&raw).contains("multipart/alternative"));
}

#[test]
fn both_parts_come_back_as_they_were_written() {
    for kind in NotificationKind::ALL {
        let message = message(kind);
        let rendered = crate::notify::render::render(&message, Some("https://driftwise.example")).unwrap();
        let raw = raw(&message);
        let parsed = parse(&raw);
        let unix = |text: std::borrow::Cow<'_, str>| text.replace("\r\n", "\n").trim_end().to_owned();
        assert_eq!(unix(parsed.body_text(0).unwrap()), rendered.text.trim_end(), "{kind}");
        assert_eq!(unix(parsed.body_html(0).unwrap()), rendered.html.trim_end(), "{kind}");
    }
}

#[test]
fn the_same_message_is_the_same_bytes() {
    for kind in NotificationKind::ALL {
        assert_eq!(raw(&message(kind)), raw(&message(kind)), "{kind}");
    }
}

#[test]
fn an_outage_names_its_source_in_a_header() {
    for (kind, expected) in [
        (NotificationKind::Unreachable, vec!["acme-erp"]),
        (NotificationKind::Recovered, vec!["acme-erp"]),
        (NotificationKind::Drift, Vec::new()),
        (NotificationKind::Unverifiable, Vec::new()),
    ] {
        let raw = raw(&message(kind));
        assert_eq!(headers(&parse(&raw), "X-Driftwise-Source"), expected, "{kind}");
    }
}

#[test]
fn each_session_is_named_once_and_at_most_a_hundred() {
    let mut message = message(NotificationKind::Drift);
    let item = message.items[0].clone();
    message.items = (0..300).map(|n| of_session(&item, &(n / 2).to_string())).collect();
    let raw = raw(&message);
    let parsed = parse(&raw);
    let named = headers(&parsed, "X-Driftwise-Session");
    assert_eq!(named.len(), 100);
    assert_eq!((named[0], named[99]), ("acme-erp/0", "acme-erp/99"));
}

#[test]
fn nothing_from_outside_becomes_a_header() {
    let evil = "x\r\nBcc: thief@evil.example\r\n\r\nbody\n.\r\n\u{0}\u{1b}[31m\u{202E}=?utf-8?q?hidden?=";
    let mut message = message(NotificationKind::Update);
    message.contact = Some(evil.to_owned());
    let facts = &mut incident(&mut message).facts;
    facts.name = Some(evil.to_owned());
    facts.found = evil.to_owned();
    let raw = raw(&message);
    let parsed = parse(&raw);
    assert!(parsed.bcc().is_none());
    let known = [
        "x-driftwise-session",
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "x-driftwise-message-id",
        "auto-submitted",
        "x-driftwise-kind",
        "reply-to",
        "references",
        "in-reply-to",
        "mime-version",
        "content-type",
    ];
    for header in parsed.headers() {
        assert!(known.contains(&header.name().to_lowercase().as_str()), "{}", header.name());
    }
    assert!(!parsed.subject().unwrap().contains("=?"), "{:?}", parsed.subject());
    assert!(raw.is_ascii());
    lines_are_short_and_end_well(&raw);
}

fn lines_are_short_and_end_well(raw: &[u8]) {
    for line in raw.split_inclusive(|b| *b == b'\n') {
        assert!(line.len() <= 1000, "{} bytes", line.len());
        assert!(line.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(line));
        assert!(!line[..line.len() - 2].contains(&b'\r'));
    }
}

#[test]
fn a_session_id_beyond_ascii_comes_back() {
    let mut message = message(NotificationKind::Drift);
    message.items = vec![of_session(&message.items[0], &format!("Größe {}", "語".repeat(60)))];
    let raw = raw(&message);
    let parsed = MessageParser::new().header_text("X-Driftwise-Session").parse(&raw).unwrap();
    assert_eq!(headers(&parsed, "X-Driftwise-Session"), [format!("acme-erp/Größe {}", "語".repeat(60))]);
    lines_are_short_and_end_well(&raw);
}

#[test]
fn the_largest_message_stays_under_200_kilobytes() {
    for evil in ["<&\"'>".repeat(400), "語".repeat(2000), "\u{1F980}".repeat(2000), "ü=".repeat(1000), String::new()]
    {
        let mut message = message(NotificationKind::Drift);
        let facts = &mut incident(&mut message).facts;
        facts.name = Some(evil.clone());
        for text in [&mut facts.found, &mut facts.expected, &mut facts.why, &mut facts.fix, &mut facts.label] {
            text.clone_from(&evil);
        }
        message.items = vec![message.items[0].clone(); 5000];
        let opening = |n| Opening { notification: Uuid::from_u128(n), subject: String::new() };
        message.openings = (0..5000).map(opening).collect();
        let raw = raw(&message);
        assert!(raw.len() < 200_000, "{} bytes", raw.len());
        lines_are_short_and_end_well(&raw);
        assert!(matches!(parse(&raw).references(), HeaderValue::TextList(ids) if ids.len() == 40));
    }
}

#[test]
fn a_test_message_names_no_session_and_says_that_it_is_a_test() {
    let test = Notification::test(Name::parse("email").unwrap(), to(), at(), chrono_tz::UTC);
    assert!(spool().compose(&test).message_id.ends_with("@integrator.example>"));
    let raw = raw(&test);
    let parsed = parse(&raw);
    assert_eq!(headers(&parsed, "X-Driftwise-Kind"), ["test"]);
    assert!(parsed.body_text(0).unwrap().starts_with("This is a test message from Driftwise."));
}

#[test]
fn a_password_is_not_sent_in_the_clear_to_another_machine() {
    let from = NamedAddress::parse("d@integrator.example").unwrap();
    let build = |host: &str, tls, username: Option<&str>, password: Option<&str>| {
        let options = SmtpOptions {
            tls,
            username: username.map(str::to_owned),
            password: password.map(Secret::given),
            ..SmtpOptions::new(host, 25)
        };
        Email::new(Options { from: from.clone(), delivery: Delivery::Smtp(options), public_url: None }).map(drop)
    };
    let clear = build("mail.example", Tls::None, Some("u"), Some("p"));
    assert!(matches!(clear, Err(BuildError::PasswordInTheClear { .. })));
    assert!(build("mail.example", Tls::None, None, None).is_ok());
    assert!(build("127.0.0.1", Tls::None, Some("u"), Some("p")).is_ok());
    assert!(build("mail.example", Tls::StartTls, Some("u"), Some("p")).is_ok());
    assert!(matches!(build("mail.example", Tls::StartTls, Some("u"), None), Err(BuildError::HalfCredential)));
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let build = || {
        let options = SmtpOptions { ca_file: Some(path.clone()), ..SmtpOptions::new("mail.example", 587) };
        let from = NamedAddress::parse("d@integrator.example").unwrap();
        Email::new(Options { from, delivery: Delivery::Smtp(options), public_url: None }).map(drop)
    };
    assert!(matches!(build(), Err(BuildError::CaFile { .. })));
    std::fs::write(&path, "not a certificate").unwrap();
    assert!(matches!(build(), Err(BuildError::CaFormat { .. })));
}

fn outbound(message: &Notification) -> Outbound {
    let composed = spool().compose(message);
    Outbound { message_id: composed.message_id, to: message.to.clone(), raw: composed.raw }
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.collect::<Vec<_>>();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_takes_one_file_a_message_and_a_repeat_replaces_it() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("deep/mail");
    let email = email(Delivery::Spool(folder.clone()));
    email.probe().await.unwrap();
    assert_eq!(files(&folder), Vec::<String>::new());
    let first = outbound(&message(NotificationKind::Drift));
    email.send(&first).await.unwrap();
    email.send(&first).await.unwrap();
    email.send(&outbound(&message(NotificationKind::Resolved))).await.unwrap();
    let names = files(&folder);
    assert_eq!(names.len(), 2, "{names:?}");
    let name = format!("20261123T091000Z-{}.eml", first.message_id.trim_matches(['<', '>']));
    assert_eq!(std::fs::read(folder.join(name)).unwrap(), first.raw);
}

#[tokio::test]
async fn a_repeat_after_a_kill_overwrites_the_unfinished_file() {
    let folder = tempfile::tempdir().unwrap();
    let email = email(Delivery::Spool(folder.path().to_owned()));
    let outbound = outbound(&message(NotificationKind::Drift));
    email.send(&outbound).await.unwrap();
    let [whole] = &files(folder.path())[..] else { panic!("one file") };
    // The folder after a kill in the middle of the write, with more bytes than the next write has.
    std::fs::remove_file(folder.path().join(whole)).unwrap();
    let half = [outbound.raw.as_slice(), b"left over"].concat();
    std::fs::write(folder.path().join(format!(".{whole}.part")), half).unwrap();
    email.send(&outbound).await.unwrap();
    assert_eq!(files(folder.path()), std::slice::from_ref(whole));
    assert_eq!(std::fs::read(folder.path().join(whole)).unwrap(), outbound.raw);
}

#[tokio::test]
async fn an_id_from_outside_stays_inside_the_folder() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("mail");
    let email = email(Delivery::Spool(folder.clone()));
    for id in ["<../../etc/passwd>", "<a/b>", "<a_b>", "<.>", &format!("<{}>", "x".repeat(900))] {
        let odd = Outbound { message_id: id.to_owned(), to: to(), raw: b"Subject: x\r\n\r\n".to_vec() };
        email.send(&odd).await.unwrap();
    }
    assert_eq!(files(&folder).len(), 5);
    assert_eq!(files(base.path()), ["mail"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_tried_again_later() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, "").unwrap();
    let email = email(Delivery::Spool(file.join("mail")));
    let failed = email.send(&outbound(&message(NotificationKind::Drift))).await.unwrap_err();
    assert_eq!((failed.obstacle, failed.permanent), (Obstacle::Deferred, false));
    assert!(failed.reason.starts_with("the mail folder "), "{failed}");
    assert!(email.probe().await.is_err());
}
