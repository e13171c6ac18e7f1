//! `check`: polls every source once, or only the sessions named, and prints every finding.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::verdicts::{self, Format, SeverityArgument};
use super::{Exit, Shared, UsageError, print, say};
use crate::app::poll::{self, Notified, Seen, Wanted, What};
use crate::app::stored_states;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::evaluate::VerdictKind;
use crate::domain::session::SessionKey;
use crate::view::session::SessionView;
use crate::view::words::count;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Check this session only; may be given several times
    #[arg(long = "session", value_name = "SOURCE/ID")]
    sessions: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The least severity of drift that makes the exit code 1
    #[arg(long, value_enum, default_value = "info")]
    fail_on: SeverityArgument,
    /// Record what was found and notify, as one audit of the daemon would
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
    let mut views = seen.iter().map(|seen| view(&config, seen, now)).collect::<Vec<_>>();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let notified = if arguments.notify {
        Some(poll::notify(config, &wanted, answers, Arc::new(SystemClock)).await?)
    } else {
        None
    };
    match arguments.format {
        Format::Json => print(&verdicts::json(&views, None, now)?)?,
        _ => print(&format!("{}{}", verdicts::text(&views, |_| true, None), coverage(&seen)))?,
    }
    let exit = verdicts::exit(&views, arguments.fail_on.into(), now);
    Ok(notified.map_or(exit, |notified| report(&notified, exit)))
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

fn view<'a>(config: &Config, seen: &'a Seen, now: DateTime<Utc>) -> SessionView<'a> {
    let session = &seen.session;
    match &seen.what {
        What::Unreachable(reason) => SessionView::unreachable(session, reason),
        What::Missing => SessionView::missing(session),
        What::Judged { observation, findings, ambiguous } => {
            let mapping = config.plans.get(&session.key.source).map(|plan| &plan.mapping);
            SessionView::judged(session, mapping, observation.as_deref(), findings, ambiguous.as_deref(), now)
        }
    }
}

/// How many rules could be checked and which could not, so that exit code 0 says how much it covers. Rules that do not apply
/// are counted apart.
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

/// Reports notifications on standard error, so that standard output can still be piped.
fn report(notified: &Notified, exit: Exit) -> Exit {
    let Notified { notifications, round, errors } = notified;
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
