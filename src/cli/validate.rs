//! `validate`: reads the configuration as `run` would; online, also asks the sources and the mail server in it.

use clap::Args;

use super::{Exit, Shared, print};
use crate::app::online::{self, ProbeOutcome};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::weaker::weaker_checks;
use crate::view::words::count;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Also ask each source and the mail server
    #[arg(long)]
    online: bool,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let config = shared.load()?;
    config.require_email()?;
    for warning in &config.warnings {
        print(&format!("warning: {warning}\n"))?;
    }
    for check in weaker_checks(&config.plans) {
        print(&format!("note: {check}\n"))?;
    }
    let sessions = config.plans.values().map(|plan| plan.sessions.len()).sum::<usize>();
    print(&format!(
        "The configuration is valid: {}, {}.\n",
        count(config.plans.len(), "source"),
        count(sessions, "session")
    ))?;
    if !arguments.online {
        return Ok(Exit::Fine);
    }
    let mut exit = Exit::Fine;
    for asked in online::ask_all(&config, SystemClock.now()).await?.results {
        let words = match asked.outcome {
            ProbeOutcome::Ready(words) => words,
            ProbeOutcome::Absent(words) => {
                exit = Exit::Unverified;
                format!("ABSENT: {words}")
            }
            ProbeOutcome::Failed(reason) => {
                exit = Exit::Unverified;
                format!("FAILED: {reason}")
            }
        };
        print(&format!("{}: {words}\n", asked.what))?;
    }
    Ok(exit)
}
