//! Named situations for tests: a small configuration and the outcome of its polls, decided by the domain itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::expectation::{Expectation, Operand};
use crate::domain::observation::{RawSnapshot, Row};
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::{PollOutcome, reconcile};
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Params, Session, SessionKey};
use crate::domain::state::SourceState;
use crate::domain::world::{self, address, id, name, start};
use crate::engine::published::Published;

/// The values of one session: id, name, export, schedule, tax code.
pub(crate) type SessionValues<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// The expected notification address.
pub(crate) const NOTIFIED: &str = "integrations@acme.example";

/// The notification address that a source returns: another one if the export is `true`.
fn notified(export: &str) -> &str {
    if export == "true" { "Jo <secret-unaudited@elsewhere.example>; x" } else { NOTIFIED }
}

/// A configuration with polls, on its way to the published state.
pub(crate) struct PolledState {
    published: Published,
    now: DateTime<Utc>,
    /// One more column, with the same value for all sessions.
    more: Option<(&'static str, &'static str)>,
}

impl PolledState {
    /// Sources with their sessions, each polled every five minutes in London.
    pub(crate) fn new(sources: &[(&str, &[&str])]) -> Self {
        let plans = sources.iter().map(|(source, ids)| (name(source), plan(source, ids))).collect::<BTreeMap<_, _>>();
        Self { published: Published::new(Arc::new(plans), BTreeMap::new()), now: start(), more: None }
    }

    pub(crate) fn minutes_later(mut self, minutes: i64) -> Self {
        self.now += TimeDelta::minutes(minutes);
        self
    }

    pub(crate) fn with_column(self, column: &'static str, value: &'static str) -> Self {
        Self { more: Some((column, value)), ..self }
    }

    pub(crate) fn returns(self, source: &str, says: &[SessionValues<'_>]) -> Self {
        let columns = [
            "session_id",
            "name",
            "export",
            "schedule",
            "use_cvariant_system_tax_code",
            "Colour",
            "notification_email",
        ];
        let (more, value) = self.more.unzip();
        let columns: Arc<[Box<str>]> = columns.into_iter().chain(more).map(Box::from).collect();
        let row = |(id, name, export, schedule, tax): &SessionValues<'_>| {
            let raw_values = [*id, *name, *export, *schedule, *tax, "blue & <b>green</b>", notified(export)];
            Row {
                columns: Arc::clone(&columns),
                raw_values: raw_values.into_iter().chain(value).map(RawValue::text).collect(),
            }
        };
        let raw = RawSnapshot { rows: says.iter().map(row).collect() };
        let poll = world::outcome(&raw, &self.published.plans()[&name(source)], self.now);
        self.polled(source, &poll)
    }

    pub(crate) fn unreachable(self, source: &str, reason: &str) -> Self {
        self.polled(source, &PollOutcome::Unreachable(reason.to_owned()))
    }

    fn polled(self, source: &str, poll: &PollOutcome) -> Self {
        let source = name(source);
        let plan = &self.published.plans()[&source];
        let state = self.published.state(&source);
        let delta = reconcile(plan, &state, poll, &Due::All, self.now);
        drop(state);
        self.published.apply(&source, delta);
        self
    }

    /// Restarts the program with one more rule in every session: the setting is ticked.
    pub(crate) fn restarted(self, setting: &str) -> Self {
        let rule = Arc::new(rule("one-more", setting, Expectation::Ticked, Severity::Warning));
        let mut plans = (*self.published.plans()).clone();
        for session in plans.values_mut().flat_map(|plan| plan.sessions.values_mut()) {
            let rules = [session.policy.rules(), &[Arc::clone(&rule)]].concat();
            session.policy = Arc::new(Policy::new(session.policy.name.clone(), rules));
        }
        let states = self.published.read(|present| present.states.clone()).into_iter().map(|(name, state)| {
            let mut state = SourceState::clone(&state);
            state.plan_changed();
            (name, state)
        });
        Self { published: Published::new(Arc::new(plans), states.collect()), ..self }
    }

    /// The published state with a running scheduler; all schedules are due next at five past.
    pub(crate) fn published(self) -> Arc<Published> {
        let next = self.now + TimeDelta::minutes(5);
        let due = (self.published.plans().iter())
            .flat_map(|(name, plan)| plan.sessions.values().map(|s| ((name.clone(), s.schedule.key()), next)))
            .collect();
        self.published.write(|present| {
            present.next_audits = due;
            present.ticked = Some(std::time::Instant::now());
        });
        Arc::new(self.published)
    }
}

/// Fourteen sessions: one exports, one has lost its row and one has a schedule that cannot be read.
pub(crate) fn troubled() -> PolledState {
    let ids = (1..=14).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let ids = ids.iter().map(String::as_str).collect::<Vec<_>>();
    let fine = |id| (id, "shop.example", "false", "5", "1");
    let unread = ("7", "acme-fr.myshopify.com", "0", "now and then", "1");
    let first = ids.iter().copied().map(|id| if id == "7" { unread } else { fine(id) }).collect::<Vec<_>>();
    let second = ids.iter().copied().filter(|id| *id != "9").map(|id| match id {
        "4" => ("4", "acme-uk.myshopify.com", "true", "Every 5 minutes", "1"),
        "7" => unread,
        id => fine(id),
    });
    PolledState::new(&[("acme-erp", &ids), ("erp-x", &["1"])])
        .returns("acme-erp", &first)
        .minutes_later(5)
        .returns("acme-erp", &second.collect::<Vec<_>>())
        .unreachable("erp-x", "it did not answer within 60 seconds")
}

fn plan(source: &str, ids: &[&str]) -> SourcePlan {
    let contacts = Arc::new(Contacts {
        customer: (source == "acme-erp").then(|| name("acme")),
        fallback: vec![address("it@acme.example")],
        contact: None,
        zone: chrono_tz::Europe::London,
        ..Contacts::clone(&world::contacts())
    });
    let policy = Arc::new(policy());
    let schedule = Schedule::parse("*/5 * * * *", chrono_tz::Europe::London, start()).expect("a schedule");
    let session = |number: &&str| Session {
        key: SessionKey { source: name(source), id: id(number) },
        policy: Arc::clone(&policy),
        schedule: schedule.clone(),
        params: Arc::new(Params::from([("notification_email".to_owned(), vec![NOTIFIED.to_owned()])])),
        owners: vec![address("secret-owner@acme.example")],
        labels: BTreeMap::from([("region".to_owned(), "uk".to_owned())]),
        contacts: Arc::clone(&contacts),
        ..world::session(number, Vec::new())
    };
    world::plan(source, Arc::clone(&contacts), ids.iter().map(session))
}

fn rule(id: &str, setting: &str, expect: Expectation, severity: Severity) -> Rule {
    Rule { why: String::new(), ..Arc::unwrap_or_clone(world::rule(id, setting, expect, severity)) }
}

fn policy() -> Policy {
    let export = Rule {
        why: "Driftwise reads this session; with Export ticked it also sends products and stock to the shop."
            .to_owned(),
        fix: "E-Commerce Sessions > the session > untick Export, then Save".to_owned(),
        ..rule("export-off", "export", Expectation::Unticked, Severity::Critical)
    };
    let schedule = Rule {
        stops_orders: true,
        ..rule("schedule-every-5-minutes", "schedule", Expectation::Every(Duration::from_mins(5)), Severity::Critical)
    };
    let address = Rule {
        optional: true,
        ..rule("add-delivery-address", "add_delivery_address", Expectation::Ticked, Severity::Warning)
    };
    let tax = rule("cvariant-tax-code", "use_cvariant_system_tax_code", Expectation::Ticked, Severity::Warning);
    let clear = Expectation::Equals(Operand::Param { name: "name".to_owned(), or_present: true });
    let clear = rule("name-is-clear", "name", clear, Severity::Info);
    let notified = Operand::Param { name: "notification_email".to_owned(), or_present: true };
    let notified =
        rule("notification-email", "notification_email", Expectation::Includes(notified), Severity::Critical);
    let rest = rule("other-options-unchanged", "*", Expectation::Unchanged, Severity::Warning);
    let rules = [export, schedule, notified, tax, clear, address, rest].map(Arc::new).to_vec();
    Policy::new(name("orderwise-shopify"), rules)
}
