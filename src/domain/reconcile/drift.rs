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
        for finding in findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Drifted { .. })) {
            let incident = take(&mut known, finding).unwrap_or_else(|| self.first_seen(draft, finding, previous, seen));
            let incident = self.wrong(draft, incident, finding, (previous, seen), delta);
            draft.incidents.push(incident);
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
        (previous, seen): (Option<&Observation>, &Observation),
        delta: &mut Delta,
    ) -> Incident {
        let Verdict::Drifted { expected, found } = &finding.verdict else { return incident };
        let moved = match bad_look(&mut incident, found, self.plan.alerts.confirm_looks, self.now) {
            // Read in another way than before, but the same: the configuration changed, not the setting.
            Moved::Updated { .. } if !touched(finding, previous, seen) => Moved::Still,
            moved => moved,
        };
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
                    found: found.clone(),
                };
                delta.events.push(Event { at: self.now, session: Some(draft.session.key.id.clone()), what });
                self.tell(News::Updated { before }, &mut incident, delta);
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
            None if self.plan.mapping.renames(setting) => Stands::Dropped,
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
        match seen.reading(setting, &self.plan.mapping, kind, session.zone()) {
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
    let moved = previous.is_some() && touched(finding, previous, seen);
    let by_itself = by_itself && previous.is_some();
    if moved || by_itself { draft.last_verdict } else { None }
}

/// Whether what the source sent for the finding's settings is not what it sent when the session was last seen.
fn touched(finding: &Finding, previous: Option<&Observation>, seen: &Observation) -> bool {
    let Some(previous) = previous else { return true };
    let changed = changed_settings(previous, seen);
    if finding.rule.watches_each() {
        changed.contains(&finding.setting)
    } else {
        changed.iter().any(|setting| finding.rule.setting.matches(setting))
    }
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
