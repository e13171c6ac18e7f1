//! A message as MIME, byte for byte the same each time it is composed.
//!
//! Whatever comes from outside reaches a header only through lettre's encoder, after control marks are gone: it can neither
//! end a header nor begin one. Bodies are quoted-printable or base64, so no line is longer than SMTP allows.

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, Headers};
use lettre::message::{Mailbox as LettreMailbox, MultiPart, SinglePart};
use uuid::Uuid;

use crate::domain::address::{Address, Mailbox};
use crate::domain::message::{Item, Message, MessageKind};
use crate::domain::reading::is_invisible;
use crate::notify::ComposeError;
use crate::notify::render::render;

/// Most `X-Driftwise-Session` headers; the body tells of the others.
const MOST_SESSIONS: usize = 100;
/// Longest run without a space in a header, in bytes: lines must not exceed 998.
const LONGEST_WORD: usize = 500;

const MESSAGE_ID: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Message-ID");
const KIND: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Kind");
const SESSION: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Session");
const SOURCE: HeaderName = HeaderName::new_from_ascii_str("X-Driftwise-Source");
const AUTOMATIC: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

pub(super) fn compose(from: &Mailbox, message: &Message) -> Result<Vec<u8>, ComposeError> {
    let rendered = render(message).map_err(|e| ComposeError(e.to_string()))?;
    let id = one_line(&message.message_id);
    let mut builder = lettre::Message::builder()
        .from(mailbox(&from.address, from.name.as_deref())?)
        .to(mailbox(&message.to, None)?)
        .subject(undecoded(&one_line(&rendered.subject)))
        .date(message.at.into())
        .message_id(Some(id.clone()))
        .raw_header(HeaderValue::new(MESSAGE_ID, id.clone()))
        .raw_header(HeaderValue::new(AUTOMATIC, "auto-generated".to_owned()))
        .raw_header(HeaderValue::new(KIND, message.kind.label().to_owned()));
    if let Some(reply_to) = &message.reply_to {
        builder = builder.reply_to(mailbox(reply_to, None)?);
    }
    if !message.references.is_empty() {
        let references = message.references.iter().map(|id| one_line(id)).collect::<Vec<_>>();
        builder = builder.references(references.join(" "));
    }
    if let Some(first) = &message.in_reply_to {
        builder = builder.in_reply_to(one_line(first));
    }
    // Derived from the id, so that a repeat is the same bytes; with `=_`, which neither encoding of the parts can hold.
    let boundary = format!("=_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple());
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(part(ContentType::TEXT_PLAIN, rendered.text))
        .singlepart(part(ContentType::TEXT_HTML, rendered.html));
    let composed = builder.multipart(parts).map_err(|e| ComposeError(e.to_string()))?;
    let mut raw = repeated_headers(message).into_bytes();
    raw.extend(composed.formatted());
    Ok(raw)
}

/// The headers that come once for each thing; lettre keeps one of a name only.
fn repeated_headers(message: &Message) -> String {
    let mut lines = String::new();
    let mut add = |name: &HeaderName, value: String| {
        let mut headers = Headers::new();
        headers.insert_raw(HeaderValue::new(name.clone(), undecoded(&one_line(&value))));
        lines.push_str(&headers.to_string());
    };
    for id in message.sessions().into_iter().take(MOST_SESSIONS) {
        add(&SESSION, format!("{}/{id}", message.source));
    }
    let source_told = |item: &Item| {
        item.of_source()
            && matches!(item.kind, MessageKind::Unreachable | MessageKind::Recovered | MessageKind::Reminder)
    };
    if message.items.iter().any(source_told) {
        add(&SOURCE, message.source.to_string());
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

/// Outside text that may stand in a header: no control or direction marks, no run that cannot be folded.
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

/// Outside text that looks like an encoded word must be shown as it is, not decoded into what it hides.
fn undecoded(text: &str) -> String {
    text.replace("=?", "= ?")
}

fn mailbox(address: &Address, name: Option<&str>) -> Result<LettreMailbox, ComposeError> {
    let email = mail_address(address).ok_or_else(|| ComposeError(format!("{address} cannot be used as an address")))?;
    let name = name.map(one_line).filter(|name| !name.is_empty());
    Ok(LettreMailbox::new(name, email))
}

/// The address in lettre's form. [`Address`] allows a subset of what lettre does.
pub(super) fn mail_address(address: &Address) -> Option<lettre::Address> {
    let (user, domain) = address.as_str().rsplit_once('@')?;
    lettre::Address::new(user, domain).ok()
}
