//! Controls the stand-in over HTTP, under `/_simulator`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::fault::{self, Fault};
use super::session::{RawValues, to_json};
use super::{Simulator, api};

type SharedSimulator = State<Arc<Simulator>>;

pub(super) fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/", get(how))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", get(session).put(replace).patch(change).delete(remove))
        .route("/sessions/{id}/{setting}", delete(unset))
        .route("/fault", put(fail).get(failing).delete(heal))
        .route("/requests", get(requests).delete(forget))
}

async fn how() -> Response {
    let faults = fault::names();
    let text = format!(
        "A stand-in OrderWise API. Sign in with GET /OWAPI/token/gettoken, read with POST /OWAPI/system/export-definition/ID.\n\n\
         GET    /_simulator/sessions              all sessions, as the export returns them\n\
         GET    /_simulator/sessions/ID           one session\n\
         PATCH  /_simulator/sessions/ID           change settings: {{\"export\": true}}; adds the session if it is new\n\
         PUT    /_simulator/sessions/ID           replace all its settings; without a body: reset to compliant\n\
         DELETE /_simulator/sessions/ID           remove it\n\
         DELETE /_simulator/sessions/ID/SETTING   remove one setting from its row\n\
         PUT    /_simulator/fault                 {{\"fault\": NAME, \"times\": N or null}}; some take retry_after, delay_ms or column\n\
         GET    /_simulator/fault                 the present fault, and how many times it will still occur\n\
         DELETE /_simulator/fault                 end the fault\n\
         GET    /_simulator/requests              the recorded requests; DELETE clears them\n\n\
         Faults: {faults}\n"
    );
    api::typed("text/plain; charset=utf-8", text)
}

fn rows(rows: &[RawValues]) -> Response {
    api::typed("application/json", to_json(rows))
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "there is no such session\n").into_response()
}

fn wrong(reason: impl std::fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response()
}

async fn sessions(State(simulator): SharedSimulator) -> Response {
    rows(&simulator.world().sessions.rows())
}

async fn session(State(simulator): SharedSimulator, Path(id): Path<i64>) -> Response {
    let world = simulator.world();
    world.sessions.row(id).map_or_else(unknown, |row| rows(std::slice::from_ref(row)))
}

async fn replace(State(simulator): SharedSimulator, Path(id): Path<i64>, body: String) -> Response {
    if body.trim().is_empty() {
        simulator.add_session(id);
        return StatusCode::NO_CONTENT.into_response();
    }
    match serde_json::from_str::<Map<String, Value>>(&body) {
        Ok(raw_values) => simulator.world().sessions.replace(id, raw_values),
        Err(error) => return wrong(error),
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn change(State(simulator): SharedSimulator, Path(id): Path<i64>, body: String) -> Response {
    match serde_json::from_str::<Map<String, Value>>(&body) {
        Ok(raw_values) => raw_values.into_iter().for_each(|(setting, value)| simulator.set(id, &setting, value)),
        Err(error) => return wrong(error),
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn remove(State(simulator): SharedSimulator, Path(id): Path<i64>) -> Response {
    if simulator.world().sessions.remove(id) { StatusCode::NO_CONTENT.into_response() } else { unknown() }
}

async fn unset(State(simulator): SharedSimulator, Path((id, setting)): Path<(i64, String)>) -> Response {
    simulator.unset(id, &setting);
    StatusCode::NO_CONTENT.into_response()
}

async fn fail(State(simulator): SharedSimulator, body: String) -> Response {
    let fault = match serde_json::from_str::<Value>(&body) {
        Ok(json) => Fault::from_json(&json),
        Err(error) => return wrong(error),
    };
    match fault {
        Ok(fault) => simulator.fail(fault.mode, fault.times),
        Err(error) => return wrong(error),
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn failing(State(simulator): SharedSimulator) -> Response {
    let fault = simulator.world().fault.clone();
    let fault = fault.map(|fault| json!({ "fault": fault.mode.name(), "times": fault.times }));
    Json(fault).into_response()
}

async fn heal(State(simulator): SharedSimulator) -> StatusCode {
    simulator.heal();
    StatusCode::NO_CONTENT
}

async fn requests(State(simulator): SharedSimulator) -> Response {
    Json(simulator.requests()).into_response()
}

async fn forget(State(simulator): SharedSimulator) -> StatusCode {
    simulator.world().requests.clear();
    StatusCode::NO_CONTENT
}
