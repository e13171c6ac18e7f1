//! Generated histories of incidents, with restarts, processes that die between the two commits, changes of who is notified, and clock
//! jumps: each recipient is notified exactly as the model says, at the same minute.
//!
//! Between changes, alerting runs only when its own wake-up has come, and the model at every minute: a wake-up that is missed or
//! comes late is a difference.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::model::{Model, People, Sent, Wrong};
use super::working_set::Recorded;
use super::*;
use crate::domain::announcement::Announcement;
use crate::domain::incident::{End, Facts, IncidentKey, Phase, Window};
use crate::domain::policy::Severity;
use crate::domain::session::Contacts;
use crate::domain::setting::SettingKey;
use crate::domain::source_change::MassFailure;
use crate::domain::state::Delta;
use crate::domain::world::{World, address, id, name, start};

const PEOPLE: [&str; 4] = ["anna@acme.example", "ben@acme.example", "ops@integrator.example", "run@integrator.example"];
const SOURCES: usize = 2;
const SESSIONS: usize = 2;

#[derive(Debug, Clone)]
enum Occurrence {
    /// Something goes wrong, changes while it is wrong, or fails once more.
    Bad {
        source: usize,
        session: usize,
        kind: usize,
        severity: u8,
    },
    /// It is over.
    Good {
        source: usize,
        session: usize,
        kind: usize,
    },
    Wait {
        minutes: i64,
    },
    Jump {
        minutes: i64,
    },
    Owner {
        source: usize,
        session: usize,
        person: usize,
    },
    Restart,
}

fn occurrence() -> impl Strategy<Value = Occurrence> {
    let place = (0..SOURCES, 0..SESSIONS, 0..6usize);
    prop_oneof![
        6 => (place.clone(), 0u8..3).prop_map(|((source, session, kind), severity)| Occurrence::Bad { source, session, kind, severity }),
        4 => place.prop_map(|(source, session, kind)| Occurrence::Good { source, session, kind }),
        5 => (1i64..200).prop_map(|minutes| Occurrence::Wait { minutes }),
        1 => (-400i64..2000).prop_map(|minutes| Occurrence::Jump { minutes }),
        1 => (0..SOURCES, 0..SESSIONS, 0..3usize).prop_map(|(source, session, person)| Occurrence::Owner { source, session, person }),
        2 => Just(Occurrence::Restart),
    ]
}

/// What is on the disk.
#[derive(Default)]
struct Disk {
    incidents: BTreeMap<Uuid, String>,
    log: BTreeMap<(Uuid, LogKey), String>,
    suppressed: Vec<Suppression>,
}

impl Disk {
    fn load(&self) -> WorkingSet {
        let incidents = self.incidents.values().map(|text| serde_json::from_str(text).unwrap()).collect();
        let entry = |((incident, key), text): (&(Uuid, LogKey), &String)| LogChange {
            incident: *incident,
            key: key.clone(),
            entry: serde_json::from_str(text).unwrap(),
        };
        let log = self.log.iter().map(entry).collect();
        WorkingSet::new(Recorded { incidents, announcements: Vec::new(), log, suppressed: self.suppressed.clone() })
    }
}

/// All sessions of a source began to break the rule on `export` at `since`.
fn change(since: DateTime<Utc>) -> SourceChange {
    let failure = MassFailure {
        rule: name("export"),
        setting: SettingKey::new("export"),
        label: "Export".to_owned(),
        severity: Severity::Critical,
        stops_orders: false,
        expected: "unticked".to_owned(),
        found: "ticked".to_owned(),
        since,
        of: SESSIONS,
        sessions: (0..SESSIONS).map(|session| id(&session.to_string())).collect(),
    };
    SourceChange { failures: vec![failure], ..SourceChange::default() }
}

struct Trial {
    plans: Plans,
    known: WorkingSet,
    disk: Disk,
    model: Model,
    /// The incident of a place and kind, as last committed, with its number in the model.
    open: HashMap<(usize, usize, usize), (Incident, usize)>,
    numbers: HashMap<Uuid, usize>,
    now: i64,
    next: Option<DateTime<Utc>>,
}

fn at(minute: i64) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minute)
}

fn source(number: usize) -> Name {
    name(["north", "south"][number])
}

impl Trial {
    fn new(grace: i64, remind: Option<i64>, operators: bool, fallback: bool) -> Self {
        let minutes = |minutes: i64| std::time::Duration::from_secs(u64::try_from(minutes).unwrap() * 60);
        let people = People {
            owners: (0..SOURCES).flat_map(|s| (0..SESSIONS).map(move |id| ((s, id), vec![PEOPLE[id]]))).collect(),
            fallback: if fallback { vec![PEOPLE[2]] } else { Vec::new() },
            operators: if operators { vec![PEOPLE[3]] } else { Vec::new() },
        };
        let world = World::new();
        let contacts = Arc::new(Contacts {
            fallback: people.fallback.iter().map(|to| address(to)).collect(),
            operators: people.operators.iter().map(|to| address(to)).collect(),
            ..(*world.plan.contacts).clone()
        });
        let plan = |number| {
            let mut plan = world.plan.clone();
            plan.name = source(number);
            plan.contacts = Arc::clone(&contacts);
            plan.alerts.remind_every = remind.map(minutes);
            (plan.alerts.unreachable_after, plan.alerts.blind_after) = (minutes(grace), minutes(300));
            plan.sessions = (0..SESSIONS)
                .map(|session| {
                    let mut audited = world.plan.sessions[&id("1")].clone();
                    audited.key.source = plan.name.clone();
                    audited.key.id = id(&session.to_string());
                    audited.owners = vec![address(PEOPLE[session])];
                    audited.contacts = Arc::clone(&contacts);
                    (audited.key.id.clone(), audited)
                })
                .collect();
            (plan.name.clone(), plan)
        };
        let plans = (0..SOURCES).map(plan).collect();
        let model = Model::new(people, grace, 300, remind);
        let (known, disk) = (WorkingSet::default(), Disk::default());
        Self { plans, known, disk, model, open: HashMap::new(), numbers: HashMap::new(), now: 0, next: None }
    }

    /// First commit: of an audit.
    fn commit(&mut self, incident: &Incident) {
        self.disk.incidents.insert(incident.id, serde_json::to_string(incident).unwrap());
        let delta = match incident.kind() {
            IncidentKind::Unreachable => Delta { unreachable: Some(incident.clone()), ..Delta::default() },
            IncidentKind::SourceChanged => Delta { changed: Some(incident.clone()), ..Delta::default() },
            _ => Delta { incidents: vec![incident.clone()], ..Delta::default() },
        };
        self.known.note(&delta);
    }

    /// One evaluation and the second commit, against what the model says. `dies`: a process has derived the same notifications
    /// before, and died before it committed them.
    fn alert(&mut self, dies: bool) -> Result<(), TestCaseError> {
        let expected = self.model.minute(self.now);
        let lost = dies.then(|| self.die());
        let evaluation = evaluate(&self.plans, &name("email"), &mut self.known, at(self.now));
        let again = evaluate(&self.plans, &name("email"), &mut self.known.clone(), at(self.now));
        prop_assert_eq!(&evaluation.notifications, &again.notifications, "deriving twice gives the same");
        self.next = evaluation.next;
        let item = |notified: &Notification, item: &Item| -> Sent {
            let to = PEOPLE.into_iter().find(|person| *person == notified.to.as_str()).unwrap();
            (to, self.numbers[&item.id()], item.token())
        };
        let mut sent =
            evaluation.notifications.iter().flat_map(|n| n.items.iter().map(|i| item(n, i))).collect::<Vec<_>>();
        sent.sort();
        prop_assert_eq!(sent, expected, "minute {}", self.now);
        let ids = evaluation.notifications.iter().map(|notified| notified.id).collect::<Vec<_>>();
        prop_assert_eq!(lost.as_ref().unwrap_or(&ids), &ids, "a process that dies changes no id");
        self.grouped(&evaluation)?;
        for change in &evaluation.log {
            let text = serde_json::to_string(&change.entry).unwrap();
            self.disk.log.insert((change.incident, change.key.clone()), text);
        }
        self.disk.suppressed.extend(&evaluation.suppressions);
        self.known.apply(&evaluation);
        Ok(())
    }

    /// Evaluates, and loses everything that is not on the disk. Returns the ids derived. Ids must not depend on the time, so the two
    /// evaluations are half a minute apart: no period ends in between, because each is a number of minutes.
    fn die(&mut self) -> Vec<Uuid> {
        let now = at(self.now) + TimeDelta::seconds(30);
        let lost = evaluate(&self.plans, &name("email"), &mut self.known, now);
        self.known = self.disk.load();
        lost.notifications.iter().map(|notified| notified.id).collect()
    }

    /// Checks the items that leave together, and that each notification about a session lists all that is wrong with it.
    fn grouped(&self, evaluation: &Evaluation) -> Result<(), TestCaseError> {
        let mut ids = HashSet::new();
        for notified in &evaluation.notifications {
            prop_assert!(ids.insert(notified.id), "two notifications have one id");
            let sources = notified.items.iter().map(Item::source).collect::<HashSet<_>>();
            let waited = notified.items.iter().all(|item| match item.change() {
                Some(Change::StillOpen(_)) => true,
                Some(Change::Opened | Change::Handover) => {
                    matches!(item.incident().unwrap().kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable)
                }
                _ => false,
            });
            prop_assert!(sources.len() == 1 || waited, "what leaves at once is of one source");
            for key in notified.sessions() {
                let wrong = self.open.values().map(|(incident, _)| incident).filter(|incident| {
                    incident.source == key.source
                        && incident.key.session() == Some(&key.id)
                        && incident.severity >= Severity::Warning
                        && (incident.kind() != IncidentKind::Unverifiable || self.was_notified(notified, incident))
                });
                let listed = notified.wrong().iter().map(|incident| incident.id).collect::<HashSet<_>>();
                for incident in wrong {
                    prop_assert!(listed.contains(&incident.id), "a notification about {key} leaves out what is wrong");
                }
            }
        }
        Ok(())
    }

    fn was_notified(&self, notified: &Notification, incident: &Incident) -> bool {
        let key = LogKey { channel: notified.channel.clone(), to: notified.to.clone() };
        self.disk.log.contains_key(&(incident.id, key))
    }

    fn bad(&mut self, place: (usize, usize, usize), severity: u8) {
        let (of, session, kind) = place;
        let session_id = id(&session.to_string());
        let rule = |text: &str| IncidentKey::Drift {
            session: session_id.clone(),
            rule: name(text),
            setting: SettingKey::new(text),
        };
        let (key, waits) = match kind {
            0 => (rule("export"), false),
            1 => (rule("active"), false),
            2 => (IncidentKey::Missing { session: session_id.clone() }, false),
            3 => (IncidentKey::Unverifiable { session: session_id.clone() }, true),
            4 => (IncidentKey::Unreachable, true),
            _ => (IncidentKey::SourceChanged, false),
        };
        let of_source = key.session().is_none();
        // A source has at most one incident of a kind.
        let place = if of_source { (of, 0, kind) } else { place };
        if let Some((incident, number)) = self.open.get_mut(&place) {
            let wrong = &mut self.model.wrongs[*number];
            if waits {
                incident.failed_polls = (incident.failed_polls + 1).min(Incident::POLLS_COUNTED);
                wrong.failed_polls += 1;
            } else if kind != 2 {
                incident.revision += 1;
                wrong.revision += 1;
            }
        } else {
            let severity = match kind {
                2 | 4 => 2,
                _ => severity,
            };
            let window = Window { last_good: None, first_bad: at(self.now) };
            let number = self.model.wrongs.len();
            let rank = Severity::ALL[usize::from(severity)];
            let mut incident = Incident::found(&source(of), number as u64, key, rank, window, Facts::default());
            incident.phase = Phase::Open { since: at(self.now), good: 0 };
            incident.failed_polls = u32::from(waits);
            incident.facts.change = (kind == 5).then(|| Box::new(change(at(self.now))));
            self.numbers.insert(incident.id, number);
            self.model.wrongs.push(Wrong {
                source: of,
                session: (!of_source).then_some(session),
                waits,
                explained: kind == 0,
                severity,
                first_bad: self.now,
                failed_polls: u32::from(waits),
                revision: 0,
                over: false,
            });
            self.open.insert(place, (incident, number));
        }
        let incident = self.open[&place].0.clone();
        self.commit(&incident);
    }

    fn good(&mut self, (of, session, kind): (usize, usize, usize)) {
        let place = if kind >= 4 { (of, 0, kind) } else { (of, session, kind) };
        let Some((mut incident, number)) = self.open.remove(&place) else { return };
        incident.phase = Phase::Ended { at: at(self.now), end: End::Repaired };
        self.model.wrongs[number].over = true;
        self.commit(&incident);
    }

    /// `dies`: a process dies before it commits the notifications that are due.
    fn take(&mut self, occurrence: &Occurrence, dies: bool) -> Result<(), TestCaseError> {
        match occurrence {
            Occurrence::Bad { source, session, kind, severity } => self.bad((*source, *session, *kind), *severity),
            Occurrence::Good { source, session, kind } => self.good((*source, *session, *kind)),
            Occurrence::Owner { source: of, session, person } => {
                self.model.people.owners.insert((*of, *session), vec![PEOPLE[*person]]);
                let plan = self.plans.get_mut(&source(*of)).unwrap();
                plan.sessions.get_mut(&id(&session.to_string())).unwrap().owners = vec![address(PEOPLE[*person])];
            }
            Occurrence::Wait { minutes } => {
                for _ in 0..*minutes {
                    self.now += 1;
                    if self.next.is_some_and(|next| next <= at(self.now)) {
                        self.alert(dies)?;
                    } else {
                        prop_assert_eq!(self.model.minute(self.now), Vec::new(), "missed at minute {}", self.now);
                    }
                }
                return Ok(());
            }
            Occurrence::Jump { minutes } => {
                self.now += minutes;
                if *minutes < 0 {
                    self.model.set_back(self.now);
                    // As the next failed poll does.
                    for (incident, _) in self.open.values_mut() {
                        incident.window.first_bad = incident.window.first_bad.min(at(self.now));
                        for failure in incident.facts.change.iter_mut().flat_map(|change| &mut change.failures) {
                            failure.since = failure.since.min(at(self.now));
                        }
                    }
                    let open = self.open.values().map(|(incident, _)| incident.clone()).collect::<Vec<_>>();
                    for incident in &open {
                        self.commit(incident);
                    }
                }
            }
            Occurrence::Restart => self.known = self.disk.load(),
        }
        self.alert(dies)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn each_recipient_is_notified_exactly_as_the_model_says(
        grace in prop_oneof![Just(60i64), 2i64..200],
        remind in prop::option::of(30i64..400),
        operators: bool,
        fallback: bool,
        occurrences in prop::collection::vec((occurrence(), prop::bool::weighted(0.3)), 1..60),
    ) {
        let mut trial = Trial::new(grace, remind, operators, fallback);
        for (occurrence, dies) in &occurrences {
            trial.take(occurrence, *dies)?;
        }
    }
}

#[test]
fn an_unaudited_session_is_announced_once_whatever_dies() {
    let trial = Trial::new(60, None, true, true);
    let found = Announcement::unaudited(&source(0), 3, id("9"), None, at(0));
    let recorded = || Recorded { announcements: vec![found.clone()], ..Recorded::default() };
    let derive = |known: &mut WorkingSet, minute| evaluate(&trial.plans, &name("email"), known, at(minute));
    let first = derive(&mut WorkingSet::new(recorded()), 0);
    let mut known = WorkingSet::new(recorded());
    let second = derive(&mut known, 5);
    assert_eq!(first.notifications[0].id, second.notifications[0].id);
    assert_eq!(second.notifications.iter().map(|n| n.to.as_str()).collect::<Vec<_>>(), [PEOPLE[3]]);
    known.apply(&second);
    assert!(derive(&mut known, 6).is_empty());
}
