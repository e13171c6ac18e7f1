//! One SMTP session: the commands in their order, and the replies that each allows (RFC 5321, 4.3.2).
//!
//! A reply that is neither a refusal nor an allowed one breaks the protocol: the session ends there, and the message does not
//! count as accepted. Only a 250 after the final dot means that it is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::super::refusal::SmtpStage;
use super::reply::Reply;
use super::sign_in::{Account, Mechanism};
use super::tls::Protection;
use super::wire::{Duplex, Wire, WireError};
use crate::domain::address::Address;

/// How long a server that has answered everything may take to say goodbye; nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// The stage at which a session failed, and the cause.
pub(super) struct Failure {
    pub stage: SmtpStage,
    pub trouble: WireError,
}

/// The part of a server's EHLO reply that matters here; the rest is not kept.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offers {
    starttls: bool,
    /// Whether the server offers each of [`Mechanism::ALL`].
    mechanisms: [bool; Mechanism::ALL.len()],
}

impl Offers {
    /// The first line names the server; each other line is a keyword with its parameters, in any case. A keyword may come again,
    /// and old servers write `AUTH=`.
    fn parse(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '\t', '=']);
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("AUTH") => {
                    for word in words {
                        for (mechanism, offered) in Mechanism::ALL.iter().zip(&mut offers.mechanisms) {
                            *offered |= mechanism.name() == word;
                        }
                    }
                }
                _ => {}
            }
        }
        offers
    }

    /// The best mechanism for `account` that the server offers.
    fn mechanism(&self, account: &Account) -> Result<Mechanism, WireError> {
        let offered = Mechanism::ALL.into_iter().zip(self.mechanisms);
        let mut fitting = offered.filter(|(mechanism, offered)| *offered && mechanism.fits(account));
        fitting.next().map(|(mechanism, _)| mechanism).ok_or(match account {
            Account::Password { .. } => WireError::NoMechanism,
            Account::Token { .. } => WireError::NoTokenMechanism,
        })
    }
}

pub(super) struct Session {
    wire: Wire,
    /// The name that this machine gives itself.
    hello: String,
    offers: Offers,
}

impl Session {
    pub fn new(stream: impl Duplex + 'static, hello: String) -> Self {
        Self { wire: Wire::new(stream), hello, offers: Offers::default() }
    }

    /// Makes the handshake: from here on the connection is inside TLS.
    pub async fn protect(&mut self, protection: &Protection) -> Result<(), Failure> {
        let shaken = self.wire.protect(&protection.connector, &protection.name).await;
        let certificate = shaken.map_err(|trouble| Failure { stage: SmtpStage::Handshake, trouble })?;
        if let Some(certificate) = certificate {
            protection.presented.note(&certificate);
        }
        Ok(())
    }

    /// Reads the greeting and sends EHLO.
    pub async fn greet(&mut self) -> Result<(), Failure> {
        let greeting = self.wire.reply().await;
        self.judge(SmtpStage::Greeting, greeting)?;
        self.ask_offers(SmtpStage::Hello).await
    }

    /// STARTTLS, the handshake, and EHLO again: the offers that the server made in the clear no longer count.
    pub async fn upgrade(&mut self, protection: &Protection) -> Result<(), Failure> {
        if !self.offers.starttls {
            return Err(Failure { stage: SmtpStage::StartTls, trouble: WireError::NoStartTls });
        }
        self.ask(SmtpStage::StartTls, "STARTTLS").await?;
        self.protect(protection).await?;
        self.ask_offers(SmtpStage::ProtectedHello).await
    }

    async fn ask_offers(&mut self, stage: SmtpStage) -> Result<(), Failure> {
        let reply = self.ask(stage, &format!("EHLO {}", self.hello)).await?;
        self.offers = Offers::parse(&reply);
        Ok(())
    }

    pub async fn sign_in(&mut self, account: &Account) -> Result<(), Failure> {
        let failed = |trouble| Failure { stage: SmtpStage::SignIn, trouble };
        let mechanism = self.offers.mechanism(account).map_err(failed)?;
        let mut line = mechanism.begin(account);
        let mut explanation = None;
        for round in 0.. {
            let reply = match self.ask(SmtpStage::SignIn, line.expose_secret()).await {
                Err(Failure { stage, trouble: WireError::Refused(reply) }) => {
                    let trouble = match explanation {
                        Some(explanation) => WireError::Explained { reply, explanation },
                        None => WireError::Refused(reply),
                    };
                    return Err(Failure { stage, trouble });
                }
                replied => replied?,
            };
            if reply.code == 235 {
                break;
            }
            explanation = mechanism.explanation(&reply.text()).or(explanation);
            let Some(answer) = mechanism.answer(account, round, explanation.is_some()) else {
                // In the middle of AUTH the server understands no command.
                self.wire.give_up();
                return Err(failed(WireError::Challenges));
            };
            line = answer;
        }
        Ok(())
    }

    /// Hands over one message: the server accepted it if, and only if, this succeeds. Once the server has replied to the final
    /// dot with a yes the message is its own, whatever it replies next.
    pub async fn hand_over(&mut self, from: &Address, to: &Address, raw: &[u8]) -> Result<(), Failure> {
        self.ask(SmtpStage::Sender, &format!("MAIL FROM:<{}>", from.as_str())).await?;
        self.ask(SmtpStage::Recipient, &format!("RCPT TO:<{}>", to.as_str())).await?;
        self.ask(SmtpStage::Data, "DATA").await?;
        let failed = |trouble| Failure { stage: SmtpStage::Message, trouble };
        // A reply before the final dot is not the answer to it.
        self.wire.write(&transparent(raw)).await.map_err(failed)?;
        self.ask(SmtpStage::Message, ".").await?;
        Ok(())
    }

    /// Sends QUIT, if the server can still understand it, and closes the connection.
    pub async fn farewell(mut self) {
        let goodbye = async {
            if self.wire.is_in_step() {
                let _ = self.ask(SmtpStage::Quit, "QUIT").await;
            }
            self.wire.close().await;
        };
        let _ = timeout(FAREWELL, goodbye).await;
    }

    async fn ask(&mut self, stage: SmtpStage, line: &str) -> Result<Reply, Failure> {
        let replied = self.wire.command(line).await;
        self.judge(stage, replied)
    }

    /// Checks that `stage` allows a reply.
    fn judge(&mut self, stage: SmtpStage, replied: Result<Reply, WireError>) -> Result<Reply, Failure> {
        let trouble = match replied {
            Ok(reply) if stage.allows().contains(&reply.code) => return Ok(reply),
            Ok(reply) if reply.is_refusal() => WireError::Refused(reply),
            Ok(reply) => {
                self.wire.give_up();
                WireError::Unexpected(reply)
            }
            Err(trouble) => trouble,
        };
        Err(Failure { stage, trouble })
    }
}

/// A message as it is written after DATA (RFC 5321, 4.5.2): a dot at the beginning of a line is doubled, and the last line
/// ends.
fn transparent(raw: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(raw.len() + raw.len() / 64 + 2);
    let mut after = b"\r\n".as_slice();
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") && after.ends_with(b"\r\n") {
            written.push(b'.');
        }
        written.extend_from_slice(line);
        after = line;
    }
    if !after.ends_with(b"\r\n") {
        written.extend_from_slice(b"\r\n");
    }
    written
}

/// The name that a client gives itself (RFC 5321, 4.1.3 and 4.1.4): its host name if that can be a domain, otherwise the address
/// that the connection comes from.
pub(super) fn hello(host: Option<&str>, local: Option<SocketAddr>) -> String {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match (host, local.map(|local| local.ip().to_canonical())) {
        (Some(host), _) if host.len() <= 255 && host.split('.').all(label) => host.to_owned(),
        (_, Some(IpAddr::V4(ip))) => format!("[{ip}]"),
        (_, Some(IpAddr::V6(ip))) => format!("[IPv6:{ip}]"),
        (_, None) => "[127.0.0.1]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_known_offers_of_a_server_are_kept() {
        let offers = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (*line).to_owned()).collect();
            Offers::parse(&Reply { code: 250, lines })
        };
        let (none, plain, both) = ([false; 3], [false, true, false], [false, true, true]);
        let token = [true, false, false];
        for (lines, starttls, mechanisms) in [
            (&["tiny"][..], false, none),
            // The first line is the server's name, whatever its text.
            (&["STARTTLS"], false, none),
            (&["tiny", "starttls", "Auth plain"], true, plain),
            (&["tiny", "AUTH=PLAIN LOGIN"], false, both),
            (&["tiny", "AUTH LOGIN", "AUTH PLAIN", "AUTH CRAM-MD5"], false, both),
            (&["tiny", "AUTH XOAUTH2"], false, token),
            (&["tiny", "STARTTLSX", "AUTHPLAIN", "AUTH PLAINER", "X AUTH PLAIN", ""], false, none),
        ] {
            assert_eq!(offers(lines), Offers { starttls, mechanisms }, "{lines:?}");
        }
    }

    #[test]
    fn a_host_name_that_is_not_a_domain_is_replaced_by_the_address() {
        let local = |text: &str| text.parse().ok();
        let v4 = local("192.0.2.7:40000");
        for (host, local, expected) in [
            (Some("mail-1.acme.example"), v4, "mail-1.acme.example"),
            (Some("9f3c"), v4, "9f3c"),
            (Some("evil\r\nMAIL FROM:<x@y>"), v4, "[192.0.2.7]"),
            (Some("under_score"), v4, "[192.0.2.7]"),
            (Some("a..b"), v4, "[192.0.2.7]"),
            (Some(""), v4, "[192.0.2.7]"),
            (None, local("[2001:db8::7]:1"), "[IPv6:2001:db8::7]"),
            (None, local("[::ffff:192.0.2.7]:1"), "[192.0.2.7]"),
            (None, None, "[127.0.0.1]"),
        ] {
            assert_eq!(hello(host, local), expected, "{host:?}");
        }
    }

    #[test]
    fn dots_at_the_beginning_of_a_line_are_doubled() {
        for (raw, written) in [
            (&b""[..], &b""[..]),
            (b"a\r\n", b"a\r\n"),
            (b"a", b"a\r\n"),
            (b"a\n", b"a\n\r\n"),
            (b".a\r\n..\r\nb.\r\n.", b"..a\r\n...\r\nb.\r\n..\r\n"),
        ] {
            let case = String::from_utf8_lossy(raw);
            assert_eq!(String::from_utf8_lossy(&transparent(raw)), String::from_utf8_lossy(written), "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn no_message_ends_early(lines in prop::collection::vec("[.a]{0,4}", 0..12)) {
            let raw = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect::<String>();
            let written = String::from_utf8(transparent(raw.as_bytes())).unwrap();
            prop_assert!(written.split_inclusive("\r\n").all(|line| line != ".\r\n"));
            let taken = written.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line));
            prop_assert_eq!(taken.collect::<String>(), raw);
        }
    }
}
