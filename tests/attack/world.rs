//! The world that the daemon audits: sources over HTTP whose sessions drift, are repaired, vanish and reappear, and which fail in
//! every way; with a tally of all real changes and requests, which is the truth of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::fault::{Fault, serve};
use super::secrets::{self, Pair};

/// Sessions of each source, numbered from 1.
pub const SESSIONS: u32 = 4;

/// The settings that rules name; the rule of each is named after it.
pub const SETTINGS: [&str; 3] = ["export", "contact", "importer"];

/// The required value of the importer.
const IMPORTER: &str = "Shopify";

/// One source.
#[derive(Clone)]
pub struct Source {
    pub name: String,
    pub port: u16,
    state: Arc<Mutex<State>>,
}

pub struct State {
    pub pair: Pair,
    /// All that were ever issued.
    pub tokens: Vec<String>,
    pub sessions: BTreeMap<u32, Session>,
    /// The present fault, and how many times it will still occur.
    pub fault: Option<(Fault, u64)>,
    /// Whether a failure repeats the secrets of the request.
    pub echoes: bool,
    pub dice: Dice,
    pub tally: Tally,
    /// Connections that are held open until the world is healed.
    pub held: Vec<std::net::TcpStream>,
    drifts: u64,
}

/// The present state of a session.
#[derive(Debug, Clone)]
pub struct Session {
    pub present: bool,
    /// The value of each setting that is wrong.
    pub wrong: BTreeMap<&'static str, Value>,
    pub hidden: BTreeSet<&'static str>,
}

/// The real changes and requests.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How often a setting of a session went wrong.
    pub drifts: BTreeMap<(u32, &'static str), u64>,
    /// How often a session vanished.
    pub vanished: BTreeMap<u32, u64>,
    /// How often a setting of a session stopped being returned.
    pub hidden: BTreeMap<u32, u64>,
    /// Answers with rows.
    pub answers: u64,
    /// Spoiled exchanges, by the fault.
    pub spoiled: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn spoiled(&self) -> u64 {
        self.spoiled.values().sum()
    }
}

impl Source {
    pub fn start(name: &str, dice: &mut Dice, echoes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let session = Session { present: true, wrong: BTreeMap::new(), hidden: BTreeSet::new() };
        let state = State {
            pair: Pair { username: format!("api-{name}"), password: secrets::password(dice) },
            tokens: Vec::new(),
            sessions: (1..=SESSIONS).map(|id| (id, session.clone())).collect(),
            fault: None,
            echoes,
            dice: Dice::seeded(dice.below(u64::MAX)),
            tally: Tally::default(),
            held: Vec::new(),
            drifts: 0,
        };
        let port = listener.local_addr().unwrap().port();
        let source = Self { name: name.to_owned(), port, state: Arc::new(Mutex::new(state)) };
        let serving = source.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let source = serving.clone();
                // Connections are meant to break.
                std::thread::spawn(move || drop(serve(&source, stream)));
            }
        });
        source
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes the source answer, return every setting, and repeat no secret. Drifts and missing sessions stay.
    pub fn heal(&self) {
        let mut state = self.state();
        state.fault = None;
        for session in state.sessions.values_mut() {
            session.hidden.clear();
            for value in session.wrong.values_mut().filter(|value| value.is_string()) {
                *value = json!("healed");
            }
        }
        for stream in state.held.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl State {
    /// Changes one session in one way, and returns a description.
    pub fn change(&mut self, dice: &mut Dice) -> String {
        let id = u32::try_from(dice.below(u64::from(SESSIONS))).unwrap() + 1;
        let setting = SETTINGS[usize::try_from(dice.below(3)).unwrap()];
        let way = dice.below(10);
        // Not a token, because a later daemon cannot know it.
        let echo = (self.echoes && way < 2).then(|| self.pair.spelled(dice));
        let session = self.sessions.get_mut(&id).unwrap();
        match way {
            0..=5 if echo.is_none() && session.wrong.remove(setting).is_some() => {
                format!("{id}: {setting} is repaired")
            }
            0..=5 => {
                self.drifts += 1;
                let value = match (setting, echo) {
                    ("importer", Some(echo)) => json!(echo),
                    ("importer", None) => json!(format!("person-{}", self.drifts)),
                    _ => json!(setting == "export"),
                };
                if session.wrong.insert(setting, value).is_none() {
                    *self.tally.drifts.entry((id, setting)).or_default() += 1;
                }
                format!("{id}: {setting} drifts")
            }
            6..=7 => {
                session.present = !session.present;
                if !session.present {
                    *self.tally.vanished.entry(id).or_default() += 1;
                }
                format!("{id}: present is {}", session.present)
            }
            _ if session.hidden.remove(setting) => format!("{id}: {setting} is returned again"),
            _ => {
                session.hidden.insert(setting);
                *self.tally.hidden.entry(id).or_default() += 1;
                format!("{id}: {setting} is not returned")
            }
        }
    }

    /// The credential, or the token of a request, in one spelling, or a piece of it.
    pub fn echo(&self, token: Option<&str>, dice: &mut Dice) -> String {
        match token.filter(|_| dice.below(2) == 0) {
            Some(token) => secrets::spelled(token, dice),
            None => self.pair.spelled_or_piece(dice),
        }
    }

    /// The present rows. With `echo`, values and the name of a column repeat it.
    pub fn rows(&self, echo: Option<&str>) -> String {
        let row = |(id, session): (&u32, &Session)| {
            let mut row = Map::new();
            row.insert("session_id".to_owned(), json!(id));
            row.insert("name".to_owned(), json!(format!("shop {id}")));
            for setting in SETTINGS.iter().filter(|setting| !session.hidden.contains(*setting)) {
                let right = || match *setting {
                    "importer" => json!(IMPORTER),
                    _ => json!(*setting == "contact"),
                };
                row.insert((*setting).to_owned(), session.wrong.get(setting).cloned().unwrap_or_else(right));
            }
            if let Some(echo) = echo {
                row.insert("note".to_owned(), json!(echo));
                row.insert(format!("asked by {echo}"), json!(true));
            }
            Value::Object(row)
        };
        let present = self.sessions.iter().filter(|(_, session)| session.present);
        let rows = present.map(row).chain(std::iter::once(json!({ "session_id": 99, "name": "not audited" })));
        Value::Array(rows.collect()).to_string()
    }
}
