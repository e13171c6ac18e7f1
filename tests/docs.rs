//! The documents, checked against the program: commands and options in them exist, configurations in them are valid, and links
//! and names lead to something.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use driftwise::config::Config;
use regex::Regex;

#[path = "docs/document.rs"]
mod document;
#[path = "docs/links.rs"]
mod links;

use document::{documents, root, rust};

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_driftwise")).args(command).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the usage in a help text is that of `command`: its words, and then as many arguments as it takes.
fn takes(help: &str, command: &[&str]) -> bool {
    let Some(usage) = help.lines().find_map(|line| line.strip_prefix("Usage: driftwise ")) else { return false };
    let of_usage = usage.split_whitespace();
    let names = of_usage.clone().take_while(|word| !word.starts_with(['[', '<'])).collect::<Vec<_>>();
    let arguments = of_usage.skip(names.len()).filter(|word| *word != "[OPTIONS]" && *word != "<COMMAND>");
    let most =
        arguments.map(|word| if word.ends_with("...") { usize::MAX } else { 1 }).fold(0_usize, usize::saturating_add);
    command.strip_prefix(names.as_slice()).is_some_and(|given| given.len() <= most)
}

/// Reads a configuration as if every variable were set.
fn load(path: &Path) -> Result<Config, String> {
    let now: DateTime<Utc> = "2026-11-23T09:00:00Z".parse().unwrap();
    Config::load(path, &|_: &str| Some(String::from("anything")), now).map_err(|problems| problems.to_string())
}

#[test]
fn every_command_and_option_that_a_document_names_exists() {
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let (mut wrong, mut calls) = (Vec::new(), 0);
    for document in documents() {
        for (line, call) in document.calls() {
            calls += 1;
            let words = call.split_whitespace().collect::<Vec<_>>();
            let command = words.iter().take_while(|word| !word.starts_with('-')).copied().collect::<Vec<_>>();
            // A placeholder, such as ID, is not a value that the program takes.
            let names = command.iter().filter(|word| word.contains(char::is_lowercase)).copied().collect::<Vec<_>>();
            let text = helps.entry(names.join(" ")).or_insert_with(|| help(&names));
            if !takes(text, &command) || text.starts_with("Not available yet") {
                wrong.push(format!("{}:{line}: there is no command `driftwise {call}`", document.name()));
            }
            let known = text.split([' ', ',', '\n']).collect::<Vec<_>>();
            for option in words.iter().filter(|word| word.starts_with('-')) {
                if !known.contains(option) {
                    wrong.push(format!("{}:{line}: `driftwise {call}` has no option {option}", document.name()));
                }
            }
        }
    }
    assert!(calls > 15, "only {calls} calls were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_configuration_in_a_document_is_valid() {
    let secrets = Regex::new(r"file: /run/secrets/\w+").unwrap();
    let (mut wrong, mut read) = (Vec::new(), 0);
    for document in documents() {
        for block in document.blocks(&["yaml"]) {
            read += 1;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("driftwise.yaml");
            fs::write(folder.path().join("secret"), "ZHJpZnR3aXNlOnNlY3JldA==").unwrap();
            // Creates the secret that the reader would put there.
            let secret = format!("file: {}/secret", folder.path().display());
            fs::write(&path, secrets.replace_all(&block.text, &secret).as_bytes()).unwrap();
            if let Err(problems) = load(&path) {
                wrong.push(format!("{}:{}:\n{problems}", document.name(), block.line));
            }
        }
    }
    assert!(read >= 3, "only {read} configurations were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_configurations_that_ship_are_valid() {
    for name in ["config/driftwise.example.yaml", "config/quickstart.yaml"] {
        assert!(load(&root().join(name)).is_ok_and(|config| !config.plans.is_empty()), "{name}");
    }
}

#[test]
fn the_page_of_metrics_has_each_metric_with_its_type_and_labels() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let call = Regex::new(r#"new\.([a-z]+)\("([a-z_]+)", "[^"]*"(?:, &\[([^\]]*)\])?"#).unwrap();
    let catalogue = text("src/metrics/catalogue.rs");
    let counted = call.captures_iter(&catalogue).map(|found| {
        let kind = match &found[1] {
            "counter" | "counters" => "counter",
            "histograms" => "histogram",
            _ => "gauge",
        };
        let labels = found.get(3).map(|labels| labels.as_str().replace('"', "`"));
        (found[2].to_owned(), (kind.to_owned(), Some(labels.unwrap_or_default())))
    });
    let family = Regex::new(r#"Family::new\((?:self\.)?out, "([a-z_]+)""#).unwrap();
    let exposition = text("src/metrics/exposition.rs");
    let shown = family.captures_iter(&exposition).map(|found| (found[1].to_owned(), ("gauge".to_owned(), None)));
    let declared = counted.chain(shown).collect::<BTreeMap<_, _>>();
    assert!(declared.len() > 25, "only {} metrics were found", declared.len());
    let row = Regex::new(r"(?m)^\| `driftwise_([a-z_]+)` \| ([a-z]+) \| ([^|]*)\| ").unwrap();
    let page = text("docs/metrics.md");
    let documented = row.captures_iter(&page).map(|found| {
        // The labels of a session's series are formatted in the code that writes them, so only the page names them.
        let labels = declared.get(&found[1]).is_none_or(|(_, labels)| labels.is_some());
        (found[1].to_owned(), (found[2].to_owned(), labels.then(|| found[3].trim().to_owned())))
    });
    assert_eq!(documented.collect::<BTreeMap<_, _>>(), declared);
}

/// An `error` in the log needs a person, so the page of symptoms says what to do.
#[test]
fn every_error_in_the_log_and_every_trouble_of_the_store_is_on_the_page_of_symptoms() {
    let logged = Regex::new(r#"tracing::error!\([^;]*?"([^"]+)""#).unwrap();
    let trouble = Regex::new(r#"#\[error\(\s*"([^"{]{8,})[^"]*"#).unwrap();
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let sources = rust(&root().join("src"));
    let store = fs::read_to_string(root().join("src/store/error.rs")).unwrap();
    let troubles = store.split("pub enum Trouble").nth(1).unwrap();
    let messages = sources.iter().flat_map(|text| logged.captures_iter(text)).chain(trouble.captures_iter(troubles));
    let messages = messages.map(|found| found[1].split([':', '(']).next().unwrap_or_default().trim().to_owned());
    let messages = messages.collect::<BTreeSet<_>>();
    assert!(messages.len() > 20, "only {} messages were found", messages.len());
    let absent = messages.iter().filter(|message| !page.contains(message.as_str())).collect::<Vec<_>>();
    assert!(absent.is_empty(), "docs/troubleshooting.md does not name: {absent:#?}");
}
