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
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::watch::{self, Fingerprint, Watch};
use super::{Parts, adapters};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::announcement::{Announcement, RefusedConfig};
use crate::domain::name::{Name, Rename};
use crate::engine::published::RefusedReload;
use crate::engine::source_task::{Ended, SourceTask};
use crate::lifecycle::Starter;
use crate::store::{Renamed, Store, StoreError};

mod in_force;
mod requests;

pub(super) use in_force::InForce;
use in_force::Refusal;
use requests::{Inbound, ReloadOutcome, Request};
pub use requests::{Loader, Reloading, Requests, Trigger};

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
    pub in_force: InForce,
    /// The refusals since the configuration in force was accepted that operators were notified of.
    pub announced: BTreeSet<Uuid>,
}

impl Reloader {
    pub(super) async fn run(mut self, mut requests: Inbound, stop: CancellationToken) -> Result<(), String> {
        let mut watch = Watch::new(self.in_force.found.clone());
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                request = requests.0.recv() => request.ok_or("nothing can ask for a reload any more")?,
                () = tokio::time::sleep(watch::ROUND), if self.in_force.watched => {
                    if !watch.changed(self.fingerprint().await) {
                        continue;
                    }
                    Request { trigger: Trigger::FileChanged, answer: None }
                }
            };
            let before = self.fingerprint().await;
            let outcome = self.reload(request.trigger).await;
            let after = self.fingerprint().await;
            watch.start_over(after.clone().with_known(&before), after);
            if let Some(answer) = request.answer {
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            }
        }
    }

    async fn fingerprint(&self) -> Fingerprint {
        let paths = self.in_force.paths.clone();
        // A network mount may take its time.
        tokio::task::spawn_blocking(move || Fingerprint::of(&paths)).await.unwrap_or_default()
    }

    async fn reload(&mut self, trigger: Trigger) -> ReloadOutcome {
        let now = self.clock.now();
        let load = Arc::clone(&self.load);
        let read = move || {
            let config = load().map_err(|problems| Refusal::of(&problems))?;
            Built::new(config).map_err(Refusal::one)
        };
        let built = tokio::task::spawn_blocking(read).await;
        let built = match built.unwrap_or_else(|e| Err(Refusal::one(e.to_string()))) {
            Ok(built) => built,
            Err(refusal) => return Err(self.refuse(trigger, refusal, now).await),
        };
        for warning in &built.config.warnings {
            tracing::warn!("{warning}");
        }
        let summary = match self.move_and_take_over(built, now).await {
            Ok(summary) => summary,
            Err(error) => {
                let refusal = Refusal::one(format!("cannot rename a source: {error:#}"));
                return Err(self.refuse(trigger, refusal, now).await);
            }
        };
        tracing::info!(trigger = trigger.label(), summary, "reloaded the configuration");
        Ok(summary)
    }

    /// Says everywhere why the configuration is refused: to the operators once, however often it is read.
    async fn refuse(&mut self, trigger: Trigger, refusal: Refusal, at: DateTime<Utc>) -> String {
        let Refusal { text, problems } = refusal;
        self.parts.metrics.config_refused();
        tracing::error!(
            trigger = trigger.label(),
            problems = text,
            "refused the configuration; the one before it stays in force"
        );
        let refused = RefusedReload { at, problems: text.clone() };
        self.parts.published.write(|present| present.refused_reload = Some(refused));
        let InForce { accepted, recipients, .. } = &self.in_force;
        let config = RefusedConfig::new(&problems, *accepted, recipients.clone(), at);
        if self.announced.insert(config.id) {
            self.parts.alerting.announce(Announcement::Reload(config)).await;
        }
        text
    }

    /// Gives renamed sources the state of their former names, and then takes everything over. Neither their tasks nor alerting
    /// begin anything in between: they would go by one name and record by the other.
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
        let mut said = Vec::new();
        for (rename, _) in moved {
            parts.published.rename(rename);
            alerting.rename(rename);
            said.push(format!("; renamed {} to {}", rename.from, rename.to));
        }
        let summary = self.take_over(built, now);
        Ok(summary + &said.concat())
    }

    fn take_over(&mut self, built: Built, now: DateTime<Utc>) -> String {
        let Built { config, channel, per_minute, sources } = built;
        let parts = &self.parts;
        let before = parts.published.plans();
        let plans = Arc::new(config.plans.clone());
        for name in plans.keys().filter(|name| !before.contains_key(*name)) {
            parts.metrics.source_added(name);
        }
        parts.published.replace_plans(Arc::clone(&plans), || parts.auditor.sources.replace(Arc::new(sources)));
        parts.auditor.polls.allow(config.max_polls);
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
        self.in_force = InForce::of(&config, now, Fingerprint::default());
        self.announced.clear();
        summary(&before.keys().collect(), &plans.keys().collect(), &later)
    }

    /// Starts the task of a source that has none. It takes up its plan first, as after a reload.
    fn begin(&self, name: &Name) {
        let parts = &self.parts;
        if parts.mailboxes.of(name).is_none() {
            let mailbox = parts.mailboxes.open(name);
            mailbox.reloaded();
            self.starter.start("audits", source_task(parts, name, &self.clock));
        }
    }
}

/// Gives sources the stored state of their former names, and says in the log what became of each.
pub(super) async fn rename(store: &Store, renames: &[Rename]) -> Result<Vec<Renamed>, StoreError> {
    let outcomes = store.rename(renames).await?;
    for (Rename { from, to }, outcome) in renames.iter().zip(&outcomes) {
        match outcome {
            Renamed::Moved => tracing::info!(source = %to, %from, "moved state and history of a renamed source"),
            Renamed::Nothing => {}
            Renamed::Kept => tracing::warn!(
                source = %to,
                %from,
                "a renamed source has state of its own already, so the history of its former name stays where it is; remove renamed_from"
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
