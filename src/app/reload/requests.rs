//! Requests for a reload, and the reply to each.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Problems};
use crate::web;

/// Reads the configuration, as `run` did at start.
pub type Loader = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Length of the queue of requests; one more would read the same files.
const WAITING: usize = 16;

/// The cause of a reload, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadTrigger {
    Signal,
    Request,
    FileChanged,
}

impl ReloadTrigger {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::FileChanged => "a file changed",
        }
    }
}

pub(super) struct ReloadRequest {
    pub trigger: ReloadTrigger,
    /// Where the client waits for the outcome.
    pub reply: Option<oneshot::Sender<ReloadOutcome>>,
}

/// A summary of the changes, or every problem. Without secrets.
pub(super) type ReloadOutcome = Result<String, String>;

#[cfg(feature = "otel")]
impl crate::spans::Outcome for ReloadOutcome {
    fn outcome(&self) -> Result<&'static str, &'static str> {
        self.as_ref().map(|_| "reloaded").map_err(|_| "refused")
    }
}

/// Asks for a reload.
#[derive(Debug, Clone)]
pub struct Requests(mpsc::Sender<ReloadRequest>);

impl std::fmt::Debug for ReloadRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trigger.fmt(f)
    }
}

impl Requests {
    /// Does nothing if the queue is full: a queued request will read the same files.
    pub fn ask(&self, trigger: ReloadTrigger) {
        let _ = self.0.try_send(ReloadRequest { trigger, reply: None });
    }
}

impl web::Reload for Requests {
    fn reload(&self) -> BoxFuture<'_, ReloadOutcome> {
        Box::pin(async move {
            let (reply, outcome) = oneshot::channel();
            let stopping = || String::from("the program is stopping");
            let request = ReloadRequest { trigger: ReloadTrigger::Request, reply: Some(reply) };
            self.0.send(request).await.map_err(|_| stopping())?;
            outcome.await.map_err(|_| stopping())?
        })
    }
}

/// How to read the configuration again, and the queue of requests to do so.
pub struct Reloading {
    pub load: Loader,
    pub requests: Requests,
    pub inbound: Inbound,
}

impl Reloading {
    pub fn new(load: Loader) -> Self {
        let (requests, inbound) = requests();
        Self { load, requests, inbound }
    }
}

/// Both ends of the queue.
fn requests() -> (Requests, Inbound) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Requests(sender), Inbound(receiver))
}

/// The receiving end of the queue.
pub struct Inbound(pub(super) mpsc::Receiver<ReloadRequest>);
