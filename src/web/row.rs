//! One session on the status page, in a row.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::overview::ListedSession;
use super::when::When;
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::engine::published::Present;
use crate::view::session::{SessionView, Staleness, Status};
use crate::view::times;
use crate::view::words::{Mood, capital, cut};

/// Most findings in one row; the page of the session has all.
const WRONG_IN_A_ROW: usize = 3;

/// Longest value in a row, in characters.
const VALUE: usize = 160;

/// Longest name in a row, in characters.
const NAME: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct SessionRow {
    name: Option<String>,
    key: String,
    link: String,
    status: &'static str,
    mood: Mood,
    last_seen_as: Option<&'static str>,
    customer: Option<String>,
    severity: Option<&'static str>,
    since: Option<When>,
    before_first_poll: bool,
    /// Orders may have stopped.
    orders: bool,
    wrong: Vec<String>,
    more: usize,
    last: Option<When>,
    /// Why the last check is not reliable.
    stale: Option<&'static str>,
    next: Option<When>,
}

pub(super) fn row(listed: &ListedSession<'_>, present: &Present, now: DateTime<Utc>) -> SessionRow {
    let (view, session) = (&listed.view, listed.view.session);
    let often = session.schedule.gap_after(now) < times::SHORT;
    let when = |at: DateTime<Utc>| When::beside(at, now, session.zone(), often);
    let mut wrong = wrong(view);
    let more = wrong.len().saturating_sub(WRONG_IN_A_ROW);
    wrong.truncate(WRONG_IN_A_ROW);
    // The notice above the rows says since when a source cannot be read.
    let about = view.about.filter(|_| view.status != Status::Unreachable);
    SessionRow {
        name: view.name().map(|name| cut(&name, NAME)),
        link: session.key.page(),
        key: session.key.to_string(),
        status: view.status.words(),
        mood: view.status.mood(),
        last_seen_as: view.when_last_seen(),
        customer: session.contacts.customer.as_ref().map(ToString::to_string),
        severity: view.severity().map(Severity::label),
        since: about.map(|incident| when(incident.window.first_bad).with_age(now)),
        before_first_poll: about.is_some_and(|incident| incident.window.last_good.is_none()),
        orders: view.may_stop_orders(),
        wrong,
        more,
        last: view.last_verdict.map(when),
        stale: listed.stale.map(|why| match why {
            Staleness::Overdue => "overdue",
            Staleness::Ahead => "dated in the future",
        }),
        next: present.next_audits.get(&(session.key.source.clone(), session.schedule.key())).copied().map(when),
    }
}

/// The findings, most severe first, a line each. An outage of the source is only in the notice above the rows.
fn wrong(view: &SessionView<'_>) -> Vec<String> {
    let missing = view.reason.as_deref().filter(|_| view.status == Status::Missing).map(capital);
    let mut findings = view.findings.iter().collect::<Vec<_>>();
    findings.sort_by_key(|finding| (finding.verdict != VerdictKind::Drifted, Reverse(finding.severity)));
    let lines = findings.into_iter().filter_map(|finding| finding.line(VALUE));
    missing.into_iter().chain(lines).collect()
}
