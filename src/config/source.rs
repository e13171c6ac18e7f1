//! Sources: the systems that sessions are read from, and the sign-in for each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::reading::{RawValue, quote};
use crate::domain::setting::SettingKey;
use crate::secret::Secret;

use super::containers::Member;
use super::declaration::{Shape as _, shape};
use super::fields::Fields;
use super::keys::{FileKeys, OrderWiseKeys, SourceKeys, SourceMember, is_harmless};
use super::proxy::ProxyConfig;
use super::report::Report;
use super::shapes::{Choice, Words, described};
use super::tree::{Entry, Node, Place, Value};
use super::url::is_loopback;

/// A source as it is configured.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub name: Name,
    pub customer: Option<Name>,
    pub adapter: Adapter,
    /// The former name; this source continues its history.
    pub renamed_from: Option<Name>,
}

impl SourceConfig {
    /// What lists its columns, in words for operators.
    pub(super) fn origin(&self) -> String {
        match &self.adapter {
            Adapter::OrderWise(orderwise) => format!("definition {}", orderwise.export_definition),
            Adapter::File(file) => {
                let name = file.path.file_name().unwrap_or(file.path.as_os_str());
                format!("the file {}", name.to_string_lossy())
            }
        }
    }
}

/// The system that a source is.
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
    pub parameters: Vec<(String, Json)>,
    /// Limit of the whole exchange.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// `None`: no proxy, whatever the environment says.
    pub proxy: Option<ProxyConfig>,
}

/// The sign-in of a source.
#[derive(Debug, Clone)]
pub enum Credential {
    Password {
        username: String,
        password: Secret,
    },
    /// Base64 of `username:password`.
    Hash(Secret),
}

/// An exported grid.
#[derive(Debug, Clone)]
pub struct FileConfig {
    pub path: PathBuf,
    /// An older file is unreachable; `None`: any age is valid.
    pub max_age: Option<Duration>,
    /// Limit of the whole reading: a network share can be slow, or gone.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
}

/// The `type` of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Type {
    OrderWise,
    File,
}

impl Words for Type {
    const WORDS: &'static [(&'static str, Self)] = &[("orderwise", Self::OrderWise), ("file", Self::File)];
    const LATER: &'static [&'static str] = &["http"];
}

/// A source that was read. Sessions and rules are checked against it even if it is invalid.
pub(super) struct Read {
    /// `None`, and reported, if it is invalid.
    pub config: Option<SourceConfig>,
    /// The name as written, with its place.
    pub customer: Option<(String, Place)>,
    /// With its place.
    pub renamed_from: Option<(Name, Place)>,
    pub mapping: Mapping,
}

/// Reads one source. `None`, and reported, if it is no mapping, or of a type that is not available yet.
pub(super) fn read(report: &mut Report, name: &Name, entry: &Entry, defaults: Fields<'_>) -> Option<Read> {
    let written = entry.value.entry("type").or_else(|| defaults.entry("type"));
    let entries = entry.value.entries().unwrap_or_default();
    let later = |node: &Node| node.scalar().is_some_and(|word| Type::LATER.contains(&word));
    if let Some(written) = written.filter(|entry| later(&entry.value)) {
        // One problem is enough: its other keys are not available either.
        Choice::<Type>::read(report, &written.value, "type");
        entries.iter().filter(|entry| !is_harmless(&entry.key)).for_each(|entry| report.hide(&entry.value));
        return None;
    }
    let fields = Fields::new(report, &entry.value, SourceMember::SECTIONS)?.at(entry.place).with_defaults(defaults);
    let keys = fields.read::<SourceKeys>(report);
    let mapping = mapping(report, &keys);
    let adapter = keys.r#type.value.and_then(|kind| {
        refuse_keys_of_others(report, entries, kind);
        match kind {
            Type::OrderWise => orderwise(report, &fields, &keys).map(Adapter::OrderWise),
            Type::File => file(report, &fields, &keys).map(Adapter::File),
        }
    });
    let renamed_from = keys.renamed_from.value.map(|former| (former, keys.renamed_from.at));
    let customer = keys.customer.value.map(|name| (name, keys.customer.at));
    let config = adapter.map(|adapter| SourceConfig {
        name: name.clone(),
        customer: customer.as_ref().and_then(|(name, _)| Name::parse(name).ok()),
        adapter,
        renamed_from: renamed_from.as_ref().map(|(former, _)| former.clone()),
    });
    Some(Read { config, customer, renamed_from, mapping })
}

/// A key of another type is a misunderstanding and no misspelling, and has its own message. `defaults` may hold keys of all types.
fn refuse_keys_of_others(report: &mut Report, entries: &[Entry], own: Type) {
    let own = Type::WORDS.iter().find(|(_, kind)| *kind == own).map_or("", |(word, _)| word);
    for (other, section) in SourceMember::TYPES.iter().filter(|(other, _)| *other != own) {
        for entry in entries.iter().filter(|entry| section.known().any(|key| key.name == entry.key)) {
            let key = &entry.key;
            let message = format!("{key:?} is a key of sources of type {other}, and this one is of type {own}");
            report.problem(entry.place, message);
        }
    }
}

fn orderwise(report: &mut Report, fields: &Fields<'_>, common: &SourceKeys) -> Option<OrderWiseConfig> {
    let keys = fields.read::<OrderWiseKeys>(report);
    let credential = credential(report, &keys);
    let encrypted = keys.base_url.value.as_ref().is_none_or(|url| url.encrypted);
    let proxy = keys.proxy.value.and_then(|proxy| proxy.chosen(report, keys.proxy.at, encrypted));
    let base_url = keys.base_url.value?;
    if !base_url.encrypted && !is_loopback(&base_url.host) && !keys.allow_insecure.value {
        let message = "\"base_url\" is not encrypted: the password would cross the network in plain text";
        let help = "use https://, or set allow_insecure: true for this source where the network can be trusted";
        return report.refuse(keys.base_url.at, (message, help));
    }
    Some(OrderWiseConfig {
        base_url: base_url.text,
        credential: credential?,
        export_definition: keys.export_definition.value?,
        parameters: keys.export_parameters.value.unwrap_or_default(),
        timeout: common.timeout.value,
        max_body: common.max_body.value,
        ca_file: keys.tls.value.and_then(|tls| tls.ca_file.value),
        proxy,
    })
}

fn credential(report: &mut Report, keys: &OrderWiseKeys) -> Option<Credential> {
    const HELP: &str = "give username and password, or credential_hash instead of both";
    let (username, password, hash) = (&keys.username, &keys.password, &keys.credential_hash);
    let with_pair = username.given || password.given;
    match (hash.given, with_pair) {
        (true, true) => {
            let message = "\"credential_hash\" cannot be combined with username or password";
            return report.refuse(hash.key, (message, HELP));
        }
        (true, false) => {
            let secret = hash.value.clone()?;
            // The file was readable just before; a sign-in reports one that is not.
            if secret.checked(|text| STANDARD.decode(text).is_ok()).unwrap_or(true) {
                return Some(Credential::Hash(secret));
            }
            let help = "it is the base64 of username:password";
            return report.refuse(hash.at, ("\"credential_hash\" is not base64", help));
        }
        (false, true) => {}
        (false, false) if hash.misspelled || username.misspelled || password.misspelled => return None,
        (false, false) => {
            return report.refuse(keys.place, ("a source of type orderwise needs a way to sign in", HELP));
        }
    }
    for (key, missing) in [("username", username.is_missing()), ("password", password.is_missing())] {
        if missing {
            report.problem(keys.place, (format!("a source of type orderwise needs the key {key:?}"), HELP));
        }
    }
    if username.value.as_deref().is_some_and(|name| name.contains(':')) {
        report
            .problem(username.at, "\"username\" must not contain a colon: HTTP basic authentication cannot carry one");
    }
    Some(Credential::Password { username: username.value.clone()?, password: password.value.clone()? })
}

fn file(report: &mut Report, fields: &Fields<'_>, common: &SourceKeys) -> Option<FileConfig> {
    let keys = fields.read::<FileKeys>(report);
    let path = keys.path.value?;
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let (timeout, max_body) = (common.timeout.value, common.max_body.value);
    match ending.as_deref() {
        Some("csv" | "json") => Some(FileConfig { path, max_age: keys.max_age.value, timeout, max_body }),
        Some("xlsx") => {
            let message = "a source file of type .xlsx is not available yet";
            report.refuse(keys.path.at, (message, "available: .csv, .json"))
        }
        _ => report.refuse(keys.path.at, format!("\"path\" must end in .csv or .json, not {}", path.display())),
    }
}

/// Maps columns of the source to settings, and its words to values.
fn mapping(report: &mut Report, keys: &SourceKeys) -> Mapping {
    let session_id_column = keys.session_id_column.value.trim().to_owned();
    // Of two settings with one column, one would silently never be read.
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for item in keys.columns.value.iter().flatten() {
        let column = item.value.trim();
        if let Some(other) = taken.insert(column.to_lowercase(), &item.name) {
            let message = format!("the column {} is already the setting {}", quote(column), quote(other));
            report.problem(item.place, message);
        }
        if column.eq_ignore_ascii_case(&session_id_column) {
            report.problem(item.place, format!("the column {} is the one that holds the session ID", quote(column)));
        }
    }
    let columns = keys.columns.value.iter().flatten();
    let values = keys.values.value.iter().flatten().map(|setting| {
        let meanings =
            setting.value.iter().map(|item| (item.name.trim().to_owned(), RawValue::text(item.value.as_str())));
        (SettingKey::new(&setting.name), meanings.collect())
    });
    let kinds = keys.kinds.value.iter().flatten();
    Mapping {
        columns: columns.map(|item| (SettingKey::new(&item.name), item.value.trim().to_owned())).collect(),
        values: values.collect(),
        kinds: kinds.map(|item| (SettingKey::new(&item.name), item.value)).collect(),
        session_id_column,
    }
}

/// Names to single values, each of its type in YAML; null too.
pub(super) struct ScalarMap;

shape!(
    ScalarMap,
    Vec<(String, Json)>,
    {
        let single = json!({ "type": ["string", "number", "boolean", "null"] });
        json!({ "title": "names to: single value", "type": "object", "additionalProperties": single })
    },
    |report, node, key| {
        let Some(entries) = node.entries() else {
            let message = format!("{key:?} must be a mapping of names to values, not {}", described(node));
            return report.refuse(node, message);
        };
        let single = |node: &Node| matches!(node.value, Value::Scalar(..));
        for entry in entries.iter().filter(|entry| !single(&entry.value)) {
            let message = format!("the export parameter {} must be a single value", quote(&entry.key));
            report.problem(entry.value.place, message);
        }
        Some(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
    }
);
