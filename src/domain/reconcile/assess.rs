//! Assessment: the verdicts of one snapshot on each session that is due, before an incident counts them.
//!
//! A value that cannot be read is unverifiable, unless the rule was kept before it changed: then it is drift, shown as it was
//! sent, and stays drift until the rule is kept again. A setting that is not returned, or whose column came twice, stays
//! unverifiable. So does a value that many sessions changed to in one poll, see [`super::breaker`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::breaker::{MassFailures, fails};
use super::columns::{Absent, Gone};
use super::{PollContext, neighbours, past};
use crate::domain::evaluate::{
    Circumstances, Finding, Neighbours, PinnedValues, Verdict, evaluate, expected, unreadable, unreadable_values,
};
use crate::domain::expectation::Expectation;
use crate::domain::incident::Window;
use crate::domain::name::Name;
use crate::domain::observation::{Observation, RowMatch};
use crate::domain::plan::{Due, SourcePlan};
use crate::domain::reading::Reading;
use crate::domain::schedule::ScheduleKey;
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::settled;
use crate::domain::snapshot::Snapshot;
use crate::domain::source_change::SourceChange;
use crate::domain::state::{NonCompliance, SessionState, SourceState};

/// One session in a snapshot.
pub struct Assessed<'a> {
    pub session: &'a Session,
    pub row: RowMatch,
    /// Empty for a session that has no row.
    pub findings: Vec<Finding>,
    pub(super) before: Before<'a>,
    /// The findings that the poll before did not have, by index.
    began: Vec<usize>,
    /// The drift of findings whose value was right and cannot be read, by index.
    lost: Vec<(usize, Verdict)>,
}

impl Assessed<'_> {
    /// The rules that the session began to break in this poll, each with the verdict on it.
    pub(super) fn began(&self) -> impl Iterator<Item = (&Finding, &Verdict)> {
        self.began.iter().map(|at| {
            let lost = self.lost.iter().find(|(lost, _)| lost == at).map(|(_, verdict)| verdict);
            (&self.findings[*at], lost.unwrap_or(&self.findings[*at].verdict))
        })
    }
}

/// All sessions of a snapshot that need a verdict, and what concerns the source.
pub struct Assessment<'a> {
    pub sessions: Vec<Assessed<'a>>,
    pub(super) neighbours: Neighbours,
    pub(super) columns: Absent,
    pub(super) failures: MassFailures,
}

/// What was known of a session before a poll.
pub(super) struct Before<'a> {
    pub state: Option<&'a SessionState>,
    /// The last poll that saw the session.
    pub last_verdict: Option<DateTime<Utc>>,
    pub pinned: Arc<PinnedValues>,
    /// The findings of that poll that were not compliant.
    noncompliant: HashMap<(&'a Name, &'a SettingKey), &'a NonCompliance>,
    source_change: Option<&'a SourceChange>,
}

impl<'a> Before<'a> {
    fn new(state: Option<&'a SessionState>, source: &'a SourceState) -> Self {
        let noncompliant = state.into_iter().flat_map(|state| &state.record.noncompliant);
        Self {
            state,
            last_verdict: state.and_then(|state| source.last_verdict(state)),
            pinned: state.map(|state| Arc::clone(&state.pinned)).unwrap_or_default(),
            noncompliant: noncompliant.map(|entry| ((&entry.rule, &entry.setting), entry)).collect(),
            source_change: source.source_change(),
        }
    }

    /// As last seen.
    pub fn observation(&self) -> Option<&'a Arc<Observation>> {
        self.state.and_then(|state| state.observation.as_ref())
    }

    fn entry(&self, finding: &Finding) -> Option<&'a NonCompliance> {
        self.noncompliant.get(&(&finding.rule.id, &finding.setting)).copied()
    }

    /// Between which polls a rule that is not kept was broken. Earlier values are judged by the present rule, so a rule that was
    /// added or changed since finds its window in the values observed before.
    pub fn window(&self, session: &Session, finding: &Finding, around: Circumstances<'_>) -> Window {
        let since = |last_good| Window { last_good, first_bad: around.now };
        if let Some(entry) = self.entry(finding) {
            return since(entry.last_good);
        }
        let Some((previous, at)) = self.observation().zip(self.last_verdict) else { return since(None) };
        // Which other sessions had the value then is not known.
        if matches!(finding.rule.expect, Expectation::Unique) {
            return since(Some(at));
        }
        let past = self.state.map_or(&[][..], |state| &state.record.past);
        past::window(session, finding, past, (previous, at), around).unwrap_or(since(None))
    }

    /// Whether this poll is the first to find broken a rule that the poll before found kept.
    fn began(&self, session: &Session, finding: &Finding, around: Circumstances<'_>) -> bool {
        let kept_before = || self.window(session, finding, around).last_good == self.last_verdict;
        self.entry(finding).is_none() && self.last_verdict.is_some() && kept_before()
    }

    /// The drift of a rule that was kept until a value changed into one that cannot be read.
    fn lost(
        &self,
        session: &Session,
        finding: &Finding,
        seen: &Observation,
        around: Circumstances<'_>,
    ) -> Option<Verdict> {
        let Verdict::Unverifiable { .. } = finding.verdict else { return None };
        let values = unreadable_values(session, &finding.rule, &finding.setting, seen, around.mapping);
        if values.is_empty() || self.window(session, finding, around).last_good.is_none() {
            return None;
        }
        let group = finding.rule.is_group();
        if group && !self.group_was_read(session, finding, &values, around) {
            return None;
        }
        let show = |(setting, sent): &(&SettingKey, &str)| {
            if group { format!("{setting}: {sent}") } else { (*sent).to_owned() }
        };
        let found = values.iter().map(show).collect::<Vec<_>>().join(", ");
        Some(Verdict::Drifted { expected: expected(session, &finding.rule, &finding.setting, around), found })
    }

    fn was_drifted(&self, finding: &Finding) -> bool {
        self.entry(finding).is_some_and(|entry| matches!(entry.verdict, Verdict::Drifted { .. }))
    }

    /// Whether a member of a group could be read before it came with one of `values`: a new member breaks no rule yet.
    fn group_was_read(
        &self,
        session: &Session,
        finding: &Finding,
        values: &[(&SettingKey, &str)],
        around: Circumstances<'_>,
    ) -> bool {
        if self.entry(finding).is_some() {
            let failure = self.source_change.and_then(|change| change.failure(&finding.rule.id, &finding.setting));
            let was_held = failure.is_some_and(|failure| failure.sessions.contains(&session.key.id));
            return was_held || self.was_drifted(finding);
        }
        let kind = finding.rule.expect.kind().unwrap_or_else(|| around.mapping.kind(&finding.setting));
        let read = |previous: &Arc<Observation>, setting| {
            matches!(previous.reading(setting, around.mapping, kind, session.zone()), Reading::Value(_))
        };
        self.observation().is_some_and(|previous| values.iter().any(|(setting, _)| read(previous, setting)))
    }
}

/// The verdicts on all sessions of `snapshot`, given the `state` of the source.
pub fn assess<'a>(
    plan: &'a SourcePlan,
    state: &'a SourceState,
    snapshot: &Snapshot,
    now: DateTime<Utc>,
) -> Assessment<'a> {
    static NONE: BTreeSet<ScheduleKey> = BTreeSet::new();
    PollContext { plan, state, now, poll: state.record.polls + 1, partial: &NONE }.assess(snapshot, &Due::All)
}

impl<'a> PollContext<'a> {
    /// Leaves out the sessions that rest: nothing about them can have changed.
    pub(super) fn assess(&self, snapshot: &Snapshot, due: &Due) -> Assessment<'a> {
        let (plan, state) = (self.plan, self.state);
        let new_settings = snapshot.settings.iter().any(|setting| !state.known_settings.contains(setting));
        // All three are in the order of their ids.
        let (mut known, mut rows) = (state.sessions.iter().peekable(), snapshot.walk());
        let mut sessions = Vec::new();
        for (id, session) in plan.sessions.iter().filter(|(_, session)| due.includes(session)) {
            while known.next_if(|(other, _)| *other < id).is_some() {}
            let before = known.next_if(|(other, _)| *other == id).map(|(_, before)| before);
            let found = rows.to(id);
            let whole = !self.partial.contains(session.schedule.key_ref());
            let quiet = before.zip(found.seen()).filter(|_| whole);
            if !quiet.is_some_and(|(before, seen)| settled::quiet(state, session, before, seen, new_settings)) {
                let (row, before) = (found.row_match(), Before::new(before, state));
                sessions.push(Assessed {
                    session,
                    row,
                    findings: Vec::new(),
                    before,
                    began: Vec::new(),
                    lost: Vec::new(),
                });
            }
        }
        // A session that rests does not need the others.
        let neighbours = if sessions.is_empty() { Neighbours::default() } else { neighbours(plan, state, snapshot) };
        let columns = self.absent(snapshot);
        for assessed in &mut sessions {
            self.judge(assessed, &neighbours, &columns.needed);
        }
        let failures = self.mass_failures(&sessions, due);
        for Assessed { findings, before, lost, .. } in &mut sessions {
            for (at, verdict) in lost.drain(..) {
                if before.was_drifted(&findings[at]) || !failures.holds(&findings[at]) {
                    findings[at].verdict = verdict;
                }
            }
        }
        Assessment { sessions, neighbours, columns, failures }
    }

    fn judge(&self, assessed: &mut Assessed<'_>, neighbours: &Neighbours, gone: &[Gone]) {
        let Assessed { session, row, findings, before, began, lost } = assessed;
        match row {
            RowMatch::Missing => {}
            RowMatch::Duplicate(reason) | RowMatch::Uncertain(reason) => *findings = unreadable(session, reason),
            RowMatch::Seen(seen) => {
                let around = self.around(before, neighbours);
                *findings = evaluate(session, seen, around);
                for (at, finding) in findings.iter().enumerate().filter(|(_, finding)| fails(finding)) {
                    lost.extend(before.lost(session, finding, seen, around).map(|verdict| (at, verdict)));
                    let names = |gone: &Gone| finding.rule.setting.matches(&gone.setting);
                    let explained = !finding.rule.watches_each() && gone.iter().any(names);
                    if !explained && before.began(session, finding, around) {
                        began.push(at);
                    }
                }
            }
        }
    }

    pub(super) fn around<'b>(&'b self, before: &'b Before<'_>, neighbours: &'b Neighbours) -> Circumstances<'b> {
        Circumstances { mapping: &self.plan.mapping, neighbours, pinned: &before.pinned, now: self.now }
    }
}
