//! A connection that hands out at most one line at a time.
//!
//! With STARTTLS, whatever a stranger on the way appends to the server's last plain reply must not be taken for a reply
//! inside TLS. A reader that buffers ahead would keep it over the upgrade. Here it stays in the stream, reaches the TLS
//! handshake, and that fails.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Room for what was received and not yet handed out, in bytes.
const ROOM: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct LineStream {
    inner: TcpStream,
    received: Box<[u8]>,
    start: usize,
    end: usize,
}

impl LineStream {
    pub fn new(inner: TcpStream) -> Self {
        Self { inner, received: vec![0; ROOM].into_boxed_slice(), start: 0, end: 0 }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.start == this.end {
            let mut received = ReadBuf::new(&mut this.received);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut received))?;
            (this.start, this.end) = (0, received.filled().len());
        }
        let waiting = this.received.get(this.start..this.end).unwrap_or_default();
        let line = waiting.iter().position(|b| *b == b'\n').map_or(waiting.len(), |at| at + 1);
        let handed = line.min(buf.remaining());
        buf.put_slice(waiting.get(..handed).unwrap_or_default());
        this.start += handed;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for LineStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
}
