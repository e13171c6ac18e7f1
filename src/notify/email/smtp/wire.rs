//! One connection to a mail server: writes commands, reads replies, and notices when the two are out of step.
//!
//! A command is written only while no reply is unread, and each command reads one reply. An unasked reply would be taken for the
//! answer to the next command, and so on to the end: a refusal could pass for a yes. After STARTTLS the same rule rejects
//! plaintext that an attacker appended as a reply inside TLS.
//!
//! [`MOST_RECEIVED`] bounds the bytes received, and the limits of [`Parser`] apply within it. The handshake reads past these
//! limits; rustls holds at most one handshake message of 64 KiB.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsConnector;

use super::reply::{Malformed, Parser, Reply};

/// Most bytes taken from one connection, inside and outside TLS together. A session with one message takes about 2 kB.
pub const MOST_RECEIVED: usize = 256 * 1024;

/// Most bytes taken at once.
const BUFFER: usize = 4 * 1024;

/// Why a step of a session failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A 4xx or 5xx.
    #[error("refused")]
    Refused(Reply),
    /// The same after a challenge that explained it, as in XOAUTH2.
    #[error("refused")]
    Explained { reply: Reply, explanation: String },
    /// A reply whose code this stage does not allow, though it is not a refusal.
    #[error("an unexpected reply")]
    Unexpected(Reply),
    /// The server sent something before a command asked for it; the reply, if it is one.
    #[error("a reply that nothing asked for")]
    Unasked(Option<Reply>),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("more than {MOST_RECEIVED} bytes")]
    Flooded,
    #[error("the connection was closed")]
    Closed,
    #[error("the connection failed")]
    Broken(#[from] io::Error),
    #[error("no TLS")]
    Handshake(#[source] io::Error),
    #[error("no STARTTLS")]
    NoStartTls,
    #[error("no sign-in that both sides know")]
    NoMechanism,
    #[error("no sign-in with a token")]
    NoTokenMechanism,
    #[error("one challenge after another")]
    Challenges,
}

impl WireError {
    /// The reply that caused the failure, if one did.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused(reply)
            | Self::Explained { reply, .. }
            | Self::Unexpected(reply)
            | Self::Unasked(Some(reply)) => Some(reply),
            _ => None,
        }
    }
}

/// A stream of bytes: a socket, TLS over one, or a test.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub struct Wire {
    stream: Box<dyn Duplex>,
    /// Received and not parsed yet: `start..end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    received: usize,
    in_step: bool,
}

impl Wire {
    pub fn new(stream: impl Duplex + 'static) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { stream: Box::new(stream), buffer, start: 0, end: 0, received: 0, in_step: false }
    }

    /// Whether every command has had its reply, so that another can be sent.
    pub fn is_in_step(&self) -> bool {
        self.in_step && self.start == self.end
    }

    /// Sends nothing more to a server that broke the protocol.
    pub fn give_up(&mut self) {
        self.in_step = false;
    }

    /// Reads one reply.
    pub async fn reply(&mut self) -> Result<Reply, WireError> {
        let mut parser = Parser::default();
        loop {
            let (taken, reply) = parser.take(self.unread())?;
            self.start += taken;
            if let Some(reply) = reply {
                self.in_step = true;
                return Ok(reply);
            }
            let received = self.stream.read(&mut self.buffer).await?;
            self.take_in(received)?;
        }
    }

    /// Writes a line and reads the reply to it.
    pub async fn command(&mut self, line: &str) -> Result<Reply, WireError> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// Writes bytes, if everything that the server sent has been read.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.in_step = false;
        self.check_quiet().await?;
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// A whole reply that is unread, if there is one.
    pub fn stray(&self) -> Option<Reply> {
        Parser::default().take(self.unread()).ok().and_then(|(_, reply)| reply)
    }

    /// Starts TLS on the connection. A reply that arrived unasked before that is an error. Returns the certificate of the server.
    pub async fn protect(
        &mut self,
        connector: &TlsConnector,
        name: &ServerName<'static>,
    ) -> Result<Option<CertificateDer<'static>>, WireError> {
        self.in_step = false;
        if self.start != self.end {
            return Err(WireError::Unasked(self.stray()));
        }
        // After a failed handshake there is no connection any more.
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let protected = connector.connect(name.clone(), stream).await.map_err(WireError::Handshake)?;
        let presented = protected.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        self.stream = Box::new(protected);
        Ok(presented)
    }

    /// Closes the connection in the order that its protocol requires.
    pub async fn close(mut self) {
        // A failure changes nothing.
        let _ = self.stream.shutdown().await;
    }

    /// Fails if the server has sent something unasked by now, or closed the connection.
    async fn check_quiet(&mut self) -> Result<(), WireError> {
        if self.start == self.end {
            let (stream, buffer) = (&mut self.stream, &mut self.buffer);
            let arrived = poll_fn(|cx| {
                let mut buffer = ReadBuf::new(buffer);
                match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(read) => Poll::Ready(read.map(|()| Some(buffer.filled().len()))),
                    Poll::Pending => Poll::Ready(Ok(None)),
                }
            });
            match arrived.await? {
                None => return Ok(()),
                Some(received) => self.take_in(received)?,
            }
        }
        Err(WireError::Unasked(self.stray()))
    }

    /// Counts bytes that were read into the buffer.
    fn take_in(&mut self, received: usize) -> Result<(), WireError> {
        (self.start, self.end) = (0, received);
        self.received += received;
        match received {
            0 => Err(WireError::Closed),
            _ if self.received > MOST_RECEIVED => Err(WireError::Flooded),
            _ => Ok(()),
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A server that sends `bytes` whatever it receives.
    fn server(bytes: Vec<u8>) -> Wire {
        Wire::new(tokio::io::join(Cursor::new(bytes), tokio::io::sink()))
    }

    #[tokio::test]
    async fn a_connection_ends_after_a_number_of_bytes_however_they_are_divided() {
        for reply in ["250 ok\r\n".to_owned(), format!("250 {}\r\n", "x".repeat(8000)), "250-x\r\n250 x\r\n".to_owned()]
        {
            let mut wire = server(reply.repeat(2 * MOST_RECEIVED / reply.len()).into_bytes());
            let mut read = 0;
            let trouble = loop {
                match wire.reply().await {
                    Ok(_) => read += reply.len(),
                    Err(trouble) => break trouble,
                }
            };
            assert!(matches!(trouble, WireError::Flooded), "{trouble:?}");
            assert!(read <= MOST_RECEIVED && read + reply.len() + BUFFER > MOST_RECEIVED, "{read}");
        }
    }

    #[tokio::test]
    async fn nothing_is_written_while_a_reply_is_unread() {
        let mut wire = server(b"220 hello\r\n250 ok\r\n".to_vec());
        wire.reply().await.unwrap();
        assert!(!wire.is_in_step());
        let trouble = wire.command("MAIL FROM:<a@b.example>").await.unwrap_err();
        assert!(matches!(&trouble, WireError::Unasked(Some(reply)) if reply.code == 250), "{trouble:?}");
        let mut wire = server(b"220 hello\r\n".to_vec());
        wire.reply().await.unwrap();
        assert!(matches!(wire.command("EHLO x").await, Err(WireError::Closed)));
    }
}
