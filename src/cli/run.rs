//! `run`: the daemon.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Exit, Shared};
use crate::app::App;
use crate::clock::SystemClock;
use crate::lifecycle::stop_on_signals;

pub(super) async fn run(shared: &Shared) -> anyhow::Result<Exit> {
    let config = shared.load()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shutdown = CancellationToken::new();
    let signals = stop_on_signals(&shutdown)?;
    let app = App::build(config, Arc::new(SystemClock), shutdown).await?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(signals);
    app.run().await?;
    Ok(Exit::Fine)
}
