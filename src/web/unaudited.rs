//! Sessions that a source returns and the configuration does not audit, by source, on the status page.

use serde::Serialize;

use super::filter::Filter;
use crate::domain::plan::SourcePlan;
use crate::domain::state::{SourceState, UnauditedRow};
use crate::engine::published::{Plans, Present};
use crate::view::words::{count, cut, number};

/// Longest name, in characters.
const NAME: usize = 160;

/// Most sessions on the page, of all sources together: each may return any number.
const ON_THE_PAGE: usize = 500;

/// The unaudited sessions of one source.
#[derive(Debug, Serialize)]
pub(super) struct Unaudited {
    source: String,
    count: String,
    sessions: Vec<UnauditedLine>,
    /// Why not all are listed.
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct UnauditedLine {
    key: String,
    name: Option<String>,
}

/// The unaudited sessions that `filter` lets through.
pub(super) fn unaudited(plans: &Plans, present: &Present, filter: &Filter) -> Vec<Unaudited> {
    let mut room = ON_THE_PAGE;
    let known = plans.values().filter_map(|plan| Some((plan, present.state(&plan.name)?)));
    let of_source = |(plan, state)| {
        let part = of_source(plan, state, filter, room)?;
        room -= part.sessions.len();
        Some(part)
    };
    known.filter_map(of_source).collect()
}

fn of_source(plan: &SourcePlan, state: &SourceState, filter: &Filter, room: usize) -> Option<Unaudited> {
    let (source, customer) = (&plan.name, plan.contacts.customer.as_ref());
    // A reload may have added some of them to the configuration since the last poll.
    let rows = state.unaudited.iter().filter(|row| !plan.sessions.contains_key(&row.id));
    let found = rows.filter(|row| filter.lets_unaudited(source, customer, row.id.as_str(), row.name.as_deref()));
    let row = |row: &UnauditedRow| UnauditedLine {
        key: format!("{source}/{}", row.id),
        name: row.name.as_deref().map(|name| cut(name, NAME)),
    };
    let found = found.map(row).collect::<Vec<_>>();
    // Before the first poll after a start, only their number is known.
    let all = usize::try_from(state.record.unaudited).unwrap_or(usize::MAX);
    let whole_source = filter.lets_unaudited(source, customer, "", None);
    let unlisted = if whole_source { all.saturating_sub(state.unaudited.len()) } else { 0 };
    let left_out = unlisted + found.len().saturating_sub(room);
    if found.is_empty() && unlisted == 0 {
        return None;
    }
    let note = match (left_out, found.is_empty()) {
        (0, _) => None,
        (left_out, false) => {
            Some(format!("{} more: driftwise sessions --source {source} lists all.", number(left_out)))
        }
        (_, true) => Some("They are listed here after the next check.".to_owned()),
    };
    Some(Unaudited {
        source: source.to_string(),
        count: count(found.len() + unlisted, "session"),
        sessions: found.into_iter().take(room).collect(),
        note,
    })
}
