//! A round: steps, then a healed world in which everything must settle, then the account.

use std::process::Command;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;

use super::account::{Known, account, files, unsettled};
use super::attack::Attack;
use super::mail::{Manners, Taken};
use super::secrets::Secrets;
use super::world::SESSIONS;

/// Longest time until every source is polled again in a world without faults.
const NEXT_POLL: Duration = Duration::from_secs(15);

/// Longest time until everything has settled.
const REST: Duration = Duration::from_mins(1);

/// How far the clock runs ahead each second, in seconds: more than the longest wait before a retry (15 minutes).
const LAPSE: i64 = 16 * 60;

impl Attack {
    /// See the module.
    pub fn round(&mut self) {
        if self.daemon.is_none() {
            self.restart(true);
        }
        println!("{}", self.change_manners());
        for step in 0..self.plan.steps {
            self.step(step);
        }
        self.heal();
        self.expect_rest();
        self.expect_shown_without_secret();
        self.end(false);
        self.expect_no_secret(files(self.path()));
        let _ = std::fs::remove_file(self.path().join("stderr"));
        let wrong = self.mail.ledger(|ledger| account(&self.known, ledger, &self.sources, self.path()));
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
        self.figures.rounds += 1;
        let (messages, opened) = (self.known.messages.len(), self.known.opened());
        println!("round {}: at rest; {messages} messages, {opened} incidents so far", self.figures.rounds);
    }

    fn heal(&mut self) {
        self.relieve();
        self.sources.iter().for_each(super::world::Source::heal);
        self.mail.behave(Manners::Honest);
        let was_right = self.clock.is_right();
        self.clock.jump_to(0);
        let restarts = self.dice.below(2) == 0;
        println!("healed; the clock was right: {was_right}");
        if restarts {
            let killed = self.dice.below(2) == 0;
            println!("{}", self.restart(killed));
        }
    }

    fn read(&mut self) -> Known {
        match Known::read(self.path()) {
            Ok(known) => known,
            Err(why) => self.fail(&[why]),
        }
    }

    /// Waits for a poll of every source, and then, with time running ahead, until everything has settled.
    fn expect_rest(&mut self) {
        let (before, begun) = (self.read(), Instant::now());
        while let now = self.read()
            && let Some(late) = self.sources.iter().find(|source| now.polls(source) <= before.polls(source))
        {
            if begun.elapsed() > NEXT_POLL {
                let late = format!("{} was not polled for {NEXT_POLL:?} in a world without faults", late.name);
                self.fail(&[late]);
            }
            self.wait();
        }
        let begun = Instant::now();
        loop {
            let wrong = unsettled(&self.read(), &self.sources, self.path());
            if wrong.is_empty() {
                return;
            }
            if begun.elapsed() > REST {
                self.fail(&wrong);
            }
            self.clock.lapse(LAPSE);
            for _ in 0..4 {
                self.wait();
            }
        }
    }

    fn wait(&mut self) {
        self.expect_well();
        std::thread::sleep(Duration::from_millis(250));
    }

    /// Asserts that nothing the daemon sent, shows or prints, and no file that it wrote, has a secret.
    fn expect_shown_without_secret(&mut self) {
        let mut shown = files(self.path());
        shown.extend(self.pages());
        for words in [["status", "--format=table"], ["status", "--format=json"]] {
            let config = self.path().join("driftwise.yaml");
            let mut command = Command::new(env!("CARGO_BIN_EXE_driftwise"));
            let printed = command.args(words).arg("--config").arg(config).output().unwrap();
            shown.push((words.join(" "), [printed.stdout, printed.stderr].concat()));
        }
        let already = self.read;
        let mails = self.mail.ledger(|ledger| {
            ledger.taken[already..].iter().map(|taken| (taken.id(), words(taken))).collect::<Vec<_>>()
        });
        self.read += mails.len();
        shown.extend(mails);
        self.expect_no_secret(shown);
    }

    /// Asserts that these texts have no piece of a secret, in any spelling.
    fn expect_no_secret(&mut self, shown: Vec<(String, Vec<u8>)>) {
        let mut secrets = Secrets::default();
        secrets.add_pair(&self.mail.account);
        for source in &self.sources {
            let state = source.state();
            secrets.add_pair(&state.pair);
            state.tokens.iter().for_each(|token| secrets.add_token(token));
        }
        let seen = |(what, bytes): (String, Vec<u8>)| {
            secrets.seen_in(&bytes).map(|around| format!("a piece of a secret in {what}: {around}"))
        };
        let wrong = shown.into_iter().filter_map(seen).collect::<Vec<_>>();
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
    }

    fn pages(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut paths = ["/", "/metrics", "/readyz", "/healthz"].map(str::to_owned).to_vec();
        for source in &self.sources {
            paths.extend((1..=SESSIONS).map(|id| format!("/sessions/{}/{id}", source.name)));
        }
        let mut pages = Vec::new();
        for path in paths {
            match self.daemon.as_ref().and_then(|daemon| daemon.get(&path)) {
                Some(page) => pages.push((path, page)),
                None => self.fail(&[format!("{path} is not shown in a world without faults")]),
            }
        }
        self.figures.pages += pages.len() as u64;
        pages
    }

    pub fn print_figures(&self, took: Duration) {
        let figures = &self.figures;
        println!("\n{} rounds in {took:?}: {figures:?}", figures.rounds);
        for source in &self.sources {
            let tally = source.state().tally.clone();
            println!("{}: {} answers; spoiled {:?}", source.name, tally.answers, tally.spoiled);
        }
        self.mail.ledger(|ledger| {
            let (taken, accepted) = (ledger.taken.len(), ledger.accepted().len());
            let refused = ledger.refused.values().sum::<u64>();
            println!(
                "mail: {} conversations, {taken} messages read, {accepted} ids taken, {refused} refusals for good; wrong {:?}",
                ledger.conversations, ledger.wrongs
            );
        });
        let (messages, opened) = (self.known.messages.len(), self.known.opened());
        println!(
            "{messages} messages about {opened} incidents, {} events; the store is sound",
            self.known.events.len()
        );
    }
}

/// A mail as it was sent, and as its reader sees it.
fn words(taken: &Taken) -> Vec<u8> {
    let mut words = taken.raw.clone();
    if let Some(mail) = MessageParser::default().parse(&taken.raw) {
        for at in 0..4 {
            words.extend(mail.body_text(at).iter().chain(mail.body_html(at).iter()).flat_map(|text| text.bytes()));
        }
        words.extend(mail.subject().unwrap_or_default().bytes());
    }
    words
}
