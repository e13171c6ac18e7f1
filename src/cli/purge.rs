//! `purge`: removes the data of a removed session, or of an address that the configuration no longer names.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use clap::Args;

use super::{Exit, Shared, UsageError, print, say, session_key};
use crate::config::{Config, NeededSecrets};
use crate::domain::address::Address;
use crate::store::{MASK, PurgeScope, Purged, Store};
use crate::view::words::{count, number};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Print what would be removed, and remove nothing; works while the daemon runs
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// A session that the configuration no longer audits
    #[arg(long, value_name = "SOURCE/ID")]
    session: Option<String>,
    /// A mail address that the configuration no longer names
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let scope = scope(&arguments.scope, &config)?;
    let store = &config.store.path;
    let counted = Store::read(store).await?.purgeable(&scope).await?;
    if arguments.dry_run {
        report("Would remove from", store, &scope, &counted)?;
    }
    if counted.audited {
        bail!(
            "the store still lists the session as audited: run the daemon once with this configuration, so that the incidents of the session end"
        );
    }
    if !arguments.dry_run {
        let owned = Store::open(store).await?;
        let purged = owned.purge(&scope).await?;
        owned.close().await;
        report("Removed from", store, &scope, &purged)?;
        if !purged.is_empty() {
            say("Backups and replaced stores still hold the data.");
        }
    }
    Ok(if counted.is_empty() { Exit::Unverified } else { Exit::Fine })
}

fn report(did: &str, store: &Path, scope: &PurgeScope, purged: &Purged) -> anyhow::Result<()> {
    let store = store.display();
    if purged.is_empty() {
        return print(&match scope {
            PurgeScope::Session(key) => format!("{store} has no data of the session {key}.\n"),
            PurgeScope::Address(address) => format!("{store} has no data of the address {address}.\n"),
        });
    }
    print(&format!("{did} {store}:\n{}", listed(purged)))
}

/// The scope of the purge; an error for data that the next poll would bring back.
fn scope(named: &Scope, config: &Config) -> Result<PurgeScope, UsageError> {
    if let Some(session) = &named.session {
        let key = session_key(session)?;
        if config.plans.get(&key.source).is_some_and(|plan| plan.sessions.contains_key(&key.id)) {
            return Err(UsageError(format!("the configuration audits {key}: remove the session from it first")));
        }
        return Ok(PurgeScope::Session(key));
    }
    let address =
        Address::parse(named.address.as_deref().unwrap_or_default()).map_err(|e| UsageError(e.to_string()))?;
    if config.names(&address) {
        return Err(UsageError(format!("the configuration names {address}: remove the address from it first")));
    }
    Ok(PurgeScope::Address(address))
}

fn listed(purged: &Purged) -> String {
    let mut text = String::new();
    let usize = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    for (what, rows) in &purged.removed {
        let _ = writeln!(text, "  {what}: {}", number(usize(*rows)));
    }
    for (what, rows) in &purged.masked {
        let _ = writeln!(text, "  {what}, with the address replaced by {MASK}: {}", number(usize(*rows)));
    }
    if purged.present > 0 {
        let rows = count(usize(purged.present), "row");
        let verb = if purged.present == 1 { "has" } else { "have" };
        let _ = writeln!(
            text,
            "{rows} of the present state {verb} the address, because OrderWise returns it. Change it there, and purge again."
        );
    }
    if purged.waiting > 0 {
        let _ = match usize(purged.waiting) {
            1 => writeln!(
                text,
                "1 notification that also names other sessions is waiting for delivery. Purge again when it has been sent."
            ),
            waiting => writeln!(
                text,
                "{} notifications that also name other sessions are waiting for delivery. Purge again when they have been sent.",
                number(waiting)
            ),
        };
    }
    text
}
