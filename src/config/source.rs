//! Sources: where sessions are read from, and how to sign in there.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::reading::quote;
use crate::secret::Secret;

use super::environment::Environment;
use super::fields::{self, Fields, Keys, described};
use super::proxy::{self, ProxyConfig};
use super::report::Report;
use super::tree::{Entry, Form, Node, Place, Value};
use super::url::{self, WebAddress, is_loopback};
use super::{mapping, secret};

/// A source as the configuration describes it.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub name: Name,
    pub customer: Option<Name>,
    pub adapter: Adapter,
}

/// What kind of system a source is.
#[derive(Debug, Clone)]
pub enum Adapter {
    OrderWise(OrderWiseConfig),
    File(FileConfig),
}

/// An OrderWise API that runs an export definition.
#[derive(Debug, Clone)]
pub struct OrderWiseConfig {
    /// `http` or `https`, without a slash at the end.
    pub base_url: String,
    pub credential: Credential,
    pub export_definition: u64,
    /// Name and value, as the API takes them.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// Over the whole exchange.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// None: asked straight, whatever the environment says.
    pub proxy: Option<ProxyConfig>,
}

/// How to sign in.
#[derive(Debug, Clone)]
pub enum Credential {
    Password {
        username: String,
        password: Secret,
    },
    /// Base64 of `username:password`.
    Hash(Secret),
}

/// A grid that somebody exported.
#[derive(Debug, Clone)]
pub struct FileConfig {
    pub path: PathBuf,
    /// An older file is unreachable; `None`: any age will do.
    pub max_age: Option<Duration>,
    /// Over the whole reading: a share on a network can be slow, or gone.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
}

pub(super) const KEYS: Keys = Keys {
    of: "a source",
    known: &[
        "type",
        "customer",
        "base_url",
        "username",
        "password",
        "credential_hash",
        "export_definition",
        "export_parameters",
        "path",
        "max_age",
        "session_id_column",
        "columns",
        "values",
        "kinds",
        "timeout",
        "max_body",
        "tls",
        "proxy",
        "allow_insecure",
    ],
    later: &["url", "rows", "auth"],
};

pub(super) const TLS: Keys = Keys { of: "\"tls\" of a source", known: &["ca_file"], later: &[] };

const ONLY_ORDERWISE: [&str; 9] = [
    "base_url",
    "username",
    "password",
    "credential_hash",
    "export_definition",
    "export_parameters",
    "tls",
    "proxy",
    "allow_insecure",
];
const ONLY_FILE: [&str; 2] = ["path", "max_age"];

/// Over the whole exchange: export definitions can be slow.
const TIMEOUT: Duration = Duration::from_mins(1);
const MAX_BODY: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Type {
    OrderWise,
    File,
}

/// A source as far as it could be read: its sessions and the rules are checked against it even where it cannot be used.
pub(super) struct Read {
    /// `None`, and reported, where it cannot be used.
    pub config: Option<SourceConfig>,
    /// With where it is named.
    pub customer: Option<(Name, Place)>,
    pub mapping: Mapping,
}

/// Reads one source. `None`, and reported, where nothing can be said of it.
pub(super) fn read(
    report: &mut Report,
    name: &Name,
    entry: &Entry,
    defaults: Fields<'_>,
    environment: &dyn Environment,
) -> Option<Read> {
    // What belongs to a type that is not built yet is not polled: one problem says it all.
    let own = entry.value.entries().unwrap_or_default();
    for entry in
        own.iter().filter(|entry| entry.key == "proxy" && entry.value.scalar().is_some_and(url::may_hold_a_sign_in))
    {
        report.hide(&entry.value);
    }
    let later = own.iter().find(|entry| entry.key == "type" && entry.value.scalar() == Some("http"));
    if let Some(entry) = later {
        not_yet(report, &entry.value);
        return None;
    }
    let fields = Fields::new(report, &entry.value, KEYS)?.at(entry.place).with_defaults(defaults);
    let kind_node = fields.required(report, "type", "a source");
    if let Some(node) = kind_node.filter(|node| node.scalar() == Some("http")) {
        not_yet(report, node);
        return None;
    }
    let types = [("orderwise", Type::OrderWise), ("file", Type::File)];
    let kind = kind_node.and_then(|node| fields::choice(report, node, "type", &types));
    if let Some(kind) = kind {
        refuse_keys_of_others(report, &fields, kind);
    }
    let customer = customer(report, &fields);
    let mapping = mapping::read(report, &fields);
    let limits = Limits::read(report, &fields);
    let adapter = match kind {
        Some(Type::OrderWise) => orderwise(report, &fields, &limits, environment).map(Adapter::OrderWise),
        Some(Type::File) => file(report, &fields, &limits).map(Adapter::File),
        None => None,
    };
    let named = customer.as_ref().map(|(name, _)| name.clone());
    let config = adapter.map(|adapter| SourceConfig { name: name.clone(), customer: named, adapter });
    Some(Read { config, customer, mapping })
}

fn not_yet(report: &mut Report, node: &Node) {
    let message = "a source of type \"http\" is not available yet";
    report.problem_with(node.place, message, "available: orderwise, file");
}

/// What bounds one poll, whatever the type.
struct Limits {
    timeout: Duration,
    max_body: u64,
}

impl Limits {
    fn read(report: &mut Report, fields: &Fields<'_>) -> Self {
        let timeout = fields.duration(report, "timeout").unwrap_or(TIMEOUT);
        Self { timeout, max_body: fields.size(report, "max_body").unwrap_or(MAX_BODY) }
    }
}

fn customer(report: &mut Report, fields: &Fields<'_>) -> Option<(Name, Place)> {
    let node = fields.node(report, "customer")?;
    let text = fields::text(report, node, "customer")?;
    let name = Name::parse(text);
    if name.is_err() {
        report.problem(node.place, format!("there is no customer {}", quote(text)));
    }
    Some((name.ok()?, node.place))
}

/// A key of another type is no slip of the pen but a misunderstanding, so it is said as such. Defaults are for all types.
fn refuse_keys_of_others(report: &mut Report, fields: &Fields<'_>, kind: Type) {
    let (others, own, other): (&[&str], _, _) = match kind {
        Type::File => (&ONLY_ORDERWISE, "file", "orderwise"),
        Type::OrderWise => (&ONLY_FILE, "orderwise", "file"),
    };
    for key in others.iter().filter(|key| fields.has_own(key)) {
        if let Some(entry) = fields.entry(key) {
            let message = format!("{key:?} is a key of sources of type {other}, and this one is of type {own}");
            report.problem(entry.place, message);
        }
    }
}

fn orderwise(
    report: &mut Report,
    fields: &Fields<'_>,
    limits: &Limits,
    environment: &dyn Environment,
) -> Option<OrderWiseConfig> {
    let allow_insecure = fields.flag(report, "allow_insecure").unwrap_or(false);
    let base_url = base_url(report, fields, allow_insecure);
    let credential = credential(report, fields, environment);
    fields.required(report, "export_definition", "a source of type orderwise");
    let export_definition =
        if fields.has("export_definition") { fields.whole(report, "export_definition", 1..=u64::MAX) } else { None };
    let parameters = fields.map(report, "export_parameters").unwrap_or_default();
    let parameters = parameters.iter().filter_map(|entry| parameter(report, entry)).collect();
    let ca_file = fields.node(report, "tls").and_then(|node| tls(report, node));
    let encrypted = base_url.as_ref().is_none_or(|url| url.to_ascii_lowercase().starts_with("https://"));
    let proxy = proxy::read(report, fields, encrypted, environment);
    Some(OrderWiseConfig {
        base_url: base_url?,
        credential: credential?,
        export_definition: export_definition?,
        parameters,
        timeout: limits.timeout,
        max_body: limits.max_body,
        ca_file,
        proxy,
    })
}

fn base_url(report: &mut Report, fields: &Fields<'_>, allow_insecure: bool) -> Option<String> {
    let node = fields.required(report, "base_url", "a source of type orderwise")?;
    let text = fields::text(report, node, "base_url")?;
    match WebAddress::parse(text) {
        Err(reason) => {
            if url::may_hold_a_sign_in(text) {
                report.hide(node);
            }
            let message = format!("\"base_url\" {reason}");
            report.problem_with(node.place, message, "it is written like https://erp.acme.example/OWAPI");
            None
        }
        Ok(address) if !address.encrypted && !is_loopback(&address.host) && !allow_insecure => {
            let message = "\"base_url\" is not encrypted: the password would cross the network in plain text";
            let help = "use https://, or set allow_insecure: true for this source where the network can be trusted";
            report.problem_with(node.place, message, help);
            None
        }
        Ok(address) => Some(address.text),
    }
}

fn credential(report: &mut Report, fields: &Fields<'_>, environment: &dyn Environment) -> Option<Credential> {
    const HELP: &str = "give username and password, or credential_hash instead of both";
    let with_hash = fields.has("credential_hash");
    let with_pair = fields.has("username") || fields.has("password");
    if with_hash && with_pair {
        let place = fields.entry("credential_hash").map_or(fields.place, |entry| entry.place);
        report.problem_with(place, "\"credential_hash\" cannot be combined with username or password", HELP);
        return None;
    }
    if with_hash {
        return secret::read(report, fields, "credential_hash", environment).map(Credential::Hash);
    }
    if !with_pair && fields.is_misspelled("credential_hash") {
        return None;
    }
    if !with_pair {
        report.problem_with(fields.place, "a source of type orderwise needs a way to sign in", HELP);
        return None;
    }
    for key in ["username", "password"] {
        if !fields.has(key) && !fields.is_misspelled(key) {
            report.problem_with(fields.place, format!("a source of type orderwise needs the key {key:?}"), HELP);
        }
    }
    let username = fields.text(report, "username");
    if let (Some(name), Some(entry)) = (username, fields.entry("username"))
        && name.contains(':')
    {
        report.problem(entry.value.place, "\"username\" must not contain a colon: the sign-in could not carry it");
    }
    let password = secret::read(report, fields, "password", environment);
    Some(Credential::Password { username: username?.to_owned(), password: password? })
}

fn parameter(report: &mut Report, entry: &Entry) -> Option<(String, serde_json::Value)> {
    let value = match &entry.value.value {
        Value::Scalar(_, Form::Null) => serde_json::Value::Null,
        Value::Scalar(_, Form::Flag(flag)) => (*flag).into(),
        Value::Scalar(text, Form::Whole | Form::Decimal) => {
            serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())
        }
        Value::Scalar(text, Form::Text) => text.clone().into(),
        Value::List(_) | Value::Map(_) => {
            let message = format!("the export parameter {} must be a single value", quote(&entry.key));
            report.problem(entry.value.place, message);
            return None;
        }
    };
    Some((entry.key.clone(), value))
}

fn tls(report: &mut Report, node: &Node) -> Option<PathBuf> {
    let fields = Fields::new(report, node, TLS)?;
    fields.required(report, "ca_file", TLS.of);
    ca_file(report, &fields)
}

/// A file with certificates; polled now, so that a wrong path shows here and not in the first audit.
pub(super) fn ca_file(report: &mut Report, fields: &Fields<'_>) -> Option<PathBuf> {
    let path = fields.path(report, "ca_file")?;
    let place = fields.entry("ca_file")?.value.place;
    match certificates(&path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Some(path),
        Ok(_) => {
            let message = format!("\"ca_file\": {} holds no certificate in PEM form", path.display());
            report.problem_with(place, message, "such a file has a line -----BEGIN CERTIFICATE-----");
        }
        Err(error) => report.problem(place, format!("\"ca_file\": {} cannot be read: {error}", path.display())),
    }
    None
}

/// As far as it needs to be polled: a path that was mistyped may be a device without end.
fn certificates(path: &Path) -> io::Result<String> {
    /// All authorities of a system together take a fourth of it.
    const LARGEST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    // Asked before opening: to open a pipe waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn file(report: &mut Report, fields: &Fields<'_>, limits: &Limits) -> Option<FileConfig> {
    let node = fields.required(report, "path", "a source of type file")?;
    let path = fields.path(report, "path");
    let max_age = fields.duration(report, "max_age");
    let path = path?;
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("csv" | "json") => Some(FileConfig { path, max_age, timeout: limits.timeout, max_body: limits.max_body }),
        Some("xlsx") => {
            let message = "a source file of type .xlsx is not available yet";
            report.problem_with(node.place, message, "available: .csv, .json");
            None
        }
        _ => {
            let message = format!("\"path\" must end in .csv or .json, not {}", described(node));
            report.problem(node.place, message);
            None
        }
    }
}
