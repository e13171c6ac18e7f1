//! Sources over real connections: to the stand-in OrderWise, and to servers that send the bytes of a test.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::orderwise::{ApiCredential, OrderWise, OrderWiseOptions, Systems};
use super::{Failure, FetchError, Quoted, Source as _};
use crate::domain::observation::RawSnapshot;
use crate::secret::{Redactor, Secret};
use crate::simulator::{EXPORT_DEFINITION, PASSWORD, Simulator, USERNAME};

mod answers;
mod cooldown;
mod files;
mod json;
mod network;
mod tls;
mod tokens;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn options(base_url: &str) -> OrderWiseOptions {
    let _ = rustls::crypto::ring::default_provider().install_default();
    OrderWiseOptions {
        base_url: base_url.to_owned(),
        credential: ApiCredential::Password { username: USERNAME.to_owned(), password: Secret::given(PASSWORD) },
        export_definition: EXPORT_DEFINITION,
        parameters: Vec::new(),
        timeout: Duration::from_secs(20),
        max_body: 1 << 20,
        ca_file: None,
        proxy: None,
    }
}

fn orderwise(base_url: &str) -> OrderWise {
    OrderWise::new(options(base_url)).unwrap()
}

/// A stand-in that serves until it is dropped.
struct Served {
    simulator: Arc<Simulator>,
    /// Without a path.
    root: String,
    _tasks: JoinSet<io::Result<()>>,
}

impl Served {
    fn url(&self) -> String {
        format!("{}/OWAPI", self.root)
    }
}

async fn serve(simulator: Simulator) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let simulator = Arc::new(simulator);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&simulator).serve(listener, CancellationToken::new()));
    Served { simulator, root, _tasks: tasks }
}

/// A server that responds to each request with given bytes and then closes the connection.
struct Raw {
    address: SocketAddr,
    /// The received requests.
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Raw {
    fn url(&self) -> String {
        format!("http://{}/OWAPI", self.address)
    }
}

/// Responds with the result of `reply` for the first line of a request.
async fn raw(reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Raw {
    raw_at("127.0.0.1:0", reply).await.unwrap()
}

async fn raw_at(address: &str, reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> io::Result<Raw> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let request = converse(stream, &reply).await;
            noted.lock().unwrap().extend(request);
        }
    });
    Ok(Raw { address, seen, _tasks: tasks })
}

/// One request and its response.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: impl Fn(&str) -> Vec<u8>) -> Option<String> {
    let request = request(&mut stream).await?;
    let answer = reply(request.lines().next().unwrap());
    // The client may have closed the connection, as it should after a body over its limit.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    Some(request)
}

/// A request, up to the end of its body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(request).unwrap())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A complete response with status 200.
fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Responds with a token to a sign-in, and with `answer` to everything else.
fn export(answer: impl Into<Vec<u8>>) -> impl Fn(&str) -> Vec<u8> {
    let answer = answer.into();
    move |line| if line.contains("gettoken") { ok(b"\"eyJ.token.x\"") } else { answer.clone() }
}

#[track_caller]
fn failed(outcome: Result<RawSnapshot, FetchError>, failure: Failure, words: &str) -> FetchError {
    let error = outcome.map(|answer| format!("{} rows", answer.rows.len())).unwrap_err();
    assert_eq!(error.failure, failure, "{error}");
    assert!(error.to_string().contains(words), "{words:?} is not in {error}");
    error
}
