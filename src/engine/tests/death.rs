//! An audit and a delivery that end between any two of their steps: the future is dropped after it was polled once, twice,
//! three times, until it comes through; a new engine then goes on with what is in the file.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::house::House;
use crate::engine::audit::Outcome;

/// When it dies: as soon as it waits for something, or when that has come about and it is about to go on.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Waiting,
    Woken,
}

/// The outcome of `work`, unless it needs to be polled more than `polls` times.
async fn dies_after<T>(polls: u32, moment: Moment, work: impl Future<Output = T>) -> Option<T> {
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

/// More steps than any cycle has: without an end the test would never fail.
const MOST: u32 = 2_000;

#[tokio::test]
async fn an_audit_that_dies_between_any_two_steps_loses_nothing_and_tells_nothing_twice() {
    let house = House::new();
    house.live().await;
    let before = house.bytes().await;
    for moment in [Moment::Waiting, Moment::Woken] {
        let mut steps = 0;
        for polls in 1..MOST {
            let mut house = House::with(Some(&before));
            house.world.tick("1", "export", true);
            house.world.set("2", "Postcodes", &crate::domain::reading::Cell::text("allowed"));
            let running = house.start().await;
            let lived = dies_after(polls, moment, running.audit()).await.is_some();
            drop(running);
            house.live().await;
            house.world.tick("1", "export", false);
            let after = house.live().await;
            let case = format!("dead after {polls} ({moment:?})");
            assert!(matches!(after, Outcome::Looked { opened: 0, ended: 1, messages: 2 }), "{case}: {after:?}");
            house.check(&case).await;
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
    let mut house = House::new();
    house.live().await;
    house.world.tick("1", "export", true);
    house.start().await.audit().await;
    house.world.tick("2", "export", true);
    house.start().await.audit().await;
    let (world, before) = (World::of(&house), house.bytes().await);
    for moment in [Moment::Waiting, Moment::Woken] {
        let mut steps = 0;
        for polls in 1..MOST {
            let mut house = House::with(Some(&before));
            world.give(&mut house);
            let running = house.start().await;
            let lived = dies_after(polls, moment, running.courier.run_round()).await.is_some();
            drop(running);
            house.live().await;
            house.check(&format!("dead after {polls} ({moment:?})")).await;
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
        let mut house = House::with(Some(&before));
        world.give(&mut house);
        let running = house.start().await;
        house.post.hang_after(Some(point));
        tokio::select! {
            round = running.courier.run_round() => panic!("point {point}: {round:?}"),
            () = house.post.hung.notified() => {}
        }
        drop(running);
        house.post.hang_after(None);
        house.live().await;
        house.check(&format!("dead at point {point}")).await;
        repeats += house.post.accepted().len() - 4;
    }
    assert!(
        repeats >= 4,
        "{repeats} letters came twice: each of four deaths between acceptance and record repeats one"
    );
}

/// The rows of a source, to be given to another house.
struct World(Vec<(String, Vec<(String, crate::domain::reading::Cell)>)>);

impl World {
    fn of(house: &House) -> Self {
        Self(house.world.rows.clone())
    }

    fn give(&self, house: &mut House) {
        house.clock.advance(chrono::TimeDelta::hours(1));
        house.world.rows = self.0.clone();
    }
}
