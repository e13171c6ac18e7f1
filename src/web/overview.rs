//! The status page: a headline, trouble with the audit itself, then every session, worst first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::Web;
use super::filter::{Filter, Menu, UNAUDITED};
use super::notices::{Notice, Outages, notices, outages};
use super::row::{SessionRow, row};
use super::unaudited::{Unaudited, unaudited};
use super::when::When;
use crate::domain::schedule::ScheduleKey;
use crate::engine::published::{Plans, Present};
use crate::view::session::{SessionView, Staleness, Status, tally};
use crate::view::words::{Mood, count, number};

/// Most sessions on one page: small enough to be loaded again every few seconds.
const ON_A_PAGE: usize = 200;

/// The values of the template.
#[derive(Debug, Serialize)]
struct Overview {
    as_of: When,
    headline: String,
    mood: Mood,
    notices: Vec<Notice>,
    outages: Option<Outages>,
    tally: Vec<Tally>,
    sessions: usize,
    menus: Vec<Menu>,
    search: String,
    filtered: bool,
    /// How many sessions are shown, and which of them.
    excerpt: String,
    rows: Vec<SessionRow>,
    previous: Option<String>,
    next: Option<String>,
    unaudited: Vec<Unaudited>,
}

/// How many sessions are in one status.
#[derive(Debug, Serialize)]
struct Tally {
    count: String,
    words: &'static str,
    mood: Mood,
    link: String,
}

/// A session on the page.
pub(super) struct ListedSession<'a> {
    pub view: SessionView<'a>,
    pub stale: Option<Staleness>,
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let filter = Filter::read(&query.map(|Query(query)| query).unwrap_or_default());
    let now = web.clock.now();
    let overview = web.published.read(|present| overview(&web.published.plans(), present, &filter, now));
    web.pages.render(StatusCode::OK, "overview.html", overview)
}

fn overview(plans: &Plans, present: &Present, filter: &Filter, now: DateTime<Utc>) -> Overview {
    let mut freshness = Freshness { now, known: HashMap::new() };
    let sessions = plans.values().flat_map(|plan| plan.sessions.values());
    let views = sessions.map(|session| SessionView::of(present.state(&session.key.source), session));
    let views = views.collect::<Vec<_>>();
    let (headline, mood) = headline(&views);
    let part = |(status, sessions): (Status, usize)| Tally {
        count: number(sessions),
        words: status.words(),
        mood: status.mood(),
        link: Filter::of_status(status),
    };
    let mut tally = tally(&views).map(part).collect::<Vec<_>>();
    tally.extend(not_audited(plans, present));
    let sessions = views.len();
    let listed = views.into_iter().map(|view| ListedSession { stale: freshness.staleness(&view), view });
    let mut listed = listed.collect::<Vec<_>>();
    // Sessions of an unreachable source are late for that reason, which is above the sessions.
    let late =
        listed.iter().filter(|listed| listed.stale.is_some() && listed.view.status != Status::Unreachable).count();
    listed.retain(|listed| filter.lets_through(listed));
    listed.sort_by(|a, b| a.view.rank().cmp(&b.view.rank()));
    let pages = listed.len().div_ceil(ON_A_PAGE).max(1);
    let page = filter.page().clamp(1, pages);
    let start = (page - 1) * ON_A_PAGE;
    let rows = listed.iter().skip(start).take(ON_A_PAGE).map(|listed| row(listed, present, now)).collect::<Vec<_>>();
    let unaudited = unaudited(plans, present, filter);
    let (notices, outages) = (notices(plans, present, late, now), outages(plans, present, now));
    Overview {
        as_of: When::to_the_second(now, zone(plans)),
        headline,
        // An old state is not good news.
        mood: if mood == Mood::Good && !notices.is_empty() { Mood::Unclear } else { mood },
        notices,
        outages,
        tally,
        sessions,
        menus: filter.menus(plans),
        search: filter.text().to_owned(),
        filtered: !filter.is_empty(),
        excerpt: excerpt(start, rows.len(), listed.len(), sessions, &unaudited),
        rows,
        previous: (page > 1).then(|| filter.link(page - 1)),
        next: (page < pages).then(|| filter.link(page + 1)),
        unaudited,
    }
}

/// The zone of the page: that of all sources if they share one, otherwise UTC.
fn zone(plans: &Plans) -> Tz {
    let zones = plans.values().map(|plan| plan.contacts.zone.name()).collect::<BTreeSet<_>>();
    let only = plans.values().next().filter(|_| zones.len() == 1);
    only.map_or(Tz::UTC, |plan| plan.contacts.zone)
}

/// Whether verdicts are stale, computed once for all sessions that share schedule and time.
struct Freshness<'a> {
    now: DateTime<Utc>,
    known: HashMap<(&'a ScheduleKey, DateTime<Utc>), Option<Staleness>>,
}

impl<'a> Freshness<'a> {
    fn staleness(&mut self, view: &SessionView<'a>) -> Option<Staleness> {
        let at = view.last_verdict?;
        *self.known.entry((view.session.schedule.key_ref(), at)).or_insert_with(|| view.staleness(self.now))
    }
}

/// How many sessions the configuration does not audit; `None` if there are none.
fn not_audited(plans: &Plans, present: &Present) -> Option<Tally> {
    let states = plans.keys().filter_map(|source| present.state(source));
    let sessions: u64 = states.map(|state| state.record.unaudited).sum();
    let count = number(usize::try_from(sessions).unwrap_or(usize::MAX));
    let (words, link) = (UNAUDITED.1, Filter::of_unaudited());
    (sessions > 0).then_some(Tally { count, words, mood: Mood::Quiet, link })
}

fn excerpt(start: usize, shown: usize, of: usize, all: usize, unaudited: &[Unaudited]) -> String {
    match (of, unaudited) {
        (0, []) => return "No session matches the filter.".to_owned(),
        (0, _) => return "No audited session matches the filter; some unaudited sessions do.".to_owned(),
        _ => {}
    }
    let which = if of == all { count(of, "session") } else { format!("{} of {}", number(of), count(all, "session")) };
    if shown == of {
        return format!("{which}, worst first.");
    }
    format!("{which}, worst first: {} to {} on this page.", number(start + 1), number(start + shown))
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
