//! What `check` and `status` have in common: the sessions as a table or as JSON, and the exit code that follows from them.

use serde::{Serialize, Serializer};

use super::table::table;
use super::{Exit, count};
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::status::{Shown, Status};

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

/// One session as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub session: String,
    pub name: Option<String>,
    pub policy: String,
    pub status: &'static str,
    pub reason: Option<String>,
    pub findings: Vec<FindingRow>,
    #[serde(skip)]
    pub rank: Status,
}

/// One finding as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct FindingRow {
    pub rule: String,
    pub setting: String,
    #[serde(serialize_with = "verdict")]
    pub verdict: VerdictKind,
    pub severity: &'static str,
    pub expected: Option<String>,
    pub found: Option<String>,
    pub reason: Option<String>,
    #[serde(skip)]
    pub weight: Severity,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn verdict<S: Serializer>(verdict: &VerdictKind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(verdict.label())
}

impl From<Shown> for FindingRow {
    fn from(shown: Shown) -> Self {
        Self {
            rule: shown.rule,
            setting: shown.setting,
            verdict: shown.verdict,
            severity: shown.severity.label(),
            expected: shown.expected,
            found: shown.found,
            reason: shown.reason,
            weight: shown.severity,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    sessions: &'a [Row],
}

/// The rows as JSON, in the contract's form.
pub(super) fn json(rows: &[Row]) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&Document { sessions: rows })?))
}

/// The rows for a terminal, worst first: a line a session, a line a finding that is not compliance, a summary.
pub(super) fn text(rows: &[Row], findings: impl Fn(&FindingRow) -> bool) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let name = row.name.clone().unwrap_or_default();
        let reason = row.reason.clone().unwrap_or_default();
        lines.push(vec![row.session.clone(), name, row.status.to_owned(), reason, String::new()]);
        for finding in row.findings.iter().filter(|finding| findings(finding)) {
            let what = match (&finding.expected, &finding.found, &finding.reason) {
                (_, _, Some(reason)) => reason.clone(),
                (Some(expected), Some(found), None) if finding.verdict == VerdictKind::Drifted => {
                    format!("found {found}, expected {expected}")
                }
                (_, Some(found), None) => found.clone(),
                _ => String::new(),
            };
            let rule = format!("  {}", finding.rule);
            lines.push(vec![
                rule,
                finding.setting.clone(),
                finding.verdict.label().to_owned(),
                what,
                finding.severity.to_owned(),
            ]);
        }
    }
    let mut text = table(&["SESSION", "NAME / SETTING", "VERDICT", "DETAIL", "SEVERITY"], &lines);
    text.push('\n');
    text.push_str(&summary(rows));
    text
}

/// How many sessions there are of each status, worst first.
fn summary(rows: &[Row]) -> String {
    use Status::{Compliant, Drifted, Missing, Pending, Unreachable, Unverifiable};
    let counts = [Unreachable, Missing, Drifted, Unverifiable, Compliant, Pending].into_iter().filter_map(|status| {
        let sessions = rows.iter().filter(|row| row.rank == status).count();
        (sessions > 0).then(|| format!("{sessions} {}", status.label()))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    format!("{}: {}\n", count(rows.len(), "session"), if counts.is_empty() { "none" } else { &counts })
}

/// Drift of `fail_on` or worse beats what could not be seen, which beats all well.
pub(super) fn exit(rows: &[Row], fail_on: Severity) -> Exit {
    let drifted = |finding: &FindingRow| finding.verdict == VerdictKind::Drifted && finding.weight >= fail_on;
    let unseen = |row: &Row| {
        matches!(row.rank, Status::Unreachable | Status::Missing | Status::Unverifiable | Status::Pending)
            || row.findings.iter().any(|finding| finding.verdict == VerdictKind::Unverifiable)
    };
    if rows.iter().flat_map(|row| &row.findings).any(drifted) {
        Exit::Drift
    } else if rows.iter().any(unseen) {
        Exit::Unverified
    } else {
        Exit::Fine
    }
}
