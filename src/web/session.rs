//! The page of one session: its findings, its settings, how it is checked, and its history.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::history::{self, HistoryEntry};
use super::settings::{Setting, settings};
use super::when::When;
use super::{Web, page};
use crate::domain::incident::{Incident, Phase};
use crate::domain::plan::SourcePlan;
use crate::domain::session::SessionKey;
use crate::engine::published::{Plans, Present};
use crate::view::incident::IncidentView;
use crate::view::session::{SessionView, Staleness, Status};
use crate::view::source::SourceView;
use crate::view::times;
use crate::view::words::{Mood, capital, count, cut};

/// The values of the template.
#[derive(Debug, Serialize)]
struct SessionPage {
    as_of: When,
    name: Option<String>,
    key: String,
    status: &'static str,
    mood: Mood,
    last_seen_as: Option<&'static str>,
    /// Why the status may no longer be true: in a few words, and in full.
    stale: Option<(&'static str, String)>,
    reason: Option<String>,
    open: Vec<IncidentPart>,
    suspected: Vec<IncidentPart>,
    settings: Vec<Setting>,
    facts: Vec<(&'static str, String)>,
    /// `None` if it could not be read.
    history: Option<Vec<HistoryEntry>>,
}

/// An incident as it is shown.
#[derive(Debug, Serialize)]
struct IncidentPart {
    title: String,
    mood: Mood,
    severity: &'static str,
    /// The value found, and the expected one.
    values: Option<(String, String)>,
    reason: String,
    since: String,
    why: String,
    fix: String,
    orders: Option<String>,
    /// Until when the first mail waits.
    mail: Option<String>,
    /// Settings that cannot be read, with the reason.
    unread: Vec<(String, String)>,
    rule: Option<String>,
}

pub(super) async fn show(State(web): State<Arc<Web>>, path: Result<Path<(String, String)>, PathRejection>) -> Response {
    let Ok(Path((source, id))) = path else { return page::nothing_here(State(web)).await };
    let key = SessionKey::parse(&format!("{source}/{id}"));
    let found = key.and_then(|key| {
        let page =
            web.published.read(|present| session_page(&web.published.plans(), present, &key, web.clock.now()))?;
        Some((key, page))
    });
    let Some((key, (mut page, zone))) = found else {
        let text = "The configuration audits no session of this name. It may have been renamed or removed.";
        return web.pages.notice(StatusCode::NOT_FOUND, "There is no such session", text);
    };
    page.history = history::entries(&*web.history, &key, zone).await;
    web.pages.render(StatusCode::OK, "session.html", page)
}

fn session_page(plans: &Plans, present: &Present, key: &SessionKey, now: DateTime<Utc>) -> Option<(SessionPage, Tz)> {
    let plan = plans.get(&key.source)?;
    let session = plan.sessions.get(&key.id)?;
    let state = present.state(&key.source);
    let view = SessionView::of(state, session);
    let zone = session.zone();
    let of_source = state.into_iter().flat_map(|state| state.unreachable.iter().chain(&state.changed));
    let of_source = of_source.collect::<Vec<_>>();
    let incidents = || of_source.iter().copied().chain(view.known.into_iter().flat_map(|known| &known.incidents));
    let mut open = incidents().filter(|incident| incident.is_open()).collect::<Vec<_>>();
    open.sort_by_key(|incident| (incident.key.session().is_some(), std::cmp::Reverse(incident.severity)));
    let suspected = incidents().filter(|incident| matches!(incident.phase, Phase::Suspected { .. }));
    let mail = |incident: &Incident| {
        let source = SourceView::of(&plan.name, state?);
        IncidentView(incident).grace_period(&plan.alerts, &source, now, zone).map(|mail| capital(&mail))
    };
    let page = SessionPage {
        as_of: When::to_the_second(now, zone),
        name: view.name().map(|name| cut(&name, 120)),
        key: key.to_string(),
        status: view.status.words(),
        mood: view.status.mood(),
        last_seen_as: view.when_last_seen(),
        stale: view.staleness(now).zip(view.last_verdict).map(|(why, at)| stale(why, at, now)),
        reason: (view.status == Status::Pending).then(|| not_yet(&view).to_owned()),
        open: open.into_iter().map(|incident| incident_part(incident, mail(incident), now, zone)).collect(),
        suspected: suspected.map(|incident| incident_part(incident, None, now, zone)).collect(),
        settings: settings(&view, &plan.mapping, state),
        facts: facts(plan, &view, present),
        history: None,
    };
    Some((page, zone))
}

fn not_yet(view: &SessionView<'_>) -> &'static str {
    match view.known {
        None => "Its settings are shown here after the first check.",
        Some(_) => "The source was read, but has not returned this session yet.",
    }
}

fn stale(why: Staleness, at: DateTime<Utc>, now: DateTime<Utc>) -> (&'static str, String) {
    let (title, when) = match why {
        Staleness::Overdue => ("Check overdue", format!("was {} ago and is {}", times::ago(now - at), why.words())),
        Staleness::Ahead => {
            let lead = times::ago(at - now);
            (
                "Time of the check unknown",
                format!("is dated {lead} in the future: a clock was wrong then, or is wrong now"),
            )
        }
    };
    (title, format!("The last check {when}. The settings may have changed since."))
}

fn facts(plan: &SourcePlan, view: &SessionView<'_>, present: &Present) -> Vec<(&'static str, String)> {
    let session = view.session;
    let zone = session.zone();
    let moment = |at: Option<DateTime<Utc>>| at.map_or_else(|| "not yet".to_owned(), |at| times::at_second(at, zone));
    let last_success = present.state(&plan.name).and_then(|state| state.record.last_success);
    let mut facts = vec![
        ("Source", plan.name.to_string()),
        ("Policy", format!("{}, {}", session.policy.name, count(session.policy.rules().len(), "rule"))),
        ("Schedule", format!("{}, {} time ({})", session.schedule.words(), zone.name(), session.schedule.expression())),
        ("Last checked", moment(view.last_verdict)),
        ("Next check", moment(present.next_audits.get(&(plan.name.clone(), session.schedule.key())).copied())),
        ("Source last read", moment(last_success)),
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

fn incident_part(incident: &Incident, mail: Option<String>, now: DateTime<Utc>, zone: Tz) -> IncidentPart {
    let (view, facts) = (IncidentView(incident), &incident.facts);
    let rule = incident.key.rule();
    let cut = |text: &str| cut(text, 600);
    IncidentPart {
        title: view.title(),
        mood: view.mood(),
        severity: incident.severity.label(),
        values: rule.map(|_| (cut(&facts.found), cut(&facts.expected))),
        reason: capital(&cut(&facts.reason)),
        since: view.since(zone),
        why: facts.why.clone(),
        fix: facts.fix.clone(),
        orders: view.orders(now, zone).map(|orders| capital(&orders)),
        mail,
        unread: facts.unread.iter().map(|unread| (unread.label.clone(), cut(&unread.reason))).collect(),
        rule: rule.map(|(rule, _)| rule.to_string()),
    }
}
