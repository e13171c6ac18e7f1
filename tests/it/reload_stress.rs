//! Random reloads while audits, deliveries and a mail outage go on, and the account afterwards: both recipients were notified
//! once of the beginning and once of the end of each incident, and of nothing else.
//!
//! Each round lets one session of each source drift or comply again, and then reloads several times without waiting: invalid
//! configurations, other limits, the mail server down or up, sessions and whole sources removed and added again while their
//! poll is under way. Whether the task of a source sees such a removal depends on the moment. So the account expects at least
//! the incidents that the rounds caused, and at most one more for each removal. `DRIFTWISE_RELOAD_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use driftwise::domain::event::EventKind;
use driftwise::domain::notification::{NotificationKind, Reason};
use driftwise::simulator::{Mode, PASSWORD, USERNAME};
use driftwise::store::{NotificationFilter, NotificationState, StoredNotification};

use crate::program::{Daemon, ask, eventually_or};
use crate::support::dice::Dice;
use crate::support::port::ClosedPort;
use crate::support::sink::Sink;
use crate::world::{FALLBACK, OWNER, Setup, World};

const ROUNDS: u64 = 10;

/// How many rounds at the end have the mail server up, so that the last retries come soon.
const QUIET: u64 = 3;

/// Each source with its sessions. Two names of the host make two systems, which are polled at the same time.
const SOURCES: [(&str, &str, [i64; 2]); 2] = [("one", "127.0.0.1", [14, 15]), ("two", "localhost", [16, 17])];

/// A configuration of the run.
#[derive(Default)]
struct Plan {
    without_source: Option<usize>,
    without_session: Option<i64>,
    mail_down: bool,
    max_polls: u64,
    /// A limit that cannot be read, another one each time: two refusals for the same reason would count as one.
    wrong_limit: Option<usize>,
}

struct Run {
    world: World,
    sink: Sink,
    closed: ClosedPort,
    daemon: Daemon,
    dice: Dice,
    plan: Plan,
    drifted: BTreeSet<i64>,
    /// Incidents that each session certainly had.
    certain: BTreeMap<i64, usize>,
    /// Incidents that each session may have had besides, one for each removal.
    possible: BTreeMap<i64, usize>,
    refused: usize,
}

fn configure(world: &World, plan: &Plan, sink: u16, closed: u16) {
    let port = world.api.port();
    let kept = SOURCES.iter().enumerate().filter(|(at, _)| plan.without_source != Some(*at)).map(|(_, source)| source);
    let mut sources = String::new();
    let mut sessions = String::new();
    for (name, host, ids) in kept {
        writeln!(
            sources,
            "  {name}: {{ type: orderwise, base_url: \"http://{host}:{port}/OWAPI\", username: {USERNAME}, \
             password: {PASSWORD}, export_definition: 61, timeout: 10s }}"
        )
        .unwrap();
        for id in ids.iter().filter(|id| plan.without_session != Some(**id)) {
            writeln!(sessions, "  - {{ source: {name}, id: {id} }}").unwrap();
        }
    }
    let smtp = if plan.mail_down { closed } else { sink };
    let max_polls = plan.wrong_limit.map_or((plan.max_polls + 1).to_string(), |wrong| format!("wrong {wrong}"));
    let text = format!(
        "sources:\n{sources}sessions:\n{sessions}\
         defaults: {{ max_polls: {max_polls}, session: {{ schedule: \"* * * * * *\", params: {{ notification_email: {OWNER} }} }} }}\n\
         email: {{ from: driftwise@integrator.example, \
         smtp: {{ host: 127.0.0.1, port: {smtp}, tls: none, max_per_minute: 600 }} }}\n\
         alerts: {{ fallback: [{FALLBACK}] }}\nserver: {{ listen: \"127.0.0.1:0\" }}\n"
    );
    std::fs::write(world.path("driftwise.yaml"), text).unwrap();
}

impl Run {
    fn start() -> Self {
        let world = World::new(4, &Setup::default());
        let (sink, closed, plan) = (Sink::start(), ClosedPort::hold(), Plan::default());
        // Polls take a fifth of a second, so that reloads come during them.
        world.simulator.fail(Mode::Slow(Duration::from_millis(20)), None);
        configure(&world, &plan, sink.port, closed.number);
        let daemon = world.daemon();
        let dice = Dice::of("DRIFTWISE_RELOAD_SEED");
        let (certain, possible) = (BTreeMap::new(), BTreeMap::new());
        Self { world, sink, closed, daemon, dice, plan, drifted: BTreeSet::new(), certain, possible, refused: 0 }
    }

    fn reload(&self) -> u16 {
        configure(&self.world, &self.plan, self.sink.port, self.closed.number);
        let (status, text) = ask(self.daemon.address, "POST", "/-/reload", "").unwrap();
        assert!(matches!(status, 200 | 422), "{text}");
        status
    }

    fn accepted(&self) {
        assert_eq!(self.reload(), 200, "{}", self.daemon.said());
    }

    fn pick(&mut self, ids: &[i64]) -> i64 {
        ids[usize::try_from(self.dice.below(ids.len() as u64)).unwrap()]
    }

    fn round(&mut self, quiet: bool) {
        let before = self.drifted.clone();
        for (_, _, ids) in SOURCES {
            let id = self.pick(&ids);
            let drifts = self.drifted.insert(id);
            if drifts {
                *self.certain.entry(id).or_default() += 1;
            } else {
                self.drifted.remove(&id);
            }
            self.world.simulator.set(id, "export", drifts);
        }
        if quiet {
            self.plan.mail_down = false;
        }
        for _ in 0..2 + self.dice.below(5) {
            self.some_reload(quiet, &before);
        }
        self.accepted();
        for (source, _, ids) in SOURCES {
            for id in ids {
                self.settled(source, id);
            }
        }
    }

    fn some_reload(&mut self, quiet: bool, before: &BTreeSet<i64>) {
        match self.dice.below(8) {
            0 => {
                self.refused += 1;
                self.plan.wrong_limit = Some(self.refused);
                assert_eq!(self.reload(), 422);
                self.plan.wrong_limit = None;
                return;
            }
            1 => self.plan.mail_down = !quiet && !self.plan.mail_down,
            2 => self.plan.max_polls = self.dice.below(4),
            3..=5 => {
                let source = usize::from(self.dice.below(2) == 1);
                self.plan.without_source = Some(source);
                // The task that ends waits for the store, and finds that its source is wanted again.
                let locked = Locked::store(&self.world.path("driftwise.db"));
                self.removed(&SOURCES[source].2, before);
                self.plan.without_source = None;
                self.accepted();
                drop(locked);
                return;
            }
            _ => {
                let id = self.pick(&[14, 15, 16, 17]);
                self.plan.without_session = Some(id);
                self.removed(&[id], before);
                self.plan.without_session = None;
            }
        }
        self.accepted();
    }

    /// Waits until a configuration without these sessions is accepted.
    fn removed(&mut self, ids: &[i64], before: &BTreeSet<i64>) {
        self.accepted();
        for id in ids.iter().filter(|id| before.contains(id) || self.drifted.contains(id)) {
            *self.possible.entry(*id).or_default() += 1;
        }
    }

    fn settled(&self, source: &str, id: i64) {
        let wanted = if self.drifted.contains(&id) { 1.0 } else { 0.0 };
        let session = id.to_string();
        let labels = [("source", source), ("session", &session)];
        eventually_or(
            || format!("{wanted} open drifts of {source}/{id}; log: {}", self.daemon.said()),
            || {
                let open = self.daemon.metric("driftwise_drift_open", &labels).unwrap_or_default();
                (open.to_bits() == f64::to_bits(wanted)).then_some(())
            },
        );
    }
}

/// Keeps every other process from writing to a store.
struct Locked(Child);

impl Locked {
    fn store(path: &Path) -> Self {
        let mut command = Command::new("sqlite3");
        let mut child = command.arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lock = b".timeout 10000\nBEGIN IMMEDIATE;\nSELECT 'locked';\n";
        child.stdin.as_mut().unwrap().write_all(lock).unwrap();
        let mut answer = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"locked\n");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // At the end of its input it rolls back.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Everything that the store recorded: incidents that opened and ended by session, and notifications with their reasons.
struct Recorded {
    opened: BTreeMap<String, Vec<uuid::Uuid>>,
    ended: BTreeSet<uuid::Uuid>,
    notifications: Vec<(StoredNotification, Reason)>,
}

fn recorded(world: &World) -> Recorded {
    world.stored(async |store| {
        let mut opened: BTreeMap<String, Vec<uuid::Uuid>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for (_, event) in store.events(None, None, None, 10_000).await.unwrap() {
            match event.what {
                EventKind::Opened { incident, .. } => {
                    opened.entry(event.session.unwrap().to_string()).or_default().push(incident);
                }
                EventKind::Ended { incident, .. } => assert!(ended.insert(incident), "{incident} ended twice"),
                _ => {}
            }
        }
        let mut notifications = Vec::new();
        for listed in store.notifications(&NotificationFilter::default(), 10_000).await.unwrap() {
            notifications.push(store.notification(listed.id).await.unwrap().unwrap());
        }
        Recorded { opened, ended, notifications }
    })
}

impl Recorded {
    /// How often `to` was notified of this change of each incident.
    fn changes(&self, to: &str, change: &str) -> BTreeMap<uuid::Uuid, usize> {
        let mut counts = BTreeMap::new();
        let sent = self.notifications.iter().filter(|(sent, _)| sent.state == NotificationState::Sent);
        for (_, reason) in sent.filter(|(sent, _)| sent.to.as_str() == to) {
            for because in reason.because.iter().filter(|because| because.change.as_str() == change) {
                *counts.entry(because.id).or_default() += 1;
            }
        }
        counts
    }
}

#[test]
fn random_reloads_during_audits_and_a_mail_outage_lose_and_repeat_no_notification() {
    let mut run = Run::start();
    run.daemon.first_poll();
    for round in 0..ROUNDS {
        run.round(round + QUIET >= ROUNDS);
    }
    let waiting = |state: &str| run.daemon.metric("driftwise_outbox_notifications", &[("state", state)]);
    eventually_or(
        || format!("empty outbox; log: {}", run.daemon.said()),
        || (waiting("pending") == Some(0.0) && waiting("retrying") == Some(0.0)).then_some(()),
    );
    let Run { world, sink, daemon, drifted, certain, possible, refused, .. } = run;
    daemon.poll();
    daemon.stop();
    let recorded = recorded(&world);
    for id in 14..18 {
        let opened = recorded.opened.get(&id.to_string()).map_or(&[][..], Vec::as_slice);
        let least = certain.get(&id).copied().unwrap_or_default();
        let most = least + possible.get(&id).copied().unwrap_or_default();
        assert!((least..=most).contains(&opened.len()), "{id}: {} not in {least}..={most}", opened.len());
        let open = opened.iter().filter(|incident| !recorded.ended.contains(*incident)).count();
        assert_eq!(open, usize::from(drifted.contains(&id)), "{id}");
    }
    let once = |ids: &mut dyn Iterator<Item = uuid::Uuid>| ids.map(|id| (id, 1)).collect::<BTreeMap<_, _>>();
    let opened = once(&mut recorded.opened.values().flatten().copied());
    let ended = once(&mut recorded.ended.iter().copied());
    for to in [OWNER, FALLBACK] {
        assert_eq!(recorded.changes(to, "opened"), opened, "{to}");
        assert_eq!(recorded.changes(to, "ended"), ended, "{to}");
    }
    let refusals = recorded.notifications.iter().filter(|(sent, _)| sent.kind == NotificationKind::Reload);
    let refusals = refusals.map(|(sent, reason)| (sent.to.as_str(), sent.state, reason.because.len()));
    assert_eq!(refusals.collect::<Vec<_>>(), vec![(FALLBACK, NotificationState::Sent, 1); refused]);
    // The server accepted each of them once, and nothing else.
    let mut listed = recorded.notifications.iter().filter(|(sent, _)| sent.state == NotificationState::Sent);
    let mut arrived = sink.taken().iter().map(|taken| (taken.to.clone(), taken.id())).collect::<Vec<_>>();
    let mut expected =
        listed.by_ref().map(|(sent, _)| (sent.to.to_string(), sent.message_id.clone())).collect::<Vec<_>>();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected);
    let other = recorded
        .notifications
        .iter()
        .filter(|(sent, reason)| reason.because.is_empty() && sent.kind != NotificationKind::Reload);
    assert_eq!(other.map(|(sent, _)| sent).collect::<Vec<_>>(), [&recorded.notifications[0].0; 0]);
}
