//! What `check` and `status` have in common: the sessions as a table or as JSON, and the exit code that follows from them.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::Exit;
use super::table::table;
use crate::domain::delivery::DeliveryState;
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::reading::visible;
use crate::view::delivery::DeliveryView;
use crate::view::finding::FindingView;
use crate::view::session::{SessionView, Status, tally};
use crate::view::words::count;
use crate::view::{source, times};

/// How the verdicts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
    /// Not available yet
    Junit,
    /// Not available yet
    Markdown,
}

/// A severity on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SeverityArgument {
    Info,
    Warning,
    Critical,
}

impl From<SeverityArgument> for Severity {
    fn from(argument: SeverityArgument) -> Self {
        match argument {
            SeverityArgument::Info => Self::Info,
            SeverityArgument::Warning => Self::Warning,
            SeverityArgument::Critical => Self::Critical,
        }
    }
}

/// The sessions as JSON, in the contract's form; with the delivery of mail where that is known.
pub(super) fn json(
    views: &[SessionView<'_>],
    delivery: Option<&DeliveryState>,
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    let sessions = views.iter().map(|view| serde_json::to_value(view.document(now))).collect::<Result<Vec<_>, _>>()?;
    let mut document = json!({ "sessions": sessions });
    if let Some(state) = delivery {
        document["delivery"] = serde_json::to_value(DeliveryView(state).document())?;
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// The sessions for a terminal, worst first: sources that cannot be read, a line a session, a line for each of the `findings`
/// that are wanted, a summary. With `age`, also how old each verdict is at that time.
pub(super) fn text(
    views: &[SessionView<'_>],
    findings: impl Fn(&FindingView) -> bool,
    age: Option<DateTime<Utc>>,
) -> String {
    let mut text = outages(views);
    let mut lines = Vec::new();
    for view in views {
        // An outage stands above the table.
        let reason = view.reason.as_deref().filter(|_| view.status != Status::Unreachable).unwrap_or_default();
        let name = view.name().unwrap_or_default();
        let mut line = vec![view.session.key.to_string(), name, view.status.label().to_owned()];
        line.extend(age.map(|now| aged(view, now)));
        line.extend([reason.to_owned(), String::new()]);
        lines.push(line);
        for finding in view.findings.iter().filter(|finding| findings(finding)) {
            let (rule, setting) = (format!("  {}", finding.rule), finding.setting.to_string());
            let mut line = vec![rule, setting, finding.verdict.label().to_owned()];
            line.extend(age.map(|_| String::new()));
            line.extend([finding.detail(), finding.severity.label().to_owned()]);
            lines.push(line);
        }
    }
    let head = ["SESSION", "NAME / SETTING", "VERDICT", "AGE", "DETAIL", "SEVERITY"];
    let head = head.into_iter().filter(|column| age.is_some() || *column != "AGE").collect::<Vec<_>>();
    text.push_str(&table(&head, &lines));
    text.push('\n');
    let counts = tally(views).map(|(status, sessions)| format!("{sessions} {}", status.label())).collect::<Vec<_>>();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let _ = writeln!(text, "{}: {counts}", count(views.len(), "session"));
    text
}

/// A sentence for each source that could not be read, and an empty line after the last.
fn outages(views: &[SessionView<'_>]) -> String {
    let mut text = String::new();
    let unreachable = views.iter().filter(|view| view.status == Status::Unreachable);
    let mut sources = unreachable.collect::<Vec<_>>();
    sources.sort_by_key(|view| &view.session.key.source);
    sources.dedup_by_key(|view| &view.session.key.source);
    for view in &sources {
        let since = view.about.map(|incident| times::at(incident.window.first_bad, view.session.zone()));
        let reason = view.reason.as_deref().unwrap_or_default();
        let outage = source::outage(&view.session.key.source, since.as_deref(), reason);
        text.extend(outage.chars().map(visible).chain(['\n']));
    }
    if !sources.is_empty() {
        text.push('\n');
    }
    text
}

/// How old the last verdict is, and whether it is too old to rely on.
fn aged(view: &SessionView<'_>, now: DateTime<Utc>) -> String {
    let stale = if view.is_stale(now) { ", stale" } else { "" };
    view.age(now).map(|age| times::ago(age) + stale).unwrap_or_default()
}

/// Drift of `fail_on` or worse comes before sessions that could not be checked or whose verdict is stale at `now`.
pub(super) fn exit(views: &[SessionView<'_>], fail_on: Severity, now: DateTime<Utc>) -> Exit {
    let drifted = |finding: &FindingView| finding.verdict == VerdictKind::Drifted && finding.severity >= fail_on;
    let unseen = |view: &SessionView<'_>| {
        matches!(view.status, Status::Unreachable | Status::Missing | Status::Unverifiable | Status::Pending)
            || view.findings.iter().any(|finding| finding.verdict == VerdictKind::Unverifiable)
            || view.is_stale(now)
    };
    if views.iter().flat_map(|view| &view.findings).any(drifted) {
        Exit::Drift
    } else if views.iter().any(unseen) {
        Exit::Unverified
    } else {
        Exit::Fine
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::world::{name, start};
    use crate::metrics::stage::{Stage, troubled};

    #[test]
    fn a_verdict_older_than_three_periods_is_stale_and_no_all_clear() {
        let stage = Stage::new(&[("acme-erp", &["1"])]).answers("acme-erp", &[("1", "one", "0", "5", "1")]);
        let published = stage.published();
        let (plans, known) = (published.plans(), published.state(&name("acme-erp")));
        let views = plans.values().flat_map(|plan| plan.sessions.values());
        let views = views.map(|session| SessionView::of(Some(&known), session)).collect::<Vec<_>>();
        let after = |minutes| start() + TimeDelta::minutes(minutes);
        let shown = |now| text(&views, |_| true, Some(now)).contains("stale");
        assert_eq!((exit(&views, Severity::Info, after(15)), shown(after(15))), (Exit::Fine, false));
        let late = after(15) + TimeDelta::seconds(1);
        assert_eq!((exit(&views, Severity::Info, late), shown(late)), (Exit::Unverified, true));
        let document = |now| serde_json::from_str::<serde_json::Value>(&json(&views, None, now).unwrap()).unwrap();
        assert_eq!(document(after(15))["sessions"][0]["stale"], false);
        assert_eq!(document(late)["sessions"][0]["stale"], true);
        assert_eq!(document(late)["sessions"][0]["last_verdict"], "2026-11-23T09:00:00Z");
    }

    #[test]
    fn a_terminal_shows_the_worst_first_and_an_outage_once() {
        let published = troubled().published();
        let plans = published.plans();
        let text = published.read(|present| {
            let sessions = plans.values().flat_map(|plan| plan.sessions.values());
            let views = sessions.map(|session| SessionView::of(present.state(&session.key.source), session));
            let mut views = views.collect::<Vec<_>>();
            views.sort_by(|a, b| a.rank().cmp(&b.rank()));
            text(&views, |finding| finding.verdict != VerdictKind::NotApplicable, Some(start() + TimeDelta::hours(1)))
        });
        insta::assert_snapshot!(text);
    }
}
