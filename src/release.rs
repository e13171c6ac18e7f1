//! The build that runs: its version, and the commit that it was built from, if the builder named it.
//!
//! Plain variables of the build, `DRIFTWISE_REVISION` and `DRIFTWISE_DATE`: a build needs no git, and two builds of one commit
//! are equal.

use std::sync::LazyLock;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, or `unknown`.
pub const REVISION: &str = or_unknown(option_env!("DRIFTWISE_REVISION"));

/// The date of the commit, as `2026-11-25`, or `unknown`.
pub const DATE: &str = or_unknown(option_env!("DRIFTWISE_DATE"));

/// As `--version` prints it: `0.1.0 (revision 0123456789ab, 2026-11-25)`.
pub static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {REVISION}, {DATE})"));

const fn or_unknown(variable: Option<&'static str>) -> &'static str {
    match variable {
        Some(text) if !text.is_empty() => text,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_build_without_a_named_commit_says_so() {
        for (variable, expected) in [(None, "unknown"), (Some(""), "unknown"), (Some("0123abcd"), "0123abcd")] {
            assert_eq!(super::or_unknown(variable), expected);
        }
    }
}
