//! One session at one poll: combines its presence, drifts and pinned values, and finds whether anything changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::assess::{Assessed, Before};
use super::{PollContext, changed_settings, end, past};
use crate::domain::evaluate::{
    Circumstances, Finding, Neighbours, PinnedValue, PinnedValues, Verdict, in_scope, watched,
};
use crate::domain::event::{Event, EventKind};
use crate::domain::incident::{Incident, IncidentKind, Window};
use crate::domain::observation::{Observation, RowMatch};
use crate::domain::reading::{Reading, read};
use crate::domain::session::Session;
use crate::domain::setting::SettingKey;
use crate::domain::state::{Delta, NonCompliance, Presence, SessionRecord, SessionState};

/// A session on its way from one state to the next.
pub(super) struct Draft<'a> {
    pub session: &'a Session,
    pub before: &'a Before<'a>,
    pub name: Option<String>,
    pub incidents: Vec<Incident>,
}

/// What a poll saw of a session.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub seen: &'a Observation,
    pub around: Circumstances<'a>,
}

impl<'a> Draft<'a> {
    fn new(session: &'a Session, before: &'a Before<'a>) -> Self {
        Self {
            session,
            before,
            name: session.name.clone(),
            incidents: before.state.map(|state| state.incidents.clone()).unwrap_or_default(),
        }
    }

    /// See [`Before::window`].
    pub fn window(&self, finding: &Finding, evidence: Evidence<'_>) -> Window {
        self.before.window(self.session, finding, evidence.around)
    }

    /// Takes the incident of `kind` out, to be put back or ended.
    pub fn take(&mut self, kind: IncidentKind) -> Option<Incident> {
        let at = self.incidents.iter().position(|incident| incident.kind() == kind)?;
        Some(self.incidents.remove(at))
    }
}

impl PollContext<'_> {
    pub(super) fn session(&self, assessed: Assessed<'_>, neighbours: &Neighbours, delta: &mut Delta) {
        let Assessed { session, row, findings, before, .. } = assessed;
        let mut draft = Draft::new(session, &before);
        let mut observation = before.observation().cloned();
        let mut pinned = Arc::clone(&before.pinned);
        let mut noncompliant = before.state.map(|state| state.record.noncompliant.clone()).unwrap_or_default();
        draft.name = draft.name.or_else(|| match &row {
            RowMatch::Seen(seen) => seen.name(),
            RowMatch::Missing | RowMatch::Duplicate(_) | RowMatch::Uncertain(_) => {
                observation.as_ref().and_then(|seen| seen.name())
            }
        });
        let mut past = before.state.map(|state| state.record.past.clone()).unwrap_or_default();
        let presence = match row {
            RowMatch::Missing => {
                self.missing(&mut draft, delta);
                Presence::Missing { seen: before.last_verdict }
            }
            RowMatch::Duplicate(reason) => {
                self.back_again(&mut draft, delta);
                self.unverifiable(&mut draft, &findings, delta);
                Presence::Ambiguous { seen: before.last_verdict, reason }
            }
            RowMatch::Uncertain(reason) => {
                self.unverifiable(&mut draft, &findings, delta);
                Presence::Ambiguous { seen: before.last_verdict, reason }
            }
            RowMatch::Seen(seen) => {
                let evidence = Evidence { seen: &seen, around: self.around(&before, neighbours) };
                self.back_again(&mut draft, delta);
                self.drifts(&mut draft, &findings, evidence, delta);
                self.unverifiable(&mut draft, &findings, delta);
                noncompliant = shortfalls(&draft, &findings, evidence);
                self.note_changes(session, observation.as_deref(), &seen, delta);
                pinned = still_returned(session, pinned, neighbours);
                if let Some(more) = self.newly_pinned(session, observation.as_deref(), &seen, &pinned, delta) {
                    pinned = more;
                }
                if let (Some(previous), Some(at)) = (&observation, before.last_verdict) {
                    past::note(&mut past, previous, &seen, at, self.now);
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
        Self::keep_if_changed(session, before.state, next, delta);
    }

    /// Puts the session into the delta if it changed, and each of its incidents that changed.
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

    /// Adds an event for each setting whose value, as read, changed.
    fn note_changes(&self, session: &Session, before: Option<&Observation>, seen: &Observation, delta: &mut Delta) {
        let Some(before) = before else { return };
        for setting in changed_settings(before, seen) {
            let kind = self.plan.mapping.kind(&setting);
            let [before, after] =
                [before, seen].map(|seen| seen.reading(&setting, &self.plan.mapping, kind, session.zone()));
            if before != after {
                let words = |reading| match reading {
                    Reading::Value(value) => Some(value.to_string()),
                    Reading::Missing => None,
                    Reading::Unreadable(reason) => Some(format!("({reason})")),
                };
                let (before, after) = (words(before), words(after));
                let what = EventKind::SettingChanged { setting, before, after };
                delta.events.push(Event { at: self.now, session: Some(session.key.id.clone()), what });
            }
        }
    }

    /// Pins the settings that an `unchanged` rule watches and that are not pinned yet. One that appears after the first poll is
    /// an event.
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

    /// Ends incidents that the policy does not ask for any more.
    pub(super) fn end_all(&self, ended: Vec<(Incident, crate::domain::incident::End)>, delta: &mut Delta) {
        for (incident, why) in ended {
            end(incident, why, self.now, delta);
        }
    }
}

/// The pinned values without those that a pattern watched and that no session of the source has any more.
fn still_returned(session: &Session, pinned: Arc<PinnedValues>, neighbours: &Neighbours) -> Arc<PinnedValues> {
    let watched = |setting: &SettingKey| {
        let mut rules = session.policy.rules().iter();
        rules.any(|rule| rule.watches_each() && in_scope(&session.policy, rule, setting))
    };
    let forgotten = |setting: &SettingKey| !neighbours.returned.contains(setting) && watched(setting);
    if !pinned.keys().any(forgotten) {
        return pinned;
    }
    let kept = pinned.iter().filter(|(setting, _)| !forgotten(setting));
    Arc::new(kept.map(|(setting, value)| (setting.clone(), value.clone())).collect())
}

/// The findings that are not compliant, each with the last poll that found it compliant.
fn shortfalls(draft: &Draft<'_>, findings: &[Finding], evidence: Evidence<'_>) -> Vec<NonCompliance> {
    let stand = |finding: &Finding| NonCompliance {
        rule: finding.rule.id.clone(),
        setting: finding.setting.clone(),
        severity: finding.rule.severity,
        verdict: finding.verdict.clone(),
        last_good: draft.window(finding, evidence).last_good,
    };
    findings.iter().filter(|finding| finding.verdict != Verdict::Compliant).map(stand).collect()
}
