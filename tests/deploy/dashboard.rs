//! The Grafana dashboard: each expression, legend and variable names existing metrics, labels and values.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use crate::labels::Metrics;
use crate::text;

/// Variables that Grafana itself defines.
const BUILT_IN: [&str; 3] = ["__all", "__data", "__rate_interval"];

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/driftwise.json")).unwrap()
}

fn variables(dashboard: &Value) -> BTreeSet<String> {
    let list = dashboard["templating"]["list"].as_array().unwrap();
    list.iter().map(|variable| variable["name"].as_str().unwrap().to_owned()).collect()
}

/// Every object of the dashboard, at any depth.
fn objects(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        Value::Object(entries) => std::iter::once(value).chain(entries.values().flat_map(objects)).collect(),
        _ => Vec::new(),
    }
}

/// An expression as Prometheus gets it; variables within quotes stay.
fn expression(text: &str) -> String {
    text.replace("$__rate_interval", "5m")
}

#[test]
fn every_expression_and_legend_names_metrics_labels_and_values_that_the_program_serves() {
    let (dashboard, metrics) = (dashboard(), Metrics::scraped());
    let placeholder = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let (mut wrong, mut read) = (Vec::new(), 0);
    for target in objects(&dashboard) {
        let Some(written) = target["expr"].as_str() else { continue };
        read += 1;
        let labels = match metrics.labels_of(&expression(written)) {
            Ok(labels) => labels,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        if placeholder.captures_iter(legend).any(|found| !labels.contains(&found[1])) {
            wrong.push(format!("the legend {legend} names no label of {written}"));
        }
    }
    assert!(read > 30, "only {read} expressions were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_variable_is_declared_and_queries_an_existing_label() {
    let (dashboard, metrics) = (dashboard(), Metrics::scraped());
    let query = Regex::new(r"^label_values\((.+), (\w+)\)$").unwrap();
    let mut queries = 0;
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(written) = variable["query"]["query"].as_str() {
            queries += 1;
            let found = query.captures(written).unwrap_or_else(|| panic!("{written}"));
            assert!(metrics.labels_of(&found[1]).unwrap().contains(&found[2]), "{written}");
        }
    }
    assert!(queries >= 3, "only {queries} queries were found");
    let declared = variables(&dashboard);
    let variable = Regex::new(r"\$\{?(\w+)\}?").unwrap();
    let text = dashboard.to_string();
    for found in variable.captures_iter(&text) {
        let name = &found[1];
        assert!(declared.contains(name) || BUILT_IN.contains(&name), "${name} is not declared");
    }
}

#[test]
fn every_panel_has_a_title_a_place_of_its_own_and_the_chosen_data_source() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    let ids = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), panels.len(), "two panels have one ID");
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let side = |key: &str| panel["gridPos"][key].as_i64().unwrap();
        assert!(!title.is_empty() && side("x") + side("w") <= 24, "{title:?}");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{title:?} covers another panel");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title:?}");
        }
    }
}

#[test]
fn an_unknown_number_is_not_shown_as_zero() {
    let dashboard = dashboard();
    let stats = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] == "stat");
    let mut read = 0;
    for panel in stats {
        read += 1;
        let (title, shown) = (panel["title"].as_str().unwrap(), &panel["fieldConfig"]["defaults"]);
        let words = shown["noValue"].as_str().unwrap();
        assert!(words.parse::<f64>().is_err(), "{title} shows {words} without an auditor");
        let special = shown["mappings"].as_array().unwrap().iter().find(|mapping| mapping["type"] == "special");
        let options = &special.unwrap_or_else(|| panic!("{title} has the colour of a value without one"))["options"];
        assert_eq!(
            (options["match"].as_str(), options["result"]["text"].as_str()),
            (Some("null"), Some(words)),
            "{title}"
        );
        assert_eq!(options["result"]["color"], "#6e7280", "{title}");
    }
    assert!(read > 15, "only {read} numbers were found");
}
