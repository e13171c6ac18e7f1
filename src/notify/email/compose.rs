//! Composes a message as MIME, byte for byte the same each time.
//!
//! Outside text reaches a header only through lettre's encoder, after control marks are removed: it can neither end a header nor
//! begin one. Bodies are quoted-printable or base64, so no line is longer than SMTP allows.

use lettre::message::header::{self, ContentTransferEncoding, ContentType, HeaderName, HeaderValue, Headers};
use lettre::message::{Mailbox as LettreMailbox, Mailboxes, MultiPart, SinglePart};
use uuid::Uuid;

use crate::domain::address::{Address, NamedAddress};
use crate::domain::notification::{Item, Notification};
use crate::domain::reading::is_invisible;
use crate::notify::render::{Rendered, render, unadorned};
use crate::notify::{Composed, Reissued};

/// Most `X-Driftwise-Session` headers; the body has the others.
const MOST_SESSIONS: usize = 100;
/// Most incident roots, and most openings, that one message refers to (some servers refuse longer headers).
const MOST_ROOTS: usize = 20;
/// Longest run without a space in a header, in bytes: lines must not exceed 998.
const LONGEST_WORD: usize = 500;

const MESSAGE_ID: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Message-ID");
const KIND: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Kind");
const SESSION: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Session");
const SOURCE: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Source");
const AUTOMATIC: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// Never fails, because one failure here would keep every notification of the cycle from being recorded, at each retry. If a
/// template fails, which is a bug, the mail has the words without the layout.
pub(super) fn compose(from: &NamedAddress, message: &Notification, public_url: Option<&str>) -> Composed {
    let rendered = render(message, public_url).unwrap_or_else(|error| {
        tracing::error!(notification = %message.id, %error, "composed a mail without its layout");
        unadorned(message, public_url)
    });
    assemble(from, message, rendered)
}

/// The right side of Message-IDs: the sender's domain.
fn domain(from: &NamedAddress) -> &str {
    from.address.as_str().rsplit_once('@').map_or("localhost", |(_, domain)| domain)
}

fn message_id(notification: Uuid, from: &NamedAddress) -> String {
    format!("<{notification}@{}>", domain(from))
}

/// A root for each incident in the message, and the messages that opened them for this recipient.
fn references(message: &Notification, from: &NamedAddress) -> Vec<String> {
    let root = |incident: Uuid| format!("<incident-{incident}@{}>", domain(from));
    let mut references = message.incidents().take(MOST_ROOTS).map(|i| root(i.id)).collect::<Vec<_>>();
    references.extend(message.openings.iter().take(MOST_ROOTS).map(|o| message_id(o.notification, from)));
    references
}

fn assemble(from: &NamedAddress, message: &Notification, rendered: Rendered) -> Composed {
    let id = one_line(&message_id(message.id, from));
    let mut headers = Headers::new();
    headers.set(header::From::from(Mailboxes::from(mailbox(&from.address, from.name.as_deref()))));
    headers.set(header::To::from(Mailboxes::from(mailbox(&message.to, None))));
    let subject = one_line(&rendered.subject);
    headers.set(header::Subject::from(undecoded(&subject)));
    headers.set(header::Date::new(message.at.into()));
    headers.set(header::MessageId::from(id.clone()));
    headers.insert_raw(HeaderValue::new(MESSAGE_ID, id.clone()));
    headers.insert_raw(HeaderValue::new(AUTOMATIC, "auto-generated".to_owned()));
    headers.insert_raw(HeaderValue::new(KIND, message.kind.label().to_owned()));
    if let Some(reply_to) = &message.reply_to {
        headers.set(header::ReplyTo::from(Mailboxes::from(mailbox(reply_to, None))));
    }
    let references = references(message, from);
    if !references.is_empty() {
        headers.set(header::References::from(references.join(" ")));
    }
    if let Some(first) = message.openings.first() {
        headers.set(header::InReplyTo::from(message_id(first.notification, from)));
    }
    headers.set(header::MIME_VERSION_1_0);
    // Derived from the id, so that a repeat has the same bytes. Neither encoding of the parts can contain `=_`.
    let boundary = format!("=_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple());
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(part(ContentType::TEXT_PLAIN, rendered.text))
        .singlepart(part(ContentType::TEXT_HTML, rendered.html));
    let mut raw = repeated_headers(message).into_bytes();
    raw.extend(headers.to_string().into_bytes());
    raw.extend(parts.formatted());
    Composed { message_id: id, subject, raw }
}

/// A message with another Message-ID, in both headers that hold it; the rest stays byte for byte.
pub(super) fn reissue(from: &NamedAddress, raw: &[u8], notification: Uuid) -> Reissued {
    let message_id = one_line(&message_id(notification, from));
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(raw.len());
    let (head, body) = raw.split_at(end);
    let mut reissued = Vec::with_capacity(raw.len());
    let mut replaced = false;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        // A folded line belongs to the header above it.
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        let id = [b"Message-ID:".as_slice(), b"X-Driftwise-Message-ID:"]
            .into_iter()
            .find(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
        match id {
            Some(name) => {
                reissued.extend_from_slice(&line[..name.len()]);
                reissued.extend_from_slice(format!(" {message_id}").as_bytes());
                reissued.extend_from_slice(if line.ends_with(b"\n") { b"\r\n" } else { b"" });
                replaced = true;
            }
            None if folded && replaced => {}
            None => {
                reissued.extend_from_slice(line);
                replaced = false;
            }
        }
    }
    reissued.extend_from_slice(body);
    Reissued { message_id, raw: reissued }
}

/// The headers that come once for each session or incident; lettre keeps only one header of a name.
fn repeated_headers(message: &Notification) -> String {
    let mut lines = String::new();
    let mut add = |name: &HeaderName, value: String| {
        let mut headers = Headers::new();
        headers.insert_raw(HeaderValue::new(name.clone(), undecoded(&one_line(&value))));
        lines.push_str(&headers.to_string());
    };
    for key in message.sessions().into_iter().take(MOST_SESSIONS) {
        add(&SESSION, key.to_string());
    }
    let mut sources = message.items.iter().filter(|item| item.of_source()).filter_map(Item::source).collect::<Vec<_>>();
    sources.sort();
    sources.dedup();
    for source in sources.into_iter().take(MOST_SESSIONS) {
        add(&SOURCE, source.to_string());
    }
    lines
}

fn part(kind: ContentType, text: String) -> SinglePart {
    // Quoted-printable reads well in ASCII and triples anything else.
    let beyond_ascii = text.bytes().filter(|b| !b.is_ascii()).count();
    let encoding = if beyond_ascii * 6 > text.len() {
        ContentTransferEncoding::Base64
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    SinglePart::builder().header(kind).header(encoding).body(text)
}

/// Outside text made safe for a header: no control or direction marks, no run that cannot be folded.
fn one_line(text: &str) -> String {
    let mut run = 0;
    let mut line = String::with_capacity(text.len());
    for c in text.chars().map(|c| if is_invisible(c) { ' ' } else { c }) {
        run = if c == ' ' { 0 } else { run + c.len_utf8() };
        if run > LONGEST_WORD {
            line.push(' ');
            run = c.len_utf8();
        }
        line.push(c);
    }
    line.trim().to_owned()
}

/// Shows outside text that looks like an encoded word as it is, so that no reader decodes it.
fn undecoded(text: &str) -> String {
    text.replace("=?", "= ?")
}

fn mailbox(address: &Address, name: Option<&str>) -> LettreMailbox {
    let name = name.map(one_line).filter(|name| !name.is_empty());
    LettreMailbox::new(name, mail_address(address))
}

/// The address in lettre's form. A test checks that lettre accepts every [`Address`].
fn mail_address(address: &Address) -> lettre::Address {
    let (user, domain) = address.as_str().rsplit_once('@').unwrap_or((address.as_str(), "localhost"));
    lettre::Address::new_dangerous(user, domain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::notification::NotificationKind;
    use crate::notify::sample::sample;

    #[test]
    fn without_a_layout_a_message_is_still_whole() {
        let at = "2026-11-23T09:10:00Z".parse().unwrap();
        for kind in NotificationKind::ALL {
            let message = sample(kind, &Address::parse("it@acme.example").unwrap(), at);
            let from = NamedAddress::parse("Driftwise <driftwise@integrator.example>").unwrap();
            let bare = unadorned(&message, None);
            let raw = assemble(&from, &message, bare.clone()).raw;
            let parsed = mail_parser::MessageParser::default().parse(&raw).unwrap();
            assert_eq!(parsed.subject(), Some(bare.subject.as_str()));
            assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), bare.text.trim_end());
            assert!(parsed.body_html(0).unwrap().contains("<pre>"));
        }
    }

    #[test]
    fn a_reissued_message_differs_in_its_message_id_alone() {
        let at = "2026-11-23T09:10:00Z".parse().unwrap();
        let from = NamedAddress::parse("Driftwise <driftwise@integrator.example>").unwrap();
        for kind in NotificationKind::ALL {
            let message = sample(kind, &Address::parse("it@acme.example").unwrap(), at);
            let first = compose(&from, &message, None);
            let again = reissue(&from, &first.raw, Uuid::from_u128(7));
            assert_eq!(again.message_id, "<00000000-0000-0000-0000-000000000007@integrator.example>");
            let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
            let (head, rest) = (text(&first.raw), text(&again.raw));
            assert_eq!(head.replace(&first.message_id, &again.message_id), rest);
            assert_eq!(rest.matches(&again.message_id).count(), 2, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn lettre_accepts_every_address(text in "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-zA-Z0-9.-]{1,190}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(mail_address(&address), text.trim().parse::<lettre::Address>().unwrap());
            }
        }
    }
}
