//! A mail server, and one attempt to hand a message over to it.
//!
//! The protocol is our own code and not a library's, so that the stage of each failure is known, each stage accepts only its own
//! replies as a yes, and the size of the replies is bounded.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::session::{Failure, Session};
use self::sign_in::{Account, Mechanism};
use self::tls::Protection;
use super::gate::Gates;
use super::refusal::{Echoes, cause, classify, shown, transient};
use super::token::{Provided, Tokens};
use super::{BuildError, SmtpOptions, Tls};
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::notify::{Obstacle, Outbound, SendError};
use crate::secret::Secret;

pub(super) mod reply;
mod session;
mod sign_in;
mod tls;
pub(super) mod wire;

/// A mail server, and how to talk to it.
pub(super) struct Server {
    host: String,
    port: u16,
    way: Way,
    allow_insecure: bool,
    credential: Option<(String, Credential)>,
    sender: Address,
    timeout: Duration,
    /// The name of this machine, if it has one.
    machine: Option<String>,
}

enum Credential {
    Password(Secret),
    Tokens(Box<Tokens>),
}

enum Way {
    StartTls(Box<Protection>),
    Implicit(Box<Protection>),
    Clear,
}

impl Server {
    pub fn new(
        options: SmtpOptions,
        sender: Address,
        gates: &mut Gates,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let SmtpOptions { host, port, tls, allow_insecure, username, password, oauth2, ca_file, timeout } = options;
        let credential = match (username, password, oauth2) {
            (Some(username), Some(password), None) => Some((username, Credential::Password(password))),
            (Some(username), None, Some(options)) => {
                Some((username, Credential::Tokens(Box::new(Tokens::new(options, gates, clock)?))))
            }
            (None, None, None) => None,
            _ => return Err(BuildError::HalfCredential),
        };
        let protection = || Protection::new(&host, ca_file.as_deref()).map(Box::new);
        let way = match tls {
            Tls::StartTls => Way::StartTls(protection()?),
            Tls::Implicit => Way::Implicit(protection()?),
            Tls::None if credential.is_some() && !allow_insecure && !may_be_loopback(&host) => {
                return Err(BuildError::PasswordInTheClear { host });
            }
            Tls::None => Way::Clear,
        };
        let machine = hostname::get().ok().and_then(|name| name.into_string().ok());
        Ok(Self { host, port, way, allow_insecure, credential, sender, timeout, machine })
    }

    pub async fn probe(&self) -> Result<(), SendError> {
        self.attempt(None).await
    }

    pub async fn send(&self, outbound: &Outbound) -> Result<(), SendError> {
        self.attempt(Some(outbound)).await
    }

    /// The tokens for the sign-in, if it uses any.
    pub fn tokens(&self) -> Option<&Tokens> {
        match &self.credential {
            Some((_, Credential::Tokens(tokens))) => Some(tokens),
            _ => None,
        }
    }

    /// The end of the certificate that the server presented last.
    pub fn certificate_end(&self) -> Option<DateTime<Utc>> {
        match &self.way {
            Way::StartTls(protection) | Way::Implicit(protection) => protection.presented.end(),
            Way::Clear => None,
        }
    }

    /// Runs one session; if the server refuses a token that was fetched for an earlier session, another one with a new token.
    async fn attempt(&self, outbound: Option<&Outbound>) -> Result<(), SendError> {
        let deadline = Instant::now() + self.timeout;
        let revealed = self.in_time(deadline, self.revealed()).await?;
        let outcome = self.session(deadline, &revealed, outbound).await;
        let (Err(error), Some(tokens), Some(token)) = (&outcome, self.tokens(), &revealed.token) else {
            return outcome;
        };
        if error.obstacle != Obstacle::Auth || error.reply.is_none() {
            return outcome;
        }
        tokens.refused(&token.token).await;
        if !token.cached {
            return outcome;
        }
        let revealed = self.in_time(deadline, self.revealed()).await?;
        self.session(deadline, &revealed, outbound).await
    }

    /// Runs one session: up to the sign-in, and to the end if there is a message.
    async fn session(
        &self,
        deadline: Instant,
        revealed: &Revealed,
        outbound: Option<&Outbound>,
    ) -> Result<(), SendError> {
        let mut session = None;
        let outcome = timeout_at(deadline, self.converse(&mut session, revealed, outbound)).await;
        // Accepted or refused, the outcome is certain, whatever happens now. After a time-out the connection only closes.
        if let (Some(session), Ok(_)) = (session, &outcome) {
            session.farewell().await;
        }
        outcome.unwrap_or_else(|_| Err(self.too_slow()))
    }

    async fn in_time<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        timeout_at(deadline, work).await.unwrap_or_else(|_| Err(self.too_slow()))
    }

    fn too_slow(&self) -> SendError {
        let seconds = self.timeout.as_secs_f32();
        transient(Obstacle::Timeout, format!("the mail server {} did not finish within {seconds} s", self.address()))
    }

    async fn converse(
        &self,
        place: &mut Option<Session>,
        revealed: &Revealed,
        outbound: Option<&Outbound>,
    ) -> Result<(), SendError> {
        let server = self.address();
        let failed = |Failure { stage, trouble }| classify(&server, stage, &trouble, &revealed.echoes);
        let stream = self.connect().await?;
        let far = stream.peer_addr().map_or(true, |peer| !peer.ip().to_canonical().is_loopback());
        let hello = session::hello(self.machine.as_deref(), stream.local_addr().ok());
        let session = place.insert(Session::new(stream, hello));
        match &self.way {
            Way::StartTls(protection) => {
                session.greet().await.map_err(failed)?;
                session.upgrade(protection).await.map_err(failed)?;
            }
            Way::Implicit(protection) => {
                session.protect(protection).await.map_err(failed)?;
                session.greet().await.map_err(failed)?;
            }
            Way::Clear => session.greet().await.map_err(failed)?,
        }
        if let Some(account) = &revealed.account {
            if far && matches!(self.way, Way::Clear) && !self.allow_insecure {
                let reason = format!("{server} is not this machine: no password is sent to it without TLS");
                return Err(transient(Obstacle::Tls, reason));
            }
            session.sign_in(account).await.map_err(failed)?;
        }
        match outbound {
            Some(outbound) => session.hand_over(&self.sender, &outbound.to, &outbound.raw).await.map_err(failed),
            None => Ok(()),
        }
    }

    async fn connect(&self) -> Result<TcpStream, SendError> {
        let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
        // A message and its end are two writes: without this, the second waits until the first is acknowledged, which takes 40 ms
        // on a server that has nothing to send yet.
        let connected = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        connected.map_err(|error| {
            transient(Obstacle::Connect, format!("no connection to the mail server {}: {error}", self.address()))
        })
    }

    /// Host and port.
    pub fn address(&self) -> String {
        shown(&format!("{}:{}", self.host, self.port))
    }

    /// The one place that reveals the sign-in. It reads a password file each time, so that a rotated password takes effect. It
    /// does so before the first command, because a server that has seen the password may repeat it in any reply.
    async fn revealed(&self) -> Result<Revealed, SendError> {
        let Some((username, credential)) = &self.credential else { return Ok(Revealed::default()) };
        let username = username.clone();
        match credential {
            Credential::Password(password) => {
                let unread = |error| format!("cannot read the SMTP password: {}", cause(&error));
                let password = password.value().map_err(|error| transient(Obstacle::Auth, unread(error)))?;
                let echoes = Echoes::of(&username, password.expose_secret());
                Ok(Revealed { account: Some(Account::Password { username, password }), echoes, token: None })
            }
            Credential::Tokens(tokens) => {
                let provided = tokens.token().await?;
                let account = Account::Token { username, token: provided.token.value.clone() };
                let echoes = Echoes::of_token(&provided.token, &Mechanism::XOAuth2.whole(&account));
                Ok(Revealed { account: Some(account), echoes, token: Some(provided) })
            }
        }
    }
}

/// The sign-in for one session, and the texts that no quoted reply may contain.
#[derive(Default)]
struct Revealed {
    account: Option<Account>,
    echoes: Echoes,
    token: Option<Provided>,
}

/// Whether `host` is this machine by name; the address is checked again once connected.
fn may_be_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
