//! Outside text as part of a reason.

use std::fmt;

use crate::domain::reading::quote;
use crate::secret::Redactor;

/// A text of the source: without secrets, cut to a readable length and in double quotes. Every outside text passes through here
/// before the program stores, shows or mails it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// Removes secrets from all of `text` before cutting it, so that no part of one is left at the end.
    pub fn of(text: &str, redactor: &Redactor) -> Self {
        Self(quote(&redactor.quote(text)))
    }

    /// Names of columns, each in quotes. Secrets were removed from them when the rows were read.
    pub(super) fn columns(names: &str) -> Self {
        Self(names.to_owned())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
