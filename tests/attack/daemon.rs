//! The real program as a process: under a clock of its own, with a log that may be unread, full or closed, and with few
//! descriptors.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::fake_clock::{self, FakeClock};

/// Longest that a stop may take: the drain of the program, and some more on a machine that is busy.
const DRAIN: Duration = Duration::from_secs(12);

/// Longest time from the start of a process until it handles SIGTERM: before that, the signal ends it.
const DEAF: Duration = Duration::from_secs(2);

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// Longest time for a page.
const PAGE: Duration = Duration::from_secs(5);

/// The clock of the daemon: the real one, moved.
pub struct Clock {
    fake: FakeClock,
    /// How far it is wrong, in seconds.
    jump: i64,
    /// How far it runs ahead so that retries fall due within the test, in seconds. Only grows.
    lapse: i64,
}

impl Clock {
    pub fn new(folder: &Path) -> Self {
        let library = fake_clock::library();
        let library = library.expect("this test needs Debian's package faketime; scripts/test installs it");
        Self { fake: FakeClock::new(folder, library), jump: 0, lapse: 0 }
    }

    pub fn jump_to(&mut self, seconds: i64) {
        self.jump = seconds;
        self.fake.ahead(self.jump + self.lapse);
    }

    /// Lets time run ahead.
    pub fn lapse(&mut self, seconds: i64) {
        self.lapse += seconds;
        self.fake.ahead(self.jump + self.lapse);
    }

    pub fn is_right(&self) -> bool {
        self.jump == 0
    }
}

/// The target of standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Kept,
    /// `/dev/full`.
    Full,
    /// A pipe that is never read.
    Unread,
    /// A pipe whose reader has gone.
    Closed,
}

/// The settings of a start.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    pub log: Log,
    /// The soft limit; the hard one stays high.
    pub descriptors: Option<u32>,
    pub verbose: bool,
}

pub struct Daemon {
    child: Child,
    pipe: Option<ChildStderr>,
    /// The folder that keeps the logs, one after another.
    said: PathBuf,
    port: u16,
    since: Instant,
    pub start: Start,
}

impl Daemon {
    pub fn start(folder: &Path, port: u16, clock: &Clock, start: Start) -> Self {
        let said = folder.join("stderr");
        let limits = start.descriptors.map_or(String::new(), |soft| format!("ulimit -Sn {soft}; ulimit -Hn 4096;"));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits} exec env \"$@\""), "sh"]);
        for (name, value) in clock.fake.variables() {
            command.arg(format!("{name}={}", value.display()));
        }
        command.arg(format!("RUST_LOG={}", if start.verbose { "debug" } else { "info" }));
        command.args([env!("CARGO_BIN_EXE_driftwise"), "run", "--config"]).arg(folder.join("driftwise.yaml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(match start.log {
            Log::Kept => Stdio::from(File::options().append(true).create(true).open(&said).unwrap()),
            Log::Full => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
            Log::Unread | Log::Closed => Stdio::piped(),
        });
        let mut child = command.spawn().unwrap();
        let pipe = child.stderr.take().filter(|_| start.log == Log::Unread);
        Self { child, pipe, said, port, since: Instant::now(), start }
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn gone(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Closes the reading end of its log, if there is one.
    pub fn close_log(&mut self) -> bool {
        self.pipe.take().is_some()
    }

    /// Sends SIGKILL, which leaves no time for anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM. Returns how long it took to end with 0, or how it failed to.
    pub fn terminate(mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        let signal = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(signal.success());
        while begun.elapsed() < DRAIN {
            match self.gone() {
                Some(status) if status.code() == Some(0) => return Ok(begun.elapsed()),
                Some(status) if status.signal() == Some(15) && self.since.elapsed() < DEAF => {
                    return Ok(begun.elapsed());
                }
                Some(status) => return Err(format!("SIGTERM ended it with {status}")),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("it did not end within {DRAIN:?} after SIGTERM"))
    }

    /// Its peak resident memory in MiB; `None` once it has ended.
    pub fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().unwrap() >> 10)
    }

    /// Allows this many descriptors besides the open ones; `None` allows 4,096.
    pub fn limit_descriptors(&self, spare: Option<u64>) {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, |open| open.count() as u64);
        let limit = spare.map_or(4_096, |spare| open + spare);
        let arguments = ["--pid", &self.id().to_string(), &format!("--nofile={limit}:4096")];
        assert!(Command::new("prlimit").args(arguments).status().expect("this test needs prlimit").success());
    }

    pub fn connect(&self) -> Option<TcpStream> {
        // If the queue of connections is full, an attempt without a limit takes minutes.
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], self.port).into(), CONNECT).ok()?;
        stream.set_read_timeout(Some(PAGE)).unwrap();
        Some(stream)
    }

    /// The whole response, if there is one.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = self.connect()?;
        let port = self.port;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
        let mut page = Vec::new();
        stream.read_to_end(&mut page).ok()?;
        page.starts_with(b"HTTP/1.1 ").then_some(page)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The unread log is searched for secrets too.
        if let Some(mut pipe) = self.pipe.take() {
            let mut rest = Vec::new();
            let _ = pipe.read_to_end(&mut rest);
            let _ = File::options().append(true).create(true).open(&self.said).unwrap().write_all(&rest);
        }
        // The library leaves these files after a kill, and they would break the next process with the same id.
        let id = self.id();
        for left in [format!("/dev/shm/faketime_shm_{id}"), format!("/dev/shm/sem.faketime_sem_{id}")] {
            let _ = fs::remove_file(left);
        }
    }
}
