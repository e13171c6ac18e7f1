//! The failure that an error of the HTTP client means for a source.

use crate::http::failure::{self, FailureKind};
use crate::secret::Redactor;
use crate::source::{Failure, FetchError, Quoted, shortage};

/// A shortage of this machine wins over everything that it causes.
pub fn of(error: &reqwest::Error, redactor: &Redactor) -> FetchError {
    let links = failure::links(error);
    if let Some(shortage) = links.iter().find_map(|link| shortage::of(link.downcast_ref()?)) {
        return shortage;
    }
    let described = failure::of(error);
    let failure = match described.kind {
        FailureKind::Connect => Failure::Connect,
        FailureKind::Malformed => Failure::Malformed,
        FailureKind::Timeout => Failure::Timeout,
        FailureKind::Tls => Failure::Tls,
    };
    FetchError::new(failure, described.reason).quoting(described.foreign.map(|text| Quoted::of(&text, redactor)))
}
