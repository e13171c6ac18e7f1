//! Audits that meet a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::harness::Harness;
use crate::domain::expectation::Expectation;
use crate::domain::name::Name;
use crate::domain::notification::NotificationKind;
use crate::domain::observation::RawSnapshot;
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::policy::Severity;
use crate::domain::session::Contacts;
use crate::domain::world::{self, address};
use crate::engine::audit::{AuditOutcome, Auditor};
use crate::source::{FetchError, Source};

/// A removed source is no failure of the store: the audit is not repeated, and the program stays ready.
#[tokio::test]
async fn a_poll_whose_source_a_reload_removes_while_it_waits_for_its_turn_is_no_failure() {
    let harness = Harness::new();
    let running = harness.start().await;
    let (auditor, source) = (&running.auditor, harness.world.plan.name.clone());
    let place = auditor.polls.turn(None).await;
    let due = Due::All;
    let audit = auditor.run(&source, &due);
    let reload = async {
        // The audit began before this, and waits.
        auditor.published.replace_plans(Arc::default(), || auditor.sources.replace(Arc::new(BTreeMap::new())));
        drop(place);
    };
    let (outcome, ()) = tokio::join!(audit, reload);
    assert_eq!(outcome, AuditOutcome::Replaced);
    assert!(auditor.published.read(crate::engine::published::Present::store_works));
    assert!(!auditor.take_up_plan(&source).await.unwrap());
}

/// A source whose snapshot a test holds back.
#[derive(Default)]
struct Held {
    snapshot: RawSnapshot,
    asked: Notify,
    released: Notify,
}

impl Source for Held {
    fn fetch(&self, _: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        Box::pin(async {
            self.asked.notify_one();
            self.released.notified().await;
            Ok(self.snapshot.clone())
        })
    }
}

/// Session and rule of each open drift.
fn drifts(auditor: &Auditor, source: &Name) -> Vec<String> {
    let state = auditor.published.state(source);
    let incidents = state.sessions.values().flat_map(|session| &session.incidents);
    let rule = |key: &crate::domain::incident::IncidentKey| Some(format!("{}: {}", key.session()?, key.rule()?.0));
    incidents.filter(|incident| incident.is_open()).filter_map(|incident| rule(&incident.key)).collect()
}

fn reload(auditor: &Auditor, plans: impl IntoIterator<Item = SourcePlan>, source: Option<(Name, Arc<dyn Source>)>) {
    let plans = plans.into_iter().map(|plan| (plan.name.clone(), plan)).collect();
    let sources = Arc::new(source.into_iter().collect());
    auditor.published.replace_plans(Arc::new(plans), || auditor.sources.replace(sources));
}

#[tokio::test]
async fn an_audit_under_way_ends_under_the_plan_that_it_began_with_and_the_next_uses_the_new_one() {
    let mut harness = Harness::new();
    harness.world.tick("1", "export", true);
    let running = harness.start().await;
    let (auditor, source) = (&running.auditor, harness.world.plan.name.clone());
    let held = Arc::new(Held { snapshot: harness.world.raw_snapshot(), ..Held::default() });
    let adapter = || Some((source.clone(), Arc::clone(&held) as Arc<dyn Source>));
    reload(auditor, [harness.world.plan.clone()], adapter());
    // Of export, it demands the opposite.
    let rule = || vec![world::rule("export-on", "export", Expectation::Ticked, Severity::Critical)];
    let new = world::plan("erp", world::contacts(), ["1", "2"].map(|id| world::session(id, rule())));

    let due = Due::All;
    let reloaded = async {
        held.asked.notified().await;
        reload(auditor, [new], adapter());
        held.released.notify_one();
    };
    let (outcome, ()) = tokio::join!(auditor.run(&source, &due), reloaded);
    assert_eq!(outcome, AuditOutcome::Polled { opened: 1, ended: 0 });
    assert_eq!(drifts(auditor, &source), ["1: export-off"]);

    assert!(auditor.take_up_plan(&source).await.unwrap());
    held.released.notify_one();
    assert_eq!(auditor.run(&source, &due).await, AuditOutcome::Polled { opened: 1, ended: 1 });
    assert_eq!(drifts(auditor, &source), ["2: export-on"]);
}

#[tokio::test]
async fn a_removed_source_is_notified_to_the_recipients_that_it_had_and_not_to_those_of_another_customer() {
    let (owner, ops, run) = ("owner@acme.example", "ops@integrator.example", "run@acme.example");
    for (fallback, operators, expected) in
        [(Some(ops), Some(run), &[owner, run][..]), (Some(ops), None, &[ops, owner]), (None, None, &[owner])]
    {
        let with = |fallback: Option<&str>, operators: Option<&str>| {
            let (fallback, operators) = (fallback.map(address), operators.map(address));
            let (fallback, operators) = (fallback.into_iter().collect(), operators.into_iter().collect());
            Arc::new(Contacts { fallback, operators, ..Contacts::clone(&world::contacts()) })
        };
        let mut harness = Harness::new();
        harness.world.plan.contacts = with(fallback, operators);
        harness.world.tick("1", "customer_validation_1", false);
        let running = harness.start().await;
        let (auditor, source) = (&running.auditor, harness.world.plan.name.clone());
        assert_eq!(running.audit().await.1, 1, "a warning is the owner's alone");
        let other = world::plan("other", with(Some("b@b.example"), Some("run@b.example")), []);
        // The task takes up two reloads at once.
        reload(auditor, [harness.world.plan.clone(), other.clone()], None);
        reload(auditor, [other], None);
        assert!(!auditor.take_up_plan(&source).await.unwrap());
        running.alert().await;
        let rows = running.rows().await;
        let mut told = rows
            .iter()
            .filter(|row| row.kind == NotificationKind::Unaudited)
            .map(|row| row.to.as_str())
            .collect::<Vec<_>>();
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}
