//! Connections that fail, and bodies at the edge.

use super::*;

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_why() {
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
    let Ok(server) = raw_at("[::1]:0", export(ok(b"[{\"a\":1}]"))).await else {
        return; // No IPv6 on this machine.
    };
    assert_eq!(orderwise(&server.url()).fetch(at(0)).await.unwrap().rows.len(), 1);
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
            let server = raw(export(answer)).await;
            let source = OrderWise::new(Options { max_body: 4096, ..options(&server.url()) }).unwrap();
            let outcome = source.fetch(at(0)).await;
            if fits {
                assert_eq!(outcome.unwrap().rows.len(), 1);
            } else {
                failed(outcome, Failure::TooLarge, "larger than 4 KiB");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_closes_without_saying_so_is_asked_again_and_again() {
    let server = raw(export(ok(b"[{\"a\":1}]"))).await;
    let source = orderwise(&server.url());
    for second in 0..20 {
        source.fetch(at(second)).await.unwrap();
    }
    assert_eq!(server.seen.lock().unwrap().len(), 21);
}

#[tokio::test]
async fn answers_that_break_off_or_are_no_http_say_so() {
    let cases: [(&[u8], Failure, &str); 6] = [
        (b"", Failure::Connect, "the connection was closed before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{\"a\":1}]", Failure::Connect, "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[{\"a\":1}]", Failure::Connect, "in the middle"),
        (b"220 mail.example ESMTP\r\n", Failure::Malformed, "not HTTP"),
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
