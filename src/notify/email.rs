//! Mail: messages composed as MIME, and sent over SMTP or put into a folder.
//!
//! A send is one attempt, bounded in time as a whole and in what a server may say. Each failure is classified by the stage
//! at which it happened; only a 5xx to RCPT or DATA is permanent. A server that takes a message and then breaks the
//! connection causes a repeat, which carries the same Message-ID.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{Channel, Composed, Outbound, Reissued, SendError};
use crate::domain::address::Mailbox;
use crate::domain::notification::Notification;
use crate::secret::Secret;

mod compose;
mod mask;
mod refusal;
mod smtp;
mod spool;

/// The sender, and how mail is delivered.
#[derive(Debug, Clone)]
pub struct Options {
    pub from: Mailbox,
    pub delivery: Delivery,
    /// Where the pages are, if they are public.
    pub public_url: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Delivery {
    Smtp(SmtpOptions),
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
    /// Both or neither.
    pub username: Option<String>,
    pub password: Option<Secret>,
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
        let (username, password, ca_file) = (None, None, None);
        let (host, tls, timeout) = (host.into(), Tls::StartTls, Self::TIMEOUT);
        Self { host, port, tls, allow_insecure: false, username, password, ca_file, timeout }
    }
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Begins in the clear and must be upgraded before anything is said; never downgraded.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all: a password is then sent to this machine only, unless `allow_insecure` says otherwise.
    None,
}

/// Why the mail channel cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("a user name for the mail server needs a password, and a password needs a user name")]
    HalfCredential,
    #[error("the password for the mail server {host} would be sent without TLS: use starttls or implicit")]
    PasswordInTheClear { host: String },
    #[error("cannot read the CA file {path}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("the CA file {path} holds no certificate in PEM")]
    CaFormat { path: PathBuf },
    #[error("cannot set up TLS for the mail server {host}: {reason}")]
    Tls { host: String, reason: String },
}

/// The mail channel.
pub struct Email {
    from: Mailbox,
    public_url: Option<String>,
    way: Way,
}

enum Way {
    Smtp(Box<smtp::Server>),
    Spool(PathBuf),
}

impl Email {
    /// Reads the CA file; does not connect.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let Options { from, delivery, public_url } = options;
        let way = match delivery {
            Delivery::Smtp(options) => Way::Smtp(Box::new(smtp::Server::new(options, from.address.clone())?)),
            Delivery::Spool(folder) => Way::Spool(folder),
        };
        Ok(Self { from, public_url, way })
    }

    /// Connects, starts TLS and signs in, or writes a probe file into the folder; sends nothing.
    pub async fn probe(&self) -> Result<(), SendError> {
        match &self.way {
            Way::Smtp(server) => server.probe().await,
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
            Way::Spool(folder) => Box::pin(spool::put(folder, outbound)),
        }
    }
}

#[cfg(test)]
mod tests;
