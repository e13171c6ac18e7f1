//! A test message, sent at once and recorded nowhere.

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::adapters;
use crate::config::Config;
use crate::domain::address::Address;
use crate::notify::{Channel as _, Outbound};

/// Sends a test message to `to`. Answers its Message-ID.
pub async fn send_test(config: &Config, to: &Address, now: DateTime<Utc>) -> anyhow::Result<String> {
    let channel = adapters::email(config.require_email()?)?;
    let message = channel.test(to.clone(), now, chrono_tz::UTC)?;
    let raw = channel.compose(&message);
    let outbound = Outbound { message_id: message.message_id.clone(), to: to.clone(), raw };
    channel.send(&outbound).await.with_context(|| format!("the test message to {to} was not accepted"))?;
    Ok(message.message_id)
}
