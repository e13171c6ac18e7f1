//! The clock set back and forth between audits and deliveries, and a machine that slept.

use chrono::TimeDelta;

use super::harness::Harness;
use super::post_office::refusal;
use crate::domain::world::start;
use crate::engine::audit::AuditOutcome;
use crate::notify::{Obstacle, SendError};
use crate::store::NotificationState;

fn polled((outcome, notifications): &(AuditOutcome, usize)) -> (usize, usize, usize) {
    match outcome {
        AuditOutcome::Polled { opened, ended } => (*opened, *ended, *notifications),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_set_back_or_forth_between_audits_loses_and_repeats_nothing() {
    let jumps =
        [TimeDelta::days(1), TimeDelta::days(-2), TimeDelta::seconds(-1), TimeDelta::zero(), TimeDelta::days(400)];
    for jump in jumps {
        let mut harness = Harness::new();
        harness.world.plan.alerts.remind_every = None;
        harness.live().await;
        harness.world.tick("1", "export", true);
        harness.clock.advance(jump);
        assert_eq!(polled(&harness.live().await), (1, 0, 2), "{jump}: it opens");
        harness.clock.advance(-jump);
        let again = polled(&harness.live().await);
        assert_eq!((again.0, again.1), (0, 0), "{jump}: it is open already");
        assert_eq!(again.2, 0, "{jump}: nothing new to tell");
        harness.world.tick("1", "export", false);
        harness.clock.advance(-jump);
        assert_eq!(polled(&harness.live().await), (0, 1, 2), "{jump}: it ends");
        harness.check(&jump.to_string()).await;
    }
}

#[tokio::test]
async fn two_audits_in_the_same_instant_send_two_messages() {
    let mut harness = Harness::new();
    harness.live().await;
    for ticked in [true, false, true] {
        harness.world.tick("1", "export", ticked);
        let running = harness.start().await;
        assert_eq!(polled(&running.audit().await).2, 2);
        running.dispatcher.run_round().await.unwrap();
    }
    harness.check("the clock stood still").await;
}

#[tokio::test]
async fn a_source_that_is_down_is_notified_once_wherever_the_clock_goes() {
    for jump in [TimeDelta::zero(), TimeDelta::days(-1), TimeDelta::days(1)] {
        let mut harness = Harness::new();
        harness.live().await;
        harness.set_reachable(false);
        harness.live().await;
        harness.clock.advance(jump);
        for _ in 0..12 {
            harness.clock.advance(TimeDelta::hours(4));
            harness.live().await;
        }
        harness.set_reachable(true);
        harness.live().await;
        let sent = harness.post.of("ops@integrator.example");
        let first = sent.iter().filter(|body| body.starts_with("unreachable")).count();
        let ends = sent.iter().filter(|body| body.starts_with("recovered")).count();
        assert_eq!((first, ends), (1, 1), "{jump}: {sent:?}");
    }
}

#[tokio::test]
async fn mail_recorded_or_put_off_by_a_clock_that_was_ahead_leaves_when_it_is_set_right() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.clock.advance(TimeDelta::days(3));
    running.post(0, "anna@acme.example").await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    running.dispatcher.run_round().await.unwrap();
    running.post(1, "ben@acme.example").await;
    harness.post.down(None);
    harness.clock.set(start());
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(20)).await;
    assert_eq!(running.states().await, [0, 0, 2, 0]);
}

#[tokio::test]
async fn after_days_asleep_mail_that_waits_is_tried_and_arrives() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    running.post(0, "anna@acme.example").await;
    running.dispatcher.run_round().await.unwrap();
    harness.clock.advance(TimeDelta::hours(60));
    harness.post.down(None);
    assert_eq!(running.dispatcher.run_round().await.unwrap().sent, 1);
}

#[tokio::test]
async fn time_in_which_the_dispatcher_did_not_run_does_not_age_a_notification() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    running.post(0, "anna@acme.example").await;
    harness.clock.advance(TimeDelta::days(4));
    assert_eq!(running.dispatcher.run_round().await.unwrap().dead, 0, "its first attempt was not its last");
    harness.clock.advance(TimeDelta::days(4));
    assert_eq!(running.dispatcher.run_round().await.unwrap().dead, 0, "nor was the second");
    drop(running);
    // The dispatcher does not run while no process does.
    harness.clock.advance(TimeDelta::days(4));
    let running = harness.start().await;
    running.deliver_until(&harness.clock, start() + TimeDelta::days(14)).await;
    assert_eq!(running.states().await, [0, 1, 0, 0]);
    harness.post.down(None);
    running.deliver_until(&harness.clock, start() + TimeDelta::days(14) + TimeDelta::minutes(20)).await;
    assert_eq!(running.states().await, [0, 0, 1, 0]);
    assert_eq!(harness.post.of("anna@acme.example"), ["number 0"]);
}

#[tokio::test]
async fn a_message_tried_for_72_hours_is_dead_however_often_the_machine_slept() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    running.post(0, "anna@acme.example").await;
    // The machine is awake by day: each day counts for little more than twelve hours of trying.
    for day in 0..5 {
        running.deliver_until(&harness.clock, start() + TimeDelta::days(day) + TimeDelta::hours(12)).await;
        assert_eq!(running.states().await, [0, 1, 0, 0], "day {day}");
        harness.clock.set(start() + TimeDelta::days(day + 1));
    }
    running.deliver_until(&harness.clock, start() + TimeDelta::days(5) + TimeDelta::hours(12)).await;
    assert_eq!(running.states().await, [0, 0, 0, 1]);
}

fn throttled(wait: TimeDelta) -> SendError {
    SendError { retry_after: Some(wait.to_std().unwrap()), ..refusal(Obstacle::Deferred, false) }
}

#[tokio::test]
async fn a_wait_that_a_server_asks_for_is_kept_up_to_a_day() {
    for (asked, kept) in [(TimeDelta::hours(6), TimeDelta::hours(6)), (TimeDelta::days(30), TimeDelta::days(1))] {
        let harness = Harness::new();
        let running = harness.start().await;
        harness.post.down(Some(throttled(asked)));
        running.post(0, "anna@acme.example").await;
        running.deliver_until(&harness.clock, start() + kept - TimeDelta::seconds(1)).await;
        assert_eq!(harness.post.attempts("anna@acme.example"), 1, "{asked}");
        harness.post.down(None);
        running.deliver_until(&harness.clock, start() + kept).await;
        assert_eq!(running.states().await, [0, 0, 1, 0], "{asked}");
    }
}

#[tokio::test]
async fn long_waits_that_a_server_asks_for_count_towards_the_72_hours() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(throttled(TimeDelta::hours(20))));
    running.post(0, "anna@acme.example").await;
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(79)).await;
    assert_eq!((harness.post.attempts("anna@acme.example"), running.states().await), (4, [0, 1, 0, 0]));
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(80)).await;
    assert_eq!((harness.post.attempts("anna@acme.example"), running.states().await), (5, [0, 0, 0, 1]));
}

#[tokio::test]
async fn a_long_wait_ends_when_the_clock_is_set_back_behind_its_beginning() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.clock.advance(TimeDelta::days(3));
    harness.post.down(Some(throttled(TimeDelta::hours(6))));
    running.post(0, "anna@acme.example").await;
    running.dispatcher.run_round().await.unwrap();
    harness.post.down(None);
    harness.clock.set(start());
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(20)).await;
    assert_eq!(running.states().await, [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_message_behind_one_that_dies_counts_only_its_own_time() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    running.post(0, "anna@acme.example").await;
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(10)).await;
    running.post(1, "anna@acme.example").await;
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(73)).await;
    assert_eq!(running.states().await, [0, 1, 0, 1]);
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(81 * 60 + 59)).await;
    assert_eq!(running.states().await, [0, 1, 0, 1]);
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(82 * 60 + 20)).await;
    assert_eq!(running.states().await, [0, 0, 0, 2]);
    // Days without mail do not count either.
    running.deliver_until(&harness.clock, start() + TimeDelta::days(30)).await;
    running.post(2, "anna@acme.example").await;
    running.deliver_until(&harness.clock, start() + TimeDelta::days(30) + TimeDelta::minutes(71 * 60 + 59)).await;
    assert_eq!(running.rows().await[2].state, NotificationState::Retrying);
    running.deliver_until(&harness.clock, start() + TimeDelta::days(30) + TimeDelta::minutes(72 * 60 + 20)).await;
    assert_eq!(running.rows().await[2].state, NotificationState::Dead);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_a_message_alive_for_ever() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    harness.clock.advance(TimeDelta::days(400));
    running.post(0, "anna@acme.example").await;
    running.dispatcher.run_round().await.unwrap();
    harness.clock.set(start());
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(71 * 60)).await;
    assert_eq!(running.states().await, [0, 1, 0, 0]);
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(74)).await;
    assert_eq!(running.states().await, [0, 0, 0, 1]);
}
