//! The stand-in over plain HTTP, without a tolerant client.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

#[expect(clippy::disallowed_methods, reason = "a test owns its one task")]
async fn serve(simulator: &Arc<Simulator>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(Arc::clone(simulator).serve(listener, stop.clone()));
    Served { address, stop, task }
}

impl Served {
    async fn send(&self, first: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{first} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Status and body.
    async fn ask(&self, first: &str, headers: &str, body: &str) -> (u16, String) {
        let mut answer = String::new();
        self.send(first, headers, body).await.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn steer(&self, first: &str, body: &str) -> (u16, String) {
        self.ask(&first.replace(' ', " /_simulator"), "", body).await
    }
}

#[tokio::test]
async fn http_requests_control_the_stand_in() {
    let simulator = Arc::new(Simulator::new(2));
    let served = serve(&simulator).await;
    assert!(served.steer("GET ", "").await.1.contains("gzip_bomb"));
    assert_eq!(served.steer("PATCH /sessions/14", r#"{"export":true,"new":null}"#).await.0, 204);
    let (_, row) = served.steer("GET /sessions/14", "").await;
    assert!(row.contains(r#""export":true"#) && row.contains(r#""new":null"#), "{row}");
    served.steer("DELETE /sessions/14/new", "").await;
    served.steer("PUT /sessions/99", "").await;
    served.steer("PUT /sessions/98", r#"{"name":"bare"}"#).await;
    assert_eq!(served.steer("DELETE /sessions/15", "").await.0, 204);
    assert_eq!(served.steer("DELETE /sessions/15", "").await.0, 404);
    let (_, rows) = served.steer("GET /sessions", "").await;
    assert!(!rows.contains("\"new\"") && rows.contains(r#"{"session_id":98,"name":"bare"}"#), "{rows}");
    assert_eq!(simulator.sessions(), [14, 98, 99]);
    assert_eq!(served.steer("PUT /fault", r#"{"fault":"fire"}"#).await.0, 400);
    assert_eq!(served.steer("PUT /fault", r#"{"fault":"slow","times":3}"#).await.0, 204);
    assert_eq!(served.steer("GET /fault", "").await.1, r#"{"fault":"slow","times":3}"#);
    served.steer("DELETE /fault", "").await;
    assert_eq!(served.steer("GET /fault", "").await.1, "null");
    assert_eq!(served.steer("GET /requests", "").await.1, "[]");
}

#[tokio::test]
async fn the_stand_in_is_as_strict_as_orderwise() {
    const BASIC: &str = "Authorization: Basic ZHJpZnR3aXNlLWFwaTpzaW11bGF0ZWQ=\r\n";
    let simulator = Arc::new(Simulator::new(1));
    let served = serve(&simulator).await;
    assert_eq!(served.ask("GET /OWAPI/token/gettoken", "", "").await, (401, String::new()));
    let (status, token) = served.ask("GET /owapi/Token/GetToken", BASIC, "").await;
    let token = serde_json::from_str::<String>(&token).unwrap();
    assert_eq!(status, 200);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let json = format!("{bearer}Content-Type: application/json\r\n");
    let empty = json!([{ "name": "", "value": null }]).to_string();
    let cases = [
        ("POST /OWAPI/system/export-definition/61", &json, empty.as_str(), 200),
        ("POST /OWAPI/system/export-definition/62", &json, &empty, 404),
        ("POST /other/system/export-definition/61", &json, &empty, 404),
        ("GET /OWAPI/system/export-definition/61", &json, &empty, 405),
        ("POST /OWAPI/system/export-definition/61", &bearer, &empty, 415),
        ("POST /OWAPI/system/export-definition/61", &json, "[]", 400),
        ("POST /OWAPI/system/export-definition/61", &json, "{}", 400),
        ("POST /OWAPI/system/export-definition/61", &String::new(), &empty, 401),
    ];
    for (first, headers, body, expected) in cases {
        assert_eq!(served.ask(first, headers, body).await.0, expected, "{first} {headers} {body}");
    }
    simulator.revoke_tokens();
    assert_eq!(served.ask(cases[0].0, &json, &empty).await.0, 401);
}

#[tokio::test]
async fn a_hanging_connection_does_not_delay_the_stop() {
    let simulator = Arc::new(Simulator::new(1));
    let token = simulator.world().give_token();
    simulator.fail(Mode::Stall, None);
    let served = serve(&simulator).await;
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    let body = r#"[{"name":"","value":null}]"#;
    let stream = served.send("POST /OWAPI/system/export-definition/61", &headers, body).await;
    while simulator.count(RequestKind::Export) == 0 {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), served.task).await.unwrap().unwrap().unwrap();
    drop(stream);
}
