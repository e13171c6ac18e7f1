//! The notes on rules that ask for less because a session leaves out a param.

use super::load_text;
use crate::domain::weaker::{WeakerCheck, weaker_checks};

fn checks(sessions: &str) -> Vec<WeakerCheck> {
    let text = format!(
        "sources: {{ grid: {{ type: file, path: a.csv }} }}\n\
         policies: {{ own: {{ rules: [{{ id: area, setting: area, expect: {{ one_of: {{ param: area, else: present }} }} }}] }} }}\n\
         alerts: {{ fallback: [ops@b.example] }}\nsessions:\n{sessions}"
    );
    weaker_checks(&load_text(&text).unwrap().plans)
}

#[test]
fn a_session_without_params_has_a_weaker_check_for_each_rule_that_compares_with_one() {
    let checks = checks("  - { source: grid, id: 1 }\n  - { source: grid, id: 2, policy: own }\n");
    insta::assert_snapshot!(checks.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @r#"
    rule import-orders-as-dedicated-user of policy orderwise-shopify asks only for some value in sessions without the param "import_orders_as": grid/1
    rule name-is-clear of policy orderwise-shopify asks only for some value in sessions without the param "name": grid/1
    rule notification-email of policy orderwise-shopify asks only for a usable address in sessions without the param "notification_email": grid/1
    rule area of policy own asks only for some value in sessions without the param "area": grid/2
    "#);
}

#[test]
fn a_session_with_all_params_has_no_weaker_check() {
    let params = "{ notification_email: it@acme.example, import_orders_as: Shopify_Orders, name: shop }";
    assert_eq!(checks(&format!("  - {{ source: grid, id: 1, params: {params} }}\n")), []);
    assert_eq!(checks("  - { source: grid, id: 1, policy: own, params: { area: [uk, eu] } }\n"), []);
}

#[test]
fn sessions_share_one_note_and_only_those_without_the_param_are_in_it() {
    let session = |id: usize| {
        let params = if id == 3 { ", params: { area: uk }" } else { "" };
        format!("  - {{ source: grid, id: {id}, policy: own{params} }}\n")
    };
    let checks = checks(&(1..=6).map(session).collect::<String>());
    let [check] = checks.as_slice() else { panic!("{checks:?}") };
    assert_eq!((check.rule.as_str(), check.param.as_str(), check.demand), ("area", "area", "some value"));
    let sessions = check.sessions.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(sessions, ["grid/1", "grid/2", "grid/4", "grid/5", "grid/6"]);
    assert!(check.to_string().ends_with(": grid/1, grid/2, grid/4, and 2 more sessions"), "{check}");
}
