//! The response to an export, complete or with a fault.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::api::typed;
use super::bomb;
use super::fault::Mode;
use super::session::{RawValues, to_json};

const JSON: &str = "application/json; charset=utf-8";

/// Number of pieces of a slow response.
const PIECES: usize = 10;

pub(super) fn rows(rows: &[RawValues], fault: Option<Mode>, stopping: &CancellationToken) -> Response {
    let Some(mode) = fault else {
        return if rows.is_empty() { StatusCode::NO_CONTENT.into_response() } else { typed(JSON, to_json(rows)) };
    };
    match mode {
        Mode::Unauthorized | Mode::TokenExpired => StatusCode::UNAUTHORIZED.into_response(),
        // Reached only when the stand-in ends.
        Mode::Stall => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mode::Forbidden => StatusCode::FORBIDDEN.into_response(),
        Mode::NotFound => StatusCode::NOT_FOUND.into_response(),
        Mode::NoContent => StatusCode::NO_CONTENT.into_response(),
        Mode::RateLimited(None) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Mode::RateLimited(Some(wait)) => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait)]).into_response(),
        Mode::ServerError => {
            (StatusCode::INTERNAL_SERVER_ERROR, r#"{"Message":"Invalid column name 'TransferTypeName'."}"#)
                .into_response()
        }
        Mode::BadRequest => (StatusCode::BAD_REQUEST, "Parameter count mismatch").into_response(),
        Mode::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/Account/Login")]).into_response(),
        Mode::Html => {
            typed("text/html", "<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>")
        }
        Mode::EmptyArray => typed(JSON, "[]"),
        Mode::Null => typed(JSON, "null"),
        Mode::ArrayOfNumbers => typed(JSON, "[1,2,3]"),
        Mode::Object => typed(JSON, r#"{"Message":"The export has been queued."}"#),
        Mode::NotUtf8 => typed(JSON, Bytes::from_static(b"[{\"session_id\":14,\"name\":\"caf\xE9\"}]")),
        Mode::GzipBomb => ([(header::CONTENT_ENCODING, "gzip")], typed(JSON, bomb::gzip())).into_response(),
        Mode::Truncated | Mode::Drop | Mode::TooLarge | Mode::Slow(_) => streamed(rows, &mode, stopping),
        Mode::DuplicateRows | Mode::MissingColumn(_) | Mode::MissingSession | Mode::RepeatedKey(_) => {
            typed(JSON, to_json(&changed(rows, &mode)))
        }
    }
}

/// Well-formed rows with a fault in their content.
fn changed(rows: &[RawValues], mode: &Mode) -> Vec<RawValues> {
    let mut rows = rows.to_vec();
    match mode {
        Mode::DuplicateRows => rows.extend(rows.first().cloned()),
        Mode::MissingSession => drop(rows.drain(..rows.len().min(1))),
        Mode::MissingColumn(column) => rows.iter_mut().for_each(|row| row.retain(|(key, _)| key != column)),
        Mode::RepeatedKey(column) => {
            for row in &mut rows {
                let repeated = row.iter().find(|(key, _)| key == column).cloned();
                row.extend(repeated);
            }
        }
        _ => {}
    }
    rows
}

/// Responses with a fault of the transfer.
fn streamed(rows: &[RawValues], mode: &Mode, stopping: &CancellationToken) -> Response {
    let whole = to_json(rows);
    let half = whole[..whole.floor_char_boundary(whole.len() / 2)].to_owned();
    match mode {
        Mode::TooLarge => {
            let row = Bytes::from(format!("{},", &whole[1..whole.len() - 1]).repeat(64));
            let rows = stream::once(async { Bytes::from_static(b"[") }).chain(stream::repeat(row));
            endless(rows.map(Ok::<_, Infallible>), stopping)
        }
        Mode::Slow(pause) => {
            let size = whole.len().div_ceil(PIECES).max(1);
            let pieces = whole.into_bytes().chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            let pause = *pause;
            endless(stream::iter(pieces).then(move |piece| after(pause, piece)), stopping)
        }
        Mode::Drop => {
            // The pause lets the server send the first half.
            let broken = stream::once(async { Ok(Bytes::from(half)) }).chain(stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("the simulator breaks the connection"))
            }));
            typed(JSON, Body::from_stream(broken))
        }
        _ => typed(JSON, half),
    }
}

async fn after(pause: Duration, piece: Bytes) -> Result<Bytes, Infallible> {
    tokio::time::sleep(pause).await;
    Ok(piece)
}

/// A body without an end of its own, which ends with the stand-in.
fn endless(
    pieces: impl stream::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    stopping: &CancellationToken,
) -> Response {
    let pieces = pieces.take_until(stopping.clone().cancelled_owned());
    typed(JSON, Body::from_stream(pieces))
}
