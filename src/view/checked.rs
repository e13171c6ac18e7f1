//! Which rules have been checked: what has no finding may be right, or may never have been polled under the present rules.

use std::collections::HashSet;

use crate::domain::evaluate::{Circumstances, Neighbours, Verdict, evaluate};
use crate::domain::expectation::Expectation;
use crate::domain::incident::Incident;
use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::policy::Rule;
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::state::{Presence, SessionState, SourceState};

/// How far the present rules have been held against what a session is like: what says nothing of a rule may be all well, or
/// may never have been polled.
#[derive(Debug)]
pub enum Checked {
    /// The last poll saw the session and judged it by the present rules: whatever is not noted is as it should be.
    Now,
    /// It was not seen since the present rules hold. What they find right in what was last seen.
    WhenLastSeen(HashSet<(Name, SettingKey)>),
}

impl Checked {
    /// Whether the rule found the setting right, as far as anybody could see it.
    pub fn right(&self, rule: &Rule, setting: &SettingKey) -> bool {
        match self {
            Self::Now => true,
            Self::WhenLastSeen(right) => right.contains(&(rule.id.clone(), setting.clone())),
        }
    }
}

/// See [`Checked`].
pub fn checked(session: &Session, mapping: &Mapping, state: &SourceState, known: &SessionState) -> Checked {
    let seen = matches!(known.record.presence, Presence::Seen { .. });
    let reachable = !state.unreachable.as_ref().is_some_and(Incident::is_open);
    if seen && reachable && state.judged.has(session.schedule.key_ref()) {
        return Checked::Now;
    }
    let Some(observation) = known.observation.as_deref() else { return Checked::WhenLastSeen(HashSet::new()) };
    let (known_settings, returned) = (state.known_settings.clone(), state.known_settings.clone());
    let neighbours = Neighbours { known: known_settings, returned, ..Neighbours::default() };
    let around = Circumstances { mapping, neighbours: &neighbours, pinned: &known.pinned, now: observation.at };
    let findings = evaluate(session, observation, around).into_iter();
    // Whether a value is alone of its kind hangs on others, which were not all seen.
    let right = findings.filter(|f| f.verdict == Verdict::Compliant && !matches!(f.rule.expect, Expectation::Unique));
    Checked::WhenLastSeen(right.map(|finding| (finding.rule.id.clone(), finding.setting)).collect())
}
