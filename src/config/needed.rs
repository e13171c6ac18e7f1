//! Which secrets a command needs: the others may be absent, so that `status` runs where only the daemon can read them.

use std::collections::BTreeSet;

use crate::domain::name::Name;

/// The sources and the mail account whose secrets are read. Of the others, an unset variable or an unreadable file is no
/// problem, and each secret is [`crate::secret::Secret::NotNeeded`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededSecrets {
    /// `None`: of every source.
    pub sources: Option<BTreeSet<Name>>,
    pub email: bool,
}

impl NeededSecrets {
    pub const ALL: Self = Self { sources: None, email: true };
    pub const NONE: Self = Self { sources: Some(BTreeSet::new()), email: false };

    /// Whether the source of this name is one of them.
    pub fn source(&self, name: &Name) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(name))
    }
}
