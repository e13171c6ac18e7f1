//! A test notification, sent at once and recorded nowhere.

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::adapters;
use crate::config::Config;
use crate::domain::address::Address;
use crate::domain::name::Name;
use crate::domain::notification::Notification;
use crate::notify::{Channel as _, Outbound};

/// Sends a test message to `to`. Answers its Message-ID.
pub async fn send_test(config: &Config, to: &Address, now: DateTime<Utc>) -> anyhow::Result<String> {
    let channel = adapters::email(config, config.require_email()?)?;
    let message = Notification::test(Name::parse(channel.label())?, to.clone(), now, chrono_tz::UTC);
    let composed = channel.compose(&message);
    let outbound = Outbound { message_id: composed.message_id, to: to.clone(), raw: composed.raw };
    channel.send(&outbound).await.with_context(|| format!("the test message to {to} was not accepted"))?;
    Ok(outbound.message_id)
}
