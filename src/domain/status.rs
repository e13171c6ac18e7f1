//! What people are shown of a session: derived from the state, decided nowhere else.

use std::collections::HashSet;

use super::evaluate::{Circumstances, Neighbours, Verdict, VerdictKind, evaluate};
use super::expectation::Expectation;
use super::incident::{Incident, IncidentKind};
use super::name::Name;
use super::observation::Mapping;
use super::policy::{Rule, Severity};
use super::session::Session;
use super::setting::SettingKey;
use super::state::{NonCompliance, Presence, SessionState, SourceState};

/// The status of a session, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Unreachable,
    Missing,
    Drifted,
    Unverifiable,
    Compliant,
    /// Before the first poll.
    Pending,
}

impl Status {
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Missing => "missing",
            Self::Drifted => "drifted",
            Self::Unverifiable => "unverifiable",
            Self::Compliant => "compliant",
            Self::Pending => "pending",
        }
    }
}

/// A finding as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub rule: String,
    pub setting: String,
    pub verdict: VerdictKind,
    pub severity: Severity,
    pub expected: Option<String>,
    pub found: Option<String>,
    pub reason: Option<String>,
}

/// The confirmed state of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    pub status: Status,
    /// The last verdict reached, whether or not the session can be seen now: pending, compliant, drifted or unverifiable.
    pub verdict: Status,
    /// False while the session is missing or its source unreachable.
    pub visible: bool,
    /// Why it is unreachable, missing or unverifiable.
    pub reason: Option<String>,
    /// Everything but compliance.
    pub findings: Vec<Shown>,
}

/// Why an optional rule does not apply.
pub const NEVER_RETURNED: &str = "the source has never returned this setting";

/// The status of `session` as far as `state` knows.
pub fn status(state: &SourceState, session: &Session) -> SessionStatus {
    let known = state.sessions.get(&session.key.id);
    let unreachable = state.unreachable.as_ref().filter(|incident| incident.is_open());
    let missing = known.and_then(|known| known.open(IncidentKind::Missing).next());
    let verdict = known.map_or(Status::Pending, verdict);
    let status = match (unreachable, missing) {
        (Some(_), _) => Status::Unreachable,
        (None, Some(_)) => Status::Missing,
        (None, None) => verdict,
    };
    let unverifiable = known.and_then(|known| known.open(IncidentKind::Unverifiable).next());
    let reason = match status {
        Status::Unreachable => unreachable.map(|incident| incident.facts.reason.clone()),
        Status::Missing => Some(String::from("the source returned other sessions, but no row for this one")),
        Status::Unverifiable => unverifiable.map(|incident| incident.facts.reason.clone()),
        Status::Drifted | Status::Compliant | Status::Pending => None,
    };
    let visible = status != Status::Unreachable && status != Status::Missing;
    SessionStatus {
        status,
        verdict,
        visible,
        reason,
        findings: known.map(|known| findings(known, session)).unwrap_or_default(),
    }
}

fn verdict(known: &SessionState) -> Status {
    if known.open(IncidentKind::Drift).next().is_some() {
        Status::Drifted
    } else if known.open(IncidentKind::Unverifiable).next().is_some() {
        Status::Unverifiable
    } else if known.observation.is_some() {
        Status::Compliant
    } else {
        debug_assert!(
            !matches!(known.record.presence, Presence::Seen { .. }),
            "a session that was seen has an observation"
        );
        Status::Pending
    }
}

/// The open drifts, and of the last poll whatever else is not compliance. A rule that holds a setting to one thing is said once:
/// where a drift is open and its setting cannot be read now, the drift is what is known.
fn findings(known: &SessionState, session: &Session) -> Vec<Shown> {
    let drifted = |noncompliant: &NonCompliance| {
        let same = |incident: &Incident| incident.key.rule() == Some((&noncompliant.rule, &noncompliant.setting));
        known.open(IncidentKind::Drift).any(same)
    };
    let drifts = known.open(IncidentKind::Drift).filter_map(|incident| {
        let (rule, setting) = incident.key.rule()?;
        Some(Shown {
            rule: rule.to_string(),
            setting: setting.to_string(),
            verdict: VerdictKind::Drifted,
            severity: incident.severity,
            expected: Some(incident.facts.expected.clone()),
            found: Some(incident.facts.found.clone()),
            reason: None,
        })
    });
    let others =
        known.record.noncompliant.iter().filter(|noncompliant| !drifted(noncompliant)).filter_map(|noncompliant| {
            let reason = match &noncompliant.verdict {
                Verdict::Compliant | Verdict::Drifted { .. } => return None,
                Verdict::Unverifiable { reason } => Some(reason.clone()),
                Verdict::NotApplicable => Some(String::from(NEVER_RETURNED)),
            };
            let rule = session.policy.rules().iter().find(|rule| rule.id == noncompliant.rule);
            Some(Shown {
                rule: noncompliant.rule.to_string(),
                setting: noncompliant.setting.to_string(),
                verdict: noncompliant.verdict.kind(),
                severity: noncompliant.severity,
                expected: rule.map(|rule| rule.expect.describe(&session.params).into_owned()),
                found: None,
                reason,
            })
        });
    drifts.chain(others).collect()
}

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
    let neighbours = Neighbours { known: state.known_settings.clone(), ..Neighbours::default() };
    let around = Circumstances { mapping, neighbours: &neighbours, pinned: &known.pinned, now: observation.at };
    let findings = evaluate(session, observation, around).into_iter();
    // Whether a value is alone of its kind hangs on others, which were not all seen.
    let right = findings.filter(|f| f.verdict == Verdict::Compliant && !matches!(f.rule.expect, Expectation::Unique));
    Checked::WhenLastSeen(right.map(|finding| (finding.rule.id.clone(), finding.setting)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::RawValue;
    use crate::domain::world::{World, id};

    fn shown(world: &World) -> Vec<(String, VerdictKind)> {
        let status = status(&world.state, &world.plan.sessions[&id("1")]);
        status.findings.into_iter().map(|finding| (finding.rule, finding.verdict)).collect()
    }

    #[test]
    fn a_drift_whose_setting_cannot_be_read_any_more_is_one_finding_and_stays_a_drift() {
        let mut world = World::new();
        world.tick("1", "export", true);
        world.poll();
        let drifted = vec![(String::from("export-off"), VerdictKind::Drifted)];
        assert_eq!(shown(&world), drifted);
        world.set("1", "export", &RawValue::text("perhaps"));
        world.poll();
        assert!(world.state.incidents().any(|incident| incident.kind() == IncidentKind::Unverifiable));
        assert_eq!(shown(&world), drifted);
        // Another rule that cannot be read is a finding of its own.
        world.set("1", "notification_email", &RawValue::Repeated);
        world.poll();
        let other = (String::from("notification-email"), VerdictKind::Unverifiable);
        assert_eq!(shown(&world), [drifted, vec![other]].concat());
    }
}
