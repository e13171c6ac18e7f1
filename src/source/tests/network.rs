//! Failed connections, and bodies at the limit.

use super::*;
use crate::http::HttpProxy;

#[tokio::test]
async fn a_failed_connection_has_a_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    failed(
        orderwise(&format!("http://{closed}/OWAPI")).fetch(at(0)).await,
        Failure::Connect,
        "the connection was refused",
    );
    let unknown = orderwise("http://nosuch.invalid/OWAPI").fetch(at(0)).await;
    failed(unknown, Failure::Connect, "at sign-in, its host name cannot be found");
}

#[tokio::test]
async fn a_source_may_have_an_ipv6_address() {
    let server = match raw_at("[::1]:0", export(ok(b"[{\"a\":1}]"))).await {
        Ok(server) => server,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "this machine has no IPv6: {error}");
            eprintln!("SKIPPED: a source may have an IPv6 address: this machine has none ({error})");
            return;
        }
    };
    assert_eq!(orderwise(&server.url()).fetch(at(0)).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_system_gives_its_time_without_a_sign_in() {
    let cases = [("Date: Fri, 15 Jan 2027 08:00:05 GMT\r\n", Some(at(5))), ("Date: soon\r\n", None), ("", None)];
    for (date, expected) in cases {
        let answer = format!("HTTP/1.1 404 Not Found\r\n{date}Content-Length: 0\r\n\r\n");
        let server = raw(move |_| answer.clone().into_bytes()).await;
        assert_eq!(orderwise(&server.url()).time().await, expected, "{date}");
        // The server notes a request after its response.
        while server.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let seen = server.seen.lock().unwrap().join("\n").to_lowercase();
        assert!(seen.starts_with("get /owapi http/1.1") && !seen.contains("authorization"), "{seen}");
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_not() {
    let body = |len: usize| format!("[{{\"a\":\"{}\"}}]", "x".repeat(len - 10)).into_bytes();
    let chunked = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
    };
    for (len, fits) in [(4096, true), (4097, false)] {
        for answer in [ok(&body(len)), chunked(&body(len))] {
            at_the_limit(answer, fits).await;
        }
    }
}

/// Polls a source with a limit of 4 KiB: it reads the response, or reports that it is larger.
async fn at_the_limit(answer: Vec<u8>, fits: bool) {
    let server = raw(export(answer)).await;
    let source = OrderWise::new(OrderWiseOptions { max_body: 4096, ..options(&server.url()) }).unwrap();
    let outcome = source.fetch(at(0)).await;
    if fits {
        assert_eq!(outcome.unwrap().rows.len(), 1);
    } else {
        failed(outcome, Failure::TooLarge, "larger than 4 KiB");
    }
}

#[tokio::test]
async fn a_server_that_closes_connections_without_notice_can_be_polled_repeatedly() {
    let server = raw(export(ok(b"[{\"a\":1}]"))).await;
    let source = orderwise(&server.url());
    for second in 0..20 {
        source.fetch(at(second)).await.unwrap();
    }
    assert_eq!(server.seen.lock().unwrap().len(), 21);
}

/// Leaves every connection open, and closes it without a response at a second request.
#[tokio::test]
async fn no_connection_is_used_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/OWAPI", listener.local_addr().unwrap());
    let (accepted, mut tasks) = (Arc::new(Mutex::new(0)), JoinSet::new());
    let count = Arc::clone(&accepted);
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            *count.lock().unwrap() += 1;
            open.spawn(async move {
                let request = request(&mut stream).await.unwrap();
                let answer = export(ok(b"[{\"a\":1}]"))(request.lines().next().unwrap());
                stream.write_all(&answer).await.unwrap();
                // Until the client closes it, or sends a second request.
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    let source = orderwise(&url);
    for second in 0..20 {
        source.fetch(at(second)).await.unwrap();
    }
    assert_eq!(*accepted.lock().unwrap(), 21, "one for the token, and one for each export");
}

#[tokio::test]
async fn the_time_out_covers_the_whole_exchange() {
    let part = Duration::from_millis(600);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/OWAPI", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await.unwrap();
            // The delay is the subject of the test: a slow server.
            tokio::time::sleep(part).await;
            let _ = stream.write_all(&export(ok(b"[{\"a\":1}]"))(request.lines().next().unwrap())).await;
        }
    });
    let source = |timeout| OrderWise::new(OrderWiseOptions { timeout, ..options(&url) }).unwrap();
    failed(source(Duration::from_secs(1)).fetch(at(0)).await, Failure::Timeout, "it did not answer in full within 1 s");
    source(Duration::from_secs(20)).fetch(at(0)).await.unwrap();
}

/// As gzip, without compressing anything.
fn gzip(body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap();
    let crc = body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    let head = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF, 1];
    let size = u32::from(len).to_le_bytes();
    [&head, len.to_le_bytes().as_slice(), &(!len).to_le_bytes(), body, &(!crc).to_le_bytes(), &size].concat()
}

#[tokio::test]
async fn the_limit_counts_unpacked_bytes() {
    let body = |len: usize| format!("[{{\"a\":\"{}\"}}]", "x".repeat(len - 10)).into_bytes();
    for (len, fits) in [(4096, true), (4097, false)] {
        let packed = gzip(&body(len));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
        at_the_limit([head.as_bytes(), &packed].concat(), fits).await;
    }
}

/// A client that unpacks the whole body first never ends.
#[tokio::test]
async fn unpacking_an_endless_body_ends_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/OWAPI", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // A block that is not the last one.
        let block = [&[0, 0, 0x40, 0xFF, 0xBF], [b' '; 0x4000].as_slice()].concat();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await.unwrap();
            if request.contains("gettoken") {
                stream.write_all(&ok(b"token")).await.unwrap();
                continue;
            }
            let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1F\x8B\x08\0\0\0\0\0\0\xFF";
            stream.write_all(head).await.unwrap();
            while stream.write_all(&block).await.is_ok() {}
        }
    });
    failed(orderwise(&url).fetch(at(0)).await, Failure::TooLarge, "larger than 1 MiB");
}

#[tokio::test]
async fn truncated_and_malformed_http_has_a_reason() {
    let cases: [(&[u8], Failure, &str); 8] = [
        (b"", Failure::Connect, "the connection was closed before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{\"a\":1}]", Failure::Connect, "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[{\"a\":1}]", Failure::Connect, "in the middle"),
        (b"220 mail.example ESMTP\r\n", Failure::Malformed, "not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 3\r\n\r\n[{\"a\":1}]",
            Failure::Malformed,
            "the headers of its answer are malformed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n[{\"a\":1}]",
            Failure::Malformed,
            "the headers of its answer are malformed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n[{\"a\":1}]",
            Failure::Malformed,
            "cannot be unpacked",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Failure::Empty, "it returned no sessions"),
    ];
    for (answer, failure, words) in cases {
        let server = raw(export(answer)).await;
        failed(orderwise(&server.url()).fetch(at(0)).await, failure, words);
    }
}

/// Reasons distinguish the transfer of HTTP and its content, with and without gzip.
#[tokio::test]
async fn reasons_distinguish_a_bad_chunk_a_closed_connection_and_bad_gzip() {
    const CHUNKS: (Failure, &str) = (Failure::Malformed, "its answer came in malformed HTTP chunks");
    const CUT: (Failure, &str) = (Failure::Connect, "the connection was closed in the middle of its answer");
    const PACKED_CUT: (Failure, &str) = (Failure::Malformed, "its answer arrived, but the gzip data in it is cut off");
    const NOT_PACKED: (Failure, &str) = (Failure::Malformed, "its answer cannot be unpacked (gzip)");
    let packed = gzip(b"[{\"a\":1}]");
    let half = &packed[..packed.len() - 10];
    let mut wrong = packed.clone();
    wrong[10] = 7;
    let chunk = |body: &[u8], end: &str| [format!("{:x}\r\n", body.len()).as_bytes(), body, end.as_bytes()].concat();
    let whole = "\r\n0\r\n\r\n";
    let cases: [(&str, Vec<u8>, (Failure, &str)); 12] = [
        ("", b"zz\r\n[{\"a\":1}]".to_vec(), CHUNKS),
        ("", b"\r\n[{\"a\":1}]".to_vec(), CHUNKS),
        ("", b"fffffffffffffffff\r\n[".to_vec(), CHUNKS),
        ("", chunk(b"[{\"a\":1}]", "no line break"), CHUNKS),
        ("", chunk(b"[{\"a\":1}]", "\r\n0\r\nbad trailer\r\n\r\n"), CHUNKS),
        ("", chunk(b"[{\"a\":1", "\r\n"), CUT),
        ("gzip", chunk(half, "\r\nzz\r\n"), CHUNKS),
        ("gzip", chunk(half, "no line break"), CHUNKS),
        ("gzip", chunk(half, "\r\n"), CUT),
        ("gzip", chunk(half, whole), PACKED_CUT),
        ("gzip", chunk(&wrong, whole), NOT_PACKED),
        ("gzip", chunk(b"[{\"a\":1}]", whole), NOT_PACKED),
    ];
    for (coding, body, (failure, words)) in cases {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        let coding = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
        let answer = [head.as_bytes(), coding.as_bytes(), b"\r\n", &body].concat();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let server = raw(export(answer)).await;
        let error = orderwise(&server.url()).fetch(at(0)).await.unwrap_err();
        assert_eq!((error.failure, error.reason.as_str()), (failure, words), "{shown:?}");
    }
}

#[tokio::test]
async fn a_huge_announced_or_error_body_is_not_waited_for() {
    let server = raw(export(*b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n[")).await;
    failed(orderwise(&server.url()).fetch(at(0)).await, Failure::TooLarge, "larger than 1 MiB");
    let page = "<html><head><TITLE> Service\u{202E} Unavailable </TITLE></head></html>";
    let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    let server = raw(export(answer)).await;
    let words = "503 Service Unavailable: \"Service\u{FFFD} Unavailable\"";
    failed(orderwise(&server.url()).fetch(at(0)).await, Failure::ServerError, words);
}

#[test]
fn a_base_url_that_cannot_be_used_is_refused() {
    for bad in
        ["", "erp.acme.example/OWAPI", "ftp://h/OWAPI", "https://u:canary@h/x", "https://h/x?y=1", "https://h/#a"]
    {
        let error = OrderWise::new(options(bad)).err().unwrap_or_else(|| panic!("{bad}"));
        assert!(!error.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_is_named_as_the_one_that_failed() {
    let through = |url: String| OrderWiseOptions {
        proxy: Some(HttpProxy { url: Secret::given(url), except: None }),
        ..options("https://erp.acme.invalid/OWAPI")
    };
    let cases = [
        ("407 Proxy Authentication Required", "the proxy requires a sign-in"),
        ("502 Bad Gateway", "the proxy did not connect to it"),
    ];
    for (status, words) in cases {
        let server = raw(move |_| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()).await;
        let options = through(format!("http://{}", server.address));
        failed(OrderWise::new(options).unwrap().fetch(at(0)).await, Failure::Connect, words);
        assert!(server.seen.lock().unwrap()[0].starts_with("CONNECT erp.acme.invalid:443 HTTP/1.1\r\n"));
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = through(format!("http://{closed}"));
    failed(OrderWise::new(options).unwrap().fetch(at(0)).await, Failure::Connect, "the proxy cannot be reached");
}
