//! Checks for sessions and settings that are not audited: open incidents about a source or its settings, and unaudited sessions.

use chrono_tz::Tz;

use super::Check;
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::plan::SourcePlan;
use crate::domain::state::SourceState;
use crate::view::source::SourceView;
use crate::view::times;
use crate::view::words::{count, cut};

/// Most sessions that are named; the others are counted.
const NAMED: usize = 5;

/// Longest reason, in characters.
const REASON: usize = 400;

/// The checks of a source, as of its last stored poll.
pub(super) fn checks(plan: &SourcePlan, state: &SourceState) -> Vec<Check> {
    let view = SourceView::of(&plan.name, state);
    let found = [unreachable(&view), changed(&view), unverifiable(plan, state), unaudited(plan, state)];
    found.into_iter().flatten().map(|check| check.of(&format!("source {}", plan.name))).collect()
}

fn unreachable(view: &SourceView<'_>) -> Option<Check> {
    let incident = view.unreachable?;
    let found = format!("unreachable since {}: {}", since(incident), cut(&incident.facts.reason, REASON));
    let act = "correct the cause; until then a drift in this source is not seen";
    Some(Check::problem(IncidentKind::Unreachable.label(), found, act))
}

fn changed(view: &SourceView<'_>) -> Option<Check> {
    let incident = view.changed?;
    let found = format!("changed, first seen {}: {}", since(incident), cut(&incident.facts.reason, REASON));
    let gone = incident.facts.change.as_ref().is_some_and(|change| !change.columns.gone.is_empty());
    let act = if gone {
        "put the column back into the export, or name the new one under columns of the source, and reload"
    } else {
        "compare a session in OrderWise with the export; correct the export, name the new values under values of the source, or \
         put the sessions right"
    };
    Some(Check::problem(IncidentKind::SourceChanged.label(), found, act))
}

/// One line a source: a change of the export can concern thousands of sessions.
fn unverifiable(plan: &SourcePlan, state: &SourceState) -> Option<Check> {
    let open = |incident: &&Incident| incident.kind() == IncidentKind::Unverifiable && incident.is_open();
    let sessions = plan.sessions.keys().filter_map(|id| {
        let incident = state.sessions.get(id)?.incidents.iter().find(open)?;
        Some((id, incident))
    });
    let sessions = sessions.collect::<Vec<_>>();
    let (first, incident) = sessions.first()?;
    let named = sessions.iter().take(NAMED).map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
    let more = if sessions.len() > NAMED { ", …" } else { "" };
    let unread = incident.facts.unread.iter().map(|unread| format!("{}: {}", unread.label, unread.reason));
    let found = format!(
        "settings of {} could not be checked ({named}{more}); {first} since {}: {}",
        count(sessions.len(), "session"),
        since(incident),
        cut(&unread.collect::<Vec<_>>().join("; "), REASON)
    );
    let act = format!(
        "`driftwise check --session {}/{first}` prints each reason; correct the export, or map columns and values of the source",
        plan.name
    );
    Some(Check::problem(IncidentKind::Unverifiable.label(), found, act))
}

fn unaudited(plan: &SourcePlan, state: &SourceState) -> Option<Check> {
    let sessions = usize::try_from(state.record.unaudited).unwrap_or(usize::MAX);
    if sessions == 0 {
        return None;
    }
    let found = format!("returns {} that the configuration does not audit", count(sessions, "session"));
    let act = format!(
        "`driftwise sessions --source {}` lists them; add the ones that matter to the configuration",
        plan.name
    );
    Some(Check::warning("unaudited", found, act))
}

fn since(incident: &Incident) -> String {
    times::at(incident.window.first_bad, Tz::UTC)
}
