//! Sends a test notification at once, without a record in the store.

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::adapters;
use crate::config::Config;
use crate::domain::address::Address;
use crate::notify::{Channel as _, Outbound};

/// Sends a test notification to `to`. Returns its Message-ID, and passes each step that succeeded to `step_taken`.
pub async fn send_test(
    config: &Config,
    to: &Address,
    now: DateTime<Utc>,
    step_taken: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let channel = adapters::email(config, config.require_email()?)?;
    let message = channel.test(to.clone(), now, chrono_tz::UTC)?;
    let composed = channel.compose(&message);
    let outbound = Outbound { message_id: composed.message_id, to: to.clone(), raw: composed.raw };
    let trial = channel.trial(&outbound).await;
    trial.steps.iter().map(String::as_str).try_for_each(step_taken)?;
    trial.outcome.with_context(|| format!("failed to send the test notification to {to}"))?;
    Ok(outbound.message_id)
}
