//! The view of one session: its status, the findings behind it and how old they are. Derived from the state or from one poll, and
//! decided nowhere else.

use std::borrow::Cow;
use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

mod document;

use super::finding::FindingView;
use super::incident::IncidentView;
use super::words::Mood;
use crate::domain::evaluate::{Finding, Verdict, VerdictKind};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::observation::{Mapping, Observation};
use crate::domain::policy::Severity;
use crate::domain::reading::Reading;
use crate::domain::session::Session;
use crate::domain::state::{NonCompliance, Presence, SessionState, SourceState};

/// The status of a session, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
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
    /// Worst first.
    pub const ALL: [Self; 6] =
        [Self::Unreachable, Self::Missing, Self::Drifted, Self::Unverifiable, Self::Compliant, Self::Pending];

    /// The label for commands, scripts and scrapes.
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

    /// The words for the owner of a shop.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "Could not be checked",
            Self::Missing => "Not found in its source",
            Self::Drifted => "Not as it should be",
            Self::Unverifiable => "Could not be checked in full",
            Self::Compliant => "As it should be",
            Self::Pending => "Not checked yet",
        }
    }

    pub fn mood(self) -> Mood {
        match self {
            Self::Drifted | Self::Missing => Mood::Bad,
            Self::Unreachable | Self::Unverifiable => Mood::Unclear,
            Self::Compliant => Mood::Good,
            Self::Pending => Mood::Quiet,
        }
    }

    /// The source was read, and the session was in it.
    fn is_visible(self) -> bool {
        !matches!(self, Self::Unreachable | Self::Missing)
    }
}

/// The view of one session.
#[derive(Debug, Clone)]
pub struct SessionView<'a> {
    pub session: &'a Session,
    pub status: Status,
    /// The last verdict reached, whether or not the session can be seen now: pending, compliant, drifted or unverifiable.
    pub verdict: Status,
    /// Why it is unreachable, missing or unverifiable.
    pub reason: Option<Cow<'a, str>>,
    /// From the state: every finding that is not compliant. From a poll: every finding.
    pub findings: Vec<FindingView>,
    /// The incident behind the status; the oldest if there are several.
    pub about: Option<&'a Incident>,
    /// When the session was last seen and judged.
    pub last_verdict: Option<DateTime<Utc>>,
    /// At the last poll that saw it.
    pub observation: Option<&'a Observation>,
    pub known: Option<&'a SessionState>,
}

/// This many periods of its schedule may pass before a verdict is stale.
const FRESH_PERIODS: usize = 3;

/// How far the clock of a daemon on another machine may be ahead of the reader's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);

/// Why a verdict is not reliable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// It is older than three periods of the schedule: no poll has confirmed it since.
    Overdue,
    /// It is dated in the future: the clock was ahead then, or is behind now, so its age is unknown.
    Ahead,
}

impl Staleness {
    /// Either of them.
    pub const EITHER: &str = "older than three periods of the schedule, or dated in the future";

    /// In a sentence on the last verdict.
    pub const fn words(self) -> &'static str {
        match self {
            // As many as `FRESH_PERIODS`.
            Self::Overdue => "older than three periods of the schedule",
            Self::Ahead => "dated in the future, because a clock was wrong then or is wrong now",
        }
    }
}

impl<'a> SessionView<'a> {
    /// A session as `state` has it.
    pub fn of(state: Option<&'a SourceState>, session: &'a Session) -> Self {
        let known = state.and_then(|state| state.sessions.get(&session.key.id));
        let oldest = |kind| known?.open(kind).min_by_key(|incident| incident.window.first_bad);
        let unreachable = state.and_then(|state| state.unreachable.as_ref()).filter(|incident| incident.is_open());
        let missing = oldest(IncidentKind::Missing);
        let verdict = known.map_or(Status::Pending, verdict);
        let (status, about) = match (unreachable, missing, verdict) {
            (Some(_), ..) => (Status::Unreachable, unreachable),
            (None, Some(_), _) => (Status::Missing, missing),
            (None, None, Status::Drifted) => (verdict, oldest(IncidentKind::Drift)),
            (None, None, Status::Unverifiable) => (verdict, oldest(IncidentKind::Unverifiable)),
            (None, None, _) => (verdict, None),
        };
        let reason = match status {
            Status::Missing => Some(Cow::Borrowed(NO_ROW)),
            Status::Unreachable | Status::Unverifiable => about.map(|incident| Cow::Borrowed(&*incident.facts.reason)),
            Status::Drifted | Status::Compliant | Status::Pending => None,
        };
        Self {
            session,
            status,
            verdict,
            reason,
            findings: known.map(|known| findings(known, session)).unwrap_or_default(),
            about,
            last_verdict: state.zip(known).and_then(|(state, known)| state.last_verdict(known)),
            observation: known.and_then(|known| known.observation.as_deref()),
            known,
        }
    }

    /// A session that one poll could not see.
    fn unseen(session: &'a Session, status: Status, reason: Cow<'a, str>) -> Self {
        Self {
            session,
            status,
            verdict: Status::Pending,
            reason: Some(reason),
            findings: Vec::new(),
            about: None,
            last_verdict: None,
            observation: None,
            known: None,
        }
    }

    /// A session whose source one poll could not read, and why.
    pub fn unreachable(session: &'a Session, reason: &'a str) -> Self {
        Self::unseen(session, Status::Unreachable, Cow::Borrowed(reason))
    }

    /// A session that was not in the snapshot of one poll.
    pub fn missing(session: &'a Session) -> Self {
        Self::unseen(session, Status::Missing, Cow::Borrowed(NO_ROW))
    }

    /// A session as one poll at `now` judged it. `ambiguous`: why no row could be chosen.
    pub fn judged(
        session: &'a Session,
        mapping: Option<&Mapping>,
        observation: Option<&'a Observation>,
        findings: &[Finding],
        ambiguous: Option<&'a str>,
        now: DateTime<Utc>,
    ) -> Self {
        let status = match findings.iter().map(|finding| finding.verdict.kind()).min() {
            Some(VerdictKind::Drifted) => Status::Drifted,
            Some(VerdictKind::Unverifiable) => Status::Unverifiable,
            Some(VerdictKind::NotApplicable | VerdictKind::Compliant) | None => Status::Compliant,
        };
        let unverified = || {
            let reasons = findings.iter().filter_map(|finding| match &finding.verdict {
                Verdict::Unverifiable { reason } => Some(format!("{}: {reason}", finding.setting)),
                _ => None,
            });
            Cow::Owned(reasons.collect::<Vec<_>>().join("; "))
        };
        let view = |finding: &Finding| {
            let rule = &finding.rule;
            let demand = Some(rule.expect.describe(&session.params).into_owned());
            let mut view = FindingView::of(&rule.id, &finding.setting, rule.severity, &finding.verdict, demand);
            if let (VerdictKind::Compliant, Some((seen, mapping))) = (view.verdict, observation.zip(mapping)) {
                let kind = rule.expect.kind().unwrap_or_else(|| mapping.kind(&finding.setting));
                view.found = match seen.reading(&finding.setting, mapping, kind, session.zone()) {
                    Reading::Value(value) => Some(value.to_string()),
                    Reading::Missing | Reading::Unreadable(_) => None,
                };
            }
            view
        };
        Self {
            session,
            status,
            verdict: status,
            reason: ambiguous.map(Cow::Borrowed).or_else(|| (status == Status::Unverifiable).then(unverified)),
            findings: findings.iter().map(view).collect(),
            about: None,
            last_verdict: Some(now),
            observation,
            known: None,
        }
    }

    /// The name for people: the configured one, or the one last seen.
    pub fn name(&self) -> Option<String> {
        self.session.name.clone().or_else(|| self.observation?.name())
    }

    /// False while the session is missing or its source unreachable.
    pub fn is_visible(&self) -> bool {
        self.status.is_visible()
    }

    /// The last verdict on a session that cannot be seen now, in words.
    pub fn when_last_seen(&self) -> Option<&'static str> {
        let words = match self.verdict {
            Status::Drifted => "not as it should be when last seen",
            Status::Unverifiable => "could not be checked in full when last seen",
            Status::Compliant => "as it should be when last seen",
            Status::Pending | Status::Unreachable | Status::Missing => "not seen so far",
        };
        (!self.is_visible()).then_some(words)
    }

    /// The open drifts.
    pub fn drifts(&self) -> impl Iterator<Item = &'a Incident> + use<'a> {
        self.known.into_iter().flat_map(|known| known.open(IncidentKind::Drift))
    }

    /// The open incidents of the session itself.
    fn open(&self) -> impl Iterator<Item = &'a Incident> + use<'a> {
        self.known.into_iter().flat_map(|known| &known.incidents).filter(|incident| incident.is_open())
    }

    /// The highest severity of these.
    pub fn severity(&self) -> Option<Severity> {
        self.open().map(|incident| incident.severity).max()
    }

    /// While any of these lasts, orders of the shop may have stopped.
    pub fn may_stop_orders(&self) -> bool {
        self.open().any(|incident| IncidentView(incident).may_stop_orders())
    }

    /// Why the last verdict says nothing of the present any more; nothing while it does, and before the first verdict.
    pub fn staleness(&self, now: DateTime<Utc>) -> Option<Staleness> {
        let at = self.last_verdict?;
        let mut due = std::iter::successors(Some(at), |at| self.session.schedule.next_after(*at));
        if at > now + CLOCKS_DIFFER {
            Some(Staleness::Ahead)
        } else {
            due.nth(FRESH_PERIODS).is_some_and(|third| third < now).then_some(Staleness::Overdue)
        }
    }

    /// See [`Self::staleness`].
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        self.staleness(now).is_some()
    }

    /// Worst first, then in the order of sources and session numbers.
    pub fn rank(&self) -> impl Ord + use<'a> {
        let drifted = self.findings.iter().filter(|finding| finding.verdict == VerdictKind::Drifted);
        let key = &self.session.key;
        let number = key.id.as_str().parse::<i128>().unwrap_or(i128::MAX);
        (self.status, Reverse(drifted.map(|finding| finding.severity).max()), &key.source, number, &key.id)
    }
}

/// How many sessions have each status, worst first, without statuses that no session has.
pub fn tally(sessions: &[SessionView<'_>]) -> impl Iterator<Item = (Status, usize)> {
    let count = |status| sessions.iter().filter(|view| view.status == status).count();
    Status::ALL.into_iter().map(move |status| (status, count(status))).filter(|(_, count)| *count > 0)
}

/// Why a session is missing.
pub const NO_ROW: &str = "the source returned other sessions, but no row for this one";

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

/// The open drifts, and the other findings of the last poll that are not compliant. Each rule and setting occurs once: if a drift
/// is open and its setting cannot be read now, the drift is the finding.
fn findings(known: &SessionState, session: &Session) -> Vec<FindingView> {
    let drifted = |noncompliant: &NonCompliance| {
        let same = |incident: &Incident| incident.key.rule() == Some((&noncompliant.rule, &noncompliant.setting));
        known.open(IncidentKind::Drift).any(same)
    };
    let drifts = known.open(IncidentKind::Drift).filter_map(|incident| {
        let (rule, setting) = incident.key.rule()?;
        Some(FindingView {
            rule: rule.clone(),
            setting: setting.clone(),
            verdict: VerdictKind::Drifted,
            severity: incident.severity,
            expected: Some(incident.facts.expected.clone()),
            found: Some(incident.facts.found.clone()),
            reason: None,
        })
    });
    // A drift that is not confirmed yet is not a finding.
    let others = known.record.noncompliant.iter().filter(|noncompliant| {
        !matches!(noncompliant.verdict, Verdict::Drifted { .. } | Verdict::Compliant) && !drifted(noncompliant)
    });
    let others = others.map(|NonCompliance { rule, setting, severity, verdict, .. }| {
        let named = session.policy.rules().iter().find(|named| named.id == *rule);
        let demand = named.map(|rule| rule.expect.describe(&session.params).into_owned());
        FindingView::of(rule, setting, *severity, verdict, demand)
    });
    drifts.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::RawValue;
    use crate::domain::world::{World, id};

    fn shown(world: &World) -> Vec<(String, VerdictKind)> {
        let view = SessionView::of(Some(&world.state), &world.plan.sessions[&id("1")]);
        view.findings.into_iter().map(|finding| (finding.rule.to_string(), finding.verdict)).collect()
    }

    #[test]
    fn a_drift_whose_setting_can_no_longer_be_read_is_one_finding_and_stays_a_drift() {
        let mut world = World::new();
        world.tick("1", "export", true);
        world.poll();
        let drifted = vec![(String::from("export-off"), VerdictKind::Drifted)];
        assert_eq!(shown(&world), drifted);
        world.set("1", "export", &RawValue::text("perhaps"));
        world.poll();
        assert!(world.state.incidents().any(|incident| incident.kind() == IncidentKind::Unverifiable));
        assert_eq!(shown(&world), drifted);
        // Another rule whose setting cannot be read has a finding of its own.
        world.set("1", "notification_email", &RawValue::Repeated);
        world.poll();
        let other = (String::from("notification-email"), VerdictKind::Unverifiable);
        assert_eq!(shown(&world), [drifted, vec![other]].concat());
    }
}
