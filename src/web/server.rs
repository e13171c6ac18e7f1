//! The HTTP server under the pages: so many connections at once, each with so much time, and an end when it is asked for.
//!
//! Anybody who reaches the port can open connections and say nothing, or ask for a page and never read it. That may cost a
//! connection for a while; it must not cost the program its files, nor keep the probes from being answered for ever.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod progress;

use progress::Progress;

/// What a server allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time; who comes next waits to be accepted.
    pub connections: usize,
    /// For a request to be said, and for the next one on the same connection to begin.
    pub header: Duration,
    /// For some of an answer to be taken, however long the whole takes.
    pub progress: Duration,
    /// For a connection; who has more to ask makes another.
    pub life: Duration,
    /// For an answer that is being read when the connection is to end.
    pub grace: Duration,
}

impl Limits {
    /// Far more than a few browsers, probes and Prometheus open, and far less than a process may have files.
    pub const USUAL: Self = Self {
        connections: 256,
        header: Duration::from_secs(15),
        progress: Duration::from_secs(20),
        life: Duration::from_mins(5),
        grace: Duration::from_secs(30),
    };
}

/// Answers until `shutdown`, then finishes what it is answering.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, limits: Limits) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, place)) = accepted else { break };
        open.spawn(answer(stream, router.clone(), shutdown.clone(), limits, place));
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// The next connection for which there is room; `None` cannot be, as nobody closes the room.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    /// Out of files or memory: trying at once would only keep the processor busy.
    const PAUSE: Duration = Duration::from_secs(1);
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            Err(error) if gone_already(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whoever asked went away before being accepted.
fn gone_already(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(
    stream: TcpStream,
    router: Router,
    shutdown: CancellationToken,
    limits: Limits,
    _place: OwnedSemaphorePermit,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.header);
    let stream = TokioIo::new(Progress::new(stream, limits.progress));
    let mut connection = pin!(server.serve_connection(stream, TowerToHyperService::new(router)));
    // How a connection ends is the business of whoever made it.
    tokio::select! {
        _ = &mut connection => return,
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(limits.life) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.grace, connection).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    struct Served {
        address: std::net::SocketAddr,
        shutdown: CancellationToken,
        serving: JoinSet<()>,
    }

    impl Served {
        async fn new(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let large = || async { "x".repeat(64 << 20) };
            let router = Router::new().route("/", get(|| async { "here" })).route("/large", get(large));
            let mut serving = JoinSet::new();
            serving.spawn(serve(listener, router, shutdown.clone(), limits));
            Self { address, shutdown, serving }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    /// Far from any hang, and quick for a test.
    const QUICK: Limits = Limits {
        connections: 8,
        header: Duration::from_millis(100),
        progress: Duration::from_mins(5),
        life: Duration::from_mins(5),
        grace: Duration::from_millis(100),
    };

    async fn answered(stream: &mut TcpStream) {
        let (mut answer, mut piece) = (String::new(), [0; 1024]);
        while !answer.ends_with("here") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "no answer: {answer}");
            answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }

    /// Waits until the other side has closed the connection.
    async fn closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn whoever_does_not_finish_asking_is_hung_up_on() {
        let served = Served::new(QUICK).await;
        let mut silent = served.connect().await;
        let mut slow = served.connect().await;
        slow.write_all(&ASK[..20]).await.unwrap();
        let mut idle = served.connect().await;
        idle.write_all(ASK).await.unwrap();
        answered(&mut idle).await;
        for stream in [&mut silent, &mut slow, &mut idle] {
            closed(stream).await;
        }
    }

    #[tokio::test]
    async fn who_comes_when_there_is_no_room_is_answered_when_there_is() {
        let served = Served::new(Limits { connections: 1, header: Duration::from_mins(5), ..QUICK }).await;
        let mut first = served.connect().await;
        first.write_all(ASK).await.unwrap();
        answered(&mut first).await;
        let mut second = served.connect().await;
        second.write_all(ASK).await.unwrap();
        first.write_all(ASK).await.unwrap();
        answered(&mut first).await;
        assert!(second.try_read(&mut [0; 1]).is_err(), "answered beside the only one that there is room for");
        drop(first);
        answered(&mut second).await;
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_does_not_hold_the_connection_for_ever() {
        let limits = Limits { connections: 1, life: Duration::from_millis(100), ..QUICK };
        let served = Served::new(limits).await;
        let mut unread = served.connect().await;
        unread.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut next = served.connect().await;
        next.write_all(ASK).await.unwrap();
        answered(&mut next).await;
    }

    #[tokio::test]
    async fn whoever_takes_nothing_of_an_answer_loses_the_connection_long_before_its_life_is_over() {
        let served = Served::new(Limits { connections: 1, progress: Duration::from_millis(100), ..QUICK }).await;
        let mut unread = served.connect().await;
        unread.write_all(&b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n".repeat(8)).await.unwrap();
        let mut next = served.connect().await;
        next.write_all(ASK).await.unwrap();
        answered(&mut next).await;
    }

    #[tokio::test]
    async fn asked_to_stop_it_ends_whatever_is_open() {
        let mut served = Served::new(Limits { header: Duration::from_mins(5), ..QUICK }).await;
        let mut idle = served.connect().await;
        idle.write_all(ASK).await.unwrap();
        answered(&mut idle).await;
        let mut slow = served.connect().await;
        slow.write_all(&ASK[..20]).await.unwrap();
        served.shutdown.cancel();
        served.serving.join_next().await.unwrap().unwrap();
        assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
    }
}
