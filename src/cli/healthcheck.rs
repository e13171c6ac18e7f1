//! `healthcheck`: asks the running daemon for `/readyz`; needs no shell, so a container can call it.

use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;

use super::daemon::{self, DaemonAnswer};
use super::{Exit, Shared, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the daemon listens [default: `server.listen` of the configuration]
    #[arg(long)]
    address: Option<SocketAddr>,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let address = match arguments.address {
        Some(address) => address,
        None => shared.listen(),
    };
    let DaemonAnswer { status, body } = daemon::ask(address, "GET", "/readyz").await?;
    if status != 200 {
        // The first line of the answer says so already.
        let why = body.strip_prefix("not ready\n").unwrap_or(&body);
        bail!("the daemon on {} is not ready: {why}", daemon::reachable(address));
    }
    print(&format!("{body}\n"))?;
    Ok(Exit::Fine)
}
