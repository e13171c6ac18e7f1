//! Classifies a failure at a stage of an SMTP session: whether to retry, and the words for the operator.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::advice::advised;
use super::mask::masked;
use super::smtp::reply::{Malformed, Reply};
use super::smtp::wire::WireError;
use super::token::Token;
use crate::domain::reading::is_invisible;
use crate::notify::{Obstacle, SendError};
use crate::secret::Redactor;

/// The stages of a session, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SmtpStage {
    Greeting,
    Hello,
    StartTls,
    Handshake,
    /// The EHLO after STARTTLS.
    ProtectedHello,
    SignIn,
    Sender,
    Recipient,
    Data,
    /// The message itself and the final dot.
    Message,
    Quit,
}

impl SmtpStage {
    /// The replies that mean yes, or ask for more (RFC 5321, 4.3.2; RFC 3207, 4; RFC 4954, 4).
    pub fn allows(self) -> &'static [u16] {
        match self {
            Self::Greeting | Self::StartTls => &[220],
            Self::Hello | Self::ProtectedHello | Self::Sender | Self::Message => &[250],
            Self::Handshake => &[],
            Self::SignIn => &[235, 334],
            Self::Recipient => &[250, 251],
            Self::Data => &[354],
            Self::Quit => &[221],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::ProtectedHello => "EHLO after STARTTLS",
            Self::SignIn => "the sign-in (AUTH)",
            Self::Sender => "the sender (MAIL FROM)",
            Self::Recipient => "the recipient (RCPT TO)",
            Self::Data => "the message (DATA)",
            Self::Message => "the end of the message",
            Self::Quit => "QUIT",
        }
    }

    /// What a refusal at this stage refuses.
    fn refused(self) -> &'static str {
        match self {
            Self::Greeting => "the connection",
            Self::Message => "the message",
            stage => stage.name(),
        }
    }

    /// STARTTLS, the handshake, and the EHLO after it.
    fn sets_up_tls(self) -> bool {
        matches!(self, Self::StartTls | Self::Handshake | Self::ProtectedHello)
    }
}

/// Longest piece of a server's reply that is quoted, in characters.
const REPLY: usize = 200;

/// The secrets of a sign-in that a server could repeat, in each form in which they may have been sent.
#[derive(Default)]
pub(super) struct Echoes {
    forms: Vec<SecretString>,
    /// For a sign-in with a token: removes it and its pieces.
    redactor: Option<Arc<Redactor>>,
}

impl Echoes {
    /// The forms of a user name and a password.
    pub fn of(username: &str, password: &str) -> Self {
        let encode = |text: &str| BASE64_STANDARD.encode(text).trim_end_matches('=').to_owned();
        let forms = [
            password.to_owned(),
            encode(password),
            encode(&format!("\0{username}\0{password}")),
            encode(&format!("{username}\0{username}\0{password}")),
            encode(&format!("{username}:{password}")),
        ];
        Self { forms: forms.iter().map(|form| SecretString::from(joined(form))).collect(), redactor: None }
    }

    /// The forms of a token and of the line that carries it.
    pub fn of_token(token: &Token, line: &SecretString) -> Self {
        let forms = [&token.value, line].map(|form| SecretString::from(joined(form.expose_secret())));
        Self { forms: forms.into(), redactor: Some(Arc::clone(&token.redactor)) }
    }

    /// Whether `reply` contains one of the forms, however it is divided into lines. A very short password occurs in too many
    /// replies by chance: then they are not quoted either.
    fn heard_in(&self, reply: &str) -> bool {
        let reply = joined(reply);
        self.forms.iter().any(|form| reply.contains(form.expose_secret()))
    }
}

/// `text` without anything that a server may have inserted, and with one mark for each run of characters beyond ASCII, which
/// differ between encodings.
fn joined(text: &str) -> String {
    let pieces = text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c));
    let mut joined = String::with_capacity(text.len());
    for c in pieces.map(|c| if c.is_ascii() { c } else { char::REPLACEMENT_CHARACTER }) {
        if c.is_ascii() || !joined.ends_with(c) {
            joined.push(c);
        }
    }
    joined
}

/// Classifies a failure at `server` (host and port).
pub(super) fn classify(server: &str, stage: SmtpStage, trouble: &WireError, echoes: &Echoes) -> SendError {
    let at = stage.name();
    let quoted = |reply: &Reply| format!("{} {}", reply.code, quoted(&reply.text(), echoes));
    let reason = match trouble {
        WireError::Refused(reply) => format!("the mail server {server} refused {}: {}", stage.refused(), quoted(reply)),
        WireError::Explained { reply, explanation } => {
            let explanation = self::quoted(explanation, echoes);
            format!(
                "the mail server {server} refused {}: {}; its explanation: {explanation}",
                stage.refused(),
                quoted(reply)
            )
        }
        WireError::Unexpected(reply) => {
            let allowed = stage.allows().iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
            format!("the mail server {server} broke the protocol at {at}: {} instead of {allowed}", quoted(reply))
        }
        WireError::Unasked(Some(reply)) => {
            format!("the mail server {server} broke the protocol at {at}: it sent {} unasked", quoted(reply))
        }
        WireError::Unasked(None) => {
            format!("the mail server {server} broke the protocol at {at}: it sent data unasked")
        }
        WireError::Malformed(Malformed::NoCode(line)) => {
            let line = self::quoted(line, echoes);
            format!("the mail server {server} broke the protocol at {at}: it sent a reply without a code: {line}")
        }
        WireError::Malformed(_) | WireError::Flooded => {
            format!("the mail server {server} broke the protocol at {at}: it sent {trouble}")
        }
        WireError::Closed => format!("the mail server {server} closed the connection at {at}"),
        WireError::Broken(error) => format!("the connection to the mail server {server} failed at {at}: {error}"),
        WireError::Handshake(error) => {
            format!("no TLS with the mail server {server}: {}", shown(&cause(error)))
        }
        WireError::NoStartTls => format!("the mail server {server} does not offer STARTTLS; nothing was sent"),
        WireError::NoMechanism => format!("the mail server {server} offers neither AUTH PLAIN nor AUTH LOGIN"),
        WireError::NoTokenMechanism => format!("the mail server {server} does not offer AUTH XOAUTH2"),
        WireError::Challenges => format!("the mail server {server} asks for more than the sign-in provides"),
    };
    let reply = trouble.reply().map(|reply| reply.code);
    let (obstacle, permanent) = obstacle(stage, trouble);
    let own_words = reply.is_none() && !matches!(trouble, WireError::Malformed(Malformed::NoCode(_)));
    let reason = if echoes.redactor.is_some() { advised(reason) } else { reason };
    SendError { obstacle, permanent, reply, reason, own_words, retry_after: None }
}

/// The kind of the failure, and whether it is permanent: only a 5xx to the recipient or the message is.
fn obstacle(stage: SmtpStage, trouble: &WireError) -> (Obstacle, bool) {
    let refused = match trouble {
        WireError::Refused(reply) | WireError::Explained { reply, .. } => Some(reply.code),
        _ => None,
    };
    match (stage, refused) {
        (SmtpStage::Recipient | SmtpStage::Data | SmtpStage::Message, Some(500..)) => (Obstacle::Rejected, true),
        _ if stage.sets_up_tls() => (Obstacle::Tls, false),
        // A server that cannot look the account up now has not rejected the password.
        (SmtpStage::SignIn, Some(500..)) => (Obstacle::Auth, false),
        _ if matches!(trouble, WireError::NoMechanism | WireError::NoTokenMechanism | WireError::Challenges) => {
            (Obstacle::Auth, false)
        }
        // The server requires a sign-in that the configuration does not have.
        (SmtpStage::Sender, Some(530)) => (Obstacle::Auth, false),
        // A server that closes the connection sends 421 unasked.
        _ if trouble.reply().is_some_and(Reply::is_refusal) => (Obstacle::Deferred, false),
        _ => (Obstacle::Connect, false),
    }
}

/// A failure that is worth another attempt, in our own words.
pub(super) fn transient(obstacle: Obstacle, reason: String) -> SendError {
    SendError { obstacle, permanent: false, reply: None, reason, own_words: true, retry_after: None }
}

/// The words of the error and of its causes, without repetitions.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if words.ends_with(&said) {
            words = said;
        } else if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        next = source.source();
    }
    words
}

/// Outside text, cut, without control and direction marks.
pub(super) fn shown(text: &str) -> String {
    cut(&visible(text))
}

fn visible(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(REPLY) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The words of a server in quotation marks: without secrets and addresses, and cut.
fn quoted(text: &str, echoes: &Echoes) -> String {
    if echoes.heard_in(text) {
        return if echoes.redactor.is_some() {
            "and words that hold the token"
        } else {
            "and words that hold the password"
        }
        .to_owned();
    }
    match &echoes.redactor {
        Some(redactor) => redacted(text, redactor),
        None => format!("\"{}\"", cut(&masked(&visible(text)))),
    }
}

/// The same for a server that knows the secrets of `redactor`.
pub(super) fn redacted(text: &str, redactor: &Redactor) -> String {
    format!("\"{}\"", cut(&masked(&visible(&redactor.quote(text)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_of_the_sign_in_is_recognised_in_every_form() {
        let echoes = Echoes::of("driftwise", "correct horse");
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        for reply in [
            "no entry with correct horse".to_owned(),
            "no entry with correct\nhorse".to_owned(),
            format!("who is {}?", encoded("correct horse")),
            format!("AUTH PLAIN {}", encoded("\0driftwise\0correct horse")),
            format!("AUTH PLAIN {}", encoded("driftwise\0driftwise\0correct horse").trim_end_matches('=')),
            format!("Basic {}", encoded("driftwise:correct horse")),
        ] {
            assert!(echoes.heard_in(&reply), "{reply}");
        }
        assert!(!echoes.heard_in("5.7.8 the password of driftwise is wrong"));
        assert!(!Echoes::default().heard_in("anything"));
    }
}
