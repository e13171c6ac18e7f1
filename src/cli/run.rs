//! `run`: the daemon.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Shared};
use crate::app::reload::Trigger;
use crate::app::{App, Loader};
use crate::clock::SystemClock;
use crate::lifecycle::heed_signals;

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
    let again = shared.clone();
    let load: Loader = Arc::new(move || again.load());
    let app = App::build(config, load, Arc::new(SystemClock), shutdown.clone()).await?;
    let app = app.trust_clock(arguments.trust_clock);
    let reloads = app.reloads();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(heed_signals(&shutdown, move || reloads.ask(Trigger::Signal))?);
    app.run().await?;
    Ok(Exit::Fine)
}
