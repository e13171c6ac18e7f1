//! Every key of the configuration, declared once (see `declaration`), in the order of the reference. To add a key, add it here
//! and use its field; run `UPDATE_DOCS=1 cargo test --lib config` to bring the schema and the reference up to date.

use std::net::SocketAddr;

use chrono_tz::Tz;

use crate::domain::address::{Address, Mailbox};
use crate::domain::expectation::Expectation;
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::reading::Kind;
use crate::domain::session::SessionId;
use crate::domain::setting::SettingPattern;

use super::containers::{List, Map, Member, Merged, OneOrMany, Partial, Sub, Unbuilt};
use super::declaration::{Declared, Key, Section, Status, section};
use super::email::Tls;
use super::proxy::Proxy;
use super::secret::Hidden;
use super::shapes::{Choice, FilePath, Flag, Percent, Repeat, Size, Span, SpanOrZero, Text, Whole, Words};
use super::source::{ScalarMap, Type};
use super::url::WebAddress;
use super::words::{Certificates, Host, Parsed, StoreUrl};

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
    /// What the main file and every included file may have.
    IncludedKeys: "an included file" {
        /// Where sessions are read from, by name: the SOURCE of SOURCE/ID.
        sources: Merged<SourceMember>, Optional, "{ grid: { type: file, path: sessions.csv } }";
        /// Baselines by name. `orderwise-shopify` is built in.
        policies: Merged<PolicyMember>, Optional, "{ shopify-plus: { extends: orderwise-shopify } }";
        /// What is audited.
        sessions: Merged<SessionMember>, Optional, "[{ source: grid, id: 14, owners: [it@acme.example] }]";
        /// Who stands behind sources, by name.
        customers: Merged<CustomerMember>, Optional, "{ acme: { contact: Integrator support } }";
    }

    /// What only the main file may have.
    MainKeys: "the configuration" {
        /// What applies where a source, session or customer says nothing itself.
        defaults: Sub<DefaultsKeys>, Optional, "{ session: { timezone: Europe/London } }";
        /// The mail account. `driftwise check` works without.
        email: Sub<EmailKeys>, Optional, "{ from: driftwise@integrator.example, smtp: { host: smtp.integrator.example } }";
        /// When people are notified, and who stands behind all sources.
        alerts: Sub<AlertKeys>, Optional, "{ fallback: [ops@integrator.example] }";
        /// Where state and history are kept.
        store: Sub<StoreKeys>, Optional, "{ retain: 730d }";
        /// Where the program listens.
        server: Sub<ServerKeys>, Optional, "{ listen: 127.0.0.1:9464 }";
        /// Files that add customers, sources, policies and sessions. A pattern may match nothing; a plain name must exist.
        include: List<Text>, Optional, "[sessions/*.yaml]";
        /// Reload when a file of the configuration changes, also an included, secret or certificate file.
        reload: Choice<Watch>, Optional, "watch";
        /// Working hours, by name.
        calendars: Unbuilt, Later, "{}";
        /// How one address likes to be notified.
        recipients: Unbuilt, Later, "{}";
        /// Recurring maintenance windows.
        maintenance: Unbuilt, Later, "[]";
        /// Channels besides email.
        channels: Unbuilt, Later, "{}";
    }

    /// What applies where a source, session or customer says nothing itself, and the limits of the program.
    DefaultsKeys: "\"defaults\"" {
        /// Any keys of a source.
        source: Partial<SourceMember>, Optional, "{ timeout: 60s }";
        /// Any keys of a session.
        session: Partial<SessionMember>, Optional, "{ timezone: Europe/London }";
        /// Any keys of a customer.
        customer: Partial<CustomerMember>, Optional, "{ reply_to: support@integrator.example }";
        /// How many sources are polled at the same time. 64 suit hundreds of sources, and the descriptors that a process may have.
        max_polls: Whole<usize, 1, 10_000> = "64", Optional, "64";
    }

    /// A system that sessions are read from. These keys hold for every type.
    SourceKeys: "a source" {
        /// What kind of system it is.
        r#type: Choice<Type>, Required, "orderwise";
        /// The customer whose system it is.
        customer: Text, Optional, "acme";
        /// The column that holds the session ID.
        session_id_column: Text = "session_id", Optional, "session_id";
        /// Setting to column, where their names differ. Column names match without regard to case.
        columns: Map<Text>, Optional, "{ transfer_type: TransferTypeName }";
        /// For each setting, what the source says to what it means.
        values: Map<Map<Text>>, Optional, "{ transfer_type: { \"3\": Web Service } }";
        /// Kinds of settings that the catalogue does not know.
        kinds: Map<Choice<Kind>>, Optional, "{ import_paused: flag }";
        /// Time limit of one poll, over the whole exchange. Export definitions can be slow, and so can a share on a network.
        timeout: Span = "60s", Optional, "60s";
        /// Largest answer or file. More than 250,000 rows are refused whatever their size.
        max_body: Size = "16MiB", Optional, "16MiB";
        /// The former name of this source: its state and history go on under the new one, once. Where both names have state of
        /// their own, each keeps it, and the log says so.
        renamed_from: Parsed<Name>, Optional, "acme";
    }

    /// Keys of a source of `type: orderwise`: an export definition, run over the OrderWise API.
    OrderWiseKeys: "a source of type orderwise" {
        /// Address of the API. `http://` needs `allow_insecure`, except to this machine.
        base_url: Parsed<WebAddress>, Required, "https://erp.acme.example/OWAPI";
        /// Who signs in.
        username: Text, Optional, "driftwise-api";
        /// With `username`.
        password: Hidden, Optional, "{ env: ACME_OW_PASSWORD }";
        /// In place of `username` and `password`: the base64 of `username:password`, as secret as the password.
        credential_hash: Hidden, Optional, "{ file: /run/secrets/acme }";
        /// Number of the export definition in OrderWise, E-Commerce > API Export Definitions.
        export_definition: Whole<u64, 1, { u64::MAX }>, Required, "61";
        /// What the SQL of the definition takes: single values.
        export_parameters: ScalarMap, Optional, "{ \"@since\": \"2026-01-01\" }";
        /// How the connection is protected.
        tls: Sub<TlsKeys>, Optional, "{ ca_file: acme-ca.pem }";
        /// The proxy to ask through: its URL, or `env` for what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
        /// Without the key there is none, whatever the environment says, and to this machine there never is one.
        proxy: Proxy, Optional, "http://proxy.acme.example:3128";
        /// Permits a connection that is not encrypted, so that the password crosses the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
    }

    /// Keys of a source of `type: file`: a grid exported from OrderWise, read again at each audit.
    FileKeys: "a source of type file" {
        /// The file, ending in .csv or .json.
        path: FilePath, Required, "sessions.csv";
        /// An older file counts as unreachable, so that an old export does not pass for ever. Without it, any age will do.
        max_age: Span, Optional, "24h";
    }

    /// Keys of a source of `type: http`: any JSON over HTTP.
    HttpKeys: "a source of type http" {
        /// Address of the answer.
        url: Parsed<WebAddress>, Later, "https://api.example/sessions";
        /// JSON Pointer to the array of sessions.
        rows: Text, Later, "/data/items";
        /// How to sign in.
        auth: Unbuilt, Later, "{ bearer: { env: TOKEN } }";
    }

    /// TLS of a source.
    TlsKeys: "\"tls\" of a source" {
        /// Certificates to trust besides those of the system.
        ca_file: Certificates, Required, "acme-ca.pem";
    }

    /// A baseline.
    PolicyKeys: "a policy" {
        /// The policy whose rules come first.
        extends: Text, Optional, "orderwise-shopify";
        /// What is demanded. A known id replaces that rule in its place; a new one is added at the end.
        rules: List<Sub<RuleKeys>>, Optional, "[{ id: add-delivery-address, setting: add_delivery_address, expect: ticked }]";
        /// Ids of rules of the extended policy that are left out.
        without: List<Text>, Optional, "[name-is-clear]";
    }

    /// One demand on one setting, or on those that a pattern matches.
    RuleKeys: "a rule" {
        /// Its name, for ever: open incidents are known by it.
        id: Parsed<Name>, Required, "add-delivery-address";
        /// The setting. `*` stands for any run of characters, only with `unchanged` and `all_ticked`.
        setting: Parsed<SettingPattern>, Required, "add_delivery_address";
        /// What the setting must be.
        expect: Expectation, Required, "ticked";
        /// How bad it is if it is not.
        severity: Choice<Severity> = "warning", Optional, "critical";
        /// Why it matters, for a reader of a mail.
        why: Text, Optional, "Orders to a new address of a known customer fail without it.";
        /// The way to the setting.
        fix: Text, Optional, "E-Commerce Sessions > the session > Import Setup, then Save";
        /// Does not apply while the source has never returned the setting.
        optional: Flag = "false", Optional, "true";
        /// Mails say until when orders can still be recovered (7 days).
        stops_orders: Flag = "false", Optional, "true";
        /// Settings that change by themselves; only with `unchanged` over a pattern.
        ignore: List<Parsed<SettingPattern>>, Optional, "[last_run*]";
    }

    /// One session that is audited.
    SessionKeys: "a session" {
        /// The source that it is in.
        source: Text, Required, "acme-erp";
        /// Its ID in the source.
        id: Parsed<SessionId>, Required, "14";
        /// What people call it. Without it, the name that the source returns.
        name: Text, Optional, "acme-uk.myshopify.com";
        /// The policy that it is held to.
        policy: Text = "orderwise-shopify", Optional, "orderwise-shopify";
        /// When it is audited: cron with 5 fields, or 6 with seconds first.
        schedule: Text = "*/5 * * * *", Optional, "\"*/5 * * * *\"";
        /// Zone of the schedule and of times that people read. Without it, that of the customer, of `defaults`, or UTC.
        timezone: Parsed<Tz>, Optional, "Europe/London";
        /// Values that rules of the policy compare with, by name.
        params: Map<OneOrMany<Text>>, Optional, "{ notification_email: integrations@acme.example, import_orders_as: Shopify_Orders }";
        /// Who is notified. Without it, the param `notification_email`.
        owners: List<Parsed<Address>>, Optional, "[integrations@acme.example]";
        /// Free words about it.
        labels: Map<Text>, Optional, "{ region: uk }";
        /// What excuses a rule for a time.
        waivers: Unbuilt, Later, "[]";
    }

    /// Who stands behind sources. A customer may also have every key of `alerts`, for its own sources.
    CustomerKeys: "a customer" {
        /// Whom a reader of a mail can ask.
        contact: Text, Optional, "\"Integrator support, +44 20 7946 0000\"";
        /// Where answers to mails go.
        reply_to: Parsed<Address>, Optional, "support@integrator.example";
        /// Zone of its sessions that have none of their own.
        timezone: Parsed<Tz>, Optional, "Europe/London";
    }

    /// The mail account: `from`, and `smtp` or `spool`.
    EmailKeys: "\"email\"" {
        /// The sender.
        from: Parsed<Mailbox>, Required, "Driftwise <driftwise@integrator.example>";
        /// The mail server.
        smtp: Sub<SmtpKeys>, Optional, "{ host: smtp.integrator.example }";
        /// In place of `smtp`: a folder that takes one .eml file a message.
        spool: FilePath, Optional, "./mail";
        /// In place of `smtp`: Microsoft Graph.
        graph: Unbuilt, Later, "{}";
    }

    /// The mail server.
    SmtpKeys: "\"smtp\"" {
        /// Its name or address, without a port.
        host: Parsed<Host>, Required, "smtp.integrator.example";
        /// Default: 587 for `starttls`, 465 for `implicit`, 25 for `none`.
        port: Whole<u16, 1, 65_535>, Optional, "587";
        /// How the connection is protected. `none` only to this machine, or with `allow_insecure`.
        tls: Choice<Tls> = "starttls", Optional, "starttls";
        /// Together with `password`, or neither.
        username: Text, Optional, "driftwise@integrator.example";
        /// Together with `username`, or neither.
        password: Hidden, Optional, "{ env: SMTP_PASSWORD }";
        /// Certificates to trust besides those of the system.
        ca_file: Certificates, Optional, "mail-ca.pem";
        /// Most mails in a minute. Microsoft 365 takes 30 from one account.
        max_per_minute: Whole<u32, 1, 100_000> = "30", Optional, "30";
        /// Permits `tls: none` to another machine, so that mails and the password cross the network in plain text.
        allow_insecure: Flag = "false", Optional, "false";
        /// Sign-in with a token.
        oauth2: Unbuilt, Later, "{}";
    }

    /// When people are notified, and who stands behind all sources. A customer may have each of these keys itself.
    AlertKeys: "\"alerts\"" {
        /// Polls in a row before a drift or a missing session counts.
        confirm_polls: Whole<u32, 1, 1000> = "1", Optional, "2";
        /// Polls in a row before it is over.
        resolve_polls: Whole<u32, 1, 1000> = "1", Optional, "2";
        /// What is less is shown on the pages and not notified.
        min_severity: Choice<Severity> = "warning", Optional, "warning";
        /// Grace period for what cannot be read, source or setting.
        unreachable_after: SpanOrZero = "1h", Optional, "1h";
        /// How often an open incident is repeated. 0 for never.
        remind_every: Repeat = "24h", Optional, "24h";
        /// Notified of what is critical, of unreachable sources, and of sessions without owners.
        fallback: List<Parsed<Address>>, Optional, "[it@acme.example]";
        /// Who run Driftwise: notified of all that concerns the audit itself, and of what is critical.
        operators: List<Parsed<Address>>, Optional, "[ops@integrator.example]";
        /// After so long without a check, owners hear of it too.
        blind_after: Span = "24h", Optional, "24h";
        /// Who else is notified of what stays open.
        escalate: Unbuilt, Later, "[]";
        /// When changes of one incident are held back.
        flapping: Unbuilt, Later, "{ changes: 4, within: 6h }";
        /// When many sessions of a source that begin to fail in one poll are one incident of the source.
        breaker: Sub<BreakerKeys>, Optional, "{ share: 50%, at_least: 5 }";
        /// The assurance mail.
        digest: Unbuilt, Later, "{}";
        /// An address that is called after each complete round.
        heartbeat: Unbuilt, Later, "{}";
    }

    /// When the sessions of a source that begin to fail in one poll are one incident of the source. Both limits must be reached.
    /// A customer's `breaker` replaces that of `alerts` as a whole.
    BreakerKeys: "\"breaker\"" {
        /// The least share of the audited sessions of the source.
        share: Percent = "50%", Optional, "50%";
        /// The least number of sessions.
        at_least: Whole<u32, 1, 1_000_000> = "5", Optional, "5";
    }

    /// Where state and history are kept.
    StoreKeys: "\"store\"" {
        /// An SQLite file, relative to this one.
        url: StoreUrl = "sqlite://driftwise.db", Optional, "\"sqlite://driftwise.db\"";
        /// How long history is kept. Two years are enough to answer for the last audit of the books.
        retain: Span = "730d", Optional, "730d";
    }

    /// Where the program listens.
    ServerKeys: "\"server\"" {
        /// Pages, probes and metrics.
        listen: Parsed<SocketAddr> = "127.0.0.1:9464", Optional, "127.0.0.1:9464";
        /// Serves metrics and probes alone.
        metrics_listen: Parsed<SocketAddr>, Optional, "0.0.0.0:9465";
        /// How people reach the pages; for links in mails.
        public_url: Parsed<WebAddress>, Optional, "\"https://driftwise.example\"";
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
