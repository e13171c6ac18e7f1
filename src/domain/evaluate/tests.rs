//! Each expectation against each spelling, as tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use regex::Regex;

use super::*;
use crate::domain::expectation::Operand;
use crate::domain::observation::Look;
use crate::domain::policy::Severity;
use crate::domain::session::SessionId;
use crate::domain::sighting::Sighting;
use crate::domain::world::{World, id, rule, session, start};

fn observe(cells: &[(&str, Cell)]) -> (Arc<Observation>, Mapping) {
    let mut world = World::new();
    world.rows = vec![(String::from("1"), cells.iter().map(|(n, c)| ((*n).to_owned(), c.clone())).collect())];
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, start()).unwrap();
    let Look::Seen(seen) = sighting.look(&id("1")) else { panic!("one row") };
    (seen, world.plan.mapping)
}

fn findings(expect: Expectation, setting: &str, cells: &[(&str, Cell)], pins: &Pins) -> Vec<Finding> {
    let (seen, mapping) = observe(cells);
    let rules = vec![rule("r", setting, expect, Severity::Critical)];
    let neighbours = Neighbours::default();
    evaluate(
        &session("1", rules),
        &seen,
        Circumstances { mapping: &mapping, neighbours: &neighbours, pins, now: start() },
    )
}

fn verdict(expect: Expectation, setting: &str, cell: Cell) -> &'static str {
    let found = findings(expect, setting, &[(setting, cell)], &Pins::new());
    assert_eq!(found.len(), 1);
    found[0].verdict.ruling().label()
}

fn text(value: &str) -> Operand {
    Operand::Literal(value.to_owned())
}

fn param(name: &str, or_present: bool) -> Operand {
    Operand::Param { name: name.to_owned(), or_present }
}

#[test]
fn tick_boxes() {
    let table = [
        (Cell::Flag(true), "compliant", "drifted"),
        (Cell::text(" Y "), "compliant", "drifted"),
        (Cell::Number("-1".into()), "compliant", "drifted"),
        (Cell::Number("0".into()), "drifted", "compliant"),
        (Cell::text("Unticked"), "drifted", "compliant"),
        (Cell::Null, "unverifiable", "unverifiable"),
        (Cell::text(""), "unverifiable", "unverifiable"),
        (Cell::text("NaN"), "unverifiable", "unverifiable"),
        (Cell::Number("2".into()), "unverifiable", "unverifiable"),
        (Cell::Nested("{}".into()), "unverifiable", "unverifiable"),
    ];
    for (cell, ticked, unticked) in table {
        assert_eq!(verdict(Expectation::Ticked, "export", cell.clone()), ticked, "{cell:?}");
        assert_eq!(verdict(Expectation::Unticked, "anything", cell.clone()), unticked, "{cell:?}");
    }
}

#[test]
fn intervals() {
    let five = Duration::from_mins(5);
    let table = [
        ("5", "compliant", "compliant"),
        ("Every 5 minutes", "compliant", "compliant"),
        ("00:05:00", "compliant", "compliant"),
        ("4", "drifted", "compliant"),
        ("6", "drifted", "drifted"),
        ("0", "drifted", "drifted"),
        ("never", "unverifiable", "unverifiable"),
    ];
    for (value, every, at_most) in table {
        assert_eq!(verdict(Expectation::Every(five), "schedule", Cell::text(value)), every, "{value}");
        assert_eq!(verdict(Expectation::AtMost(five), "schedule", Cell::text(value)), at_most, "{value}");
    }
}

#[test]
fn texts_choices_and_lists() {
    let equals = |value: &str| Expectation::Equals(text(value));
    let table = [
        (equals("Web Service"), "transfer_type", " web SERVICE ", "compliant"),
        (equals("Web Service"), "transfer_type", "FTP", "drifted"),
        (equals("Web Service"), "transfer_type", "", "drifted"),
        (equals("Shopify_Orders"), "import_orders_as", "Shopify_Orders ", "compliant"),
        (equals("Shopify_Orders"), "import_orders_as", "shopify_orders", "drifted"),
        (equals("yes"), "export", "1", "compliant"),
        (equals("5"), "schedule", "PT5M", "compliant"),
        (Expectation::OneOf(vec![text("a"), text("b")]), "x", "b", "compliant"),
        (Expectation::OneOf(vec![text("a"), text("b")]), "x", "c", "drifted"),
        (Expectation::NotOneOf(vec![text("a"), text("b")]), "x", "c", "compliant"),
        (Expectation::NotOneOf(vec![text("a"), text("b")]), "x", "a", "drifted"),
        (Expectation::Matches(Regex::new("^shop-[0-9]+$").unwrap()), "x", " shop-12 ", "compliant"),
        (Expectation::Matches(Regex::new("^shop-[0-9]+$").unwrap()), "x", "shop", "drifted"),
        (Expectation::Present, "name", "shop", "compliant"),
        (Expectation::Present, "name", "  ", "drifted"),
        (Expectation::Present, "notification_email", "see wiki", "drifted"),
    ];
    for (expect, setting, value, expected) in table {
        assert_eq!(verdict(expect.clone(), setting, Cell::text(value)), expected, "{expect} over {setting}={value:?}");
    }
    assert_eq!(verdict(equals("x"), "name", Cell::Null), "drifted", "null is an empty text");
}

#[test]
fn addresses_are_found_among_others() {
    let includes = |operand| Expectation::Includes(operand);
    let table = [
        (param("notification_email", true), "x@y.example; OWNER@acme.example", "compliant"),
        (param("notification_email", true), "x@y.example", "drifted"),
        (param("notification_email", true), "", "drifted"),
        (param("absent", true), "x@y.example", "compliant"),
        (param("absent", true), "nobody", "drifted"),
        (text("x@y.example"), "X@Y.example", "compliant"),
    ];
    for (operand, value, expected) in table {
        assert_eq!(verdict(includes(operand), "notification_email", Cell::text(value)), expected, "{value}");
    }
}

#[test]
fn times_must_not_be_older() {
    let ago = |minutes: i64| Cell::text((start() - TimeDelta::minutes(minutes)).to_rfc3339());
    let within = Expectation::Within(Duration::from_hours(2));
    for (cell, expected) in [
        (ago(119), "compliant"),
        (ago(120), "compliant"),
        (ago(121), "drifted"),
        (ago(-5), "compliant"),
        (Cell::Null, "unverifiable"),
        (Cell::text("yesterday"), "unverifiable"),
    ] {
        assert_eq!(verdict(within.clone(), "last_run", cell.clone()), expected, "{cell:?}");
    }
}

#[test]
fn all_ticked_over_a_group_never_passes_on_too_little() {
    let all = Expectation::AllTicked { count: 4 };
    let name = |n: usize| format!("customer_validation_{n}");
    let table: [(&[&str], &str); 8] = [
        (&["1", "1", "1", "1"], "compliant"),
        (&["1", "1", "1", "1", "1"], "compliant"),
        (&["1", "0", "1", "1"], "drifted"),
        (&["1", "1", "1"], "unverifiable"),
        (&[], "unverifiable"),
        (&["1", "1", "1", "maybe"], "unverifiable"),
        (&["1", "1", "1", "1", "maybe"], "unverifiable"),
        (&["0", "maybe"], "drifted"),
    ];
    for (values, expected) in table {
        let names = (0..values.len()).map(name).collect::<Vec<_>>();
        let cells = names.iter().zip(values).map(|(n, v)| (n.as_str(), Cell::text(*v))).collect::<Vec<_>>();
        let found = findings(all.clone(), "customer_validation_*", &cells, &Pins::new());
        assert_eq!(found[0].verdict.ruling().label(), expected, "{values:?}");
        assert_eq!(found[0].setting.as_str(), "customer_validation_*");
    }
}

#[test]
fn unchanged_gives_one_finding_for_each_setting_that_differs() {
    let pin = |text: &str| Pin { cell: Cell::text(text), at: start() };
    let pins = Pins::from([
        (SettingKey::new("a"), pin("1")),
        (SettingKey::new("b"), pin("2")),
        (SettingKey::new("gone"), pin("3")),
    ]);
    let cells = [("a", Cell::text("1 ")), ("b", Cell::text("5")), ("fresh", Cell::text("9"))];
    let found = findings(Expectation::Unchanged, "*", &cells, &pins);
    let said = found.iter().map(|f| (f.setting.as_str(), f.verdict.ruling().label())).collect::<Vec<_>>();
    assert_eq!(said, [("b", "drifted"), ("gone", "unverifiable")]);
    let quiet = findings(Expectation::Unchanged, "*", &cells[..1], &Pins::new());
    assert_eq!(
        quiet.iter().map(|f| (f.setting.as_str(), f.verdict.ruling().label())).collect::<Vec<_>>(),
        [("*", "compliant")]
    );
}

#[test]
fn unchanged_watches_only_what_no_other_rule_covers_and_nobody_ignores() {
    let (seen, mapping) =
        observe(&[("export", Cell::text("0")), ("last_run_at", Cell::text("now")), ("x", Cell::text("1"))]);
    let mut watch = rule("others", "*", Expectation::Unchanged, Severity::Warning);
    Arc::make_mut(&mut watch).ignore = vec![SettingPattern::parse("last_run*")];
    let rules = vec![rule("export-off", "export", Expectation::Unticked, Severity::Critical), watch];
    let session = session("1", rules);
    let watched = watched(&session, &seen).map(|(setting, _)| setting.as_str()).collect::<Vec<_>>();
    assert_eq!(watched, ["x"]);
    let pin = |text: &str| Pin { cell: Cell::text(text), at: start() };
    let pins = ["export", "last_run_at", "x"].map(|s| (SettingKey::new(s), pin("other")));
    let pins = Pins::from(pins);
    let neighbours = Neighbours::default();
    let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pins: &pins, now: start() };
    let drifted = evaluate(&session, &seen, around);
    let drifted = drifted.iter().filter(|f| f.verdict.ruling().label() == "drifted").map(|f| f.setting.as_str());
    assert_eq!(drifted.collect::<Vec<_>>(), ["x"]);
}

#[test]
fn unique_values_are_counted_over_all_audited_sessions() {
    let rules = vec![rule("own-user", "import_orders_as", Expectation::Unique, Severity::Warning)];
    let (seen, mapping) = observe(&[("import_orders_as", Cell::text("Shopify"))]);
    let session = session("1", rules);
    for (shared, expected) in [(1, "compliant"), (2, "drifted")] {
        let counts = count_values((0..shared).map(|_| (&session, &*seen)), &mapping);
        let neighbours = Neighbours { counts, known: HashSet::new() };
        let pins = Pins::new();
        let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pins: &pins, now: start() };
        assert_eq!(evaluate(&session, &seen, around)[0].verdict.ruling().label(), expected);
    }
}

#[test]
fn values_that_say_the_same_are_one_value_to_a_rule_that_wants_it_unique() {
    let cases = [
        ("notification_email", "a@acme.example; b@acme.example", "B@acme.example,a@acme.example", "drifted"),
        ("notification_email", "a@acme.example", "b@acme.example", "compliant"),
        ("transfer_type", "Web Service", "WEB SERVICE", "drifted"),
        ("name", "shop", "Shop", "compliant"),
    ];
    for (setting, one, other, expected) in cases {
        let session = session("1", vec![rule("own", setting, Expectation::Unique, Severity::Warning)]);
        let (seen, mapping) = observe(&[(setting, Cell::text(one))]);
        let (neighbour, _) = observe(&[(setting, Cell::text(other))]);
        let counts = count_values([(&session, &*seen), (&session, &*neighbour)].into_iter(), &mapping);
        let neighbours = Neighbours { counts, known: HashSet::new() };
        let pins = Pins::new();
        let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pins: &pins, now: start() };
        assert_eq!(evaluate(&session, &seen, around)[0].verdict.ruling().label(), expected, "{one} beside {other}");
    }
}

#[test]
fn a_column_that_is_missing_or_comes_twice_is_unverifiable() {
    let twice = [("export", Cell::Flag(false)), ("Export", Cell::Flag(false))];
    assert_eq!(
        findings(Expectation::Unticked, "export", &twice, &Pins::new())[0].verdict.ruling().label(),
        "unverifiable"
    );
    assert_eq!(
        findings(Expectation::Unticked, "export", &[], &Pins::new())[0].verdict.ruling().label(),
        "unverifiable"
    );
}

#[test]
fn mapped_columns_and_values_are_read_under_their_settings() {
    let mut world = World::new();
    world.plan.mapping.columns = vec![(SettingKey::new("transfer_type"), String::from("TransferTypeName"))];
    let meanings = HashMap::from([(String::from("3"), Cell::text("Web Service"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("transfer_type"), meanings)]);
    world.rows = vec![(
        String::from("1"),
        vec![
            (String::from("TRANSFERTYPENAME"), Cell::Number("3".into())),
            (String::from("transfer_type"), Cell::Number("9".into())),
        ],
    )];
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, start()).unwrap();
    let Look::Seen(seen) = sighting.look(&id("1")) else { panic!("one row") };
    let named = seen.iter().map(|(setting, cell)| (setting.to_string(), cell.clone())).collect::<BTreeMap<_, _>>();
    assert_eq!(named["transfer_type"], Cell::Number("3".into()), "kept as it came");
    let mapping = &world.plan.mapping;
    let reading = seen.reading(&SettingKey::new("transfer_type"), mapping, Kind::Choice, chrono_tz::UTC);
    assert_eq!(reading, Reading::Value(Value::Choice("Web Service".into())));
    assert_eq!(named["column:transfer_type"], Cell::Number("9".into()), "nothing that came is dropped");
}

#[test]
fn rows_without_a_readable_id_make_missing_sessions_uncertain() {
    let mut world = World::new();
    world.rows.push((String::from("  "), Vec::new()));
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, start()).unwrap();
    let unknown: SessionId = id("77");
    assert!(matches!(sighting.look(&unknown), Look::Uncertain(_)));
    world.rows.pop();
    let sighting = Sighting::read(&world.answer(), &world.plan.mapping, start()).unwrap();
    assert!(matches!(sighting.look(&unknown), Look::Missing));
}

#[test]
fn an_answer_without_the_id_column_names_the_columns_that_came() {
    let mut world = World::new();
    world.plan.mapping.session_id_column = String::from("es_id");
    let error = Sighting::read(&world.answer(), &world.plan.mapping, start()).unwrap_err().to_string();
    assert!(error.contains("es_id") && error.contains("\"export\""), "{error}");
}

#[test]
fn of_two_patterns_the_narrower_one_answers_for_a_setting() {
    let (seen, mapping) = observe(&[("foo_1", Cell::text("new")), ("foo_skip", Cell::text("new"))]);
    let mut narrow = rule("foo-same", "foo_*", Expectation::Unchanged, Severity::Critical);
    Arc::make_mut(&mut narrow).ignore = vec![SettingPattern::parse("foo_skip")];
    let session = session("1", vec![rule("others", "*", Expectation::Unchanged, Severity::Warning), narrow]);
    let pin = |setting: &str| (SettingKey::new(setting), Pin { cell: Cell::text("old"), at: start() });
    let pins = Pins::from([pin("foo_1"), pin("foo_skip")]);
    let neighbours = Neighbours::default();
    let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pins: &pins, now: start() };
    let found = evaluate(&session, &seen, around);
    let drifted = found.iter().filter(|f| f.verdict.ruling().label() == "drifted");
    let drifted = drifted.map(|f| (f.rule.id.as_str(), f.setting.as_str())).collect::<Vec<_>>();
    assert_eq!(drifted, [("foo-same", "foo_1")], "and what it ignores falls to no other");
}
