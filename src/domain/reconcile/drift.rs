//! Opens, updates and ends the drifts of one session: compares its findings with the incidents that are already known.

use std::collections::{BTreeMap, HashMap};

use super::session::{Draft, Evidence};
use super::track::{Moved, bad_poll, good_poll};
use super::{PollContext, opened};
use crate::domain::address::Address;
use crate::domain::catalogue;
use crate::domain::evaluate::{Finding, Verdict, in_scope, kind_for};
use crate::domain::event::{Event, EventKind};
use crate::domain::expectation::Expectation;
use crate::domain::incident::{End, Facts, Incident, IncidentKey, IncidentKind};
use crate::domain::name::Name;
use crate::domain::observation::Observation;
use crate::domain::policy::Rule;
use crate::domain::reading::{Kind, RawValue, Reading, Value, read};
use crate::domain::session::Session;
use crate::domain::setting::{SettingKey, SettingPattern};
use crate::domain::state::Delta;

impl PollContext<'_> {
    /// Opens, updates and ends the drifts of a session that was seen.
    pub(super) fn drifts(
        &self,
        draft: &mut Draft<'_>,
        findings: &[Finding],
        evidence: Evidence<'_>,
        delta: &mut Delta,
    ) {
        let (known, others) =
            std::mem::take(&mut draft.incidents).into_iter().partition(|i| i.kind() == IncidentKind::Drift);
        draft.incidents = others;
        let mut known = Known::new(known);
        for finding in findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Drifted { .. })) {
            let incident = known.take(finding).unwrap_or_else(|| self.first_seen(draft, finding, evidence));
            let incident = self.wrong(draft, incident, finding, evidence, delta);
            draft.incidents.push(incident);
        }
        let mut over = Vec::new();
        let verdicts = if known.any_left() { index(findings) } else { Verdicts::new() };
        for mut incident in known.left() {
            match self.noncompliant_of(&incident, draft.session, &verdicts, evidence) {
                KnownDrift::Unseen => draft.incidents.push(incident),
                KnownDrift::Dropped(end) => over.push((incident, end)),
                KnownDrift::Right(end) => {
                    if good_poll(&mut incident, self.plan.alerts.resolve_polls) {
                        over.push((incident, end));
                    } else {
                        draft.incidents.push(incident);
                    }
                }
            }
        }
        self.end_all(over, delta);
    }

    /// Counts one more poll that found it wrong.
    fn wrong(
        &self,
        draft: &Draft<'_>,
        mut incident: Incident,
        finding: &Finding,
        evidence: Evidence<'_>,
        delta: &mut Delta,
    ) -> Incident {
        let Verdict::Drifted { expected, found } = &finding.verdict else { return incident };
        let sent = sent(&finding.rule, &finding.setting, evidence.seen);
        // A value that the configuration reads in another way than before is no other value. Nor is one with the same words, such as
        // a group in which only a right member changed: an update would show nothing.
        let changed = incident.facts.found != *found
            && !read_alike(&incident.facts.sent, &sent, |setting, raw| {
                let mapping = evidence.around.mapping;
                let kind = kind_for(&finding.rule, setting, mapping);
                read(mapping.mean(setting, raw), kind, draft.session.zone())
            });
        let moved = bad_poll(&mut incident, changed, self.plan.alerts.confirm_polls, self.now);
        incident.severity = finding.rule.severity;
        let flag = flag(draft.session, finding, evidence);
        let facts = Facts { flag, sent, ..facts(draft, &finding.rule, finding, expected, found) };
        let Facts { found: before, before: earlier, .. } = std::mem::replace(&mut incident.facts, facts);
        incident.facts.before = earlier;
        match moved {
            Moved::Waiting | Moved::Still => {}
            Moved::Opened => opened(&incident, self.now, delta),
            Moved::Updated => {
                incident.revision += 1;
                incident.facts.before = Some(before.clone());
                let what = EventKind::Updated {
                    incident: incident.id,
                    key: incident.key.clone(),
                    before,
                    found: found.clone(),
                };
                delta.events.push(Event { at: self.now, session: Some(draft.session.key.id.clone()), what });
            }
        }
        incident
    }

    fn first_seen(&self, draft: &Draft<'_>, finding: &Finding, evidence: Evidence<'_>) -> Incident {
        let window = draft.window(finding, evidence);
        let (rule, setting) = (finding.rule.id.clone(), finding.setting.clone());
        let key = IncidentKey::Drift { session: draft.session.key.id.clone(), rule, setting };
        Incident::found(&self.plan.name, self.poll, key, finding.rule.severity, window, Facts::default())
    }

    /// What became of a known drift that no finding calls drifted.
    fn noncompliant_of(
        &self,
        incident: &Incident,
        session: &Session,
        verdicts: &Verdicts<'_>,
        evidence: Evidence<'_>,
    ) -> KnownDrift {
        const DROPPED: KnownDrift = KnownDrift::Dropped(End::NoLongerAudited);
        let Evidence { seen, around } = evidence;
        let Some((rule_id, setting)) = incident.key.rule() else { return KnownDrift::Unseen };
        let Some(rule) = session.policy.rules().iter().find(|rule| rule.id == *rule_id) else { return DROPPED };
        match verdicts.get(&(rule_id, setting)) {
            Some(Verdict::Unverifiable { .. }) => KnownDrift::Unseen,
            Some(Verdict::NotApplicable) => DROPPED,
            Some(_) => KnownDrift::Right(why_right(incident, rule, seen)),
            None if !rule.watches_each() || !in_scope(&session.policy, rule, setting) => DROPPED,
            None if self.plan.mapping.renames(setting) => DROPPED,
            None if !around.neighbours.returned.contains(setting) => KnownDrift::Dropped(End::NotReturned),
            // Watched one by one, and not named: it is as it was pinned, if it is there at all.
            None if seen.raw(setting).is_none() => KnownDrift::Unseen,
            None => KnownDrift::Right(why_right(incident, rule, seen)),
        }
    }
}

/// The drifts that were known before a poll, to be taken out one by one.
struct Known {
    incidents: Vec<Option<Incident>>,
    places: HashMap<(Name, SettingKey), usize>,
}

impl Known {
    fn new(incidents: Vec<Incident>) -> Self {
        let key = |incident: &Incident| incident.key.rule().map(|(rule, setting)| (rule.clone(), setting.clone()));
        let places = incidents.iter().enumerate().filter_map(|(at, incident)| Some((key(incident)?, at))).collect();
        Self { incidents: incidents.into_iter().map(Some).collect(), places }
    }

    fn take(&mut self, finding: &Finding) -> Option<Incident> {
        if self.places.is_empty() {
            return None;
        }
        let at = self.places.remove(&(finding.rule.id.clone(), finding.setting.clone()))?;
        self.incidents[at].take()
    }

    fn any_left(&self) -> bool {
        self.incidents.iter().any(Option::is_some)
    }

    /// Those that no finding took, in their order.
    fn left(self) -> impl Iterator<Item = Incident> {
        self.incidents.into_iter().flatten()
    }
}

/// Verdicts by rule and setting.
type Verdicts<'a> = HashMap<(&'a Name, &'a SettingKey), &'a Verdict>;

fn index(findings: &[Finding]) -> Verdicts<'_> {
    findings.iter().map(|finding| ((&finding.rule.id, &finding.setting), &finding.verdict)).collect()
}

/// If the source still sends what was wrong, the setting was not repaired: the rule changed. Only a rule that wants the value
/// unique can be satisfied by a change of another session.
fn why_right(incident: &Incident, rule: &Rule, seen: &Observation) -> End {
    let Some((_, setting)) = incident.key.rule() else { return End::Repaired };
    let unique = matches!(rule.expect, Expectation::Unique);
    if !unique && sent(rule, setting, seen) == incident.facts.sent { End::BaselineChanged } else { End::Repaired }
}

/// What the source sent for a finding, by setting.
type Sent = BTreeMap<SettingKey, RawValue>;

/// Whether `now` says the same as `before`, perhaps in another spelling.
fn read_alike<'a>(before: &'a Sent, now: &'a Sent, read: impl Fn(&SettingKey, &'a RawValue) -> Reading<'a>) -> bool {
    let alike = |((setting, before), (other, now)): ((&SettingKey, &'a RawValue), (&SettingKey, &'a RawValue))| {
        let same = || match (read(setting, before), read(setting, now)) {
            (Reading::Value(before), Reading::Value(now)) => before.same(&now),
            _ => false,
        };
        setting == other && (before == now || same())
    };
    before.len() == now.len() && before.iter().zip(now).all(alike)
}

/// What the source sent for a finding: one raw value, or each of a group.
fn sent(rule: &Rule, setting: &SettingKey, seen: &Observation) -> Sent {
    let raw_values = |(setting, raw): (&SettingKey, &RawValue)| (setting.clone(), raw.clone());
    match rule.setting {
        SettingPattern::Many(_) if !rule.watches_each() => {
            seen.iter().filter(|(setting, _)| rule.setting.matches(setting)).map(raw_values).collect()
        }
        _ => seen.raw(setting).map(|raw| (setting, raw)).into_iter().map(raw_values).collect(),
    }
}

/// A known drift that a poll did not find drifted again.
enum KnownDrift {
    /// The poll could not tell.
    Unseen,
    /// No rule asks for it any more, or nothing can be known of it.
    Dropped(End),
    Right(End),
}

fn facts(draft: &Draft<'_>, rule: &Rule, finding: &Finding, expected: &str, found: &str) -> Facts {
    let setting = &finding.setting;
    let place = || catalogue::find(setting).map(|entry| format!("{}, then Save", entry.place)).unwrap_or_default();
    let fix = if rule.fix.is_empty() { place() } else { rule.fix.clone() };
    Facts {
        name: draft.name.clone(),
        label: catalogue::label(setting),
        expected: expected.to_owned(),
        found: found.to_owned(),
        why: rule.why.clone(),
        fix,
        stops_orders: rule.stops_orders,
        expected_address: expected_address(draft.session, rule, setting),
        ..Facts::default()
    }
}

/// The flag that was found, where the rule asks for one.
fn flag(session: &Session, finding: &Finding, evidence: Evidence<'_>) -> Option<bool> {
    let wanted = matches!(finding.rule.expect, Expectation::Ticked | Expectation::Unticked);
    let reading = || evidence.seen.reading(&finding.setting, evidence.around.mapping, Kind::Flag, session.zone());
    match wanted.then(reading) {
        Some(Reading::Value(Value::Flag(flag))) => Some(flag),
        _ => None,
    }
}

/// An alert about the notification address also goes to the address that should be there.
fn expected_address(session: &Session, rule: &Rule, setting: &SettingKey) -> Option<Address> {
    if setting.folded() != "notification_email" {
        return None;
    }
    let operand = rule.expect.operands().first()?;
    Address::parse(operand.resolve(&session.params)?).ok()
}
