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
use super::when::When;
use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::session::url_piece;
use crate::engine::published::{Plans, Present};
use crate::view::delivery::DeliveryView;
use crate::view::session::{SessionView, Status, tally};
use crate::view::source::SourceView;
use crate::view::times;
use crate::view::words::{Mood, capital, count, cut, number};

/// Sessions on one page: more than most people have, and small enough for any browser.
const ON_A_PAGE: usize = 500;

/// Incidents that are named in one row, before the session's own page has to tell the rest.
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
    customer: Option<String>,
    /// Of the worst drift.
    severity: Option<&'static str>,
    since: Option<When>,
    before_first_poll: bool,
    wrong: Vec<String>,
    more: usize,
    last: Option<When>,
    /// The last check is older than three periods of its schedule.
    stale: bool,
    next: Option<When>,
}

pub(super) async fn show(State(web): State<Arc<Web>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let now = web.clock.now();
    let overview = web.published.read(|present| overview(&web.published.plans(), present, &asked, now));
    web.pages.render(StatusCode::OK, "overview.html", overview)
}

fn has(view: &SessionView<'_>, search: &str) -> bool {
    let customer = view.session.contacts.customer.as_ref().map_or("", |name| name.as_str());
    let words = [view.session.policy.name.as_str(), customer, view.status.words()];
    let labels = view.session.labels.values().map(String::as_str);
    view.session.key.to_string().to_lowercase().contains(search)
        || view.name().is_some_and(|name| name.to_lowercase().contains(search))
        || words.into_iter().chain(labels).any(|word| word.to_lowercase().contains(search))
}

fn overview(plans: &Plans, present: &Present, asked: &Asked, now: DateTime<Utc>) -> Overview {
    let sessions = plans.values().flat_map(|plan| plan.sessions.values());
    let views = sessions.map(|session| SessionView::of(present.state(&session.key.source), session));
    let mut views = views.collect::<Vec<_>>();
    let (headline, mood) = headline(&views);
    let part = |(status, sessions): (Status, usize)| Tally {
        count: number(sessions),
        words: status.words(),
        mood: status.mood(),
    };
    let (tally, sessions) = (tally(&views).map(part).collect(), views.len());
    let search = cut(asked.q.trim(), SEARCH);
    if !search.is_empty() {
        let lower = search.to_lowercase();
        views.retain(|view| has(view, &lower));
    }
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let pages = views.len().div_ceil(ON_A_PAGE).max(1);
    let page = asked.page.parse::<usize>().unwrap_or(1).clamp(1, pages);
    let start = (page - 1) * ON_A_PAGE;
    let rows = views.iter().skip(start).take(ON_A_PAGE).map(|view| row(view, present, now)).collect::<Vec<_>>();
    let link = |page: usize| format!("/?page={page}&q={}", url_piece(&search));
    Overview {
        headline,
        mood,
        remarks: remarks(plans, present, now),
        tally,
        sessions,
        excerpt: excerpt(start, rows.len(), views.len(), &search),
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
        (true, false) => Some(format!("{} found.", count(of, "session"))),
        (false, _) => Some(format!(
            "{} to {} of {}, worst first.",
            number(start + 1),
            number(start + shown),
            count(of, "session")
        )),
    }
}

/// The status of all sessions in one sentence.
fn headline(views: &[SessionView<'_>]) -> (String, Mood) {
    let all = views.len();
    let of_mood = |mood| views.iter().filter(|view| view.status.mood() == mood).count();
    let (wrong, unclear, pending) = (of_mood(Mood::Bad), of_mood(Mood::Unclear), of_mood(Mood::Quiet));
    let of = format!("of {}", count(all, "session"));
    match (wrong, unclear) {
        _ if all == 0 => ("No sessions are configured yet".to_owned(), Mood::Quiet),
        (0, 0) if pending == all => ("No session has been checked yet".to_owned(), Mood::Quiet),
        (0, 0) if all == 1 => ("The session is as it should be".to_owned(), Mood::Good),
        (0, 0) if pending == 0 => (format!("All {} are as they should be", count(all, "session")), Mood::Good),
        (0, 0) => {
            let seen = all - pending;
            let rest = if pending == 1 { "the other has" } else { "the others have" };
            let right = if seen == 1 { "is as it should be" } else { "are as they should be" };
            (format!("{} {of} {right}; {rest} not been checked yet", number(seen)), Mood::Good)
        }
        (0, unclear) => (format!("{} {of} could not be checked", number(unclear)), Mood::Unclear),
        (wrong, 0) => (not_right(wrong, &of), Mood::Bad),
        (wrong, unclear) => {
            (format!("{}, and {} could not be checked", not_right(wrong, &of), number(unclear)), Mood::Bad)
        }
    }
}

fn not_right(wrong: usize, of: &str) -> String {
    let tail = if wrong == 1 { "is not as it should be" } else { "are not as they should be" };
    format!("{} {of} {tail}", number(wrong))
}

/// A sentence for a configuration that was refused, for mail that waits, for each address that refuses mail, and for each source
/// that cannot be read or has changed.
fn remarks(plans: &Plans, present: &Present, now: DateTime<Utc>) -> Vec<String> {
    let of_source = |(name, state)| {
        let zone = plans.get(name).map(|plan| plan.contacts.zone);
        let view = SourceView::of(name, state);
        let outage = zone.and_then(|zone| view.outage(zone));
        let outage = outage.map(|outage| format!("{}. Driftwise keeps trying.", cut(&outage, 400)));
        let change = zone.and_then(|zone| view.change(zone)).map(|change| cut(&change, 400));
        outage.into_iter().chain(change)
    };
    let refused = present.refused_reload.as_ref().map(|refused| {
        let at = times::at(refused.at, chrono_tz::UTC);
        format!(
            "The configuration read on {at} was refused; the previous one stays in force. The log lists every problem."
        )
    });
    let delivery = present.delivery.iter().flat_map(|state| DeliveryView(state).sentences(now, chrono_tz::UTC));
    let delivery = delivery.map(|sentence| cut(&sentence, 800));
    let sources = present.states.iter().map(|(name, state)| (name, &**state)).flat_map(of_source);
    refused.into_iter().chain(delivery).chain(sources).collect()
}

fn row(view: &SessionView<'_>, present: &Present, now: DateTime<Utc>) -> Row {
    let session = view.session;
    let when = |at: DateTime<Utc>| When::new(at, session.zone());
    let mut wrong = wrong(view);
    let more = wrong.len().saturating_sub(WRONG_IN_A_ROW);
    wrong.truncate(WRONG_IN_A_ROW);
    Row {
        name: view.name().map(|name| cut(&name, VALUE)),
        link: session.key.page(),
        key: session.key.to_string(),
        status: view.status.words(),
        mood: view.status.mood(),
        last_seen_as: view.when_last_seen(),
        customer: session.contacts.customer.as_ref().map(ToString::to_string),
        severity: view.drifts().map(|drift| drift.severity).max().map(Severity::label),
        since: view.about.map(|incident| when(incident.window.first_bad)),
        before_first_poll: view.about.is_some_and(|incident| incident.window.last_good.is_none()),
        wrong,
        more,
        last: view.last_verdict.map(when),
        stale: view.is_stale(now),
        next: present.next_audits.get(&(session.key.source.clone(), session.schedule.key())).copied().map(when),
    }
}

/// What is wrong, most severe first, each in a line. An outage of the source is said once, above the rows.
fn wrong(view: &SessionView<'_>) -> Vec<String> {
    let missing = view.reason.as_deref().filter(|_| view.status == Status::Missing).map(capital);
    let mut findings = view.findings.iter().collect::<Vec<_>>();
    findings.sort_by_key(|finding| (finding.verdict != VerdictKind::Drifted, Reverse(finding.severity)));
    let lines = findings.into_iter().filter_map(|finding| finding.line(VALUE));
    missing.into_iter().chain(lines).collect()
}
