//! Drifts of one session: findings meet the incidents that are already known.

use super::session::Draft;
use super::track::{Moved, bad_look, good_look};
use super::{Step, changed_settings, opened, rule_ids};
use crate::domain::address::Address;
use crate::domain::catalogue;
use crate::domain::evaluate::{Finding, Verdict, in_scope};
use crate::domain::event::{Event, Happening};
use crate::domain::expectation::Expectation;
use crate::domain::incident::{End, Facts, Incident, IncidentKind, Thing, Window};
use crate::domain::observation::Observation;
use crate::domain::policy::Rule;
use crate::domain::reading::Reading;
use crate::domain::reconcile::News;
use crate::domain::session::Session;
use crate::domain::state::Delta;

impl Step<'_> {
    /// Opens, updates and ends the drifts of a session that was seen.
    pub(super) fn drifts(
        &self,
        draft: &mut Draft<'_>,
        findings: &[Finding],
        previous: Option<&Observation>,
        seen: &Observation,
        delta: &mut Delta,
    ) {
        let (known, others) =
            std::mem::take(&mut draft.incidents).into_iter().partition(|i| i.kind() == IncidentKind::Drift);
        draft.incidents = others;
        let mut known: Vec<Incident> = known;
        for finding in findings {
            if let Verdict::Drifted { expected, found } = &finding.verdict {
                let incident =
                    take(&mut known, finding).unwrap_or_else(|| self.first_seen(draft, finding, previous, seen));
                let incident = self.wrong(draft, incident, finding, (expected, found), delta);
                draft.incidents.push(incident);
            }
        }
        let mut over = Vec::new();
        for mut incident in known {
            match self.standing_of(&incident, draft.session, findings, seen) {
                Stands::Unseen => draft.incidents.push(incident),
                Stands::Dropped => over.push((incident, End::NoLongerAudited)),
                Stands::Right(end) => {
                    if good_look(&mut incident, self.plan.alerts.resolve_looks) {
                        over.push((incident, end));
                    } else {
                        draft.incidents.push(incident);
                    }
                }
            }
        }
        self.end_all(over, delta);
    }

    /// One more look that found it wrong.
    fn wrong(
        &self,
        draft: &Draft<'_>,
        mut incident: Incident,
        finding: &Finding,
        (expected, found): (&str, &str),
        delta: &mut Delta,
    ) -> Incident {
        let moved = bad_look(&mut incident, found, self.plan.alerts.confirm_looks, self.now);
        incident.severity = finding.rule.severity;
        incident.facts = facts(draft, &finding.rule, finding, expected, found);
        match moved {
            Moved::Waiting => {}
            Moved::Opened => {
                opened(&incident, self.now, delta);
                self.tell(News::Opened, &mut incident, delta);
            }
            Moved::Updated { before } => {
                let what = Happening::Updated {
                    incident: incident.id,
                    thing: incident.thing.clone(),
                    before: before.clone(),
                    found: found.to_owned(),
                };
                delta.events.push(Event { at: self.now, session: Some(draft.session.key.id.clone()), what });
                self.tell(News::Updated { before }, &mut incident, delta);
            }
            // Nobody was told, because it mattered too little; now it matters enough.
            Moved::Still if incident.told_at.is_none() && incident.severity >= self.plan.alerts.mail_from => {
                self.tell(News::Opened, &mut incident, delta);
            }
            Moved::Still => self.remind(&mut incident, delta),
        }
        incident
    }

    fn first_seen(
        &self,
        draft: &Draft<'_>,
        finding: &Finding,
        previous: Option<&Observation>,
        seen: &Observation,
    ) -> Incident {
        let last_good = last_good(draft, finding, previous, seen);
        let window = Window { last_good, first_bad: self.now };
        let (rule, setting) = (finding.rule.id.clone(), finding.setting.clone());
        let thing = Thing::Drift { session: draft.session.key.id.clone(), rule, setting };
        Incident::found(&self.plan.name, self.look, thing, finding.rule.severity, window, Facts::default())
    }

    /// Where a known drift stands that no finding calls drifted.
    fn standing_of(&self, incident: &Incident, session: &Session, findings: &[Finding], seen: &Observation) -> Stands {
        let Some((rule_id, setting)) = incident.thing.rule() else { return Stands::Unseen };
        if !rule_ids(session).contains(rule_id) {
            return Stands::Dropped;
        }
        let Some(rule) = session.policy.rules.iter().find(|rule| rule.id == *rule_id) else { return Stands::Dropped };
        let finding = findings.iter().find(|f| f.rule.id == *rule_id && f.setting == *setting);
        match finding.map(|finding| &finding.verdict) {
            Some(Verdict::Unverifiable { .. }) => Stands::Unseen,
            Some(Verdict::NotApplicable) => Stands::Dropped,
            Some(_) => Stands::Right(self.why_right(incident, rule, seen, session)),
            None if !rule.watches_each() || !in_scope(session, rule, setting) => Stands::Dropped,
            // Watched one by one, and not named: it is as it was pinned, if it is there at all.
            None if seen.cell(setting).is_none() => Stands::Unseen,
            None => Stands::Right(self.why_right(incident, rule, seen, session)),
        }
    }

    /// A value that is as it was found has not been repaired: something else changed.
    fn why_right(&self, incident: &Incident, rule: &Rule, seen: &Observation, session: &Session) -> End {
        let Some((_, setting)) = incident.thing.rule() else { return End::Repaired };
        if matches!(rule.expect, Expectation::Unique) {
            return End::Repaired;
        }
        let kind = rule.expect.kind().unwrap_or_else(|| self.plan.mapping.kind(setting));
        match seen.reading(setting, kind, session.zone()) {
            Reading::Value(value) if value.to_string() == incident.facts.found => End::BaselineChanged,
            _ => End::Repaired,
        }
    }
}

/// The last look that found the rule kept. A value that was the same at the look before was not right then either:
/// what changed is what is asked of it, so nobody knows since when it has been so.
fn last_good(
    draft: &Draft<'_>,
    finding: &Finding,
    previous: Option<&Observation>,
    seen: &Observation,
) -> Option<chrono::DateTime<chrono::Utc>> {
    let standing = draft.before.into_iter().flat_map(|before| &before.record.standing);
    let unclear = standing.filter(|s| matches!(s.verdict, Verdict::Unverifiable { .. }));
    if let Some(earlier) = unclear.into_iter().find(|s| s.rule == finding.rule.id && s.setting == finding.setting) {
        return earlier.last_good;
    }
    let by_itself = matches!(finding.rule.expect, Expectation::Within(_) | Expectation::Unique);
    let changed = changed_settings(previous?, seen);
    let pattern = &finding.rule.setting;
    let moved = if finding.rule.watches_each() {
        changed.contains(&finding.setting)
    } else {
        changed.iter().any(|setting| pattern.matches(setting))
    };
    if moved || by_itself { draft.last_verdict } else { None }
}

/// Where a known drift stands after a look.
enum Stands {
    /// The look could not tell.
    Unseen,
    /// No rule asks for it any more.
    Dropped,
    Right(End),
}

fn take(known: &mut Vec<Incident>, finding: &Finding) -> Option<Incident> {
    let key = Some((&finding.rule.id, &finding.setting));
    let at = known.iter().position(|incident| incident.thing.rule() == key)?;
    Some(known.remove(at))
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

/// An alert about the notification address also goes to the address that should be there.
fn expected_address(session: &Session, rule: &Rule, setting: &crate::domain::setting::SettingKey) -> Option<Address> {
    if setting.folded() != "notification_email" {
        return None;
    }
    let operand = rule.expect.operands().first()?;
    Address::parse(operand.resolve(&session.params)?).ok()
}
