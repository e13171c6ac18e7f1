//! The composition root: the only module that names concrete adapters. `build` assembles the program, `run` runs it until the
//! shutdown token is cancelled; tests do the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::delivery::DeliveryState;
use crate::domain::name::Name;
use crate::domain::state::SourceState;
use crate::engine::alerting::Alerting;
use crate::engine::assembly::{Engine, EngineParts};
use crate::engine::audit::Auditor;
use crate::engine::bells::Bells;
use crate::engine::current::{Current, CurrentChannel};
use crate::engine::dispatcher::Dispatcher;
use crate::engine::mailbox::Mailboxes;
use crate::engine::published::Published;
use crate::engine::rate_limiter::RateLimiter;
use crate::lifecycle::Supervisor;
use crate::lifecycle::systemd::ServiceManager;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::spans::traced;
use crate::store::Store;
use crate::web::{self, Hosts, Web};

pub mod adapters;
pub mod credentials;
mod heartbeat;
pub mod notifications;
pub mod online;
mod past;
pub mod poll;
pub mod reload;
pub mod resend;
mod tasks;
mod watch;

use adapters::Waits;
use credentials::Credentials;
use reload::{Fixed, InForce, Reloader};
pub use reload::{Loader, Reloading};
use watch::FileWatch;

/// The name of the only channel.
const EMAIL: &str = "email";

/// Longest wait for the store to close: together with [`crate::lifecycle::DRAIN`] less than the 10 s of a service manager. A
/// thread that waits for a lock on the file cannot be interrupted.
const CLOSING: Duration = Duration::from_secs(1);

/// The assembled program, not yet running.
pub struct App {
    parts: Arc<Parts>,
    dispatcher: Arc<Dispatcher>,
    clock: Arc<dyn Clock>,
    trust_clock: bool,
    service: ServiceManager,
    listener: TcpListener,
    probes: Option<TcpListener>,
    hosts: Hosts,
    reloading: Reloading,
    /// The settings that a reload cannot change, to compare.
    fixed: Fixed,
    in_force: InForce,
    watch: FileWatch,
    waits: Waits,
}

/// The state that the tasks of an [`App`] share. A reload replaces parts of it.
struct Parts {
    published: Arc<Published>,
    auditor: Arc<Auditor>,
    alerting: Arc<Alerting>,
    mailboxes: Arc<Mailboxes>,
    channel: Arc<CurrentChannel>,
    rate_limiter: Arc<RateLimiter>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    bells: Bells,
    /// The retention of history.
    retain: Arc<Current<Duration>>,
    credentials: Arc<Current<Credentials>>,
    stop: CancellationToken,
}

impl App {
    /// Opens the store, binds the listeners and connects the parts. Starts no poll yet. `reloading` reads the configuration
    /// again; `shutdown` ends the program.
    pub async fn build(
        config: Config,
        reloading: Reloading,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut waits = Waits::default();
        let email = config.require_email()?;
        let channel = Arc::new(CurrentChannel::new(Arc::new(adapters::email(&config, email, &mut waits)?)));
        let rate_limiter = Arc::new(RateLimiter::new(adapters::rate_limiter(email)));
        let sources = adapters::sources(&config, &mut waits)?;
        let credentials = Arc::new(Current::new(Arc::new(Credentials::of(&config))));
        let fixed = Fixed::of(&config);
        let in_force = InForce::of(&config, clock.now());
        let watch = FileWatch::new(config.inputs.clone());
        // The store comes first, so that a second process reports the owner of the store and not a port in use.
        let store = Arc::new(Store::open(&config.store.path).await?);
        let listener = bind(config.server.listen).await?;
        let probes = match config.server.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        reload::rename(&store, &config.renames()).await?;
        let states = store.load().await?;
        let hosts = Hosts::of(config.server.listen, config.server.public_url.as_deref());
        let names = config.plans.keys().cloned().collect::<Vec<_>>();
        let metrics = Arc::new(Metrics::new(&names, channel.label())?);
        metrics.config_loaded(clock.now(), config.server.public_url.as_deref());
        let engine = Engine::connect(EngineParts {
            plans: config.plans,
            states,
            sources,
            max_polls: config.max_polls,
            store: Arc::clone(&store),
            channel: Arc::clone(&channel) as _,
            rate_limiter: Arc::clone(&rate_limiter),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            stop: shutdown.clone(),
        });
        let Engine { published, auditor, alerting, dispatcher, bells } = engine.await?;
        let retain = Arc::new(Current::new(Arc::new(config.store.retain)));
        let mailboxes = Arc::default();
        let parts = Parts {
            published,
            auditor,
            alerting,
            mailboxes,
            channel,
            rate_limiter,
            metrics,
            store,
            bells,
            retain,
            credentials,
            stop: shutdown,
        };
        Ok(Self {
            parts: Arc::new(parts),
            dispatcher,
            clock,
            trust_clock: false,
            service: ServiceManager::default(),
            listener,
            probes,
            hosts,
            reloading,
            fixed,
            in_force,
            watch,
            waits,
        })
    }

    /// Whether retention trusts the clock at the start, even if it is far ahead of the store.
    #[must_use]
    pub fn trust_clock(self, trust_clock: bool) -> Self {
        Self { trust_clock, ..self }
    }

    /// Reports to a service manager.
    #[must_use]
    pub fn service_manager(self, service: ServiceManager) -> Self {
        Self { service, ..self }
    }

    /// The address of the pages, with the actual port if the configuration has port 0.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until the shutdown token is cancelled, then drains.
    pub async fn run(self) -> anyhow::Result<()> {
        let (sessions, sources) = self.size();
        let address = self.address()?;
        tracing::info!(sessions, sources, page = %format!("http://{address}/"), "driftwise is running");
        let store = Store::clone(&self.parts.store);
        // First the notifications that a killed process left due: the next audits may end their incidents before the recipients
        // are notified of the beginning.
        traced!("alert", {}, self.parts.alerting.run(self.clock.now()));
        self.parts
            .auditor
            .take_up_plans(&self.in_force.operators)
            .await
            .context("failed to end the incidents of sessions and sources that are no longer configured")?;
        let outcome = self.start()?.run().await;
        if tokio::time::timeout(CLOSING, store.close()).await.is_err() {
            tracing::warn!(
                "the store did not close in time; recorded state is in its log, and the next start reads it"
            );
        }
        outcome?;
        tracing::info!("driftwise has stopped");
        Ok(())
    }

    /// Starts every task.
    fn start(self) -> anyhow::Result<Supervisor> {
        let Self { parts, clock, .. } = self;
        let Parts { published, metrics, store, stop, .. } = &*parts;
        let mut supervisor = Supervisor::new(stop.clone());
        let history = past::StoredHistory { store: Arc::clone(store), metrics: Arc::clone(metrics) };
        let web = Web::new(Arc::clone(published), Arc::clone(metrics), Arc::new(history), Arc::clone(&clock))?;
        let local = self.listener.local_addr()?.ip().is_loopback();
        let resend = resend::Resender { parts: Arc::clone(&parts), clock: Arc::clone(&clock) };
        let commands = web::Commands { reload: Arc::new(self.reloading.requests), resend: Arc::new(resend) };
        let pages = web::router(Arc::clone(&web), self.hosts, local.then(|| commands.clone()));
        supervisor.start("pages", tasks::serve(self.listener, pages, stop.clone()));
        if let Some(probes) = self.probes {
            supervisor.start("metrics", tasks::serve(probes, web::probes(web, commands), stop.clone()));
        }
        for name in published.plans().keys() {
            parts.mailboxes.open(name);
            supervisor.starter().start("audits", reload::source_task(&parts, name, &clock));
        }
        let alerting = tasks::alert(Arc::clone(&parts.alerting), Arc::clone(&clock), stop.clone());
        supervisor.start("alerting", alerting);
        supervisor.start("delivery", tasks::deliver(self.dispatcher, Arc::clone(&clock), stop.clone()));
        let timing = tasks::Timing {
            published: Arc::clone(published),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(&clock),
            mailboxes: Arc::clone(&parts.mailboxes),
            service: self.service.clone(),
        };
        supervisor.start("schedules", timing.run(stop.clone()));
        let own = tasks::own(Arc::clone(store), Arc::clone(&parts.auditor), stop.clone());
        supervisor.start("ownership", own);
        let upkeep = tasks::Upkeep {
            store: Arc::clone(store),
            auditor: Arc::clone(&parts.auditor),
            clock: Arc::clone(&clock),
            retain: Arc::clone(&parts.retain),
            credentials: Arc::clone(&parts.credentials),
            channel: Arc::clone(&parts.channel),
            alerting: Arc::clone(&parts.alerting),
            trust_clock: self.trust_clock,
        };
        supervisor.start("upkeep", upkeep.run(stop.clone()));
        let reloader = Reloader {
            parts: Arc::clone(&parts),
            load: self.reloading.load,
            fixed: self.fixed,
            starter: supervisor.starter(),
            clock,
            in_force: self.in_force,
            watch: self.watch,
            waits: self.waits,
            announced: BTreeSet::new(),
            service: self.service,
        };
        supervisor.start("reload", reloader.run(self.reloading.inbound, stop.clone()));
        Ok(supervisor)
    }

    fn size(&self) -> (usize, usize) {
        let plans = self.parts.published.plans();
        (plans.values().map(|plan| plan.sessions.len()).sum(), plans.len())
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The stored states of all sources; empty if there is no store yet.
pub async fn stored_states(config: &Config) -> anyhow::Result<BTreeMap<Name, SourceState>> {
    match Store::read(&config.store.path).await {
        Ok(store) => Ok(store.load().await?),
        Err(e) if e.is_absent() => Ok(BTreeMap::new()),
        Err(e) => Err(e.into()),
    }
}

/// The stored state of mail delivery; `None` if there is no store yet.
pub async fn stored_delivery(config: &Config) -> anyhow::Result<Option<DeliveryState>> {
    match Store::read(&config.store.path).await {
        Ok(store) => Ok(Some(store.delivery(&Name::parse(EMAIL)?).await?)),
        Err(e) if e.is_absent() => Ok(None),
        Err(e) => Err(e.into()),
    }
}
