//! The status page: how things stand in one sentence, then every session, worst first.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Web;
use super::words::{self, Mood, When};
use crate::domain::catalogue;
use crate::domain::evaluate::VerdictKind;
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::route;
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::state::{SessionState, SourceState};
use crate::domain::status::{SessionStatus, Shown, Status, status};
use crate::engine::published::{Plans, Present};

/// Sessions on one page: more than most people have, and small enough for any browser.
const ON_A_PAGE: usize = 500;

/// IncidentKeys that are wrong in one row, before the session's own page has to tell the rest.
const WRONG_IN_A_ROW: usize = 3;

/// Longest value in a row, in characters.
const VALUE: usize = 160;

/// Longest search, in characters.
const SEARCH: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    page: String,
}

/// What the template shows.
#[derive(Debug, Serialize)]
struct Overview {
    headline: String,
    mood: Mood,
    remarks: Vec<String>,
    tally: Vec<Tally>,
    sessions: usize,
    rows: Vec<Row>,
    search: String,
    /// Where not all are on the page: which ones are.
    excerpt: Option<String>,
    previous: Option<String>,
    next: Option<String>,
}

/// How many sessions are in one status.
#[derive(Debug, Serialize)]
struct Tally {
    count: String,
    words: &'static str,
    mood: Mood,
}

#[derive(Debug, Serialize)]
struct Row {
    name: Option<String>,
    key: String,
    link: String,
    status: &'static str,
    mood: Mood,
    last_seen_as: Option<&'static str>,
    since: Option<When>,
    before_first_poll: bool,
    wrong: Vec<String>,
    more: usize,
    last: Option<When>,
    next: Option<When>,
}

pub(super) async fn show(State(web): State<Arc<Web>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let overview = web.published.read(|present| overview(web.published.plans(), present, &asked));
    web.pages.render(StatusCode::OK, "overview.html", overview)
}

/// One session with what is known of it.
struct Entry<'a> {
    session: &'a Session,
    state: Option<&'a SourceState>,
    known: Option<&'a SessionState>,
    shown: SessionStatus,
}

impl Entry<'_> {
    fn name(&self) -> Option<String> {
        let seen = || self.known.and_then(|known| known.observation.as_ref()?.name());
        self.session.name.clone().or_else(seen)
    }

    /// Worst first, then as people count.
    fn rank(&self) -> impl Ord + use<'_> {
        let severity =
            self.shown.findings.iter().filter(|f| f.verdict == VerdictKind::Drifted).map(|f| f.severity).max();
        let key = &self.session.key;
        let number = key.id.as_str().parse::<i128>().unwrap_or(i128::MAX);
        (self.shown.status, Reverse(severity), &key.source, number, &key.id)
    }

    fn has(&self, search: &str) -> bool {
        let customer = self.session.contacts.customer.as_ref().map_or("", |name| name.as_str());
        let words = [self.session.policy.name.as_str(), customer, words::status(self.shown.status)];
        let labels = self.session.labels.values().map(String::as_str);
        self.session.key.to_string().to_lowercase().contains(search)
            || self.name().is_some_and(|name| name.to_lowercase().contains(search))
            || words.into_iter().chain(labels).any(|word| word.to_lowercase().contains(search))
    }
}

fn overview<'a>(plans: &'a Plans, present: &'a Present, asked: &Asked) -> Overview {
    let blank = SourceState::default();
    let entry = |session: &'a Session| {
        let state = present.state(&session.key.source);
        let known = state.and_then(|state| state.sessions.get(&session.key.id));
        Entry { session, state, known, shown: status(state.unwrap_or(&blank), session) }
    };
    let mut entries = plans.values().flat_map(|plan| plan.sessions.values()).map(entry).collect::<Vec<_>>();
    let (headline, mood) = headline(&entries);
    let (tally, sessions) = (tally(&entries), entries.len());
    let search = words::cut(asked.q.trim(), SEARCH);
    if !search.is_empty() {
        let lower = search.to_lowercase();
        entries.retain(|entry| entry.has(&lower));
    }
    entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let pages = entries.len().div_ceil(ON_A_PAGE).max(1);
    let page = asked.page.parse::<usize>().unwrap_or(1).clamp(1, pages);
    let start = (page - 1) * ON_A_PAGE;
    let rows = entries.iter().skip(start).take(ON_A_PAGE).map(|entry| row(entry, present)).collect::<Vec<_>>();
    let link = |page: usize| format!("/?page={page}&q={}", route::encoded(&search));
    Overview {
        headline,
        mood,
        remarks: remarks(plans, present),
        tally,
        sessions,
        excerpt: excerpt(start, rows.len(), entries.len(), &search),
        rows,
        previous: (page > 1).then(|| link(page - 1)),
        next: (page < pages).then(|| link(page + 1)),
        search,
    }
}

fn excerpt(start: usize, shown: usize, of: usize, search: &str) -> Option<String> {
    let whole = shown == of;
    match (whole, search.is_empty()) {
        (true, true) => None,
        (true, false) if of == 0 => Some("No session matches the search.".to_owned()),
        (true, false) => Some(format!("{} found.", words::sessions(of))),
        (false, _) => Some(format!(
            "{} to {} of {}, worst first.",
            words::number(start + 1),
            words::number(start + shown),
            words::sessions(of)
        )),
    }
}

fn count(entries: &[Entry<'_>], wanted: &[Status]) -> usize {
    entries.iter().filter(|entry| wanted.contains(&entry.shown.status)).count()
}

/// How things stand, in one sentence.
fn headline(entries: &[Entry<'_>]) -> (String, Mood) {
    let all = entries.len();
    let wrong = count(entries, &[Status::Drifted, Status::Missing]);
    let unclear = count(entries, &[Status::Unreachable, Status::Unverifiable]);
    let pending = count(entries, &[Status::Pending]);
    let be = |count: usize| if count == 1 { "is" } else { "are" };
    let of = format!("of {}", words::sessions(all));
    match (wrong, unclear) {
        _ if all == 0 => ("Nothing is audited yet".to_owned(), Mood::Quiet),
        (0, 0) if pending == all => ("No session has been polled at yet".to_owned(), Mood::Quiet),
        (0, 0) if all == 1 => ("The session is as it should be".to_owned(), Mood::Good),
        (0, 0) if pending == 0 => (format!("All {} are as they should be", words::sessions(all)), Mood::Good),
        (0, 0) => {
            let seen = all - pending;
            let words = format!(
                "{} {of} {} as it should be; the rest has not been polled at yet",
                words::number(seen),
                be(seen)
            );
            (words, Mood::Good)
        }
        (0, unclear) => (format!("{} {of} could not be checked", words::number(unclear)), Mood::Unclear),
        (wrong, 0) => (not_right(wrong, &of), Mood::Bad),
        (wrong, unclear) => {
            (format!("{}, and {} could not be checked", not_right(wrong, &of), words::number(unclear)), Mood::Bad)
        }
    }
}

fn not_right(wrong: usize, of: &str) -> String {
    let tail = if wrong == 1 { "is not as it should be" } else { "are not as they should be" };
    format!("{} {of} {tail}", words::number(wrong))
}

/// A sentence for each source that cannot be read.
fn remarks(plans: &Plans, present: &Present) -> Vec<String> {
    let remark = |(name, state): (&Name, &Arc<SourceState>)| {
        let incident = state.unreachable.as_ref().filter(|incident| incident.is_open())?;
        let since = words::moment(incident.window.first_bad, plans.get(name)?.contacts.zone);
        let reason = words::cut(&incident.facts.reason, 300);
        Some(format!("{name} could not be checked since {since}: {reason}. Driftwise keeps trying."))
    };
    present.states.iter().filter_map(remark).collect()
}

fn tally(entries: &[Entry<'_>]) -> Vec<Tally> {
    let all = [
        Status::Unreachable,
        Status::Missing,
        Status::Drifted,
        Status::Unverifiable,
        Status::Compliant,
        Status::Pending,
    ];
    let tally = |status| {
        let count = count(entries, &[status]);
        (count > 0).then(|| Tally {
            count: words::number(count),
            words: words::status(status),
            mood: words::mood(status),
        })
    };
    all.into_iter().filter_map(tally).collect()
}

fn row(entry: &Entry<'_>, present: &Present) -> Row {
    let zone = entry.session.zone();
    let key = entry.session.key.to_string();
    let when = |at: DateTime<Utc>| When::new(at, zone);
    let first = wrong_since(entry);
    let mut wrong = wrong(entry);
    let more = wrong.len().saturating_sub(WRONG_IN_A_ROW);
    wrong.truncate(WRONG_IN_A_ROW);
    let schedule_key = (entry.session.key.source.clone(), entry.session.schedule.key());
    Row {
        name: entry.name().map(|name| words::cut(&name, VALUE)),
        link: words::link(&entry.session.key),
        key,
        status: words::status(entry.shown.status),
        mood: words::mood(entry.shown.status),
        last_seen_as: words::when_last_seen(&entry.shown),
        since: first.map(|incident| when(incident.window.first_bad)),
        before_first_poll: first.is_some_and(|incident| incident.window.last_good.is_none()),
        wrong,
        more,
        last: entry.state.zip(entry.known).and_then(|(state, known)| state.last_verdict(known)).map(when),
        next: present.next_audits.get(&schedule_key).copied().map(when),
    }
}

/// The incident that the status is about, or the oldest of them.
fn wrong_since<'a>(entry: &Entry<'a>) -> Option<&'a Incident> {
    let open = |kind| entry.known.into_iter().flat_map(move |known| known.open(kind));
    let oldest = |kind| open(kind).min_by_key(|incident| incident.window.first_bad);
    match entry.shown.status {
        Status::Unreachable => entry.state?.unreachable.as_ref(),
        Status::Missing => oldest(IncidentKind::Missing),
        Status::Drifted => oldest(IncidentKind::Drift),
        Status::Unverifiable => oldest(IncidentKind::Unverifiable),
        Status::Compliant | Status::Pending => None,
    }
}

/// What is wrong, most severe first, each in a line.
fn wrong(entry: &Entry<'_>) -> Vec<String> {
    let whole = match entry.shown.status {
        Status::Unreachable => Some(format!("{} could not be read", entry.session.key.source)),
        Status::Missing => entry.shown.reason.as_deref().map(words::capital),
        _ => None,
    };
    let mut findings = entry.shown.findings.iter().collect::<Vec<_>>();
    findings.sort_by_key(|finding| (finding.verdict != VerdictKind::Drifted, Reverse::<Severity>(finding.severity)));
    whole.into_iter().chain(findings.into_iter().filter_map(line)).collect()
}

fn line(finding: &Shown) -> Option<String> {
    let label = catalogue::label(&SettingKey::new(&finding.setting));
    let cut = |text: &Option<String>| words::cut(text.as_deref().unwrap_or_default(), VALUE);
    match finding.verdict {
        VerdictKind::Drifted => Some(format!("{label}: {}; should be {}", cut(&finding.found), cut(&finding.expected))),
        VerdictKind::Unverifiable => Some(format!("{label} could not be checked: {}", cut(&finding.reason))),
        VerdictKind::NotApplicable | VerdictKind::Compliant => None,
    }
}
