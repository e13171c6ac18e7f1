//! `status`: prints the stored verdict on every session, how old it is, whether a daemon keeps it up to date, and whether mail
//! leaves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::notifications::EMAIL;
use super::output::Format;
use super::verdicts::{self, Shown};
use super::{Exit, Shared, print};
use crate::app::stored_delivery;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, NeededSecrets};
use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Severity;
use crate::domain::reading::visible;
use crate::domain::state::SourceState;
use crate::store::{OutboxCounts, Store};
use crate::view::delivery::{DeliveryDocument, DeliveryView};
use crate::view::incident::IncidentView;
use crate::view::session::SessionView;
use crate::view::source::SourceView;
use crate::view::words::count;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Facts about the store as a whole.
#[derive(Serialize)]
struct StoreSummary {
    /// The daemon that owns the store and keeps it up to date, in words.
    owner: Option<String>,
    outbox: Outbox,
    /// Mail that waits, and addresses that refuse mail; `None` before the first notification.
    delivery: Option<DeliveryDocument>,
}

/// Notifications that did not leave.
#[derive(Serialize)]
struct Outbox {
    pending: u64,
    retrying: u64,
    dead: u64,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let path = &config.store.path;
    let (states, outbox) = match Store::read(path).await {
        Ok(store) => (store.load().await?, store.outbox_counts(EMAIL).await?),
        Err(e) if e.is_absent() => (BTreeMap::new(), OutboxCounts::default()),
        Err(e) => return Err(e.into()),
    };
    let outbox = Outbox { pending: outbox.pending, retrying: outbox.retrying, dead: outbox.dead };
    let delivery = stored_delivery(&config).await?;
    let document = delivery.as_ref().map(|state| DeliveryView(state).document());
    let present = StoreSummary { owner: Store::owner(path).await, outbox, delivery: document };
    let now = SystemClock.now();
    let sessions = config.plans.values().flat_map(|plan| plan.sessions.values());
    let mut views =
        sessions.map(|session| SessionView::of(states.get(&session.key.source), session)).collect::<Vec<_>>();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    match arguments.format {
        Format::Json => print(&verdicts::json(&views, now, &present)?)?,
        Format::Table => {
            let text = verdicts::text(&views, Shown::Sessions, Some(now));
            let mail = delivery.iter().flat_map(|state| DeliveryView(state).sentences(now, chrono_tz::UTC));
            let mail = mail.fold(String::new(), |lines, sentence| lines + &sentence + "\n");
            let (changes, waits) = (changes(&config, &states), waits(&config, &states, now));
            print(&format!("{changes}{text}{waits}{mail}{}", in_words(&present, path)))?;
        }
    }
    Ok(verdicts::exit(&views, Severity::Info, now))
}

/// A line for each source that has changed under its rules.
fn changes(config: &Config, states: &BTreeMap<Name, SourceState>) -> String {
    let change = |plan: &SourcePlan| SourceView::of(&plan.name, states.get(&plan.name)?).change(plan.contacts.zone);
    let lines =
        config.plans.values().filter_map(change).map(|line| line.chars().map(visible).collect::<String>() + "\n");
    lines.collect()
}

/// A line for each source that cannot be read, while its grace period lasts.
fn waits(config: &Config, states: &BTreeMap<Name, SourceState>, now: DateTime<Utc>) -> String {
    let wait = |plan: &SourcePlan| {
        let view = SourceView::of(&plan.name, states.get(&plan.name)?);
        let words = IncidentView(view.unreachable?).grace_period(&plan.alerts, &view, now, plan.contacts.zone)?;
        Some(format!("{}: {words}\n", plan.name))
    };
    config.plans.values().filter_map(wait).collect()
}

fn in_words(present: &StoreSummary, store: &Path) -> String {
    let mut text = match &present.owner {
        Some(owner) => format!("A daemon owns the store: {owner}.\n"),
        None => format!("No daemon owns the store {}, so nothing is checked.\n", store.display()),
    };
    let Outbox { retrying, dead, .. } = present.outbox;
    let failed = [(retrying, "not sent yet after failed attempts"), (dead, "given up")];
    let failed = failed.into_iter().filter(|(notifications, _)| *notifications > 0);
    let notifications = |number| count(usize::try_from(number).unwrap_or(usize::MAX), "notification");
    let failed = failed.map(|(number, how)| format!("{} {how}", notifications(number))).collect::<Vec<_>>();
    if !failed.is_empty() {
        let _ = writeln!(text, "{}: `driftwise notifications list` says why.", failed.join(", "));
    }
    text
}
