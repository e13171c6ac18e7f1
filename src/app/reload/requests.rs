//! Who asks for a reload, and how the outcome gets back to them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Problems};
use crate::web;

/// Reads the configuration as `run` did at start.
pub type Loader = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Requests that wait; one more would read the same files.
const WAITING: usize = 16;

/// Why the configuration is read again: for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Signal,
    Request,
    FileChanged,
}

impl Trigger {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::FileChanged => "a file changed",
        }
    }
}

pub(super) struct Request {
    pub trigger: Trigger,
    /// Where the one who asked waits for the outcome.
    pub answer: Option<oneshot::Sender<ReloadOutcome>>,
}

/// What a reload came to: what is different now, or every problem. Without secrets.
pub(super) type ReloadOutcome = Result<String, String>;

/// Asks for a reload.
#[derive(Debug, Clone)]
pub struct Requests(mpsc::Sender<Request>);

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trigger.fmt(f)
    }
}

impl Requests {
    /// Where the queue is full, one that waits already will read the same files.
    pub fn ask(&self, trigger: Trigger) {
        let _ = self.0.try_send(Request { trigger, answer: None });
    }
}

impl web::Reload for Requests {
    fn reload(&self) -> BoxFuture<'_, ReloadOutcome> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            let stopping = || String::from("the program is stopping");
            let request = Request { trigger: Trigger::Request, answer: Some(answer) };
            self.0.send(request).await.map_err(|_| stopping())?;
            outcome.await.map_err(|_| stopping())?
        })
    }
}

/// How the configuration is read again, and where that is asked for.
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

/// The queue of requests.
fn requests() -> (Requests, Inbound) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Requests(sender), Inbound(receiver))
}

/// Where requests arrive.
pub struct Inbound(pub(super) mpsc::Receiver<Request>);
