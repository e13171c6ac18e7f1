//! `sessions`: every session that a source returns, and whether the configuration audits it.

use std::collections::BTreeSet;

use clap::Args;

use super::table::table;
use super::{Exit, Shared, UsageError, print, say};
use crate::app::online;
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::domain::name::Name;
use crate::domain::observation::RowMatch;
use crate::view::session::NO_ROW;
use crate::view::source;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The source to ask
    #[arg(long, value_name = "SOURCE")]
    source: String,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let named = Name::parse(&arguments.source).ok();
    let config = shared.load_for(&NeededSecrets { sources: Some(named.iter().cloned().collect()), email: false })?;
    let plan = named.and_then(|name| config.plans.get(&name)).ok_or_else(|| {
        let known = config.plans.keys().map(Name::as_str).collect::<BTreeSet<_>>();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        UsageError(format!("there is no source {:?}; the sources are: {known}", arguments.source))
    })?;
    let snapshot = match online::snapshot(&config, &plan.name, SystemClock.now()).await? {
        Ok(snapshot) => snapshot,
        Err(reason) => {
            say(&format!("driftwise: {}", source::outage(&plan.name, None, &reason)));
            return Ok(Exit::Unverified);
        }
    };
    let mut rows = Vec::new();
    for id in snapshot.ids() {
        let audited = if plan.sessions.contains_key(id) { "audited" } else { "not audited" };
        let (name, note) = match snapshot.row_match(id) {
            RowMatch::Seen(observation) => (observation.name().unwrap_or_default(), String::new()),
            RowMatch::Duplicate(reason) | RowMatch::Uncertain(reason) => (String::new(), reason),
            RowMatch::Missing => (String::new(), String::new()),
        };
        rows.push(vec![id.to_string(), name, audited.to_owned(), note]);
    }
    for id in plan.sessions.keys().filter(|id| matches!(snapshot.row_match(id), RowMatch::Missing)) {
        rows.push(vec![id.to_string(), String::new(), String::from("audited"), NO_ROW.to_owned()]);
    }
    print(&table(&["ID", "NAME", "AUDITED", "NOTE"], &rows))?;
    Ok(Exit::Fine)
}
