//! `notifications`: lists notifications and their outcome, shows why one was sent, sends one again, previews each kind, and sends
//! a test message.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use super::output::moment;
use super::table::table;
use super::{Exit, Shared, UsageError, print};
use crate::config::NeededSecrets;
use crate::domain::notification::{Reason, SuppressedIncident};
use crate::domain::reading::visible;
use crate::store::{NotificationFilter, NotificationId, NotificationState, Store, StoredNotification};
use crate::view::reason as why;
use crate::view::times;
use crate::view::words::count;

mod preview;
mod resend;
mod trial;

#[derive(Debug, Subcommand)]
pub(super) enum Notifications {
    /// List the notifications in the store, oldest first
    List(ListArguments),
    /// Show one notification: to whom it went and why, and what was held back
    Show(ShowArguments),
    /// Send a test message at once
    Test(trial::TestArguments),
    /// Send again a notification that was sent or given up, under a new Message-ID
    Resend(resend::ResendArguments),
    /// Print a sample of a kind of notification
    Preview(preview::PreviewArguments),
}

/// The only channel.
pub(super) const EMAIL: &str = "email";

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The ID that `list` shows, or the `notification` field of a log line
    #[arg(value_name = "ID", value_parser = notification_id)]
    id: NotificationId,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

fn notification_id(text: &str) -> Result<NotificationId, String> {
    let number = || text.parse().ok().map(NotificationId::Number);
    let stable = || Uuid::parse_str(text).ok().map(NotificationId::Stable);
    number().or_else(stable).ok_or_else(|| String::from("not the ID of a notification, which is a number or a UUID"))
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
        Notifications::Test(arguments) => trial::run(shared, &arguments).await,
        Notifications::Resend(arguments) => resend::run(shared, &arguments).await,
        Notifications::Preview(arguments) => preview::run(&arguments),
    }
}

async fn list(shared: &Shared, arguments: &ListArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let rows = match Store::read(&config.store.path).await {
        Ok(store) => store.notifications(&NotificationFilter::default(), usize::MAX).await?,
        Err(e) if e.is_absent() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let notifications = rows.into_iter().map(NotificationLine::from).collect::<Vec<_>>();
    match arguments.format {
        ListFormat::Json => {
            let document = NotificationsDocument { notifications: &notifications };
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
        return Err(UsageError(format!(
            "there is no notification {id}; `driftwise notifications list` shows those in the store"
        ))
        .into());
    };
    let listed = NotificationLine::from(row);
    match arguments.format {
        ListFormat::Json => {
            print(&format!(
                "{}\n",
                serde_json::to_string_pretty(&Shown { listed: &listed, reason: (&reason).into() })?
            ))?;
        }
        ListFormat::Table => print(&in_words(&listed, &reason))?,
    }
    Ok(Exit::Fine)
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: &'a NotificationLine,
    reason: why::ReasonDocument<'a>,
}

fn in_words(listed: &NotificationLine, reason: &Reason) -> String {
    let row = &listed.row;
    let mut lines = vec![
        format!("Notification {} ({}) over {}", row.id, row.kind, row.channel),
        format!("To:         {}", row.to),
        format!("Subject:    {}", printable(&row.subject)),
        format!("Message-ID: {}", row.message_id),
        format!("Recorded:   {}", at(row.recorded_at)),
        format!("State:      {}", state(row)),
    ];
    let about = row.sessions.iter().map(|key| printable(key)).collect::<Vec<_>>().join(", ");
    lines.extend((!about.is_empty()).then(|| format!("Sessions:   {about}")));
    lines.extend(row.last_error.iter().map(|error| format!("Last error: {}", printable(error))));
    if row.state == NotificationState::Superseded {
        let by = row
            .replacement
            .map_or_else(|| "a later notification".to_owned(), |id| format!("the later notification {id}"));
        lines.push(format!("Replaced:   before it was sent, by {by}"));
    }
    lines.extend(row.resend_of.map(|id| format!("Resent:     an operator asked to send notification {id} again")));
    lines.push("Why:".to_owned());
    lines.extend(reason.because.iter().map(|because| format!("  - {}", printable(&why::because(because)))));
    if !reason.suppressions.is_empty() {
        lines.push("Held back at that time:".to_owned());
        let held = |SuppressedIncident { about, reason, .. }: &SuppressedIncident| {
            format!("  - {}: {}", printable(&why::what(about)), why::suppression(*reason))
        };
        lines.extend(reason.suppressions.iter().map(held));
    }
    if reason.more > 0 {
        lines.push(format!("  and {} more", reason.more));
    }
    lines.join("\n") + "\n"
}

/// The progress of the delivery, with its time and the next attempt.
fn state(row: &StoredNotification) -> String {
    let attempts = count(row.attempts as usize, "attempt");
    let finished = row.finished_at.map(|time| format!(" on {}", at(time))).unwrap_or_default();
    let next = row.next_attempt_at.map(|time| format!("; next attempt on {}", at(time))).unwrap_or_default();
    match row.state {
        NotificationState::Pending => "pending: no attempt yet".to_owned(),
        NotificationState::Retrying => format!("retrying after {attempts}{next}"),
        NotificationState::Sent => format!("sent{finished}, after {attempts}"),
        NotificationState::Dead => {
            format!(
                "dead: given up{finished}, after {attempts}; `driftwise notifications resend {}` sends it again",
                row.id
            )
        }
        NotificationState::Superseded => format!("superseded{finished}, after {attempts}"),
    }
}

/// A time as a person reads it in a terminal and compares it with a log.
fn at(time: DateTime<Utc>) -> String {
    times::exact(time, chrono_tz::UTC)
}

/// Outside text on one line of a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect()
}

#[derive(Serialize)]
struct NotificationsDocument<'a> {
    notifications: &'a [NotificationLine],
}

/// A notification for scripts.
#[derive(Serialize)]
struct NotificationLine {
    #[serde(flatten)]
    fields: ListedFields,
    #[serde(skip)]
    row: StoredNotification,
}

#[derive(Serialize)]
struct ListedFields {
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
    next_attempt_at: Option<String>,
    finished_at: Option<String>,
    superseded_by: Option<String>,
    resend_of: Option<i64>,
}

impl From<StoredNotification> for NotificationLine {
    fn from(row: StoredNotification) -> Self {
        let fields = ListedFields {
            id: row.id,
            notification_id: row.notification.to_string(),
            message_id: row.message_id.clone(),
            channel: row.channel.clone(),
            kind: row.kind.label(),
            to: row.to.to_string(),
            subject: row.subject.clone(),
            sessions: row.sessions.clone(),
            state: row.state.label(),
            attempts: row.attempts,
            last_error: row.last_error.clone(),
            recorded_at: moment(row.recorded_at),
            next_attempt_at: row.next_attempt_at.map(moment),
            finished_at: row.finished_at.map(moment),
            superseded_by: row.superseded_by.map(|id| id.to_string()),
            resend_of: row.resend_of,
        };
        Self { fields, row }
    }
}

/// Longest error in the table, in characters; `show` prints all of it.
const SHORT: usize = 60;

fn as_table(notifications: &[NotificationLine]) -> String {
    let line = |NotificationLine { row, .. }: &NotificationLine| {
        let error = printable(row.last_error.as_deref().unwrap_or_default());
        let cut = error.chars().count() > SHORT;
        let error = error.chars().take(SHORT).chain(cut.then_some('…')).collect();
        vec![
            row.id.to_string(),
            at(row.recorded_at),
            row.channel.clone(),
            row.kind.to_string(),
            row.to.to_string(),
            row.state.to_string(),
            row.attempts.to_string(),
            printable(&row.subject),
            error,
        ]
    };
    let rows = notifications.iter().map(line).collect::<Vec<_>>();
    table(&["ID", "RECORDED", "CHANNEL", "KIND", "TO", "STATE", "ATTEMPTS", "SUBJECT", "LAST ERROR"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::Address;

    fn row(state: NotificationState) -> StoredNotification {
        StoredNotification {
            id: 7,
            notification: uuid::Uuid::nil(),
            message_id: "<n7@x.example>".to_owned(),
            channel: "email".to_owned(),
            kind: crate::domain::notification::NotificationKind::Update,
            to: Address::parse("a@x.example").unwrap(),
            subject: "Re: drift".to_owned(),
            sessions: vec!["erp/15".to_owned()],
            state,
            attempts: 2,
            attempted_at: None,
            next_attempt_at: None,
            last_error: None,
            recorded_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            superseded_by: None,
            replacement: None,
            resend_of: None,
        }
    }

    fn shown(row: StoredNotification) -> String {
        let because = serde_json::json!([{
            "id": "00000000-0000-0000-0000-000000000000",
            "about": { "incident": { "source": "erp", "key": { "kind": "missing", "session": "15" } } },
            "change": "updated:2",
            "role": "owner",
        }]);
        let suppressions = serde_json::json!([{
            "id": "00000000-0000-0000-0000-000000000001",
            "about": { "incident": { "source": "erp", "key": { "kind": "unverifiable", "session": "15" } } },
            "reason": "source_changed",
        }]);
        let reason = serde_json::json!({ "because": because, "suppressions": suppressions });
        let reason = serde_json::from_value(reason).unwrap();
        in_words(&NotificationLine::from(row), &reason)
    }

    #[test]
    fn a_superseded_notification_is_shown_with_its_replacement_and_its_reason() {
        let text = shown(StoredNotification {
            replacement: Some(9),
            finished_at: Some(DateTime::UNIX_EPOCH),
            attempts: 0,
            ..row(NotificationState::Superseded)
        });
        assert!(text.contains("State:      superseded on 1970-01-01 00:00:00 UTC, after 0 attempts\n"), "{text}");
        assert!(text.contains("Replaced:   before it was sent, by the later notification 9\n"), "{text}");
        assert!(text.contains("  - missing: erp/15: updated:2; notified as owner\n"), "{text}");
        let held = "  - unverifiable: erp/15: one notification reports that the whole source changed\n";
        assert!(text.contains(held), "{text}");
        assert!(!shown(row(NotificationState::Sent)).contains("Replaced"), "it was sent before it could be replaced");
    }

    #[test]
    fn each_state_has_its_time_and_the_next_attempt() {
        let epoch = Some(DateTime::UNIX_EPOCH);
        let at = "1970-01-01 00:00:00 UTC";
        for (state, row, says) in [
            (NotificationState::Pending, row(NotificationState::Pending), "pending: no attempt yet".to_owned()),
            (
                NotificationState::Retrying,
                StoredNotification { next_attempt_at: epoch, ..row(NotificationState::Retrying) },
                format!("retrying after 2 attempts; next attempt on {at}"),
            ),
            (
                NotificationState::Sent,
                StoredNotification { finished_at: epoch, ..row(NotificationState::Sent) },
                format!("sent on {at}, after 2 attempts"),
            ),
            (
                NotificationState::Dead,
                StoredNotification { finished_at: epoch, ..row(NotificationState::Dead) },
                format!("dead: given up on {at}, after 2 attempts; `driftwise notifications resend 7` sends it again"),
            ),
        ] {
            assert!(shown(row).contains(&format!("State:      {says}\n")), "{state}");
        }
    }

    #[test]
    fn outside_text_stays_on_its_line_and_a_long_error_is_cut_in_the_table() {
        let error = format!("550 \"no\r\n\u{1b}[31mroot\u{202e}\" {}", "x".repeat(500));
        let dead = StoredNotification { last_error: Some(error), ..row(NotificationState::Dead) };
        let listed = as_table(&[NotificationLine::from(dead.clone())]);
        assert_eq!(listed.lines().count(), 2, "{listed}");
        assert!(listed.lines().all(|line| line.chars().count() < 200), "{listed}");
        let all = shown(dead);
        assert!(all.contains(&"x".repeat(500)) && !all.contains(['\u{1b}', '\u{202e}']), "{all}");
    }
}
