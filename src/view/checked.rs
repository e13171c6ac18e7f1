//! Which rules have been checked: a setting without a finding may be right, or may never have been checked by the present rules.

use std::collections::HashSet;

use crate::domain::evaluate::{Circumstances, Neighbours, Verdict, evaluate, in_scope, verdict_on};
use crate::domain::expectation::Expectation;
use crate::domain::incident::Incident;
use crate::domain::name::Name;
use crate::domain::observation::Mapping;
use crate::domain::policy::Rule;
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::state::{Presence, SessionState, SourceState};

/// Whether the present rules have been checked on a session.
#[derive(Debug)]
pub enum Checked {
    /// The last poll saw the session and evaluated the present rules: a setting without a finding is right.
    Now,
    /// No poll has seen the session since the present rules took effect. The settings that these rules find right in the last
    /// observation.
    WhenLastSeen(HashSet<(Name, SettingKey)>),
}

impl Checked {
    /// Whether the rule found the setting right, now or when it was last seen.
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
    // Whether a value is unique depends on other sessions, which were not all seen.
    let right = findings.filter(|f| f.verdict == Verdict::Compliant && !matches!(f.rule.expect, Expectation::Unique));
    let right = right.map(|finding| (finding.rule.id.clone(), finding.setting));
    // A rule over a pattern has findings only for settings that changed.
    let watching = session.policy.rules().iter().filter(|rule| rule.watches_each());
    let unchanged = watching.flat_map(|rule| {
        let settings = observation.iter().map(|(setting, _)| setting);
        let pinned =
            settings.filter(|setting| known.pinned.contains_key(setting) && in_scope(&session.policy, rule, setting));
        let same =
            pinned.filter(|setting| verdict_on(session, rule, setting, observation, around) == Verdict::Compliant);
        same.map(|setting| (rule.id.clone(), setting.clone()))
    });
    Checked::WhenLastSeen(right.chain(unchanged).collect())
}
