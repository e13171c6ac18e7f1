//! Each expectation against each spelling, as tables.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use regex::Regex;

use super::*;
use crate::domain::expectation::Operand;
use crate::domain::observation::RowMatch;
use crate::domain::policy::Severity;
use crate::domain::session::SessionId;
use crate::domain::snapshot::Snapshot;
use crate::domain::world::{World, id, rule, session, start};

fn observe(raw_values: &[(&str, RawValue)]) -> (Arc<Observation>, Mapping) {
    let mut world = World::new();
    world.rows = vec![(String::from("1"), raw_values.iter().map(|(n, c)| ((*n).to_owned(), c.clone())).collect())];
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, start()).unwrap();
    let RowMatch::Seen(seen) = snapshot.row_match(&id("1")) else { panic!("one row") };
    (seen, world.plan.mapping)
}

fn findings(
    expect: Expectation,
    setting: &str,
    raw_values: &[(&str, RawValue)],
    pinned: &PinnedValues,
) -> Vec<Finding> {
    let (seen, mapping) = observe(raw_values);
    let rules = vec![rule("r", setting, expect, Severity::Critical)];
    // Other sessions have every setting that is pinned here.
    let neighbours = Neighbours { returned: pinned.keys().cloned().collect(), ..Neighbours::default() };
    evaluate(
        &session("1", rules),
        &seen,
        Circumstances { mapping: &mapping, neighbours: &neighbours, pinned, now: start() },
    )
}

fn verdict(expect: Expectation, setting: &str, raw: RawValue) -> &'static str {
    let found = findings(expect, setting, &[(setting, raw)], &PinnedValues::new());
    assert_eq!(found.len(), 1);
    found[0].verdict.kind().label()
}

fn text(value: &str) -> Operand {
    Operand::Literal(value.to_owned())
}

fn param(name: &str, or_present: bool) -> Operand {
    Operand::Param { name: name.to_owned(), or_present }
}

#[test]
fn an_exclusion_without_its_param_asks_only_for_some_value() {
    let expect = || Expectation::NotOneOf(vec![text("3"), param("absent", true)]);
    for (raw, expected) in [("2", "compliant"), ("3", "drifted"), ("", "drifted")] {
        assert_eq!(verdict(expect(), "price_list_id", RawValue::text(raw)), expected, "{raw:?}");
    }
}

#[test]
fn tick_boxes() {
    let table = [
        (RawValue::Flag(true), "compliant", "drifted"),
        (RawValue::text(" Y "), "compliant", "drifted"),
        (RawValue::Number("-1".into()), "compliant", "drifted"),
        (RawValue::Number("0".into()), "drifted", "compliant"),
        (RawValue::text("Unticked"), "drifted", "compliant"),
        (RawValue::Null, "unverifiable", "unverifiable"),
        (RawValue::text(""), "unverifiable", "unverifiable"),
        (RawValue::text("NaN"), "unverifiable", "unverifiable"),
        (RawValue::Number("2".into()), "unverifiable", "unverifiable"),
        (RawValue::Nested("{}".into()), "unverifiable", "unverifiable"),
    ];
    for (raw, ticked, unticked) in table {
        assert_eq!(verdict(Expectation::Ticked, "export", raw.clone()), ticked, "{raw:?}");
        assert_eq!(verdict(Expectation::Unticked, "anything", raw.clone()), unticked, "{raw:?}");
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
        ("Hourly", "drifted", "drifted"),
        ("Daily at 09:00", "drifted", "drifted"),
        ("never", "drifted", "drifted"),
        ("Manual", "drifted", "drifted"),
        ("Whenever", "unverifiable", "unverifiable"),
    ];
    for (value, every, at_most) in table {
        assert_eq!(verdict(Expectation::Every(five), "schedule", RawValue::text(value)), every, "{value}");
        assert_eq!(verdict(Expectation::AtMost(five), "schedule", RawValue::text(value)), at_most, "{value}");
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
        assert_eq!(
            verdict(expect.clone(), setting, RawValue::text(value)),
            expected,
            "{expect} over {setting}={value:?}"
        );
    }
    assert_eq!(verdict(equals("x"), "name", RawValue::Null), "drifted", "null is an empty text");
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
        assert_eq!(verdict(includes(operand), "notification_email", RawValue::text(value)), expected, "{value}");
    }
}

#[test]
fn times_must_not_be_older() {
    let ago = |minutes: i64| RawValue::text((start() - TimeDelta::minutes(minutes)).to_rfc3339());
    let within = Expectation::Within(Duration::from_hours(2));
    for (raw, expected) in [
        (ago(119), "compliant"),
        (ago(120), "compliant"),
        (ago(121), "drifted"),
        (ago(-5), "compliant"),
        (RawValue::Null, "unverifiable"),
        (RawValue::text("yesterday"), "unverifiable"),
    ] {
        assert_eq!(verdict(within.clone(), "last_run", raw.clone()), expected, "{raw:?}");
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
        let raw_values = names.iter().zip(values).map(|(n, v)| (n.as_str(), RawValue::text(*v))).collect::<Vec<_>>();
        let found = findings(all.clone(), "customer_validation_*", &raw_values, &PinnedValues::new());
        assert_eq!(found[0].verdict.kind().label(), expected, "{values:?}");
        assert_eq!(found[0].setting.as_str(), "customer_validation_*");
    }
}

#[test]
fn unchanged_gives_one_finding_for_each_setting_that_differs() {
    let pinned_value = |text: &str| PinnedValue { raw: RawValue::text(text), at: start() };
    let pinned = PinnedValues::from([
        (SettingKey::new("a"), pinned_value("1")),
        (SettingKey::new("b"), pinned_value("2")),
        (SettingKey::new("gone"), pinned_value("3")),
    ]);
    let raw_values = [("a", RawValue::text("1 ")), ("b", RawValue::text("5")), ("fresh", RawValue::text("9"))];
    let found = findings(Expectation::Unchanged, "*", &raw_values, &pinned);
    let said = found.iter().map(|f| (f.setting.as_str(), f.verdict.kind().label())).collect::<Vec<_>>();
    assert_eq!(said, [("b", "drifted"), ("gone", "unverifiable")]);
    let quiet = findings(Expectation::Unchanged, "*", &raw_values[..1], &PinnedValues::new());
    assert_eq!(
        quiet.iter().map(|f| (f.setting.as_str(), f.verdict.kind().label())).collect::<Vec<_>>(),
        [("*", "compliant")]
    );
}

#[test]
fn unchanged_watches_only_settings_that_no_other_rule_covers_and_that_are_not_ignored() {
    let (seen, mapping) =
        observe(&[("export", RawValue::text("0")), ("last_run_at", RawValue::text("now")), ("x", RawValue::text("1"))]);
    let mut watch = rule("others", "*", Expectation::Unchanged, Severity::Warning);
    Arc::make_mut(&mut watch).ignore = vec![SettingPattern::parse("last_run*")];
    let rules = vec![rule("export-off", "export", Expectation::Unticked, Severity::Critical), watch];
    let session = session("1", rules);
    let watched = watched(&session, &seen).map(|(setting, _)| setting.as_str()).collect::<Vec<_>>();
    assert_eq!(watched, ["x"]);
    let pinned_value = |text: &str| PinnedValue { raw: RawValue::text(text), at: start() };
    let pinned = ["export", "last_run_at", "x"].map(|s| (SettingKey::new(s), pinned_value("other")));
    let pinned = PinnedValues::from(pinned);
    let neighbours = Neighbours::default();
    let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pinned: &pinned, now: start() };
    let drifted = evaluate(&session, &seen, around);
    let drifted = drifted.iter().filter(|f| f.verdict.kind().label() == "drifted").map(|f| f.setting.as_str());
    assert_eq!(drifted.collect::<Vec<_>>(), ["x"]);
}

#[test]
fn unique_values_are_counted_over_all_audited_sessions() {
    let rules = vec![rule("own-user", "import_orders_as", Expectation::Unique, Severity::Warning)];
    let (seen, mapping) = observe(&[("import_orders_as", RawValue::text("Shopify"))]);
    let session = session("1", rules);
    for (shared, expected) in [(1, "compliant"), (2, "drifted")] {
        let counts = count_values((0..shared).map(|_| (&session, &*seen)), &mapping);
        let neighbours = Neighbours { counts, ..Neighbours::default() };
        let pinned = PinnedValues::new();
        let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pinned: &pinned, now: start() };
        assert_eq!(evaluate(&session, &seen, around)[0].verdict.kind().label(), expected);
    }
}

#[test]
fn values_that_mean_the_same_are_not_unique() {
    let cases = [
        ("notification_email", "a@acme.example; b@acme.example", "B@acme.example,a@acme.example", "drifted"),
        ("notification_email", "a@acme.example", "b@acme.example", "compliant"),
        ("transfer_type", "Web Service", "WEB SERVICE", "drifted"),
        ("name", "shop", "Shop", "compliant"),
    ];
    for (setting, one, other, expected) in cases {
        let session = session("1", vec![rule("own", setting, Expectation::Unique, Severity::Warning)]);
        let (seen, mapping) = observe(&[(setting, RawValue::text(one))]);
        let (neighbour, _) = observe(&[(setting, RawValue::text(other))]);
        let counts = count_values([(&session, &*seen), (&session, &*neighbour)].into_iter(), &mapping);
        let neighbours = Neighbours { counts, ..Neighbours::default() };
        let pinned = PinnedValues::new();
        let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pinned: &pinned, now: start() };
        assert_eq!(evaluate(&session, &seen, around)[0].verdict.kind().label(), expected, "{one} beside {other}");
    }
}

#[test]
fn a_column_that_is_missing_or_comes_twice_is_unverifiable() {
    let twice = [("export", RawValue::Flag(false)), ("Export", RawValue::Flag(false))];
    assert_eq!(
        findings(Expectation::Unticked, "export", &twice, &PinnedValues::new())[0].verdict.kind().label(),
        "unverifiable"
    );
    assert_eq!(
        findings(Expectation::Unticked, "export", &[], &PinnedValues::new())[0].verdict.kind().label(),
        "unverifiable"
    );
}

#[test]
fn mapped_columns_and_values_are_read_under_their_settings() {
    let mut world = World::new();
    world.plan.mapping.columns = vec![(SettingKey::new("transfer_type"), String::from("TransferTypeName"))];
    let meanings = HashMap::from([(String::from("3"), RawValue::text("Web Service"))]);
    world.plan.mapping.values = HashMap::from([(SettingKey::new("transfer_type"), meanings)]);
    world.rows = vec![(
        String::from("1"),
        vec![
            (String::from("TRANSFERTYPENAME"), RawValue::Number("3".into())),
            (String::from("transfer_type"), RawValue::Number("9".into())),
        ],
    )];
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, start()).unwrap();
    let RowMatch::Seen(seen) = snapshot.row_match(&id("1")) else { panic!("one row") };
    let named = seen.iter().map(|(setting, raw)| (setting.to_string(), raw.clone())).collect::<BTreeMap<_, _>>();
    assert_eq!(named["transfer_type"], RawValue::Number("3".into()), "kept as it came");
    let mapping = &world.plan.mapping;
    let reading = seen.reading(&SettingKey::new("transfer_type"), mapping, Kind::Choice, chrono_tz::UTC);
    assert_eq!(reading, Reading::Value(Value::Choice("Web Service".into())));
    assert_eq!(named["column:transfer_type"], RawValue::Number("9".into()), "nothing that came is dropped");
}

#[test]
fn rows_without_a_readable_id_make_missing_sessions_uncertain() {
    let mut world = World::new();
    world.rows.push((String::from("  "), Vec::new()));
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, start()).unwrap();
    let unknown: SessionId = id("77");
    assert!(matches!(snapshot.row_match(&unknown), RowMatch::Uncertain(_)));
    world.rows.pop();
    let snapshot = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, start()).unwrap();
    assert!(matches!(snapshot.row_match(&unknown), RowMatch::Missing));
}

#[test]
fn a_snapshot_without_the_id_column_names_the_columns_that_came() {
    let mut world = World::new();
    world.plan.mapping.session_id_column = String::from("es_id");
    let error = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, start()).unwrap_err().to_string();
    assert!(error.contains("es_id") && error.contains("\"export\""), "{error}");
}

#[test]
fn of_two_patterns_the_narrower_one_answers_for_a_setting() {
    let (seen, mapping) = observe(&[("foo_1", RawValue::text("new")), ("foo_skip", RawValue::text("new"))]);
    let mut narrow = rule("foo-same", "foo_*", Expectation::Unchanged, Severity::Critical);
    Arc::make_mut(&mut narrow).ignore = vec![SettingPattern::parse("foo_skip")];
    let session = session("1", vec![rule("others", "*", Expectation::Unchanged, Severity::Warning), narrow]);
    let pinned_value =
        |setting: &str| (SettingKey::new(setting), PinnedValue { raw: RawValue::text("old"), at: start() });
    let pinned = PinnedValues::from([pinned_value("foo_1"), pinned_value("foo_skip")]);
    let neighbours = Neighbours::default();
    let around = Circumstances { mapping: &mapping, neighbours: &neighbours, pinned: &pinned, now: start() };
    let found = evaluate(&session, &seen, around);
    let drifted = found.iter().filter(|f| f.verdict.kind().label() == "drifted");
    let drifted = drifted.map(|f| (f.rule.id.as_str(), f.setting.as_str())).collect::<Vec<_>>();
    assert_eq!(drifted, [("foo-same", "foo_1")], "and what it ignores falls to no other");
}
