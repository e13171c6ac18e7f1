//! A stand-in for the API of OrderWise, for trials and tests: it keeps sessions that can be changed, and can be told to
//! fail in every way that the real one and what stands before it were seen to fail.
//!
//! It speaks the same dialect (see `api`) under `/OWAPI` in any case, and is steered from Rust or over HTTP (see
//! `control`). Its sessions comply with the built-in baseline until a request changes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod answer;
mod api;
mod bomb;
mod control;
mod fault;
mod session;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultError, Mode};
pub use session::FIRST_SESSION;
use session::Sessions;

/// Who may sign in unless [`Simulator::with_credentials`] says otherwise.
pub const USERNAME: &str = "driftwise-api";
/// The password that goes with [`USERNAME`].
pub const PASSWORD: &str = "simulated";
/// The export definition that exists.
pub const EXPORT_DEFINITION: u64 = 61;

/// How long a token is good for.
const TOKEN_LIFE: Duration = Duration::from_hours(1);

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// A stand-in OrderWise system.
pub struct Simulator {
    world: Mutex<World>,
    /// Ends the answers that would never end by themselves.
    stopping: CancellationToken,
}

struct World {
    username: String,
    password: String,
    sessions: Sessions,
    fault: Option<Fault>,
    tokens: Vec<(String, Instant)>,
    issued: u64,
    requests: Vec<Request>,
}

/// A request of the API that was answered, or is being.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Request {
    pub kind: RequestKind,
    pub path: String,
    /// The body, as it came; empty for a sign-in.
    pub body: String,
    /// Absent where no answer comes.
    pub status: Option<u16>,
}

/// What a request asked for.
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
        let world = World {
            username: USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            sessions: Sessions::new(sessions),
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

    /// From now on only this pair signs in, and no token that was issued before is good.
    pub fn change_credentials(&self, username: &str, password: &str) {
        let mut world = self.world();
        username.clone_into(&mut world.username);
        password.clone_into(&mut world.password);
        world.tokens.clear();
    }

    /// Answers until `shutdown`, then ends what is open.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        let stopping = self.stopping.clone();
        let router = Router::new().nest("/_simulator", control::router()).fallback(api::answer).with_state(self);
        let stop = async move {
            shutdown.cancelled().await;
            stopping.cancel();
        };
        axum::serve(listener, router).with_graceful_shutdown(stop).await
    }

    /// The IDs of its sessions, in order.
    pub fn ids(&self) -> Vec<i64> {
        self.world().sessions.ids()
    }

    /// Gives a session (made if it is new) a value for one setting, as JSON.
    pub fn set(&self, session: i64, setting: &str, value: impl Into<Value>) {
        self.world().sessions.set(session, setting, value.into());
    }

    /// Takes a setting out of a session's row.
    pub fn unset(&self, session: i64, setting: &str) {
        self.world().sessions.unset(session, setting);
    }

    /// Adds a session that is as it should be, or makes it so again.
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

    /// Fails like this from now on: so many times, or until [`Simulator::heal`].
    pub fn fail(&self, mode: Mode, times: Option<u32>) {
        self.world().fault = Some(Fault { mode, times });
    }

    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// Forgets every token that it gave out.
    pub fn revoke_tokens(&self) {
        self.world().tokens.clear();
    }

    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.world().password);
    }

    /// What it was asked, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.world().requests.clone()
    }

    /// How often it was asked for this.
    pub fn count(&self, kind: RequestKind) -> usize {
        self.world().requests.iter().filter(|request| request.kind == kind).count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn remember(&mut self, request: Request) {
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
