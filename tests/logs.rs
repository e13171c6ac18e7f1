//! docs/logs.md, checked against the code: it has every field of a line up to `info`, and every message of a warning or an error.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A call of a logging macro.
struct Call {
    level: String,
    fields: Vec<String>,
    /// As written, without the line breaks of the source.
    message: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The calls in the code before the unit tests of a file, except those of `debug` and `trace`.
fn calls(text: &str) -> Vec<Call> {
    let call =
        Regex::new(r#"(?s)tracing::(error|warn|info)!\((.*?)"((?:[^"\\]|\\.)*)"(?:,[^"]*?)?\s*\)(?:;|,\n)"#).unwrap();
    let arguments = Regex::new(r#""[^"]*"|\([^()]*\)"#).unwrap();
    let broken = Regex::new(r"\\\n\s*").unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let found = call.captures_iter(text).map(|found| {
        let mut fields = found[2].to_owned();
        while arguments.is_match(&fields) {
            fields = arguments.replace_all(&fields, "").into_owned();
        }
        let fields =
            fields.split(',').map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']));
        Call {
            level: found[1].to_uppercase(),
            fields: fields.filter(|field| !field.is_empty()).map(str::to_owned).collect(),
            message: broken.replace_all(&found[3], "").into_owned(),
        }
    });
    found.collect()
}

fn all_calls() -> Vec<Call> {
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    sources(&root().join("src"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .flat_map(|path| calls(&text(path)))
        .collect()
}

fn rows(pattern: &str) -> BTreeSet<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let row = Regex::new(pattern).unwrap();
    let cells = row
        .captures_iter(&page)
        .map(|found| found.iter().skip(1).flatten().map(|cell| cell.as_str().to_owned()).collect());
    cells.collect()
}

#[test]
fn every_call_is_read() {
    let folder = sources(&root().join("src"));
    let macros = Regex::new(r"tracing::(error|warn|info)!\(").unwrap();
    let written = folder.iter().map(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        macros.find_iter(text.split("#[cfg(test)]\nmod tests {").next().unwrap()).count()
    });
    assert_eq!(all_calls().len(), written.sum::<usize>());
}

#[test]
fn the_page_of_the_log_has_every_field() {
    // The writer itself makes the one line with `lines`.
    let written = all_calls().into_iter().flat_map(|call| call.fields).chain([String::from("lines")]);
    let written = written.map(|field| vec![field]).collect::<BTreeSet<_>>();
    assert!(written.len() > 20, "{written:?}");
    assert_eq!(rows(r"(?m)^\| `([a-z_]+)` \| "), written);
}

#[test]
fn the_page_of_the_log_has_every_warning_and_error() {
    let lost = "log lines were lost because the log could not be written";
    let telemetry = fs::read_to_string(root().join("src/telemetry.rs")).unwrap();
    assert!(telemetry.contains(lost));
    let messages = all_calls().into_iter().filter(|call| call.level != "INFO" && !call.message.contains('{'));
    let written = messages.map(|call| vec![call.level, call.message]);
    let written = written.chain([vec![String::from("WARN"), lost.to_owned()]]).collect::<BTreeSet<_>>();
    assert!(written.len() > 25, "{written:?}");
    assert_eq!(rows(r"(?m)^\| (ERROR|WARN) \| ([^|]*) \| "), written);
}
