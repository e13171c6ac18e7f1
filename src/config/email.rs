//! The mail account: the sender, and the server or folder for outgoing mail.

use std::path::PathBuf;

use crate::domain::address::{Address, NamedAddress};
use crate::secret::Secret;

use super::keys::{EmailKeys, GraphKeys, SmtpKeys};
use super::oauth2::{self, Client, TokenConfig};
use super::report::Report;
use super::shapes::Words;
use super::url::is_loopback;

/// The mail account.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    pub from: NamedAddress,
    pub delivery: Delivery,
}

/// The destination of outgoing mail.
#[derive(Debug, Clone)]
pub enum Delivery {
    Smtp(SmtpConfig),
    Graph(GraphConfig),
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
    /// Given together with `password` or `oauth2`, or not at all.
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub oauth2: Option<TokenConfig>,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    pub max_per_minute: u32,
}

/// A mailbox that sends over Microsoft Graph.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// Without a slash at the end.
    pub base_url: String,
    pub user: Address,
    /// Its certificates and proxy hold for Graph too.
    pub token: TokenConfig,
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
    let (smtp, graph, spool) = (&keys.smtp, &keys.graph, &keys.spool);
    let ways = [("smtp", smtp.given, smtp.key), ("graph", graph.given, graph.key), ("spool", spool.given, spool.key)];
    let given = ways.iter().filter(|(_, given, _)| *given).collect::<Vec<_>>();
    if let [(first, ..), .., (last, _, at)] = given.as_slice() {
        report.problem(*at, format!("\"email\" has both {first:?} and {last:?}; remove one"));
    }
    if smtp.is_missing() && graph.is_missing() && spool.is_missing() {
        let help = "smtp: { host: ... } for a mail server, graph: { ... } for Microsoft Graph, or spool: PATH for a \
                    folder of .eml files";
        report.problem(keys.place, ("\"email\" needs a way to send", help));
    }
    let smtp = keys.smtp.value.and_then(|keys| understand_smtp(report, keys)).map(Delivery::Smtp);
    let graph = keys.graph.value.and_then(|keys| understand_graph(report, keys)).map(Delivery::Graph);
    let delivery = smtp.or(graph).or(keys.spool.value.map(Delivery::Spool))?;
    Some(EmailConfig { delivery, from: keys.from.value? })
}

fn understand_smtp(report: &mut Report, keys: SmtpKeys) -> Option<SmtpConfig> {
    let (username, password, oauth2) = (&keys.username, &keys.password, &keys.oauth2);
    let help = "give both for a server with a sign-in, else neither";
    if username.given && password.is_missing() && oauth2.is_missing() {
        let help = "give one of them for a server with a sign-in, else none of the three";
        report.problem(username.key, ("\"username\" is given without \"password\" or \"oauth2\"", help));
    }
    if password.given && oauth2.given {
        let help = "Microsoft 365 and Google take oauth2; most other servers take a password";
        report.problem(oauth2.key, ("\"smtp\" has both \"password\" and \"oauth2\"; remove one", help));
    }
    let is_google = oauth2.value.as_ref().is_some_and(|oauth2| oauth2.google.given);
    if oauth2.given && username.is_missing() && !is_google {
        report.problem(
            oauth2.key,
            ("\"oauth2\" is given without \"username\"", "the username is the mailbox that sends"),
        );
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
    let subject = oauth2.value.as_ref().and_then(|oauth2| oauth2.google.value.as_ref()?.subject.value.clone());
    let username = keys.username.value.or(subject.map(|subject| subject.to_string()));
    let with_token = keys.oauth2.given;
    let oauth2 = keys.oauth2.value.and_then(|oauth2| oauth2::understand(report, oauth2, keys.ca_file.value.clone()));
    if with_token && oauth2.is_none() {
        return None;
    }
    Some(SmtpConfig {
        host,
        port: keys.port.value.unwrap_or_else(|| tls.port()),
        tls,
        allow_insecure,
        username,
        password: keys.password.value,
        oauth2,
        ca_file: keys.ca_file.value,
        max_per_minute: keys.max_per_minute.value,
    })
}

fn understand_graph(report: &mut Report, keys: GraphKeys) -> Option<GraphConfig> {
    const RESOURCE: &str = "https://graph.microsoft.com";
    let (base_url, token_url) = (keys.base_url, keys.token_url);
    let allow_insecure = keys.allow_insecure.value;
    for (name, url) in [("base_url", Some(&base_url.value)), ("token_url", token_url.value.as_ref())] {
        let at = if name == "base_url" { base_url.at } else { token_url.at };
        oauth2::refuse_plain(report, name, url, at, allow_insecure);
    }
    let client = Client {
        id: keys.client_id.value,
        secret: &keys.client_secret,
        end: &keys.client_secret_expires,
        assertion: &keys.client_assertion_file,
        of: "graph",
        place: keys.place,
    };
    let credential = client.understand(report);
    let url = match token_url.value {
        Some(url) => url.text,
        None if token_url.given => return None,
        None => format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", keys.tenant.value?),
    };
    // Each national cloud names its Graph as the resource; a stand-in of it does not.
    let resource = if base_url.value.encrypted { base_url.value.origin() } else { RESOURCE };
    let token = TokenConfig {
        scope: format!("{resource}/.default"),
        url,
        credential: credential?,
        allow_insecure,
        ca_file: keys.ca_file.value,
        proxy: keys.proxy.value.and_then(|proxy| proxy.chosen(report, keys.proxy.at, base_url.value.encrypted)),
    };
    let max_per_minute = keys.max_per_minute.value;
    Some(GraphConfig { base_url: base_url.value.text, user: keys.user.value?, token, max_per_minute })
}
