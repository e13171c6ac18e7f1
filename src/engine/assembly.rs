//! The parts of the engine, connected for one channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::alerting::{Alerting, AlertingParts, StartError};
use super::audit::{Auditor, Sources};
use super::bells::Bells;
use super::current::Current;
use super::dispatcher::{Dispatcher, DispatcherParts};
use super::polls::Polls;
use super::published::{Plans, Published};
use super::rate_limiter::RateLimiter;
use crate::clock::Clock;
use crate::domain::name::Name;
use crate::domain::state::SourceState;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::store::Store;

/// The parts from which an engine is connected.
pub struct EngineParts {
    pub plans: Plans,
    /// The state of each source, as stored.
    pub states: BTreeMap<Name, SourceState>,
    pub sources: Sources,
    /// Most polls under way at once.
    pub max_polls: usize,
    pub store: Arc<Store>,
    pub channel: Arc<dyn Channel>,
    pub rate_limiter: Arc<RateLimiter>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    /// Cancels a poll under way; sends under way are finished and none is begun.
    pub stop: CancellationToken,
}

/// The connected parts. Nothing runs by itself.
pub struct Engine {
    pub published: Arc<Published>,
    pub auditor: Arc<Auditor>,
    pub alerting: Arc<Alerting>,
    pub dispatcher: Arc<Dispatcher>,
    pub bells: Bells,
}

impl Engine {
    /// Connects the parts, and loads the working set of alerting from the store.
    pub async fn connect(parts: EngineParts) -> Result<Self, StartError> {
        let EngineParts { store, channel, metrics, clock, stop, rate_limiter, .. } = parts;
        let published = Arc::new(Published::new(Arc::new(parts.plans), parts.states));
        let bells = Bells::default();
        let alerting = Alerting::load(AlertingParts {
            published: Arc::clone(&published),
            store: Arc::clone(&store),
            channel: Arc::clone(&channel),
            metrics: Arc::clone(&metrics),
            bells: bells.clone(),
        });
        let alerting = Arc::new(alerting.await?);
        let auditor = Arc::new(Auditor {
            published: Arc::clone(&published),
            sources: Current::new(Arc::new(parts.sources)),
            polls: Polls::new(parts.max_polls),
            store: Arc::clone(&store),
            alerting: Arc::clone(&alerting),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            stop: stop.clone(),
        });
        let dispatcher = Arc::new(Dispatcher::new(DispatcherParts {
            store,
            channel,
            published: Arc::clone(&published),
            metrics,
            clock,
            rate_limiter,
            bells: bells.clone(),
            stop,
        })?);
        Ok(Self { published, auditor, alerting, dispatcher, bells })
    }
}
