//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Web;
use crate::metrics::{CONTENT_TYPE, exposition};

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Ready while the store can be written and the scheduler ticks. A process without a usable configuration serves nothing.
pub(super) async fn readyz(State(web): State<Arc<Web>>) -> (StatusCode, String) {
    let (ticking, store_works) = web.published.read(|present| (present.ticking(), present.store_works()));
    let schedules = match ticking {
        Some(true) => "",
        Some(false) => "schedules: no tick for ten seconds",
        None => "schedules: they are not running",
    };
    let obstacles =
        [(store_works, "store: the last write failed; the log says why"), (ticking == Some(true), schedules)];
    let obstacles = obstacles.iter().filter(|(sound, _)| !sound).map(|(_, words)| *words).collect::<Vec<_>>();
    if obstacles.is_empty() {
        let refused = web.published.read(|present| present.refused_reload.as_ref().map(|refused| refused.at));
        // The previous configuration stays in force, so the process is ready.
        let detail = refused.map(|at| {
            format!("\nreload refused at {}; the log lists every problem\n", at.format("%Y-%m-%d %H:%M:%S UTC"))
        });
        return (StatusCode::OK, format!("ready{}", detail.unwrap_or_default()));
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", obstacles.join("\n")))
}

pub(super) async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let mut text = String::new();
    if let Err(error) = web.metrics.encode(&mut text) {
        tracing::error!(error = %error, "cannot encode the metrics");
        return (StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics; the log says why\n").into_response();
    }
    exposition::write(&web.published, web.clock.now(), &mut text);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}
