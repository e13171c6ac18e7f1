//! The whole program from outside: `cargo bench --bench process`. Starts the release binary on generated configurations, beside a
//! stand-in for OrderWise and for a mail server that record when they sent answers and accepted mail.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures for people")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod support;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

#[derive(Default)]
struct World {
    sessions: usize,
    /// How many sessions have Export ticked.
    drifted: usize,
    /// When the last byte of an answer with that many drifts was first sent.
    sent: Option<Instant>,
    /// When each mail was accepted.
    mails: Vec<Instant>,
    answers: usize,
}

type Shared = Arc<Mutex<World>>;

/// All sessions, the first `drifted` of which have Export ticked.
fn rows(sessions: usize, drifted: usize) -> String {
    support::rows((1..=sessions).map(|id| (id, id <= drifted, String::from("SH"))))
}

/// Answers one request: a token, or the present rows.
fn answer(mut stream: TcpStream, world: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let export = line.starts_with("POST");
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let (sessions, drifted) = {
        let world = world.lock().unwrap();
        (world.sessions, world.drifted)
    };
    let body = if export { rows(sessions, drifted) } else { String::from("\"a-token-that-is-long-enough-to-be-one\"") };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes())?;
    let now = Instant::now();
    let mut world = world.lock().unwrap();
    world.answers += usize::from(export);
    if export && drifted > 0 {
        world.sent.get_or_insert(now);
    }
    Ok(())
}

/// Accepts mail.
fn accept(mut stream: TcpStream, world: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.set_nodelay(true)?;
    stream.write_all(b"220 bench ESMTP\r\n")?;
    let (mut line, mut data) = (String::new(), false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.trim_end() {
            "." if data => {
                data = false;
                world.lock().unwrap().mails.push(Instant::now());
                b"250 2.0.0 accepted\r\n"
            }
            _ if data => continue,
            "DATA" => {
                data = true;
                b"354 go ahead\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            text if text.starts_with("EHLO") => b"250-bench\r\n250 8BITMIME\r\n",
            _ => b"250 2.1.0 ok\r\n",
        };
        stream.write_all(reply)?;
    }
}

fn serve(world: &Shared, each: fn(TcpStream, &Shared) -> std::io::Result<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = Arc::clone(world);
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let world = Arc::clone(&world);
            spawn(move || each(stream, &world));
        }
    });
    port
}

fn config(folder: &Path, sessions: usize, (api, smtp, listen): (u16, u16, u16)) {
    let mut text = format!(
        "sources:\n  erp: {{ type: orderwise, base_url: \"http://127.0.0.1:{api}/OWAPI\", username: u, password: p, \
         export_definition: 61, max_body: 128MiB }}\n\
         defaults: {{ session: {{ source: erp, schedule: \"*/2 * * * * *\", params: {{ \
         notification_email: integrations@acme.example, import_orders_as: Shopify_Orders }} }} }}\n\
         email: {{ from: driftwise@acme.example, smtp: {{ host: 127.0.0.1, port: {smtp}, tls: none, \
         max_per_minute: 1000 }} }}\n\
         store: {{ url: \"sqlite://driftwise.db\" }}\nserver: {{ listen: \"127.0.0.1:{listen}\" }}\nsessions:\n"
    );
    for id in 1..=sessions {
        writeln!(text, "  - {{ id: {id}, name: shop-{id}.myshopify.com }}").unwrap();
    }
    std::fs::write(folder.join("driftwise.yaml"), text).unwrap();
}

fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// In MB: `VmRSS` is the present memory, `VmHWM` the peak.
    fn memory(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

/// Starts the program and waits until it is ready. Returns the time since the process was started.
fn start(folder: &Path, listen: u16) -> (Running, Duration) {
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_driftwise"))
        .args(["run", "--log-level", "error", "--config"])
        .arg(folder.join("driftwise.yaml"))
        .stderr(Stdio::inherit())
        .spawn();
    let running = Running(child.unwrap());
    while !get(listen, "/readyz").is_ok_and(|text| text.starts_with("HTTP/1.1 200")) {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not get ready");
        sleep(Duration::from_millis(2));
    }
    (running, begun.elapsed())
}

fn until(what: &str, world: &Shared, mut done: impl FnMut(&World) -> bool) {
    let begun = Instant::now();
    while !done(&world.lock().unwrap()) {
        assert!(begun.elapsed() < Duration::from_mins(2), "{what} does not happen");
        sleep(Duration::from_millis(1));
    }
}

fn say(what: &str, value: impl std::fmt::Display) {
    println!("{what:44} {value}");
}

fn milliseconds(took: Duration) -> String {
    format!("{:8.1} ms", took.as_secs_f64() * 1e3)
}

fn estate(sessions: usize, drifting: usize) {
    println!("\n{sessions} sessions");
    let folder = tempfile::tempdir().unwrap();
    let world = Shared::new(Mutex::new(World { sessions, ..World::default() }));
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config(folder.path(), sessions, (serve(&world, answer), serve(&world, accept), listen));
    let (running, took) = start(folder.path(), listen);
    say("start to ready, an empty store", milliseconds(took));
    until("a second answer", &world, |world| world.answers >= 3);
    drop(running);
    let mut starts = Vec::new();
    for _ in 0..4 {
        let (_running, took) = start(folder.path(), listen);
        starts.push(took);
    }
    let (running, took) = start(folder.path(), listen);
    starts.push(took);
    say("start to ready, all known (least of 5)", milliseconds(*starts.iter().min().unwrap()));
    let answers = world.lock().unwrap().answers;
    until("four more answers", &world, |world| world.answers >= answers + 4);
    sleep(Duration::from_secs(1));
    say("resident between audits", format!("{:8.1} MB", running.memory("VmRSS")));
    say("resident at most, audits and all", format!("{:8.1} MB", running.memory("VmHWM")));
    let scrapes = (0..5).map(|_| {
        let begun = Instant::now();
        let size = get(listen, "/metrics").unwrap().len();
        (begun.elapsed(), size)
    });
    let (took, size) = scrapes.min().unwrap();
    say("a scrape (least of 5)", format!("{}, {:.2} MB", milliseconds(took), size as f64 / 1e6));
    world.lock().unwrap().drifted = drifting;
    until("a mail", &world, |world| !world.mails.is_empty());
    let took = {
        let world = world.lock().unwrap();
        world.mails[0] - world.sent.unwrap()
    };
    say(&format!("answer sent to mail accepted, {drifting} drifting"), milliseconds(took));
    say("resident at most, after all that", format!("{:8.1} MB", running.memory("VmHWM")));
}

/// Many systems behind TLS, with one session each. None of them answers.
fn systems(count: usize) {
    println!("\n{count} sources");
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut text = format!(
        "defaults: {{ session: {{ schedule: \"0 4 1 1 *\", params: {{ notification_email: integrations@acme.example, \
         import_orders_as: Shopify_Orders }} }} }}\n\
         email: {{ from: driftwise@acme.example, spool: mail }}\n\
         store: {{ url: \"sqlite://driftwise.db\" }}\nserver: {{ listen: \"127.0.0.1:{listen}\" }}\nsources:\n"
    );
    for number in 1..=count {
        writeln!(
            text,
            "  erp{number}: {{ type: orderwise, base_url: \"https://127.0.0.1:{closed}/{number}\", username: u, \
             password: password-{number}, export_definition: 61 }}"
        )
        .unwrap();
    }
    text.push_str("sessions:\n");
    for number in 1..=count {
        writeln!(text, "  - {{ source: erp{number}, id: {number}, name: shop-{number}.myshopify.com }}").unwrap();
    }
    std::fs::write(folder.path().join("driftwise.yaml"), text).unwrap();
    let (running, took) = start(folder.path(), listen);
    say("start to ready, an empty store", milliseconds(took));
    say("resident when ready", format!("{:8.1} MB", running.memory("VmRSS")));
}

fn main() {
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_driftwise")).unwrap().len();
    say("the binary", format!("{:8.1} MB", size as f64 / 1e6));
    estate(100, 1);
    estate(10_000, 1);
    estate(10_000, 1_000);
    systems(5_000);
}
