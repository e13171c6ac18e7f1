//! Text from outside that stands in a reason.

use std::fmt;

use crate::domain::reading::quote;
use crate::secret::Redactor;

/// A text of the source: without secrets, cut to a readable length and between double quotes. Every text from outside
/// passes through here before it is stored, shown or mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// The whole of `text` is searched for secrets before it is cut, so that no beginning of one is left at the end.
    pub fn of(text: &str, redactor: &Redactor) -> Self {
        Self(quote(&redactor.quote(text)))
    }

    /// Names of columns, each between quotes. Secrets were removed from them when the rows were read.
    pub(super) fn columns(names: &str) -> Self {
        Self(names.to_owned())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
