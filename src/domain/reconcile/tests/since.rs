//! Since when a setting is wrong under rules that judged it only later.

use super::*;
use crate::domain::incident::Window;
use crate::domain::state::PastValue;

/// A world at 09:01 whose session 1 is judged by all rules but `without`.
fn world(without: &str) -> World {
    let mut world = World::new();
    judge(&mut world, without);
    world.poll();
    world
}

fn judge(world: &mut World, without: &str) {
    let rules = rules().into_iter().filter(|rule| rule.id.as_str() != without).collect();
    world.plan.sessions.insert(id("1"), session("1", rules));
    world.state.plan_changed();
}

fn window(world: &mut World) -> Window {
    let messages = world.poll();
    messages[0].items[0].incident().unwrap().window
}

/// Minutes after nine.
fn at(minute: i64) -> chrono::DateTime<chrono::Utc> {
    start() + TimeDelta::minutes(minute)
}

#[test]
fn a_rule_that_is_removed_and_added_again_knows_since_when_the_setting_is_wrong() {
    let mut world = world("");
    world.tick("1", "export", true);
    let found = window(&mut world);
    assert_eq!(found, Window { last_good: Some(at(1)), first_bad: at(2) });
    judge(&mut world, "export-off");
    assert_eq!(change(&world.poll()[0]), Change::Ended(End::NoLongerAudited));
    world.poll();
    judge(&mut world, "");
    assert_eq!(window(&mut world), found);
}

#[test]
fn a_policy_that_is_switched_judges_the_values_that_were_observed_before() {
    for (values, expected) in [
        (&["no", "yes"][..], Window { last_good: Some(at(2)), first_bad: at(3) }),
        // Both later values are wrong: it went wrong with the first of them.
        (&["no", "yes", "ticked"], Window { last_good: Some(at(2)), first_bad: at(3) }),
        // The value in between cannot be read, so it is known to be wrong only later.
        (&["no", "perhaps", "yes"], Window { last_good: Some(at(2)), first_bad: at(4) }),
        // It was put right in between.
        (&["yes", "no", "yes"], Window { last_good: Some(at(3)), first_bad: at(4) }),
    ] {
        let mut world = world("export-off");
        for value in values {
            world.set("1", "export", &RawValue::text(*value));
            world.poll();
        }
        world.poll();
        judge(&mut world, "");
        assert_eq!(window(&mut world), expected, "{values:?}");
    }
}

#[test]
fn a_group_is_judged_with_the_values_that_its_settings_had_at_the_time() {
    let mut world = world("validation");
    world.tick("1", "customer_validation_1", false);
    world.poll();
    world.tick("1", "customer_validation_2", false);
    world.poll();
    judge(&mut world, "");
    assert_eq!(window(&mut world), Window { last_good: Some(at(1)), first_bad: at(2) });
}

#[test]
fn a_value_that_was_wrong_from_the_first_poll_has_no_last_good_time() {
    let mut world = World::new();
    judge(&mut world, "export-off");
    world.tick("1", "export", true);
    world.poll();
    world.tick("1", "customer_validation_1", false);
    world.poll();
    judge(&mut world, "");
    assert_eq!(window(&mut world).last_good, None);
}

#[test]
fn a_setting_that_changes_at_every_poll_keeps_few_past_values_and_displaces_no_others() {
    let mut world = world("export-off");
    world.tick("1", "export", true);
    world.poll();
    for n in 0..100 {
        world.set("1", "last_run", &RawValue::text(n.to_string()));
        world.poll();
    }
    let past = &world.state.sessions[&id("1")].record.past;
    assert_eq!(past.len(), 1 + PastValue::MOST_OF_ONE);
    judge(&mut world, "");
    assert_eq!(window(&mut world), Window { last_good: Some(at(1)), first_bad: at(2) });
}
