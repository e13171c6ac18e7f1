//! The API of OrderWise: a token for Basic credentials, and one export definition for a token.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fault::Mode;
use super::{EXPORT_DEFINITION, ReceivedRequest, RequestKind, Simulator, SimulatorState, response};

/// Largest request body, in bytes.
const LARGEST: usize = 1 << 20;

pub(super) async fn respond(State(simulator): State<Arc<Simulator>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let path = parts.uri.path();
    let asked = Endpoint::read(path);
    let decided = simulator.world().decide(&asked, &parts.method, &parts.headers, &body);
    let stalls = matches!(&decided, Decision::Rows { fault: Some(Mode::Stall), .. });
    let response = match decided {
        Decision::Status(status) => status.into_response(),
        Decision::Token(token) => axum::Json(token).into_response(),
        Decision::Rows { rows, fault } => response::rows(&rows, fault, &simulator.stopping),
    };
    let kind = asked.kind();
    let body = if kind == RequestKind::Export { String::from_utf8_lossy(&body).into_owned() } else { String::new() };
    let status = (!stalls).then(|| response.status().as_u16());
    simulator.world().remember(ReceivedRequest { kind, path: path.to_owned(), body, status });
    if stalls {
        simulator.stopping.cancelled().await;
    }
    response
}

/// The endpoint of a path.
enum Endpoint {
    Token,
    Export(Option<u64>),
    Other,
}

impl Endpoint {
    /// Any of `/owapi`, `/OWAPISB`, `/OWAPItest` is a base; letters match without regard to case.
    fn read(path: &str) -> Self {
        let path = path.to_lowercase();
        let parts = path.trim_matches('/').split('/').collect::<Vec<_>>();
        match parts.as_slice() {
            [base, "token", "gettoken"] if base.starts_with("owapi") => Self::Token,
            [base, "system", "export-definition", id] if base.starts_with("owapi") => Self::Export(id.parse().ok()),
            _ => Self::Other,
        }
    }

    fn kind(&self) -> RequestKind {
        match self {
            Self::Token => RequestKind::Token,
            Self::Export(_) => RequestKind::Export,
            Self::Other => RequestKind::Other,
        }
    }
}

enum Decision {
    Status(StatusCode),
    Token(String),
    Rows { rows: Vec<super::session::RawValues>, fault: Option<Mode> },
}

impl SimulatorState {
    fn decide(&mut self, asked: &Endpoint, method: &Method, headers: &HeaderMap, body: &Bytes) -> Decision {
        match asked {
            Endpoint::Other => Decision::Status(StatusCode::NOT_FOUND),
            Endpoint::Token if *method != Method::GET => Decision::Status(StatusCode::METHOD_NOT_ALLOWED),
            Endpoint::Token => self.sign_in(headers),
            Endpoint::Export(_) if *method != Method::POST => Decision::Status(StatusCode::METHOD_NOT_ALLOWED),
            Endpoint::Export(id) => self.export(*id, headers, body),
        }
    }

    fn sign_in(&mut self, headers: &HeaderMap) -> Decision {
        let wanted = STANDARD.encode(format!("{}:{}", self.username, self.password));
        let refused = self.take_fault(|mode| *mode == Mode::Unauthorized).is_some();
        if refused || credentials(headers, "Basic") != Some(wanted.as_str()) {
            return Decision::Status(StatusCode::UNAUTHORIZED);
        }
        Decision::Token(self.give_token())
    }

    fn export(&mut self, id: Option<u64>, headers: &HeaderMap, body: &Bytes) -> Decision {
        // Does not count, because the sign-in that follows counts.
        let locked_out = self.fault.as_ref().is_some_and(|fault| fault.mode == Mode::Unauthorized);
        let known = credentials(headers, "Bearer").is_some_and(|token| self.knows_token(token));
        if locked_out || !known || self.take_fault(|mode| *mode == Mode::TokenExpired).is_some() {
            return Decision::Status(StatusCode::UNAUTHORIZED);
        }
        if id != Some(EXPORT_DEFINITION) {
            return Decision::Status(StatusCode::NOT_FOUND);
        }
        let is_json =
            headers.get(header::CONTENT_TYPE).is_some_and(|form| form.as_bytes().starts_with(b"application/json"));
        if !is_json {
            return Decision::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        if !is_parameters(body) {
            return Decision::Status(StatusCode::BAD_REQUEST);
        }
        Decision::Rows { rows: self.sessions.rows(), fault: self.take_fault(|_| true) }
    }

    /// Takes and counts the present fault, if it is a wanted one.
    fn take_fault(&mut self, wanted: impl FnOnce(&Mode) -> bool) -> Option<Mode> {
        let fault = self.fault.as_mut().filter(|fault| wanted(&fault.mode) && fault.times != Some(0))?;
        let mode = fault.mode.clone();
        fault.times = fault.times.map(|times| times - 1);
        if fault.times == Some(0) {
            self.fault = None;
        }
        Some(mode)
    }
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(credentials)
}

/// Whether a body is a list of names with values.
fn is_parameters(body: &Bytes) -> bool {
    let is_parameter = |value: &Value| {
        value.as_object().is_some_and(|object| {
            object.len() == 2 && object.get("name").is_some_and(Value::is_string) && object.contains_key("value")
        })
    };
    serde_json::from_slice::<Vec<Value>>(body).is_ok_and(|list| !list.is_empty() && list.iter().all(is_parameter))
}

/// A response with a content type.
pub(super) fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}
