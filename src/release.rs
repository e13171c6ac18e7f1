//! The build that runs: its version, and the commit that it was built from where the builder named it.
//!
//! Plain environment variables of the build, so that it needs no git and two builds of one commit are equal: `DRIFTWISE_REVISION`,
//! and `SOURCE_DATE_EPOCH`, the time of the commit in seconds since 1970 (<https://reproducible-builds.org/specs/source-date-epoch>).

use std::sync::LazyLock;

use chrono::DateTime;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision, or `unknown`.
pub const REVISION: &str = match option_env!("DRIFTWISE_REVISION") {
    Some(revision) => revision,
    None => UNKNOWN,
};

/// The date of the commit in UTC, as `2026-11-25`, or `unknown`.
pub static DATE: LazyLock<String> = LazyLock::new(|| date(option_env!("SOURCE_DATE_EPOCH")));

/// As `--version` prints it: `0.1.0 (revision 0123456789ab, 2026-11-25)`.
pub static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {REVISION}, {})", *DATE));

const UNKNOWN: &str = "unknown";

fn date(seconds: Option<&str>) -> String {
    let time = seconds.and_then(|text| text.parse().ok()).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(|| UNKNOWN.to_owned(), |time| time.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_date_is_that_of_the_commit_in_utc_or_unknown() {
        for (seconds, expected) in [
            (Some("1795569586"), "2026-11-25"),
            (Some("0"), "1970-01-01"),
            (None, "unknown"),
            (Some(""), "unknown"),
            (Some("today"), "unknown"),
            (Some("9223372036854775807"), "unknown"),
        ] {
            assert_eq!(super::date(seconds), expected, "{seconds:?}");
        }
    }
}
