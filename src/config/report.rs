//! Collects the problems of a configuration while it is read, so that one report lists all of them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::domain::reading::visible;

use super::environment::Environment;
use super::inputs::Inputs;
use super::mask::{self, HIDDEN};
use super::problem::{Location, Problem, Problems};
use super::tree::{Node, Place, Value};

/// The files that were read, and the problems found in them.
pub(super) struct Report<'e> {
    /// Where secrets that are variables come from.
    pub environment: &'e dyn Environment,
    pub inputs: Inputs,
    files: Vec<File>,
    problems: Vec<(Place, Problem)>,
    warnings: Vec<(Place, Problem)>,
    /// One mistake in a default is one problem, however many sessions use it.
    said: HashSet<(Place, String)>,
    /// Values that could not be read: their first problem is enough.
    silenced: HashSet<Place>,
    /// Whether the part that is being read holds secrets that the command needs.
    pub secrets_needed: bool,
    /// The place of each secret, and whether the command needs it: an anchor or a default serves several parts.
    secrets: HashMap<Place, bool>,
}

struct File {
    path: PathBuf,
    lines: Vec<String>,
    hidden: Vec<Hidden>,
    /// It is not valid YAML: a report shows only values of declared keys that hold no secret.
    broken: bool,
}

/// A line whose rest from a column on may be a secret.
struct Hidden {
    line: usize,
    column: usize,
    /// It is one. Otherwise it is the value of an unknown key.
    sure: bool,
}

impl<'e> Report<'e> {
    pub fn new(environment: &'e dyn Environment) -> Self {
        Self {
            environment,
            inputs: Inputs::default(),
            files: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            said: HashSet::new(),
            silenced: HashSet::new(),
            secrets_needed: true,
            secrets: HashMap::new(),
        }
    }

    /// Adds a file; each [`Place`] in it has its number.
    pub fn add(&mut self, path: PathBuf, text: &str) -> usize {
        let lines = text.lines().map(str::to_owned).collect();
        self.files.push(File { path, lines, hidden: Vec::new(), broken: false });
        self.files.len() - 1
    }

    /// Sets the text of a file after it was added.
    pub fn set_text(&mut self, file: usize, text: &str) {
        self.files[file].lines = text.lines().map(str::to_owned).collect();
    }

    /// The number of problems so far.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// The folder that relative paths of the file are relative to.
    pub fn folder(&self, file: usize) -> PathBuf {
        self.files[file].path.parent().unwrap_or(Path::new("")).to_owned()
    }

    /// `FILE:LINE:COLUMN`, for a message that names a second place.
    pub fn shown(&self, place: Place) -> String {
        format!("{}:{}:{}", self.files[place.file].path.display(), place.line, place.column)
    }

    /// Whether the command needs the secret at `node`. The variables in one that it does not need may be unset.
    pub fn needs_secret(&mut self, node: &Node) -> bool {
        *self.secrets.entry(node.place).or_default() |= self.secrets_needed;
        self.secrets_needed
    }

    pub fn problem(&mut self, at: impl Into<Place>, problem: impl Into<Problem>) {
        let (place, problem) = (at.into(), problem.into());
        if self.is_new(place, &problem.message) {
            self.problems.push((place, problem));
        }
    }

    /// As [`Self::problem`]; the value that was to be read is then `None`.
    pub fn refuse<T>(&mut self, at: impl Into<Place>, problem: impl Into<Problem>) -> Option<T> {
        self.problem(at, problem);
        None
    }

    pub fn warning(&mut self, at: impl Into<Place>, problem: impl Into<Problem>) {
        let (place, problem) = (at.into(), problem.into());
        if self.is_new(place, &problem.message) {
            self.warnings.push((place, problem));
        }
    }

    /// Drops all further remarks on the value at `place`, which could not be read.
    pub fn silence(&mut self, place: Place) {
        self.silenced.insert(place);
    }

    fn is_new(&mut self, place: Place, message: &str) -> bool {
        !self.silenced.contains(&place) && self.said.insert((place, message.to_owned()))
    }

    /// Whether this problem was reported before.
    pub fn has_said(&self, place: Place, message: &str) -> bool {
        self.said.contains(&(place, message.to_owned()))
    }

    /// Keeps this value, a secret, out of every source line.
    pub fn hide(&mut self, node: &Node) {
        self.hide_value(node, true);
    }

    /// As [`Self::hide`], for the value of an unknown key: hardly ever a secret, so reports still give columns behind it.
    pub fn hide_unknown(&mut self, node: &Node) {
        self.hide_value(node, false);
    }

    fn hide_value(&mut self, node: &Node, sure: bool) {
        let (from, to) = match &node.value {
            Value::Scalar(..) => (node.place, node.last_line),
            Value::List(items) => return items.iter().for_each(|item| self.hide_value(item, sure)),
            Value::Map(entries) => {
                let mut strange =
                    entries.iter().filter(|entry| !matches!(entry.key.as_str(), "env" | "file")).peekable();
                let Some(first) = strange.peek().map(|entry| entry.place) else { return };
                strange.for_each(|entry| self.hide_value(&entry.value, sure));
                // A missing or extra colon can make part of the secret a key.
                let column = node.place.column.min(first.column);
                (Place { column, ..first }, node.last_line.min(node.place.line + 8))
            }
        };
        let lines = std::iter::once((from.line, from.column)).chain((from.line + 1..=to).map(|line| (line, 1)));
        self.files[from.file].hidden.extend(lines.map(|(line, column)| Hidden { line, column, sure }));
    }

    /// Whether the line at `place` mentions a word such as "password", so that no message should quote it.
    pub fn hints_at_a_secret(&self, place: Place) -> bool {
        let line = place.line.checked_sub(1).and_then(|at| self.files[place.file].lines.get(at));
        line.is_some_and(|line| mask::hints_at_a_secret(line))
    }

    /// Hides the rest of the line from `place` on.
    pub fn hide_from(&mut self, place: Place) {
        self.files[place.file].hidden.push(Hidden { line: place.line, column: place.column, sure: true });
    }

    /// Marks a file as invalid YAML: a report shows only values of declared keys that hold no secret.
    pub fn distrust(&mut self, file: usize) {
        self.files[file].broken = true;
    }

    /// The problems, if any, and the warnings, each in the order of files and lines.
    pub fn finish(mut self) -> (Option<Problems>, Vec<Problem>) {
        let mut problems = std::mem::take(&mut self.problems);
        problems.retain(|(place, _)| self.secrets.get(place) != Some(&false));
        let warnings = std::mem::take(&mut self.warnings);
        let problems = self.located(problems);
        ((!problems.is_empty()).then(|| Problems::new(problems)), self.located(warnings))
    }

    fn located(&self, mut problems: Vec<(Place, Problem)>) -> Vec<Problem> {
        problems.sort_by_key(|(place, _)| *place);
        problems.into_iter().map(|(place, problem)| self.locate(place, problem)).collect()
    }

    fn locate(&self, Place { file, line, column }: Place, problem: Problem) -> Problem {
        /// Longest source line that is shown, in characters.
        const LONGEST: usize = 160;
        let File { path, lines, hidden, broken } = &self.files[file];
        let written = line.checked_sub(1).and_then(|at| lines.get(at)).map_or("", String::as_str);
        let secrets = hidden.iter().filter(|secret| secret.line == line);
        // A column behind a secret would reveal its length.
        let without_secrets = cut(written, secrets.clone().filter(|secret| secret.sure));
        let mut source_line = cut(written, secrets);
        if *broken {
            source_line = mask::harmless_line(&source_line);
        }
        let longest = if *broken { &source_line } else { &without_secrets }.chars().count() + 1;
        let source_line: String =
            source_line.chars().take(LONGEST).map(|c| if c == '\t' { c } else { visible(c) }).collect();
        let column = column.min(longest.min(LONGEST + 1));
        let at = Some(Location { file: path.clone(), line, column, source_line });
        // A path or a name in a message may hold control characters that a terminal would obey.
        let plain = |text: String| text.chars().map(visible).collect();
        Problem { at, message: plain(problem.message), help: problem.help.map(plain) }
    }
}

/// The part of a line before these secrets.
fn cut<'a>(written: &str, secrets: impl Iterator<Item = &'a Hidden>) -> String {
    let from = secrets.map(|secret| secret.column).min();
    let kept = from.map_or_else(|| written.to_owned(), |from| written.chars().take(from - 1).collect());
    let mut shown = mask::line(&kept);
    if from.is_some() && !shown.ends_with(HIDDEN) {
        shown.push_str(HIDDEN);
    }
    shown
}

/// The known word that `word` probably misspells.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let scored = known.into_iter().map(|candidate| {
        let folded = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&word, &folded);
        let part = word.len() >= 4 && (folded.contains(&word) || word.contains(&folded) && folded.len() >= 4);
        (if part { distance.min(limit) } else { distance }, candidate)
    });
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, found)| found)
}

/// The help for an unknown word: the nearest known one, and all of them if they are few.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    /// Longer lists do not help.
    const MOST: usize = 20;
    let all: Vec<&str> = known.clone().into_iter().collect();
    let listed = if all.len() > MOST {
        format!("{}, and {} more", all[..MOST].join(", "), all.len() - MOST)
    } else {
        all.join(", ")
    };
    match nearest(word, known) {
        Some(near) if all.len() > MOST => format!("did you mean {near:?}?"),
        Some(near) => format!("did you mean {near:?}? Known: {listed}"),
        None if all.is_empty() => "none is defined".to_owned(),
        None => format!("known: {listed}"),
    }
}
