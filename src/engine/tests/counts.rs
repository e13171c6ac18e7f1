//! The polls and commits that an audit counts, and those that it does not.

use std::sync::Arc;

use chrono::TimeDelta;

use super::harness::Harness;
use crate::clock::Clock as _;
use crate::engine::audit::AuditOutcome;
use crate::source::{Failure, FetchError};

#[tokio::test]
async fn a_poll_that_made_no_request_is_neither_timed_nor_counted() {
    let mut harness = Harness::new();
    let held_back = FetchError { asked: false, ..FetchError::new(Failure::Auth, "it waits after a refused sign-in") };
    harness.fail_with(held_back);
    let running = harness.start().await;
    assert!(matches!(running.audit().await.0, AuditOutcome::Unreachable { .. }));
    let timed = "driftwise_audit_duration_seconds_count{phase=\"fetch\"}";
    let requests = "driftwise_source_requests_total{outcome=\"auth\",source=\"erp\"}";
    assert_eq!((running.metric(timed), running.metric(requests)), (0, 0));
    drop(running);
    harness.fail_with(FetchError::new(Failure::Auth, "the sign-in was refused"));
    let running = harness.start().await;
    running.audit().await;
    assert_eq!((running.metric(timed), running.metric(requests)), (1, 1));
}

#[tokio::test]
async fn a_poll_that_this_machine_could_not_make_changes_nothing_and_notifies_no_recipient() {
    let mut harness = Harness::new();
    harness.live().await;
    let lacking = FetchError { asked: false, ..FetchError::new(Failure::OwnLimit, "no descriptor is left") };
    harness.fail_with(lacking);
    let running = harness.start().await;
    let state = || format!("{:?}", running.auditor.published.state(&harness.world.plan.name));
    let before = state();
    for _ in 0..3 {
        harness.clock.advance(TimeDelta::hours(2));
        let outcome = running.audit().await;
        assert_eq!(outcome, (AuditOutcome::NotAsked { reason: "no descriptor is left".to_owned() }, 0));
    }
    assert_eq!(state(), before);
    assert_eq!(running.metric("driftwise_source_requests_total{outcome=\"own_limit\",source=\"erp\"}"), 3);
    assert_eq!(running.metric("driftwise_audits_total{outcome=\"unreachable\",source=\"erp\"}"), 0);
    assert_eq!(running.metric("driftwise_audit_duration_seconds_count{phase=\"record\"}"), 0);
}

#[tokio::test]
async fn alerting_that_fails_records_nothing_and_derives_it_again() {
    let mut harness = Harness::new();
    harness.live().await;
    harness.world.tick("1", "export", true);
    let running = harness.start().await;
    harness.post.break_down(true);
    let (outcome, notifications) = running.audit().await;
    assert!(matches!(outcome, AuditOutcome::Polled { opened: 1, .. }), "what was found is recorded: {outcome:?}");
    assert_eq!(notifications, 0);
    let errors = "driftwise_store_errors_total{operation=\"notify\"}";
    assert_eq!(running.metric(errors), 1);
    let again = running.alert().await.next();
    assert_eq!(again, Some(harness.clock.now() + chrono::TimeDelta::seconds(5)));
    harness.post.break_down(false);
    assert_eq!(running.alert().await.notifications(), 2);
    running.dispatcher.run_round().await.unwrap();
    drop(running);
    harness.check("whole at last").await;
}

#[tokio::test]
async fn the_state_of_a_source_is_changed_in_place_and_never_copied() {
    let mut harness = Harness::new();
    harness.live().await;
    harness.world.tick("1", "export", true);
    let running = harness.start().await;
    let place = || Arc::as_ptr(&running.auditor.published.state(&harness.world.plan.name));
    let before = place();
    assert!(matches!(running.audit().await.0, AuditOutcome::Polled { opened: 1, .. }));
    assert!(matches!(running.audit().await.0, AuditOutcome::Polled { opened: 0, .. }));
    assert_eq!(place(), before, "something held it, so a large state would be copied at every poll");
}
