//! The composition root: the one place that names concrete adapters. `build` puts the program together, `run` keeps it going
//! until it is asked to stop; tests start the same one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::decide::Sender;
use crate::domain::name::Name;
use crate::domain::state::SourceState;
use crate::engine::audit::Auditor;
use crate::engine::dispatcher::Dispatcher;
use crate::engine::inbox::Inbox;
use crate::engine::polls::Polls;
use crate::engine::published::Published;
use crate::engine::rate_limiter::RateLimiter;
use crate::lifecycle::Supervisor;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::store::Store;
use crate::web::{self, Hosts, Web};

pub mod adapters;
pub mod mail;
pub mod online;
mod past;
pub mod poll;
mod tasks;

/// How long the store may take to close: with [`crate::lifecycle::DRAIN`] less than the ten seconds that a service manager
/// gives. Whoever waits for a lock on the file cannot be called back before that.
const CLOSING: Duration = Duration::from_secs(1);

/// The program, put together and not yet running.
pub struct App {
    auditor: Arc<Auditor>,
    dispatcher: Arc<Dispatcher>,
    published: Arc<Published>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    retain: Duration,
    trust_clock: bool,
    listener: TcpListener,
    probes: Option<TcpListener>,
    hosts: Hosts,
    shutdown: CancellationToken,
}

impl App {
    /// Opens the store, binds the listeners and wires everything. Nothing is polled yet. `shutdown` ends it.
    pub async fn build(config: Config, clock: Arc<dyn Clock>, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let email = config.require_email()?;
        let channel: Arc<dyn Channel> = Arc::new(adapters::email(email)?);
        let sources = adapters::sources(&config)?;
        // First the store: a second process is told who has it, not that a port is taken.
        let store = Arc::new(Store::open(&config.store.path).await?);
        let listener = bind(config.server.listen).await?;
        let probes = match config.server.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let states = store.load().await?;
        let hosts = Hosts::of(config.server.listen, config.server.public_url.as_deref());
        let names = config.plans.keys().cloned().collect::<Vec<_>>();
        let metrics = Arc::new(Metrics::new(&names, channel.label())?);
        metrics.config_loaded(clock.now());
        let sender = adapters::sender(&config);
        let rate_limiter = RateLimiter::new(adapters::rate_limiter(email));
        let (retain, polls) = (config.store.retain, Arc::new(Polls::new(config.max_polls)));
        let published = Arc::new(Published::new(Arc::new(config.plans), states));
        let parts = Parts { published, sources, polls, store, channel, metrics, clock, sender, rate_limiter, shutdown };
        Ok(parts.assemble(retain, listener, probes, hosts))
    }

    /// Whether retention believes the clock as it is at the start, however far it is ahead of the store.
    #[must_use]
    pub fn trust_clock(self, trust_clock: bool) -> Self {
        Self { trust_clock, ..self }
    }

    /// Where the pages are served: of use where the configuration asked for any free port.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until the shutdown token is cancelled, then drains.
    pub async fn run(self) -> anyhow::Result<()> {
        let (sessions, sources) = self.size();
        let address = self.address()?;
        tracing::info!(sessions, sources, page = %format!("http://{address}/"), "driftwise is running");
        let mut supervisor = Supervisor::new(self.shutdown.clone());
        self.auditor.retire().await.context("ending what is not audited any more")?;
        let inboxes: BTreeMap<Name, Arc<Inbox>> =
            self.published.plans().keys().map(|name| (name.clone(), Arc::default())).collect();
        let web = Web::new(
            Arc::clone(&self.published),
            Arc::clone(&self.metrics),
            Arc::new(past::StoredHistory { store: Arc::clone(&self.store), metrics: Arc::clone(&self.metrics) }),
        )?;
        let stop = &self.shutdown;
        let pages = web::router(Arc::clone(&web), self.hosts);
        supervisor.start("pages", tasks::serve(self.listener, pages, stop.clone()));
        if let Some(probes) = self.probes {
            supervisor.start("metrics", tasks::serve(probes, web::probes(web), stop.clone()));
        }
        for (name, inbox) in &inboxes {
            let worker =
                tasks::Worker { source: name.clone(), inbox: Arc::clone(inbox), auditor: Arc::clone(&self.auditor) };
            supervisor.start("audits", worker.run(Arc::clone(&self.clock), stop.clone()));
        }
        supervisor.start("delivery", tasks::deliver(self.dispatcher, Arc::clone(&self.clock), stop.clone()));
        let timing =
            tasks::Timing { published: self.published, metrics: self.metrics, clock: Arc::clone(&self.clock), inboxes };
        supervisor.start("schedules", timing.run(stop.clone()));
        let store = Store::clone(&self.store);
        let (owned, guard) = (Arc::clone(&self.store), Arc::clone(&self.auditor));
        supervisor.start("ownership", tasks::own(owned, guard, stop.clone()));
        let Self { auditor, clock, retain, trust_clock, .. } = self;
        let upkeep = tasks::Upkeep { store: self.store, auditor, clock, retain, trust_clock };
        supervisor.start("upkeep", upkeep.run(stop.clone()));
        let outcome = supervisor.run().await;
        if tokio::time::timeout(CLOSING, store.close()).await.is_err() {
            tracing::warn!(
                "the store did not close in time; what was recorded is in its log, and read again at the next start"
            );
        }
        outcome?;
        tracing::info!("driftwise has stopped");
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let plans = self.published.plans();
        (plans.values().map(|plan| plan.sessions.len()).sum(), plans.len())
    }
}

/// What an [`App`] is made of, beside its listeners.
struct Parts {
    published: Arc<Published>,
    sources: adapters::Sources,
    polls: Arc<Polls>,
    store: Arc<Store>,
    channel: Arc<dyn Channel>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    sender: Sender,
    rate_limiter: RateLimiter,
    shutdown: CancellationToken,
}

impl Parts {
    fn assemble(self, retain: Duration, listener: TcpListener, probes: Option<TcpListener>, hosts: Hosts) -> App {
        let Self { published, sources, polls, store, channel, metrics, clock, sender, rate_limiter, shutdown } = self;
        let recorded = Arc::new(Notify::new());
        let auditor = Arc::new(Auditor {
            published: Arc::clone(&published),
            sources,
            polls,
            store: Arc::clone(&store),
            channel: Arc::clone(&channel),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            sender,
            recorded: Arc::clone(&recorded),
            stop: shutdown.clone(),
        });
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&store),
            channel,
            Arc::clone(&metrics),
            Arc::clone(&clock),
            rate_limiter,
            recorded,
            shutdown.clone(),
        ));
        App {
            auditor,
            dispatcher,
            published,
            metrics,
            store,
            clock,
            retain,
            trust_clock: false,
            listener,
            probes,
            hosts,
            shutdown,
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The states of all sources as the store at `path` knows them; nothing where there is no store yet.
pub async fn stored_states(config: &Config) -> anyhow::Result<BTreeMap<Name, SourceState>> {
    match Store::read(&config.store.path).await {
        Ok(store) => Ok(store.load().await?),
        Err(e) if e.is_absent() => Ok(BTreeMap::new()),
        Err(e) => Err(e.into()),
    }
}
