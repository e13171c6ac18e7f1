//! A stand-in for the API of OrderWise, for trials and tests: it has sessions that can be changed, and reproduces the observed
//! failures of the real API and of proxies before it.
//!
//! It serves the API (see `api`) under `/OWAPI`, in upper or lower case. Rust calls or HTTP requests control it (see
//! `control`). Its sessions comply with the built-in baseline until a request changes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod api;
mod bomb;
mod control;
mod fault;
mod response;
mod session;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultError, Mode};
pub use session::FIRST_SESSION;
use session::SimulatedSessions;

/// The user name, unless [`Simulator::with_credentials`] sets another.
pub const USERNAME: &str = "driftwise-api";
/// The password that goes with [`USERNAME`].
pub const PASSWORD: &str = "simulated";
/// The only export definition.
pub const EXPORT_DEFINITION: u64 = 61;

/// Lifetime of a token.
const TOKEN_LIFE: Duration = Duration::from_hours(1);

/// Number of requests in the record.
const REMEMBERED: usize = 10_000;

/// A stand-in OrderWise system.
pub struct Simulator {
    world: Mutex<SimulatorState>,
    /// Ends endless responses.
    stopping: CancellationToken,
}

struct SimulatorState {
    username: String,
    password: String,
    sessions: SimulatedSessions,
    fault: Option<Fault>,
    tokens: Vec<(String, Instant)>,
    issued: u64,
    requests: Vec<ReceivedRequest>,
}

/// A received request of the API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReceivedRequest {
    pub kind: RequestKind,
    pub path: String,
    /// The body; empty for a sign-in.
    pub body: String,
    /// Absent if there is no response.
    pub status: Option<u16>,
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    Token,
    Export,
    Other,
}

impl Simulator {
    /// A system with this many sessions, numbered from [`FIRST_SESSION`].
    pub fn new(sessions: usize) -> Self {
        let world = SimulatorState {
            username: USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            sessions: SimulatedSessions::new(sessions),
            fault: None,
            tokens: Vec::new(),
            issued: 0,
            requests: Vec::new(),
        };
        Self { world: Mutex::new(world), stopping: CancellationToken::new() }
    }

    #[must_use]
    pub fn with_credentials(self, username: &str, password: &str) -> Self {
        self.change_credentials(username, password);
        self
    }

    /// Replaces the credential, and revokes all tokens.
    pub fn change_credentials(&self, username: &str, password: &str) {
        let mut world = self.world();
        username.clone_into(&mut world.username);
        password.clone_into(&mut world.password);
        world.tokens.clear();
    }

    /// Serves until `shutdown`, then ends open responses.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        let stopping = self.stopping.clone();
        let router = Router::new().nest("/_simulator", control::router()).fallback(api::respond).with_state(self);
        let stop = async move {
            shutdown.cancelled().await;
            stopping.cancel();
        };
        axum::serve(listener, router).with_graceful_shutdown(stop).await
    }

    /// Sets one setting of a session to a JSON value. Adds the session if it is new.
    pub fn set(&self, session: i64, setting: &str, value: impl Into<Value>) {
        self.world().sessions.set(session, setting, value.into());
    }

    /// Removes a setting from the row of a session.
    pub fn unset(&self, session: i64, setting: &str) {
        self.world().sessions.unset(session, setting);
    }

    /// Adds a compliant session, or resets it to compliant.
    pub fn add_session(&self, session: i64) {
        self.world().sessions.add(session);
    }

    pub fn remove_session(&self, session: i64) {
        self.world().sessions.remove(session);
    }

    /// The ids of its sessions, in order.
    pub fn sessions(&self) -> Vec<i64> {
        self.world().sessions.ids()
    }

    /// Fails from now on: `times` times, or until [`Simulator::heal`].
    pub fn fail(&self, mode: Mode, times: Option<u32>) {
        self.world().fault = Some(Fault { mode, times });
    }

    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// Revokes all tokens.
    pub fn revoke_tokens(&self) {
        self.world().tokens.clear();
    }

    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.world().password);
    }

    /// The record of requests, oldest first.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.world().requests.clone()
    }

    /// The number of recorded requests of this kind.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.world().requests.iter().filter(|request| request.kind == kind).count()
    }

    fn world(&self) -> MutexGuard<'_, SimulatorState> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatorState {
    fn remember(&mut self, request: ReceivedRequest) {
        if self.requests.len() == REMEMBERED {
            self.requests.remove(0);
        }
        self.requests.push(request);
    }

    fn give_token(&mut self) -> String {
        self.tokens.retain(|(_, since)| since.elapsed() < TOKEN_LIFE);
        self.issued += 1;
        let token = format!("eyJhbGciOiJIUzI1NiJ9.simulated-{}.{}", std::process::id(), self.issued);
        self.tokens.push((token.clone(), Instant::now()));
        token
    }

    fn knows_token(&self, token: &str) -> bool {
        self.tokens.iter().any(|(known, since)| known == token && since.elapsed() < TOKEN_LIFE)
    }
}
