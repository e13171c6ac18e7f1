//! `mail`: the alert channel.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::table::table;
use super::{Exit, Shared, UsageError, print, unbuilt};
use crate::app::mail::send_test;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::address::Address;
use crate::store::{NotificationFilter, Store, StoredNotification};

#[derive(Debug, Subcommand)]
pub(super) enum Mail {
    /// Send a test message at once
    Test(TestArguments),
    /// The messages that the store knows, oldest first
    List(ListArguments),
    /// Not available yet
    #[command(hide = true)]
    Preview(unbuilt::Anything),
    /// Not available yet
    #[command(hide = true)]
    Resend(unbuilt::Anything),
}

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// Who gets it
    #[arg(long, value_name = "ADDRESS")]
    to: String,
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// How messages are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum ListFormat {
    #[default]
    Table,
    Json,
}

pub(super) async fn run(shared: &Shared, mail: Mail) -> anyhow::Result<Exit> {
    match mail {
        Mail::Test(arguments) => test(shared, &arguments).await,
        Mail::List(arguments) => list(shared, &arguments).await,
        Mail::Preview(_) => Ok(unbuilt::refuse("mail preview")),
        Mail::Resend(_) => Ok(unbuilt::refuse("mail resend")),
    }
}

async fn test(shared: &Shared, arguments: &TestArguments) -> anyhow::Result<Exit> {
    let to = Address::parse(&arguments.to).map_err(|e| UsageError(e.to_string()))?;
    let config = shared.load()?;
    let message_id = send_test(&config, &to, SystemClock.now()).await?;
    print(&format!("A test message to {to} was accepted: {message_id}\n"))?;
    Ok(Exit::Fine)
}

async fn list(shared: &Shared, arguments: &ListArguments) -> anyhow::Result<Exit> {
    let config = shared.load()?;
    let rows = match Store::read(&config.store.path).await {
        Ok(store) => store.messages(&NotificationFilter::default(), usize::MAX).await?,
        Err(e) if e.is_absent() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let messages = rows.into_iter().map(Listed::from).collect::<Vec<_>>();
    match arguments.format {
        ListFormat::Json => {
            let document = Document { messages: &messages };
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        }
        ListFormat::Table if messages.is_empty() => print("No message has been recorded yet.\n")?,
        ListFormat::Table => print(&as_table(&messages))?,
    }
    Ok(Exit::Fine)
}

#[derive(Serialize)]
struct Document<'a> {
    messages: &'a [Listed],
}

/// A message as it is listed.
#[derive(Serialize)]
struct Listed {
    id: i64,
    message_id: String,
    kind: &'static str,
    to: String,
    subject: String,
    sessions: Vec<String>,
    state: &'static str,
    attempts: u32,
    last_error: Option<String>,
    recorded_at: String,
    finished_at: Option<String>,
}

impl From<StoredNotification> for Listed {
    fn from(row: StoredNotification) -> Self {
        Self {
            id: row.id,
            message_id: row.message_id,
            kind: row.kind.label(),
            to: row.to.to_string(),
            subject: row.subject,
            sessions: row.sessions,
            state: row.state.label(),
            attempts: row.attempts,
            last_error: row.last_error,
            recorded_at: moment(row.recorded_at),
            finished_at: row.finished_at.map(moment),
        }
    }
}

/// To the millisecond: what a person compares with a log.
fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn as_table(messages: &[Listed]) -> String {
    let line = |m: &Listed| {
        let error = m.last_error.clone().unwrap_or_default();
        vec![
            m.id.to_string(),
            m.recorded_at.clone(),
            m.kind.to_owned(),
            m.to.clone(),
            m.state.to_owned(),
            m.subject.clone(),
            error,
        ]
    };
    let rows = messages.iter().map(line).collect::<Vec<_>>();
    table(&["ID", "RECORDED", "KIND", "TO", "STATE", "SUBJECT", "LAST ERROR"], &rows)
}
