//! `doctor`: checks everything that the daemon needs, and says what to do about each finding. Changes nothing and sends no mail.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::output::Format;
use super::table::table;
use super::{Exit, Shared, print};
use crate::app::online::{self, ProbeOutcome, Probed};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, NeededSecrets, Problem, Problems};
use crate::view::words::count;

mod credentials;
mod files;
mod incidents;
mod store;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// Works now, and may fail later.
    Warning,
    /// Needs an act.
    Problem,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
struct Check {
    #[serde(rename = "check")]
    kind: &'static str,
    /// The source, file or address that was checked.
    subject: Option<String>,
    result: Outcome,
    found: String,
    /// What to do.
    act: Option<String>,
}

impl Check {
    fn new(kind: &'static str, result: Outcome, found: impl Into<String>) -> Self {
        Self { kind, subject: None, result, found: found.into(), act: None }
    }

    fn ok(kind: &'static str, found: impl Into<String>) -> Self {
        Self::new(kind, Outcome::Ok, found)
    }

    fn warning(kind: &'static str, found: impl Into<String>, act: impl Into<String>) -> Self {
        Self { act: Some(act.into()), ..Self::new(kind, Outcome::Warning, found) }
    }

    fn problem(kind: &'static str, found: impl Into<String>, act: impl Into<String>) -> Self {
        Self { act: Some(act.into()), ..Self::new(kind, Outcome::Problem, found) }
    }

    fn of(self, subject: &(impl ToString + ?Sized)) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    fn name(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{} {subject}", self.kind),
            None => self.kind.to_owned(),
        }
    }
}

/// The document of `--format json`.
#[derive(Serialize)]
struct Report<'a> {
    /// No check needs an act.
    healthy: bool,
    checks: &'a [Check],
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let mut checks = Vec::new();
    let loaded = shared.load().and_then(|config| {
        config.require_email()?;
        Ok(config)
    });
    let (usable, config) = match loaded {
        Ok(config) => (true, Some(config)),
        Err(problems) => {
            checks.extend(configuration(&problems));
            // The store can be checked without the secrets.
            (false, shared.load_for(&NeededSecrets::NONE).ok())
        }
    };
    if let Some(config) = &config {
        if usable {
            let sessions = config.plans.values().map(|plan| plan.sessions.len()).sum::<usize>();
            let found = format!("{}, {}", count(config.plans.len(), "source"), count(sessions, "session"));
            checks.push(Check::ok("config", found));
        }
        let warning = |problem: &Problem| Check::warning("config", problem.line(), "edit the file");
        checks.extend(config.warnings.iter().map(warning));
        checks.extend(files::secrets(config));
        checks.extend(store::checks(config, SystemClock.now()).await);
    }
    if let Some(config) = config.as_ref().filter(|_| usable) {
        checks.extend(outside(config).await?);
    }
    let healthy = checks.iter().all(|check| check.result != Outcome::Problem);
    match arguments.format {
        Format::Table => print(&text(&checks))?,
        Format::Json => {
            let report = Report { healthy, checks: &checks };
            print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
        }
    }
    Ok(match (usable, healthy) {
        (false, _) => Exit::Usage,
        (true, false) => Exit::Unverified,
        (true, true) => Exit::Fine,
    })
}

fn configuration(problems: &Problems) -> Vec<Check> {
    let problem = |problem: &Problem| Check::problem("config", problem.line(), "edit the file");
    problems.iter().map(problem).collect()
}

/// Polls each source, compares its clock, signs in at the mail server, and lists the ends of credentials.
async fn outside(config: &Config) -> anyhow::Result<Vec<Check>> {
    let now = SystemClock.now();
    let Probed { results, credentials } = online::ask_all(config, now).await?;
    let asked = results.into_iter().map(|asked| match asked.outcome {
        ProbeOutcome::Ready(words) => Check::ok("connection", words).of(&asked.what),
        ProbeOutcome::Absent(words) => {
            let act = "restore the session in OrderWise, let the export definition return it, or remove it from the configuration";
            Check::problem("connection", words, act).of(&asked.what)
        }
        ProbeOutcome::Failed(reason) => {
            Check::problem("connection", reason, "correct the cause; `driftwise validate --online` tries it alone")
                .of(&asked.what)
        }
    });
    let clocks = online::clocks(config, &SystemClock)
        .await?
        .into_iter()
        .map(|(source, lead)| clock(lead.num_seconds()).of(&format!("source {source}")));
    Ok(asked.chain(clocks).chain(credentials::checks(&credentials, now)).collect())
}

/// `lead`: how many seconds the clock of a source is ahead.
fn clock(lead: i64) -> Check {
    /// Tokens live for minutes, and times in mails are shown to the minute.
    const NOTICEABLE: u64 = 30;
    let act = "set both clocks by NTP; times in mails and the ages of tokens go by them";
    let apart = lead.unsigned_abs();
    match lead {
        _ if apart <= NOTICEABLE => Check::ok("clock", "agrees with this machine"),
        1.. => Check::warning("clock", format!("is {apart} s ahead of this machine"), act),
        _ => Check::warning("clock", format!("is {apart} s behind this machine"), act),
    }
}

fn text(checks: &[Check]) -> String {
    let row = |check: &Check| {
        let result = match check.result {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem => "PROBLEM",
        };
        vec![result.to_owned(), check.name(), check.found.clone()]
    };
    let mut text = table(&["RESULT", "CHECK", "FOUND"], &checks.iter().map(row).collect::<Vec<_>>());
    let acts = checks.iter().filter_map(|check| Some((check, check.act.as_ref()?))).collect::<Vec<_>>();
    if !acts.is_empty() {
        text.push_str("\nWhat to do:\n");
    }
    for (check, act) in acts {
        let _ = writeln!(text, "  {}: {act}", check.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_reported_from_half_a_minute_on() {
        for (lead, expected) in [
            (0, "agrees with this machine"),
            (-30, "agrees with this machine"),
            (31, "is 31 s ahead of this machine"),
            (-3600, "is 3600 s behind this machine"),
        ] {
            assert_eq!(clock(lead).found, expected);
        }
    }
}
