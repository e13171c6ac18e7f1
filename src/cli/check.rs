//! `check`: one poll at everything, or some, and every finding of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::verdicts::{self, FindingRow, Format, Row, SeverityArgument};
use super::{Exit, Shared, UsageError, count, print, say};
use crate::app::poll::{self, Notified, Seen, Wanted, What};
use crate::app::stored_states;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::evaluate::VerdictKind;
use crate::domain::evaluate::{Finding, Verdict};
use crate::domain::reading::Reading;
use crate::domain::session::{Session, SessionKey};
use crate::domain::status::{NEVER_RETURNED, Status};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Look at this session only; may be given several times
    #[arg(long = "session", value_name = "SOURCE/ID")]
    sessions: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The least severity of drift that makes the exit code 1
    #[arg(long, value_enum, default_value = "info")]
    fail_on: SeverityArgument,
    /// Record what was found and mail it, as one audit of the daemon would
    #[arg(long)]
    notify: bool,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    if matches!(arguments.format, Format::Junit | Format::Markdown) {
        return Err(UsageError(String::from("this output format is not available yet; use table or json")).into());
    }
    let config = shared.load()?;
    if arguments.notify {
        config.require_email()?;
    }
    let wanted = wanted(&config, &arguments.sessions)?;
    let states = stored_states(&config).await?;
    let now = SystemClock.now();
    let answers = poll::ask(&config, &wanted, now).await?;
    let seen = poll::judge(&config, &wanted, &answers, &states, now);
    let mut rows = seen.iter().map(|seen| row(&config, seen)).collect::<Vec<_>>();
    rows.sort_by_key(|row| row.rank);
    let notified = if arguments.notify {
        Some(poll::notify(config, &wanted, answers, Arc::new(SystemClock)).await?)
    } else {
        None
    };
    match arguments.format {
        Format::Json => print(&verdicts::json(&rows)?)?,
        _ => print(&format!("{}{}", verdicts::text(&rows, |_| true), coverage(&seen)))?,
    }
    let exit = verdicts::exit(&rows, arguments.fail_on.into());
    Ok(notified.map_or(exit, |notified| told(&notified, exit)))
}

/// The sessions named on the command line, each of which must be audited.
fn wanted(config: &Config, named: &[String]) -> Result<Wanted, UsageError> {
    if named.is_empty() {
        return Ok(None);
    }
    let mut wanted = BTreeSet::new();
    for text in named {
        let key = SessionKey::parse(text).ok_or_else(|| {
            UsageError(format!("{text:?} does not name a session; a session is named SOURCE/ID, as in acme-erp/14"))
        })?;
        let audited = config.plans.get(&key.source).is_some_and(|plan| plan.sessions.contains_key(&key.id));
        if !audited {
            return Err(UsageError(format!("the configuration does not audit a session {key}")));
        }
        wanted.insert(key);
    }
    Ok(Some(wanted))
}

fn row(config: &Config, seen: &Seen) -> Row {
    let session = &seen.session;
    let (rank, reason, observation, findings) = match &seen.what {
        What::Unreachable(reason) => (Status::Unreachable, Some(reason.clone()), None, &[][..]),
        What::Missing => {
            let reason = String::from("the source returned other sessions, but no row for this one");
            (Status::Missing, Some(reason), None, &[][..])
        }
        What::Judged { observation, findings, ambiguous } => {
            (rank(findings), ambiguous.clone(), observation.as_ref(), findings.as_slice())
        }
    };
    let reason = reason.or_else(|| (rank == Status::Unverifiable).then(|| unverified(findings)));
    let show = |finding: &Finding| shown(config, session, finding, observation.map(|seen| &**seen));
    Row {
        session: session.key.to_string(),
        name: session.name.clone().or_else(|| observation.and_then(|seen| seen.name())),
        policy: session.policy.name.to_string(),
        status: rank.label(),
        reason,
        findings: findings.iter().map(show).collect(),
        rank,
    }
}

fn rank(findings: &[Finding]) -> Status {
    match findings.iter().map(|finding| finding.verdict.kind()).min() {
        Some(VerdictKind::Drifted) => Status::Drifted,
        Some(VerdictKind::Unverifiable) => Status::Unverifiable,
        Some(VerdictKind::NotApplicable | VerdictKind::Compliant) | None => Status::Compliant,
    }
}

fn unverified(findings: &[Finding]) -> String {
    let reasons = findings.iter().filter_map(|finding| match &finding.verdict {
        Verdict::Unverifiable { reason } => Some(format!("{}: {reason}", finding.setting)),
        _ => None,
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn shown(
    config: &Config,
    session: &Session,
    finding: &Finding,
    observation: Option<&crate::domain::observation::Observation>,
) -> FindingRow {
    let (expected, found, reason) = match &finding.verdict {
        Verdict::Drifted { expected, found } => (Some(expected.clone()), Some(found.clone()), None),
        Verdict::Unverifiable { reason } => (Some(expected(session, finding)), None, Some(reason.clone())),
        Verdict::NotApplicable => (Some(expected(session, finding)), None, Some(String::from(NEVER_RETURNED))),
        Verdict::Compliant => {
            let mapping = config.plans.get(&session.key.source).map(|plan| &plan.mapping);
            let found = mapping.zip(observation).and_then(|(mapping, seen)| {
                let kind = finding.rule.expect.kind().unwrap_or_else(|| mapping.kind(&finding.setting));
                match seen.reading(&finding.setting, mapping, kind, session.zone()) {
                    Reading::Value(value) => Some(value.to_string()),
                    Reading::Missing | Reading::Unreadable(_) => None,
                }
            });
            (Some(expected(session, finding)), found, None)
        }
    };
    FindingRow {
        rule: finding.rule.id.to_string(),
        setting: finding.setting.to_string(),
        verdict: finding.verdict.kind(),
        severity: finding.rule.severity.label(),
        expected,
        found,
        reason,
        weight: finding.rule.severity,
    }
}

fn expected(session: &Session, finding: &Finding) -> String {
    finding.rule.expect.describe(&session.params).into_owned()
}

/// How many rules could be checked and which could not: a green light says how much of the road it has seen. What does not
/// apply is not part of the road.
fn coverage(seen: &[Seen]) -> String {
    let (mut checked, mut total, mut apart, mut unchecked) = (0usize, 0usize, 0usize, Vec::new());
    for one in seen {
        let rules = one.session.policy.rules().len();
        match &one.what {
            What::Unreachable(_) | What::Missing => {
                total += rules;
                unchecked.push(format!("{}: all {rules} rules", one.session.key));
            }
            What::Judged { findings, .. } => {
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

/// Says what was mailed, on standard error, so that what was asked for can still be piped.
fn told(notified: &Notified, exit: Exit) -> Exit {
    let Notified { messages, round, errors } = notified;
    say(&format!(
        "{} recorded; {} sent, {} to be tried again, {} dead",
        count(*messages, "message"),
        round.sent,
        round.retrying,
        round.dead
    ));
    for error in errors {
        say(&format!("driftwise: an audit could not be recorded: {error}"));
    }
    if errors.is_empty() { exit } else { Exit::Failure }
}
