//! The responses of network sources, and their failures in plain words.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use super::{Failure, FetchError, Quoted};
use crate::http::{self, BodyError};
use crate::secret::Redactor;

mod failure;

/// Identifies the system behind a base URL: one text for all spellings of the same URL.
pub fn system(base: &Url) -> String {
    let (host, port) = (base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or_default());
    let path = base.path().trim_end_matches('/').to_ascii_lowercase();
    format!("{}://{host}:{port}{path}", base.scheme())
}

/// Sends a request and waits for status and headers.
pub async fn send(request: RequestBuilder, redactor: &Redactor) -> Result<Response, FetchError> {
    request.send().await.map_err(|error| failure::of(&error, redactor))
}

/// The whole body, unpacked, or a failure as soon as it exceeds the limit.
pub async fn body(response: Response, limit: u64, redactor: &Redactor) -> Result<Vec<u8>, FetchError> {
    http::body(response, limit).await.map_err(|error| match error {
        BodyError::TooLarge => FetchError::new(Failure::TooLarge, format!("its answer is larger than {}", size(limit))),
        BodyError::Broken(error) => failure::of(&error, redactor),
    })
}

/// The failure of a status that is not a success, without its body.
pub fn refusal(status: StatusCode, headers: &HeaderMap, redactor: &Redactor) -> FetchError {
    let failure = match status.as_u16() {
        401 | 407 => Failure::Auth,
        403 => Failure::Forbidden,
        404 => Failure::NotFound,
        429 => Failure::RateLimited,
        408 => Failure::Timeout,
        500..=599 => Failure::ServerError,
        _ => Failure::Refused,
    };
    let reason = format!("it answered {}", named(status));
    if !status.is_redirection() {
        return FetchError::new(failure, reason);
    }
    let to = headers.get(LOCATION).map(|to| Quoted::of(&place(&String::from_utf8_lossy(to.as_bytes())), redactor));
    FetchError::new(failure, format!("{reason}, a redirect, which is never followed")).quoting(to)
}

/// The target of a redirect, without parts that may hold secrets: sign-in and parameters.
fn place(location: &str) -> String {
    let (path, parameters) = match location.find(['?', '#', ';']) {
        Some(end) => (&location[..end], "?…"),
        None => (location, ""),
    };
    let (scheme, rest) = path.split_at(path.find("//").map_or(0, |at| at + 2));
    let end = if scheme.is_empty() { 0 } else { rest.find('/').unwrap_or(rest.len()) };
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}{host}{}{parameters}", &rest[end..])
}

/// The explanation in a body: the message of a JSON object, the title of a web page, otherwise its beginning.
pub fn said(body: &[u8], redactor: &Redactor) -> Option<Quoted> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if text.starts_with('<') {
        return title(text).map(|title| Quoted::of(title, redactor));
    }
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        let is_message = |key: &str| ["message", "exceptionmessage", "error", "detail"].contains(&key);
        let message = object.iter().find(|(key, value)| is_message(&key.to_ascii_lowercase()) && value.is_string());
        return message.and_then(|(_, value)| value.as_str()).map(|message| Quoted::of(message, redactor));
    }
    (!text.is_empty()).then(|| Quoted::of(text, redactor))
}

/// The title of a web page.
fn title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(page[start..end].trim()).filter(|title| !title.is_empty())
}

fn named(status: StatusCode) -> String {
    let name = status.canonical_reason().unwrap_or_default();
    format!("{} {name}", status.as_u16()).trim_end().to_owned()
}

/// A size as it is written in the configuration.
pub fn size(bytes: u64) -> String {
    match bytes {
        n if n > 0 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n > 0 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        1 => "1 byte".to_owned(),
        n => format!("{n} bytes"),
    }
}
