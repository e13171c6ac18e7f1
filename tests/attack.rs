//! The real daemon, attacked from all sides at once: a world that drifts and fails, a mail server with random replies, a clock
//! that jumps, a log that cannot be written, secrets repeated everywhere, few descriptors, and death at random moments.
//!
//! `scripts/attack` runs it for a given time; the gate runs a short round of the families in [`plan::IN_GATE`]. After each
//! round the world is healed, and the test compares all records, mails, incidents and pages with the truth.

#![expect(clippy::print_stdout, reason = "a long run shows its steps")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "how long a run is comes from the environment")]

use std::time::{Duration, Instant};

#[path = "attack/account.rs"]
mod account;
#[path = "attack/attack.rs"]
mod attack;
#[path = "attack/daemon.rs"]
mod daemon;
#[path = "support/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of death, which use more of it")]
mod dice;
#[path = "support/fake_clock.rs"]
mod fake_clock;
#[path = "attack/fault.rs"]
mod fault;
#[path = "attack/grammar.rs"]
mod grammar;
#[path = "attack/mail.rs"]
mod mail;
#[path = "attack/plan.rs"]
mod plan;
#[path = "attack/round.rs"]
mod round;
#[path = "attack/secrets.rs"]
mod secrets;
#[path = "attack/world.rs"]
mod world;

/// Rounds in one world: growth in each of them is checked against the truth after it.
const ROUNDS: u64 = 15;

#[test]
fn a_daemon_that_is_attacked_from_all_sides_loses_nothing_invents_nothing_and_shows_no_secret() {
    let mut plan = plan::Plan::from_environment();
    if fake_clock::library().is_none() && plan.may_be_skipped() {
        println!("SKIPPED: Debian's package faketime is not installed");
        return;
    }
    let end = plan.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let goes_on = || end.is_some_and(|end| Instant::now() < end);
    loop {
        println!("{plan:?}");
        let (mut attack, begun) = (attack::Attack::new(plan.clone()), Instant::now());
        for _ in 0..ROUNDS {
            attack.round();
            if !goes_on() {
                break;
            }
        }
        attack.print_figures(begun.elapsed());
        if !goes_on() {
            break;
        }
        plan.seed += 1;
    }
}
