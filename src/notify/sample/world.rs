//! The small invented source of the samples: two compliant sessions, polled whenever a sample asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::address::Address;
use crate::domain::alerting::{Evaluation, WorkingSet, evaluate};
use crate::domain::announcement::Announcement;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::name::Name;
use crate::domain::observation::{Mapping, RawSnapshot, Row};
use crate::domain::plan::{Alerts, Breaker, Due, SourcePlan};
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::{PollOutcome, reconcile, take_up};
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Session, SessionId, SessionKey};
use crate::domain::setting::{SettingKey, SettingPattern};
use crate::domain::snapshot::Snapshot;
use crate::domain::source_change::{Column, ColumnChange};
use crate::domain::state::SourceState;

/// See the module.
pub(super) struct World {
    plan: SourcePlan,
    state: SourceState,
    pub known: WorkingSet,
    pub now: DateTime<Utc>,
    /// Session ID to its columns and values.
    pub rows: Vec<(String, Vec<(String, RawValue)>)>,
}

impl World {
    /// Sessions 14 and 15 of `acme-erp`, owned by `to`; `None` only if a constant of this file is broken.
    pub fn new(to: &Address, zone: chrono_tz::Tz, now: DateTime<Utc>) -> Option<Self> {
        let source = Name::parse("acme-erp").ok()?;
        let contacts = Arc::new(Contacts {
            customer: None,
            fallback: vec![to.clone()],
            operators: Vec::new(),
            contact: Some("Integrator support, +44 20 7946 0000".to_owned()),
            reply_to: Address::parse("support@integrator.example").ok(),
            zone,
        });
        let policy = Arc::new(Policy::new(Name::parse("orderwise-shopify").ok()?, rules()?));
        let mut sessions = BTreeMap::new();
        for number in ["14", "15"] {
            let id = SessionId::parse(number).ok()?;
            let session = Session {
                key: SessionKey { source: source.clone(), id: id.clone() },
                name: None,
                policy: Arc::clone(&policy),
                schedule: Schedule::parse("*/5 * * * *", zone, now).ok()?,
                params: BTreeMap::from([("notification_email".to_owned(), vec![UNDELIVERABLE.to_owned()])]).into(),
                owners: vec![to.clone()],
                labels: BTreeMap::new(),
                contacts: Arc::clone(&contacts),
            };
            sessions.insert(id, session);
        }
        let alerts = Alerts {
            confirm_polls: 1,
            resolve_polls: 1,
            remind_every: Some(Duration::from_hours(24)),
            min_severity: Severity::Warning,
            unreachable_after: Duration::from_hours(1),
            blind_after: Alerts::BLIND_AFTER,
            breaker: Breaker { share: 50, at_least: 2 },
        };
        let mapping = Mapping { session_id_column: "session_id".to_owned(), ..Mapping::default() };
        let rows =
            vec![("14".to_owned(), row("acme-uk.myshopify.com")), ("15".to_owned(), row("acme-fr.myshopify.com"))];
        let plan = SourcePlan { name: source, origin: "definition 61".to_owned(), mapping, sessions, contacts, alerts };
        Some(Self { plan, state: SourceState::default(), known: WorkingSet::default(), now, rows })
    }

    pub fn set(&mut self, session: &str, setting: &str, raw: &RawValue) {
        for (_, raw_values) in self.rows.iter_mut().filter(|(id, _)| id == session) {
            match raw_values.iter_mut().find(|(name, _)| name == setting) {
                Some((_, value)) => value.clone_from(raw),
                None => raw_values.push((setting.to_owned(), raw.clone())),
            }
        }
    }

    pub fn unset(&mut self, session: &str, setting: &str) {
        for (_, raw_values) in self.rows.iter_mut().filter(|(id, _)| id == session) {
            raw_values.retain(|(name, _)| name != setting);
        }
    }

    /// A poll of the present rows.
    pub fn snapshot(&self) -> PollOutcome {
        let row = |(session, raw_values): &(String, Vec<(String, RawValue)>)| {
            let id = ("session_id".to_owned(), RawValue::text(session.as_str()));
            let all = std::iter::once(id).chain(raw_values.iter().cloned());
            let (columns, raw_values): (Vec<Box<str>>, Vec<RawValue>) =
                all.map(|(name, raw)| (name.into_boxed_str(), raw)).unzip();
            Row { columns: columns.into(), raw_values }
        };
        let raw = RawSnapshot { rows: self.rows.iter().map(row).collect() };
        match Snapshot::read(&raw, &self.plan.mapping, self.now) {
            Ok(snapshot) => PollOutcome::Snapshot(snapshot),
            Err(error) => PollOutcome::Unreachable(error.to_string()),
        }
    }

    /// Takes in a poll that was made now.
    pub fn take(&mut self, poll: &PollOutcome) {
        let delta = reconcile(&self.plan, &self.state, poll, &Due::All, self.now);
        self.known.note(&delta);
        self.state.apply(delta);
    }

    /// The configuration no longer includes a session.
    pub fn remove(&mut self, session: &str) {
        self.plan.sessions.retain(|id, _| id.as_str() != session);
        let delta = take_up(Some(&self.plan), &self.state, self.now);
        self.known.note(&delta);
        self.state.apply(delta);
    }

    /// The source no longer returns a column that no rule needs.
    pub fn forget(&mut self, column: &str) {
        let gone = vec![Column::of(&SettingKey::new(column), &self.plan.mapping)];
        let columns = ColumnChange { origin: self.plan.origin.clone(), gone, new: Vec::new() };
        self.known.announce(Announcement::forgotten(&self.plan.name, 2, columns, self.now));
    }

    /// Derives the notifications that are due now.
    pub fn evaluate(&mut self, channel: &Name) -> Evaluation {
        let plans = BTreeMap::from([(self.plan.name.clone(), self.plan.clone())]);
        evaluate(&plans, channel, &mut self.known, self.now)
    }
}

/// The address that refuses mail in a sample.
pub(super) const UNDELIVERABLE: &str = "orders@acme.example";

fn rules() -> Option<Vec<Arc<Rule>>> {
    let rule = |id, setting, expect, stops_orders| {
        let why = if stops_orders {
            "With any other type no orders arrive from the shop."
        } else {
            "Part of the recommended setup."
        };
        Some(Arc::new(Rule {
            id: Name::parse(id).ok()?,
            setting: SettingPattern::parse(setting),
            expect,
            severity: Severity::Critical,
            why: why.to_owned(),
            fix: String::new(),
            optional: false,
            stops_orders,
            ignore: Vec::new(),
        }))
    };
    let web_service = Expectation::Equals(Operand::Literal("Web Service".to_owned()));
    let rules = [
        rule("export-off", "export", Expectation::Unticked, false),
        rule("schedule-every-5-minutes", "schedule", Expectation::Every(Duration::from_mins(5)), false),
        rule("transfer-type-web-service", "transfer_type", web_service, true),
    ];
    rules.into_iter().collect()
}

pub(super) fn row(shop: &str) -> Vec<(String, RawValue)> {
    let raw_values = [
        ("name", RawValue::text(shop)),
        ("export", RawValue::Flag(false)),
        ("schedule", RawValue::text("Every 5 minutes")),
        ("transfer_type", RawValue::text("Web Service")),
    ];
    raw_values.map(|(column, raw)| (column.to_owned(), raw)).into()
}
