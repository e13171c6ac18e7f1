//! Polls that are due or pending when a reload renames a source or moves a session to another schedule.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::harness::{Harness, Running};
use crate::domain::incident::IncidentKind;
use crate::domain::name::Rename;
use crate::domain::plan::Due;
use crate::domain::schedule::{Schedule, ScheduleKey};
use crate::domain::state::SourceState;
use crate::domain::world::{id, name, start};
use crate::engine::audit::AuditOutcome;
use crate::engine::source_task::SourceTask;

/// Puts a session on another schedule; returns the key of it.
fn on(harness: &mut Harness, session: &str, expression: &str) -> ScheduleKey {
    let schedule = Schedule::parse(expression, chrono_tz::UTC, start()).unwrap();
    let key = schedule.key();
    harness.world.plan.sessions.get_mut(&id(session)).unwrap().schedule = schedule;
    key
}

const YEARLY: &str = "0 0 1 1 *";
const LATER: &str = "0 0 2 1 *";

/// A source whose sessions are due once a year, with the key of that schedule.
fn yearly() -> (Harness, ScheduleKey) {
    let mut harness = Harness::new();
    let [key, _] = ["1", "2"].map(|session| on(&mut harness, session, YEARLY));
    (harness, key)
}

/// The task of the source, with nothing to do yet.
fn task(harness: &Harness, running: &Running) -> SourceTask {
    SourceTask {
        source: harness.world.plan.name.clone(),
        mailbox: Arc::default(),
        auditor: Arc::clone(&running.auditor),
        clock: Arc::new(harness.clock.clone()),
    }
}

/// Runs the task while the script does.
async fn run(task: &SourceTask, script: impl Future<Output = ()>) {
    tokio::select! {
        ended = task.run(CancellationToken::new()) => panic!("{ended:?}"),
        () = script => {}
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("polls are missing: {:?}", state(task).record),
    }
}

/// Waits until the source was polled so often, and the task has taken note of it.
async fn polled(task: &SourceTask, times: u64) {
    while state(task).record.polls < times {
        tokio::task::yield_now().await;
    }
    drop(task.mailbox.working().await);
}

fn state(task: &SourceTask) -> Arc<SourceState> {
    task.auditor.published.state(&task.source)
}

fn failed_polls(task: &SourceTask) -> u32 {
    state(task).unreachable.as_ref().unwrap().failed_polls
}

#[tokio::test]
async fn a_source_renamed_after_one_failed_poll_is_polled_again_and_its_grace_period_ends() {
    let (mut harness, key) = yearly();
    harness.live().await;
    harness.set_reachable(false);
    let running = harness.start().await;
    let former = task(&harness, &running);
    former.mailbox.due([key]);
    run(&former, polled(&former, 2)).await;
    assert_eq!(failed_polls(&former), 1);

    let rename = Rename { from: harness.world.plan.name.clone(), to: name("shop") };
    running.store.rename(std::slice::from_ref(&rename)).await.unwrap();
    running.auditor.published.rename(&rename);
    running.alerting.pause().await.rename(&rename);
    harness.world.plan.name = rename.to;
    harness.reload(&running);
    let renamed = task(&harness, &running);
    renamed.mailbox.reloaded();
    run(&renamed, polled(&renamed, 3)).await;
    assert_eq!(failed_polls(&renamed), 2);
    harness.clock.advance(TimeDelta::hours(1));
    assert!(running.alert().await.notifications() > 0);
}

#[tokio::test]
async fn a_retry_covers_a_session_that_a_reload_moves_to_another_schedule() {
    for both_move in [false, true] {
        let (mut harness, key) = yearly();
        let running = harness.start().await;
        let task = task(&harness, &running);
        let script = async {
            task.mailbox.due([key.clone()]);
            polled(&task, 1).await;
            harness.set_reachable(false);
            harness.reload(&running);
            task.mailbox.due([key]);
            polled(&task, 2).await;
            assert_eq!(failed_polls(&task), 1);

            harness.set_reachable(true);
            harness.world.tick("2", "export", true);
            on(&mut harness, "2", LATER);
            if both_move {
                on(&mut harness, "1", LATER);
            }
            harness.reload(&running);
            task.mailbox.reloaded();
            polled(&task, 3).await;
        };
        run(&task, script).await;
        let state = state(&task);
        assert!(state.unreachable.is_none());
        assert_eq!(state.sessions[&id("2")].open(IncidentKind::Drift).count(), 1, "both move: {both_move}");
    }
}

#[tokio::test]
async fn a_poll_that_waits_for_its_turn_covers_a_session_that_a_reload_moves_meanwhile() {
    let (mut harness, key) = yearly();
    harness.live().await;
    let running = harness.start().await;
    let source = harness.world.plan.name.clone();
    let place = running.auditor.polls.turn(None).await;
    let due = Due::Schedules([key].into());
    let audit = running.auditor.run(&source, &due);
    let reload = async {
        harness.world.tick("2", "export", true);
        on(&mut harness, "2", LATER);
        harness.reload(&running);
        drop(place);
    };
    let (outcome, ()) = tokio::join!(audit, reload);
    assert_eq!(outcome, AuditOutcome::Polled { opened: 1, ended: 0 });
}
