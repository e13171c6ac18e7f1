//! The alert rules: promtool accepts them and their tests, each expression names existing metrics, and each alert has a runbook.

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use saphyr::{LoadableYamlNode as _, Yaml};

use crate::labels::Metrics;
use crate::{file, text};

const RULES: &str = "deploy/prometheus/rules.yaml";
const TESTS: &str = "deploy/prometheus/rules.test.yaml";

/// An alert or a recording rule.
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expression: String,
    severity: Option<String>,
    /// Keys and texts.
    annotations: Vec<(String, String)>,
}

fn rules() -> Vec<Rule> {
    let text = text(RULES);
    let documents = Yaml::load_from_str(&text).unwrap();
    let groups = documents[0]["groups"].as_sequence().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap());
    let rules = rules.map(|rule| {
        let word = |key| rule.as_mapping_get(key).and_then(Yaml::as_str).map(str::to_owned);
        let pair = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
            (key.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned())
        };
        let annotations = rule.as_mapping_get("annotations").and_then(Yaml::as_mapping);
        let severity = rule.as_mapping_get("labels").and_then(|labels| labels.as_mapping_get("severity")?.as_str());
        Rule {
            alert: word("alert"),
            record: word("record"),
            expression: word("expr").unwrap(),
            severity: severity.map(str::to_owned),
            annotations: annotations.into_iter().flatten().map(pair).collect(),
        }
    });
    rules.collect()
}

fn alerts() -> BTreeSet<String> {
    let alerts = rules().into_iter().filter_map(|rule| rule.alert).collect::<BTreeSet<_>>();
    assert!(alerts.len() > 20, "only {} alerts were found", alerts.len());
    alerts
}

#[test]
fn every_rule_names_metrics_labels_and_values_that_the_program_serves() {
    let mut metrics = Metrics::scraped();
    let variable = Regex::new(r"\$labels\.([a-z_]+)").unwrap();
    let mut wrong = Vec::new();
    for rule in rules() {
        let name = rule.alert.as_ref().or(rule.record.as_ref()).unwrap();
        let labels = match metrics.labels_of(&rule.expression) {
            Ok(labels) => labels,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (key, text) in &rule.annotations {
            let named = variable.captures_iter(text).map(|found| found[1].to_owned());
            wrong.extend(
                named.filter(|label| !labels.contains(label)).map(|label| {
                    format!("{name}: the {key} names the label {label}, which no series of the alert has")
                }),
            );
        }
        if let Some(record) = &rule.record {
            metrics.record(record, &rule.expression).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_has_a_runbook_a_severity_and_words() {
    let heading = Regex::new(r"(?m)^### (Driftwise\w+)$").unwrap();
    let page = text("docs/alerts.md");
    let runbooks = heading.captures_iter(&page).map(|found| found[1].to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(runbooks, alerts());
    for rule in rules().iter().filter(|rule| rule.alert.is_some()) {
        let name = rule.alert.as_ref().unwrap();
        let annotation = |wanted: &str| {
            let found = rule.annotations.iter().find(|(key, _)| key == wanted);
            found.unwrap_or_else(|| panic!("{name} has no {wanted}")).1.as_str()
        };
        assert_eq!(annotation("runbook_url"), format!("docs/alerts.md#{}", name.to_lowercase()));
        assert!(!annotation("summary").is_empty() && annotation("description").ends_with('.'), "{name}");
        let severity = rule.severity.as_deref().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity:?}");
    }
}

#[test]
fn prometheus_accepts_the_rules_and_every_alert_fires_and_stays_quiet_in_its_tests() {
    let promtool = |arguments: &[&str]| {
        let run = Command::new("promtool").args(arguments).output();
        let output = run.expect("this test needs promtool: install Prometheus");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    promtool(&["check", "rules", file(RULES).to_str().unwrap()]);
    promtool(&["test", "rules", file(TESTS).to_str().unwrap()]);
    let text = text(TESTS);
    let documents = Yaml::load_from_str(&text).unwrap();
    let (mut firing, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for case in documents[0]["tests"].as_sequence().unwrap() {
        for test in case["alert_rule_test"].as_sequence().unwrap() {
            let fires = test["exp_alerts"].as_sequence().is_some_and(|alerts| !alerts.is_empty());
            let cases = if fires { &mut firing } else { &mut quiet };
            cases.insert(test["alertname"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(firing, alerts(), "alerts with a case in which they fire");
    assert_eq!(quiet, alerts(), "alerts with a case in which they stay quiet");
}
