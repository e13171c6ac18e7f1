//! The memory of the compiled program, whatever a source answers: it stays below the largest answer and a constant.
//!
//! The system reports the peak of a process, so similar answers share one daemon, and the others have another.

#![expect(clippy::unwrap_used, reason = "a property that does not hold is a failed test")]
#![expect(clippy::print_stdout, reason = "how the test went, for people")]

mod support;

use std::io::{BufRead as _, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::program::Daemon;

/// The largest answer that the program reads: the default.
const MAX_BODY: u64 = 16 << 20;

/// The memory that polls may take beyond it: the rows of one, and memory of earlier ones that the system has not got back.
const BEYOND: u64 = 64 << 20;

/// The same for a single row with more values than any real source has: values may take as much as the answer and 64 MiB.
const BEYOND_VALUES: u64 = 96 << 20;

/// The reply of the stand-in to a request that it has read.
type Reply = fn(&mut TcpStream, token: bool) -> std::io::Result<()>;

/// The name of a case, the answer, and its outcome as the label of the metric.
const CASES: [(&str, Reply, &str); 7] = [
    ("a gzip bomb", bomb, "too_large"),
    ("a gzip bomb for a token", bomb_for_token, "too_large"),
    ("a gzip bomb that says what failed", bomb_of_an_error, "server_error"),
    ("rows of nothing", rows_of_nothing, "too_large"),
    ("chunks without end", chunks, "too_large"),
    ("a text without end", text, "too_large"),
    ("values of nothing", values_of_nothing, "too_large"),
];

fn head(stream: &mut TcpStream, status: &str, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n")
}

fn whole(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    head(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()))?;
    stream.write_all(body)
}

fn token(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream, b"\"token\"")
}

fn well(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { token(stream) } else { whole(stream, br#"[{"session_id":14}]"#) }
}

fn bomb(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { token(stream) } else { unpacking(stream, "200 OK") }
}

fn bomb_for_token(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { unpacking(stream, "200 OK") } else { head(stream, "401 Unauthorized", "Content-Length: 0\r\n") }
}

fn bomb_of_an_error(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { token(stream) } else { unpacking(stream, "500 Internal Server Error") }
}

/// Blocks of gzip that unpack to 1 GiB of spaces: the client closes long before the end.
fn unpacking(stream: &mut TcpStream, status: &str) -> std::io::Result<()> {
    head(stream, status, "Content-Encoding: gzip\r\n")?;
    let (first, block) = gzip();
    stream.write_all(&first)?;
    (0..1024).try_for_each(|_| stream.write_all(&block))
}

/// The head of a gzip file, and a block that unpacks to 1 MiB of spaces and ends at the end of a byte.
fn gzip() -> (Vec<u8>, Vec<u8>) {
    let first = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    let mut bits: Vec<u8> = Vec::new();
    // Not the last block, with the fixed codes; a literal space; then a repeat of the last byte 258 times, again and again.
    bits.extend([0, 1, 0]);
    bits.extend([0, 1, 0, 1, 0, 0, 0, 0]);
    for _ in 0..(1 << 20) / 258 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    // The end of the block; then an empty block without compression, so that the next block begins at a byte.
    bits.extend([0; 7]);
    bits.extend([0, 0, 0]);
    let mut block =
        bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect::<Vec<u8>>();
    block.extend([0, 0, 0xFF, 0xFF]);
    (first, block)
}

fn rows_of_nothing(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { token(stream) } else { repeated(stream, b"[{}", b",{}", b"]") }
}

fn values_of_nothing(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token { token(stream) } else { repeated(stream, br#"[{"":0"#, br#","":1,"":2"#, b"}]") }
}

/// A body of exactly the largest size: `again` as often as it fits, and spaces.
fn repeated(stream: &mut TcpStream, first: &[u8], again: &[u8], last: &[u8]) -> std::io::Result<()> {
    let size = usize::try_from(MAX_BODY).unwrap();
    let mut body = first.to_vec();
    while body.len() + again.len() + last.len() <= size {
        body.extend_from_slice(again);
    }
    body.extend_from_slice(last);
    body.resize(size, b' ');
    whole(stream, &body)
}

fn chunks(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token {
        return token(stream);
    }
    head(stream, "200 OK", "Transfer-Encoding: chunked\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 1 << 16], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk)?;
    }
}

fn text(stream: &mut TcpStream, is_token: bool) -> std::io::Result<()> {
    if is_token {
        return token(stream);
    }
    head(stream, "200 OK", "")?;
    stream.write_all(b"[{\"session_id\":\"")?;
    loop {
        stream.write_all(&vec![b'x'; 1 << 16])?;
    }
}

/// Answers every request with the reply that is set.
struct Server {
    address: SocketAddr,
    turn: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let turn = Arc::new(AtomicUsize::new(usize::MAX));
        let now = Arc::clone(&turn);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let reply = CASES.get(now.load(Ordering::SeqCst)).map_or(well as Reply, |case| case.1);
                // A client that has read enough closes the connection, as it should.
                let _ = answer(stream, reply);
            }
        });
        Self { address, turn }
    }
}

fn answer(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The few bytes of a body come with the head, and are in the same buffer.
    lines.map_while(Result::ok).find(String::is_empty);
    reply(&mut stream, request.contains("gettoken"))?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

const REQUESTS: &str = "driftwise_source_requests_total";

/// Waits until one more request has had this outcome.
fn one_more(daemon: &Daemon, source: &str, outcome: &str) {
    let labels = [("source", source), ("outcome", outcome)];
    daemon.until(REQUESTS, &labels, daemon.metric(REQUESTS, &labels).unwrap() + 1.0);
}

/// The most memory that the daemon ever held, in bytes.
fn largest_ever(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// A folder with a daemon that has read good answers, and its peak of memory by then.
struct Harness {
    server: Server,
    folder: tempfile::TempDir,
    daemon: Daemon,
    before: u64,
}

impl Harness {
    fn new() -> Self {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let config = format!(
            "sources:\n  erp: {{ type: orderwise, base_url: \"http://{}/OWAPI\", username: u, password: p, export_definition: 61 }}\n  \
             grid: {{ type: file, path: grid.csv }}\n\
             defaults: {{ session: {{ schedule: \"* * * * * *\", owners: [it@acme.example] }} }}\n\
             sessions: [{{ source: erp, id: 14 }}, {{ source: grid, id: 14 }}]\n\
             email: {{ from: a@b.example, spool: mail }}\nserver: {{ listen: \"127.0.0.1:0\" }}\n",
            server.address
        );
        std::fs::write(folder.path().join("driftwise.yaml"), config).unwrap();
        std::fs::write(folder.path().join("grid.csv"), "session_id\n14\n").unwrap();
        let daemon = Daemon::start(folder.path(), &[]);
        one_more(&daemon, "erp", "ok");
        one_more(&daemon, "grid", "ok");
        Self { before: largest_ever(&daemon), server, folder, daemon }
    }

    fn ask(&self, turn: usize, beyond: u64) {
        let (what, _, outcome) = CASES[turn];
        self.server.turn.store(turn, Ordering::SeqCst);
        one_more(&self.daemon, "erp", outcome);
        self.check(what, beyond);
    }

    fn read(&self, what: &str, file: &str) {
        std::fs::write(self.folder.path().join("grid.csv"), file).unwrap();
        one_more(&self.daemon, "grid", "too_large");
        self.check(what, BEYOND);
    }

    fn check(&self, what: &str, beyond: u64) {
        let grown = largest_ever(&self.daemon) - self.before;
        assert!(grown < MAX_BODY + beyond, "after {what} it had grown by {} MiB", grown >> 20);
        println!("after {what} it had grown by {} MiB", grown >> 20);
    }
}

#[test]
fn no_answer_makes_the_program_larger_than_the_largest_answer_and_a_constant() {
    if !cfg!(target_os = "linux") {
        assert!(std::env::var_os("CI").is_none(), "only Linux says how much memory a process ever had");
        eprintln!("SKIPPED: no answer makes the program larger: only Linux says how much memory a process ever had");
        return;
    }
    let values = CASES.len() - 1;
    let harness = Harness::new();
    (0..values).for_each(|turn| harness.ask(turn, BEYOND));
    Harness::new().ask(values, BEYOND_VALUES);
    let harness = Harness::new();
    let size = usize::try_from(MAX_BODY).unwrap();
    for (what, piece) in [("lines of nothing", "1\n"), ("fields of nothing", ",")] {
        let mut file = format!("session_id\n{}", piece.repeat(size / piece.len()));
        file.truncate(size);
        harness.read(what, &file);
    }
}
