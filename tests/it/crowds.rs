//! Clients that hold many connections, and requests through the browser of a visitor, do not block probes and pages.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::program::{DEADLINE, get};
use crate::world::{Setup, World};

/// The whole response to these bytes, up to the end of the connection.
fn said(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn three_hundred_silent_connections_block_neither_probes_nor_pages() {
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new(1, &Setup { server: format!(", metrics_listen: \"{metrics}\""), ..Setup::default() });
    let daemon = world.daemon();
    daemon.first_poll();
    for address in [daemon.address, metrics] {
        let held = (0..300).map(|n| {
            let mut stream = TcpStream::connect(address).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: loc").unwrap();
            }
            stream
        });
        let held = held.collect::<Vec<_>>();
        let began = Instant::now();
        for path in ["/readyz", "/healthz", "/metrics"] {
            assert_eq!(get(address, path).unwrap().0, 200, "{path}");
        }
        // Sooner than a held connection is closed, so the answer did not wait for that.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(held);
    }
    assert_eq!(get(daemon.address, "/").unwrap().0, 200);
    daemon.stop();
}

#[test]
fn an_unfinished_request_is_closed_within_seconds() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    let mut slow = TcpStream::connect(daemon.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let began = Instant::now();
    // A byte now and then does not delay the end.
    let mut piece = [0; 64];
    loop {
        let _ = slow.write_all(b"G");
        match slow.read(&mut piece) {
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Ok(read) if read > 0 => {}
            _ => break,
        }
        assert!(began.elapsed() < Duration::from_secs(12), "it is still held");
    }
    daemon.stop();
}

#[test]
fn a_website_cannot_read_the_pages_through_a_visitors_browser() {
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!(", metrics_listen: \"{metrics}\", public_url: \"https://drift.example/\"");
    let world = World::new(1, &Setup { server, ..Setup::default() });
    let daemon = world.daemon();
    daemon.first_poll();
    let port = daemon.address.port();
    let status = |target: &str, version: &str, headers: &str| {
        let answer =
            said(daemon.address, &format!("GET {target} HTTP/{version}\r\n{headers}Connection: close\r\n\r\n"));
        answer.split_whitespace().nth(1).unwrap().parse::<u16>().unwrap()
    };
    for (target, version, headers, wanted) in [
        ("/", "1.1", format!("Host: localhost:{port}\r\n"), 200),
        ("/", "1.1", format!("Host: 127.0.0.1:{port}\r\n"), 200),
        ("/", "1.1", String::from("Host: Drift.Example.\r\n"), 200),
        ("/", "1.1", format!("Host: evil.example:{port}\r\n"), 421),
        ("/metrics", "1.1", format!("Host: evil.example:{port}\r\n"), 421),
        ("/readyz", "1.1", format!("Host: evil.example:{port}\r\n"), 421),
        ("http://evil.example/", "1.1", String::from("Host: localhost\r\n"), 421),
        ("http://localhost/", "1.1", String::from("Host: localhost\r\n"), 200),
        ("/", "1.1", String::new(), 400),
        ("/", "1.0", String::new(), 200),
    ] {
        assert_eq!(status(target, version, &headers), wanted, "{target} {version} {headers}");
    }
    let refused = said(daemon.address, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(refused.contains("localhost, 127.0.0.0/8, [::1], drift.example"), "{refused}");
    let scraped = said(metrics, "GET /metrics HTTP/1.1\r\nHost: pod-7.example\r\nConnection: close\r\n\r\n");
    assert!(scraped.starts_with("HTTP/1.1 200"), "{scraped}");
    daemon.stop();
}
