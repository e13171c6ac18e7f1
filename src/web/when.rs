//! A moment on a page.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::view::times;

/// A moment, for machines and for readers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct When {
    /// In UTC.
    iso: String,
    /// In the reader's zone, which it names.
    text: String,
}

impl When {
    pub fn new(at: DateTime<Utc>, zone: Tz) -> Self {
        Self { iso: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), text: times::at(at, zone) }
    }
}
