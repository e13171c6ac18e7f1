//! The model of alerting, as simple as possible: minute by minute, person by person, incident by incident.
//!
//! It shares no code with the stages. Times are minutes. A clock that is set back moves every recorded time that is ahead to the
//! present.

use std::collections::BTreeMap;

/// An incident of the model.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    pub source: usize,
    /// `None`: the whole source.
    pub session: Option<usize>,
    /// It cannot be read, so its notification waits.
    pub waits: bool,
    /// A change of the source explains it, if there is one.
    pub explained: bool,
    /// 0 for information, 1 warning, 2 critical.
    pub severity: u8,
    pub first_bad: i64,
    pub failed_polls: u32,
    pub revision: u32,
    pub over: bool,
}

/// The roles of all people.
#[derive(Debug, Clone)]
pub(super) struct People {
    /// By source and session.
    pub owners: BTreeMap<(usize, usize), Vec<&'static str>>,
    pub fallback: Vec<&'static str>,
    pub operators: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct LastSent {
    revision: u32,
    at: i64,
    reminders: u32,
    ended: bool,
}

/// Person, number of the incident, and the token of the change.
pub(super) type Sent = (&'static str, usize, String);

#[derive(Debug)]
pub(super) struct Model {
    pub people: People,
    pub grace: i64,
    pub blind: i64,
    pub remind: Option<i64>,
    pub wrongs: Vec<Wrong>,
    notified: BTreeMap<(usize, &'static str), LastSent>,
}

impl Wrong {
    /// The source has changed under its rules.
    fn is_source_change(&self) -> bool {
        self.session.is_none() && !self.waits
    }
}

impl Model {
    pub fn new(people: People, grace: i64, blind: i64, remind: Option<i64>) -> Self {
        Self { people, grace, blind, remind, wrongs: Vec::new(), notified: BTreeMap::new() }
    }

    /// The clock shows an earlier time than before.
    pub fn set_back(&mut self, now: i64) {
        for wrong in &mut self.wrongs {
            wrong.first_bad = wrong.first_bad.min(now);
        }
        for notified in self.notified.values_mut() {
            notified.at = notified.at.min(now);
        }
    }

    /// How long each recipient waits for a notification of an incident.
    fn waits(&self, wrong: &Wrong) -> BTreeMap<&'static str, i64> {
        let mut waits = BTreeMap::new();
        let owners = |session: usize| self.people.owners[&(wrong.source, session)].clone();
        let sessions = match wrong.session {
            Some(session) => vec![session],
            None => self.people.owners.keys().filter(|(s, _)| *s == wrong.source).map(|(_, id)| *id).collect(),
        };
        if wrong.waits || wrong.is_source_change() {
            let responsible = match (self.people.operators.is_empty(), self.people.fallback.is_empty()) {
                (false, _) => self.people.operators.clone(),
                (true, false) => self.people.fallback.clone(),
                (true, true) => sessions.iter().flat_map(|id| owners(*id)).collect(),
            };
            if wrong.waits {
                for person in sessions.iter().flat_map(|id| owners(*id)).chain(self.people.fallback.clone()) {
                    waits.insert(person, self.blind);
                }
            }
            for person in responsible {
                waits.insert(person, if wrong.waits { self.grace } else { 0 });
            }
        } else {
            for person in sessions.iter().flat_map(|id| owners(*id)) {
                waits.insert(person, 0);
            }
            if wrong.severity == 2 {
                for person in self.people.fallback.iter().chain(&self.people.operators) {
                    waits.insert(person, 0);
                }
            }
        }
        waits
    }

    /// Whether a change of the source holds the beginning of an incident back. A change that lasts is taken as real.
    fn is_held(&self, wrong: &Wrong, now: i64) -> bool {
        let lasts = if wrong.severity == 2 { self.grace } else { self.blind };
        let holds = |change: &Wrong| {
            change.is_source_change()
                && !change.over
                && change.source == wrong.source
                && change.first_bad <= wrong.first_bad
                && now - change.first_bad < lasts
        };
        wrong.explained && self.wrongs.iter().any(holds)
    }

    /// The notifications that are due at a minute.
    pub fn minute(&mut self, now: i64) -> Vec<Sent> {
        let mut said = Vec::new();
        let down = |wrongs: &[Wrong], source| {
            wrongs.iter().any(|w| w.source == source && w.session.is_none() && w.waits && !w.over)
        };
        for number in 0..self.wrongs.len() {
            let wrong = self.wrongs[number].clone();
            if wrong.over {
                for ((of, person), notified) in
                    self.notified.iter_mut().filter(|((of, _), notified)| *of == number && !notified.ended)
                {
                    notified.ended = true;
                    said.push((*person, *of, "ended".to_owned()));
                }
                continue;
            }
            if wrong.severity == 0 {
                continue;
            }
            let source_down = (wrong.session.is_some() || wrong.is_source_change()) && down(&self.wrongs, wrong.source);
            let held = self.is_held(&wrong, now);
            for (person, wait) in self.waits(&wrong) {
                let what = match self.notified.get(&(number, person)) {
                    None => {
                        let lasted = !wrong.waits || (wrong.failed_polls >= 2 && now - wrong.first_bad >= wait);
                        (lasted && !held && !(wrong.waits && source_down)).then(|| "opened".to_owned())
                    }
                    Some(notified) if notified.revision < wrong.revision => Some(format!("updated:{}", wrong.revision)),
                    Some(notified) => {
                        let due = self.remind.is_some_and(|every| now - notified.at >= every) && !source_down;
                        due.then(|| format!("reminder:{}", notified.reminders + 1))
                    }
                };
                let Some(what) = what else { continue };
                let notified = self.notified.entry((number, person));
                let notified =
                    notified.or_insert(LastSent { revision: wrong.revision, at: now, reminders: 0, ended: false });
                (notified.revision, notified.at) = (wrong.revision, now);
                notified.reminders += u32::from(what.starts_with("reminder"));
                said.push((person, number, what));
            }
        }
        said.sort();
        said
    }
}
