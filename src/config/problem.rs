//! The report on a configuration: its problems, each with its place, its source line and help.

use std::fmt;
use std::path::PathBuf;

use crate::domain::reading::visible;

use super::inputs::Inputs;
use super::mask;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `None`: it is not about a place in a file.
    pub at: Option<Location>,
    /// Says what is wrong.
    pub message: String,
    /// Says what is allowed, or what to do.
    pub help: Option<String>,
}

/// A place in a file, with its source line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub file: PathBuf,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Secrets in it are hidden.
    pub source_line: String,
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self { at: None, message, help: None }
    }
}

impl From<&str> for Problem {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// The message, and the help.
impl<M: Into<String>, H: Into<String>> From<(M, H)> for Problem {
    fn from((message, help): (M, H)) -> Self {
        Self { at: None, message: message.into(), help: Some(help.into()) }
    }
}

impl Problem {
    /// One line, without the source line: `FILE:LINE:COLUMN: message (help)`.
    pub fn line(&self) -> String {
        let place = match &self.at {
            Some(at) if at.line == 0 => format!("{}: ", at.shown()),
            Some(at) => format!("{}:{}:{}: ", at.shown(), at.line, at.column),
            None => String::new(),
        };
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{place}{}{help}", self.message)
    }

    /// [`Self::line`] with mail addresses masked: logs go further than the files do.
    pub fn log_line(&self) -> String {
        mask::mask_addresses(&self.line())
    }
}

impl Location {
    /// The path of the file without control characters.
    fn shown(&self) -> String {
        self.file.to_string_lossy().chars().map(visible).collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) if at.line == 0 => writeln!(f, "{}: {}", at.shown(), self.message)?,
            Some(at) => {
                writeln!(f, "{}:{}:{}: {}", at.shown(), at.line, at.column, self.message)?;
                let number = at.line.to_string();
                let before = at.source_line.chars().take(at.column.saturating_sub(1));
                let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                writeln!(f, "  {number} | {}", at.source_line)?;
                writeln!(f, "  {:width$} | {indent}^", "", width = number.len())?;
            }
            None => writeln!(f, "{}", self.message)?,
        }
        if let Some(help) = &self.help {
            writeln!(f, "  {help}")?;
        }
        Ok(())
    }
}

/// All errors of a configuration. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    /// Every file that was read up to then: the next attempt can only differ when one of them changes.
    pub inputs: Inputs,
}

impl Problems {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, inputs: Inputs::default() }
    }

    pub(super) fn in_files(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// In the order of files and lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.problems.len() {
            1 => f.write_str("1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

impl std::error::Error for Problems {}
