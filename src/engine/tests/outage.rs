//! Mail that is down, refused, stalled or held by the rate limit, and a store that fails under a delivery.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt as _;

use super::channels::follow_up;
use super::harness::{Harness, Running, in_order};
use super::post_office::refusal;
use crate::clock::Clock as _;
use crate::domain::world::start;
use crate::notify::{Obstacle, SendError};
use crate::store::{NotificationState, Outgoing};

const PEOPLE: [&str; 3] = ["anna@acme.example", "ben@acme.example", "cleo@acme.example"];

#[tokio::test]
async fn after_a_day_without_mail_everything_arrives_once_and_in_order() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Connect, false)));
    for hour in 0..24 {
        harness.clock.set(start() + TimeDelta::hours(hour));
        for (number, to) in (hour * 10..).zip(PEOPLE) {
            running.post(usize::try_from(number).unwrap(), to).await;
        }
        running.deliver_until(&harness.clock, start() + TimeDelta::hours(hour + 1)).await;
    }
    assert_eq!(running.states().await, [69, 3, 0, 0], "only the head of each line is tried");
    let attempts = harness.post.attempts(PEOPLE[0]);
    assert!((80..=140).contains(&attempts), "{attempts} attempts a mailbox in a day");

    harness.post.down(None);
    let round = running.deliver_until(&harness.clock, start() + TimeDelta::minutes(24 * 60 + 20)).await;
    assert_eq!((round.sent, round.dead, round.next), (72, 0, None));
    assert_eq!(harness.post.accepted().len(), 72);
    in_order(&running.rows().await, &harness.post.accepted(), "a day later");
    assert_eq!(running.states().await, [0, 0, 72, 0]);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_for_72_hours_is_dead_and_holds_nothing_back() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.refuse(PEOPLE[0], refusal(Obstacle::Deferred, false));
    running.post(1, PEOPLE[0]).await;
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(71 * 60 + 59)).await;
    assert_eq!(running.states().await, [0, 1, 0, 0]);
    running.post(2, PEOPLE[0]).await;
    let round = running.deliver_until(&harness.clock, start() + TimeDelta::minutes(72 * 60 + 20)).await;
    assert_eq!(round.dead, 1);
    let rows = running.rows().await;
    assert_eq!((rows[0].state, rows[1].state), (NotificationState::Dead, NotificationState::Retrying));
    assert_eq!(running.metric("driftwise_notifications_total{channel=\"email\",kind=\"test\",outcome=\"dead\"}"), 1);
}

#[tokio::test]
async fn a_mailbox_that_is_refused_permanently_is_dead_at_once_and_delays_no_other() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.refuse(PEOPLE[1], refusal(Obstacle::Rejected, true));
    for number in 0..4 {
        for (person, to) in PEOPLE.into_iter().enumerate() {
            running.post(number * 10 + person, to).await;
            running.post(number * 10 + person + 100, &format!("{number}{to}")).await;
        }
    }
    let round = running.dispatcher.run_round().await.unwrap();
    assert_eq!((round.sent, round.dead, round.retrying, round.next), (20, 4, 0, None));
    assert_eq!(harness.post.attempts(PEOPLE[1]), 4);
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_not_tried_before() {
    let harness = Harness::new();
    let running = harness.start().await;
    let wait = Duration::from_mins(10);
    harness.post.refuse(PEOPLE[0], SendError { retry_after: Some(wait), ..refusal(Obstacle::Deferred, false) });
    running.post(1, PEOPLE[0]).await;
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(9)).await;
    assert_eq!(harness.post.attempts(PEOPLE[0]), 1);
    running.deliver_until(&harness.clock, start() + TimeDelta::minutes(19)).await;
    assert_eq!(harness.post.attempts(PEOPLE[0]), 2);
}

#[tokio::test]
async fn a_mailbox_that_stalls_delays_no_other() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.stall(PEOPLE[0]);
    running.post(0, PEOPLE[0]).await;
    running.post(1, PEOPLE[0]).await;
    for number in 2..20 {
        running.post(number, PEOPLE[1 + number % 2]).await;
    }
    let others_are_served = async {
        while harness.post.accepted().len() < 18 {
            harness.post.asked.notified().await;
            tokio::task::yield_now().await;
        }
        assert!(harness.post.of(PEOPLE[0]).is_empty());
        while harness.post.attempts(PEOPLE[0]) < 2 {
            harness.post.go_on.notify_one();
            tokio::task::yield_now().await;
        }
        harness.post.go_on.notify_one();
    };
    let (round, ()) = tokio::join!(running.dispatcher.run_round(), others_are_served);
    assert_eq!(round.unwrap().sent, 20);
    in_order(&running.rows().await, &harness.post.accepted(), "stalled");
}

/// Replaces the update that is being sent to the first of `PEOPLE`, and returns when the dispatcher has chosen what to send next.
async fn replace_under_way(harness: &Harness, running: &Running) {
    while harness.post.attempts(PEOPLE[0]) == 0 {
        harness.post.asked.notified().await;
    }
    let later = Outgoing { follows_up: follow_up(1, PEOPLE[0]).follows_up, ..follow_up(2, PEOPLE[0]) };
    running.store.post(&[later, follow_up(3, PEOPLE[1])]).await.unwrap();
    running.bells.recorded.notify_one();
    while harness.post.of(PEOPLE[1]).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Lets every send to the first of `PEOPLE` go on.
async fn go_on(harness: &Harness) {
    loop {
        harness.post.go_on.notify_one();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_follow_up_that_replaces_one_under_way_leaves_after_it() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.stall(PEOPLE[0]);
    running.store.post(&[follow_up(1, PEOPLE[0])]).await.unwrap();
    let replace = async {
        replace_under_way(&harness, &running).await;
        assert_eq!(harness.post.attempts(PEOPLE[0]), 1, "the later one could overtake the one under way");
        go_on(&harness).await;
    };
    tokio::select! {
        round = running.dispatcher.run_round() => assert_eq!(round.unwrap().sent, 3),
        () = replace => {}
    }
    assert_eq!(harness.post.of(PEOPLE[0]), ["number 1", "number 2"]);
    assert_eq!(running.states().await, [0, 0, 3, 0], "what was accepted was sent, replaced or not");
}

#[tokio::test]
async fn an_attempt_that_fails_after_its_notification_was_replaced_counts_for_nothing() {
    for permanent in [false, true] {
        let harness = Harness::new();
        let running = harness.start().await;
        harness.post.stall(PEOPLE[0]);
        harness.post.refuse(PEOPLE[0], refusal(Obstacle::Rejected, permanent));
        running.store.post(&[follow_up(1, PEOPLE[0])]).await.unwrap();
        let replace = async {
            replace_under_way(&harness, &running).await;
            go_on(&harness).await;
        };
        let failed = u32::from(!permanent);
        tokio::select! {
            round = running.dispatcher.run_round() => {
                let round = round.unwrap();
                assert_eq!((round.sent, round.retrying, round.dead), (1, failed, 1 - failed));
            }
            () = replace => {}
        }
        assert_eq!(harness.post.attempts(PEOPLE[0]), 2);
        let rows = running.rows().await;
        assert_eq!((rows[0].state, rows[0].attempts), (NotificationState::Superseded, 0));
        assert_eq!((rows[1].to.as_str(), rows[1].attempts), (PEOPLE[0], 1));
        if permanent {
            let dead = "driftwise_notifications_total{channel=\"email\",kind=\"update\",outcome=\"dead\"}";
            assert_eq!(running.metric(dead), 1);
        }
    }
}

/// Lets seconds pass until so many attempts were made at `to`: far more slowly than the store works.
async fn until_attempted(times: usize, to: &str, harness: &Harness, running: &Running) {
    for _ in 0..100 {
        if harness.post.attempts(to) == times {
            return;
        }
        harness.clock.advance(TimeDelta::seconds(1));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        for _ in 0..3 {
            running.states().await;
        }
    }
    panic!("{} attempts at {to}, not {times}", harness.post.attempts(to));
}

#[tokio::test]
async fn a_retry_that_falls_due_is_made_beside_a_mailbox_that_stalls() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.stall(PEOPLE[0]);
    harness.post.refuse(PEOPLE[1], refusal(Obstacle::Deferred, false));
    running.post(0, PEOPLE[0]).await;
    running.post(1, PEOPLE[1]).await;
    let time_passes = async {
        while running.states().await != [1, 1, 0, 0] {}
        until_attempted(2, PEOPLE[1], &harness, &running).await;
        harness.post.go_on.notify_one();
    };
    let (round, ()) = tokio::join!(running.dispatcher.run_round(), time_passes);
    let round = round.unwrap();
    assert_eq!((round.sent, round.retrying), (1, 2));
}

#[tokio::test]
async fn messages_that_the_rate_limiter_held_back_leave_beside_a_mailbox_that_stalls() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(2).await;
    harness.post.stall(PEOPLE[0]);
    for (number, to) in PEOPLE.into_iter().enumerate() {
        running.post(number, to).await;
    }
    let time_passes = async {
        while running.states().await != [2, 0, 1, 0] {}
        until_attempted(1, PEOPLE[2], &harness, &running).await;
        harness.post.go_on.notify_one();
    };
    let (round, ()) = tokio::join!(running.dispatcher.run_round(), time_passes);
    assert_eq!(round.unwrap().sent, 3);
}

#[tokio::test]
async fn mailboxes_that_fall_silent_leave_a_connection_to_the_others() {
    let harness = Harness::new();
    let running = harness.start().await;
    let silent = ["stuck1@acme.example", "stuck2@acme.example", "stuck3@acme.example"];
    for (number, to) in silent.into_iter().enumerate() {
        harness.post.stall(to);
        harness.post.refuse(to, refusal(Obstacle::Timeout, false));
        running.post(number, to).await;
    }
    let give_up = async {
        loop {
            harness.post.go_on.notify_one();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        round = running.dispatcher.run_round() => assert_eq!(round.unwrap().retrying, 3),
        () = give_up => {}
    }
    // Takes a ring that was left over, which would release another send.
    let _ = harness.post.go_on.notified().now_or_never();
    harness.clock.advance(TimeDelta::minutes(1));
    // As urgent as messages that failed before.
    let recorded_at = harness.clock.now();
    let follow_ups = (10..20).map(|number| Outgoing { recorded_at, ..follow_up(number, PEOPLE[number % 2]) });
    running.store.post(&follow_ups.collect::<Vec<_>>()).await.unwrap();
    let others_are_served = async {
        while harness.post.accepted().len() < 10 {
            tokio::task::yield_now().await;
        }
    };
    let hang_guard = tokio::time::sleep(std::time::Duration::from_mins(1));
    tokio::select! {
        round = running.dispatcher.run_round() => panic!("no stalled send was released: {round:?}"),
        () = others_are_served => {}
        () = hang_guard => panic!("the silent mailboxes hold every connection"),
    }
    let again = silent.into_iter().filter(|to| harness.post.attempts(to) == 2).count();
    assert_eq!(again, 2, "they use the connections that are left to them");
    in_order(&running.rows().await.split_off(3), &harness.post.accepted(), "beside the silent");
}

#[tokio::test]
async fn a_refused_sign_in_kills_nothing() {
    let harness = Harness::new();
    let running = harness.start().await;
    harness.post.down(Some(refusal(Obstacle::Auth, false)));
    for (number, to) in PEOPLE.into_iter().enumerate() {
        running.post(number, to).await;
    }
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(48)).await;
    assert_eq!(running.states().await, [0, 3, 0, 0]);
    assert!(running.metric("driftwise_notification_attempts_total{channel=\"email\",outcome=\"auth\"}") > 100);
    harness.post.down(None);
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(49)).await;
    assert_eq!(running.states().await, [0, 0, 3, 0]);
    assert_eq!(harness.post.accepted().len(), 3);
}

#[tokio::test]
async fn no_more_leaves_in_a_minute_than_the_rate_limiter_allows() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(30).await;
    for number in 0..70 {
        running.post(number, &format!("person{number}@acme.example")).await;
    }
    let mut minutes = Vec::new();
    for minute in 1..=4 {
        minutes.push(running.deliver_until(&harness.clock, start() + TimeDelta::seconds(minute * 60 - 1)).await.sent);
    }
    assert_eq!(minutes, [30, 30, 10, 0]);
}

#[tokio::test]
async fn under_a_rate_limit_old_failures_do_not_starve_new_notifications() {
    let harness = Harness::new();
    let running = harness.start_rate_limited(1).await;
    for number in 0..30 {
        let to = format!("gone{number}@acme.example");
        harness.post.refuse(&to, refusal(Obstacle::Deferred, false));
        running.post(number, &to).await;
    }
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(3)).await;
    running.post(100, PEOPLE[0]).await;
    running.deliver_until(&harness.clock, start() + TimeDelta::hours(4)).await;
    assert_eq!(harness.post.of(PEOPLE[0]).len(), 1, "it waits behind thirty mailboxes that refuse");
}

#[tokio::test]
async fn an_accepted_message_that_cannot_be_recorded_is_not_sent_again_while_the_process_lives() {
    let harness = Harness::new();
    let running = harness.start().await;
    for (number, to) in PEOPLE.into_iter().enumerate() {
        running.post(number, to).await;
        running.post(number + 10, to).await;
    }
    harness.post.move_at_next(&harness.path(), &harness.away());
    for _ in 0..5 {
        let error = running.dispatcher.run_round().await.unwrap_err();
        assert_eq!(error.label(), "gone");
        harness.clock.advance(TimeDelta::seconds(5));
    }
    let arrived = harness.post.accepted().len();
    assert!((1..=3).contains(&arrived), "{arrived} outbound left although the store takes nothing");
    assert!(running.metric("driftwise_store_errors_total{operation=\"outbox\"}") >= 5);
    std::fs::rename(harness.away(), harness.path()).unwrap();
    running.dispatcher.run_round().await.unwrap();
    assert_eq!(harness.post.accepted().len(), 6, "a message came twice");
    assert_eq!(running.states().await, [0, 0, 6, 0]);
    in_order(&running.rows().await, &harness.post.accepted(), "after the trouble");
}

#[tokio::test]
async fn a_process_that_dies_before_recording_repeats_the_message_under_the_same_id() {
    let harness = Harness::new();
    let running = harness.start().await;
    running.post(0, PEOPLE[0]).await;
    harness.post.move_at_next(&harness.path(), &harness.away());
    running.dispatcher.run_round().await.unwrap_err();
    drop(running);
    std::fs::rename(harness.away(), harness.path()).unwrap();
    harness.start().await.dispatcher.run_round().await.unwrap();
    let outbound = harness.post.accepted();
    assert_eq!(outbound.len(), 2);
    assert_eq!(outbound[0], outbound[1]);
}

#[tokio::test]
async fn an_audit_is_notified_only_once_it_is_recorded() {
    let mut harness = Harness::new();
    harness.live().await;
    harness.world.tick("1", "export", true);
    let running = harness.start().await;
    std::fs::rename(harness.path(), harness.away()).unwrap();
    for errors in 1..=3 {
        let (outcome, _) = running.audit().await;
        assert!(matches!(outcome, crate::engine::audit::AuditOutcome::NotRecorded { .. }), "{outcome:?}");
        running.dispatcher.run_round().await.unwrap_err();
        assert_eq!(running.metric("driftwise_store_errors_total{operation=\"record\"}"), errors);
        assert!(!running.auditor.published.read(crate::engine::published::Present::store_works));
        harness.clock.advance(TimeDelta::minutes(5));
    }
    assert!(harness.post.accepted().is_empty());
    std::fs::rename(harness.away(), harness.path()).unwrap();
    running.audit().await;
    assert!(running.auditor.published.read(crate::engine::published::Present::store_works));
    running.dispatcher.run_round().await.unwrap();
    assert_eq!(harness.post.accepted().len(), 2);
    drop(running);
    harness.check("after the trouble").await;
}
