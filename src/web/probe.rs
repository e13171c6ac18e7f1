//! What machines ask: whether the process lives, whether it works, and what it measures.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Web;
use crate::metrics::{CONTENT_TYPE, exposition};

/// The process lives: it answers.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// The store takes what is written and the scheduler ticks. The configuration was accepted, or there would be no published.
pub(super) async fn readyz(State(web): State<Arc<Web>>) -> (StatusCode, String) {
    let (ticking, store_works) = web.published.read(|present| (present.ticking(), present.store_works()));
    let schedules = match ticking {
        Some(true) => "",
        Some(false) => "schedules: no tick for ten seconds",
        None => "schedules: they are not running",
    };
    let obstacles = [
        (store_works, "store: what was last to be written to it is not recorded; the log says why"),
        (ticking == Some(true), schedules),
    ];
    let obstacles = obstacles.iter().filter(|(sound, _)| !sound).map(|(_, words)| *words).collect::<Vec<_>>();
    if obstacles.is_empty() {
        return (StatusCode::OK, "ready".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", obstacles.join("\n")))
}

pub(super) async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let mut text = String::new();
    if let Err(error) = web.metrics.encode(&mut text) {
        tracing::error!(error = %error, "the metrics cannot be written");
        return (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n").into_response();
    }
    exposition::write(&web.published, &mut text);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}
