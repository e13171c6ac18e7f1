//! The account at the end of a round: compares the store with the real changes of the world and the accepted mails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use driftwise::domain::event::{Event, EventKind};
use driftwise::domain::incident::{End, IncidentKey, IncidentKind};
use driftwise::domain::name::Name;
use driftwise::domain::notification::Reason;
use driftwise::domain::state::SourceState;
use driftwise::store::{NotificationFilter, NotificationState, Store, StoredNotification};
use uuid::Uuid;

use super::mail::{Ledger, Taken, Verdict};
use super::world::{SETTINGS, Source, Tally};

/// A limit above the rows that a run of hours records.
const ALL: usize = 10_000_000;

/// The content of the store.
#[derive(Default)]
pub struct Known {
    pub messages: Vec<StoredNotification>,
    pub events: Vec<(Name, Event)>,
    pub states: BTreeMap<Name, SourceState>,
}

pub fn store(folder: &Path) -> PathBuf {
    folder.join("store/driftwise.db")
}

fn reading<T>(folder: &Path, read: impl AsyncFnOnce(&Store) -> T) -> Result<Option<T>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match Store::read(&store(folder)).await {
            Ok(store) => {
                let value = read(&store).await;
                store.close().await;
                Ok(Some(value))
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(format!("the store cannot be read: {error}")),
        }
    })
}

impl Known {
    /// Reads the store beside the daemon; empty before there is a store. Fails if the store is damaged.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let known = reading(folder, async |store| {
            store.integrity_check().await?;
            Ok::<_, driftwise::store::StoreError>(Self {
                messages: store.notifications(&NotificationFilter::default(), ALL).await?,
                events: store.events(None, None, None, ALL).await?,
                states: store.load().await?,
            })
        })?;
        known.transpose().map(Option::unwrap_or_default).map_err(|error| format!("the store is not sound: {error}"))
    }

    /// How often a source was polled.
    pub fn polls(&self, source: &Source) -> u64 {
        self.state(source).map_or(0, |state| state.record.polls)
    }

    fn state(&self, source: &Source) -> Option<&SourceState> {
        self.states.get(&Name::parse(&source.name).unwrap())
    }

    /// How often a source was found unreachable.
    pub fn unreachable(&self, source: &Source) -> u64 {
        let opened = |event: &Event| event.what.opened().is_some_and(|(kind, _)| kind == IncidentKind::Unreachable);
        let events = self.events.iter().filter(|(name, event)| name.as_str() == source.name && opened(event));
        events.count() as u64
    }

    pub fn opened(&self) -> usize {
        self.events.iter().filter(|(_, event)| event.what.opened().is_some()).count()
    }
}

/// Every difference between `known` and the world: empty once everything has settled.
pub fn unsettled(known: &Known, sources: &[Source], folder: &Path) -> Vec<String> {
    let waits = |message: &&StoredNotification| {
        matches!(message.state, NotificationState::Pending | NotificationState::Retrying)
    };
    let mut wrong = known.messages.iter().filter(waits).map(|m| format!("{m:?} waits")).collect::<Vec<_>>();
    for source in sources {
        let name = &source.name;
        let Some(state) = known.state(source) else {
            wrong.push(format!("{name} was never polled"));
            continue;
        };
        let open = state.incidents().filter(|incident| incident.is_open()).collect::<Vec<_>>();
        let is_open = |id: u32, wanted: &dyn Fn(&IncidentKey) -> bool| {
            let id = id.to_string();
            open.iter().any(|i| i.key.session().is_some_and(|s| s.as_str() == id) && wanted(&i.key))
        };
        for incident in &open {
            // A missing session stays unverifiable.
            let id = incident.key.session().and_then(|session| session.as_str().parse::<u32>().ok());
            let gone = id.is_some_and(|id| source.state().sessions.get(&id).is_none_or(|session| !session.present));
            let unseen = matches!(incident.kind(), IncidentKind::Unreachable | IncidentKind::Unverifiable);
            if unseen && !gone {
                wrong.push(format!("{name}: {:?} is open: {}", incident.key, incident.facts.reason));
            }
        }
        for (id, session) in &source.state().sessions {
            let missing = is_open(*id, &|key| key.kind() == IncidentKind::Missing);
            if missing == session.present {
                wrong.push(format!("{name}/{id}: missing is {missing}, present is {}", session.present));
            }
            // The drifts of a missing session stay as they were.
            for setting in SETTINGS.iter().filter(|_| session.present) {
                let drifts = is_open(*id, &|key| key.rule().is_some_and(|(rule, _)| rule.as_str() == *setting));
                let drifted = session.wrong.contains_key(setting);
                if drifts != drifted {
                    wrong.push(format!("{name}/{id}: open drift of {setting} is {drifts}, in truth {drifted}"));
                }
            }
        }
    }
    // Alerting commits after the audit.
    if wrong.is_empty() { notifications(known, folder) } else { wrong }
}

/// Records are kept, sent messages stay sent, and the server accepted each of them.
pub fn kept(before: &Known, now: &Known, ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    if !now.events.starts_with(&before.events) {
        wrong.push(String::from("an event that was recorded is gone"));
    }
    if now.messages.len() < before.messages.len() {
        wrong.push(String::from("a message that was recorded is gone"));
    }
    for (was, is) in before.messages.iter().zip(&now.messages) {
        let same = (was.id, &was.message_id) == (is.id, &is.message_id);
        if !same || was.state == NotificationState::Sent && is.state != NotificationState::Sent {
            wrong.push(format!("{was:?} has become {is:?}"));
        }
    }
    let accepted = ledger.accepted();
    for message in now.messages.iter().filter(|message| message.state == NotificationState::Sent) {
        if !accepted.contains(&message.message_id) {
            wrong.push(format!("recorded as sent and never accepted: {message:?}"));
        }
    }
    wrong
}

/// Every difference from what must hold once the world has settled.
pub fn account(known: &Known, ledger: &Ledger, sources: &[Source], folder: &Path) -> Vec<String> {
    let mut wrong = deliveries(known, ledger, folder);
    wrong.extend(notifications(known, folder));
    for source in sources {
        let events = known.events.iter().filter(|(name, _)| name.as_str() == source.name).map(|(_, event)| event);
        wrong.extend(openings(&source.name, &events.collect::<Vec<_>>(), &source.state().tally));
    }
    wrong
}

fn deliveries(known: &Known, ledger: &Ledger, folder: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let ids = known.messages.iter().map(|m| (m.message_id.as_str(), m)).collect::<BTreeMap<_, _>>();
    let mut first: BTreeMap<String, &Taken> = BTreeMap::new();
    let mut taken_in: BTreeSet<(String, u64)> = BTreeSet::new();
    for taken in &ledger.taken {
        let id = taken.id();
        let known = *first.entry(id.clone()).or_insert(taken);
        if (&known.to, &known.raw) != (&taken.to, &taken.raw) {
            wrong.push(format!("{id} came with other bytes or to another recipient"));
        }
        match ids.get(id.as_str()) {
            None => wrong.push(format!("{id} arrived and is not recorded")),
            Some(row) if row.to.as_str() != taken.to => wrong.push(format!("{id} went to {} as well", taken.to)),
            Some(_) => {}
        }
        if taken_in.contains(&(id.clone(), taken.life)) {
            wrong.push(format!("{id} was clearly accepted and sent again by the same daemon"));
        }
        if taken.verdict == Verdict::Yes {
            taken_in.insert((id, taken.life));
        }
    }
    let bytes = recorded_bytes(folder);
    wrong.extend(
        first
            .iter()
            .filter(|(id, taken)| bytes.get(*id).is_some_and(|raw| *raw != taken.raw))
            .map(|(id, _)| format!("{id} arrived with other bytes than are recorded")),
    );
    let mut dead: BTreeMap<&str, u64> = BTreeMap::new();
    for message in known.messages.iter().filter(|message| message.state == NotificationState::Dead) {
        let dead = dead.entry(message.to.as_str()).or_default();
        *dead += 1;
        if *dead > ledger.refused.get(message.to.as_str()).copied().unwrap_or_default() {
            wrong.push(format!("given up and never refused: {message:?}"));
        }
    }
    wrong
}

/// Why each message went to its recipient, in the order of the messages.
fn reasons(folder: &Path, messages: &[StoredNotification]) -> Vec<Reason> {
    let ids = messages.iter().map(|message| message.id).collect::<Vec<_>>();
    let read = reading(folder, async |store| {
        let mut reasons = Vec::new();
        for id in ids {
            reasons.push(store.notification(id).await.unwrap().unwrap().1);
        }
        reasons
    });
    read.unwrap().unwrap_or_default()
}

/// The bytes of each message as they were recorded, by Message-ID.
fn recorded_bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let store = folder.join("store/driftwise.db");
    let rows = Command::new("sqlite3").arg(store).arg("SELECT message_id, hex(raw) FROM outbox").output().unwrap();
    assert!(rows.status.success(), "{}", String::from_utf8_lossy(&rows.stderr));
    let digit = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    let row = |row: &str| {
        let (id, raw) = row.split_once('|').unwrap();
        (id.to_owned(), raw.as_bytes().chunks(2).map(digit).collect())
    };
    String::from_utf8(rows.stdout).unwrap().lines().map(row).collect()
}

/// Each owner was notified once of the beginning and once of the end of each drift and each missing session, and of nothing
/// twice.
fn notifications(known: &Known, folder: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let reasons = reasons(folder, &known.messages);
    let mut notified: BTreeMap<(&str, Uuid, &str), u64> = BTreeMap::new();
    for (message, reason) in known.messages.iter().zip(&reasons) {
        let replaced = message.state == NotificationState::Superseded;
        for because in &reason.because {
            let times = notified.entry((message.to.as_str(), because.id, because.change.as_str())).or_default();
            *times += u64::from(!replaced);
            if *times > 1 {
                wrong.push(format!("{} was notified twice of {because:?}", message.to));
            }
        }
    }
    for (source, event) in &known.events {
        let (key, incident, change) = match &event.what {
            EventKind::Opened { key, incident, .. } => (key, incident, "opened"),
            EventKind::Ended { key, incident, end, .. } if *end != End::Unconfirmed => (key, incident, "ended"),
            _ => continue,
        };
        if !matches!(key.kind(), IncidentKind::Drift | IncidentKind::Missing) {
            continue;
        }
        let session = event.session.as_ref().map(ToString::to_string).unwrap_or_default();
        let owner = owner(source.as_str(), &session);
        if !notified.contains_key(&(owner.as_str(), *incident, change)) {
            wrong.push(format!("{owner} was not notified of {event:?}"));
        }
    }
    wrong
}

/// The owner of a session.
pub fn owner(source: &str, session: &str) -> String {
    format!("{source}-{session}@acme.example")
}

/// Nothing opened twice, and nothing opened more often than the world caused it.
fn openings(source: &str, events: &[&Event], tally: &Tally) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open: BTreeSet<&IncidentKey> = BTreeSet::new();
    let mut opened: BTreeMap<&IncidentKey, u64> = BTreeMap::new();
    for event in events {
        match &event.what {
            EventKind::Opened { key, .. } => {
                *opened.entry(key).or_default() += 1;
                if !open.insert(key) {
                    wrong.push(format!("{source}: {key:?} opened twice without an end"));
                }
            }
            EventKind::Ended { key, end, .. } if !open.remove(key) && *end != End::Unconfirmed => {
                wrong.push(format!("{source}: {key:?} ended and was not open"));
            }
            _ => {}
        }
    }
    for (key, times) in opened {
        let id = key.session().map_or(0, |session| session.as_str().parse::<u32>().unwrap_or(u32::MAX));
        let vanished = tally.vanished.get(&id).copied().unwrap_or_default();
        let cause = match key {
            IncidentKey::Unreachable => tally.spoiled(),
            // Columns of one session that come and go, or values of many that change at once.
            IncidentKey::SourceChanged => tally.hidden.values().sum::<u64>() + tally.drifts.values().sum::<u64>(),
            IncidentKey::Missing { .. } => vanished,
            // An incident may end with the session that vanishes, and open again with its return.
            IncidentKey::Unverifiable { .. } => tally.hidden.get(&id).copied().unwrap_or_default() + vanished,
            IncidentKey::Drift { rule, .. } => {
                let drifts = tally.drifts.iter().filter(|((of, setting), _)| *of == id && *setting == rule.as_str());
                drifts.map(|(_, times)| times).sum::<u64>() + vanished
            }
        };
        if times > cause {
            wrong.push(format!("{source}: {key:?} opened {times} times, with cause for {cause}"));
        }
    }
    wrong
}

/// Every file that the daemon wrote, with its bytes.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let stored = fs::read_dir(folder.join("store")).unwrap().flatten().map(|entry| entry.path());
    let files = stored.chain([folder.join("stderr")]);
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap_or_default())).collect()
}
