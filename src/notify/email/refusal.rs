//! What a failure at a stage of the conversation means: whether to try again, and what to tell whoever looks after it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::transport::smtp::Error;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::reading::is_invisible;
use crate::notify::{Obstacle, SendError};

/// Where in the conversation it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The greeting and the first EHLO.
    Greeting,
    /// STARTTLS, the handshake, and the EHLO after it.
    Tls,
    SignIn,
    Sender,
    Recipient,
    /// From DATA to the reply after the final dot.
    Data,
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Self::Greeting => "at the greeting",
            Self::Tls => "while TLS was set up",
            Self::SignIn => "at the sign-in",
            Self::Sender => "at the sender (MAIL FROM)",
            Self::Recipient => "at the recipient (RCPT TO)",
            Self::Data => "at the message (DATA)",
        }
    }
}

/// Longest piece of a server's reply that is told, in characters.
const REPLY: usize = 200;

/// What lettre says of a server that closes the connection instead of replying.
const BROKEN_OFF: &str = "incomplete response";

/// What a server could repeat of the sign-in, in each form in which it may have been sent.
#[derive(Default)]
pub(super) struct Echoes(Vec<SecretString>);

impl Echoes {
    /// Of a user name and a password.
    pub fn of(username: &str, password: &str) -> Self {
        let encode = |text: &str| BASE64_STANDARD.encode(text).trim_end_matches('=').to_owned();
        let forms = [
            password.to_owned(),
            encode(password),
            encode(&format!("\0{username}\0{password}")),
            encode(&format!("{username}\0{username}\0{password}")),
            encode(&format!("{username}:{password}")),
        ];
        Self(forms.iter().map(|form| SecretString::from(joined(form))).collect())
    }

    /// Whether `reply` holds one of them, however it is divided into lines. Of a password that is too short to be one, too many
    /// replies seem to: then they are not told either.
    fn heard_in(&self, reply: &str) -> bool {
        let reply = joined(reply);
        self.0.iter().any(|form| reply.contains(form.expose_secret()))
    }
}

/// `text` without what a server may have put between its pieces.
fn joined(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).collect()
}

/// Classifies what `server` (host and port) answered, or that it did not.
pub(super) fn classify(server: &str, stage: Stage, error: &Error, echoes: &Echoes) -> SendError {
    let doing = stage.doing();
    let said = cause(error);
    let repeats = echoes.heard_in(&said);
    let reason = match error.status() {
        Some(code) if repeats => {
            format!("the mail server {server} refused {doing}: {code}, and words that hold the password")
        }
        Some(code) => format!("the mail server {server} refused {doing}: {code} {}", quoted(&said)),
        None if repeats => format!("the conversation with the mail server {server} broke {doing}"),
        None => format!("the conversation with the mail server {server} broke {doing}: {}", shown(&said)),
    };
    let reply = error.status().map(u16::from);
    let (obstacle, permanent) = match (stage, reply) {
        (Stage::Recipient | Stage::Data, Some(500..)) => (Obstacle::Rejected, true),
        (Stage::Tls, _) => (Obstacle::Tls, false),
        // A server that cannot look the account up now has not called the password wrong.
        (Stage::SignIn, Some(500..)) => (Obstacle::Auth, false),
        (Stage::SignIn, None) if error.is_client() => (Obstacle::Auth, false),
        // The server wants a sign-in that the configuration does not have.
        (Stage::Sender, Some(530)) => (Obstacle::Auth, false),
        (_, Some(_)) => (Obstacle::Deferred, false),
        (_, None) if error.is_timeout() => (Obstacle::Timeout, false),
        (_, None) => (Obstacle::Connect, false),
    };
    // What is not understood of a reply is part of the error.
    let own_words = reply.is_none() && (!error.is_response() || said == BROKEN_OFF);
    SendError { obstacle, permanent, reply, reason, own_words }
}

/// A failure that is worth another attempt, in words that are not a server's.
pub(super) fn transient(obstacle: Obstacle, reason: String) -> SendError {
    SendError { obstacle, permanent: false, reply: None, reason, own_words: true }
}

/// The words of the error and of what caused it, without those that only repeat.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    // lettre's own errors begin with their class and put their cause into their text.
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

/// Outside words, cut, without control and direction marks.
pub(super) fn shown(text: &str) -> String {
    let mut shown = text.chars().take(REPLY).map(|c| if is_invisible(c) { ' ' } else { c }).collect::<String>();
    if text.chars().nth(REPLY).is_some() {
        shown.push('…');
    }
    shown
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_to_sign_in_is_heard_in_every_form() {
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
