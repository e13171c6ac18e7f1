//! A folder with a configuration, a grid of sessions and a store; a daemon that runs in it until it is killed.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use driftwise::domain::event::Event;
use driftwise::store::{NotificationFilter, Store, StoredNotification};
use tempfile::TempDir;

use crate::support::program::{Daemon, eventually_or};

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

/// Audited sessions; each has an owner of its own.
pub const SESSIONS: usize = 3;

pub struct Harness {
    pub folder: TempDir,
    /// The path of the store, which has a folder of its own.
    pub store: PathBuf,
    pub port: u16,
    delivery: String,
}

impl Harness {
    /// `delivery`: the keys of `email`.
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

    /// Replaces the grid. `drifts`: which sessions are wrong. The drift of the first is critical, so the fallback is notified
    /// too; the others are warnings for the owner.
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
        let all = wrapper.iter().map(|word| (*word).to_owned()).chain(self.command()).collect::<Vec<_>>();
        let mut command = Command::new(&all[0]);
        Daemon::launch(command.args(&all[1..]).env_remove("RUST_LOG"), ([127, 0, 0, 1], self.port).into())
    }

    /// The content of the store, read beside the daemon.
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

/// Everything that the store has of the past, in order.
#[derive(Debug, Default)]
pub struct Known {
    pub messages: Vec<StoredNotification>,
    pub events: Vec<Event>,
}

pub fn expect_said(daemon: &Daemon, words: &str) {
    let what = || format!("{words:?} on standard error, which has\n{}", daemon.said());
    eventually_or(what, || daemon.said().contains(words).then_some(()));
}

pub fn expect_ready(daemon: &Daemon, status: u16) {
    let what = || format!("/readyz with {status}; standard error has\n{}", daemon.said());
    eventually_or(what, || daemon.try_get("/readyz").filter(|(got, _)| *got == status));
}

/// The exit code and the log of a daemon that has ended by itself.
pub fn ended(mut daemon: Daemon) -> (Option<i32>, String) {
    (daemon.wait().code(), daemon.said())
}

/// How many store errors the daemon counted while it recorded audits.
pub fn errors_of_recording(daemon: &Daemon) -> f64 {
    daemon.metric("driftwise_store_errors_total", &[("operation", "record")]).unwrap()
}

/// Whether the daemon has polled and recorded that.
pub fn was_polled(daemon: &Daemon) -> bool {
    daemon.try_get("/metrics").is_some_and(|(_, text)| text.contains("driftwise_session_status{"))
}
