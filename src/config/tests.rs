//! Whole configurations: each fixture in `tests/fixtures/config` has its report beside it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeZone as _, Utc};

use super::{Config, Environment, Problems};

mod accepted;
mod files;
mod generated;
mod large;
mod mail;
mod mappings;
mod secrets;
mod shipped;
mod slips;
mod weaker;
mod wrong;

/// The secret of every fixture; no report may show it.
const CANARY: &str = "canary-7f3a";

/// The same in base64.
const CANARY_HASH: &str = "Y2FuYXJ5LTdmM2E=";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 0).unwrap()
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "EMPTY" => "",
        "ACME_OW_PASSWORD" | "SMTP_PASSWORD" => CANARY,
        "ACME_OW_HASH" => CANARY_HASH,
        "OWNER" => "it@acme.example",
        "PORT" => "2525",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Loads a fixture by its path relative to the package, as its report shows it.
fn load(path: &Path) -> Result<Config, Problems> {
    Config::load(path, &environment, now())
}

/// Writes `text` into a new folder and loads it.
fn load_text(text: &str) -> Result<Config, String> {
    load_text_with(text, &environment)
}

fn load_text_with(text: &str, environment: &dyn Environment) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("driftwise.yaml");
    std::fs::write(&path, text).unwrap();
    let shown = format!("{}/", folder.path().display());
    Config::load(&path, environment, now()).map_err(|problems| problems.to_string().replace(&shown, ""))
}

fn with_extension(wanted: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir("tests/fixtures/config").unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == wanted));
    paths.sort();
    paths
}

fn fixtures() -> Vec<PathBuf> {
    with_extension("yaml")
}

/// The expected report of `NAME.yaml` is `NAME.snap` beside it.
#[test]
fn each_wrong_configuration_gets_its_report() {
    let paths = fixtures();
    assert!(paths.len() > 20, "{paths:?}");
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.with_extension("")).collect::<Vec<_>>();
    assert_eq!(names(&with_extension("snap")), names(&paths), "one report for each configuration");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../tests/fixtures/config");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in paths {
            let report = load(&path).expect_err(&path.display().to_string()).to_string();
            insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), report);
        }
    });
}

#[test]
fn no_report_shows_a_secret() {
    for path in fixtures() {
        let problems = load(&path).unwrap_err();
        assert!(!problems.to_string().contains(CANARY), "{}:\n{problems}", path.display());
        assert!(!format!("{problems:?}").contains(CANARY), "{}", path.display());
    }
}

/// A typing error anywhere in a file may make it invalid, and may not show a secret.
#[test]
fn no_typing_error_shows_a_secret() {
    const TEXT: &str = "\
sources:
  a: { type: orderwise, base_url: https://h, username: u, password: canary-7f3a, export_definition: x }
  b:
    type: orderwise
    base_url: https://u:canary-7f3a@h
    credential_hash: \"canary-7f3a\"
sessions: []
email:
  smtp:
    username: u
    password:
      canary-7f3a
    port: x
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("driftwise.yaml");
    let mut leaks = Vec::new();
    let secret =
        |at: usize| TEXT.match_indices(CANARY).any(|(start, _)| (start + 1..start + CANARY.len()).contains(&at));
    for at in (0..TEXT.len()).filter(|at| !secret(*at)) {
        let (before, after) = TEXT.split_at(at);
        let left_out = if after.starts_with('c') { String::new() } else { format!("{before}{}", &after[1..]) };
        // One insertion for each place keeps the test quick.
        let inserted = [":", "{", "\"", "\n", " ", "]", "'", "&", "*", "!", "|", "#"][at % 12];
        for text in [left_out, format!("{before}{inserted}{after}")] {
            std::fs::write(&path, &text).unwrap();
            let Err(problems) = load(&path) else { continue };
            if problems.to_string().contains(CANARY) {
                leaks.push(format!("{text}\n{problems}"));
            }
        }
    }
    let first = leaks.first().map(String::as_str).unwrap_or_default();
    assert!(leaks.is_empty(), "{} leaks, such as\n{first}", leaks.len());
}

#[test]
fn a_missing_file_or_a_folder_is_reported_as_such() {
    for (path, words) in [("no/such/driftwise.yaml", "there is no such file"), ("tests", "this is a folder")] {
        let report = load(Path::new(path)).unwrap_err().to_string();
        assert!(report.starts_with(&format!("{path}: {words}")), "{report}");
        assert!(report.ends_with("\n1 problem"), "{report}");
    }
}

#[test]
fn an_explicit_path_precedes_the_environment_variable() {
    let environment = |name: &str| (name == "DRIFTWISE_CONFIG").then(|| "/from/environment.yaml".to_owned());
    let found = Config::find(Some(Path::new("asked.yaml")), &environment).unwrap();
    assert_eq!(found, Path::new("asked.yaml"));
    assert_eq!(Config::find(None, &environment).unwrap(), Path::new("/from/environment.yaml"));
    let nothing = |_: &str| None;
    let report = Config::find(None, &nothing).unwrap_err().to_string();
    assert!(report.contains("--config PATH"), "{report}");
}
