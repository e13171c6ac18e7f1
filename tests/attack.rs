//! The real daemon, attacked from all sides at once: a world that drifts and fails, a mail server that says anything, a clock
//! that jumps, a log that cannot be written, secrets repeated everywhere, few descriptors, and death at random moments.
//!
//! `scripts/attack` runs it for as long as it is told; the gate runs a short round of the families in [`plan::IN_GATE`]. After each
//! round the world is healed, and everything that was recorded, sent, opened and shown is held against the truth.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "how long a run is comes from the environment")]

#[path = "attack/account.rs"]
mod account;
#[path = "attack/attack.rs"]
mod attack;
#[path = "attack/daemon.rs"]
mod daemon;
#[path = "death/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of death, which use more of it")]
mod dice;
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

#[test]
fn a_daemon_that_is_attacked_from_all_sides_loses_nothing_invents_nothing_and_shows_no_secret() {
    let plan = plan::Plan::from_environment();
    let mut attack = attack::Attack::new(plan.clone());
    let begun = std::time::Instant::now();
    loop {
        attack.round();
        if plan.minutes.is_none_or(|minutes| begun.elapsed().as_secs() >= minutes * 60) && attack.rounds() >= plan.rounds {
            break;
        }
    }
    attack.print_figures(begun.elapsed());
}
