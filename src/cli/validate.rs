//! `validate`: reads the configuration as `run` would; online, also asks what it names.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;

use super::{Exit, Shared, print};
use crate::app::online::{self, Outcome};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::expectation::Operand;
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
    let sessions = config.plans.values().map(|plan| plan.sessions.len()).sum::<usize>();
    print(&format!(
        "The configuration is valid: {}, {}.\n",
        count(config.plans.len(), "source"),
        count(sessions, "session")
    ))?;
    print(&weaker_checks(&config))?;
    if !arguments.online {
        return Ok(Exit::Fine);
    }
    let (mut absent, mut failed) = (false, false);
    for asked in online::ask_all(&config, SystemClock.now()).await? {
        let words = match asked.outcome {
            Outcome::Fine(words) => words,
            Outcome::Absent(words) => {
                absent = true;
                format!("ABSENT: {words}")
            }
            Outcome::Failed(reason) => {
                failed = true;
                format!("FAILED: {reason}")
            }
        };
        print(&format!("{}: {words}\n", asked.what))?;
    }
    Ok(match (absent, failed) {
        (true, _) => Exit::Drift,
        (false, true) => Exit::Unverified,
        (false, false) => Exit::Fine,
    })
}

/// A line for each param that sessions leave out although a rule of their policy can compare with it: without the param, the
/// rule accepts any usable value.
fn weaker_checks(config: &Config) -> String {
    /// Sessions that are named for one param.
    const NAMED: usize = 5;
    let mut left_out: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for session in config.plans.values().flat_map(|plan| plan.sessions.values()) {
        for rule in session.policy.rules() {
            for operand in rule.expect.operands() {
                let Operand::Param { name, or_present: true } = operand else { continue };
                if !session.params.contains_key(name) {
                    let key = (Reverse(rule.severity), name, &session.policy.name, &rule.id);
                    left_out.entry(key).or_default().push(session.key.to_string());
                }
            }
        }
    }
    let mut text = String::new();
    for ((Reverse(severity), param, policy, rule), sessions) in left_out {
        let named = sessions.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = sessions.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(
            text,
            "Weaker check: without the param {param}, rule {rule} ({}) of policy {policy} accepts any usable value: {named}{more}",
            severity.label()
        );
    }
    text
}
