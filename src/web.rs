//! HTTP: status pages, probes, metrics, reload and resend. The handlers read the published state and decide nothing.
//!
//! Properties:
//! - A GET changes nothing, because mail scanners follow links.
//! - Pages work without script, load nothing from elsewhere, and tell the browser so. They escape all outside text, and show
//!   control and direction marks.
//! - Their size and time are bounded, whatever a source returns or a query asks.
//! - If the pages are for this machine alone, no website can read them through a visitor's browser: see [`host`].
//! - No mail address is on the pages in full, only as `i…@acme.example`.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::published::Published;
use crate::metrics::Metrics;

mod filter;
mod history;
mod host;
mod mask;
mod notices;
mod overview;
mod page;
mod probe;
mod reload;
mod resend;
mod row;
mod server;
mod session;
mod settings;
mod unaudited;
mod when;

pub use history::{Delivery, History, Notified, Suppressed};
pub use host::Hosts;
use page::Pages;
pub use resend::{Resend, ResendError};
use server::Limits;

/// Largest request body, in bytes; no request needs one.
const MAX_BODY: usize = 64 * 1024;

/// Everything that a handler may use.
pub struct Web {
    published: Arc<Published>,
    metrics: Arc<Metrics>,
    history: Arc<dyn History>,
    clock: Arc<dyn Clock>,
    pages: Pages,
}

impl Web {
    /// # Errors
    /// Only if a compiled template is broken, which a test would have shown.
    pub fn new(
        published: Arc<Published>,
        metrics: Arc<Metrics>,
        history: Arc<dyn History>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, minijinja::Error> {
        Ok(Arc::new(Self { published, metrics, history, clock, pages: Pages::compile()? }))
    }
}

/// Reads the configuration again.
pub trait Reload: Send + Sync {
    /// The changes, or every problem of a configuration that was refused, without secrets.
    fn reload(&self) -> BoxFuture<'_, Result<String, String>>;
}

/// The commands over HTTP, for listeners that only operators reach.
#[derive(Clone)]
pub struct Commands {
    pub reload: Arc<dyn Reload>,
    pub resend: Arc<dyn Resend>,
}

/// Pages, probes and metrics, for requests to `hosts`. `commands` are for listeners that only this machine reaches; without them,
/// no request changes anything.
pub fn router(web: Arc<Web>, hosts: Hosts, commands: Option<Commands>) -> Router {
    let routes = probe_routes()
        .route("/", get(overview::show))
        .route("/sessions/{source}/{*id}", get(session::show))
        .route("/api/v1/{*rest}", any(not_yet_json))
        .merge(command_routes(commands))
        .fallback(page::nothing_here)
        .method_not_allowed_fallback(not_in_that_way)
        .layer(middleware::from_fn_with_state(Arc::new(hosts), host::guard));
    finish(routes, web)
}

/// Probes, metrics and commands alone, for an address of their own.
pub fn probes(web: Arc<Web>, commands: Commands) -> Router {
    let routes = probe_routes()
        .merge(command_routes(Some(commands)))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") });
    finish(routes.method_not_allowed_fallback(not_in_that_way), web)
}

/// Serves until `shutdown`, then finishes the requests under way.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    server::serve(listener, router, shutdown, Limits::USUAL).await;
}

fn probe_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/metrics", get(probe::metrics))
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
}

fn command_routes(commands: Option<Commands>) -> Router<Arc<Web>> {
    let (reload, resend) = commands.map(|commands| (commands.reload, commands.resend)).unzip();
    let resend = move |Path(number): Path<String>, headers: HeaderMap| async move {
        resend::answer(resend.clone(), &number, &headers).await
    };
    Router::new()
        .route("/-/reload", post(move |headers| reload::answer(reload.clone(), headers)))
        .route("/-/notifications/{number}/resend", post(resend))
}

fn finish(routes: Router<Arc<Web>>, web: Arc<Web>) -> Router {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard))
        .with_state(web)
}

/// Restricts what a page may do in the browser.
async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, web.pages.policy());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn not_in_that_way() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
}

async fn not_yet_json() -> Response {
    (StatusCode::NOT_IMPLEMENTED, Json(serde_json::json!({ "error": "not available yet" }))).into_response()
}

#[cfg(test)]
mod tests;
