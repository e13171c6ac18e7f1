//! An audit with its alerting, and a delivery, that end between any two of their steps, also between the two commits of an audit:
//! the future is dropped after it was polled once, twice, three times, until it completes; a new engine then goes on with the
//! file.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::harness::Harness;
use crate::engine::audit::AuditOutcome;

/// When it dies: as soon as it waits for something, or once that has happened and before it goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    Waiting,
    Woken,
}

/// The outcome of `work`, unless it needs to be polled more than `polls` times.
pub(super) async fn dies_after<T>(polls: u32, moment: Moment, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut polled = 0;
    poll_fn(move |context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polled == polls && matches!(moment, Moment::Waiting) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// More steps than any cycle has: without a limit the test would never fail.
pub(super) const MOST: u32 = 2_000;

#[tokio::test]
async fn an_audit_and_its_alerting_that_die_between_any_two_steps_lose_nothing_and_send_nothing_twice() {
    let harness = Harness::new();
    harness.live().await;
    let before = harness.bytes().await;
    for moment in [Moment::Waiting, Moment::Woken] {
        let mut steps = 0;
        for polls in 1..MOST {
            let mut harness = Harness::with(Some(&before));
            harness.world.tick("1", "export", true);
            harness.world.set("2", "Postcodes", &crate::domain::reading::RawValue::text("allowed"));
            let running = harness.start().await;
            let lived = dies_after(polls, moment, running.audit()).await.is_some();
            drop(running);
            harness.live().await;
            harness.world.tick("1", "export", false);
            let after = harness.live().await;
            let case = format!("dead after {polls} ({moment:?})");
            assert!(matches!(after, (AuditOutcome::Polled { opened: 0, ended: 1 }, 2)), "{case}: {after:?}");
            harness.check(&case).await;
            if lived {
                steps = polls;
                break;
            }
        }
        assert!(steps > 5, "an audit has {steps} steps ({moment:?})");
        println!("an audit was killed at {steps} steps ({moment:?})");
    }
}

#[tokio::test]
async fn a_delivery_that_dies_between_any_two_steps_repeats_only_under_the_same_id() {
    let mut harness = Harness::new();
    harness.live().await;
    harness.world.tick("1", "export", true);
    harness.start().await.audit().await;
    harness.world.tick("2", "export", true);
    harness.start().await.audit().await;
    let (world, before) = (World::of(&harness), harness.bytes().await);
    for moment in [Moment::Waiting, Moment::Woken] {
        let mut steps = 0;
        for polls in 1..MOST {
            let mut harness = Harness::with(Some(&before));
            world.give(&mut harness);
            let running = harness.start().await;
            let lived = dies_after(polls, moment, running.dispatcher.run_round()).await.is_some();
            drop(running);
            harness.live().await;
            harness.check(&format!("dead after {polls} ({moment:?})")).await;
            if lived {
                steps = polls;
                break;
            }
        }
        assert!(steps > 5, "a delivery has {steps} steps ({moment:?})");
        println!("a delivery was killed at {steps} steps ({moment:?})");
    }
    let mut repeats = 0;
    for point in 0..8 {
        let mut harness = Harness::with(Some(&before));
        world.give(&mut harness);
        let running = harness.start().await;
        harness.post.hang_after(Some(point));
        tokio::select! {
            round = running.dispatcher.run_round() => panic!("point {point}: {round:?}"),
            () = harness.post.hung.notified() => {}
        }
        drop(running);
        harness.post.hang_after(None);
        harness.live().await;
        harness.check(&format!("dead at point {point}")).await;
        repeats += harness.post.accepted().len() - 4;
    }
    assert!(
        repeats >= 4,
        "{repeats} outbound came twice: each of four deaths between acceptance and record repeats one"
    );
}

/// The rows of a source, to pass to another harness.
struct World(Vec<(String, Vec<(String, crate::domain::reading::RawValue)>)>);

impl World {
    fn of(harness: &Harness) -> Self {
        Self(harness.world.rows.clone())
    }

    fn give(&self, harness: &mut Harness) {
        harness.clock.advance(chrono::TimeDelta::hours(1));
        harness.world.rows = self.0.clone();
    }
}
