//! A folder with a configuration, a grid of sessions and a store; a daemon that lives in it until it is killed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use driftwise::domain::event::Event;
use driftwise::store::{NotificationFilter, Store, StoredNotification};
use tempfile::TempDir;

use super::dice::until;

const COLUMNS: [&str; 16] = [
    "schedule",
    "notification_email",
    "transfer_type",
    "import_orders_as",
    "use_delivery_method_system_tax_code",
    "use_cvariant_system_tax_code",
    "add_customer_contact",
    "add_delivery_address",
    "use_cvariant_stock_location",
    "override_variant_disallow",
    "customer_validation_1",
    "customer_validation_2",
    "customer_validation_3",
    "customer_validation_4",
    "active",
    "import_paused",
];

/// Sessions audited; each has an owner of its own.
pub const SESSIONS: usize = 3;

pub struct Harness {
    pub folder: TempDir,
    /// Where the store is, apart from all else.
    pub store: PathBuf,
    pub port: u16,
    delivery: String,
}

impl Harness {
    /// `delivery` is what stands under `email`.
    pub fn new(delivery: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let store = folder.path().join("store/driftwise.db");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let harness = Self { folder, store, port, delivery: delivery.to_owned() };
        harness.configure(1..=SESSIONS);
        harness.write([false; SESSIONS]);
        harness
    }

    /// Writes a configuration that audits these sessions.
    pub fn configure(&self, audited: impl Iterator<Item = usize>) {
        let (delivery, port) = (&self.delivery, self.port);
        let mut sessions = String::new();
        for id in audited {
            writeln!(sessions, "  - {{ id: {id}, source: grid, schedule: \"* * * * * *\", owners: [owner{id}@acme.example], params: {{ notification_email: it@acme.example, import_orders_as: Shopify }} }}").unwrap();
        }
        let config = format!(
            "sources:\n  grid: {{ type: file, path: grid.csv }}\nsessions:\n{sessions}\
             email:\n  from: Driftwise <driftwise@integrator.example>\n  {delivery}\n\
             alerts: {{ fallback: [ops@integrator.example], remind_every: 0 }}\n\
             store: {{ url: \"sqlite://store/driftwise.db\" }}\nserver: {{ listen: \"127.0.0.1:{port}\" }}\n"
        );
        fs::write(self.folder.path().join("driftwise.yaml"), config).unwrap();
    }

    pub fn with_spool() -> Self {
        Self::new("spool: ./mail")
    }

    /// Puts a whole new grid in place of the old one; `drifts` says which sessions are not as they should be: of the first
    /// it is critical and the fallback is told as well, of the others it is a warning for the owner.
    pub fn write(&self, drifts: [bool; SESSIONS]) {
        let mut text = format!("session_id,name,export,{}\n", COLUMNS.join(","));
        for (at, drifts) in drifts.into_iter().enumerate() {
            let id = at + 1;
            let export = drifts && at == 0;
            let contact = !drifts || at == 0;
            let others = (COLUMNS.iter()).map(|column| match *column {
                "schedule" => "5".to_owned(),
                "notification_email" => "it@acme.example".to_owned(),
                "transfer_type" => "Web Service".to_owned(),
                "import_orders_as" => "Shopify".to_owned(),
                "add_customer_contact" => contact.to_string(),
                _ => "true".to_owned(),
            });
            writeln!(text, "{id},shop {id},{export},{}", others.collect::<Vec<_>>().join(",")).unwrap();
        }
        let next = self.folder.path().join("grid.next");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.folder.path().join("grid.csv")).unwrap();
    }

    /// The command line of the daemon.
    pub fn command(&self) -> Vec<String> {
        let config = self.folder.path().join("driftwise.yaml").display().to_string();
        [env!("CARGO_BIN_EXE_driftwise"), "run", "--config", &config].map(str::to_owned).into()
    }

    pub fn start(&self) -> Daemon {
        self.start_under(&[])
    }

    /// The daemon as the last arguments of another command.
    pub fn start_under(&self, wrapper: &[&str]) -> Daemon {
        let said = self.folder.path().join("stderr");
        let all = wrapper.iter().map(|word| (*word).to_owned()).chain(self.command()).collect::<Vec<_>>();
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&said).unwrap()).spawn().unwrap();
        Daemon { child, said, port: self.port }
    }

    /// What the store knows, asked by a reader beside the daemon.
    pub fn known(&self) -> Option<Known> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = match Store::read(&self.store).await {
                Ok(store) => store,
                Err(error) if error.is_absent() => return None,
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            };
            store.integrity_check().await.unwrap();
            let messages = store.notifications(&NotificationFilter::default(), 100_000).await.unwrap();
            let events = store.events(None, None, None, 100_000).await.unwrap();
            store.close().await;
            Some(Known { messages, events: events.into_iter().map(|(_, event)| event).collect() })
        })
    }

    /// The names of the spooled mails.
    pub fn spooled(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder.path().join("mail")) else { return Vec::new() };
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.strip_suffix(".eml").is_some()).collect()
    }
}

/// Everything that the store knows of the past, in order.
#[derive(Debug, Default)]
pub struct Known {
    pub messages: Vec<StoredNotification>,
    pub events: Vec<Event>,
}

pub struct Daemon {
    child: Child,
    said: PathBuf,
    port: u16,
}

impl Daemon {
    /// SIGKILL: no chance to do anything more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Its standard error so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    pub fn expect_said(&self, words: &str) {
        until(&format!("{words:?} on standard error, which has\n{}", self.said()), || {
            self.said().contains(words).then_some(())
        });
    }

    /// Its exit code and what it said, once it has ended by itself.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = until("the end of the daemon", || self.child.try_wait().unwrap());
        (status.code(), self.said())
    }

    /// Status and body; nothing while nobody listens.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn expect_ready(&self, status: u16) {
        until(&format!("/readyz with {status}; standard error has\n{}", self.said()), || {
            self.get("/readyz").filter(|(got, _)| *got == status)
        });
    }

    /// How many errors of the store it counted while it was recording audits.
    pub fn errors_of_recording(&self) -> u64 {
        let text = self.get("/metrics").unwrap().1;
        let series = "driftwise_store_errors_total{operation=\"record\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        count.parse().unwrap()
    }

    /// It has looked, and recorded that.
    pub fn was_polled(&self) -> bool {
        self.get("/metrics").is_some_and(|(_, text)| text.contains("driftwise_session_status{"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
