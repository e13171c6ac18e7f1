//! The mail account: the sender, and the server or folder for outgoing mail.

use std::path::PathBuf;

use crate::domain::address::Mailbox;
use crate::secret::Secret;

use super::keys::{EmailKeys, SmtpKeys};
use super::report::Report;
use super::shapes::Words;
use super::url::is_loopback;

/// The mail account.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    pub from: Mailbox,
    pub delivery: Delivery,
}

/// The destination of outgoing mail.
#[derive(Debug, Clone)]
pub enum Delivery {
    Smtp(SmtpConfig),
    /// A folder that takes one `.eml` file a message.
    Spool(PathBuf),
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// Permits a password in plain text on the network.
    pub allow_insecure: bool,
    /// Given together with `password` or not at all.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    pub max_per_minute: u32,
}

/// The protection of the connection to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    StartTls,
    Implicit,
    None,
}

impl Words for Tls {
    const WORDS: &'static [(&'static str, Self)] =
        &[("starttls", Self::StartTls), ("implicit", Self::Implicit), ("none", Self::None)];
}

impl Tls {
    /// The usual port.
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// Checks the keys of `email` against each other.
pub(super) fn understand(report: &mut Report, keys: EmailKeys) -> Option<EmailConfig> {
    let (smtp, spool) = (&keys.smtp, &keys.spool);
    if smtp.given && spool.given {
        report.problem(spool.key, "\"email\" has both \"smtp\" and \"spool\"; remove one");
    }
    if smtp.is_missing() && spool.is_missing() {
        let help = "smtp: { host: ... } for a mail server, or spool: PATH for a folder of .eml files";
        report.problem(keys.place, ("\"email\" needs a way to send", help));
    }
    let smtp = keys.smtp.value.and_then(|keys| understand_smtp(report, keys)).map(Delivery::Smtp);
    Some(EmailConfig { delivery: smtp.or(keys.spool.value.map(Delivery::Spool))?, from: keys.from.value? })
}

fn understand_smtp(report: &mut Report, keys: SmtpKeys) -> Option<SmtpConfig> {
    let (username, password) = (&keys.username, &keys.password);
    let help = "give both for a server with a sign-in, else neither";
    if username.given && password.is_missing() && !keys.oauth2.own {
        report.problem(username.key, ("\"username\" is given without \"password\"", help));
    }
    if password.given && username.is_missing() {
        report.problem(password.key, ("\"password\" is given without \"username\"", help));
    }
    let (host, tls, allow_insecure) = (keys.host.value?, keys.tls.value, keys.allow_insecure.value);
    if tls == Tls::None && !allow_insecure && !is_loopback(&host) {
        let message = "\"tls: none\" would send mails, and the password, across the network in plain text";
        let help = "use starttls or implicit, or set allow_insecure: true where the network can be trusted";
        report.problem(keys.tls.at, (message, help));
    }
    Some(SmtpConfig {
        host,
        port: keys.port.value.unwrap_or_else(|| tls.port()),
        tls,
        allow_insecure,
        username: keys.username.value,
        password: keys.password.value,
        ca_file: keys.ca_file.value,
        max_per_minute: keys.max_per_minute.value,
    })
}
