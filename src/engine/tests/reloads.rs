//! Audits that meet a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::harness::Harness;
use crate::domain::plan::Due;
use crate::engine::audit::AuditOutcome;

/// Its source is gone, which is no failure of the store: nothing is left to make up for, and the program stays ready.
#[tokio::test]
async fn a_poll_whose_source_a_reload_removes_while_it_waits_for_its_turn_is_no_failure() {
    let harness = Harness::new();
    let running = harness.start().await;
    let (auditor, source) = (&running.auditor, harness.world.plan.name.clone());
    let place = auditor.polls.turn(None).await;
    let due = Due::All;
    let audit = auditor.run(&source, &due);
    let reload = async {
        // The audit was begun before this, and waits.
        auditor.published.replace_plans(Arc::default(), || auditor.sources.replace(Arc::new(BTreeMap::new())));
        drop(place);
    };
    let (outcome, ()) = tokio::join!(audit, reload);
    assert_eq!(outcome, AuditOutcome::Replaced);
    assert!(auditor.published.read(crate::engine::published::Present::store_works));
    assert!(!auditor.take_up_plan(&source).await.unwrap());
}
