//! Generated histories: an owner who reads only the last mail about a session knows all that is wrong with it.
//!
//! After every step, the last notification to each owner about each session lists exactly the open incidents of the session, with
//! the value found now. It may leave out incidents that are below `min_severity`, not confirmed, or still within a grace period.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Rendered, render};
use crate::domain::address::Address;
use crate::domain::alerting::working_set::Recorded;
use crate::domain::alerting::{LogChange, LogKey, Suppression, WorkingSet};
use crate::domain::incident::{Incident, IncidentKind};
use crate::domain::notification::Notification;
use crate::domain::plan::Due;
use crate::domain::policy::Severity;
use crate::domain::reading::RawValue;
use crate::domain::reconcile::{PollOutcome, take_up};
use crate::domain::session::{Contacts, Session, SessionId};
use crate::domain::state::Delta;
use crate::domain::world::{World, address, compliant, id, name, outcome};

const SESSIONS: [&str; 2] = ["1", "2"];
const OWNERS: [&str; 2] = ["anna@acme.example", "ben@acme.example"];
/// Settings with a right value, two wrong ones, and one that cannot be read.
const SETTINGS: [(&str, [&str; 4]); 5] = [
    ("export", ["no", "yes", "ticked", "perhaps"]),
    ("customer_validation_1", ["yes", "no", "off", "perhaps"]),
    ("customer_validation_2", ["yes", "no", "off", ""]),
    ("notification_email", ["owner@acme.example", "x@y.example", "y@y.example", ""]),
    ("Postcodes", ["paused", "on", "often", ""]),
];

#[derive(Debug, Clone)]
enum Act {
    /// A setting gets one of its values, or is not returned any more.
    Set {
        session: usize,
        setting: usize,
        value: usize,
    },
    /// The session has a row, or none.
    Row {
        session: usize,
        there: bool,
    },
    Fail,
    Wait {
        minutes: i64,
    },
    Restart,
    /// The configuration includes the session, or does not any more.
    Audited {
        session: usize,
        audited: bool,
    },
    Owner {
        session: usize,
        owner: usize,
    },
    MinSeverity(usize),
    Counts {
        confirm: u32,
        resolve: u32,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let session = 0..SESSIONS.len();
    prop_oneof![
        12 => (session.clone(), 0..SETTINGS.len(), 0..5usize)
            .prop_map(|(session, setting, value)| Act::Set { session, setting, value }),
        2 => (session.clone(), any::<bool>()).prop_map(|(session, there)| Act::Row { session, there }),
        2 => Just(Act::Fail),
        3 => (1i64..3000).prop_map(|minutes| Act::Wait { minutes }),
        1 => Just(Act::Restart),
        1 => (session.clone(), any::<bool>()).prop_map(|(session, audited)| Act::Audited { session, audited }),
        1 => (session, 0..OWNERS.len()).prop_map(|(session, owner)| Act::Owner { session, owner }),
        1 => (0..Severity::ALL.len()).prop_map(Act::MinSeverity),
        1 => (1u32..3, 1u32..3).prop_map(|(confirm, resolve)| Act::Counts { confirm, resolve }),
    ]
}

/// An incident as a mail reports it: its id and the value found.
type Claim = (Uuid, String);

struct History {
    world: World,
    /// The sessions as the configuration would name them.
    sessions: BTreeMap<SessionId, Session>,
    incidents: BTreeMap<Uuid, Incident>,
    log: BTreeMap<(Uuid, LogKey), LogChange>,
    suppressed: Vec<Suppression>,
    /// The last notification about a session to an address, with its text.
    last: BTreeMap<(Address, SessionId), (Notification, Rendered)>,
}

impl History {
    fn new(operators: bool) -> Self {
        let mut world = World::new();
        let operators = operators.then(|| address("run@integrator.example")).into_iter().collect();
        let contacts = Arc::new(Contacts { operators, ..Contacts::clone(&world.plan.contacts) });
        for session in world.plan.sessions.values_mut() {
            session.owners = vec![address(OWNERS[0])];
            session.contacts = Arc::clone(&contacts);
        }
        world.plan.contacts = contacts;
        world.plan.alerts.unreachable_after = Duration::from_mins(30);
        let sessions = world.plan.sessions.clone();
        let (incidents, log) = (BTreeMap::new(), BTreeMap::new());
        Self { world, sessions, incidents, log, suppressed: Vec::new(), last: BTreeMap::new() }
    }

    fn take(&mut self, act: &Act) -> Result<(), TestCaseError> {
        let world = &mut self.world;
        let rows = |session: &str| (session.to_owned(), compliant(session));
        match *act {
            Act::Set { session, setting, value } => {
                let (setting, values) = SETTINGS[setting];
                match values.get(value) {
                    Some(value) => world.set(SESSIONS[session], setting, &RawValue::text(*value)),
                    None => world.unset(SESSIONS[session], setting),
                }
            }
            Act::Row { session, there: false } => world.rows.retain(|(row, _)| row != SESSIONS[session]),
            Act::Row { session, there: true } => {
                if world.rows.iter().all(|(row, _)| row != SESSIONS[session]) {
                    world.rows.push(rows(SESSIONS[session]));
                }
            }
            Act::Fail => return self.poll(&PollOutcome::Unreachable("the connection was refused".to_owned())),
            Act::Wait { minutes } => {
                world.now += TimeDelta::minutes(minutes);
                return self.alert();
            }
            Act::Restart => self.restart(),
            Act::Audited { session, audited } => {
                let session = id(SESSIONS[session]);
                if audited {
                    let known = self.sessions[&session].clone();
                    world.plan.sessions.entry(session).or_insert(known);
                } else {
                    world.plan.sessions.remove(&session);
                }
                world.state.plan_changed();
                let delta = take_up(Some(&world.plan), &world.state, world.now);
                self.commit(delta);
            }
            Act::Owner { session, owner } => {
                let owners = vec![address(OWNERS[owner])];
                let session = id(SESSIONS[session]);
                self.sessions.get_mut(&session).unwrap().owners.clone_from(&owners);
                world.plan.sessions.entry(session).and_modify(|session| session.owners = owners);
                world.state.plan_changed();
            }
            Act::MinSeverity(least) => world.plan.alerts.min_severity = Severity::ALL[least],
            Act::Counts { confirm, resolve } => {
                (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (confirm, resolve);
                world.state.plan_changed();
            }
        }
        self.alert()?;
        let poll = outcome(&self.world.raw_snapshot(), &self.world.plan, self.world.now + TimeDelta::minutes(1));
        self.poll(&poll)
    }

    fn poll(&mut self, poll: &PollOutcome) -> Result<(), TestCaseError> {
        self.world.now += TimeDelta::minutes(1);
        let delta = self.world.reconcile(poll, &Due::All);
        self.commit(delta);
        self.alert()
    }

    fn commit(&mut self, delta: Delta) {
        self.incidents.extend(delta.all_incidents().map(|incident| (incident.id, incident.clone())));
        self.world.commit(delta);
    }

    /// Alerting starts with the content of the store; there is no announcement between two commits here.
    fn restart(&mut self) {
        let log = self.log.values().cloned().collect();
        let incidents = self.incidents.values().cloned().collect();
        let suppressed = self.suppressed.clone();
        self.world.known = WorkingSet::new(Recorded { incidents, announcements: Vec::new(), log, suppressed });
        self.world.state.plan_changed();
    }

    fn alert(&mut self) -> Result<(), TestCaseError> {
        let evaluation = self.world.alert();
        for change in evaluation.log {
            self.log.insert((change.incident, change.key.clone()), change);
        }
        self.suppressed.extend(evaluation.suppressions);
        for notification in evaluation.notifications {
            let rendered = render(&notification, None).unwrap();
            let own = notification.items.iter().filter_map(|item| item.session().cloned());
            let blind = notification.items.iter().flat_map(|item| item.blind().iter().map(|s| s.key.id.clone()));
            let about = own.chain(blind).collect::<BTreeSet<_>>();
            for session in about {
                let key = (notification.to.clone(), session);
                self.last.insert(key, (notification.clone(), rendered.clone()));
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for session in SESSIONS.map(id) {
            let state = self.world.state.sessions.get(&session);
            let open = state.into_iter().flat_map(|state| &state.incidents).filter(|incident| incident.is_open());
            let open = open.collect::<Vec<_>>();
            let now = open.iter().map(|incident| (incident.id, incident.facts.found.clone())).collect::<BTreeSet<_>>();
            let audited = self.world.plan.sessions.contains_key(&session);
            for owner in &self.sessions[&session].owners {
                let last = self.last.get(&(owner.clone(), session.clone()));
                let claims = last.map(|(last, _)| claims(last, &session)).unwrap_or_default();
                // A changed value below the limit is not notified; the incident is still open.
                let limit = self.world.plan.alerts.min_severity;
                let below = |id: Uuid| open.iter().any(|incident| incident.id == id && incident.severity < limit);
                let false_claims = claims.difference(&now).filter(|(id, _)| !below(*id)).collect::<Vec<_>>();
                prop_assert!(false_claims.is_empty(), "{owner} reads of {session} what is not so: {false_claims:?}");
                let reported = open.iter().filter(|incident| audited && self.is_reported(owner, incident));
                for incident in reported {
                    let claim = (incident.id, incident.facts.found.clone());
                    prop_assert!(claims.contains(&claim), "{owner} does not read of {session}: {incident:?}");
                }
                if let Some((last, rendered)) = last {
                    says(last, rendered, &session, &claims)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the last mail must list an open incident.
    fn is_reported(&self, owner: &Address, incident: &Incident) -> bool {
        let key = LogKey { channel: name("email"), to: owner.clone() };
        match incident.kind() {
            IncidentKind::Drift | IncidentKind::Missing => incident.severity >= self.world.plan.alerts.min_severity,
            // The grace period is over for this owner.
            IncidentKind::Unverifiable | IncidentKind::Unreachable | IncidentKind::SourceChanged => {
                self.log.contains_key(&(incident.id, key))
            }
        }
    }
}

/// The incidents of a session that a notification lists as wrong.
fn claims(notification: &Notification, session: &SessionId) -> BTreeSet<Claim> {
    let of = |incident: &&Incident| incident.key.session() == Some(session);
    notification.wrong().into_iter().filter(of).map(|incident| (incident.id, incident.facts.found.clone())).collect()
}

/// Checks that the text lists each incident that is wrong, and reads as all clear only if there is none.
fn says(
    notification: &Notification,
    rendered: &Rendered,
    session: &SessionId,
    claims: &BTreeSet<Claim>,
) -> Result<(), TestCaseError> {
    let Rendered { subject, text, .. } = rendered;
    for incident in notification.wrong() {
        let facts = &incident.facts;
        prop_assert!(text.contains(&facts.label), "{} is not in {text}", facts.label);
        if incident.kind() == IncidentKind::Drift {
            let found = if facts.found.is_empty() { "(empty)" } else { &facts.found };
            prop_assert!(text.contains(&format!("Now: {found}\n")), "{found} is not in {text}");
        }
    }
    if !claims.is_empty() {
        let clear = ["put right", "is back", "is being checked again", "no longer"];
        prop_assert!(clear.iter().all(|words| !subject.contains(words)), "{session}: {subject}");
        prop_assert!(notification.sessions().len() > 1 || !text.contains(super::lead::NOTHING_ELSE), "{text}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_last_mail_about_a_session_says_all_that_is_wrong_with_it(
        operators: bool,
        acts in prop::collection::vec(act(), 1..50),
    ) {
        let mut history = History::new(operators);
        for act in &acts {
            history.take(act)?;
        }
    }
}
