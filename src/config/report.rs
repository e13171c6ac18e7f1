//! Collects everything that is wrong while a configuration is read, so that people see all of it at once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::domain::reading::visible;

use super::environment::Environment;
use super::mask::{self, HIDDEN};
use super::problem::{Location, Problem, Problems};
use super::tree::{Node, Place, Value};

/// The files that were read, and what was found wrong in them.
pub(super) struct Report<'e> {
    /// Where secrets that are variables come from.
    pub environment: &'e dyn Environment,
    files: Vec<File>,
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
    /// One mistake in a default is one problem, however many sessions use it.
    said: HashSet<(Place, String)>,
    /// Where a value could not be had, whatever else is found wrong with what stands in its place.
    enough: HashSet<Place>,
    /// Whether the part that is being read holds secrets that the command needs.
    pub secrets_needed: bool,
    /// Where each secret that was met stands, and whether the command needs it: an anchor or a default serves several parts.
    secrets: HashMap<Place, bool>,
}

struct File {
    path: PathBuf,
    lines: Vec<String>,
    hidden: Vec<Hidden>,
    /// It is no YAML, so of its lines only what is surely harmless is shown.
    broken: bool,
}

/// A line that holds a secret from a column on.
struct Hidden {
    line: usize,
    column: usize,
    /// Else it may as well be something else.
    sure: bool,
}

struct Remark {
    place: Place,
    message: String,
    help: Option<String>,
}

impl<'e> Report<'e> {
    pub fn new(environment: &'e dyn Environment) -> Self {
        Self {
            environment,
            files: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            said: HashSet::new(),
            enough: HashSet::new(),
            secrets_needed: true,
            secrets: HashMap::new(),
        }
    }

    /// Adds a file; its number stands in every place.
    pub fn add(&mut self, path: PathBuf, text: &str) -> usize {
        let lines = text.lines().map(str::to_owned).collect();
        self.files.push(File { path, lines, hidden: Vec::new(), broken: false });
        self.files.len() - 1
    }

    /// What a file holds, once that is known.
    pub fn set_text(&mut self, file: usize, text: &str) {
        self.files[file].lines = text.lines().map(str::to_owned).collect();
    }

    /// How many problems there are so far.
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

    pub fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.say(place, message.into(), None);
    }

    pub fn problem_with(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.say(place, message.into(), Some(help.into()));
    }

    /// As [`Self::problem`], and there is no value.
    pub fn refuse<T>(&mut self, at: impl Into<Place>, message: impl Into<String>) -> Option<T> {
        self.problem(at.into(), message);
        None
    }

    /// As [`Self::problem_with`], where there is then no value.
    pub fn refuse_with<T>(
        &mut self,
        at: impl Into<Place>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.problem_with(at.into(), message, help);
        None
    }

    /// A problem of a file as a whole.
    pub fn unusable(&mut self, file: usize, message: impl Into<String>, help: impl Into<String>) {
        self.problem_with(Place { file, line: 0, column: 0 }, message, help);
    }

    /// The value at `place` could not be had: no more is said of it.
    pub fn enough_said_at(&mut self, place: Place) {
        self.enough.insert(place);
    }

    /// Whether the command needs the secret at `node`. The variables in one that it does not need may be unset.
    pub fn needs_secret(&mut self, node: &Node) -> bool {
        *self.secrets.entry(node.place).or_default() |= self.secrets_needed;
        self.secrets_needed
    }

    pub fn say(&mut self, place: Place, message: String, help: Option<String>) {
        if !self.enough.contains(&place) && self.said.insert((place, message.clone())) {
            self.problems.push(Remark { place, message, help });
        }
    }

    /// Whether this problem is known already.
    pub fn has_said(&self, place: Place, message: &str) -> bool {
        self.said.contains(&(place, message.to_owned()))
    }

    pub fn warning(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let message = message.into();
        if !self.enough.contains(&place) && self.said.insert((place, message.clone())) {
            self.warnings.push(Remark { place, message, help: Some(help.into()) });
        }
    }

    /// No source line shows this value, wherever it was written: it is a secret.
    pub fn hide(&mut self, node: &Node) {
        self.hide_value(node, true);
    }

    /// As [`Self::hide`], of what follows an unknown key: hardly ever a secret, so that columns behind it may be told.
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
                // With a colon left out or put in, part of the secret may have become a key.
                let column = node.place.column.min(first.column);
                (Place { column, ..first }, node.last_line.min(node.place.line + 8))
            }
        };
        let lines = std::iter::once((from.line, from.column)).chain((from.line + 1..=to).map(|line| (line, 1)));
        self.files[from.file].hidden.extend(lines.map(|(line, column)| Hidden { line, column, sure }));
    }

    /// Whether the line at `place`, from its start, hints at a secret: what stands there is better not quoted.
    pub fn hints_at_a_secret(&self, place: Place) -> bool {
        let line = place.line.checked_sub(1).and_then(|at| self.files[place.file].lines.get(at));
        line.is_some_and(|line| mask::hints_at_a_secret(line))
    }

    /// Shows nothing of the line at `place` from there on.
    pub fn hide_from(&mut self, place: Place) {
        self.files[place.file].hidden.push(Hidden { line: place.line, column: place.column, sure: true });
    }

    /// The file is no YAML, so of its lines only what is surely harmless is shown.
    pub fn distrust(&mut self, file: usize) {
        self.files[file].broken = true;
    }

    /// What was found, problems first, then warnings; both in the order of files and lines.
    pub fn finish(mut self) -> (Option<Problems>, Vec<Problem>) {
        let mut problems = std::mem::take(&mut self.problems);
        problems.retain(|problem| self.secrets.get(&problem.place) != Some(&false));
        let warnings = std::mem::take(&mut self.warnings);
        let problems = self.located(problems);
        ((!problems.is_empty()).then(|| Problems::new(problems)), self.located(warnings))
    }

    fn located(&self, mut remarks: Vec<Remark>) -> Vec<Problem> {
        remarks.sort_by_key(|remark| remark.place);
        remarks.into_iter().map(|remark| self.locate(remark)).collect()
    }

    fn locate(&self, remark: Remark) -> Problem {
        /// Longest source line that is shown, in characters.
        const LONGEST: usize = 160;
        let Place { file, line, column } = remark.place;
        let File { path, lines, hidden, broken } = &self.files[file];
        let written = line.checked_sub(1).and_then(|at| lines.get(at)).map_or("", String::as_str);
        let secrets = hidden.iter().filter(|secret| secret.line == line);
        // How long a secret is must not show in the column of what follows it.
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
        // A path or a name in a message may hold marks that a terminal would obey.
        let plain = |text: String| text.chars().map(visible).collect();
        Problem { at, message: plain(remark.message), help: remark.help.map(plain) }
    }
}

/// What may be shown of a line with these secrets.
fn cut<'a>(written: &str, secrets: impl Iterator<Item = &'a Hidden>) -> String {
    let from = secrets.map(|secret| secret.column).min();
    let kept = from.map_or_else(|| written.to_owned(), |from| written.chars().take(from - 1).collect());
    let mut shown = mask::line(&kept);
    if from.is_some() && !shown.ends_with(HIDDEN) {
        shown.push_str(HIDDEN);
    }
    shown
}

/// The known word that was probably meant.
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

/// What to say of an unknown word: the nearest known one, and all of them where they are few.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    /// More than that is no help in a message.
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
        None if all.is_empty() => "there is none yet".to_owned(),
        None => format!("known: {listed}"),
    }
}
