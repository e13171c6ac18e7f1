//! Requests to the running daemon, over the address at which it listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A daemon that does not answer within this is not healthy.
const GRACE: Duration = Duration::from_secs(5);

/// Longest answer that is read, in bytes: a few lines of words.
const LONGEST: u64 = 4096;

/// Status and body of the daemon's answer.
pub(super) struct DaemonAnswer {
    pub status: u16,
    pub body: String,
}

/// Sends a request to the daemon that listens on `address`; on loopback if it listens everywhere.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str) -> anyhow::Result<DaemonAnswer> {
    let address = reachable(address);
    let answer = tokio::time::timeout(GRACE, exchange(address, method, path)).await;
    let answer = answer.map_err(|_| anyhow::anyhow!("{address} did not answer within {} s", GRACE.as_secs()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(DaemonAnswer { status, body: body.trim().to_owned() })
}

pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

async fn exchange(address: SocketAddr, method: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("no daemon answers on {address}"))?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
