//! The common part of `check` and `status`: the sessions as a table or as JSON, and the exit code that follows from them.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Exit;
use super::table::{escaped, markdown as markdown_table, table};
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::reading::visible;
use crate::view::finding::FindingView;
use crate::view::session::{SessionView, Staleness, Status, tally};
use crate::view::words::count;
use crate::view::{source, times};

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

/// The JSON of `check` and `status`, in the contract's form.
#[derive(Serialize)]
struct VerdictsDocument<'a, Session: Serialize, Present: Serialize> {
    /// When the command read the sessions.
    at: DateTime<Utc>,
    sessions: Vec<Session>,
    #[serde(flatten)]
    present: &'a Present,
}

/// The sessions as JSON, as they are at `now`, with the keys of `present`.
pub(super) fn json(views: &[SessionView<'_>], now: DateTime<Utc>, present: &impl Serialize) -> anyhow::Result<String> {
    let sessions = views.iter().map(|view| view.document(now)).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&VerdictsDocument { at: now, sessions, present })?))
}

/// The part that a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Every session and every finding.
    All,
    /// Every session, and the findings that apply.
    Sessions,
    /// Sessions and findings that are not compliant.
    Wrong,
}

impl Shown {
    fn session(self, view: &SessionView<'_>) -> bool {
        self != Self::Wrong || view.status != Status::Compliant
    }

    fn finding(self, finding: &FindingView) -> bool {
        match self {
            Self::All => true,
            Self::Sessions => finding.verdict != VerdictKind::NotApplicable,
            Self::Wrong => matches!(finding.verdict, VerdictKind::Drifted | VerdictKind::Unverifiable),
        }
    }
}

/// The sessions for a terminal, worst first: sources that cannot be read, a line for each session, a line for each finding, a
/// summary. With `age`, also how old each verdict is at that time.
pub(super) fn text(views: &[SessionView<'_>], shown: Shown, age: Option<DateTime<Utc>>) -> String {
    document(views, shown, age, str::to_owned, table)
}

/// The same as Markdown.
pub(super) fn markdown(views: &[SessionView<'_>], shown: Shown) -> String {
    document(views, shown, None, escaped, markdown_table)
}

/// The sessions as in [`text`]. `outside` makes outside text harmless; `table` makes a table of head and rows.
fn document(
    views: &[SessionView<'_>],
    shown: Shown,
    age: Option<DateTime<Utc>>,
    outside: fn(&str) -> String,
    table: fn(&[&str], &[Vec<String>]) -> String,
) -> String {
    let mut text = outside(&outages(views));
    let lines = lines(views, shown, age);
    let head = ["SESSION", "NAME / SETTING", "VERDICT", "AGE", "DETAIL", "SEVERITY"];
    let head = head.into_iter().filter(|column| age.is_some() || *column != "AGE").collect::<Vec<_>>();
    if !lines.is_empty() {
        text.push_str(&table(&head, &lines));
        text.push('\n');
    }
    text.push_str(&summary(views, shown, age));
    text
}

fn lines(views: &[SessionView<'_>], shown: Shown, age: Option<DateTime<Utc>>) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for view in views.iter().filter(|view| shown.session(view)) {
        // The sentence above the table names an outage.
        let reason = view.reason.as_deref().filter(|_| view.status != Status::Unreachable).unwrap_or_default();
        let name = view.name().unwrap_or_default();
        let mut line = vec![view.session.key.to_string(), name, view.status.label().to_owned()];
        line.extend(age.map(|now| aged(view, now)));
        line.extend([reason.to_owned(), String::new()]);
        lines.push(line);
        for finding in view.findings.iter().filter(|finding| shown.finding(finding)) {
            let (rule, setting) = (format!("  {}", finding.rule), finding.setting.to_string());
            let mut line = vec![rule, setting, finding.verdict.label().to_owned()];
            line.extend(age.map(|_| String::new()));
            line.extend([finding.detail(), finding.severity.label().to_owned()]);
            lines.push(line);
        }
    }
    lines
}

/// How many sessions have each status, how many are not shown, and how many verdicts are stale.
fn summary(views: &[SessionView<'_>], shown: Shown, age: Option<DateTime<Utc>>) -> String {
    let mut text = String::new();
    let counts = tally(views).map(|(status, sessions)| format!("{sessions} {}", status.label())).collect::<Vec<_>>();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let _ = writeln!(text, "{}: {counts}", count(views.len(), "session"));
    if shown == Shown::Wrong {
        text.push_str(&left_out(views));
    }
    let with = |wanted| views.iter().filter(|view| age.and_then(|now| view.staleness(now)) == Some(wanted)).count();
    for stale in [Staleness::Overdue, Staleness::Ahead] {
        let (sessions, why) = (with(stale), stale.words());
        let are = if sessions == 1 { "is" } else { "are" };
        if sessions > 0 {
            let sessions = count(sessions, "session");
            let _ = writeln!(text, "{sessions} {are} stale: the last verdict is {why}, so the present is unknown.");
        }
    }
    text
}

/// How many compliant sessions and findings are not shown.
fn left_out(views: &[SessionView<'_>]) -> String {
    let compliant = |finding: &&FindingView| finding.verdict == VerdictKind::Compliant;
    let findings = views.iter().flat_map(|view| &view.findings).filter(compliant).count();
    let sessions = views.iter().filter(|view| view.status == Status::Compliant).count();
    if findings == 0 {
        return String::new();
    }
    format!(
        "Not shown: {}, {}; --all shows them\n",
        count(sessions, "compliant session"),
        count(findings, "compliant finding")
    )
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
    let Some(at) = view.last_verdict else { return String::new() };
    match view.staleness(now) {
        None => times::ago(now - at),
        Some(Staleness::Overdue) => format!("{}, stale", times::ago(now - at)),
        Some(Staleness::Ahead) => format!("{} ahead, stale", times::ago(at - now)),
    }
}

/// The exit code. Drift of `fail_on` or worse comes before sessions that could not be checked or whose verdict is stale at `now`.
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
    use crate::metrics::polled_state::{PolledState, troubled};

    #[test]
    fn a_verdict_older_than_three_periods_is_stale_and_no_all_clear() {
        let stage = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &[("1", "one", "0", "5", "1")]);
        let published = stage.published();
        let (plans, known) = (published.plans(), published.state(&name("acme-erp")));
        let views = plans.values().flat_map(|plan| plan.sessions.values());
        let views = views.map(|session| SessionView::of(Some(&known), session)).collect::<Vec<_>>();
        let after = |minutes| start() + TimeDelta::minutes(minutes);
        let shown = |now| text(&views, Shown::All, Some(now)).contains("stale");
        assert_eq!((exit(&views, Severity::Info, after(15)), shown(after(15))), (Exit::Fine, false));
        let late = after(15) + TimeDelta::seconds(1);
        assert_eq!((exit(&views, Severity::Info, late), shown(late)), (Exit::Unverified, true));
        let document = |now| {
            let text = json(&views, now, &serde_json::json!({})).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        assert_eq!(document(after(15))["sessions"][0]["stale"], false);
        assert_eq!(document(late)["sessions"][0]["stale"], true);
        assert_eq!(document(late)["sessions"][0]["last_verdict"], "2026-11-23T09:00:00Z");
        assert_eq!(document(late)["sessions"][0]["age_seconds"], 901);
        assert_eq!(document(late)["at"], "2026-11-23T09:15:01Z");
    }

    #[test]
    fn a_verdict_from_the_future_is_stale_and_no_all_clear() {
        let stage = PolledState::new(&[("acme-erp", &["1"])]).returns("acme-erp", &[("1", "one", "0", "5", "1")]);
        let published = stage.published();
        let (plans, known) = (published.plans(), published.state(&name("acme-erp")));
        let views = plans.values().flat_map(|plan| plan.sessions.values());
        let views = views.map(|session| SessionView::of(Some(&known), session)).collect::<Vec<_>>();
        let near = start() - TimeDelta::minutes(1);
        assert_eq!(exit(&views, Severity::Info, near), Exit::Fine, "two clocks may differ");
        let behind = start() - TimeDelta::hours(3);
        assert_eq!(exit(&views, Severity::Info, behind), Exit::Unverified);
        let text = text(&views, Shown::All, Some(behind));
        assert!(text.contains("3 h ahead, stale") && text.contains("dated in the future"), "{text}");
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
            text(&views, Shown::Sessions, Some(start() + TimeDelta::hours(1)))
        });
        insta::assert_snapshot!(text);
    }
}
