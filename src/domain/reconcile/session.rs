//! One session at one poll: where its presence, its drifts and its pinned come together, and whether anything changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Step, changed_settings, end, past};
use crate::domain::evaluate::{
    Circumstances, Finding, Neighbours, PinnedValue, PinnedValues, Verdict, evaluate, watched,
};
use crate::domain::event::{Event, EventKind};
use crate::domain::expectation::Expectation;
use crate::domain::incident::{Incident, IncidentKind, Window};
use crate::domain::name::Name;
use crate::domain::observation::{Observation, RowMatch};
use crate::domain::reading::{Reading, read};
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::state::{Delta, NonCompliance, PastValue, Presence, SessionRecord, SessionState, SourceState};

/// A session on its way from one state to the next.
pub(super) struct Draft<'a> {
    pub session: &'a Session,
    /// The last poll that saw the session, before this one.
    pub last_verdict: Option<DateTime<Utc>>,
    pub name: Option<String>,
    pub incidents: Vec<Incident>,
    /// What was not compliance at that poll.
    noncompliant: HashMap<(&'a Name, &'a SettingKey), &'a NonCompliance>,
    /// Values that settings had before the last poll.
    pub past: &'a [PastValue],
}

/// What a poll saw of a session.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub seen: &'a Observation,
    /// When the session was last seen, if it ever was.
    pub previous: Option<&'a Observation>,
    pub around: Circumstances<'a>,
}

impl<'a> Draft<'a> {
    fn new(session: &'a Session, before: Option<&'a SessionState>, state: &SourceState) -> Self {
        let noncompliant = before.into_iter().flat_map(|before| &before.record.noncompliant);
        Self {
            session,
            last_verdict: before.and_then(|before| state.last_verdict(before)),
            name: session.name.clone(),
            incidents: before.map(|before| before.incidents.clone()).unwrap_or_default(),
            noncompliant: noncompliant
                .map(|noncompliant| ((&noncompliant.rule, &noncompliant.setting), noncompliant))
                .collect(),
            past: before.map_or(&[], |before| &before.record.past),
        }
    }

    /// Between which polls a setting went wrong that was found wrong `now`. Earlier values are judged by the rule as it is now: a rule
    /// that was added or changed since then knows since when from the values that were observed.
    pub fn window(&self, finding: &Finding, evidence: Evidence<'_>, now: DateTime<Utc>) -> Window {
        let since = |last_good| Window { last_good, first_bad: now };
        if let Some(earlier) = self.noncompliant.get(&(&finding.rule.id, &finding.setting)) {
            return since(earlier.last_good);
        }
        let Some((previous, at)) = evidence.previous.zip(self.last_verdict) else { return since(None) };
        // Which other sessions had the value then is not known any more.
        if matches!(finding.rule.expect, Expectation::Unique) {
            return since(Some(at));
        }
        past::window(self.session, finding, self.past, (previous, at), evidence.around).unwrap_or(since(None))
    }

    /// Takes the incident of `kind` out, to be put back or ended.
    pub fn take(&mut self, kind: IncidentKind) -> Option<Incident> {
        let at = self.incidents.iter().position(|incident| incident.kind() == kind)?;
        Some(self.incidents.remove(at))
    }
}

impl Step<'_> {
    pub(super) fn session(
        &self,
        session: &Session,
        before: Option<&SessionState>,
        poll: RowMatch,
        neighbours: &Neighbours,
        delta: &mut Delta,
    ) {
        let mut draft = Draft::new(session, before, self.state);
        let mut observation = before.and_then(|before| before.observation.clone());
        let mut pinned = before.map(|before| Arc::clone(&before.pinned)).unwrap_or_default();
        let mut noncompliant = before.map(|before| before.record.noncompliant.clone()).unwrap_or_default();
        draft.name = draft.name.or_else(|| match &poll {
            RowMatch::Seen(seen) => seen.name(),
            RowMatch::Missing | RowMatch::Duplicate(_) | RowMatch::Uncertain(_) => {
                observation.as_ref().and_then(|seen| seen.name())
            }
        });
        let mut past = draft.past.to_vec();
        let presence = match poll {
            RowMatch::Missing => {
                self.missing(&mut draft, delta);
                Presence::Missing { seen: draft.last_verdict }
            }
            RowMatch::Duplicate(reason) => {
                self.back_again(&mut draft, delta);
                self.ambiguous(&mut draft, &reason, delta);
                Presence::Ambiguous { seen: draft.last_verdict, reason }
            }
            RowMatch::Uncertain(reason) => {
                self.ambiguous(&mut draft, &reason, delta);
                Presence::Ambiguous { seen: draft.last_verdict, reason }
            }
            RowMatch::Seen(seen) => {
                let around = Circumstances { mapping: &self.plan.mapping, neighbours, pinned: &pinned, now: self.now };
                let findings = evaluate(session, &seen, around);
                let evidence = Evidence { seen: &seen, previous: observation.as_deref(), around };
                self.back_again(&mut draft, delta);
                self.drifts(&mut draft, &findings, evidence, delta);
                self.unverifiable(&mut draft, &findings, delta);
                noncompliant = shortfalls(&draft, &findings, evidence, self.now);
                self.note_changes(session, observation.as_deref(), &seen, delta);
                if let Some(more) = self.newly_pinned(session, observation.as_deref(), &seen, &pinned, delta) {
                    pinned = more;
                }
                if let (Some(before), Some(at)) = (&observation, draft.last_verdict) {
                    past::note(&mut past, before, &seen, at, self.now);
                }
                if !observation.as_ref().is_some_and(|before| before.same(&seen)) {
                    delta.observations.push((session.key.id.clone(), Arc::clone(&seen)));
                    observation = Some(seen);
                }
                let partial = self.partial.contains(session.schedule.key_ref());
                Presence::Seen { at: partial.then_some(self.now) }
            }
        };
        let record = SessionRecord { schedule_key: session.schedule.key(), presence, noncompliant, past };
        let next = SessionState { record, observation, pinned, incidents: draft.incidents };
        Self::keep_if_changed(session, before, next, delta);
    }

    /// Puts the session into the delta if it is not as it was; so too each of its incidents.
    fn keep_if_changed(session: &Session, before: Option<&SessionState>, next: SessionState, delta: &mut Delta) {
        let old = before.map(|before| before.incidents.as_slice()).unwrap_or_default();
        let known = old.iter().map(|incident| (incident.id, incident)).collect::<HashMap<_, _>>();
        let new = |incident: &&Incident| known.get(&incident.id) != Some(incident);
        let changed = next.incidents.iter().filter(new).cloned().collect::<Vec<_>>();
        let same = before.is_some_and(|before| {
            let same_seen = match (&before.observation, &next.observation) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            same_seen
                && before.record == next.record
                && Arc::ptr_eq(&before.pinned, &next.pinned)
                && changed.is_empty()
                && old.len() == next.incidents.len()
        });
        delta.incidents.extend(changed);
        if !same {
            delta.sessions.insert(session.key.id.clone(), next);
        }
    }

    /// An event for each setting whose value, as read, is another one.
    fn note_changes(&self, session: &Session, before: Option<&Observation>, seen: &Observation, delta: &mut Delta) {
        let Some(before) = before else { return };
        for setting in changed_settings(before, seen) {
            let kind = self.plan.mapping.kind(&setting);
            let said = |observation: &Observation| match observation.reading(
                &setting,
                &self.plan.mapping,
                kind,
                session.zone(),
            ) {
                Reading::Value(value) => Some(value.to_string()),
                Reading::Missing => None,
                Reading::Unreadable(reason) => Some(format!("({reason})")),
            };
            let (before, after) = (said(before), said(seen));
            if before != after {
                let what = EventKind::SettingChanged { setting, before, after };
                delta.events.push(Event { at: self.now, session: Some(session.key.id.clone()), what });
            }
        }
    }

    /// Pins what an `unchanged` rule watches and was not pinned yet. What came after the first poll is noted.
    fn newly_pinned(
        &self,
        session: &Session,
        before: Option<&Observation>,
        seen: &Observation,
        pinned: &Arc<PinnedValues>,
        delta: &mut Delta,
    ) -> Option<Arc<PinnedValues>> {
        let mut more = BTreeMap::<SettingKey, PinnedValue>::new();
        for (setting, raw) in watched(session, seen).filter(|(setting, _)| !pinned.contains_key(*setting)) {
            let mapping = &self.plan.mapping;
            let reading = read(mapping.mean(setting, raw), mapping.kind(setting), session.zone());
            let Reading::Value(value) = reading else { continue };
            if before.is_some_and(|before| before.raw(setting).is_none()) {
                let what = EventKind::Pinned { setting: setting.clone(), value: value.to_string() };
                delta.events.push(Event { at: self.now, session: Some(session.key.id.clone()), what });
            }
            let pinned_value = PinnedValue { raw: raw.clone(), at: self.now };
            delta.pinned.push((session.key.id.clone(), setting.clone(), pinned_value.clone()));
            more.insert(setting.clone(), pinned_value);
        }
        if more.is_empty() {
            return None;
        }
        let mut all = PinnedValues::clone(pinned);
        all.extend(more);
        Some(Arc::new(all))
    }

    /// Ends what the policy does not ask for any more.
    pub(super) fn end_all(&self, ended: Vec<(Incident, crate::domain::incident::End)>, delta: &mut Delta) {
        for (incident, why) in ended {
            end(incident, why, self.now, delta);
        }
    }
}

/// What is not compliance, each with the last poll that found it so.
fn shortfalls(
    draft: &Draft<'_>,
    findings: &[Finding],
    evidence: Evidence<'_>,
    now: DateTime<Utc>,
) -> Vec<NonCompliance> {
    let stand = |finding: &Finding| NonCompliance {
        rule: finding.rule.id.clone(),
        setting: finding.setting.clone(),
        severity: finding.rule.severity,
        verdict: finding.verdict.clone(),
        last_good: draft.window(finding, evidence, now).last_good,
    };
    findings.iter().filter(|finding| finding.verdict != Verdict::Compliant).map(stand).collect()
}
