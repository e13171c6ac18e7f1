//! The HTTP server under the pages: limits the number of connections and the time of each, and stops on request.
//!
//! Any peer that reaches the port can open connections and send nothing, or request a page and never read it. That may hold a
//! connection for a while; it must not use up the descriptors of the program, or keep a probe or a scrape from its answer. So the
//! server accepts every connection and, if there are too many, closes another one for it: see [`crowd`].

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod crowd;
mod progress;

use crowd::{Crowd, Place};
use progress::Progress;

/// The limits of a server: numbers of connections, and times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time; for the next one, the server closes another.
    pub connections: usize,
    /// Connections of one peer at the same time.
    pub per_peer: usize,
    /// For a request head to arrive, and for the next one on the same connection to begin.
    pub header: Duration,
    /// For the peer to read some of an answer, however long the whole takes.
    pub progress: Duration,
    /// For a connection; a peer with more requests opens another.
    pub life: Duration,
    /// For the peer to read the rest of an answer when the connection is due to end.
    pub grace: Duration,
}

impl Limits {
    /// Far more connections than a few browsers, probes and Prometheus open, and far fewer than the files that a process may
    /// open. One peer may be a proxy in front of many browsers, which open six each; four such peers fill the server. A head is a
    /// few hundred bytes, which a client sends at once, and a page of 200 sessions takes two seconds at 1 Mbit/s.
    pub const USUAL: Self = Self {
        connections: 256,
        per_peer: 64,
        header: Duration::from_secs(5),
        progress: Duration::from_secs(20),
        life: Duration::from_mins(1),
        grace: Duration::from_secs(30),
    };
}

/// Answers until `shutdown`, then finishes the answers under way.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, limits: Limits) {
    let crowd = Crowd::new(limits.connections, limits.per_peer);
    let mut open = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        open.spawn(answer(stream, router.clone(), shutdown.clone(), limits, crowd.admit(peer)));
        while open.try_join_next().is_some() {}
        // A connection that lost its place ends at once.
        while open.len() > limits.connections {
            open.join_next().await;
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// The next connection, and the address of its peer.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    /// Without descriptors or memory, trying again at once would only keep the processor busy.
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip()),
            Err(error) if gone_already(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the peer closed the connection before it was accepted.
fn gone_already(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(stream: TcpStream, router: Router, shutdown: CancellationToken, limits: Limits, place: Place) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.header);
    let stream = TokioIo::new(Progress::new(stream, limits.progress));
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        place.asked();
        router.call(request)
    });
    let mut connection = pin!(server.serve_connection(stream, service));
    // Errors of a connection concern only its peer.
    tokio::select! {
        _ = &mut connection => return,
        () = place.needed() => return,
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(limits.life) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = place.needed() => {}
        () = tokio::time::sleep(limits.grace) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use axum::body::Body;
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;
    use tokio::sync::Notify;

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    const ASK_WITHOUT_END: &[u8] = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";

    struct Served {
        address: SocketAddr,
        /// Notified when the server gives up an endless answer.
        given_up: Arc<Notify>,
        shutdown: CancellationToken,
        serving: JoinSet<()>,
    }

    impl Served {
        async fn new(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let given_up = Arc::new(Notify::new());
            let bell = Arc::clone(&given_up);
            let endless = move || async move { endless(Bell(bell)) };
            let router = Router::new().route("/", get(|| async { "here" })).route("/endless", get(endless));
            let mut serving = JoinSet::new();
            serving.spawn(serve(listener, router, shutdown.clone(), limits));
            Self { address, given_up, shutdown, serving }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// A connection from another address of this machine: 127.0.0.`last`.
        async fn connect_from(&self, last: u32) -> TcpStream {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::from_bits(0x7f00_0000 + last), 0).into()).unwrap();
            socket.connect(self.address).await.unwrap()
        }
    }

    struct Bell(Arc<Notify>);

    impl Drop for Bell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    fn endless(bell: Bell) -> Body {
        let piece = move || {
            let _ = &bell;
            Ok::<_, std::convert::Infallible>("x".repeat(64 << 10))
        };
        Body::from_stream(stream::iter(std::iter::repeat_with(piece)))
    }

    /// Long enough for a loaded machine, and short for a test.
    const QUICK: Limits = Limits {
        connections: 8,
        per_peer: 8,
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
    async fn a_connection_whose_request_is_not_complete_in_time_is_closed() {
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

    /// Long before a connection that sends too slowly ends by itself.
    const PATIENT: Limits = Limits { connections: 256, per_peer: 64, header: Duration::from_mins(5), ..QUICK };

    #[tokio::test]
    async fn idle_connections_do_not_keep_other_peers_from_an_answer() {
        // From one peer, and from several that together open more connections than the limit.
        for peers in [1, 8] {
            let served = Served::new(PATIENT).await;
            let mut held = Vec::new();
            for n in 0..400 {
                let mut stream = served.connect_from(10 + n % peers).await;
                stream.write_all(&ASK[..20]).await.unwrap();
                held.push(stream);
            }
            for last in [2, 10] {
                answered_at_once(served.connect_from(last).await).await;
            }
            let kept = async |stream: &TcpStream| {
                let mut piece = [0; 1];
                tokio::time::timeout(Duration::ZERO, stream.peek(&mut piece)).await.is_err()
            };
            assert!(!kept(&held[0]).await && kept(&held[399]).await, "the oldest connection closes first");
        }
    }

    async fn answered_at_once(mut stream: TcpStream) {
        stream.write_all(ASK).await.unwrap();
        answered(&mut stream).await;
    }

    #[tokio::test]
    async fn unread_answers_do_not_keep_other_peers_from_an_answer() {
        let served = Served::new(Limits { connections: 16, per_peer: 4, ..PATIENT }).await;
        let mut unread = Vec::new();
        for n in 0..64 {
            let mut stream = served.connect_from(10 + n % 16).await;
            stream.write_all(ASK_WITHOUT_END).await.unwrap();
            stream.readable().await.unwrap();
            unread.push(stream);
        }
        answered_at_once(served.connect().await).await;
    }

    #[tokio::test]
    async fn a_connection_with_requests_stays_open_while_idle_ones_are_closed() {
        let served = Served::new(PATIENT).await;
        let mut scraper = served.connect_from(2).await;
        let mut silent = Vec::new();
        for n in 0..400 {
            silent.push(served.connect_from(2 + n % 4).await);
            scraper.write_all(ASK).await.unwrap();
            answered(&mut scraper).await;
        }
    }

    #[tokio::test]
    async fn an_endless_answer_does_not_hold_its_connection_for_ever() {
        let served = Served::new(Limits { life: Duration::from_millis(100), ..QUICK }).await;
        let mut reader = served.connect().await;
        reader.write_all(ASK_WITHOUT_END).await.unwrap();
        let mut piece = vec![0; 64 << 10];
        while reader.read(&mut piece).await.is_ok_and(|read| read > 0) {}
        served.given_up.notified().await;
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_of_an_answer_loses_its_connection_early() {
        let served = Served::new(Limits { progress: Duration::from_millis(100), ..QUICK }).await;
        let mut unread = served.connect().await;
        unread.write_all(ASK_WITHOUT_END).await.unwrap();
        served.given_up.notified().await;
    }

    #[tokio::test]
    async fn a_server_that_stops_closes_every_connection() {
        let mut served = Served::new(Limits { header: Duration::from_mins(5), ..QUICK }).await;
        let mut idle = served.connect().await;
        idle.write_all(ASK).await.unwrap();
        answered(&mut idle).await;
        let mut slow = served.connect().await;
        slow.write_all(&ASK[..20]).await.unwrap();
        served.shutdown.cancel();
        served.serving.join_next().await.unwrap().unwrap();
        assert!(TcpStream::connect(served.address).await.is_err(), "the listener is closed");
    }
}
