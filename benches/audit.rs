//! The cost of one audit, beside the cost of parsing or hashing the same bytes: `cargo bench --bench audit`.
//!
//! All parts are measured in turns in one process, and the least of several rounds counts, so that other load on the machine
//! affects all of them alike. The store is a real file; a commit waits for the disk.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures for people")]
#![expect(clippy::panic, reason = "as above")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::disallowed_methods, reason = "outside the program")]

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use driftwise::app::adapters::{self, Waits};
use driftwise::clock::{Clock, ManualClock};
use driftwise::config::{Config, ProcessEnvironment};
use driftwise::domain::name::Name;
use driftwise::domain::observation::{Digest, RawSnapshot};
use driftwise::domain::plan::Due;
use driftwise::domain::reconcile::{PollOutcome, reconcile};
use driftwise::domain::snapshot::Snapshot;
use driftwise::domain::state::SourceState;
use driftwise::engine::alerting::{Alerting, AlertingParts};
use driftwise::engine::audit::{AuditOutcome, Auditor};
use driftwise::engine::bells::Bells;
use driftwise::engine::current::Current;
use driftwise::engine::polls::Polls;
use driftwise::engine::published::Published;
use driftwise::metrics::Metrics;
use driftwise::metrics::exposition;
use driftwise::notify::Channel;
use driftwise::secret::{KnownSecret, Redactor};
use driftwise::source::{FetchError, Fetched, Source, json};
use driftwise::store::Store;
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

/// A row in the order of its columns.
#[derive(serde::Deserialize)]
#[expect(dead_code, clippy::struct_excessive_bools, reason = "parsed, not read")]
struct Typed {
    session_id: i64,
    name: String,
    active: bool,
    export: bool,
    schedule: String,
    notification_email: String,
    transfer_type: String,
    import_orders_as: String,
    use_delivery_method_system_tax_code: bool,
    use_cvariant_system_tax_code: bool,
    add_customer_contact: bool,
    add_delivery_address: bool,
    use_cvariant_stock_location: bool,
    override_variant_disallow: bool,
    customer_validation_1: bool,
    customer_validation_2: bool,
    customer_validation_3: bool,
    customer_validation_4: bool,
    invalid_postcodes_as_paused: bool,
    default_warehouse: String,
    price_list_id: i64,
    order_prefix: String,
    deposit_percentage: f64,
    default_analysis_code: Option<String>,
}

/// The response to an export with `sessions` rows. `last` is a column of an unaudited session: it changes the bytes for the same
/// sessions. `drifted` sessions have Export ticked.
fn body(sessions: usize, last: usize, drifted: usize) -> Vec<u8> {
    let audited = (1..=sessions).map(|id| (id, id <= drifted, String::from("SH")));
    support::rows(audited.chain(std::iter::once((9_999_999, false, format!("SH{last}"))))).into_bytes()
}

/// A source whose answer is set by hand, read as the sources of the program read theirs. Notes when it was polled, which is when
/// the first byte is there.
#[derive(Default)]
struct Fixed {
    body: Mutex<Arc<Vec<u8>>>,
    asked: Mutex<Option<Instant>>,
    redactor: Arc<Redactor>,
}

/// The secrets of a source after its sign-in: a password, and a token of a usual length.
fn redactor() -> Redactor {
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}", "k7Qw9_xZ".repeat(40));
    let [password, pair] = KnownSecret::sign_in("driftwise-api", &"correct-horse-battery".into());
    Redactor::new(&[password, pair, KnownSecret::token(token)])
}

fn read(body: &[u8], redactor: &Redactor) -> Result<RawSnapshot, FetchError> {
    json::read_within(body, body.len() as u64, redactor)
}

impl Fixed {
    fn answer(&self) -> Arc<Vec<u8>> {
        let body = Arc::clone(&self.body.lock().unwrap());
        *self.asked.lock().unwrap() = Some(Instant::now());
        body
    }
}

impl Source for Fixed {
    fn fetch(&self, _: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        let body = self.answer();
        Box::pin(async move { read(&body, &self.redactor) })
    }

    fn fetch_unless(&self, _: DateTime<Utc>, known: Option<Digest>) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let body = self.answer();
        let redactor = Arc::clone(&self.redactor);
        let read = move || Fetched::of(&body, known, |body| read(body, &redactor));
        Box::pin(async move { tokio::task::spawn_blocking(read).await.unwrap() })
    }
}

struct Stage {
    auditor: Auditor,
    alerting: Arc<Alerting>,
    source: Arc<Fixed>,
    clock: ManualClock,
    name: Name,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(sessions: usize) -> Self {
        use std::fmt::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let mut config = String::from(
            "sources: { erp: { type: file, path: none.json } }\n\
             defaults: { session: { source: erp, params: { notification_email: integrations@acme.example, \
             import_orders_as: Shopify_Orders } } }\n\
             email: { from: driftwise@acme.example, spool: mail }\n\
             store: { url: \"sqlite://driftwise.db\" }\nsessions:\n",
        );
        for id in 1..=sessions {
            writeln!(config, "  - {{ id: {id}, name: shop-{id}.myshopify.com }}").unwrap();
        }
        let path = folder.path().join("driftwise.yaml");
        std::fs::write(&path, config).unwrap();
        let clock = ManualClock::new(Utc::now());
        let config = Config::load(&path, &ProcessEnvironment, clock.now()).unwrap_or_else(|e| panic!("{e}"));
        let channel: Arc<dyn Channel> =
            Arc::new(adapters::email(&config, config.require_email().unwrap(), &mut Waits::default()).unwrap());
        let name = Name::parse("erp").unwrap();
        let source = Arc::new(Fixed { redactor: Arc::new(redactor()), ..Fixed::default() });
        let store = Arc::new(Store::open(&config.store.path).await.unwrap());
        let metrics = Arc::new(Metrics::new(std::slice::from_ref(&name), "email").unwrap());
        let published = Arc::new(Published::new(Arc::new(config.plans), BTreeMap::new()));
        let parts = AlertingParts {
            published: Arc::clone(&published),
            store: Arc::clone(&store),
            channel,
            metrics: Arc::clone(&metrics),
            bells: Bells::default(),
        };
        let alerting = Alerting::load(parts).await.unwrap();
        let alerting = Arc::new(alerting);
        let auditor = Auditor {
            sources: Current::new(Arc::new(BTreeMap::from([(name.clone(), Arc::clone(&source) as Arc<dyn Source>)]))),
            polls: Polls::new(1),
            store,
            metrics,
            clock: Arc::new(clock.clone()),
            stop: CancellationToken::new(),
            alerting: Arc::clone(&alerting),
            published,
        };
        Self { auditor, alerting, source, clock, name, _folder: folder }
    }

    /// One audit, from the first byte of its answer to its commit.
    async fn audit(&self, body: &Arc<Vec<u8>>) -> Duration {
        *self.source.body.lock().unwrap() = Arc::clone(body);
        self.clock.advance(TimeDelta::minutes(5));
        let outcome = self.auditor.run(&self.name, &Due::All).await;
        let took = self.source.asked.lock().unwrap().unwrap().elapsed();
        assert!(matches!(outcome, AuditOutcome::Polled { .. }), "{outcome:?}");
        took
    }
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    let result = work();
    let took = begun.elapsed();
    drop(black_box(result));
    took
}

/// The least of all rounds, by name, in the order of their first appearance.
#[derive(Default)]
struct Least(Vec<(&'static str, Duration)>);

impl Least {
    fn put(&mut self, name: &'static str, took: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, least)) => *least = took.min(*least),
            None => self.0.push((name, took)),
        }
    }

    fn of(&self, name: &str) -> Duration {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, took)| *took).unwrap()
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Measures the pure stages, one after another, on the auditor's state.
fn stages(least: &mut Least, stage: &Stage, body: &[u8]) {
    let now = stage.clock.now();
    let (published, name) = (&stage.auditor.published, &stage.name);
    let plan = &published.plans()[name];
    let begun = Instant::now();
    let raw = read(body, &stage.source.redactor).unwrap();
    least.put("  read the rows", begun.elapsed());
    least.put("  the same, without secrets", time(|| json::read(body).unwrap()));
    let begun = Instant::now();
    let poll = PollOutcome::Snapshot(Snapshot::take(raw, &plan.mapping, now).unwrap());
    least.put("  find the sessions", begun.elapsed());
    published.read(|present| {
        let known = &present.states[name];
        let begun = Instant::now();
        let delta = reconcile(plan, known, &poll, &Due::All, now);
        least.put("  reconcile, nothing changed", begun.elapsed());
        assert!(delta.sessions.is_empty());
    });
    let nothing = SourceState::default();
    least.put("  reconcile, first poll", time(|| reconcile(plan, &nothing, &poll, &Due::All, now)));
    least.put("  free the snapshot", time(|| drop(poll)));
}

async fn estate(sessions: usize, rounds: usize) {
    let mut least = Least::default();
    let bodies = [0, 1].map(|last| Arc::new(body(sessions, last, 0)));
    let drifted = Arc::new(body(sessions, 0, sessions.min(1_000)));
    let stage = Stage::new(sessions).await;
    println!("\n{sessions} sessions, {:.2} MB", bodies[0].len() as f64 / 1e6);
    least.put("first audit", stage.audit(&bodies[1]).await);
    for round in 0..rounds {
        let body = &bodies[round % 2];
        least.put("parse into typed rows", time(|| serde_json::from_slice::<Vec<Typed>>(body).unwrap()));
        least.put("audit, all compliant", stage.audit(body).await);
        least.put("hash (SHA-256)", time(|| Sha256::digest(body.as_slice())));
        least.put("audit, the same bytes", stage.audit(body).await);
        stages(&mut least, &stage, body);
        least.put(
            "scrape",
            time(|| {
                let mut out = String::new();
                exposition::write(&stage.auditor.published, stage.clock.now(), &mut out);
                out
            }),
        );
        least.put("load the store", {
            let begun = Instant::now();
            stage.auditor.store.load().await.unwrap();
            begun.elapsed()
        });
    }
    least.put("audit, up to 1,000 drift at once", stage.audit(&drifted).await);
    least.put("  and their notifications", {
        let begun = Instant::now();
        assert!(stage.alerting.run(stage.clock.now()).await.notifications() > 0);
        begun.elapsed()
    });
    for (name, took) in &least.0 {
        println!("{name:34} {:10.3} ms", milliseconds(*took));
    }
    let ratio = |a, b| least.of(a).as_secs_f64() / least.of(b).as_secs_f64();
    println!("{:34} {:10.2}", "audit : parse", ratio("audit, all compliant", "parse into typed rows"));
    println!("{:34} {:10.2}", "same bytes : hash", ratio("audit, the same bytes", "hash (SHA-256)"));
}

/// Measures each size in a process of its own, so that none starts with the heap of another.
fn main() {
    let sizes = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect::<Vec<usize>>();
    if let [sessions] = sizes[..] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(estate(sessions, (100_000 / sessions).clamp(3, 50)));
    }
    for sessions in if sizes.is_empty() { vec![100, 1_000, 10_000, 100_000] } else { sizes } {
        let status = std::process::Command::new(std::env::current_exe().unwrap()).arg(sessions.to_string()).status();
        assert!(status.unwrap().success(), "{sessions} sessions");
    }
}
