//! Mail: messages composed as MIME, and sent over SMTP or Microsoft Graph, or put into a folder.
//!
//! A send is one attempt, bounded in time as a whole and in the size of the replies. Each failure is classified by the stage at
//! which it happened; only a 5xx to RCPT or DATA is permanent. A server that accepts a message and then breaks the connection
//! causes a repeat, which carries the same Message-ID.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{Channel, Composed, Outbound, Reissued, SendError};
use crate::clock::SystemClock;
use crate::domain::address::{Address, NamedAddress};
use crate::domain::notification::Notification;
use crate::http::{HttpProxy, SetupError};
use crate::secret::Secret;

mod advice;
mod compose;
mod exchange;
mod gate;
mod graph;
mod mask;
mod refusal;
mod smtp;
mod spool;
mod token;
mod trial;

pub use gate::Gates;
pub use trial::Trial;

/// The sender, and how mail is delivered.
#[derive(Debug, Clone)]
pub struct Options {
    pub from: NamedAddress,
    pub delivery: Delivery,
    /// The address of the pages, if they are public.
    pub public_url: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Delivery {
    Smtp(SmtpOptions),
    Graph(GraphOptions),
    /// A folder that takes one `.eml` file a message.
    Spool(PathBuf),
}

/// The mail server.
#[derive(Debug, Clone)]
pub struct SmtpOptions {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// Allows a password without TLS to another machine, because the operator trusts the network.
    pub allow_insecure: bool,
    /// With `password` or `oauth2`; without a sign-in, neither is set.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// In place of `password`.
    pub oauth2: Option<TokenOptions>,
    /// Trusted besides the system's authorities, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Over the whole send, from the first packet to the last reply.
    pub timeout: Duration,
}

impl SmtpOptions {
    /// A send may take this long.
    pub const TIMEOUT: Duration = Duration::from_mins(1);

    /// STARTTLS to `host`, no sign-in.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let (host, tls, timeout) = (host.into(), Tls::StartTls, Self::TIMEOUT);
        let (username, password, oauth2, ca_file) = (None, None, None, None);
        Self { host, port, tls, allow_insecure: false, username, password, oauth2, ca_file, timeout }
    }
}

/// A mailbox of Microsoft 365 that sends over Microsoft Graph.
#[derive(Debug, Clone)]
pub struct GraphOptions {
    /// Such as `https://graph.microsoft.com/v1.0`.
    pub base_url: String,
    pub user: Address,
    /// Its HTTP access applies to Graph too.
    pub token: TokenOptions,
    /// Over the whole send, including the token.
    pub timeout: Duration,
}

/// How access tokens are fetched.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The token endpoint, without a query.
    pub url: String,
    pub grant: Grant,
    pub scope: String,
    pub access: HttpAccess,
}

/// The proof of identity for a token endpoint.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The client secret of an app.
    Secret { client_id: String, secret: Secret },
    /// A file with an assertion (JWT), or with an RSA key and its certificate in PEM that sign one.
    Assertion { client_id: String, file: Secret },
    /// The key file of a Google service account, and the mailbox that it acts for.
    Google { service_account: Secret, subject: Address },
}

/// How servers are reached over HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpAccess {
    /// Permits `http://` to another machine.
    pub allow_insecure: bool,
    /// Trusted besides the system's authorities, in PEM.
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<HttpProxy>,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Begins in the clear and must be upgraded before any mail command; never downgraded.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all: a password is then sent to this machine only, unless `allow_insecure` is set.
    None,
}

/// Why the mail channel cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("a user name for the mail server needs a password or oauth2, not both, and each of them needs a user name")]
    HalfCredential,
    #[error("the password for the mail server {host} would be sent without TLS: use starttls or implicit")]
    PasswordInTheClear { host: String },
    #[error("cannot read the CA file {path}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("the CA file {path} holds no certificate in PEM")]
    CaFormat { path: PathBuf },
    #[error("the sign-in would be sent to {host} without TLS: use https://")]
    SecretInTheClear { host: String },
    #[error(transparent)]
    Http(#[from] SetupError),
    #[error("cannot set up TLS for the mail server {host}: {reason}")]
    Tls { host: String, reason: String },
}

/// The mail channel.
pub struct Email {
    from: NamedAddress,
    public_url: Option<String>,
    way: Way,
}

enum Way {
    Smtp(Box<smtp::Server>),
    Graph(Box<graph::Graph>),
    Spool(PathBuf),
}

impl Email {
    /// Reads the CA file; does not connect.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        Self::of(&mut Gates::default(), options)
    }

    /// The same behind the gates of the configuration before.
    pub fn of(gates: &mut Gates, options: Options) -> Result<Self, BuildError> {
        let Options { from, delivery, public_url } = options;
        let clock = Arc::new(SystemClock);
        let way = match delivery {
            Delivery::Smtp(options) => {
                Way::Smtp(Box::new(smtp::Server::new(options, from.address.clone(), gates, clock)?))
            }
            Delivery::Graph(options) => Way::Graph(Box::new(graph::Graph::new(options, gates, clock)?)),
            Delivery::Spool(folder) => Way::Spool(folder),
        };
        Ok(Self { from, public_url, way })
    }

    /// Connects, starts TLS and signs in, or writes a probe file into the folder; sends nothing. For Microsoft Graph it only
    /// fetches a token.
    pub async fn probe(&self) -> Result<(), SendError> {
        match &self.way {
            Way::Smtp(server) => server.probe().await,
            Way::Graph(graph) => graph.probe().await,
            Way::Spool(folder) => spool::probe(folder).await,
        }
    }
}

impl Channel for Email {
    fn label(&self) -> &'static str {
        "email"
    }

    fn compose(&self, notification: &Notification) -> Composed {
        compose::compose(&self.from, notification, self.public_url.as_deref())
    }

    fn reissue(&self, raw: &[u8], notification: Uuid) -> Reissued {
        compose::reissue(&self.from, raw, notification)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>> {
        match &self.way {
            Way::Smtp(server) => Box::pin(server.send(outbound)),
            Way::Graph(graph) => Box::pin(graph.send(outbound)),
            Way::Spool(folder) => Box::pin(spool::put(folder, outbound)),
        }
    }

    fn certificate_ends(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        let ends = match &self.way {
            Way::Smtp(server) => vec![
                ("email.smtp.host", server.certificate_end()),
                ("email.smtp.oauth2.token_url", server.tokens().and_then(token::Tokens::certificate_end)),
            ],
            Way::Graph(graph) => vec![
                ("email.graph.base_url", graph.certificate_end()),
                ("email.graph.token_url", graph.tokens.certificate_end()),
            ],
            Way::Spool(_) => Vec::new(),
        };
        ends.into_iter().filter_map(|(key, end)| Some((key, end?))).collect()
    }
}

#[cfg(test)]
mod tests;
