//! `POST /-/reload`: reads the configuration again, for peers that can reach this listener.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};

use super::Reload;

/// Answers when the reload is over: 200 with the changes, 422 with every problem, 403 to a request from a web page
/// (browsers send `Origin` with every POST) or to a listener that other machines may reach.
pub(super) async fn answer(reload: Option<Arc<dyn Reload>>, headers: HeaderMap) -> (StatusCode, String) {
    let Some(reload) = reload.filter(|_| !is_from_web_page(&headers)) else { return forbidden("a reload") };
    match reload.reload().await {
        Ok(summary) => (StatusCode::OK, format!("reloaded: {summary}\n")),
        Err(problems) => (StatusCode::UNPROCESSABLE_ENTITY, format!("refused; nothing has changed\n{problems}\n")),
    }
}

/// Browsers send `Origin` with every POST.
pub(super) fn is_from_web_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
}

pub(super) fn forbidden(what: &str) -> (StatusCode, String) {
    let text = format!(
        "{what} is accepted only on server.metrics_listen, or on server.listen if that is a loopback address, and never from a web page\n"
    );
    (StatusCode::FORBIDDEN, text)
}
