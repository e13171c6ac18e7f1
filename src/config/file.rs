//! The files of a configuration: the main one, those it includes, and the built-in baseline, each as a located tree.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::containers::List;
use super::declaration::Declared;
use super::environment::Environment;
use super::fields::{Fields, read_entry};
use super::keys::{IncludedKeys, MAIN, MainKeys};
use super::policy::BASELINE;
use super::report::Report;
use super::shapes::Text;
use super::tree::{Node, Place, Value};
use super::yaml;

/// Largest file: 10,000 sessions written out in full are a tenth of it.
const LARGEST: u64 = 32 << 20;

/// Most files that one pattern may match: a file for each session of the largest integrator, twice.
const MOST_FILES: usize = 20_000;

/// The built-in baseline, in the form of a user's policy.
const BUILT_IN: &str = include_str!("../../config/baselines/orderwise-shopify.yaml");

/// All files as trees.
pub(super) struct Written {
    /// The number of the main file in the report.
    pub main: usize,
    pub root: Node,
    pub included: Vec<Node>,
    pub built_in: Option<Node>,
    pub files: Vec<PathBuf>,
}

impl Written {
    /// The main file and what it includes.
    pub fn roots(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.root).chain(&self.included)
    }
}

/// Reads the file at `path`, or `text` in its place, and the files that it includes. `None`, and reported, if the main file is
/// invalid.
pub(super) fn read(
    report: &mut Report,
    path: &Path,
    text: Option<&[u8]>,
    environment: &dyn Environment,
) -> Option<Written> {
    let main = report.add(path.to_owned(), "");
    report.inputs.file(path);
    let text = text.map_or_else(|| contents(path, false), decoded);
    let root = read_one(report, main, text, environment)?;
    let fields = Fields::new(report, &root, MAIN)?;
    let mut files = vec![path.to_owned()];
    let mut seen: HashSet<PathBuf> = identity(path).into_iter().collect();
    let mut included = Vec::new();
    let include = fields.entry("include").and_then(|entry| read_entry::<List<Text>>(report, entry));
    for item in include.into_iter().flatten() {
        for path in matched(report, &item.value, item.place) {
            if !identity(&path).is_none_or(|identity| seen.insert(identity)) {
                continue;
            }
            let file = report.add(path.clone(), "");
            files.push(path.clone());
            let Some(node) = read_one(report, file, contents(&path, true), environment) else { continue };
            included.extend(part(report, node));
        }
    }
    let file = report.add(PathBuf::from(format!("(built in) {BASELINE}.yaml")), BUILT_IN);
    let nothing = |_: &str| None;
    let built_in = yaml::parse(report, file, BUILT_IN, &nothing);
    Some(Written { main, root, included, built_in, files })
}

/// The text of a regular file, if it can be read.
pub(super) fn text(path: &Path) -> Option<String> {
    contents(path, true).ok()
}

/// The tree of the file at `path`, which holds `text`, without the files that it includes.
pub(super) fn alone(report: &mut Report, path: &Path, text: &str, environment: &dyn Environment) -> Option<Node> {
    let main = report.add(path.to_owned(), "");
    read_one(report, main, Ok(text.to_owned()), environment)
}

/// An included file without keys of the main one, which are reported.
fn part(report: &mut Report, mut node: Node) -> Option<Node> {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| {
            let only_in_main = MainKeys::SECTION.keys.iter().any(|key| key.name == entry.key);
            if only_in_main {
                let help = "an included file adds customers, sources, policies and sessions";
                report.problem(entry.place, (format!("{:?} is only allowed in the main file", entry.key), help));
            }
            !only_in_main
        });
    }
    Fields::new(report, &node, IncludedKeys::SECTIONS).is_some().then_some(node)
}

/// The same for all names of a file, so that each file is read once.
fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// The files that one item of `include` names, in the order of their names.
fn matched(report: &mut Report, text: &str, at: Place) -> Vec<PathBuf> {
    let folder = report.folder(at.file);
    if !text.contains(['*', '?', '[']) {
        let path = folder.join(text);
        report.inputs.file(&path);
        if path.exists() {
            return vec![path];
        }
        let message = format!("there is no file {}", path.display());
        report.problem(at, (message, "only a pattern with * may match nothing"));
        return Vec::new();
    }
    let pattern = Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join(text);
    let pattern = pattern.to_string_lossy();
    report.inputs.pattern(&pattern);
    let found = match glob::glob(&pattern) {
        Ok(found) => found,
        Err(error) => {
            report.problem(at, format!("\"include\" has an invalid pattern: {}", error.msg));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for path in found {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => paths.push(path),
            Err(error) => report.problem(at, format!("cannot search for files to include: {error}")),
        }
        if paths.len() > MOST_FILES {
            report.problem(at, "more than 20,000 files match this pattern");
            return Vec::new();
        }
    }
    if paths.is_empty() {
        report.warning(at, ("no file matches this pattern", "it is relative to the file that includes it"));
    }
    paths.sort();
    paths
}

/// The text of a file; or the message and the help.
type Contents = Result<String, (String, &'static str)>;

fn read_one(report: &mut Report, file: usize, text: Contents, environment: &dyn Environment) -> Option<Node> {
    let text = match text {
        Ok(text) => text,
        Err((message, help)) => {
            report.problem(Place::file(file), (message, help));
            return None;
        }
    };
    report.set_text(file, &text);
    let before = report.count();
    let node = yaml::parse(report, file, &text, environment);
    match node {
        Some(node) if !node.is_null() => Some(node),
        _ => {
            if report.count() == before {
                report.problem(
                    Place::file(file),
                    ("this file is empty", "config/driftwise.example.yaml shows every key"),
                );
            }
            None
        }
    }
}

/// The main file may be a pipe, such as a shell makes of `<(...)`; an included one may not, because opening it could wait for ever.
fn contents(path: &Path, only_regular: bool) -> Contents {
    let unreadable = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ("there is no such file".to_owned(), "check the path"),
        std::io::ErrorKind::PermissionDenied => (
            "cannot read this file: permission denied".to_owned(),
            "the user that runs Driftwise must be able to read it",
        ),
        _ => (format!("cannot read this file: {error}"), "check the path"),
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if about.is_dir() {
        return Err(("this is a folder, not a file".to_owned(), "name the file in it"));
    }
    if only_regular && !about.is_file() {
        return Err(("this is not a regular file".to_owned(), "include names files that can be read to their end"));
    }
    // The length in the metadata is no limit: a device reports none, and may have no end.
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    decoded(&bytes)
}

fn decoded(bytes: &[u8]) -> Contents {
    if bytes.len() as u64 > LARGEST {
        return Err(("this file is larger than 32 MiB".to_owned(), "divide it, and name the parts under include"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        (format!("this file is not UTF-8 text (line {line})"), "save it in the encoding UTF-8")
    })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text).to_owned())
}
