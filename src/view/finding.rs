//! The view of one rule's verdict on one setting.

use std::borrow::Cow;

use serde::Serialize;

use super::words::cut;
use crate::domain::catalogue;
use crate::domain::evaluate::{Verdict, VerdictKind};
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::setting::SettingKey;

/// Why an optional rule does not apply.
pub const NEVER_RETURNED: &str = "the source has never returned this setting";

/// One rule's verdict on one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    pub rule: Name,
    pub setting: SettingKey,
    pub verdict: VerdictKind,
    pub severity: Severity,
    pub expected: Option<String>,
    pub found: Option<String>,
    /// Why it is unverifiable or not applicable.
    pub reason: Option<Cow<'static, str>>,
}

impl FindingView {
    /// `demand`: the expectation in words, for verdicts without one.
    pub(super) fn of(
        rule: &Name,
        setting: &SettingKey,
        severity: Severity,
        verdict: &Verdict,
        demand: Option<String>,
    ) -> Self {
        let (expected, found, reason) = match verdict {
            Verdict::Drifted { expected, found } => (Some(expected.clone()), Some(found.clone()), None),
            Verdict::Unverifiable { reason } => (demand, None, Some(Cow::Owned(reason.clone()))),
            Verdict::NotApplicable => (demand, None, Some(Cow::Borrowed(NEVER_RETURNED))),
            Verdict::Compliant => (demand, None, None),
        };
        let (rule, setting) = (rule.clone(), setting.clone());
        Self { rule, setting, verdict: verdict.kind(), severity, expected, found, reason }
    }

    /// The value found, or why it could not be read: `ticked, should be unticked`.
    pub fn detail(&self) -> String {
        self.detail_within(usize::MAX)
    }

    /// The same with each value cut to `most` characters.
    fn detail_within(&self, most: usize) -> String {
        let found = || cut(self.found.as_deref().unwrap_or_default(), most);
        match (&self.reason, &self.expected) {
            (Some(reason), _) => cut(reason, most),
            (None, Some(expected)) if self.verdict == VerdictKind::Drifted => {
                format!("{}, should be {}", found(), cut(expected, most))
            }
            (None, _) => found(),
        }
    }

    /// A finding in a line of its own, with each value cut to `most` characters; `None` if nothing is wrong.
    pub fn line(&self, most: usize) -> Option<String> {
        let label = catalogue::label(&self.setting);
        match self.verdict {
            VerdictKind::Drifted => Some(format!("{label}: {}", self.detail_within(most))),
            VerdictKind::Unverifiable => Some(format!("{label} could not be checked: {}", self.detail_within(most))),
            VerdictKind::NotApplicable | VerdictKind::Compliant => None,
        }
    }
}
