//! `status`: what the store knows of every session now.

use clap::Args;

use super::verdicts::{self, FindingRow, Format, Row};
use super::{Exit, Shared, UsageError, print};
use crate::app::stored_states;
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::session::Session;
use crate::domain::state::SourceState;
use crate::domain::status::status;

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
    let nothing = SourceState::default();
    let sessions = config.plans.values().flat_map(|plan| plan.sessions.values());
    let mut rows =
        sessions.map(|session| row(states.get(&session.key.source).unwrap_or(&nothing), session)).collect::<Vec<_>>();
    rows.sort_by_key(|row| row.rank);
    match arguments.format {
        Format::Json => print(&verdicts::json(&rows)?)?,
        _ => print(&verdicts::text(&rows, |finding| finding.verdict != VerdictKind::NotApplicable))?,
    }
    Ok(verdicts::exit(&rows, Severity::Info))
}

fn row(state: &SourceState, session: &Session) -> Row {
    let known = state.sessions.get(&session.key.id);
    let now = status(state, session);
    let observed = || known.and_then(|known| known.observation.as_ref()).and_then(|seen| seen.name());
    Row {
        session: session.key.to_string(),
        name: session.name.clone().or_else(observed),
        policy: session.policy.name.to_string(),
        status: now.status.label(),
        reason: now.reason,
        findings: now.findings.into_iter().map(FindingRow::from).collect(),
        rank: now.status,
    }
}
