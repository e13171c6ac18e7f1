//! The documents, held to the program: commands and options that they name exist, configurations that they show are valid, and
//! what they point at is there.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Utc};
use driftwise::config::Config;
use regex::Regex;

/// Files that the quick start writes: named in the documents, and absent before its first run.
const WRITTEN: [&str; 2] = ["config/mail", "config/driftwise.db"];

struct Document {
    path: PathBuf,
    text: String,
}

/// A fenced block: its language, the line on which it begins, and its text without the indentation of the fence.
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file at the top, and under `docs` and `deploy`; and the comments of every YAML file under `config`.
fn documents() -> Vec<Document> {
    let mut folders = vec![root().join("docs"), root().join("deploy")];
    let mut paths = markdown(root());
    while let Some(folder) = folders.pop() {
        paths.extend(markdown(&folder));
        folders.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    let document = |path: PathBuf| Document { text: fs::read_to_string(&path).unwrap(), path };
    let mut documents = paths.into_iter().map(document).collect::<Vec<_>>();
    let configurations = files(&root().join("config")).into_iter().filter(|path| has_extension(path, "yaml"));
    let before = documents.len();
    documents.extend(configurations.map(|path| Document { text: comments(&fs::read_to_string(&path).unwrap()), path }));
    assert!(documents.len() >= before + 3, "the configurations under config/ were not found");
    documents
}

/// Every file under `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// What follows a `#`, line by line.
fn comments(yaml: &str) -> String {
    let comment = |line: &str| line.split_once("# ").map_or_else(String::new, |(_, comment)| format!("{comment}\n"));
    yaml.lines().map(comment).collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| has_extension(path, "md")).collect()
}

impl Document {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    fn blocks(&self, languages: &[&str]) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (at, line) in self.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some((indent, Block { language: language.to_owned(), line: at + 1, text: String::new() }));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block that does not end", self.name());
        blocks.retain(|block| languages.contains(&block.language.as_str()));
        blocks
    }

    /// The text outside of fenced blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let outside = self.text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        outside.collect::<Vec<_>>().join("\n")
    }

    /// What stands in the prose `as code`.
    fn code_words(&self) -> Vec<String> {
        let code = Regex::new("`([^`\n]+)`").unwrap();
        code.captures_iter(&self.prose()).map(|found| found[1].to_owned()).collect()
    }

    /// Every call of the program, with the line of its block, or 0 for one in the prose.
    fn calls(&self) -> Vec<(usize, String)> {
        let in_blocks = self
            .blocks(&["sh"])
            .into_iter()
            .flat_map(|block| block.text.lines().map(|line| (block.line, line.to_owned())).collect::<Vec<_>>());
        let in_prose = self.code_words().into_iter().map(|word| (0, word));
        let call = |(line, text): (usize, String)| {
            let text = text.split(" #").next().unwrap_or_default().trim();
            let arguments = ["driftwise ", "cargo run --release -- ", "cargo run -- "];
            arguments.iter().find_map(|start| text.strip_prefix(start)).map(|rest| (line, rest.to_owned()))
        };
        in_blocks.chain(in_prose).filter_map(call).collect()
    }
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_driftwise")).args(command).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
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
            let is_command = |word: &&&str| word.bytes().all(|b| b.is_ascii_lowercase());
            let command = words.iter().take_while(is_command).copied().collect::<Vec<_>>();
            let text = helps.entry(command.join(" ")).or_insert_with(|| help(&command));
            let usage = text.lines().any(|line| line.starts_with(&format!("Usage: driftwise {}", command.join(" "))));
            if !usage || text.starts_with("Not available yet") {
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
fn the_comments_of_a_configuration_are_read_like_any_document() {
    let text = comments("# Check it with `driftwise validate`.\na: b # as `driftwise policy show` says\nc: \"#d\"\n");
    let document = Document { path: root().join("config/any.yaml"), text };
    assert_eq!(document.calls(), [(0, "validate".to_owned()), (0, "policy show".to_owned())]);
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
            // Secrets that the reader is to put into place.
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
fn every_link_within_the_project_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut wrong, mut links) = (Vec::new(), 0);
    for document in documents() {
        for found in link.captures_iter(&document.prose()) {
            let target = found[1].split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            if !document.path.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}: {target} does not exist", document.name()));
            }
        }
    }
    assert!(links > 10, "only {links} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_and_function_that_a_document_names_exists() {
    let folders = ["src/", "tests/", "config/", "scripts/", "deploy/", "docs/", "migrations/"];
    let function = Regex::new(r"^(?:[A-Za-z_]+::)+([a-z_]+)$").unwrap();
    let sources = rust(&root().join("src"));
    let mut wrong = Vec::new();
    for document in documents() {
        for word in document.code_words() {
            let named = folders.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*']);
            if named && !WRITTEN.contains(&word.as_str()) && !root().join(&word).exists() {
                wrong.push(format!("{}: {word} does not exist", document.name()));
            }
            let function = function.captures(&word).map(|found| found[1].to_owned());
            let exists = |name: &String| {
                let word = Regex::new(&format!(r"\b(?:fn|mod) {name}\b")).unwrap();
                sources.iter().any(|text| word.is_match(text))
            };
            if function.as_ref().is_some_and(|name| !exists(name)) {
                wrong.push(format!("{}: there is no {word}", document.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
        // The labels of a session's series are formatted where they are written, so only the page names them.
        let labels = declared.get(&found[1]).is_none_or(|(_, labels)| labels.is_some());
        (found[1].to_owned(), (found[2].to_owned(), labels.then(|| found[3].trim().to_owned())))
    });
    assert_eq!(documented.collect::<BTreeMap<_, _>>(), declared);
}

/// The text of every Rust file under `folder`.
fn rust(folder: &Path) -> Vec<String> {
    let rust = files(folder).into_iter().filter(|path| has_extension(path, "rs"));
    rust.map(|path| fs::read_to_string(path).unwrap()).collect()
}
