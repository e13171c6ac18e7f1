//! `backup` and `restore`: a copy of the store, and the way back.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Shared, print, say};
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::lifecycle::heed_signals;
use crate::store::{Copied, CopyError, Store};
use crate::view::times;
use crate::view::words::{count, size};

#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// Where the copy goes
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Replace a file at PATH
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// A copy that `backup` made
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

pub(super) async fn backup(shared: &Shared, arguments: BackupArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let BackupArguments { path, force } = arguments;
    let copied = tokio::select! {
        copied = Store::backup(&config.store.path, &path, force) => copied,
        () = heed_signals(&CancellationToken::new(), || {})? => bail!("stopped; no backup was made"),
    };
    let copied = match copied {
        Err(CopyError::Exists { path }) => bail!("{} exists; --force replaces it", path.display()),
        copied => copied?,
    };
    print(&format!("{} is a verified backup: {}.\n", path.display(), contents(&copied)))?;
    Ok(Exit::Fine)
}

pub(super) async fn restore(shared: &Shared, arguments: RestoreArguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let store = &config.store.path;
    let restored = Store::restore(store, &arguments.path, SystemClock.now()).await?;
    let copied = restored.copied;
    print(&format!("{} is restored from {}: {}.\n", store.display(), arguments.path.display(), contents(&copied)))?;
    if let Some(replaced) = &restored.replaced {
        print(&format!(
            "The replaced store was kept as {}; delete it when you no longer need it.\n",
            replaced.display()
        ))?;
    }
    say(
        "Next: start the daemon. It sends the notifications that were waiting when the backup was made, including those sent \
         since, with the same Message-IDs. A drift that was found after the backup and is still there is notified again.",
    );
    Ok(Exit::Fine)
}

/// `1.2 MiB, 2 sources, last poll 2026-11-25 01:20:00 UTC`.
fn contents(copied: &Copied) -> String {
    let last_poll = match copied.last_poll {
        Some(at) => format!("last poll {}", times::exact(at, chrono_tz::UTC)),
        None => String::from("no poll yet"),
    };
    format!("{}, {}, {last_poll}", size(copied.size), count(copied.sources, "source"))
}
