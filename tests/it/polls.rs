//! The number of concurrent polls, and polls without free descriptors.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;

use crate::mailbox;
use crate::program::{DEADLINE, Daemon, driftwise, eventually_or};

/// A slow OrderWise: it responds after a delay, and only while its gate is open. The first part of a path names the system.
struct Slow {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    service: Duration,
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Default)]
struct Desk {
    open: bool,
    /// Requests under way, of each system.
    now: BTreeMap<String, usize>,
    most_of_one_system: usize,
    most: usize,
}

impl Slow {
    fn start(open: bool, service: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Mutex::new(Desk { open, ..Desk::default() });
        let shared = Arc::new(Shared { service, desk, changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        Self { address, shared }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.shared.desk.lock().unwrap()
    }

    fn open(&self) {
        self.desk().open = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Serves one request for each connection.
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (path, body) = request(&mut reader)?;
        let system = path.split('/').nth(1)?.to_ascii_lowercase();
        let mut desk = self.desk.lock().unwrap();
        *desk.now.entry(system.clone()).or_default() += 1;
        desk.most_of_one_system = desk.most_of_one_system.max(desk.now[&system]);
        desk.most = desk.most.max(desk.now.values().sum());
        let (desk, _) = self.changed.wait_timeout_while(desk, DEADLINE, |desk| !desk.open).unwrap();
        drop(desk);
        // The service time of this server; no test waits for its end.
        std::thread::sleep(self.service);
        *self.desk.lock().unwrap().now.get_mut(&system)? -= 1;
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        reader.get_mut().write_all(format!("{head}{body}").as_bytes()).ok()
    }
}

/// The path of a request, and the response.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, &'static str)> {
    const SESSIONS: &str = r#"[{"session_id": 14, "name": "acme-uk.myshopify.com"}]"#;
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    let body = if path.ends_with("/token/gettoken") { r#""a-token-of-some-length""# } else { SESSIONS };
    Some((path, body))
}

/// A folder with a configuration of sources that are polled once a minute, with a notification at the first failure.
fn configured(base_urls: &[String], max_polls: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = |(number, url): (usize, &String)| format!("  s{number}: {{ base_url: \"{url}\" }}\n");
    let sources = base_urls.iter().enumerate().map(source).collect::<String>();
    let sessions = (0..base_urls.len()).map(|number| format!("{{ source: s{number} }}")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "sources:\n{sources}defaults:\n  max_polls: {max_polls}\n  \
         source: {{ type: orderwise, username: u, password: p, export_definition: 61, timeout: 2m }}\n  \
         session: {{ id: 14, schedule: \"* * * * *\", owners: [owner@acme.example] }}\n\
         sessions: [{sessions}]\nalerts: {{ unreachable_after: 0, min_severity: critical }}\n\
         email: {{ from: Driftwise <driftwise@integrator.example>, spool: ./mail }}\n\
         server: {{ listen: \"127.0.0.1:0\" }}\n"
    );
    std::fs::write(folder.path().join("driftwise.yaml"), text).unwrap();
    folder
}

/// The daemon under a limit on its descriptors, as `ulimit` understands it.
fn limited(folder: &Path, limit: &str) -> Daemon {
    let program = driftwise(folder);
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", &format!("ulimit {limit} && exec \"$0\" run --log-level debug")]);
    Daemon::begin(shell.arg(program.get_program()).env_remove("DRIFTWISE_CONFIG").env_remove("RUST_LOG"))
}

fn all_audited(daemon: &Daemon, sources: u32) {
    daemon.until("driftwise_source_up", &[], f64::from(sources));
}

#[test]
fn no_more_polls_are_under_way_than_the_configuration_allows() {
    let slow = Slow::start(true, Duration::from_millis(250));
    let urls = (0..12).map(|number| format!("http://{}/{number}", slow.address)).collect::<Vec<_>>();
    let folder = configured(&urls, 3);
    let daemon = Daemon::start(folder.path(), &[]);
    all_audited(&daemon, 12);
    assert_eq!(slow.desk().most, 3);
    let waited = "driftwise_source_request_duration_seconds_sum";
    let longest = (0..12).filter_map(|n| daemon.metric(waited, &[("source", &format!("s{n}"))])).fold(0.0, f64::max);
    assert!(longest < 1.5, "waiting for a turn counts as time that the source took: {longest} s");
    daemon.stop();
}

#[test]
fn one_request_at_a_time_goes_to_each_system_however_many_sources_it_has() {
    let slow = Slow::start(true, Duration::from_millis(250));
    let written = ["OWAPI", "owapi/", "OwApi", "other"];
    let urls = written.map(|path| format!("http://{}/{path}", slow.address));
    let folder = configured(&urls, 64);
    let daemon = Daemon::start(folder.path(), &[]);
    all_audited(&daemon, 4);
    let desk = slow.desk();
    assert_eq!((desk.most_of_one_system, desk.most), (1, 2), "of one system, and of both");
    drop(desk);
    daemon.stop();
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let slow = Slow::start(false, Duration::ZERO);
    let urls = (0..100).map(|number| format!("http://{}/{number}", slow.address)).collect::<Vec<_>>();
    let folder = configured(&urls, 100);
    let daemon = limited(folder.path(), "-Sn 64");
    eventually_or(
        || format!("100 polls under way; log: {}", daemon.said()),
        || (slow.desk().most == 100).then_some(()),
    );
    daemon.logs("raised the limit on file descriptors");
    slow.open();
    all_audited(&daemon, 100);
    daemon.stop();
}

#[test]
fn a_lack_of_descriptors_makes_no_source_unreachable() {
    let slow = Slow::start(false, Duration::ZERO);
    let port = slow.address.port();
    // Every second source has a host name, for which the resolver needs descriptors too.
    let host = |number: i32| if number % 2 == 0 { "127.0.0.1" } else { "localhost" };
    let urls = (0..80).map(|number| format!("http://{}:{port}/{number}", host(number))).collect::<Vec<_>>();
    let folder = configured(&urls, 100);
    let daemon = limited(folder.path(), "-n 64");
    let refused = || daemon.said().matches("cannot poll a source").count();
    eventually_or(|| format!("lack of descriptors; log: {}", daemon.said()), || (refused() >= 40).then_some(()));
    daemon.logs("the limit on file descriptors is low for this max_polls");
    slow.open();
    all_audited(&daemon, 80);
    let count = |name, label| daemon.metric(name, &[("outcome", label)]);
    assert!(count("driftwise_source_requests_total", "own_limit").unwrap() >= 40.0);
    assert_eq!(count("driftwise_audits_total", "unreachable"), Some(0.0), "{}", daemon.said());
    let mails = mailbox::in_folder(&folder.path().join("mail"));
    assert!(mails.iter().all(|mail| mail.kind() != "unreachable"), "{:?}", mailbox::kinds(&mails));
    daemon.stop();
}
