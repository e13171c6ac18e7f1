//! Compares each poll that skips with a full evaluation: both must have the same result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::settled;
use crate::domain::expectation::Expectation;
use crate::domain::observation::{Digest, RawSnapshot};
use crate::domain::plan::Due;
use crate::domain::policy::{Rule, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;
use crate::domain::schedule::Schedule;
use crate::domain::snapshot::Snapshot;
use crate::domain::state::Delta;
use crate::domain::world::{World, id, rule, rules, session, start};

/// Sessions 1 and 2 every minute, 3 each hour; an optional rule about a setting that the source does not return at first.
fn world(more: Vec<Arc<Rule>>) -> World {
    let mut world = World::new();
    let optional = rule("active", "active", Expectation::Ticked, Severity::Critical);
    let optional = Rule { optional: true, ..Rule::clone(&optional) };
    let all = rules().into_iter().chain([Arc::new(optional)]).chain(more).collect::<Vec<_>>();
    for n in ["1", "2", "3"] {
        world.plan.sessions.insert(id(n), session(n, all.clone()));
    }
    let hourly = Schedule::parse("0 * * * *", chrono_tz::UTC, start()).unwrap();
    world.plan.sessions.get_mut(&id("3")).unwrap().schedule = hourly;
    world.rows.push(("3".to_owned(), crate::domain::world::compliant("3")));
    world
}

/// Equal for equal snapshots: those that were met, in order.
#[derive(Default)]
struct Digests(Vec<RawSnapshot>);

impl Digests {
    fn of(&mut self, raw: &RawSnapshot) -> Digest {
        let at = self.0.iter().position(|known| known == raw).unwrap_or_else(|| {
            self.0.push(raw.clone());
            self.0.len() - 1
        });
        let mut digest = [0; 32];
        digest[0] = u8::try_from(at).unwrap();
        Digest(digest)
    }
}

fn shown(delta: &Delta) -> String {
    format!("{delta:?}")
}

/// One poll as the engine makes it, compared with a full evaluation of the same poll. Returns whether the snapshot was skipped.
fn poll(world: &mut World, digests: &mut Digests, due: &Due) -> Result<bool, TestCaseError> {
    world.now += TimeDelta::minutes(1);
    let raw = world.raw_snapshot();
    let digest = digests.of(&raw);
    let Ok(mut snapshot) = Snapshot::read(&raw, &world.plan.mapping, world.now) else { return Ok(false) };
    snapshot.digest = Some(digest);
    let full = PollOutcome::Snapshot(snapshot);
    let judged = std::mem::take(&mut world.state.judged);
    let evaluated = world.reconcile(&full, due);
    world.state.judged = judged;
    let delta = world.reconcile(&full, due);
    prop_assert_eq!(shown(&delta), shown(&evaluated), "a skipped session would have changed");
    let skipped = settled(&world.plan, &world.state, due) == Some(digest);
    if skipped {
        let delta = world.reconcile(&PollOutcome::Unchanged(digest), due);
        prop_assert_eq!(shown(&delta), shown(&evaluated), "a snapshot that was skipped would have changed something");
    }
    world.state.apply(delta);
    Ok(skipped)
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize, usize),
    Drop(u8, usize),
    Lose(usize),
    Hide(u8),
    Restore(u8),
    Fail,
    Restart,
    Poll(u8),
}

const SETTINGS: [&str; 5] = ["export", "active", "customer_validation_1", "Postcodes", "last_run"];

fn raw_values() -> [RawValue; 5] {
    [
        RawValue::Flag(true),
        RawValue::Flag(false),
        RawValue::Null,
        RawValue::text("perhaps"),
        RawValue::text("2026-11-23 08:30"),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u8..=3, 0..SETTINGS.len(), 0..raw_values().len()).prop_map(|(s, k, c)| Step::Set(s, k, c)),
        1 => (1u8..=3, 0..SETTINGS.len()).prop_map(|(s, k)| Step::Drop(s, k)),
        1 => (0..SETTINGS.len()).prop_map(Step::Lose),
        1 => (1u8..=3).prop_map(Step::Hide),
        3 => (1u8..=3).prop_map(Step::Restore),
        1 => Just(Step::Fail),
        1 => Just(Step::Restart),
        10 => (0u8..6).prop_map(Step::Poll),
    ]
}

fn due(world: &World, which: u8) -> Due {
    let schedule_key = |n: &str| world.plan.sessions[&id(n)].schedule.key();
    match which {
        0 | 1 => Due::All,
        2 | 3 => Due::Schedules(BTreeSet::from([schedule_key("1")])),
        4 => Due::Schedules(BTreeSet::from([schedule_key("3")])),
        _ => Due::Sessions(BTreeSet::from([id("2")])),
    }
}

fn take(world: &mut World, digests: &mut Digests, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Set(session, setting, raw) => world.set(&session.to_string(), SETTINGS[*setting], &raw_values()[*raw]),
        Step::Drop(session, setting) => world.unset(&session.to_string(), SETTINGS[*setting]),
        Step::Lose(setting) => {
            for n in ["1", "2", "3"] {
                world.unset(n, SETTINGS[*setting]);
            }
        }
        Step::Hide(session) => world.rows.retain(|(id, _)| *id != session.to_string()),
        Step::Restore(session) => {
            let id = session.to_string();
            world.rows.retain(|(known, _)| *known != id);
            world.rows.push((id.clone(), crate::domain::world::compliant(&id)));
            world.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        Step::Fail => {
            let _ = world.fail();
        }
        Step::Restart => world.state.plan_changed(),
        Step::Poll(which) => {
            let due = due(world, *which);
            poll(world, digests, &due)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_skipped_poll_would_have_changed_nothing(
        confirm in 1u32..3,
        time_and_others in any::<(bool, bool)>(),
        breaks_at in 2u32..6,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let within = rule("ran", "last_run", Expectation::Within(Duration::from_mins(40)), Severity::Warning);
        let unique = rule("own", "Postcodes", Expectation::Unique, Severity::Warning);
        let chosen = [(time_and_others.0, within), (time_and_others.1, unique)];
        let mut world = world(chosen.into_iter().filter(|(wanted, _)| *wanted).map(|(_, rule)| rule).collect());
        (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (confirm, confirm);
        world.plan.alerts.breaker.at_least = breaks_at;
        let mut digests = Digests::default();
        for step in &steps {
            take(&mut world, &mut digests, step)?;
        }
    }
}

fn polls(world: &mut World, digests: &mut Digests, due: &Due) -> bool {
    poll(world, digests, due).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_same_snapshot_is_skipped_while_all_is_well_and_not_while_anything_is_wrong() {
    let (mut world, mut digests) = (world(Vec::new()), Digests::default());
    assert!(!polls(&mut world, &mut digests, &Due::All), "nothing is known yet");
    assert!(polls(&mut world, &mut digests, &Due::All));
    world.tick("1", "export", true);
    assert!(!polls(&mut world, &mut digests, &Due::All), "other bytes");
    assert!(!polls(&mut world, &mut digests, &Due::All), "a drift is open: reminders and counts go by polls");
    world.tick("1", "export", false);
    assert!(!polls(&mut world, &mut digests, &Due::All));
    assert!(polls(&mut world, &mut digests, &Due::All));
}

#[test]
fn a_new_plan_judges_every_session_again() {
    let (mut world, mut digests) = (world(Vec::new()), Digests::default());
    polls(&mut world, &mut digests, &Due::All);
    world.state.plan_changed();
    assert!(!polls(&mut world, &mut digests, &Due::All));
    assert!(polls(&mut world, &mut digests, &Due::All));
}

#[test]
fn sessions_that_were_not_due_when_the_snapshot_came_are_judged_by_it() {
    let (mut world, mut digests) = (world(Vec::new()), Digests::default());
    let hourly = due(&world, 4);
    polls(&mut world, &mut digests, &Due::All);
    world.tick("3", "export", true);
    let often = due(&world, 2);
    polls(&mut world, &mut digests, &often);
    assert!(polls(&mut world, &mut digests, &often), "sessions 1 and 2 are as they were");
    assert!(!polls(&mut world, &mut digests, &hourly), "session 3 is not");
    assert_eq!(world.state.sessions[&id("3")].incidents.len(), 1);
}

#[test]
fn a_rule_that_depends_on_the_time_is_evaluated_at_every_poll() {
    let within = rule("ran", "last_run", Expectation::Within(Duration::from_mins(40)), Severity::Warning);
    let (mut world, mut digests) = (world(vec![within]), Digests::default());
    for n in ["1", "2", "3"] {
        world.set(n, "last_run", &RawValue::text("2026-11-23 08:30"));
    }
    for minute in 1..=12 {
        assert!(!polls(&mut world, &mut digests, &Due::All), "minute {minute}");
    }
    assert_eq!(world.state.incidents().count(), 3, "older than 40 minutes by now");
}

#[test]
fn after_a_failure_the_same_snapshot_ends_it() {
    let (mut world, mut digests) = (world(Vec::new()), Digests::default());
    polls(&mut world, &mut digests, &Due::All);
    let _ = world.fail();
    assert!(!polls(&mut world, &mut digests, &Due::All));
    assert!(world.state.unreachable.is_none());
    assert!(polls(&mut world, &mut digests, &Due::All));
}
