//! The mail account: who the mails come from, and the server or folder that takes them.

use std::path::PathBuf;

use crate::domain::address::Mailbox;
use crate::secret::Secret;

use super::environment::Environment;
use super::fields::{self, Fields, Keys, described};
use super::report::Report;
use super::tree::{Form, Node, Value};
use super::url::{is_host, is_loopback};
use super::{secret, source};

/// How mails leave.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    pub from: Mailbox,
    pub delivery: Delivery,
}

/// Where mails go.
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
    /// A password may cross the network in plain text.
    pub allow_insecure: bool,
    /// Given together with `password` or not at all.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    pub max_per_minute: u32,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    StartTls,
    Implicit,
    None,
}

impl Tls {
    const WORDS: [(&'static str, Self); 3] =
        [("starttls", Self::StartTls), ("implicit", Self::Implicit), ("none", Self::None)];

    /// The port that servers use for it.
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

pub(super) const KEYS: Keys = Keys { of: "\"email\"", known: &["from", "smtp", "spool"], later: &[] };

pub(super) const SMTP: Keys = Keys {
    of: "\"smtp\"",
    known: &["host", "port", "tls", "username", "password", "ca_file", "max_per_minute", "allow_insecure"],
    later: &["oauth2"],
};

/// What Microsoft 365 takes from one account.
const MAX_PER_MINUTE: u32 = 30;

pub(super) fn read(report: &mut Report, node: &Node, environment: &dyn Environment) -> Option<EmailConfig> {
    let fields = Fields::new(report, node, KEYS)?;
    let from = from(report, &fields);
    if let (true, Some(spool)) = (fields.has("smtp"), fields.entry("spool")) {
        report.problem(spool.place, "\"email\" has both \"smtp\" and \"spool\"; mails go one way only");
    }
    let delivery = match (fields.has("smtp"), fields.has("spool")) {
        (true, _) => fields.node(report, "smtp").and_then(|node| smtp(report, node, environment)).map(Delivery::Smtp),
        (false, true) => fields.path(report, "spool").map(Delivery::Spool),
        (false, false) if fields.is_misspelled("smtp") || fields.is_misspelled("spool") => None,
        (false, false) => {
            let help = "smtp: { host: ... } for a mail server, or spool: PATH for a folder of .eml files";
            report.problem_with(fields.place, "\"email\" needs a way to send", help);
            None
        }
    };
    Some(EmailConfig { from: from?, delivery: delivery? })
}

fn from(report: &mut Report, fields: &Fields<'_>) -> Option<Mailbox> {
    let node = fields.required(report, "from", "\"email\"")?;
    let text = fields::text(report, node, "from")?;
    match Mailbox::parse(text) {
        Ok(mailbox) => Some(mailbox),
        Err(error) => {
            let help = "write address@company.example or Name <address@company.example>";
            report.problem_with(node.place, format!("\"from\": {error}"), help);
            None
        }
    }
}

fn smtp(report: &mut Report, node: &Node, environment: &dyn Environment) -> Option<SmtpConfig> {
    let fields = Fields::new(report, node, SMTP)?;
    let allow_insecure = fields.flag(report, "allow_insecure").unwrap_or(false);
    let host = host(report, &fields);
    let tls = fields.choice(report, "tls", &Tls::WORDS).unwrap_or(Tls::StartTls);
    let port = fields.whole(report, "port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    let max_per_minute = fields.whole(report, "max_per_minute", 1..=100_000).and_then(|most| u32::try_from(most).ok());
    let ca_file = source::ca_file(report, &fields);
    let (username, password) = sign_in(report, &fields, environment);
    let host = host?;
    if let (Tls::None, false, false, Some(entry)) = (tls, allow_insecure, is_loopback(&host), fields.entry("tls")) {
        let message = "\"tls: none\" would send mails, and the password, across the network in plain text";
        let help = "use starttls or implicit, or set allow_insecure: true where the network can be trusted";
        report.problem_with(entry.value.place, message, help);
    }
    Some(SmtpConfig {
        host,
        port: port.unwrap_or_else(|| tls.port()),
        tls,
        allow_insecure,
        username,
        password,
        ca_file,
        max_per_minute: max_per_minute.unwrap_or(MAX_PER_MINUTE),
    })
}

fn host(report: &mut Report, fields: &Fields<'_>) -> Option<String> {
    let node = fields.required(report, "host", "\"smtp\"")?;
    let host = fields::text(report, node, "host")?.trim();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_flag = matches!(node.value, Value::Scalar(_, Form::Flag(_)));
    if !is_flag && is_host(host) || address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some(address.to_owned());
    }
    let message = format!("\"host\" must be the name or address of a mail server, not {}", described(node));
    report.problem_with(node.place, message, "without a scheme and without a port: the port has a key of its own");
    None
}

/// Both or neither.
fn sign_in(
    report: &mut Report,
    fields: &Fields<'_>,
    environment: &dyn Environment,
) -> (Option<String>, Option<Secret>) {
    for (key, other) in [("username", "password"), ("password", "username")] {
        if let Some(entry) = fields.entry(key)
            && !fields.has(other)
            && !fields.is_misspelled(other)
            && !fields.has("oauth2")
        {
            let help = "a server that asks for a sign-in needs both, one that does not needs neither";
            report.problem_with(entry.place, format!("{key:?} is given without {other:?}"), help);
        }
    }
    let username = fields.text(report, "username").map(str::to_owned);
    let password = fields.has("password").then(|| secret::read(report, fields, "password", environment)).flatten();
    (username, password)
}
