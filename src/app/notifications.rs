//! Notifications without an incident: a test, sent at once without a record in the store, and samples of each kind.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::adapters::{self, Waits};
use crate::config::Config;
use crate::domain::address::{Address, NamedAddress};
use crate::domain::name::Name;
use crate::domain::notification::{Notification, NotificationKind};
use crate::notify::email::{Delivery, Email, Options};
use crate::notify::render::{Rendered, render};
pub use crate::notify::sample::Sample;
use crate::notify::sample::example;
use crate::notify::{Channel as _, Outbound};

/// Sends a test notification to `to`. Returns its Message-ID, and passes each step that succeeded to `step_taken`.
pub async fn send_test(
    config: &Config,
    to: &Address,
    now: DateTime<Utc>,
    step_taken: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let channel = adapters::email(config, config.require_email()?, &mut Waits::default())?;
    let message = Notification::test(Name::parse(channel.label())?, to.clone(), now, chrono_tz::UTC);
    let composed = channel.compose(&message);
    let outbound = Outbound { message_id: composed.message_id, to: to.clone(), raw: composed.raw };
    let trial = channel.trial(&outbound).await;
    trial.steps.iter().map(String::as_str).try_for_each(step_taken)?;
    trial.outcome.with_context(|| format!("failed to send the test notification to {to}"))?;
    Ok(outbound.message_id)
}

/// A sample of a notification, in each form.
pub struct Preview {
    pub kind: NotificationKind,
    pub to: Address,
    pub message_id: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The whole mail.
    pub eml: String,
}

/// `sample`, as recorded at `now`.
pub fn preview(sample: Sample, now: DateTime<Utc>) -> anyhow::Result<Preview> {
    let from = NamedAddress::parse("Driftwise <driftwise@integrator.example>")?;
    let to = Address::parse("it@acme.example")?;
    let notification =
        example(sample, &to, now).with_context(|| format!("there is no sample of {}", sample.label()))?;
    let Rendered { subject, text, html } = render(&notification, None)?;
    let delivery = Delivery::Spool(PathBuf::new());
    let composed = Email::new(Options { from, delivery, public_url: None })?.compose(&notification);
    let eml = String::from_utf8(composed.raw).context("a mail is ASCII")?;
    Ok(Preview { kind: notification.kind, to, message_id: composed.message_id, subject, text, html, eml })
}
