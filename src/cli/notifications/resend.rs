//! `notifications resend`: sends a notification again under a new Message-ID, through the daemon if one owns the store.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use crate::app::resend::resend;
use crate::cli::{Exit, Shared, UsageError, daemon, print};
use crate::clock::SystemClock;
use crate::config::{Config, NeededSecrets};
use crate::store::{NotificationState, Store, StoredNotification};

#[derive(Debug, Args)]
pub(in crate::cli) struct ResendArguments {
    /// The ID that `list` shows
    #[arg(value_name = "ID")]
    id: i64,
}

pub(super) async fn run(shared: &Shared, arguments: &ResendArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let id = arguments.id;
    if let Some(owner) = Store::owner(&config.store.path).await {
        return ask_daemon(&config, &owner, id).await;
    }
    if !config.store.path.exists() {
        return Err(UsageError(format!("there is no notification {id}: there is no store yet")).into());
    }
    let config = shared.load_for(&NeededSecrets { email: true, ..NeededSecrets::NONE })?;
    match resend(config, id, Arc::new(SystemClock)).await? {
        Ok(found) => report(id, &found),
        Err(refusal) => Err(UsageError(refusal.to_string()).into()),
    }
}

/// Asks the daemon, which records and delivers the notification.
async fn ask_daemon(config: &Config, owner: &str, id: i64) -> anyhow::Result<Exit> {
    let Some(address) = command_address(config) else {
        bail!(
            "a daemon owns the store ({owner}), and it takes commands only on a loopback address: stop it, or set server.metrics_listen, which takes commands too"
        );
    };
    let answer = daemon::ask(address, "POST", &format!("/-/notifications/{id}/resend")).await;
    let answer =
        answer.map_err(|error| error.context(format!("failed to ask the daemon that owns the store ({owner})")))?;
    match answer.status {
        200 => {
            print(&format!("{}\n", answer.body))?;
            Ok(Exit::Fine)
        }
        404 | 409 => Err(UsageError(answer.body).into()),
        status => bail!("the daemon answered {status}: {}", answer.body),
    }
}

/// The address on which the daemon takes commands.
fn command_address(config: &Config) -> Option<SocketAddr> {
    let listen = Some(config.server.listen).filter(|listen| listen.ip().is_loopback());
    listen.or(config.server.metrics_listen)
}

/// The outcome of the command.
fn report(id: i64, found: &StoredNotification) -> anyhow::Result<Exit> {
    let new = found.id;
    let recorded = format!("Notification {id} is in the outbox again as {new}.");
    let error = found.last_error.as_deref().unwrap_or_default();
    let (outcome, exit) = match found.state {
        NotificationState::Sent => ("It was sent.".to_owned(), Exit::Fine),
        NotificationState::Dead => (format!("It was refused for good: {error}"), Exit::Failure),
        NotificationState::Retrying => {
            (format!("It could not be sent: {error}. The next start of the daemon tries again."), Exit::Unverified)
        }
        NotificationState::Pending | NotificationState::Superseded => (
            "It waits behind earlier mail to the same recipient. The next start of the daemon sends it.".to_owned(),
            Exit::Unverified,
        ),
    };
    print(&format!("{recorded}\n{outcome}\n"))?;
    Ok(exit)
}
