//! A mail server whose replies come from the grammar, and which knows the truth: which messages it accepted, and which not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::dice::Dice;
use super::grammar::{Said, Stage, Voice, Wrong};
use super::secrets::Pair;

/// The kind of its conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    Honest,
    /// Temporary refusals and closed connections.
    Troubled,
    /// The whole grammar.
    Wild,
}

/// A message that was read up to the final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub to: String,
    pub raw: Vec<u8>,
    pub verdict: Verdict,
    /// The number of the daemon that sent it.
    pub life: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The server never replied that it accepted the message.
    No,
    /// It replied so in a way that a client may doubt.
    Perhaps,
    /// One reply of 250 in a conversation without any fault before.
    Yes,
}

impl Taken {
    pub fn id(&self) -> String {
        let text = String::from_utf8_lossy(&self.raw);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let id = head.lines().find_map(|line| line.strip_prefix("Message-ID: "));
        id.unwrap_or_default().trim().to_owned()
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub taken: Vec<Taken>,
    /// How many conversations refused a recipient for good.
    pub refused: BTreeMap<String, u64>,
    pub conversations: u64,
    pub wrongs: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// The ids that the server accepted.
    pub fn accepted(&self) -> BTreeSet<String> {
        self.taken.iter().filter(|taken| taken.verdict > Verdict::No).map(Taken::id).collect()
    }
}

/// See the module.
#[derive(Clone)]
pub struct MailServer {
    pub port: u16,
    pub account: Pair,
    /// The number of the running daemon: a repeat by a later one is legitimate, a repeat by the same one is not.
    pub life: Arc<AtomicU64>,
    seed: u64,
    echoes: bool,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    ledger: Ledger,
    manners: Manners,
    /// Connections to close when the world is healed.
    silent: Vec<TcpStream>,
}

impl MailServer {
    pub fn start(account: Pair, dice: &mut Dice, echoes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Shared { ledger: Ledger::default(), manners: Manners::Honest, silent: Vec::new() };
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            account,
            life: Arc::default(),
            seed: dice.below(u64::MAX),
            echoes,
            shared: Arc::new(Mutex::new(shared)),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // Conversations are meant to break.
                std::thread::spawn(move || drop(server.talk(stream)));
            }
        });
        server
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn ledger<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.shared().ledger)
    }

    pub fn behave(&self, manners: Manners) {
        let mut shared = self.shared();
        shared.manners = manners;
        if manners == Manners::Honest {
            for stream in shared.silent.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn voice(&self, stream: &TcpStream) -> std::io::Result<Voice> {
        let mut shared = self.shared();
        shared.ledger.conversations += 1;
        let mut dice = Dice::seeded(self.seed ^ shared.ledger.conversations.wrapping_mul(0xD1B5_4A32_D192_ED03));
        let echo = if self.echoes && shared.manners != Manners::Honest {
            self.account.spelled_by_mail_server(&mut dice)
        } else {
            String::new()
        };
        let mut voice = match shared.manners {
            Manners::Honest => Voice::honest(stream.try_clone()?),
            Manners::Troubled => Voice::hostile(stream.try_clone()?, dice, false),
            Manners::Wild => Voice::hostile(stream.try_clone()?, dice, true),
        };
        voice.echo = echo;
        if let Some((_, wrong)) = voice.wrong() {
            *shared.ledger.wrongs.entry(wrong.label()).or_default() += 1;
            if !matches!(wrong, Wrong::Close | Wrong::CloseWithin) {
                shared.silent.push(stream.try_clone()?);
            }
        }
        Ok(voice)
    }

    fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let life = self.life.load(Ordering::SeqCst);
        let mut voice = self.voice(&stream)?;
        let mut lines = BufReader::new(stream);
        let mut to = String::new();
        voice.say(Stage::Greeting, 220, "sink")?;
        loop {
            let Some(command_line) = next_line(&mut lines)? else { return Ok(()) };
            let command = command_line.trim_end().to_ascii_uppercase();
            if command.starts_with("EHLO") || command.starts_with("HELO") {
                voice.say(Stage::Hello, 250, "AUTH PLAIN")?;
            } else if command.starts_with("AUTH") {
                let known = command_line.trim_end().ends_with(&self.account.plain());
                voice.say(Stage::SignIn, if known { 235 } else { 535 }, "sign-in")?;
            } else if command.starts_with("MAIL") {
                voice.say(Stage::Sender, 250, "ok")?;
            } else if command.starts_with("RCPT") {
                command_line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                let said = voice.say(Stage::Recipient, 250, "ok")?;
                self.note_refusal(&to, &voice, said);
            } else if command == "DATA" {
                let said = voice.say(Stage::Data, 354, "go on")?;
                self.note_refusal(&to, &voice, said);
                if (200..400).contains(&said.code()) {
                    let Some(raw) = message(&mut lines)? else { return Ok(()) };
                    self.end(&mut voice, Taken { to: to.clone(), raw, verdict: Verdict::No, life })?;
                }
            } else if command == "QUIT" {
                return voice.say(Stage::Quit, 221, "bye").map(drop);
            } else {
                voice.say(Stage::Quit, 500, "what?")?;
            }
        }
    }

    /// Handles the final dot. An accepted message is in the ledger before the reply is sent.
    fn end(&self, voice: &mut Voice, mut taken: Taken) -> std::io::Result<()> {
        // A client that checks for unread bytes ends such a conversation, so this message is never accepted.
        let ahead = voice.wrong().is_some_and(|(_, wrong)| wrong == Wrong::Ahead);
        let stray = voice.wrong().is_some_and(|(at, wrong)| matches!(wrong, Wrong::Stray(_, true)) && at != Stage::Dot);
        let right = if stray { 451 } else { 250 };
        let clear = voice.wrong().is_none_or(|(at, _)| at == Stage::Quit);
        taken.verdict = match voice.will_say(Stage::Dot, right) {
            _ if ahead => Verdict::No,
            Said::Reply(250) if clear => Verdict::Yes,
            Said::Reply(250) | Said::Unclear(_) => Verdict::Perhaps,
            Said::Reply(_) | Said::Nothing => Verdict::No,
        };
        let to = taken.to.clone();
        self.shared().ledger.taken.push(taken);
        if ahead {
            return voice.out.shutdown(Shutdown::Both);
        }
        let said = voice.say(Stage::Dot, right, "taken")?;
        self.note_refusal(&to, voice, said);
        Ok(())
    }

    /// Counts a permanent refusal, and a late stray reply that no client can distinguish from one.
    fn note_refusal(&self, to: &str, voice: &Voice, said: Said) {
        let late = voice.wrong().is_some_and(|(_, wrong)| matches!(wrong, Wrong::Stray(500.., false)));
        if said.refuses() || late {
            *self.shared().ledger.refused.entry(to.to_owned()).or_default() += 1;
        }
    }
}

fn next_line(lines: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    Ok((lines.read_line(&mut line)? > 0).then_some(line))
}

/// Reads the message up to the final dot; `None` if the dot never comes.
fn message(lines: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line == b".\r\n" {
            return Ok(Some(raw));
        }
        raw.extend(line.strip_prefix(b".").unwrap_or(&line));
    }
}
