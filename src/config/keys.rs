//! Every key of the configuration, declared once (see `declaration`), in the order of the reference; those of the mail account in `mail`. To add a key, add it here
//! and use its field; run `UPDATE_DOCS=1 cargo test --lib config` to rewrite the schema and the reference.

use std::net::SocketAddr;

use chrono_tz::Tz;

use crate::domain::address::Address;
use crate::domain::expectation::Expectation;
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::reading::Kind;
use crate::domain::session::SessionId;
use crate::domain::setting::SettingPattern;

use super::containers::{List, Map, Member, Merged, OneOrMany, Partial, Sub, Unbuilt};
use super::declaration::{Declared, Key, Section, Status, section};
use super::proxy::Proxy;
use super::secret::Hidden;
use super::shapes::{Certificates, Choice, FilePath, Flag, Repeat, StoreUrl, Text, Whole, Words};
use super::source::{ScalarMap, Type};
use super::url::WebAddress;
use super::words::{OrderWiseAddress, Percent, Size, Span, SpanOrZero};

mod mail;

pub(super) use mail::{EmailKeys, GoogleKeys, GraphKeys, OAuth2Keys, SmtpKeys};

/// `watch`, the only value of `reload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch;

impl Words for Watch {
    const WORDS: &'static [(&'static str, Self)] = &[("watch", Self)];
}

impl Words for Severity {
    const WORDS: &'static [(&'static str, Self)] =
        &[("info", Self::Info), ("warning", Self::Warning), ("critical", Self::Critical)];
}

impl Words for Kind {
    const WORDS: &'static [(&'static str, Self)] = &Kind::ALL;
}

section! {
    /// Keys of the main file and of every included file.
    IncludedKeys: "an included file" {
        /// Where sessions are read from, by name: the SOURCE of SOURCE/ID.
        sources: Merged<SourceMember>, Optional, "{ grid: { type: file, path: sessions.csv } }";
        /// Baselines by name. `orderwise-shopify` is built in.
        policies: Merged<PolicyMember>, Optional, "{ shopify-plus: { extends: orderwise-shopify } }";
        /// The audited sessions.
        sessions: Merged<SessionMember>, Optional, "[{ source: grid, id: 14, owners: [it@acme.example] }]";
        /// Customers, by name: the contacts of sources.
        customers: Merged<CustomerMember>, Optional, "{ acme: { contact: Integrator support } }";
    }

    /// Keys of the main file only.
    MainKeys: "the configuration" {
        /// Values that sources, sessions and customers inherit.
        defaults: Sub<DefaultsKeys> = "{}", Optional, "{ session: { timezone: Europe/London } }";
        /// The mail account. `driftwise check` works without one.
        email: Sub<EmailKeys>, Optional, "{ from: driftwise@integrator.example, smtp: { host: smtp.integrator.example } }";
        /// When and whom Driftwise notifies.
        alerts: Sub<AlertKeys> = "{}", Optional, "{ fallback: [ops@integrator.example] }";
        /// The store of state and history.
        store: Sub<StoreKeys> = "{}", Optional, "{ retain: 730d }";
        /// The HTTP listeners.
        server: Sub<ServerKeys> = "{}", Optional, "{ listen: 127.0.0.1:9464 }";
        /// Files that add customers, sources, policies and sessions. A pattern may match nothing; a plain name must exist.
        include: List<Text>, Optional, "[sessions/*.yaml]";
        /// Reload when a file of the configuration changes, also an included, secret or certificate file.
        reload: Choice<Watch>, Optional, "watch";
        /// Working hours, by name.
        calendars: Unbuilt, Later, "{}";
        /// Preferences of one address.
        recipients: Unbuilt, Later, "{}";
        /// Recurring maintenance windows.
        maintenance: Unbuilt, Later, "[]";
        /// Channels besides email.
        channels: Unbuilt, Later, "{}";
    }

    /// Values that sources, sessions and customers inherit, and limits of the program.
    DefaultsKeys: "\"defaults\"" {
        /// Any keys of a source.
        source: Partial<SourceMember>, Optional, "{ timeout: 60s }";
        /// Any keys of a session.
        session: Partial<SessionMember>, Optional, "{ timezone: Europe/London }";
        /// Any keys of a customer.
        customer: Partial<CustomerMember>, Optional, "{ reply_to: support@integrator.example }";
        /// Most polls at the same time. 64 suit hundreds of sources and the usual limit on open files.
        max_polls: Whole<usize, 1, 10_000> = "64", Optional, "64";
    }

    /// A system with sessions. These keys are for every type.
    SourceKeys: "a source" {
        /// The kind of system.
        r#type: Choice<Type>, Required, "orderwise";
        /// The customer that owns the system.
        customer: Text, Optional, "acme";
        /// The column that holds the session ID.
        session_id_column: Text = "session_id", Optional, "session_id";
        /// Setting to column, if their names differ. Column names match without regard to case.
        columns: Map<Text>, Optional, "{ transfer_type: TransferTypeName }";
        /// For each setting, a value of the source to its meaning.
        values: Map<Map<Text>>, Optional, "{ transfer_type: { \"3\": Web Service } }";
        /// Kinds of settings that the catalogue does not know.
        kinds: Map<Choice<Kind>>, Optional, "{ import_paused: flag }";
        /// Time limit of one poll, over the whole exchange. Export definitions and network shares can be slow.
        timeout: Span = "60s", Optional, "60s";
        /// Largest answer or file. More than 250,000 rows are refused whatever their size.
        max_body: Size = "16MiB", Optional, "16MiB";
        /// The former name of this source, which continues its state and history. If both names have state, each keeps its own,
        /// and the log says so.
        renamed_from: Name, Optional, "acme";
    }

    /// Keys of a source of `type: orderwise`: an export definition, run over the OrderWise API.
    OrderWiseKeys: "a source of type orderwise" {
        /// Address of the API. `http://` needs `allow_insecure`, except to this machine.
        base_url: OrderWiseAddress, Required, "https://erp.acme.example/OWAPI";
        /// The user that signs in.
        username: Text, Optional, "driftwise-api";
        /// With `username`.
        password: Hidden, Optional, "{ env: ACME_OW_PASSWORD }";
        /// In place of `username` and `password`: the base64 of `username:password`, as secret as the password.
        credential_hash: Hidden, Optional, "{ file: /run/secrets/acme }";
        /// Number of the export definition in OrderWise, E-Commerce > API Export Definitions.
        export_definition: Whole<u64, 1, { u64::MAX }>, Required, "61";
        /// Parameters of the SQL of the definition: single values.
        export_parameters: ScalarMap, Optional, "{ \"@since\": \"2026-01-01\" }";
        /// TLS of the connection.
        tls: Sub<TlsKeys>, Optional, "{ ca_file: acme-ca.pem }";
        /// The proxy: its URL, or `env` to use `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. Without the key,
        /// Driftwise uses no proxy, and never one to this machine.
        proxy: Proxy, Optional, "http://proxy.acme.example:3128";
        /// Permits a connection that is not encrypted, so that the password crosses the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
    }

    /// Keys of a source of `type: file`: a grid exported from OrderWise, read again at each audit.
    FileKeys: "a source of type file" {
        /// The file, ending in .csv or .json.
        path: FilePath, Required, "sessions.csv";
        /// An older file counts as unreachable, so that an old export does not pass for ever. Without the key, any age is valid.
        max_age: Span, Optional, "24h";
    }

    /// Keys of a source of `type: http`: any JSON over HTTP.
    HttpKeys: "a source of type http" {
        /// Address of the answer.
        url: WebAddress, Later, "https://api.example/sessions";
        /// JSON Pointer to the array of sessions.
        rows: Text, Later, "/data/items";
        /// The sign-in.
        auth: Unbuilt, Later, "{ bearer: { env: TOKEN } }";
    }

    /// TLS of a source.
    TlsKeys: "\"tls\" of a source" {
        /// Certificates to trust besides those of the system.
        ca_file: Certificates, Required, "acme-ca.pem";
    }

    /// A baseline: the rules that sessions must meet.
    PolicyKeys: "a policy" {
        /// The policy whose rules come first.
        extends: Text, Optional, "orderwise-shopify";
        /// Its rules. A known id replaces that rule in its place; a new one is added at the end.
        rules: List<Sub<RuleKeys>>, Optional, "[{ id: add-delivery-address, setting: add_delivery_address, expect: ticked }]";
        /// Ids of rules of the extended policy that are left out.
        without: List<Text>, Optional, "[name-is-clear]";
    }

    /// A demand on one setting, or on those that a pattern matches.
    RuleKeys: "a rule" {
        /// Its name, for ever: open incidents are known by it.
        id: Name, Required, "add-delivery-address";
        /// The setting. `*` stands for any run of characters, only with `unchanged` and `all_ticked`.
        setting: SettingPattern, Required, "add_delivery_address";
        /// The required value.
        expect: Expectation, Required, "ticked";
        /// The severity of a violation.
        severity: Choice<Severity> = "warning", Optional, "critical";
        /// Why the rule matters; shown in mails.
        why: Text, Optional, "Orders to a new address of a known customer fail without it.";
        /// The way to the setting.
        fix: Text, Optional, "E-Commerce Sessions > the session > Import Setup, then Save";
        /// Does not apply while the source has never returned the setting.
        optional: Flag = "false", Optional, "true";
        /// A violation stops orders: mails say until when they can be recovered (7 days).
        stops_orders: Flag = "false", Optional, "true";
        /// Settings that change by themselves; only with `unchanged` over a pattern.
        ignore: List<SettingPattern>, Optional, "[last_run*]";
    }

    /// An audited session.
    SessionKeys: "a session" {
        /// Its source.
        source: Text, Required, "acme-erp";
        /// Its ID in the source.
        id: SessionId, Required, "14";
        /// Its name in mails and pages. Default: the name that the source returns.
        name: Text, Optional, "acme-uk.myshopify.com";
        /// Its policy.
        policy: Text = "orderwise-shopify", Optional, "orderwise-shopify";
        /// The times of its audits: cron with 5 fields, or 6 with seconds first.
        schedule: Text = "*/5 * * * *", Optional, "\"*/5 * * * *\"";
        /// Zone of the schedule and of times in mails and pages. Default: that of the customer, of `defaults`, or UTC.
        timezone: Tz, Optional, "Europe/London";
        /// Values that rules of the policy compare with, by name.
        params: Map<OneOrMany<Text>>, Optional, "{ notification_email: integrations@acme.example, import_orders_as: Shopify_Orders }";
        /// Addresses to notify. Default: the param `notification_email`.
        owners: List<Address>, Optional, "[integrations@acme.example]";
        /// Free words about it.
        labels: Map<Text>, Optional, "{ region: uk }";
        /// Exceptions from a rule for a time.
        waivers: Unbuilt, Later, "[]";
    }

    /// The contacts of sources. A customer may also have every key of `alerts`, for its own sources.
    CustomerKeys: "a customer" {
        /// The contact for readers of mails.
        contact: Text, Optional, "\"Integrator support, +44 20 7946 0000\"";
        /// The address for replies to mails.
        reply_to: Address, Optional, "support@integrator.example";
        /// Zone of its sessions without their own.
        timezone: Tz, Optional, "Europe/London";
    }

    /// When and whom Driftwise notifies. A customer may have each of these keys for its own sources.
    AlertKeys: "\"alerts\"" {
        /// Polls in a row before a drift or a missing session is confirmed.
        confirm_polls: Whole<u32, 1, 1000> = "1", Optional, "2";
        /// Polls in a row before an incident ends.
        resolve_polls: Whole<u32, 1, 1000> = "1", Optional, "2";
        /// Less severe incidents are on the pages only.
        min_severity: Choice<Severity> = "warning", Optional, "warning";
        /// Grace period of a source or setting that cannot be read.
        unreachable_after: SpanOrZero = "1h", Optional, "1h";
        /// Interval of reminders for an open incident. 0 for none.
        remind_every: Repeat = "24h", Optional, "24h";
        /// Notified of critical incidents and of sessions without owners, and in place of operators where there are none.
        fallback: List<Address>, Optional, "[it@acme.example]";
        /// The people who run Driftwise: notified of everything that concerns the audit itself, and of critical incidents.
        operators: List<Address>, Optional, "[ops@integrator.example]";
        /// Owners and fallback are notified of a session that could not be checked for so long.
        blind_after: Span = "24h", Optional, "24h";
        /// Further addresses for incidents that stay open.
        escalate: Unbuilt, Later, "[]";
        /// When frequent changes of one incident are held back.
        flapping: Unbuilt, Later, "{ changes: 4, within: 6h }";
        /// When many sessions of a source that begin to fail in one poll are one incident of the source.
        breaker: Sub<BreakerKeys> = "{}", Optional, "{ share: 50%, at_least: 5 }";
        /// The assurance mail.
        digest: Unbuilt, Later, "{}";
        /// A URL that is called after each complete round.
        heartbeat: Unbuilt, Later, "{}";
    }

    /// When the sessions of a source that begin to fail in one poll are one incident of the source. Both limits must be reached.
    /// A customer's `breaker` replaces that of `alerts` as a whole.
    BreakerKeys: "\"breaker\"" {
        /// The least share of the sessions that are due and met the rule until now.
        share: Percent = "50%", Optional, "50%";
        /// The least number of sessions.
        at_least: Whole<u32, 1, 1_000_000> = "5", Optional, "5";
    }

    /// The store of state and history.
    StoreKeys: "\"store\"" {
        /// An SQLite file, relative to this one.
        url: StoreUrl = "sqlite://driftwise.db", Optional, "\"sqlite://driftwise.db\"";
        /// The age at which history is deleted. Two years cover the last audit of the books.
        retain: Span = "730d", Optional, "730d";
    }

    /// The HTTP listeners.
    ServerKeys: "\"server\"" {
        /// Pages, probes and metrics.
        listen: SocketAddr = "127.0.0.1:9464", Optional, "127.0.0.1:9464";
        /// Serves metrics, probes, and the commands to reload and to send a notification again; no pages.
        metrics_listen: SocketAddr, Optional, "0.0.0.0:9465";
        /// Address of the pages, for links in mails and alerts.
        public_url: WebAddress, Optional, "\"https://driftwise.example\"";
    }
}

/// The main file.
pub(super) const MAIN: &[&Section] = &[MainKeys::SECTION, IncludedKeys::SECTION];

pub(super) struct SourceMember;

impl Member for SourceMember {
    const SECTIONS: &'static [&'static Section] =
        &[SourceKeys::SECTION, OrderWiseKeys::SECTION, FileKeys::SECTION, HttpKeys::SECTION];
    const TYPES: &'static [(&'static str, &'static Section)] =
        &[("orderwise", OrderWiseKeys::SECTION), ("file", FileKeys::SECTION), ("http", HttpKeys::SECTION)];
}

pub(super) struct PolicyMember;

impl Member for PolicyMember {
    const SECTIONS: &'static [&'static Section] = &[PolicyKeys::SECTION];
}

pub(super) struct SessionMember;

impl Member for SessionMember {
    const SECTIONS: &'static [&'static Section] = &[SessionKeys::SECTION];
    const NAMED: bool = false;
}

pub(super) struct CustomerMember;

impl Member for CustomerMember {
    const SECTIONS: &'static [&'static Section] = &[CustomerKeys::SECTION, AlertKeys::SECTION];
    const MAY_BE_EMPTY: bool = true;
}

/// Every key that is declared, of all sections.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    sections().into_iter().flat_map(|section| section.keys)
}

/// Every section, from the main one inwards, each once.
pub(super) fn sections() -> Vec<&'static Section> {
    let mut found = MAIN.to_vec();
    let mut at = 0;
    while let Some(section) = found.get(at) {
        for inner in section.keys.iter().flat_map(|key| (key.sections)()) {
            if !found.iter().any(|known| known.of == inner.of) {
                found.push(inner);
            }
        }
        at += 1;
    }
    found
}

/// The names of the keys that hold a secret.
pub(super) fn secrets() -> impl Iterator<Item = &'static str> {
    all().filter(|key| key.secret).map(|key| key.name)
}

/// Whether `name` is a key that holds no secret wherever it stands.
pub(super) fn is_harmless(name: &str) -> bool {
    let mut named = all().filter(|key| key.name == name).peekable();
    named.peek().is_some() && named.all(|key| !key.secret && !key.may_hold_a_sign_in && key.status != Status::Later)
}
