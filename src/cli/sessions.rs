//! `sessions`: lists every session that a source returns, and whether the configuration audits it; or prints the lines that would
//! add the unaudited ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::table::table;
use super::{Exit, Shared, UsageError, print, say};
use crate::app::online;
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::observation::RowMatch;
use crate::domain::plan::SourcePlan;
use crate::domain::reading::is_invisible;
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::view::session::NO_ROW;
use crate::view::source;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The source to ask
    #[arg(long, value_name = "SOURCE")]
    source: String,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: SessionsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum SessionsFormat {
    /// Every session
    #[default]
    Table,
    /// Every session
    Json,
    /// The sessions that are not audited yet, as lines for the configuration
    Yaml,
}

/// A session that the source returns, or that the configuration audits.
#[derive(Serialize)]
struct SourceSession {
    id: String,
    name: Option<String>,
    audited: bool,
    /// What is unusual about its row.
    note: Option<String>,
    /// The notification address that the source returns for it.
    #[serde(skip)]
    address: Option<Address>,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let named = Name::parse(&arguments.source).ok();
    let config = shared.load_for(&NeededSecrets { sources: Some(named.iter().cloned().collect()), email: false })?;
    let plan = named.and_then(|name| config.plans.get(&name)).ok_or_else(|| {
        let known = config.plans.keys().map(Name::as_str).collect::<BTreeSet<_>>();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        UsageError(format!("there is no source {:?}; the sources are: {known}", arguments.source))
    })?;
    let snapshot = match online::snapshot(&config, &plan.name, SystemClock.now()).await? {
        Ok(snapshot) => snapshot,
        Err(reason) => {
            say(&format!("driftwise: {}", source::outage(&plan.name, None, &reason)));
            return Ok(Exit::Unverified);
        }
    };
    let sessions = listed(plan, &snapshot);
    if let Some(rows) = snapshot.unidentified() {
        say(&format!("driftwise: {} also returned {rows}, so there may be more sessions than these", plan.name));
    }
    print(&match arguments.format {
        SessionsFormat::Table => as_table(&sessions),
        SessionsFormat::Json => {
            let document = serde_json::json!({ "source": plan.name, "sessions": sessions });
            format!("{}\n", serde_json::to_string_pretty(&document)?)
        }
        SessionsFormat::Yaml => as_yaml(plan, &sessions),
    })?;
    Ok(Exit::Fine)
}

fn listed(plan: &SourcePlan, snapshot: &Snapshot) -> Vec<SourceSession> {
    let returned = snapshot.ids().map(|id| {
        let (observation, note) = match snapshot.row_match(id) {
            RowMatch::Seen(observation) => (Some(observation), None),
            RowMatch::Duplicate(reason) | RowMatch::Uncertain(reason) => (None, Some(reason)),
            RowMatch::Missing => (None, None),
        };
        let notified = observation.as_ref().and_then(|seen| seen.raw(&SettingKey::new("notification_email")));
        SourceSession {
            id: id.to_string(),
            name: observation.as_ref().and_then(|seen| seen.name()),
            audited: plan.sessions.contains_key(id),
            note,
            address: notified.and_then(|raw| Address::parse(raw.as_text()?).ok()),
        }
    });
    let missing = plan.sessions.keys().filter(|id| matches!(snapshot.row_match(id), RowMatch::Missing));
    let missing = missing.map(|id| {
        let (id, note) = (id.to_string(), Some(NO_ROW.to_owned()));
        SourceSession { id, name: None, audited: true, note, address: None }
    });
    returned.chain(missing).collect()
}

fn as_table(sessions: &[SourceSession]) -> String {
    let row = |listed: &SourceSession| {
        let audited = if listed.audited { "audited" } else { "not audited" };
        let [name, note] = [&listed.name, &listed.note].map(|text| text.clone().unwrap_or_default());
        vec![listed.id.clone(), name, audited.to_owned(), note]
    };
    let rows = sessions.iter().map(row).collect::<Vec<_>>();
    table(&["ID", "NAME", "AUDITED", "NOTE"], &rows)
}

/// The unaudited sessions as a part of the configuration, to be pasted or included as a file. If no fallback would be notified of
/// them, each has the address that the source returns as its owner.
fn as_yaml(plan: &SourcePlan, sessions: &[SourceSession]) -> String {
    let source = &plan.name;
    let new = sessions.iter().filter(|listed| !listed.audited).collect::<Vec<_>>();
    if new.is_empty() {
        return format!("# The configuration audits every session of {source}.\nsessions: []\n");
    }
    let mut text = format!("# Sessions of {source} that are not audited yet.\nsessions:\n");
    for listed in new {
        let _ = writeln!(text, "  - source: {}\n    id: {}", quoted(source.as_str()), quoted(&listed.id));
        if let Some(name) = listed.name.as_deref().filter(|name| !name.chars().any(is_invisible)) {
            let _ = writeln!(text, "    name: {}", quoted(name));
        }
        if let Some(note) = &listed.note {
            let _ = writeln!(text, "    # {}", note.replace(is_invisible, " "));
        }
        match &listed.address {
            _ if !plan.contacts.fallback.is_empty() => {}
            Some(address) => {
                let _ = writeln!(
                    text,
                    "    owners: [{}] # its notification address in the source",
                    quoted(&address.to_string())
                );
            }
            None => text.push_str("    # owners: [ADDRESS] # who is notified\n"),
        }
    }
    text
}

/// A text as YAML that reads back as the same text: a whole number and a plain name as they are, any other as JSON writes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let number = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let word = matches!(text, "true" | "false" | "null");
    let name = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain) && !word;
    // A dollar sign would begin a variable.
    if number || name { text.to_owned() } else { serde_json::Value::from(text.replace('$', "$$")).to_string() }
}
