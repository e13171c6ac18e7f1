//! `healthcheck`: asks the running daemon for `/readyz`; needs no shell, so a container can call it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Exit, Shared, print};

/// A daemon that does not answer within this is not healthy.
const GRACE: Duration = Duration::from_secs(5);

/// Longest answer that is read: a line of words.
const LONGEST: u64 = 4096;

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
    let address = reachable(address);
    let answer = tokio::time::timeout(GRACE, ask(address)).await;
    let answer = answer.map_err(|_| anyhow::anyhow!("{address} did not answer within {} s", GRACE.as_secs()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split_whitespace().nth(1) != Some("200") {
        bail!("the daemon on {address} is not ready: {}", body.trim());
    }
    print(&format!("{}\n", body.trim()))?;
    Ok(Exit::Fine)
}

/// A daemon that listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("no daemon answers on {address}"))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
