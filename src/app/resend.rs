//! Sends a notification again because an operator asks for it: through the daemon that owns the store, or by the command.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Parts;
use super::adapters::{self, Waits};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::alerting::recipients;
use crate::domain::plan::Plans;
use crate::engine::bells::Bells;
use crate::engine::dispatcher::{Dispatcher, DispatcherParts};
use crate::engine::published::Published;
use crate::engine::rate_limiter::RateLimiter;
use crate::metrics::Metrics;
use crate::notify::Channel;
use crate::store::{NotificationState, Resend, Store, StoreError, StoredNotification, Unsendable};
use crate::web::{self, ResendError};

/// Records a notification again, if `plans` still name its recipient.
async fn record(
    store: &Store,
    channel: &dyn Channel,
    plans: &Plans,
    number: i64,
    now: DateTime<Utc>,
) -> Result<Result<Resend, Unsendable>, StoreError> {
    let reissue = |raw: &[u8], id| {
        let reissued = channel.reissue(raw, id);
        (reissued.message_id, reissued.raw)
    };
    store.resend(number, now, |to| recipients::names(plans, to), reissue).await
}

/// Handles requests to the daemon.
pub(super) struct Resender {
    pub parts: Arc<Parts>,
    pub clock: Arc<dyn Clock>,
}

impl web::Resend for Resender {
    fn resend(&self, number: i64) -> BoxFuture<'_, Result<String, ResendError>> {
        Box::pin(async move {
            let Parts { store, channel, published, metrics, bells, .. } = &*self.parts;
            let recorded = record(store, &**channel, &published.plans(), number, self.clock.now()).await;
            let recorded = recorded.map_err(|error| {
                metrics.store_error(error.operation);
                tracing::error!(%error, number, "failed to record a resend");
                ResendError::Failed(error.to_string())
            })?;
            match recorded {
                Ok(again) => {
                    bells.recorded.notify_one();
                    let Resend { number: new, message_id } = again;
                    tracing::info!(number, new, message_id, "an operator asked to resend a notification");
                    Ok(format!("Notification {number} is in the outbox again as {new}; the daemon sends it."))
                }
                Err(refusal @ Unsendable::Unknown(_)) => Err(ResendError::Unknown(refusal.to_string())),
                Err(refusal) => Err(ResendError::Refused(refusal.to_string())),
            }
        })
    }
}

/// Records a notification again while no daemon owns the store, and tries the outbox once. Returns the new notification after
/// that.
pub async fn resend(
    config: Config,
    number: i64,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Result<StoredNotification, Unsendable>> {
    let email = config.require_email()?;
    let channel: Arc<dyn Channel> = Arc::new(adapters::email(&config, email, &mut Waits::default())?);
    let rate_limiter = Arc::new(RateLimiter::new(adapters::rate_limiter(email)));
    let store = Arc::new(Store::open(&config.store.path).await?);
    let again = match record(&store, &*channel, &config.plans, number, clock.now()).await? {
        Ok(again) => again,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let dispatcher = Dispatcher::new(DispatcherParts {
        store: Arc::clone(&store),
        metrics: Arc::new(Metrics::new(&[], channel.label())?),
        channel,
        published: Arc::new(Published::new(Arc::new(config.plans), std::collections::BTreeMap::new())),
        clock: Arc::clone(&clock),
        rate_limiter,
        bells: Bells::default(),
        stop: CancellationToken::new(),
    })?;
    let found = loop {
        let round = dispatcher.run_round().await.context("failed to read or write the outbox")?;
        let (found, _) = store.notification(again.number).await?.context("the new notification is gone")?;
        let waits_for_its_minute = found.state == NotificationState::Pending && round.rate_limited;
        match round.next.filter(|_| waits_for_its_minute) {
            Some(next) => tokio::time::sleep((next - clock.now()).to_std().unwrap_or_default()).await,
            None => break found,
        }
    };
    Store::clone(&store).close().await;
    Ok(Ok(found))
}
