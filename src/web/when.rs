//! A moment on a page.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::view::times;

/// A moment, for machines and for readers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct When {
    #[serde(skip)]
    at: DateTime<Utc>,
    /// In UTC.
    iso: String,
    /// In the reader's zone, which it names.
    text: String,
    /// How long ago it was.
    age: Option<String>,
}

impl When {
    pub fn to_the_second(at: DateTime<Utc>, zone: Tz) -> Self {
        Self::shown(at, times::at_second(at, zone))
    }

    /// A moment beside many others: without the day if that is the day of `now`.
    pub fn beside(at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz, seconds: bool) -> Self {
        Self::shown(at, times::beside(at, now, zone, seconds))
    }

    fn shown(at: DateTime<Utc>, text: String) -> Self {
        Self { at, iso: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), text, age: None }
    }

    pub fn with_age(self, now: DateTime<Utc>) -> Self {
        Self { age: Some(format!("{} ago", times::ago(now - self.at))), ..self }
    }
}
