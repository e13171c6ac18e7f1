//! The baseline, the example and the quick start that ship with the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::domain::evaluate::{Circumstances, Neighbours, Verdict, evaluate};
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::observation::{RawSnapshot, Row, RowMatch};
use crate::domain::policy::Severity;
use crate::domain::reading::RawValue;
use crate::domain::snapshot::Snapshot;

use super::super::{BASELINE, Config, Delivery};
use super::{load, load_text, now};

fn severity(word: &str) -> Severity {
    Severity::ALL.into_iter().find(|severity| severity.label() == word).unwrap()
}

fn minimal() -> Config {
    load_text(
        "sources: { grid: { type: file, path: a.csv } }\nsessions:\n  - { source: grid, id: 1, owners: [a@b.example] }\n",
    )
    .unwrap()
}

#[test]
fn the_baseline_has_the_rules_of_the_setup_guide() {
    let config = minimal();
    let baseline = config.policies.values().find(|policy| policy.name.as_str() == BASELINE).unwrap();
    let expected = [
        ("export-off", "export", "unticked", "critical"),
        ("schedule-every-5-minutes", "schedule", "every 5 minutes", "critical"),
        ("notification-email", "notification_email", "a usable address", "critical"),
        ("transfer-type-web-service", "transfer_type", "Web Service", "critical"),
        ("import-orders-as-dedicated-user", "import_orders_as", "any value", "warning"),
        ("delivery-method-tax-code", "use_delivery_method_system_tax_code", "ticked", "warning"),
        ("cvariant-tax-code", "use_cvariant_system_tax_code", "ticked", "warning"),
        ("add-customer-contact", "add_customer_contact", "ticked", "warning"),
        ("cvariant-stock-location", "use_cvariant_stock_location", "ticked", "warning"),
        ("override-variant-disallow", "override_variant_disallow", "ticked", "warning"),
        ("customer-validation-all", "customer_validation_*", "all 4 ticked", "warning"),
        ("name-is-clear", "name", "any value", "info"),
        ("other-options-unchanged", "*", "unchanged", "warning"),
        ("session-is-active", "active", "ticked", "critical"),
        ("add-delivery-address", "add_delivery_address", "ticked", "warning"),
    ];
    assert_eq!(baseline.rules().len(), expected.len());
    for (rule, (id, setting, expect, level)) in baseline.rules().iter().zip(expected) {
        assert_eq!(rule.id.as_str(), id);
        assert_eq!((rule.setting.key().as_str(), rule.severity), (setting, severity(level)), "{id}");
        assert_eq!(rule.expect.to_string(), expect, "{id}");
        assert!(!rule.why.is_empty() && rule.fix.contains("then Save") && rule.ignore.is_empty(), "{id}");
    }
    let with = |test: fn(&crate::domain::policy::Rule) -> bool| {
        baseline.rules().iter().filter(|rule| test(rule)).map(|rule| rule.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(with(|rule| rule.optional), ["session-is-active", "add-delivery-address"]);
    assert_eq!(
        with(|rule| rule.stops_orders),
        ["schedule-every-5-minutes", "transfer-type-web-service", "session-is-active"]
    );
    let params = |operands: &[Operand]| {
        operands.iter().any(|operand| matches!(operand, Operand::Param { or_present: true, .. }))
    };
    let from_params = baseline.rules().iter().filter(|rule| params(rule.expect.operands()));
    assert_eq!(
        from_params.map(|rule| rule.id.as_str()).collect::<Vec<_>>(),
        ["notification-email", "import-orders-as-dedicated-user", "name-is-clear"]
    );
    assert!(matches!(baseline.rules()[2].expect, Expectation::Includes(_)));
}

#[test]
fn the_quick_start_is_valid() {
    let config = load(Path::new("config/quickstart.yaml")).unwrap();
    assert_eq!(config.store.path, Path::new("config/driftwise.db"));
    assert!(matches!(&config.require_email().unwrap().delivery, Delivery::Spool(path) if path.ends_with("mail")));
    let sessions = config.plans.values().flat_map(|plan| plan.sessions.values()).collect::<Vec<_>>();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session.schedule.expression() == "*/5 * * * * *"));
    assert_eq!(config.warnings, []);
}

/// The rows of the quick start's file, which quotes nothing.
fn quick_start_snapshot() -> RawSnapshot {
    let text = std::fs::read_to_string("config/quickstart-sessions.csv").unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let columns: Arc<[Box<str>]> = lines.next().unwrap().into_iter().map(Box::from).collect();
    let rows = lines.map(|raw_values| {
        assert_eq!(raw_values.len(), columns.len());
        Row { columns: Arc::clone(&columns), raw_values: raw_values.into_iter().map(RawValue::text).collect() }
    });
    RawSnapshot { rows: rows.collect() }
}

#[test]
fn the_quick_start_finds_export_ticked_and_nothing_else() {
    let config = load(Path::new("config/quickstart.yaml")).unwrap();
    let plan = config.plans.values().next().unwrap();
    let snapshot = Snapshot::read(&quick_start_snapshot(), &plan.mapping, now()).unwrap();
    let (neighbours, pinned) = (Neighbours::default(), BTreeMap::new());
    let around = Circumstances { mapping: &plan.mapping, neighbours: &neighbours, pinned: &pinned, now: now() };
    let mut wrong = Vec::new();
    for (id, session) in &plan.sessions {
        let RowMatch::Seen(seen) = snapshot.row_match(id) else { panic!("{id} is not in the file") };
        for finding in evaluate(session, &seen, around) {
            if finding.verdict != Verdict::Compliant {
                wrong.push(format!("{id} {} {}", finding.rule.id, finding.verdict.kind().label()));
            }
        }
    }
    assert_eq!(wrong, ["3 export-off drifted"]);
    assert_eq!(snapshot.ids().len(), plan.sessions.len());
}

#[test]
fn the_example_is_valid() {
    let config = load(Path::new("config/driftwise.example.yaml")).unwrap();
    // config/sessions has no files.
    assert_eq!(
        config.warnings.iter().map(|w| w.message.as_str()).collect::<Vec<_>>(),
        ["no file matches this pattern"]
    );
    assert!(config.sources.len() >= 2);
}

#[test]
fn the_example_shows_every_key() {
    let text = std::fs::read_to_string("config/driftwise.example.yaml").unwrap();
    for keys in super::super::keys::sections() {
        for key in keys.known() {
            assert!(text.contains(&format!("{}:", key.name)), "{} of {} is not in the example", key.name, keys.of);
        }
    }
}

/// `tests/fixtures/config/contract-whole.yaml` holds the keys that are not available yet, each refused at its line.
#[test]
fn the_example_of_the_contract_is_accepted() {
    let config =
        load(Path::new("tests/fixtures/contract/driftwise.yaml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.sources.len(), config.policies.len()), (2, 2));
    assert_eq!(config.plans.values().map(|plan| plan.sessions.len()).sum::<usize>(), 1);
    let warnings = config.warnings.iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>();
    assert_eq!(warnings, ["the source grid has no audited session"]);
}
