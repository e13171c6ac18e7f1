//! A mail server that follows a script, once, in the clear or inside TLS.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::certificate::authority;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Say(&'static str),
    /// Sends bytes that are not UTF-8, in one packet.
    Raw(&'static [u8]),
    /// Sends bytes in packets of one byte.
    Drip(&'static [u8]),
    /// Sends bytes again and again until the client closes the connection, which it must do soon.
    Flood(&'static [u8]),
    /// Expects a line that begins with this text.
    Expect(&'static str),
    /// The message, up to the final dot.
    Take,
    /// Starts TLS.
    Protect,
    /// Expects the client to close the connection without another word.
    Gone,
    /// Breaks the connection.
    Close,
    /// Sends nothing until the client closes the connection.
    Hang,
}

/// Most bytes that a client can have been sent when it closes the connection: those that it takes in, and those in the buffers
/// between.
const MOST_FLOOD: usize = 32 << 20;

pub struct Script {
    pub port: u16,
    task: JoinHandle<String>,
}

impl Script {
    #[expect(clippy::disallowed_methods, reason = "the far side of a test has no supervisor")]
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut taken = String::new();
            follow(listener.accept().await.unwrap().0, &steps, &mut taken).await;
            taken
        });
        Self { port, task }
    }

    /// The message that the server accepted, if any. Fails if the client did not send what the script expects.
    pub async fn finish(self) -> String {
        self.task.await.unwrap()
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

type Stream = BufReader<Box<dyn Wire>>;

async fn follow(stream: TcpStream, steps: &[Step], taken: &mut String) {
    stream.set_nodelay(true).unwrap();
    let mut stream: Stream = BufReader::new(Box::new(stream));
    for step in steps {
        match step {
            Step::Say(words) => say(&mut stream, words.as_bytes()).await.unwrap(),
            Step::Raw(bytes) => say(&mut stream, bytes).await.unwrap(),
            Step::Drip(bytes) => {
                for byte in *bytes {
                    say(&mut stream, &[*byte]).await.unwrap();
                }
            }
            Step::Flood(bytes) => {
                let mut said = 0;
                while say(&mut stream, bytes).await.is_ok() {
                    said += bytes.len();
                    assert!(said < MOST_FLOOD, "the client takes everything");
                }
                return;
            }
            Step::Gone => {
                let mut rest = Vec::new();
                // A client that closes the connection with unread bytes resets it.
                let _ = stream.read_to_end(&mut rest).await;
                assert!(rest.is_empty(), "the client said {:?}", String::from_utf8_lossy(&rest));
                return;
            }
            Step::Expect(start) => {
                let line = line(&mut stream).await;
                assert!(line.starts_with(start), "{line:?} is not {start:?}");
            }
            Step::Take => loop {
                match line(&mut stream).await {
                    end if end == ".\r\n" => break,
                    line => taken.push_str(&line),
                }
            },
            Step::Protect => {
                let protected = acceptor().accept(stream.into_inner()).await.unwrap();
                stream = BufReader::new(Box::new(protected));
            }
            Step::Close => return,
            Step::Hang => {
                listen(&mut stream).await;
                return;
            }
        }
    }
    // The server has nothing more to send. It reads the rest from the client until that closes the connection: an early close
    // could lose bytes that were sent to the client.
    let _ = stream.shutdown().await;
    listen(&mut stream).await;
}

async fn listen(stream: &mut Stream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn say(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn line(stream: &mut Stream) -> String {
    let mut line = String::new();
    assert!(stream.read_line(&mut line).await.unwrap() > 0, "the client hung up");
    line
}

fn acceptor() -> TlsAcceptor {
    let authority = authority();
    let chain = vec![CertificateDer::from_pem_slice(authority.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(authority.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// A port that answers no connection at all: its queue of one is full, so the kernel drops every further one.
pub struct BlackHole {
    pub port: u16,
    _listener: TcpListener,
    _callers: Vec<JoinHandle<std::io::Result<TcpStream>>>,
}

impl BlackHole {
    #[expect(clippy::disallowed_methods, reason = "the far side of a test has no supervisor")]
    pub async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // The first connection is accepted; the others make sure that the queue is full.
        let first = TcpStream::connect(address).await;
        let mut callers = vec![tokio::spawn(std::future::ready(first))];
        callers.extend((0..4).map(|_| tokio::spawn(TcpStream::connect(address))));
        tokio::task::yield_now().await;
        Self { port: address.port(), _listener: listener, _callers: callers }
    }
}
