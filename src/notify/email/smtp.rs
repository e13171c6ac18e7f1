//! One conversation with a mail server, command by command, so that each failure is known by its stage.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Auth, Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::compose::mail_address;
use super::line_stream::LineStream;
use super::refusal::{Echoes, Stage, cause, classify, shown, transient};
use super::{BuildError, SmtpOptions, Tls};
use crate::notify::{Obstacle, Outbound, SendError};
use crate::secret::Secret;

/// How long a server that has answered everything may take to say goodbye; nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often a server may ask while somebody signs in: AUTH LOGIN asks for a name and a password.
const MOST_CHALLENGES: usize = 3;

/// A mail server, and how to talk to it.
pub(super) struct Server {
    host: String,
    port: u16,
    protection: Protection,
    allow_insecure: bool,
    account: Option<(String, Secret)>,
    sender: lettre::Address,
    timeout: Duration,
    hello: ClientId,
}

enum Protection {
    StartTls(TlsParameters),
    Implicit(TlsParameters),
    None,
}

impl Server {
    pub fn new(options: SmtpOptions, sender: lettre::Address) -> Result<Self, BuildError> {
        let SmtpOptions { host, port, tls, allow_insecure, username, password, ca_file, timeout } = options;
        let account = match (username, password) {
            (Some(username), Some(password)) => Some((username, password)),
            (None, None) => None,
            _ => return Err(BuildError::HalfCredential),
        };
        let protection = match tls {
            Tls::StartTls => Protection::StartTls(parameters(&host, ca_file.as_deref())?),
            Tls::Implicit => Protection::Implicit(parameters(&host, ca_file.as_deref())?),
            Tls::None if account.is_some() && !allow_insecure && !may_be_loopback(&host) => {
                return Err(BuildError::PasswordInTheClear { host });
            }
            Tls::None => Protection::None,
        };
        let hello = ClientId::default();
        Ok(Self { host, port, protection, allow_insecure, account, sender, timeout, hello })
    }

    pub async fn probe(&self) -> Result<(), SendError> {
        let account = self.revealed()?;
        let connection = self.bounded(self.open(&account)).await?;
        farewell(connection).await;
        Ok(())
    }

    pub async fn send(&self, outbound: &Outbound) -> Result<(), SendError> {
        let account = self.revealed()?;
        let conversation = async {
            let mut connection = self.open(&account).await?;
            let outcome = self.hand_over(&mut connection, outbound, &account.echoes).await;
            Ok((outcome, connection))
        };
        let (outcome, connection) = self.bounded(conversation).await?;
        // Taken or refused: whatever happens now, it stays so.
        farewell(connection).await;
        outcome
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        timeout(self.timeout, work).await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            let reason = format!("the mail server {} did not finish within {seconds} s", self.address());
            Err(transient(Obstacle::Timeout, reason))
        })
    }

    fn address(&self) -> String {
        shown(&format!("{}:{}", self.host, self.port))
    }

    fn failed(&self, stage: Stage, echoes: &Echoes) -> impl Fn(lettre::transport::smtp::Error) -> SendError {
        let server = self.address();
        move |error| classify(&server, stage, &error, echoes)
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        outbound: &Outbound,
        echoes: &Echoes,
    ) -> Result<(), SendError> {
        let from = Mail::new(Some(self.sender.clone()), Vec::new());
        connection.command(from).await.map_err(self.failed(Stage::Sender, echoes))?;
        let to = Rcpt::new(mail_address(&outbound.to), Vec::new());
        connection.command(to).await.map_err(self.failed(Stage::Recipient, echoes))?;
        connection.command(Data).await.map_err(self.failed(Stage::Data, echoes))?;
        // lettre ends the message with a line break of its own.
        let raw = outbound.raw.strip_suffix(b"\r\n").unwrap_or(&outbound.raw);
        connection.message(raw).await.map(drop).map_err(self.failed(Stage::Data, echoes))
    }

    /// The one place where the password is revealed. It is read anew, so that a rotated file is picked up; and before
    /// anything is said, because a server that has seen it once may repeat it in any reply.
    fn revealed(&self) -> Result<Revealed, SendError> {
        let Some((username, password)) = &self.account else { return Ok(Revealed::default()) };
        let password = password.value().map_err(|error| {
            transient(Obstacle::Auth, format!("the password for the mail server cannot be had: {}", cause(&error)))
        })?;
        let revealed = password.expose_secret();
        let credentials = Some(Credentials::new(username.clone(), revealed.to_owned()));
        Ok(Revealed { credentials, echoes: Echoes::of(username, revealed) })
    }

    /// Connects, protects the connection and signs in.
    async fn open(&self, account: &Revealed) -> Result<AsyncSmtpConnection, SendError> {
        let echoes = &account.echoes;
        let (mut connection, in_the_clear) = match &self.protection {
            Protection::StartTls(parameters) => (self.upgrade(parameters, echoes).await?, false),
            Protection::Implicit(parameters) => (self.connect_protected(parameters, echoes).await?, false),
            Protection::None => {
                let stream = self.connect().await?;
                let far = stream.peer_addr().map_or(true, |peer| !peer.ip().is_loopback());
                (self.greet(stream, echoes).await?, far)
            }
        };
        if let Some(credentials) = &account.credentials {
            if in_the_clear && !self.allow_insecure {
                let reason = format!("{} is not this machine: no password is sent to it without TLS", self.address());
                return Err(transient(Obstacle::Tls, reason));
            }
            self.sign_in(&mut connection, credentials, echoes).await?;
        }
        Ok(connection)
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

    async fn greet(&self, stream: TcpStream, echoes: &Echoes) -> Result<AsyncSmtpConnection, SendError> {
        AsyncSmtpConnection::connect_with_transport(Box::new(LineStream::new(stream)), &self.hello)
            .await
            .map_err(self.failed(Stage::Greeting, echoes))
    }

    async fn upgrade(&self, parameters: &TlsParameters, echoes: &Echoes) -> Result<AsyncSmtpConnection, SendError> {
        let mut connection = self.greet(self.connect().await?, echoes).await?;
        if !connection.can_starttls() {
            farewell(connection).await;
            let reason = format!("the mail server {} does not offer STARTTLS; nothing was sent", self.address());
            return Err(transient(Obstacle::Tls, reason));
        }
        connection.starttls(parameters.clone(), &self.hello).await.map_err(self.failed(Stage::Tls, echoes))?;
        if connection.is_encrypted() {
            return Ok(connection);
        }
        Err(transient(Obstacle::Tls, format!("the connection to {} was not encrypted", self.address())))
    }

    async fn connect_protected(
        &self,
        parameters: &TlsParameters,
        echoes: &Echoes,
    ) -> Result<AsyncSmtpConnection, SendError> {
        let server = (self.host.as_str(), self.port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, Some(parameters.clone()), None).await;
        connected.map_err(|error| {
            let nested = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<lettre::transport::smtp::Error>);
            let address = self.address();
            let words = shown(&cause(&error));
            // lettre wraps a failed handshake twice, a failed connection once, and a reply not at all.
            match (error.to_string().starts_with("Connection error"), nested) {
                (true, true) => transient(Obstacle::Tls, format!("no TLS with the mail server {address}: {words}")),
                (true, false) => {
                    transient(Obstacle::Connect, format!("no connection to the mail server {address}: {words}"))
                }
                (false, _) => classify(&address, Stage::Greeting, &error, echoes),
            }
        })
    }

    async fn sign_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        credentials: &Credentials,
        echoes: &Echoes,
    ) -> Result<(), SendError> {
        let offered = connection.server_info().get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]);
        let Some(mechanism) = offered else {
            let reason = format!("the mail server {} offers neither AUTH PLAIN nor AUTH LOGIN", self.address());
            return Err(transient(Obstacle::Auth, reason));
        };
        let failed = self.failed(Stage::SignIn, echoes);
        // lettre's own way says QUIT after a refusal and waits for the answer, so that a server which then falls silent would
        // look as if it had not refused.
        let auth = Auth::new(mechanism, credentials.clone(), None).map_err(&failed)?;
        let mut reply = connection.command(auth).await.map_err(&failed)?;
        for _ in 0..MOST_CHALLENGES {
            if !reply.has_code(334) {
                return Ok(());
            }
            let answer = Auth::new_from_response(mechanism, credentials.clone(), &reply).map_err(&failed)?;
            reply = connection.command(answer).await.map_err(&failed)?;
        }
        if reply.has_code(334) {
            let reason = format!("the mail server {} asks for the sign-in again and again", self.address());
            return Err(transient(Obstacle::Auth, reason));
        }
        Ok(())
    }
}

/// The sign-in for one conversation, and what must not be told of its replies.
#[derive(Default)]
struct Revealed {
    credentials: Option<Credentials>,
    echoes: Echoes,
}

async fn farewell(mut connection: AsyncSmtpConnection) {
    let _ = timeout(FAREWELL, connection.quit()).await;
}

/// Whether `host` is this machine by name; the address is looked at again once connected.
fn may_be_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, BuildError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(|source| BuildError::CaFile { path: path.to_owned(), source })?;
        let format = || BuildError::CaFormat { path: path.to_owned() };
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(format());
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| format())?);
    }
    builder.build_rustls().map_err(|error| BuildError::Tls { host: host.to_owned(), reason: cause(&error) })
}
