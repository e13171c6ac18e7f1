//! What a failure at a stage of the conversation means: whether to try again, and what to tell whoever looks after it.

use lettre::transport::smtp::Error;

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

/// Classifies what `server` (host and port) answered, or that it did not.
pub(super) fn classify(server: &str, stage: Stage, error: &Error) -> SendError {
    let doing = stage.doing();
    let reason = match error.status() {
        Some(code) => format!("the mail server {server} refused {doing}: {code} {}", quoted(&cause(error))),
        None => format!("the conversation with the mail server {server} broke {doing}: {}", shown(&cause(error))),
    };
    let (obstacle, permanent) = match (stage, error.status()) {
        (Stage::Recipient | Stage::Data, Some(_)) if error.is_permanent() => (Obstacle::Rejected, true),
        (Stage::Tls, _) => (Obstacle::Tls, false),
        (Stage::SignIn, Some(_)) => (Obstacle::Auth, false),
        (Stage::SignIn, None) if error.is_client() => (Obstacle::Auth, false),
        // The server wants a sign-in that the configuration does not have.
        (Stage::Sender, Some(code)) if code.to_string() == "530" => (Obstacle::Auth, false),
        (_, Some(_)) => (Obstacle::Deferred, false),
        (_, None) if error.is_timeout() => (Obstacle::Timeout, false),
        (_, None) => (Obstacle::Connect, false),
    };
    SendError { obstacle, permanent, reason }
}

/// A failure that is worth another attempt.
pub(super) fn transient(obstacle: Obstacle, reason: String) -> SendError {
    SendError { obstacle, permanent: false, reason }
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
