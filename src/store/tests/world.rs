//! A synthetic source whose sessions are audited, and a store in a folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use uuid::Uuid;

use crate::domain::alerting::{Evaluation, WorkingSet, evaluate};
use crate::domain::expectation::Expectation;
use crate::domain::notification::{Notification, NotificationKind, Reason};
use crate::domain::observation::{RawSnapshot, Row};
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::policy::{Policy, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::{PollOutcome, reconcile, take_up};
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Session, SessionId, SessionKey};
use crate::domain::state::{Delta, SourceState};
pub(super) use crate::domain::world::name;
use crate::domain::world::{self, address, rule};
use crate::store::{Outgoing, Store};

/// Columns besides the id and `export`.
const OTHERS: usize = 18;

pub(super) fn id(number: usize) -> SessionId {
    world::id(&number.to_string())
}

/// A time that no coarser unit than the nanosecond holds.
pub(super) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap()
}

pub(super) fn at(minutes: i64) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minutes)
}

pub(super) fn outgoing(number: usize, to: &str) -> Outgoing {
    Outgoing {
        notification: Uuid::from_u128(number as u128),
        message_id: format!("<{number}@test.example>"),
        channel: name("email"),
        kind: NotificationKind::Drift,
        severity: Severity::Warning,
        to: address(to),
        follows_up: None,
        reason: Reason::default(),
        resend_of: None,
        subject: format!("Subject {number} – é"),
        sessions: vec![format!("acme/{number}")],
        raw: format!("Subject: {number}\r\n\r\nbody\0\r\n").into_bytes(),
        recorded_at: start(),
    }
}

/// A store in a folder that is removed with it.
pub(super) struct Place {
    pub folder: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("driftwise.db")
    }

    pub(super) async fn open(&self) -> Store {
        Store::open(&self.path()).await.unwrap()
    }
}

/// One source with its sessions and its state.
pub(super) struct World {
    pub plan: SourcePlan,
    pub state: SourceState,
    /// Ids whose `export` is ticked.
    pub ticked: BTreeSet<usize>,
    /// Ids that have no row.
    pub gone: BTreeSet<usize>,
    /// More columns, the same for all.
    pub extra: Vec<(String, RawValue)>,
    sessions: usize,
}

impl World {
    pub(super) fn new(source: &str, sessions: usize) -> Self {
        let contacts = Arc::new(Contacts {
            fallback: vec![address("ops@acme.example")],
            contact: None,
            ..Contacts::clone(&world::contacts())
        });
        let critical = |id, setting, expect| rule(id, setting, expect, Severity::Critical);
        let rules = vec![
            critical("export-off", "export", Expectation::Unticked),
            critical("present", "needed", Expectation::Present),
            critical("unchanged", "other_*", Expectation::Unchanged),
        ];
        let policy = Arc::new(Policy::new(name("test"), rules));
        let schedule = Schedule::parse("*/5 * * * *", chrono_tz::Europe::London, start()).unwrap();
        let session = |number: usize| Session {
            key: SessionKey { source: name(source), id: id(number) },
            policy: Arc::clone(&policy),
            schedule: schedule.clone(),
            params: Arc::default(),
            owners: vec![address(&format!("owner{}@acme.example", number % 7))],
            contacts: Arc::clone(&contacts),
            ..world::session(&number.to_string(), Vec::new())
        };
        let mut plan = world::plan(source, Arc::clone(&contacts), (0..sessions).map(session));
        plan.alerts.min_severity = Severity::Info;
        plan.alerts.unreachable_after = Duration::ZERO;
        let extra = vec![("needed".to_owned(), RawValue::text("there"))];
        let (state, ticked, gone) = (SourceState::default(), BTreeSet::new(), BTreeSet::new());
        Self { plan, state, ticked, gone, extra, sessions }
    }

    fn outcome(&self) -> PollOutcome {
        let others = (0..OTHERS).map(|n| format!("Other_{n}"));
        let columns = (["session_id".to_owned(), "export".to_owned()].into_iter().chain(others))
            .chain(self.extra.iter().map(|(column, _)| column.clone()))
            .map(String::into_boxed_str)
            .collect::<Arc<[_]>>();
        let row = |number: usize| {
            let first = [RawValue::Number(number.to_string().into()), RawValue::Flag(self.ticked.contains(&number))];
            let others = (0..OTHERS).map(|n| RawValue::text(format!("value {n} \"quoted\" ü\0")));
            let extra = self.extra.iter().map(|(_, raw)| raw.clone());
            Row { columns: Arc::clone(&columns), raw_values: first.into_iter().chain(others).chain(extra).collect() }
        };
        let rows = (0..self.sessions).filter(|number| !self.gone.contains(number)).map(row).collect();
        world::outcome(&RawSnapshot { rows }, &self.plan, start())
    }

    /// One audit that gets a snapshot: reconciled, recorded, applied.
    pub(super) async fn audit(&mut self, store: &Store, now: DateTime<Utc>) {
        let poll = self.outcome();
        self.record(store, &poll, now).await;
    }

    pub(super) async fn fail(&mut self, store: &Store, now: DateTime<Utc>) {
        self.record(store, &PollOutcome::Unreachable("the server refused".to_owned()), now).await;
    }

    /// Stops auditing one session.
    pub(super) async fn retire(&mut self, store: &Store, number: usize, now: DateTime<Utc>) {
        self.plan.sessions.remove(&id(number));
        let delta = take_up(Some(&self.plan), &self.state, now);
        store.record(&self.plan.name, &delta, now).await.unwrap();
        self.state.apply(delta);
    }

    /// The delta of the next audit.
    pub(super) fn next(&self, now: DateTime<Utc>) -> Delta {
        reconcile(&self.plan, &self.state, &self.outcome(), &Due::All, now)
    }

    /// Derives the due notifications from the store, as a process does that has just started.
    pub(super) async fn due(&self, store: &Store, now: DateTime<Utc>) -> (Evaluation, Vec<Outgoing>) {
        let mut known = WorkingSet::new(store.load_alerting().await.unwrap());
        let plans = BTreeMap::from([(self.plan.name.clone(), self.plan.clone())]);
        let evaluation = evaluate(&plans, &name("email"), &mut known, now);
        let outgoing = evaluation.notifications.iter().map(composed).collect();
        (evaluation, outgoing)
    }

    /// Derives and records the due notifications.
    pub(super) async fn alert(&self, store: &Store, now: DateTime<Utc>) -> Vec<Notification> {
        let (evaluation, outgoing) = self.due(store, now).await;
        store.notify(&evaluation, &outgoing, now).await.unwrap();
        evaluation.notifications
    }

    async fn record(&mut self, store: &Store, poll: &PollOutcome, now: DateTime<Utc>) {
        let delta = reconcile(&self.plan, &self.state, poll, &Due::All, now);
        store.record(&self.plan.name, &delta, now).await.unwrap();
        self.state.apply(delta);
    }
}

fn composed(notification: &Notification) -> Outgoing {
    Outgoing {
        notification: notification.id,
        message_id: format!("<{}@test.example>", notification.id),
        channel: notification.channel.clone(),
        kind: notification.kind,
        severity: notification.severity(),
        to: notification.to.clone(),
        subject: notification.kind.to_string(),
        sessions: notification.sessions().iter().map(ToString::to_string).collect(),
        follows_up: notification.is_follow_up().then(|| notification.incidents().map(|incident| incident.id).collect()),
        reason: notification.reason.clone(),
        resend_of: None,
        raw: b"raw".to_vec(),
        recorded_at: notification.at,
    }
}

/// All of a state in a form that can be compared, whatever the order of a session's incidents.
pub(super) fn shown(state: &SourceState) -> String {
    use std::fmt::Write as _;
    let own = (&state.unreachable, &state.changed);
    let mut text = format!("{:?}\n{:?}\n{own:?}\n", state.record, state.schedules);
    for (id, session) in &state.sessions {
        let mut incidents = session.incidents.clone();
        incidents.sort_by_key(|incident| incident.id);
        let seen = session.observation.as_ref().map(|seen| (seen.at, seen.shape.settings().to_vec(), &seen.raw_values));
        writeln!(text, "{id} {:?} {seen:?} {:?} {incidents:?}", session.record, session.pinned).unwrap();
    }
    let settings = state.known_settings.iter().collect::<BTreeSet<_>>();
    writeln!(text, "{:?} {settings:?}", state.known_ids).unwrap();
    text
}
