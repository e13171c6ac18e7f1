//! `notifications`: lists notifications and their outcome, shows why one was sent, and sends a test message.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::table::table;
use super::{Exit, Shared, UsageError, print, unbuilt};
use crate::app::notifications::send_test;
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::domain::address::Address;
use crate::domain::notification::{Because, Held, Reason};
use crate::store::{NotificationFilter, NotificationState, Store, StoredNotification};

#[derive(Debug, Subcommand)]
pub(super) enum Notifications {
    /// The notifications that the store knows, oldest first
    List(ListArguments),
    /// One notification: why it went to whom, and what was held back
    Show(ShowArguments),
    /// Send a test message at once
    Test(TestArguments),
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
    /// Over which channel
    #[arg(long, value_name = "NAME", default_value = EMAIL)]
    channel: String,
}

/// The one channel that there is.
pub(super) const EMAIL: &str = "email";

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The ID that `list` shows
    #[arg(value_name = "ID")]
    id: i64,
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// How notifications are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum ListFormat {
    #[default]
    Table,
    Json,
}

pub(super) async fn run(shared: &Shared, command: Notifications) -> anyhow::Result<Exit> {
    match command {
        Notifications::List(arguments) => list(shared, &arguments).await,
        Notifications::Show(arguments) => show(shared, &arguments).await,
        Notifications::Test(arguments) => test(shared, &arguments).await,
        Notifications::Preview(_) => Ok(unbuilt::refuse("notifications preview")),
        Notifications::Resend(_) => Ok(unbuilt::refuse("notifications resend")),
    }
}

async fn test(shared: &Shared, arguments: &TestArguments) -> anyhow::Result<Exit> {
    let to = Address::parse(&arguments.to).map_err(|e| UsageError(e.to_string()))?;
    if arguments.channel != EMAIL {
        let error = format!("there is no channel {:?}; the one channel is {EMAIL:?}", arguments.channel);
        return Err(UsageError(error).into());
    }
    let config = shared.load_for(&NeededSecrets { email: true, ..NeededSecrets::NONE })?;
    let message_id = send_test(&config, &to, SystemClock.now(), |step| print(&format!("{step}\n"))).await?;
    print(&format!("A test message to {to} was accepted: {message_id}\n"))?;
    Ok(Exit::Fine)
}

async fn list(shared: &Shared, arguments: &ListArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let rows = match Store::read(&config.store.path).await {
        Ok(store) => store.notifications(&NotificationFilter::default(), usize::MAX).await?,
        Err(e) if e.is_absent() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let notifications = rows.into_iter().map(Listed::from).collect::<Vec<_>>();
    match arguments.format {
        ListFormat::Json => {
            let document = Document { notifications: &notifications };
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        }
        ListFormat::Table if notifications.is_empty() => print("No notification has been recorded yet.\n")?,
        ListFormat::Table => print(&as_table(&notifications))?,
    }
    Ok(Exit::Fine)
}

async fn show(shared: &Shared, arguments: &ShowArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let found = match Store::read(&config.store.path).await {
        Ok(store) => store.notification(arguments.id).await?,
        Err(e) if e.is_absent() => None,
        Err(e) => return Err(e.into()),
    };
    let Some((row, reason)) = found else {
        let id = arguments.id;
        return Err(
            UsageError(format!("there is no notification {id}: `driftwise notifications list` shows them")).into()
        );
    };
    let listed = Listed::from(row);
    match arguments.format {
        ListFormat::Json => {
            print(&format!("{}\n", serde_json::to_string_pretty(&Shown { listed: &listed, reason: &reason })?))?;
        }
        ListFormat::Table => print(&in_words(&listed, &reason))?,
    }
    Ok(Exit::Fine)
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: &'a Listed,
    reason: &'a Reason,
}

fn in_words(listed: &Listed, reason: &Reason) -> String {
    let mut lines = vec![
        format!("Notification {} ({}) over {}", listed.id, listed.kind, listed.channel),
        format!("To:         {}", listed.to),
        format!("Subject:    {}", listed.subject),
        format!("Message-ID: {}", listed.message_id),
        format!("Recorded:   {}", listed.recorded_at),
        format!(
            "State:      {} after {}",
            listed.state,
            crate::view::words::count(listed.attempts as usize, "attempt")
        ),
    ];
    lines.extend(listed.last_error.iter().map(|error| format!("Last error: {error}")));
    if listed.state == NotificationState::Superseded.label() {
        let by =
            listed.replacement.map_or_else(|| "a later notification".to_owned(), |id| format!("notification {id}"));
        lines.push(format!("Replaced:   before it was sent, by {by}, a later one about the same"));
    }
    lines.push("Why:".to_owned());
    let because = |b: &Because| {
        let late = if b.blind { ", because it has lasted for blind_after" } else { "" };
        format!("  - {}: {}; told as {}{late}", b.what, b.change, b.role.label())
    };
    lines.extend(reason.because.iter().map(because));
    if !reason.held.is_empty() {
        lines.push("Held back at that time:".to_owned());
        lines.extend(reason.held.iter().map(|Held { what, stage, .. }| format!("  - {what}: {}", stage.label())));
    }
    if reason.more > 0 {
        lines.push(format!("  and {} more", reason.more));
    }
    lines.join("\n") + "\n"
}

#[derive(Serialize)]
struct Document<'a> {
    notifications: &'a [Listed],
}

/// A notification as it is listed.
#[derive(Serialize)]
struct Listed {
    id: i64,
    /// Stable, and the same in every channel.
    notification_id: String,
    message_id: String,
    channel: String,
    kind: &'static str,
    to: String,
    subject: String,
    sessions: Vec<String>,
    state: &'static str,
    attempts: u32,
    last_error: Option<String>,
    recorded_at: String,
    finished_at: Option<String>,
    superseded_by: Option<String>,
    /// The number of the notification that replaced it.
    #[serde(skip)]
    replacement: Option<i64>,
}

impl From<StoredNotification> for Listed {
    fn from(row: StoredNotification) -> Self {
        Self {
            id: row.id,
            notification_id: row.notification.to_string(),
            message_id: row.message_id,
            channel: row.channel,
            kind: row.kind.label(),
            to: row.to.to_string(),
            subject: row.subject,
            sessions: row.sessions,
            state: row.state.label(),
            attempts: row.attempts,
            last_error: row.last_error,
            recorded_at: moment(row.recorded_at),
            finished_at: row.finished_at.map(moment),
            superseded_by: row.superseded_by.map(|id| id.to_string()),
            replacement: row.replacement,
        }
    }
}

/// To the millisecond: what a person compares with a log.
fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn as_table(notifications: &[Listed]) -> String {
    let line = |m: &Listed| {
        let error = m.last_error.clone().unwrap_or_default();
        vec![
            m.id.to_string(),
            m.recorded_at.clone(),
            m.channel.clone(),
            m.kind.to_owned(),
            m.to.clone(),
            m.state.to_owned(),
            m.subject.clone(),
            error,
        ]
    };
    let rows = notifications.iter().map(line).collect::<Vec<_>>();
    table(&["ID", "RECORDED", "CHANNEL", "KIND", "TO", "STATE", "SUBJECT", "LAST ERROR"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superseded_notification_is_shown_with_its_replacement_and_its_reason() {
        let mut listed = Listed {
            id: 7,
            notification_id: "n7".to_owned(),
            message_id: "<n7@x.example>".to_owned(),
            channel: "email".to_owned(),
            kind: "update",
            to: "a@x.example".to_owned(),
            subject: "Re: drift".to_owned(),
            sessions: Vec::new(),
            state: NotificationState::Superseded.label(),
            attempts: 0,
            last_error: None,
            recorded_at: moment(DateTime::UNIX_EPOCH),
            finished_at: None,
            superseded_by: Some("n9".to_owned()),
            replacement: Some(9),
        };
        let because = serde_json::json!([{
            "id": "00000000-0000-0000-0000-000000000000",
            "what": "drift of export in erp/15",
            "change": "updated:2",
            "role": "owner",
        }]);
        let reason = serde_json::from_value(serde_json::json!({ "because": because, "held": [] })).unwrap();
        let shown = in_words(&listed, &reason);
        assert!(shown.contains("State:      superseded after 0 attempts\n"), "{shown}");
        assert!(
            shown.contains("Replaced:   before it was sent, by notification 9, a later one about the same\n"),
            "{shown}"
        );
        assert!(shown.contains("  - drift of export in erp/15: updated:2; told as owner\n"), "{shown}");
        listed.state = NotificationState::Sent.label();
        assert!(!in_words(&listed, &reason).contains("Replaced"), "it was sent before it could be replaced");
    }
}
