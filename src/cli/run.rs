//! `run`: the daemon.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Shared};
use crate::app::reload::ReloadTrigger;
use crate::app::{App, Reloading};
use crate::clock::SystemClock;
use crate::config::{Environment as _, ProcessEnvironment};
use crate::lifecycle::systemd::ServiceManager;
use crate::lifecycle::{heed_signals, raise_descriptor_limit};

/// Descriptors besides those of polls: for listeners, the store, mail, and clients of pages and metrics.
const BESIDES_POLLS: u64 = 128;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Delete old history by the present clock at once, even if it is far ahead of the last time in the store
    #[arg(long)]
    trust_clock: bool,
}

pub(super) async fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = shared.load()?;
    let limit = raise_descriptor_limit();
    if let Some(limit) = limit.filter(|limit| *limit < config.max_polls as u64 + BESIDES_POLLS) {
        let max_polls = config.max_polls;
        tracing::warn!(
            limit,
            max_polls,
            "the limit on file descriptors is low for this max_polls; raise the limit, or lower max_polls"
        );
    }
    for warning in &config.warnings {
        tracing::warn!("{}", warning.log_line());
    }
    let shutdown = CancellationToken::new();
    let again = shared.clone();
    let reloading = Reloading::new(Arc::new(move || again.load()));
    let reloads = reloading.requests.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(heed_signals(&shutdown, move || reloads.ask(ReloadTrigger::Signal))?);
    // Opening the store may have to wait for an owner that may be alive.
    let app = tokio::select! {
        app = App::build(config, reloading, Arc::new(SystemClock), shutdown.clone()) => app?,
        () = shutdown.cancelled() => return Ok(Exit::Fine),
    };
    let service = ServiceManager::new(ProcessEnvironment.variable("NOTIFY_SOCKET"));
    app.trust_clock(arguments.trust_clock).service_manager(service).run().await?;
    Ok(Exit::Fine)
}
