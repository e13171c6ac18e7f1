//! `run`: the daemon.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Shared};
use crate::app::App;
use crate::clock::SystemClock;
use crate::lifecycle::stop_on_signals;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Let retention go by the clock at once, also where it is far ahead of the last time recorded in the store
    #[arg(long)]
    trust_clock: bool,
}

pub(super) async fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = shared.load()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shutdown = CancellationToken::new();
    let signals = stop_on_signals(&shutdown)?;
    let app = App::build(config, Arc::new(SystemClock), shutdown).await?.trust_clock(arguments.trust_clock);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(signals);
    app.run().await?;
    Ok(Exit::Fine)
}
