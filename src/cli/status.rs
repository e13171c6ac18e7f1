//! `status`: what the store knows of every session now, how old that is, whether a daemon keeps it up to date, and whether mail
//! leaves.

use std::collections::BTreeMap;

use clap::Args;

use super::verdicts::{self, Format};
use super::{Exit, Shared, UsageError, print};
use crate::app::{stored_delivery, stored_states};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::evaluate::VerdictKind;
use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::policy::Severity;
use crate::domain::reading::visible;
use crate::domain::state::SourceState;
use crate::store::Store;
use crate::view::delivery::DeliveryView;
use crate::view::session::SessionView;
use crate::view::source::SourceView;

/// A line for each source that has changed under its rules.
fn changes(config: &Config, states: &BTreeMap<Name, SourceState>) -> String {
    let change = |plan: &SourcePlan| SourceView::of(&plan.name, states.get(&plan.name)?).change(plan.contacts.zone);
    let lines =
        config.plans.values().filter_map(change).map(|line| line.chars().map(visible).collect::<String>() + "\n");
    lines.collect()
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    if matches!(arguments.format, Format::Junit | Format::Markdown) {
        return Err(UsageError(String::from("status is printed as table or json")).into());
    }
    let config = shared.load()?;
    let states = stored_states(&config).await?;
    let delivery = stored_delivery(&config).await?;
    let now = SystemClock.now();
    let sessions = config.plans.values().flat_map(|plan| plan.sessions.values());
    let mut views =
        sessions.map(|session| SessionView::of(states.get(&session.key.source), session)).collect::<Vec<_>>();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    match arguments.format {
        Format::Json => print(&verdicts::json(&views, delivery.as_ref(), now)?)?,
        _ => {
            let text = verdicts::text(&views, |finding| finding.verdict != VerdictKind::NotApplicable, Some(now));
            let owner = match Store::owner(&config.store.path).await {
                Some(owner) => format!("A daemon owns the store: {owner}."),
                None => String::from("No daemon owns the store, so nothing is checked."),
            };
            let mail = delivery.iter().flat_map(|state| DeliveryView(state).sentences(now, chrono_tz::UTC));
            let mail = mail.fold(String::new(), |lines, sentence| lines + &sentence + "\n");
            print(&format!("{}{text}{mail}{owner}\n", changes(&config, &states)))?;
        }
    }
    Ok(verdicts::exit(&views, Severity::Info, now))
}
