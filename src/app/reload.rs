//! Reads the configuration again while the program runs: on SIGHUP, on `POST /-/reload`, and when a file changes.
//!
//! Properties:
//! - Strict, whole and atomic: the files are read into a new [`Config`] and everything is built from it before anything is
//!   replaced. One that cannot be used changes nothing, and the log, a metric, `/readyz` and the status page say so.
//! - State is known by ids, so incidents, pinned values, the notification log and schedules that stay carry over.
//! - Secrets and certificates are read again, because every adapter is built anew.
//! - Each source's task takes up its plan after the audit that it has in hand.
//!
//! `store.url`, `server.listen` and `server.metrics_listen` hold until the next start; a reload that changes one says so.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::watch::{self, Fingerprint, Watch};
use super::{Parts, adapters};
use crate::clock::Clock;
use crate::config::{Config, Problems};
use crate::domain::name::Name;
use crate::engine::polls::Polls;
use crate::engine::published::RefusedReload;
use crate::engine::source_task::{Ended, SourceTask};
use crate::lifecycle::Starter;
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
    fn label(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Request => "POST /-/reload",
            Self::FileChanged => "a file changed",
        }
    }
}

struct Request {
    trigger: Trigger,
    /// Where the one who asked waits for the outcome.
    answer: Option<oneshot::Sender<Outcome>>,
}

/// What a reload came to: what is different now, or every problem. Without secrets.
type Outcome = Result<String, String>;

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
    fn reload(&self) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            let stopping = || String::from("the program is stopping");
            let request = Request { trigger: Trigger::Request, answer: Some(answer) };
            self.0.send(request).await.map_err(|_| stopping())?;
            outcome.await.map_err(|_| stopping())?
        })
    }
}

/// What only a start takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    store: PathBuf,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            store: config.store.path.clone(),
            listen: config.server.listen,
            metrics_listen: config.server.metrics_listen,
        }
    }

    /// The keys that are different in `other`.
    fn different(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("store.url", self.store != other.store),
            ("server.listen", self.listen != other.listen),
            ("server.metrics_listen", self.metrics_listen != other.metrics_listen),
        ];
        keys.into_iter().filter(|(_, different)| *different).map(|(key, _)| key).collect()
    }
}

/// See the module.
pub(super) struct Reloader {
    pub parts: Arc<Parts>,
    pub load: Loader,
    pub fixed: Fixed,
    pub starter: Starter,
    pub clock: Arc<dyn Clock>,
    /// The files that the configuration in force was read from.
    pub files: Vec<PathBuf>,
    pub watched: bool,
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
pub struct Inbound(mpsc::Receiver<Request>);

impl Reloader {
    pub(super) async fn run(mut self, mut requests: Inbound, stop: CancellationToken) -> Result<(), String> {
        let mut watch = Watch::new(self.fingerprint().await);
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                request = requests.0.recv() => request.ok_or("nothing can ask for a reload any more")?,
                () = tokio::time::sleep(watch::ROUND), if self.watched => {
                    if !watch.changed(self.fingerprint().await) {
                        continue;
                    }
                    Request { trigger: Trigger::FileChanged, answer: None }
                }
            };
            let outcome = self.reload(request.trigger).await;
            watch.start_over(self.fingerprint().await);
            if let Some(answer) = request.answer {
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            }
        }
    }

    async fn fingerprint(&self) -> Fingerprint {
        let files = self.files.clone();
        // A network mount may take its time.
        tokio::task::spawn_blocking(move || Fingerprint::of(&files)).await.unwrap_or_default()
    }

    async fn reload(&mut self, trigger: Trigger) -> Outcome {
        let now = self.clock.now();
        let load = Arc::clone(&self.load);
        let built = tokio::task::spawn_blocking(move || Built::new(load().map_err(|p| p.to_string())?)).await;
        let built = match built.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(built) => built,
            Err(problems) => return Err(self.refuse(trigger, problems, now)),
        };
        for warning in &built.config.warnings {
            tracing::warn!("{warning}");
        }
        let summary = self.take_over(built, now);
        tracing::info!(trigger = trigger.label(), summary, "reloaded the configuration");
        Ok(summary)
    }

    fn refuse(&self, trigger: Trigger, problems: String, at: DateTime<Utc>) -> String {
        self.parts.metrics.config_refused();
        tracing::error!(
            trigger = trigger.label(),
            problems,
            "refused the configuration; the one before it stays in force"
        );
        let refused = RefusedReload { at, problems: problems.clone() };
        self.parts.published.write(|present| present.refused_reload = Some(refused));
        problems
    }

    fn take_over(&mut self, built: Built, now: DateTime<Utc>) -> String {
        let Built { config, channel, per_minute, sources } = built;
        let parts = &self.parts;
        let before = parts.published.plans();
        let plans = Arc::new(config.plans.clone());
        for name in plans.keys().filter(|name| !before.contains_key(*name)) {
            parts.metrics.source_added(name);
        }
        // Adapters first: a plan without its adapter could not be polled.
        parts.auditor.sources.replace(Arc::new(sources));
        parts.auditor.polls.replace(Arc::new(Polls::new(config.max_polls)));
        parts.published.replace_plans(Arc::clone(&plans));
        parts.channel.replace(channel);
        parts.rate_limiter.set(per_minute);
        parts.retain.replace(Arc::new(config.store.retain));
        for name in parts.mailboxes.names() {
            if let Some(mailbox) = parts.mailboxes.of(&name) {
                mailbox.reloaded();
            }
        }
        for name in plans.keys() {
            self.begin(name);
        }
        // New owners of what is open, and what matters enough now.
        parts.alerting.wake();
        parts.metrics.config_loaded(now);
        parts.published.write(|present| present.refused_reload = None);
        let later = self.fixed.different(&Fixed::of(&config));
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "these keys take effect at the next start");
        }
        self.watched = config.watch;
        self.files = config.files;
        summary(&before.keys().collect(), &plans.keys().collect(), &later)
    }

    /// Starts the task of a source that has none, and has sessions polled that never were.
    fn begin(&self, name: &Name) {
        let parts = &self.parts;
        let fresh = parts.mailboxes.of(name).is_none();
        let mailbox = parts.mailboxes.open(name);
        if fresh {
            self.starter.start("audits", source_task(parts, name, &self.clock));
        }
        let (plans, state) = (parts.published.plans(), parts.published.state(name));
        let sessions = plans.get(name).into_iter().flat_map(|plan| plan.sessions.values());
        let unknown = sessions.filter(|session| !state.sessions.contains_key(&session.key.id));
        let due = unknown.map(|session| session.schedule.key()).collect::<BTreeSet<_>>();
        if !due.is_empty() {
            mailbox.due(due);
        }
    }
}

/// The task of a source, until the program stops or a reload removes the source.
pub(super) fn source_task(
    parts: &Arc<Parts>,
    name: &Name,
    clock: &Arc<dyn Clock>,
) -> impl Future<Output = Result<(), String>> + Send + 'static {
    let (parts, name, clock) = (Arc::clone(parts), name.clone(), Arc::clone(clock));
    async move {
        let task = SourceTask {
            source: name.clone(),
            mailbox: parts.mailboxes.open(&name),
            auditor: Arc::clone(&parts.auditor),
            clock,
        };
        // A reload may bring the source back while its task ends.
        let wanted = || parts.published.plans().contains_key(&name);
        while task.run(parts.stop.clone()).await == Ended::Removed && !parts.mailboxes.close_unless(&name, wanted) {}
        Ok(())
    }
}

/// Everything that a reload replaces, built before anything is.
struct Built {
    config: Config,
    channel: Arc<dyn crate::notify::Channel>,
    per_minute: u32,
    sources: adapters::Sources,
}

impl Built {
    fn new(config: Config) -> Result<Self, String> {
        let build = || -> anyhow::Result<_> {
            let email = config.require_email()?;
            let channel = Arc::new(adapters::email(&config, email)?);
            Ok((channel, adapters::rate_limiter(email), adapters::sources(&config)?))
        };
        let (channel, per_minute, sources) =
            build().context("the configuration cannot be used").map_err(|e| format!("{e:#}"))?;
        Ok(Self { config, channel, per_minute, sources })
    }
}

fn summary(before: &BTreeSet<&Name>, after: &BTreeSet<&Name>, later: &[&str]) -> String {
    let names = |what: &str, names: Vec<&&Name>| {
        let names = names.into_iter().map(ToString::to_string).collect::<Vec<_>>();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let parts = [
        Some(format!("{} source{}", after.len(), if after.len() == 1 { "" } else { "s" })),
        names("added", after.difference(before).collect()),
        names("removed", before.difference(after).collect()),
        (!later.is_empty()).then(|| format!("at the next start: {}", later.join(", "))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
