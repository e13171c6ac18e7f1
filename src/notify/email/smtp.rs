//! A mail server, and one attempt to hand a message over to it.
//!
//! The protocol is driven here and not by a library, so that each failure is known by its stage, each stage takes only its
//! own replies for a yes, and what a server may send is bounded.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::session::{Failure, Session};
use self::sign_in::Account;
use self::tls::Protection;
use super::refusal::{Echoes, cause, classify, shown, transient};
use super::{BuildError, SmtpOptions, Tls};
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
    account: Option<(String, Secret)>,
    sender: Address,
    timeout: Duration,
    /// The name of this machine, if it has one.
    machine: Option<String>,
}

enum Way {
    StartTls(Box<Protection>),
    Implicit(Box<Protection>),
    Clear,
}

impl Server {
    pub fn new(options: SmtpOptions, sender: Address) -> Result<Self, BuildError> {
        let SmtpOptions { host, port, tls, allow_insecure, username, password, ca_file, timeout } = options;
        let account = match (username, password) {
            (Some(username), Some(password)) => Some((username, password)),
            (None, None) => None,
            _ => return Err(BuildError::HalfCredential),
        };
        let protection = || Protection::new(&host, ca_file.as_deref()).map(Box::new);
        let way = match tls {
            Tls::StartTls => Way::StartTls(protection()?),
            Tls::Implicit => Way::Implicit(protection()?),
            Tls::None if account.is_some() && !allow_insecure && !may_be_loopback(&host) => {
                return Err(BuildError::PasswordInTheClear { host });
            }
            Tls::None => Way::Clear,
        };
        let machine = hostname::get().ok().and_then(|name| name.into_string().ok());
        Ok(Self { host, port, way, allow_insecure, account, sender, timeout, machine })
    }

    pub async fn probe(&self) -> Result<(), SendError> {
        self.attempt(None).await
    }

    pub async fn send(&self, outbound: &Outbound) -> Result<(), SendError> {
        self.attempt(Some(outbound)).await
    }

    /// One session: up to the sign-in, and on to the end where there is a message.
    async fn attempt(&self, outbound: Option<&Outbound>) -> Result<(), SendError> {
        let account = self.revealed()?;
        let mut session = None;
        let outcome = timeout(self.timeout, self.converse(&mut session, &account, outbound)).await;
        // Taken or refused: whatever happens now, it stays so. After a time-out the connection only closes.
        if let (Some(session), Ok(_)) = (session, &outcome) {
            session.farewell().await;
        }
        outcome.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            let reason = format!("the mail server {} did not finish within {seconds} s", self.address());
            Err(transient(Obstacle::Timeout, reason))
        })
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
        // A message and its end are two writes: without this the second waits until the first is acknowledged, which takes
        // a server 40 ms that has nothing to say yet.
        let connected = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        connected.map_err(|error| {
            transient(Obstacle::Connect, format!("no connection to the mail server {}: {error}", self.address()))
        })
    }

    fn address(&self) -> String {
        shown(&format!("{}:{}", self.host, self.port))
    }

    /// The one place that reveals the password. It reads the file each time, so that a rotated password takes effect, and before
    /// the first command, because a server that has seen the password may repeat it in any reply.
    fn revealed(&self) -> Result<Revealed, SendError> {
        let Some((username, password)) = &self.account else { return Ok(Revealed::default()) };
        let password = password
            .value()
            .map_err(|error| transient(Obstacle::Auth, format!("cannot read the SMTP password: {}", cause(&error))))?;
        let echoes = Echoes::of(username, password.expose_secret());
        Ok(Revealed { account: Some(Account { username: username.clone(), password }), echoes })
    }
}

/// The sign-in for one session, and the texts that no reply may be quoted with.
#[derive(Default)]
struct Revealed {
    account: Option<Account>,
    echoes: Echoes,
}

/// Whether `host` is this machine by name; the address is looked at again once connected.
fn may_be_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
