//! The whole decision about one poll: reconcile, then route, then remember who was told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::incident::{Incident, IncidentKind, Told};
use super::name::Name;
use super::notification::Notification;
use super::plan::{Due, SourcePlan};
use super::reconcile::{PollOutcome, reconcile, retire};
use super::route::{Postmark, route};
use super::state::{Delta, SourceState};

/// What is to be recorded together: the change of state and the messages about it.
#[derive(Debug, Default)]
pub struct Decision {
    pub delta: Delta,
    pub messages: Vec<Notification>,
    /// What nobody is told because it matters less than `min_severity`.
    pub below_severity: u64,
}

/// How messages are marked: where answers and links lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The right side of Message-IDs.
    pub domain: String,
    /// Where the pages are, if they are public.
    pub public_url: Option<String>,
}

/// Decides what one poll changes and who is told.
pub fn decide(
    plan: &SourcePlan,
    state: &SourceState,
    poll: &PollOutcome,
    due: &Due,
    sender: &Sender,
    now: DateTime<Utc>,
) -> Decision {
    finish(Some(plan), &plan.name, reconcile(plan, state, poll, due, now), sender, now)
}

/// Decides what becomes of sessions, or of a whole source, that the configuration does not audit any more.
pub fn decide_retired(
    source: &Name,
    plan: Option<&SourcePlan>,
    state: &SourceState,
    sender: &Sender,
    now: DateTime<Utc>,
) -> Decision {
    finish(plan, source, retire(plan, state, now), sender, now)
}

fn finish(plan: Option<&SourcePlan>, source: &Name, mut delta: Delta, sender: &Sender, now: DateTime<Utc>) -> Decision {
    let mark = Postmark {
        source,
        poll: delta.record.polls,
        now,
        domain: &sender.domain,
        public_url: sender.public_url.as_deref(),
    };
    let routed = route(plan, &delta.notices, mark);
    let below_severity = routed.below_severity + plan.map_or(0, |plan| never_noticed(plan, &delta));
    remember(&mut delta, &routed.told, now);
    Decision { delta, messages: routed.messages, below_severity }
}

/// What cannot be read waits for the grace period, and without enough severity there is no notice at its end that could be counted.
/// So each is counted once, when it opens.
fn never_noticed(plan: &SourcePlan, delta: &Delta) -> u64 {
    let opened = delta.events.iter().filter_map(|event| event.what.opened());
    let unseen = |kind: IncidentKind| matches!(kind, IncidentKind::Unverifiable | IncidentKind::Unreachable);
    opened.filter(|(kind, severity)| unseen(*kind) && *severity < plan.alerts.min_severity).count() as u64
}

/// Notes in every copy of an incident that somebody was told of it.
fn remember(delta: &mut Delta, told: &[(Uuid, Told)], now: DateTime<Utc>) {
    let mut by_incident: HashMap<Uuid, Vec<&Told>> = HashMap::new();
    for (incident, told) in told {
        by_incident.entry(*incident).or_default().push(told);
    }
    let note = |incident: &mut Incident| {
        for told in by_incident.get(&incident.id).into_iter().flatten() {
            incident.told_at = Some(now);
            if !incident.told.iter().any(|known| known.to == told.to) {
                incident.told.push((*told).clone());
            }
        }
    };
    delta.sessions.values_mut().flat_map(|session| &mut session.incidents).for_each(note);
    delta.incidents.iter_mut().for_each(note);
    delta.unreachable.iter_mut().for_each(note);
}
