//! `check`: polls every source once, or only the sessions named, and prints the findings.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::verdicts::{self, SeverityArgument, Shown};
use super::{Exit, Shared, UsageError, junit, print, say, session_key};
use crate::app::poll::{self, CheckedSession, NotifyResult, SessionOutcome, Wanted};
use crate::app::stored_states;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, NeededSecrets};
use crate::domain::evaluate::VerdictKind;
use crate::domain::session::SessionKey;
use crate::view::session::SessionView;
use crate::view::words::count;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Check only this session; can be repeated
    #[arg(long = "session", value_name = "SOURCE/ID")]
    sessions: Vec<String>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: CheckFormat,
    /// Print compliant sessions and findings too, as JSON and JUnit always do
    #[arg(long)]
    all: bool,
    /// The lowest severity of drift that makes the exit code 1
    #[arg(long, value_enum, default_value = "info")]
    fail_on: SeverityArgument,
    /// Record the findings and notify, as one audit of the daemon would
    #[arg(long)]
    notify: bool,
}

/// How the verdicts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum CheckFormat {
    #[default]
    Table,
    Json,
    /// For a CI server: a test suite for each session, a test case for each finding
    Junit,
    /// For a ticket or a chat
    Markdown,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let wanted = wanted(&arguments.sessions)?;
    let sources = wanted.as_ref().map(|wanted| wanted.iter().map(|key| key.source.clone()).collect());
    let config = shared.load_for(&NeededSecrets { sources, email: arguments.notify })?;
    if arguments.notify {
        config.require_email()?;
    }
    expect_audited(&config, &wanted)?;
    let states = stored_states(&config).await?;
    let now = SystemClock.now();
    let results = poll::ask(&config, &wanted, now).await?;
    let seen = poll::judge(&config, &wanted, &results, &states, now);
    let mut views = seen.iter().map(|seen| view(&config, seen, now)).collect::<Vec<_>>();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let notified = if arguments.notify {
        Some(poll::notify(config, &wanted, results, Arc::new(SystemClock)).await?)
    } else {
        None
    };
    let shown = if arguments.all { Shown::All } else { Shown::Wrong };
    let fail_on = arguments.fail_on.into();
    match arguments.format {
        CheckFormat::Json => print(&verdicts::json(&views, now, &())?)?,
        CheckFormat::Junit => print(&junit::document(&views, fail_on))?,
        CheckFormat::Markdown => print(&format!("{}\n{}", verdicts::markdown(&views, shown), coverage(&seen)))?,
        CheckFormat::Table => print(&format!("{}{}", verdicts::text(&views, shown, None), coverage(&seen)))?,
    }
    let exit = verdicts::exit(&views, fail_on, now);
    Ok(notified.map_or(exit, |notified| report(&notified, exit)))
}

/// The sessions named on the command line.
fn wanted(named: &[String]) -> Result<Wanted, UsageError> {
    let wanted = named.iter().map(|text| session_key(text)).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(Some(wanted).filter(|wanted| !wanted.is_empty()))
}

fn expect_audited(config: &Config, wanted: &Wanted) -> Result<(), UsageError> {
    let audited = |key: &SessionKey| config.plans.get(&key.source)?.sessions.get(&key.id);
    match wanted.iter().flatten().find(|key| audited(key).is_none()) {
        Some(key) => Err(UsageError(format!("the configuration does not audit the session {key}"))),
        None => Ok(()),
    }
}

fn view<'a>(config: &Config, seen: &'a CheckedSession, now: DateTime<Utc>) -> SessionView<'a> {
    let session = &seen.session;
    match &seen.what {
        SessionOutcome::Unreachable(reason) => SessionView::unreachable(session, reason),
        SessionOutcome::Missing => SessionView::missing(session),
        SessionOutcome::Judged { observation, findings, ambiguous } => {
            let mapping = config.plans.get(&session.key.source).map(|plan| &plan.mapping);
            SessionView::judged(session, mapping, observation.as_deref(), findings, ambiguous.as_deref(), now)
        }
    }
}

/// How many rules were checked and which could not be, so that exit code 0 shows how much it covers. Rules that do not apply are
/// counted apart.
fn coverage(seen: &[CheckedSession]) -> String {
    let (mut checked, mut total, mut apart, mut unchecked) = (0usize, 0usize, 0usize, Vec::new());
    for one in seen {
        let rules = one.session.policy.rules().len();
        match &one.what {
            SessionOutcome::Unreachable(_) | SessionOutcome::Missing => {
                total += rules;
                let all = if rules == 1 { "its only rule".to_owned() } else { format!("all {rules} rules") };
                unchecked.push(format!("{}: {all}", one.session.key));
            }
            SessionOutcome::Judged { findings, .. } => {
                let with = |verdict_label| {
                    let findings = findings.iter().filter(move |finding| finding.verdict.kind() == verdict_label);
                    findings.map(|finding| finding.rule.id.as_str()).collect::<BTreeSet<_>>()
                };
                let open = with(VerdictKind::Unverifiable);
                let out = &with(VerdictKind::NotApplicable) - &open;
                total += rules - out.len();
                checked += rules - out.len() - open.len();
                apart += out.len();
                if !open.is_empty() {
                    unchecked.push(format!("{}: {}", one.session.key, open.into_iter().collect::<Vec<_>>().join(", ")));
                }
            }
        }
    }
    let mut text = format!("{checked} of {} could be checked", count(total, "rule"));
    if apart > 0 {
        let _ = write!(text, "; {apart} more {} not apply", if apart == 1 { "does" } else { "do" });
    }
    text.push('\n');
    if !unchecked.is_empty() {
        text.push_str("Not checked:\n");
        for line in unchecked {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Reports notifications on standard error, so that standard output can still be piped.
fn report(notified: &NotifyResult, exit: Exit) -> Exit {
    let NotifyResult { notifications, round, errors } = notified;
    say(&format!(
        "{} recorded; {} sent, {} will be retried, {} dead",
        count(*notifications, "notification"),
        round.sent,
        round.retrying,
        round.dead
    ));
    for error in errors {
        say(&format!("driftwise: failed to record: {error}"));
    }
    if errors.is_empty() { exit } else { Exit::Failure }
}
