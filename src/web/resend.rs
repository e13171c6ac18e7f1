//! `POST /-/notifications/ID/resend`: sends a notification again, for peers that can reach this listener.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use futures_util::future::BoxFuture;

use super::reload;

/// Sends notifications again.
pub trait Resend: Send + Sync {
    /// The recorded notification, in words.
    fn resend(&self, number: i64) -> BoxFuture<'_, Result<String, ResendError>>;
}

/// Why a notification is not sent again, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResendError {
    /// There is no notification with that number.
    Unknown(String),
    /// A notification in its state is not sent again.
    Refused(String),
    /// The store failed.
    Failed(String),
}

/// Answers once the notification is in the outbox: 200, or 404, 409, 500 with the reason; 403 in the cases in which a reload is
/// refused.
pub(super) async fn answer(resend: Option<Arc<dyn Resend>>, number: &str, headers: &HeaderMap) -> (StatusCode, String) {
    let Some(resend) = resend.filter(|_| !reload::is_from_web_page(headers)) else {
        return reload::forbidden("a resend");
    };
    let Ok(number) = number.parse() else {
        return (StatusCode::NOT_FOUND, format!("{number:?} is not the number of a notification\n"));
    };
    let (status, text) = match resend.resend(number).await {
        Ok(recorded) => (StatusCode::OK, recorded),
        Err(ResendError::Unknown(reason)) => (StatusCode::NOT_FOUND, reason),
        Err(ResendError::Refused(reason)) => (StatusCode::CONFLICT, reason),
        Err(ResendError::Failed(reason)) => (StatusCode::INTERNAL_SERVER_ERROR, reason),
    };
    (status, format!("{text}\n"))
}
