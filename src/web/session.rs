//! The page of one session: what is wrong with it, all of its settings, how it is watched and what happened to it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::settings::{Setting, settings};
use super::words::{self, Mood, When};
use super::{Web, page};
use crate::domain::catalogue;
use crate::domain::event::Event;
use crate::domain::incident::{Incident, IncidentKind, Phase};
use crate::domain::plan::SourcePlan;
use crate::domain::session::{Session, SessionKey};
use crate::domain::state::{SessionState, SourceState};
use crate::domain::status::{Status, status};
use crate::engine::published::{Plans, Present};

/// Events on the page.
const EVENTS: usize = 50;

/// How long the page waits for the history before it is shown without.
const GRACE: Duration = Duration::from_secs(3);

/// How long OrderWise can fetch orders again that it missed, in days (integration guide).
const RECOVERABLE_DAYS: i64 = 7;

/// What the template shows.
#[derive(Debug, Serialize)]
struct SessionPage {
    name: Option<String>,
    key: String,
    status: &'static str,
    mood: Mood,
    last_seen_as: Option<&'static str>,
    reason: Option<String>,
    open: Vec<Trouble>,
    suspected: Vec<Trouble>,
    settings: Vec<Setting>,
    facts: Vec<(&'static str, String)>,
    events: Vec<Happened>,
    history_failed: bool,
}

/// An incident as it is shown.
#[derive(Debug, Serialize)]
struct Trouble {
    title: String,
    mood: Mood,
    severity: &'static str,
    /// What was found and what it should be.
    values: Option<(String, String)>,
    reason: String,
    window: String,
    why: String,
    fix: String,
    orders: Option<String>,
    /// Settings that cannot be read, with the reason.
    unread: Vec<(String, String)>,
    rule: Option<String>,
}

#[derive(Debug, Serialize)]
struct Happened {
    at: When,
    words: String,
}

pub(super) async fn show(State(web): State<Arc<Web>>, path: Result<Path<(String, String)>, PathRejection>) -> Response {
    let Ok(Path((source, id))) = path else { return page::nothing_here(State(web)).await };
    let key = SessionKey::parse(&format!("{source}/{id}"));
    let found = key.and_then(|key| {
        let page = web.published.read(|present| session_page(web.published.plans(), present, &key))?;
        Some((key, page))
    });
    let Some((key, (mut page, zone))) = found else {
        let text = "The configuration audits no session of this name. It may have been renamed or taken out.";
        return web.pages.notice(StatusCode::NOT_FOUND, "There is no such session", text);
    };
    match tokio::time::timeout(GRACE, web.history.recent(&key, EVENTS)).await {
        Ok(Ok(events)) => page.events = events.iter().map(|event| happened(event, zone)).collect(),
        Ok(Err(error)) => {
            tracing::warn!(session = %key, error, "the history of a session cannot be read");
            page.history_failed = true;
        }
        Err(_) => {
            tracing::warn!(session = %key, "the history of a session takes too long to read");
            page.history_failed = true;
        }
    }
    web.pages.render(StatusCode::OK, "session.html", page)
}

fn happened(event: &Event, zone: Tz) -> Happened {
    Happened { at: When::new(event.at, zone), words: words::cut(&words::happening(&event.what), 600) }
}

fn session_page(plans: &Plans, present: &Present, key: &SessionKey) -> Option<(SessionPage, Tz)> {
    let plan = plans.get(&key.source)?;
    let session = plan.sessions.get(&key.id)?;
    let blank = SourceState::default();
    let state = present.state(&key.source).unwrap_or(&blank);
    let known = state.sessions.get(&key.id);
    let shown = status(state, session);
    let zone = session.zone();
    let incidents = || state.unreachable.iter().chain(known.into_iter().flat_map(|known| &known.incidents));
    let mut open = incidents().filter(|incident| incident.is_open()).collect::<Vec<_>>();
    open.sort_by_key(|incident| (incident.kind() != IncidentKind::Unreachable, std::cmp::Reverse(incident.severity)));
    let suspected = incidents().filter(|incident| matches!(incident.phase, Phase::Suspected { .. }));
    let seen = || known.and_then(|known| known.observation.as_ref()?.name());
    let page = SessionPage {
        name: session.name.clone().or_else(seen).map(|name| words::cut(&name, 120)),
        key: key.to_string(),
        status: words::status(shown.status),
        mood: words::mood(shown.status),
        last_seen_as: words::when_last_seen(&shown),
        reason: (shown.status == Status::Pending).then(|| not_yet(known).to_owned()),
        open: open.into_iter().map(|incident| trouble(incident, zone)).collect(),
        suspected: suspected.map(|incident| trouble(incident, zone)).collect(),
        settings: known.map(|known| settings(session, &plan.mapping, state, known)).unwrap_or_default(),
        facts: facts(plan, session, state, known, present),
        events: Vec::new(),
        history_failed: false,
    };
    Some((page, zone))
}

fn not_yet(known: Option<&SessionState>) -> &'static str {
    match known {
        None => "Nothing is known of it until the first poll.",
        Some(_) => "It was polled for and could not be seen so far.",
    }
}

fn facts(
    plan: &SourcePlan,
    session: &Session,
    state: &SourceState,
    known: Option<&SessionState>,
    present: &Present,
) -> Vec<(&'static str, String)> {
    let zone = session.zone();
    let never = || "not yet".to_owned();
    let moment = |at: Option<DateTime<Utc>>| at.map_or_else(never, |at| words::moment(at, zone));
    let rules = session.policy.rules().len();
    let mut facts = vec![
        ("Source", plan.name.to_string()),
        ("Policy", format!("{}, {rules} rule{}", session.policy.name, if rules == 1 { "" } else { "s" })),
        ("Schedule", format!("{} in {}", session.schedule.expression(), zone.name())),
        ("Last checked", moment(known.and_then(|known| state.last_verdict(known)))),
        ("Next poll", moment(present.next_audits.get(&(plan.name.clone(), session.schedule.key())).copied())),
        ("Source last read", moment(state.record.last_success)),
    ];
    if let Some(customer) = &session.contacts.customer {
        facts.insert(1, ("Customer", customer.to_string()));
    }
    if !session.labels.is_empty() {
        let labels = session.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
        facts.push(("Labels", labels.join(", ")));
    }
    facts
}

fn trouble(incident: &Incident, zone: Tz) -> Trouble {
    let facts = &incident.facts;
    let rule = incident.key.rule();
    let title = match (incident.kind(), rule) {
        (_, Some((_, setting))) => catalogue::label(setting),
        (IncidentKind::Missing, _) => "The source has no row for this session".to_owned(),
        (IncidentKind::Unverifiable, _) => "Some settings could not be checked".to_owned(),
        (IncidentKind::Unreachable | IncidentKind::Drift, _) => "The source could not be read".to_owned(),
    };
    let place = rule.and_then(|(_, setting)| catalogue::find(setting)).map_or("", |entry| entry.place);
    let cut = |text: &str| words::cut(text, 600);
    Trouble {
        title,
        mood: match incident.kind() {
            IncidentKind::Drift | IncidentKind::Missing => Mood::Bad,
            IncidentKind::Unverifiable | IncidentKind::Unreachable => Mood::Unclear,
        },
        severity: incident.severity.label(),
        values: rule.map(|_| (cut(&facts.found), cut(&facts.expected))),
        reason: words::capital(&cut(&facts.reason)),
        window: words::window(incident.kind(), incident.window, zone),
        why: facts.why.clone(),
        fix: if facts.fix.is_empty() { place.to_owned() } else { facts.fix.clone() },
        orders: facts.stops_orders.then(|| orders(incident, zone)),
        unread: facts.unread.iter().map(|unread| (unread.label.clone(), cut(&unread.reason))).collect(),
        rule: rule.map(|(rule, _)| rule.to_string()),
    }
}

/// Until when orders can still be recovered, reckoned from when they may first have stopped.
fn orders(incident: &Incident, zone: Tz) -> String {
    let from = incident.window.last_good.unwrap_or(incident.window.first_bad);
    let until = words::moment(from + TimeDelta::days(RECOVERABLE_DAYS), zone);
    format!(
        "Orders may not be imported meanwhile. Missed orders can be recovered for {RECOVERABLE_DAYS} days: the first of them until {until}."
    )
}
