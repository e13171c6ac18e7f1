//! The compiled program: a command that runs to its end, the daemon, its metrics and pages, and the one loop that waits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that anything may take on a loaded machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Time between two calls in the one loop that waits.
const PAUSE: Duration = Duration::from_millis(20);

/// Repeats `ask` until it returns a value; fails after [`DEADLINE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_or(|| what.to_owned(), ask)
}

/// The same, with a description that is only made for a failure. The only loop that waits.
pub fn eventually_or<T>(what: impl Fn() -> String, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let late = started.elapsed() > DEADLINE;
        assert!(!late, "within {DEADLINE:?} there was no {}", what());
        std::thread::sleep(PAUSE);
    }
}

/// The program without arguments, and without the environment variables that it would read.
pub fn driftwise(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftwise"));
    command.current_dir(folder).env_remove("DRIFTWISE_CONFIG").env_remove("RUST_LOG");
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command
}

/// The result of a command.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Done {
    /// Asserts the exit code; shows the outputs if it differs.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// Runs `arguments` in `folder` to the end.
pub fn run(folder: &Path, arguments: &[&str]) -> Done {
    driftwise(folder).args(arguments).output().unwrap().into()
}

/// A running program; killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: Log,
    /// The address of its pages.
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts `run` in `folder`; waits until the log has the address of the page.
    pub fn start(folder: &Path, more: &[&str]) -> Self {
        Self::begin(driftwise(folder).arg("run").args(more))
    }

    /// The same for a prepared command.
    pub fn begin(command: &mut Command) -> Self {
        let mut daemon = Self::launch(command, ([127, 0, 0, 1], 0).into());
        daemon.address = eventually("daemon", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", daemon.said());
            }
            page(&daemon.said())
        });
        daemon
    }

    /// Starts a command and waits for nothing; `address`: where its configuration makes it listen.
    pub fn launch(command: &mut Command, address: SocketAddr) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(&mut child);
        Self { child, log, address }
    }

    /// The same with a standard error of its own, which is not collected.
    pub fn launch_with_log(command: &mut Command, address: SocketAddr, log: impl Into<Stdio>) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, log: Log::default(), address }
    }

    /// Waits until it answers requests.
    pub fn listens(self) -> Self {
        eventually_or(|| format!("answer; log: {}", self.said()), || self.try_get("/healthz"));
        self
    }

    /// Everything on its standard error so far.
    pub fn said(&self) -> String {
        self.log.text()
    }

    /// Waits until its log contains these words. A log line can come after other signs of the same act.
    pub fn logs(&self, words: &str) {
        eventually_or(|| format!("{words:?}; log: {}", self.said()), || self.said().contains(words).then_some(()));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of the process, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and for the rest of its log.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("end of the daemon", || self.child.try_wait().unwrap());
        self.log.complete();
        status
    }

    /// Stops it, asserts exit code 0, and returns its log.
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap()
    }

    /// The same; `None` while the daemon does not listen.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path)
    }

    /// The sum of the series of a metric that have all of `labels`, if there is any.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        metric(&self.get("/metrics").1, name, labels)
    }

    /// Waits until a metric is at least `least`.
    pub fn until(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        let what = || format!("{name} {labels:?} of {least}; log: {}", self.said());
        eventually_or(what, || self.metric(name, labels).filter(|value| *value >= least));
    }

    /// Waits until the first poll of a source is recorded.
    pub fn first_poll(&self) {
        self.until("driftwise_source_up", &[], 0.0);
    }

    /// Waits until two more audits are recorded. The first may have begun before the call, so only the second is sure to see the
    /// present world.
    pub fn poll(&self) {
        let (name, labels) = ("driftwise_audit_duration_seconds_count", [("phase", "record")]);
        self.until(name, &labels, self.metric(name, &labels).unwrap() + 2.0);
    }
}

impl Drop for Daemon {
    #[expect(clippy::print_stdout, reason = "the test runner shows what a failed test printed")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.complete();
            println!("the log of process {}:\n{}", self.pid(), self.said());
        }
    }
}

/// The address of the page in the log of a daemon.
fn page(log: &str) -> Option<SocketAddr> {
    let running = log.split("driftwise is running").nth(1)?;
    running.split("http://").nth(1)?.split('/').next()?.parse().ok()
}

/// The standard error of a process, collected by a thread.
#[derive(Default)]
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn of(child: &mut Child) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (lines, heard) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&text));
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits for the last line of a process that has ended.
    fn complete(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// Status and body of a GET; `None` if no server answers.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(address, "GET", path, "")
}

pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

/// See [`Daemon::metric`].
pub fn metric(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let bears = |series: &str| labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")));
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_it = series.split('{').next() == Some(name) && bears(series);
        is_it.then(|| value.parse::<f64>().unwrap())
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
