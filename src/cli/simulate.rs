//! `simulate`: a stand-in OrderWise API.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use tokio_util::sync::CancellationToken;

use super::{Exit, print};
use crate::lifecycle::heed_signals;
use crate::simulator::{self, Simulator};

/// All are in memory, and a poll returns them in one answer.
const MAX_SESSIONS: u64 = 100_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:9470")]
    listen: SocketAddr,
    /// The number of sessions, up to 100,000
    #[arg(long, default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(..=MAX_SESSIONS))]
    sessions: usize,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let shutdown = CancellationToken::new();
    // The stand-in reads no files, so SIGHUP has nothing to reload.
    let signals = heed_signals(&shutdown, || ())?;
    let listener = tokio::net::TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    let simulator = Simulator::new(arguments.sessions);
    print(&format!(
        "A stand-in for OrderWise with {}.\n  base_url: http://{address}/OWAPI\n  username: {}\n  \
         password: {}\n  export_definition: {}\nHow to change and break it: http://{address}/_simulator\n",
        session_ids(&simulator.sessions()),
        simulator::USERNAME,
        simulator::PASSWORD,
        simulator::EXPORT_DEFINITION,
    ))?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(signals);
    Arc::new(simulator).serve(listener, shutdown).await?;
    Ok(Exit::Fine)
}

/// The number of sessions, and the IDs that `sessions` of a configuration can name.
fn session_ids(ids: &[i64]) -> String {
    match ids {
        [] => String::from("no sessions"),
        [one] => format!("1 session, ID {one}"),
        [first, .., last] => format!("{} sessions, IDs {first} to {last}", ids.len()),
    }
}
