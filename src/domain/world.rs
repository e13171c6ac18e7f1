//! The fixture of the domain for all tests: short constructors for names, rules, sessions and plans, and a small world: one
//! source whose rows are set by hand, polled minute by minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};

use super::address::Address;
use super::alerting::{Evaluation, WorkingSet, evaluate};
use super::expectation::{Expectation, Operand};
use super::name::Name;
use super::notification::{Notification, NotificationKind};
use super::observation::{Mapping, RawSnapshot, Row};
use super::plan::{Alerts, Breaker, Due, SourcePlan};
use super::policy::{Policy, Rule, Severity};
use super::reading::RawValue;
use super::reconcile::{PollOutcome, reconcile, take_up};
use super::schedule::Schedule;
use super::session::{Contacts, Session, SessionId, SessionKey};
use super::setting::SettingPattern;
use super::snapshot::Snapshot;
use super::state::{Delta, SourceState};

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Monday 23 November 2026, 09:00 UTC.
pub(crate) fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).unwrap()
}

pub(crate) fn rule(rule_id: &str, setting: &str, expect: Expectation, severity: Severity) -> Arc<Rule> {
    Arc::new(Rule {
        id: name(rule_id),
        setting: SettingPattern::parse(setting),
        expect,
        severity,
        why: String::from("because"),
        fix: String::new(),
        optional: false,
        stops_orders: false,
        ignore: Vec::new(),
    })
}

/// Export unticked (critical), notification address, all validation ticked (warning), the rest unchanged (warning).
pub(crate) fn rules() -> Vec<Arc<Rule>> {
    let param = Operand::Param { name: String::from("notification_email"), or_present: true };
    vec![
        rule("export-off", "export", Expectation::Unticked, Severity::Critical),
        rule("notification-email", "notification_email", Expectation::Includes(param), Severity::Critical),
        rule("validation", "customer_validation_*", Expectation::AllTicked { count: 2 }, Severity::Warning),
        rule("others", "*", Expectation::Unchanged, Severity::Warning),
    ]
}

pub(crate) fn session(session_id: &str, rules: Vec<Arc<Rule>>) -> Session {
    Session {
        key: SessionKey { source: name("erp"), id: id(session_id) },
        name: None,
        policy: Arc::new(Policy::new(name("test"), rules)),
        schedule: Schedule::parse("* * * * *", chrono_tz::UTC, start()).unwrap(),
        params: Arc::new(BTreeMap::from([(
            String::from("notification_email"),
            vec![String::from("owner@acme.example")],
        )])),
        owners: vec![address("owner@acme.example")],
        labels: BTreeMap::new(),
        contacts: contacts(),
    }
}

/// Drift of warnings and above is notified at once, and a source may be unreachable for an hour.
pub(crate) fn alerts() -> Alerts {
    Alerts {
        confirm_polls: 1,
        resolve_polls: 1,
        remind_every: None,
        min_severity: Severity::Warning,
        unreachable_after: Duration::from_hours(1),
        blind_after: Alerts::BLIND_AFTER,
        breaker: Breaker::default(),
    }
}

/// A source with these sessions, its ids in `session_id`.
pub(crate) fn plan(source: &str, contacts: Arc<Contacts>, sessions: impl IntoIterator<Item = Session>) -> SourcePlan {
    SourcePlan {
        name: name(source),
        origin: String::from("definition 61"),
        mapping: Mapping { session_id_column: String::from("session_id"), ..Mapping::default() },
        sessions: sessions.into_iter().map(|session| (session.key.id.clone(), session)).collect(),
        contacts,
        alerts: alerts(),
    }
}

/// The outcome of reading `raw` at `now`.
pub(crate) fn outcome(raw: &RawSnapshot, plan: &SourcePlan, now: DateTime<Utc>) -> PollOutcome {
    match Snapshot::read(raw, &plan.mapping, now) {
        Ok(snapshot) => PollOutcome::Snapshot(snapshot),
        Err(e) => PollOutcome::Unreachable(e.to_string()),
    }
}

pub(crate) fn contacts() -> Arc<Contacts> {
    Arc::new(Contacts {
        customer: None,
        fallback: vec![address("ops@integrator.example")],
        operators: Vec::new(),
        contact: Some(String::from("Support, +44 20 7946 0000")),
        reply_to: None,
        zone: chrono_tz::UTC,
    })
}

/// See the module.
pub(crate) struct World {
    pub plan: SourcePlan,
    pub state: SourceState,
    /// What alerting knows.
    pub known: WorkingSet,
    pub now: DateTime<Utc>,
    /// Session id to its columns and values; a row may be there twice.
    pub rows: Vec<(String, Vec<(String, RawValue)>)>,
}

impl World {
    /// Sessions 1 and 2, both compliant, notified at once.
    pub(crate) fn new() -> Self {
        let mut plan = plan("erp", contacts(), ["1", "2"].map(|n| session(n, rules())));
        plan.alerts.remind_every = Some(Duration::from_hours(24));
        let rows = ["1", "2"].map(|n| (n.to_owned(), compliant(n)));
        let (state, known) = (SourceState::default(), WorkingSet::default());
        Self { plan, state, known, now: start(), rows: rows.into() }
    }

    pub(crate) fn set(&mut self, session: &str, setting: &str, raw: &RawValue) {
        for (_, raw_values) in self.rows.iter_mut().filter(|(id, _)| id == session) {
            match raw_values.iter_mut().find(|(name, _)| name == setting) {
                Some((_, value)) => *value = raw.clone(),
                None => raw_values.push((setting.to_owned(), raw.clone())),
            }
        }
    }

    pub(crate) fn unset(&mut self, session: &str, setting: &str) {
        for (_, raw_values) in self.rows.iter_mut().filter(|(id, _)| id == session) {
            raw_values.retain(|(name, _)| name != setting);
        }
    }

    pub(crate) fn tick(&mut self, session: &str, setting: &str, ticked: bool) {
        self.set(session, setting, &RawValue::Flag(ticked));
    }

    pub(crate) fn raw_snapshot(&self) -> RawSnapshot {
        let row = |(session, raw_values): &(String, Vec<(String, RawValue)>)| {
            let id_raw = (String::from("session_id"), RawValue::text(session.as_str()));
            let all = std::iter::once(id_raw).chain(raw_values.iter().cloned());
            let (columns, raw_values): (Vec<Box<str>>, Vec<RawValue>) =
                all.map(|(n, c)| (n.into_boxed_str(), c)).unzip();
            Row { columns: columns.into(), raw_values }
        };
        RawSnapshot { rows: self.rows.iter().map(row).collect() }
    }

    pub(crate) fn reconcile(&self, poll: &PollOutcome, due: &Due) -> Delta {
        reconcile(&self.plan, &self.state, poll, due, self.now)
    }

    /// Takes in what a commit changed.
    pub(crate) fn commit(&mut self, delta: Delta) {
        self.known.note(&delta);
        self.state.apply(delta);
    }

    /// Ends what the configuration does not audit any more, and alerts.
    pub(crate) fn retire(&mut self) -> Vec<Notification> {
        let delta = take_up(Some(&self.plan), &self.state, self.now);
        self.commit(delta);
        self.alert().notifications
    }

    /// Derives the due notifications, and records them.
    pub(crate) fn alert(&mut self) -> Evaluation {
        let evaluation = self.evaluate();
        self.known.apply(&evaluation);
        evaluation
    }

    /// Derives the due notifications.
    pub(crate) fn evaluate(&mut self) -> Evaluation {
        let plans = BTreeMap::from([(self.plan.name.clone(), self.plan.clone())]);
        let mut evaluation = evaluate(&plans, &name("email"), &mut self.known, self.now);
        evaluation.name_sessions(|session| self.state.name_of(&session.id));
        evaluation
    }

    /// Polls a minute later, applies the delta and returns the due notifications.
    pub(crate) fn poll(&mut self) -> Vec<Notification> {
        let poll = outcome(&self.raw_snapshot(), &self.plan, self.now + TimeDelta::minutes(1));
        self.step(&poll)
    }

    /// Fails to poll a minute later.
    pub(crate) fn fail(&mut self) -> Vec<Notification> {
        self.step(&PollOutcome::Unreachable(String::from("the connection was refused")))
    }

    fn step(&mut self, poll: &PollOutcome) -> Vec<Notification> {
        self.now += TimeDelta::minutes(1);
        self.poll_now(poll)
    }

    /// Takes `poll` as made now, and alerts.
    pub(crate) fn poll_now(&mut self, poll: &PollOutcome) -> Vec<Notification> {
        let delta = self.reconcile(poll, &Due::All);
        self.commit(delta);
        self.alert().notifications
    }
}

/// The row of a session with which nothing is wrong.
pub(crate) fn compliant(n: &str) -> Vec<(String, RawValue)> {
    [
        ("name", RawValue::text(format!("shop {n}"))),
        ("export", RawValue::Flag(false)),
        ("notification_email", RawValue::text("owner@acme.example")),
        ("customer_validation_1", RawValue::Number("1".into())),
        ("customer_validation_2", RawValue::text("Y")),
        ("Postcodes", RawValue::text("paused")),
    ]
    .map(|(name, raw)| (name.to_owned(), raw))
    .into()
}

/// Kind and recipient of each notification.
pub(crate) fn notified(notifications: &[Notification]) -> Vec<(NotificationKind, &str)> {
    notifications.iter().map(|n| (n.kind, n.to.as_str())).collect()
}
