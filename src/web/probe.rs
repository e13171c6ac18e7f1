//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use chrono::{DateTime, Utc};

use super::Web;
use super::mask::Masks;
use crate::engine::published::Present;
use crate::metrics::{CONTENT_TYPE, exposition};
use crate::view::delivery::DeliveryView;
use crate::view::times;

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Ready while the store can be written and the scheduler ticks. A process without a usable configuration serves nothing.
pub(super) async fn readyz(State(web): State<Arc<Web>>) -> (StatusCode, String) {
    let (ticking, store_works) = web.published.read(|present| (present.ticking(), present.store_works()));
    let schedules = match ticking {
        Some(true) => "",
        Some(false) => "scheduler: no tick for ten seconds",
        None => "scheduler: not running",
    };
    let obstacles =
        [(store_works, "store: the last write failed; the log says why"), (ticking == Some(true), schedules)];
    let obstacles = obstacles.iter().filter(|(sound, _)| !sound).map(|(_, words)| *words).collect::<Vec<_>>();
    if obstacles.is_empty() {
        // None of these stops the process from working.
        let details = web.published.read(|present| details(present, web.clock.now()));
        let details = if details.is_empty() { String::new() } else { format!("\n{}\n", details.join("\n")) };
        return (StatusCode::OK, format!("ready{details}"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", obstacles.join("\n")))
}

/// Conditions that need an operator's attention, without full mail addresses.
fn details(present: &Present, now: DateTime<Utc>) -> Vec<String> {
    let refused = present.refused_reload.as_ref().map(|refused| {
        format!("reload refused at {}; the log lists every problem", times::exact(refused.at, chrono_tz::UTC))
    });
    let delivery = present.delivery.iter().flat_map(|state| DeliveryView(state).sentences(now, chrono_tz::UTC));
    let mut masks = Masks::default();
    refused.into_iter().chain(delivery.map(|sentence| masks.mask(&sentence))).collect()
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
