//! An HTTP server that gives one scripted answer for each request, and keeps the requests: a token endpoint, or Microsoft Graph.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Debug, Clone)]
pub enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    /// With one more header.
    With(u16, (&'static str, &'static str), Value),
    /// The status and headers, and then a body without end.
    Endless(u16),
    /// Nothing until the client closes the connection.
    Silence,
}

/// The answer of a token endpoint with a token.
pub fn issued(token: &str) -> Reply {
    Reply::Json(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3599 }))
}

#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub struct Endpoint {
    /// Without a path.
    pub url: String,
    script: Arc<Script>,
    task: JoinHandle<()>,
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
}

impl Endpoint {
    /// Gives these replies in their order, and repeats the last one.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), replies)
    }

    /// The same on a port that is already bound.
    #[expect(clippy::disallowed_methods, reason = "the far side of a test has no supervisor")]
    pub fn serve(listener: TcpListener, replies: impl IntoIterator<Item = Reply>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let replies = Mutex::new(replies.into_iter().collect());
        let script = Arc::new(Script { replies, asked: Mutex::default() });
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(reply).with_state(Arc::clone(&script));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, script, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn reply(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: String) -> Response<Body> {
    script.asked.lock().unwrap().push(Asked { path: uri.path().to_owned(), headers, body });
    let next = {
        let mut replies = script.replies.lock().unwrap();
        if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0].clone() }
    };
    let response = |status: u16| Response::builder().status(status);
    match next {
        Reply::Json(status, json) => response(status).body(Body::from(json.to_string())).unwrap(),
        Reply::Text(status, text) => response(status).body(Body::from(text)).unwrap(),
        Reply::With(status, (name, value), json) => {
            response(status).header(name, value).body(Body::from(json.to_string())).unwrap()
        }
        Reply::Endless(status) => {
            let piece = Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1024]));
            response(status).body(Body::from_stream(futures_util::stream::repeat(piece))).unwrap()
        }
        Reply::Silence => std::future::pending().await,
    }
}
