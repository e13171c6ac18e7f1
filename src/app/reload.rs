//! Reloads the configuration while the program runs: on SIGHUP, on `POST /-/reload`, and when a file changes.
//!
//! Properties:
//! - Strict, whole and atomic: a reload reads the files into a new [`Config`] and builds everything from it before it
//!   replaces anything. A configuration with a problem changes nothing; the log, a metric, `/readyz` and the status page
//!   report it.
//! - State is kept by ID, so incidents, pinned values, the notification log and unchanged schedules carry over.
//! - A reload builds every adapter again and so reads secrets and certificates again. The waits go on that a server asked for or
//!   that a refused sign-in began: they end early only for another sign-in.
//! - The task of a source takes up its new plan after the audit under way.
//!
//! `store.url`, `server.listen` and `server.metrics_listen` take effect at the next start; the log and the reply name those that
//! changed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Parts;
use super::adapters::{self, Waits};
use super::credentials::Credentials;
use super::heartbeat::status;
use super::watch::{self, FileWatch};
use crate::clock::Clock;
use crate::config::{Config, Inputs};
use crate::domain::announcement::{Announcement, RefusedConfig};
use crate::domain::name::{Name, Rename};
use crate::engine::audit::Sources;
use crate::engine::published::RefusedReload;
use crate::engine::source_task::{Ended, SourceTask};
use crate::lifecycle::Starter;
use crate::lifecycle::systemd::ServiceManager;
use crate::spans::traced;
use crate::store::{Renamed, Store, StoreError};

mod in_force;
mod requests;

use in_force::Refusal;
pub(super) use in_force::{InForce, operators};
use requests::{Inbound, ReloadOutcome, ReloadRequest};
pub use requests::{Loader, ReloadTrigger, Reloading, Requests};

/// The settings that take effect at the next start only.
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

    /// The keys that differ in `other`.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
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
    pub in_force: InForce,
    pub watch: FileWatch,
    pub waits: Waits,
    /// The refusals since the configuration in force was accepted that operators were notified of.
    pub announced: BTreeSet<Uuid>,
    pub service: ServiceManager,
}

impl Reloader {
    pub(super) async fn run(mut self, mut requests: Inbound, stop: CancellationToken) -> Result<(), String> {
        loop {
            // The stop first: the end of the program also closes the queue, which is then no failure.
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                request = requests.0.recv() => request.ok_or("the queue of reload requests is closed")?,
                () = tokio::time::sleep(watch::ROUND), if self.in_force.watched => {
                    if !self.files_changed().await {
                        continue;
                    }
                    ReloadRequest { trigger: ReloadTrigger::FileChanged, reply: None }
                }
            };
            self.service.reloading();
            let outcome = traced!("reload", { trigger = request.trigger.label() }, self.reload(request.trigger));
            self.service.ready(&status(&self.service, &self.parts.published));
            if let Some(reply) = request.reply {
                // The client may have closed its connection.
                let _ = reply.send(outcome);
            }
        }
    }

    async fn files_changed(&mut self) -> bool {
        let inputs = self.watch.inputs().clone();
        // On a blocking thread: a network mount can be slow.
        let found = tokio::task::spawn_blocking(move || inputs.current()).await;
        found.is_ok_and(|found| self.watch.changed(found))
    }

    async fn reload(&mut self, trigger: ReloadTrigger) -> ReloadOutcome {
        let now = self.clock.now();
        let load = Arc::clone(&self.load);
        let waits = self.waits.carried_over();
        let read = move || Built::new(load().map_err(Refusal::of)?, waits);
        let built = tokio::task::spawn_blocking(read).await;
        let built = built.unwrap_or_else(|e| Err(Refusal::one(e.to_string(), Inputs::default())));
        self.watch.start_over(match &built {
            Ok(built) => built.config.inputs.clone(),
            Err(refusal) => refusal.inputs.clone(),
        });
        let built = match built {
            Ok(built) => built,
            Err(refusal) => return Err(self.refuse(trigger, refusal, now).await),
        };
        for warning in &built.config.warnings {
            tracing::warn!("{}", warning.log_line());
        }
        let summary = match self.move_and_take_over(built, now).await {
            Ok(summary) => summary,
            Err(error) => {
                let refusal = Refusal::one(format!("cannot rename a source: {error:#}"), Inputs::default());
                return Err(self.refuse(trigger, refusal, now).await);
            }
        };
        tracing::info!(trigger = trigger.label(), summary, "reloaded the configuration");
        Ok(summary)
    }

    /// Reports why the configuration is refused. Returns the text of the log, without source lines and with addresses masked,
    /// because the listener sends it to a client that has not signed in. The operators are notified once, however often it is
    /// read.
    async fn refuse(&mut self, trigger: ReloadTrigger, refusal: Refusal, at: DateTime<Utc>) -> String {
        let logged = refusal.log_text();
        let Refusal { text, problems, .. } = refusal;
        self.parts.metrics.config_refused();
        tracing::error!(
            trigger = trigger.label(),
            problems = &logged,
            "refused the configuration; the previous one stays in force"
        );
        tracing::debug!(problems = &text, "problems of the refused configuration, with source lines");
        let refused = RefusedReload { at, problems: text };
        self.parts.published.write(|present| present.refused_reload = Some(refused));
        let InForce { accepted, recipients, .. } = &self.in_force;
        let config = RefusedConfig::new(&problems, *accepted, recipients.clone(), at);
        if self.announced.insert(config.id) {
            self.parts.alerting.announce(Announcement::Reload(config)).await;
        }
        logged
    }

    /// Moves the state of renamed sources to their new names, then takes everything over. The tasks of these sources and alerting
    /// pause meanwhile: otherwise they would begin under one name and record under the other.
    async fn move_and_take_over(&mut self, built: Built, now: DateTime<Utc>) -> anyhow::Result<String> {
        let parts = Arc::clone(&self.parts);
        let known = |name: &Name| parts.mailboxes.of(name).is_some() || parts.published.knows(name);
        let renames = built.config.renames().into_iter().filter(|rename| known(&rename.from)).collect::<Vec<_>>();
        if renames.is_empty() {
            return Ok(self.take_over(built, now));
        }
        let names = renames.iter().flat_map(|rename| [&rename.from, &rename.to]);
        let mailboxes = names.filter_map(|name| parts.mailboxes.of(name)).collect::<Vec<_>>();
        let mut working = Vec::new();
        for mailbox in &mailboxes {
            working.push(mailbox.working().await);
        }
        let alerting = parts.alerting.pause().await;
        let outcomes = rename(&parts.store, &renames).await?;
        let moved = renames.iter().zip(outcomes).filter(|(_, outcome)| *outcome == Renamed::Moved);
        let mut summaries = Vec::new();
        for (rename, _) in moved {
            parts.published.rename(rename);
            alerting.rename(rename);
            summaries.push(format!("; renamed {} to {}", rename.from, rename.to));
        }
        let summary = self.take_over(built, now);
        Ok(summary + &summaries.concat())
    }

    fn take_over(&mut self, built: Built, now: DateTime<Utc>) -> String {
        let Built { config, channel, per_minute, sources, credentials, waits } = built;
        let parts = &self.parts;
        let before = parts.published.plans();
        let plans = Arc::new(config.plans.clone());
        parts.published.replace_plans(Arc::clone(&plans), || parts.auditor.sources.replace(Arc::new(sources)));
        parts.auditor.polls.allow(config.max_polls);
        parts.channel.replace(channel);
        parts.rate_limiter.set(per_minute);
        parts.retain.replace(Arc::new(config.store.retain));
        parts.credentials.replace(Arc::new(credentials));
        for name in parts.mailboxes.names() {
            if let Some(mailbox) = parts.mailboxes.of(&name) {
                mailbox.reloaded();
            }
        }
        for name in plans.keys() {
            self.begin(name);
        }
        // The owners of open incidents and `min_severity` may have changed.
        parts.alerting.wake();
        parts.metrics.config_loaded(now, config.server.public_url.as_deref());
        parts.published.write(|present| present.refused_reload = None);
        let later = self.fixed.differences(&Fixed::of(&config));
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "these keys take effect at the next start");
        }
        self.in_force = InForce::of(&config, now);
        self.waits = waits;
        self.announced.clear();
        summary(&before.keys().collect(), &plans.keys().collect(), &later)
    }

    /// Starts the task of a source that has none. The task takes up its plan first, as after a reload.
    fn begin(&self, name: &Name) {
        let parts = &self.parts;
        if parts.mailboxes.of(name).is_none() {
            // A former task of this name has ended, and its series with it.
            parts.metrics.source_added(name);
            let mailbox = parts.mailboxes.open(name);
            mailbox.reloaded();
            self.starter.start("audits", source_task(parts, name, &self.clock));
        }
    }
}

/// Moves the stored state of renamed sources to their new names, and logs each outcome.
pub(super) async fn rename(store: &Store, renames: &[Rename]) -> Result<Vec<Renamed>, StoreError> {
    let outcomes = store.rename(renames).await?;
    for (Rename { from, to }, outcome) in renames.iter().zip(&outcomes) {
        match outcome {
            Renamed::Moved => tracing::info!(source = %to, %from, "moved state and history of a renamed source"),
            Renamed::Nothing => {}
            Renamed::Kept => tracing::warn!(
                source = %to,
                %from,
                "a renamed source already has state under its new name, so the history of its former name was not moved; remove renamed_from"
            ),
        }
    }
    Ok(outcomes)
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
        let wanted = || {
            let wanted = parts.published.plans().contains_key(&name);
            if !wanted {
                // Before the mailbox closes: a task that begins after that finds no series of this one.
                parts.metrics.source_removed(&name);
            }
            wanted
        };
        while task.run(parts.stop.clone()).await == Ended::Removed && !parts.mailboxes.close_unless(&name, wanted) {}
        Ok(())
    }
}

/// Everything that a reload replaces, built before it replaces anything.
struct Built {
    config: Config,
    channel: Arc<dyn crate::notify::Channel>,
    per_minute: u32,
    sources: Sources,
    credentials: Credentials,
    waits: Waits,
}

impl Built {
    fn new(config: Config, mut waits: Waits) -> Result<Self, Refusal> {
        let mut build = || -> anyhow::Result<_> {
            let email = config.require_email()?;
            let channel = Arc::new(adapters::email(&config, email, &mut waits)?);
            Ok((channel, adapters::rate_limiter(email), adapters::sources(&config, &mut waits)?))
        };
        match build().context("the configuration cannot be used") {
            Ok((channel, per_minute, sources)) => {
                let credentials = Credentials::of(&config);
                Ok(Self { config, channel, per_minute, sources, credentials, waits })
            }
            Err(error) => Err(Refusal::one(format!("{error:#}"), config.inputs)),
        }
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
