//! The steps of an attack: each changes the world, the mail server, the clock, the log or the process in one way.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::account::{Known, kept, owner};
use super::daemon::{Clock, Daemon, Log, Start};
use super::dice::Dice;
use super::fault::Fault;
use super::mail::{MailServer, Manners};
use super::plan::{Family, Plan};
use super::secrets::{self, Pair};
use super::world::{SESSIONS, Source};

/// The most memory that the daemon may ever have, in MiB.
const MEMORY: u64 = 96;

/// Longest wait between two steps.
const PAUSE: Duration = Duration::from_millis(400);

/// Steps of the clock, in seconds: fifteen seconds, hours, a day, a year, ten years.
const JUMPS: [i64; 9] = [15, -15, 7_200, -7_200, 86_400, -86_400, 31_536_000, -31_536_000, 315_360_000];

/// See the module.
pub struct Attack {
    pub(super) plan: Plan,
    folder: Option<TempDir>,
    pub(super) sources: Vec<Source>,
    pub(super) mail: MailServer,
    pub(super) clock: Clock,
    pub(super) daemon: Option<Daemon>,
    pub(super) visitors: Vec<TcpStream>,
    pub(super) dice: Dice,
    /// The store as last read.
    pub(super) known: Known,
    pub(super) figures: Figures,
    /// How many exchanges of each source were spoiled at that time.
    spoiled: [u64; 3],
    /// How many mails were already searched for secrets.
    pub(super) read: usize,
    port: u16,
    step: u64,
}

#[derive(Debug, Default)]
pub struct Figures {
    pub rounds: u64,
    pub steps: u64,
    pub kills: u64,
    pub stops: u64,
    pub slowest_stop: Duration,
    pub jumps: u64,
    pub peak: u64,
    pub pages: u64,
}

impl Attack {
    pub fn new(plan: Plan) -> Self {
        let mut dice = Dice::seeded(plan.seed);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let echoes = plan.has(Family::Secrets);
        let sources = ["east", "west", "north"].map(|name| Source::start(name, &mut dice, echoes));
        let account = Pair { username: String::from("mailer"), password: secrets::password(&mut dice) };
        let mail = MailServer::start(account, &mut dice, echoes);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let clock = Clock::new(folder.path());
        configure(folder.path(), &sources, &mail, port);
        Self {
            plan,
            folder: Some(folder),
            sources: sources.into(),
            mail,
            clock,
            daemon: None,
            visitors: Vec::new(),
            dice,
            known: Known::default(),
            figures: Figures::default(),
            spoiled: [0; 3],
            read: 0,
            port,
            step: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Ends the run with the list of failures.
    pub(super) fn fail(&mut self, what: &[String]) -> ! {
        let folder = self.folder.take().unwrap().keep();
        let (seed, round, step) = (self.plan.seed, self.figures.rounds + 1, self.step);
        let log = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        let lines = log.lines().collect::<Vec<_>>();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        let start = self.daemon.as_ref().map(|daemon| daemon.start);
        let what = what.iter().take(12).map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n");
        panic!(
            "round {round}, step {step}, DRIFTWISE_ATTACK_SEED={seed}, started as {start:?}\n{what}\n\
             the last lines of the log:\n{last}\neverything is kept in {}",
            folder.display()
        );
    }

    /// Makes one step and checks that the daemon is still well.
    pub(super) fn step(&mut self, step: u64) {
        self.step = step;
        self.figures.steps += 1;
        let what = self.act();
        println!("{:>3}: {what}", self.step);
        std::thread::sleep(self.dice.before(PAUSE));
        self.expect_well();
    }

    fn act(&mut self) -> String {
        let which = usize::try_from(self.dice.below(3)).unwrap();
        let source = self.sources[which].clone();
        match self.dice.below(100) {
            0..=29 => format!("{}/{}", source.name, source.state().change(&mut self.dice)),
            30..=49 => {
                let fault = Fault::any(&mut self.dice, self.plan.has(Family::Secrets));
                let times = self.dice.below(3) + 1;
                source.state().fault = Some((fault, times));
                format!("{} fails {times} times: {fault:?}", source.name)
            }
            50..=54 => {
                source.state().fault = None;
                format!("{} is healed", source.name)
            }
            55..=62 => self.change_manners(),
            63..=69 => self.restart(true),
            70..=74 => self.restart(false),
            75..=84 if self.plan.has(Family::Clock) => self.jump(),
            85..=87 if self.plan.has(Family::Log) => {
                let closed = self.daemon.as_mut().is_some_and(Daemon::close_log);
                format!("the reader of the log goes away, if there is one: {closed}")
            }
            88..=96 if self.plan.has(Family::Fds) => self.change_descriptors(),
            97.. => {
                let page = self.daemon.as_ref().and_then(|daemon| daemon.get("/"));
                self.figures.pages += u64::from(page.is_some());
                format!("a visitor sees a page: {}", page.is_some())
            }
            // Replaces the step of a family that is off.
            _ => format!("{}/{}", source.name, source.state().change(&mut self.dice)),
        }
    }

    fn change_descriptors(&mut self) -> String {
        let spare = self.dice.below(4);
        let Some(daemon) = &self.daemon else { return String::from("no daemon runs") };
        match self.dice.below(4) {
            0 => {
                self.relieve();
                String::from("there are descriptors again")
            }
            1 => {
                self.visitors.extend((0..80).map_while(|_| daemon.connect()));
                format!("{} visitors take descriptors", self.visitors.len())
            }
            // A start without descriptors may fail.
            _ if daemon.get("/healthz").is_none() => String::from("the daemon is starting, or starved already"),
            _ => {
                daemon.limit_descriptors(Some(spare));
                format!("{spare} descriptors are left")
            }
        }
    }

    /// Restores the descriptors of the daemon.
    pub(super) fn relieve(&mut self) {
        self.visitors.clear();
        if let Some(daemon) = self.daemon.as_ref().filter(|_| self.plan.has(Family::Fds)) {
            daemon.limit_descriptors(None);
        }
    }

    pub(super) fn change_manners(&mut self) -> String {
        let wild = if self.plan.has(Family::Smtp) { Manners::Wild } else { Manners::Troubled };
        let manners = [Manners::Honest, Manners::Troubled, wild, wild][self.at(4)];
        self.mail.behave(manners);
        format!("the mail server is {manners:?}")
    }

    fn at(&mut self, end: u64) -> usize {
        usize::try_from(self.dice.below(end)).unwrap()
    }

    fn jump(&mut self) -> String {
        let to = match self.at(12) {
            at if at < JUMPS.len() => JUMPS[at],
            // To the first days of 1970.
            9 => 86_400 - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed(),
            _ => 0,
        };
        self.clock.jump_to(to);
        self.figures.jumps += 1;
        format!("the clock is wrong by {to} s")
    }

    /// Ends the daemon, compares the store with its last reading, and starts another.
    pub(super) fn restart(&mut self, killed: bool) -> String {
        self.end(killed);
        let log = match self.dice.below(6) {
            kind if !self.plan.has(Family::Log) || kind < 2 => Log::Kept,
            2 => Log::Full,
            3 => Log::Closed,
            _ => Log::Unread,
        };
        let descriptors = (self.plan.has(Family::Fds) && self.dice.below(2) == 0).then_some(64);
        let start = Start { log, descriptors, verbose: self.dice.below(3) == 0 };
        self.mail.life.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.daemon = Some(Daemon::start(self.path(), self.port, &self.clock, start));
        format!("{} and started: {start:?}", if killed { "killed" } else { "stopped" })
    }

    /// Ends the daemon, if one runs, and compares the store with its last reading.
    pub(super) fn end(&mut self, killed: bool) {
        self.visitors.clear();
        self.expect_well();
        let Some(daemon) = self.daemon.take() else { return };
        if killed {
            self.figures.kills += 1;
            daemon.kill();
        } else {
            self.figures.stops += 1;
            match daemon.terminate() {
                Ok(took) => self.figures.slowest_stop = self.figures.slowest_stop.max(took),
                Err(why) => self.fail(&[why]),
            }
        }
        self.compare();
    }

    /// Reads the store and compares it with its last reading.
    pub(super) fn compare(&mut self) {
        let now = match Known::read(self.path()) {
            Ok(now) => now,
            Err(why) => self.fail(&[why]),
        };
        let mut wrong = self.mail.ledger(|ledger| kept(&self.known, &now, ledger));
        for (source, before) in self.sources.iter().zip(&mut self.spoiled) {
            let spoiled = source.state().tally.spoiled();
            let opened = now.unreachable(source) - self.known.unreachable(source).min(now.unreachable(source));
            if opened > spoiled - *before {
                let name = &source.name;
                wrong.push(format!(
                    "{name} was found unreachable {opened} times and failed {} times",
                    spoiled - *before
                ));
            }
            *before = spoiled;
        }
        self.known = now;
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
    }

    /// Asserts that the daemon lives and has not grown.
    pub(super) fn expect_well(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if let Some(status) = daemon.gone() {
            self.fail(&[format!("the daemon ended by itself with {status}")]);
        }
        let peak = daemon.peak().unwrap_or_default();
        self.figures.peak = self.figures.peak.max(peak);
        if peak > MEMORY {
            self.fail(&[format!("the daemon has had {peak} MiB of memory")]);
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take().filter(|_| std::thread::panicking()) {
            println!("everything is kept in {}", folder.keep().display());
        }
    }
}

fn configure(folder: &Path, sources: &[Source], mail: &MailServer, port: u16) {
    let (mut systems, mut sessions) = (String::new(), String::new());
    for source in sources {
        let (name, at, username) = (&source.name, source.port, source.state().pair.username.clone());
        fs::write(folder.join(format!("{name}.secret")), &source.state().pair.password).unwrap();
        writeln!(
            systems,
            "  {name}: {{ type: orderwise, base_url: \"http://127.0.0.1:{at}/OWAPI\", username: {username}, \
             password: {{ file: {name}.secret }}, export_definition: 61, timeout: 4s, customer: {name} }}"
        )
        .unwrap();
        for id in 1..=SESSIONS {
            let owner = owner(name, &id.to_string());
            writeln!(sessions, "  - {{ id: {id}, source: {name}, policy: strict, owners: [{owner}] }}").unwrap();
        }
    }
    let customers = sources.iter().map(|s| format!("  {0}: {{ fallback: [{0}@ops.example] }}\n", s.name));
    let customers = customers.collect::<String>();
    fs::write(folder.join("mail.secret"), &mail.account.password).unwrap();
    let (smtp, username) = (mail.port, &mail.account.username);
    let config = format!(
        "sources:\n{systems}customers:\n{customers}policies:\n  strict:\n    rules:\n\
         \x20     - {{ id: export, setting: export, expect: unticked, severity: critical }}\n\
         \x20     - {{ id: contact, setting: contact, expect: ticked }}\n\
         \x20     - {{ id: importer, setting: importer, expect: {{ equals: Shopify }} }}\n\
         defaults:\n  source: {{ kinds: {{ export: flag, contact: flag }} }}\n  session: {{ schedule: \"* * * * * *\" }}\n\
         sessions:\n{sessions}email:\n  from: Driftwise <driftwise@integrator.example>\n  smtp: {{ host: 127.0.0.1, port: {smtp}, \
         tls: none, username: {username}, password: {{ file: mail.secret }}, max_per_minute: 100000 }}\n\
         alerts: {{ fallback: [ops@integrator.example], remind_every: 0 }}\n\
         store: {{ url: \"sqlite://store/driftwise.db\", retain: 3650d }}\nserver: {{ listen: \"127.0.0.1:{port}\" }}\n"
    );
    fs::write(folder.join("driftwise.yaml"), config).unwrap();
}
