//! Tokens: their forms, their lifetime, and that no output shows them.

use super::*;
use crate::simulator::{Mode, RequestKind};

#[tokio::test]
async fn a_token_is_kept_for_less_than_an_hour() {
    let served = serve(Simulator::new(1)).await;
    let source = orderwise(&served.url());
    let minutes = [(0, 1), (5, 1), (49, 1), (50, 2), (99, 2), (100, 3), (60, 4)];
    for (minute, signed_in) in minutes {
        source.fetch(at(minute * 60)).await.unwrap();
        assert_eq!(served.simulator.count(RequestKind::Token), signed_in, "minute {minute}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let served = serve(Simulator::new(1)).await;
    let source = orderwise(&served.url());
    source.fetch(at(0)).await.unwrap();
    served.simulator.revoke_tokens();
    source.fetch(at(1)).await.unwrap();
    assert_eq!(served.simulator.count(RequestKind::Token), 2);
    assert_eq!(served.simulator.count(RequestKind::Export), 3);
    served.simulator.fail(Mode::TokenExpired, None);
    failed(source.fetch(at(2)).await, Failure::Auth, "refused a new token");
    assert_eq!(served.simulator.count(RequestKind::Token), 3);
    assert_eq!(served.simulator.count(RequestKind::Export), 5);
}

#[tokio::test]
async fn a_failed_export_keeps_the_token() {
    let served = serve(Simulator::new(1)).await;
    let source =
        OrderWise::new(OrderWiseOptions { timeout: Duration::from_secs(1), ..options(&served.url()) }).unwrap();
    for (minute, mode) in [Mode::Stall, Mode::Drop, Mode::ServerError, Mode::Html].into_iter().enumerate() {
        served.simulator.fail(mode, Some(1));
        source.fetch(at(60 * i64::try_from(minute).unwrap())).await.unwrap_err();
    }
    source.fetch(at(300)).await.unwrap();
    assert_eq!(served.simulator.count(RequestKind::Token), 1);
}

#[tokio::test]
async fn a_token_is_a_json_string_an_object_or_bare_text() {
    for body in [
        "\"abc.def\"",
        " \"abc.def\"\r\n",
        "{\"token\": \"abc.def\"}",
        "{\"Token\":\"abc.def\",\"x\":1}",
        "abc.def\n",
        "\u{FEFF}abc.def",
    ] {
        let server =
            raw(move |line| ok(if line.contains("gettoken") { body.as_bytes() } else { b"[{\"a\":1}]" })).await;
        orderwise(&server.url()).fetch(at(0)).await.unwrap_or_else(|error| panic!("{body:?}: {error}"));
        let seen = server.seen.lock().unwrap();
        assert!(seen[1].to_lowercase().contains("authorization: bearer abc.def\r\n"), "{}", seen[1]);
        assert!(seen[0].to_lowercase().contains("authorization: basic "), "{}", seen[0]);
    }
}

#[tokio::test]
async fn an_invalid_token_is_refused_and_never_quoted() {
    let cases: [&[u8]; 12] = [
        b"",
        b"null",
        b"true",
        b"\"\"",
        b"\"canary",
        b"<html>canary</html>",
        b"canary canary",
        b"canary\ncanary",
        b"{\"tok\":\"canary\"}",
        b"{\"token\":7,\"canary\":1}",
        b"[\"canary\"]",
        b"canary\xFF",
    ];
    for body in cases {
        let server = raw(move |_| ok(body)).await;
        let error =
            failed(orderwise(&server.url()).fetch(at(0)).await, Failure::Malformed, "at sign-in, it answered with");
        assert!(!format!("{error}{error:?}").contains("canary"), "{error:?}");
    }
    let server = raw(|_| ok(&vec![b'x'; 65 * 1024])).await;
    failed(
        orderwise(&server.url()).fetch(at(0)).await,
        Failure::TooLarge,
        "at sign-in, its answer is larger than 64 KiB",
    );
}

#[tokio::test]
async fn no_secret_is_shown_by_an_error_or_by_debug() {
    const TOKEN: &str = "eyJcanary-token.0123456789";
    let password = "canary-password";
    let body = format!("you sent Bearer {TOKEN}");
    let echoes = [
        ok(body.as_bytes()),
        ok(format!("{{\"x\":\"{body}\"}}").as_bytes()),
        ok(format!("[\"{body}\"]").as_bytes()),
        format!("HTTP/1.1 500 X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
    ];
    for answer in echoes {
        let server =
            raw(move |line| if line.contains("gettoken") { ok(TOKEN.as_bytes()) } else { answer.clone() }).await;
        let credential =
            ApiCredential::Password { username: "driftwise-api".to_owned(), password: Secret::given(password) };
        let options = OrderWiseOptions { credential, ..options(&server.url()) };
        let debug = format!("{options:?}");
        let error = OrderWise::new(options).unwrap().fetch(at(0)).await.unwrap_err();
        assert!(!format!("{debug}{error}{error:?}").contains("canary"), "{error:?}");
    }
}
