//! A session as `check` and `status` print it for scripts.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{SessionView, Status};
use crate::view::finding::FindingView;

impl SessionView<'_> {
    /// The JSON of the session at `now`.
    pub fn document(&self, now: DateTime<Utc>) -> impl Serialize + use<'_> {
        SessionDocument {
            session: self.session.key.to_string(),
            name: self.name(),
            policy: self.session.policy.name.to_string(),
            status: self.status,
            reason: self.reason.as_deref(),
            last_verdict: self.last_verdict,
            age_seconds: self.last_verdict.map(|at| (now - at).num_seconds()),
            stale: self.is_stale(now),
            findings: &self.findings,
        }
    }
}

#[derive(Serialize)]
struct SessionDocument<'a> {
    session: String,
    name: Option<String>,
    policy: String,
    status: Status,
    reason: Option<&'a str>,
    last_verdict: Option<DateTime<Utc>>,
    /// Negative if the verdict is dated in the future.
    age_seconds: Option<i64>,
    stale: bool,
    findings: &'a [FindingView],
}
