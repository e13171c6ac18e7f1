//! The world of a test: a stand-in OrderWise on its own port, and a folder with a configuration, a store and mail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use driftwise::app::{App, Reloading};
use driftwise::clock::ManualClock;
use driftwise::config::Config;
use driftwise::domain::notification::NotificationKind;
use driftwise::simulator::{PASSWORD, Simulator, USERNAME};
use driftwise::store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mailbox::{self, Mail};
use crate::program::{self, Daemon, Done, eventually, eventually_or};
use crate::support::edit;
use crate::support::endpoint::{Endpoint, Reply};
use crate::support::port::ClosedPort;

pub const OWNER: &str = "integrations@acme.example";
pub const FALLBACK: &str = "ops@integrator.example";

/// The variable parts of the configuration.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Lines of the list of sessions.
    pub sessions: Vec<String>,
    /// Keys of `alerts` besides the fallback.
    pub alerts: String,
    /// Keys of the source besides the sign-in.
    pub source: String,
    pub password: String,
    pub email: String,
    /// Keys of `server` besides `listen`, after a comma.
    pub server: String,
    /// Whole sections.
    pub more: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sessions: vec![String::from("{ id: 14 }")],
            alerts: String::from("unreachable_after: 0"),
            source: String::from("timeout: 5s"),
            password: PASSWORD.to_owned(),
            email: String::from("spool: ./mail"),
            server: String::new(),
            more: String::new(),
        }
    }
}

/// See the module.
pub struct World {
    folder: TempDir,
    pub simulator: Arc<Simulator>,
    pub api: std::net::SocketAddr,
    stop: CancellationToken,
    runtime: Runtime,
}

impl World {
    /// A world with `sessions` sessions, and the configuration of `setup`.
    pub fn new(sessions: usize, setup: &Setup) -> Self {
        Self::with(Simulator::new(sessions).with_credentials(USERNAME, &setup.password), setup)
    }

    pub fn with(simulator: Simulator, setup: &Setup) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (simulator, stop) = (Arc::new(simulator), CancellationToken::new());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let api = listener.local_addr().unwrap();
        runtime.spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        let world = Self { folder: tempfile::tempdir().unwrap(), simulator, api, stop, runtime };
        world.configure(setup);
        world
    }

    /// Writes the whole configuration.
    pub fn configure(&self, setup: &Setup) {
        let Setup { sessions, alerts, source, password, email, server, more } = setup;
        let sessions = sessions.join("\n  - ");
        let text = format!(
            "sources:\n  erp: {{ type: orderwise, base_url: \"http://{}/OWAPI\", username: {USERNAME}, \
             password: \"{password}\", export_definition: 61, {source} }}\n\
             defaults:\n  session:\n    source: erp\n    schedule: \"* * * * * *\"\n    \
             params: {{ notification_email: {OWNER}, import_orders_as: Shopify_Orders }}\n\
             sessions:\n  - {sessions}\n\
             email: {{ from: Driftwise <driftwise@integrator.example>, {email} }}\n\
             alerts: {{ fallback: [{FALLBACK}], {alerts} }}\n\
             server: {{ listen: \"127.0.0.1:0\"{server} }}\n{more}",
            self.api
        );
        std::fs::write(self.path("driftwise.yaml"), text).unwrap();
    }

    /// Replaces texts of the configuration, each of which must occur in it.
    #[track_caller]
    pub fn edit(&self, edits: &[(&str, &str)]) {
        edit::edit(&self.path("driftwise.yaml"), edits);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        program::run(self.folder(), arguments)
    }

    pub fn daemon(&self) -> Daemon {
        Daemon::start(self.folder(), &[])
    }

    pub fn mails(&self) -> Vec<Mail> {
        mailbox::in_folder(&self.path("mail"))
    }

    /// Kind and recipient of each mail, sorted.
    pub fn notified(&self) -> Vec<(String, String)> {
        mailbox::kinds(&self.mails())
    }

    /// Waits for the first mail of a kind to a recipient.
    pub fn mail(&self, kind: &str, to: &str) -> Mail {
        let wanted = |mail: &Mail| mail.kind() == kind && mail.to() == to;
        let what = || format!("{kind} mail to {to}; there are {:?}", self.notified());
        eventually_or(what, || self.mails().into_iter().find(wanted))
    }

    /// Asserts that there is no mail of this kind.
    #[track_caller]
    pub fn no_mail(&self, kind: &str) {
        assert!(
            NotificationKind::from_label(kind).is_some(),
            "{kind} is no kind of notification: no mail can be of it"
        );
        assert!(self.mails().iter().all(|mail| mail.kind() != kind), "{:?}", self.notified());
    }

    /// Starts an HTTP server that gives these replies.
    pub fn endpoint(&self, replies: impl IntoIterator<Item = Reply>) -> Endpoint {
        self.runtime.block_on(Endpoint::start(replies))
    }

    /// A port that refuses connections until [`World::endpoint_at`] opens it.
    pub fn closed_port(&self) -> ClosedPort {
        self.runtime.block_on(async { ClosedPort::hold() })
    }

    pub fn endpoint_at(&self, port: ClosedPort, replies: impl IntoIterator<Item = Reply>) -> Endpoint {
        self.runtime.block_on(async { Endpoint::serve(port.open(), replies) })
    }

    /// Reads the store, as a command beside the daemon does.
    pub fn stored<T>(&self, read: impl AsyncFnOnce(&Store) -> T) -> T {
        self.runtime.block_on(async {
            let store = Store::read(&self.path("driftwise.db")).await.unwrap();
            let value = read(&store).await;
            store.close().await;
            value
        })
    }

    /// Runs the program inside this process, with a clock that the test sets.
    pub fn inside(&self, clock: &ManualClock) -> Inside<'_> {
        let shutdown = CancellationToken::new();
        let environment = |_: &str| None;
        let now = driftwise::clock::Clock::now(clock);
        let path = self.path("driftwise.yaml");
        let load = move || Config::load(&path, &environment, now);
        let config = load().unwrap();
        let app = App::build(config, Reloading::new(Arc::new(load)), Arc::new(clock.clone()), shutdown.clone());
        let app = self.runtime.block_on(app).unwrap();
        let address = app.address().unwrap();
        Inside { world: self, address, shutdown, task: Some(self.runtime.spawn(app.run())) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// See [`World::inside`].
pub struct Inside<'a> {
    world: &'a World,
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Inside<'_> {
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        program::metric(&program::get(self.address, "/metrics")?.1, name, labels)
    }

    pub fn until(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        eventually(&format!("{name} {labels:?} of {least}"), || {
            self.metric(name, labels).filter(|value| *value >= least)
        });
    }

    pub fn stop(mut self) {
        self.shutdown.cancel();
        let task = self.task.take().unwrap();
        self.world.runtime.block_on(task).unwrap().unwrap();
    }
}

/// A time for a clock that the test sets.
pub fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
