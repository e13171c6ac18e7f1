//! Traces, as a collector on loopback gets them. The cargo feature `otel` compiles these tests; `scripts/otel-test` runs them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use driftwise::simulator::{Mode, PASSWORD};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::program::{Daemon, driftwise, eventually, eventually_or};
use crate::support::port::ClosedPort;
use crate::world::{FALLBACK, OWNER, Setup, World};

/// A collector: accepts OTLP over HTTP, and keeps the requests.
struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
    /// Serves until it is dropped.
    _runtime: Runtime,
}

struct Taken {
    requests: Mutex<Vec<Request>>,
    /// Its answer; `None` leaves the client waiting.
    answer: Mutex<Option<StatusCode>>,
}

#[derive(Debug, Clone)]
struct Request {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Collector {
    fn start(answer: Option<StatusCode>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Taken { requests: Mutex::default(), answer: Mutex::new(answer) });
        let router = Router::new().fallback(take).with_state(Arc::clone(&taken));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, taken, _runtime: runtime }
    }

    fn requests(&self) -> Vec<Request> {
        self.taken.requests.lock().unwrap().clone()
    }

    /// Every span so far.
    fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|request| spans(&request.body)).collect()
    }

    /// Waits for a span that has these attributes.
    fn span(&self, name: &str, attributes: &[(&str, &str)]) -> Span {
        let fits =
            |span: &Span| span.name == name && attributes.iter().all(|(key, value)| span.attribute(key) == *value);
        let what = || format!("span {name} {attributes:?}; there are {:#?}", self.spans());
        eventually_or(what, || self.spans().into_iter().find(fits))
    }
}

async fn take(State(taken): State<Arc<Taken>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    taken.requests.lock().unwrap().push(Request { path: uri.path().to_owned(), headers, body });
    let answer = *taken.answer.lock().unwrap();
    match answer {
        Some(status) => status,
        None => std::future::pending().await,
    }
}

#[derive(Debug, Clone)]
struct Span {
    name: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    trace: Vec<u8>,
    failed: bool,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

impl Span {
    fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    fn is_child_of(&self, other: &Self) -> bool {
        self.parent == other.id && self.trace == other.trace
    }
}

/// A field of a protobuf message: the bytes of a text or a message, or a number.
#[derive(Debug)]
enum Field<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// The fields of a message and their numbers. The encoding: <https://protobuf.dev/programming-guides/encoding>.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Number(u64::from_le_bytes(part(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                Field::Bytes(part(&mut message, length))
            }
            5 => Field::Number(u32::from_le_bytes(part(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn part<'a>(message: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (part, rest) = message.split_at(length);
    *message = rest;
    part
}

fn varint(message: &mut &[u8]) -> u64 {
    let end = message.iter().position(|byte| byte & 0x80 == 0).unwrap();
    part(message, end + 1).iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// The fields with a number that hold bytes.
fn within(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = fields(message).into_iter().filter(|(found, _)| *found == number);
    let bytes = fields.map(|(_, field)| match field {
        Field::Bytes(bytes) => bytes,
        Field::Number(value) => panic!("field {number} is the number {value}"),
    });
    bytes.collect()
}

fn text(message: &[u8], number: u64) -> String {
    within(message, number).first().map(|text| String::from_utf8(text.to_vec()).unwrap()).unwrap_or_default()
}

/// A list of `KeyValue`, each of whose values is a text or a number.
fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let value = |pair: &[u8]| match fields(within(pair, 2)[0]).remove(0) {
        (1, Field::Bytes(text)) => String::from_utf8(text.to_vec()).unwrap(),
        (_, other) => format!("{other:?}"),
    };
    within(message, number).into_iter().map(|pair| (text(pair, 1), value(pair))).collect()
}

/// The spans of an `ExportTraceServiceRequest`. The numbers of the fields: `opentelemetry/proto/trace/v1/trace.proto`.
fn spans(request: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    for of_resource in within(request, 1) {
        let resource = attributes(within(of_resource, 1)[0], 1);
        for of_scope in within(of_resource, 2) {
            for span in within(of_scope, 2) {
                let bytes = |number| within(span, number).first().map(|bytes| bytes.to_vec()).unwrap_or_default();
                let status = within(span, 15).first().map(|status| fields(status)).unwrap_or_default();
                found.push(Span {
                    name: text(span, 5),
                    id: bytes(2),
                    parent: bytes(4),
                    trace: bytes(1),
                    failed: status.iter().any(|field| matches!(field, (3, Field::Number(2)))),
                    attributes: attributes(span, 9),
                    resource: resource.clone(),
                });
            }
        }
    }
    found
}

/// A daemon that exports to this address, twice a second.
fn traced(world: &World, collector: SocketAddr) -> Daemon {
    let mut command = driftwise(world.folder());
    command.args(["run", "--log-format", "json"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")).env("OTEL_BSP_SCHEDULE_DELAY", "500");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=key-of-the-collector");
    Daemon::begin(&mut command)
}

#[test]
fn each_cycle_is_a_trace_without_addresses_values_and_secrets() {
    let (world, collector) = (World::new(1, &Setup::default()), Collector::start(Some(StatusCode::OK)));
    world.simulator.set(14, "import_orders_as", "j.doe");
    let daemon = traced(&world, collector.address);

    let audit = collector.span("audit", &[("source", "erp"), ("outcome", "polled")]);
    let children = ["poll", "reconcile", "record"].map(|name| {
        let is_it = |span: &Span| span.name == name && span.is_child_of(&audit);
        eventually(&format!("{name} of the audit"), || collector.spans().into_iter().find(is_it))
    });
    let outcomes = children.each_ref().map(|span| (span.attribute("source"), span.attribute("outcome")));
    assert_eq!(outcomes, [("erp", "answered"), ("erp", "reconciled"), ("erp", "recorded")]);
    assert!(!audit.failed && children.iter().all(|span| !span.failed));

    collector.span("alert", &[("outcome", "recorded")]);
    let delivery = collector.span("deliver", &[("channel", "email"), ("outcome", "sent")]);
    let number = delivery.attribute("notification");
    let shown = world.run(&["notifications", "show", number]).expect(0);
    assert!(shown.out.contains(OWNER) || shown.out.contains(FALLBACK), "{}", shown.out);

    world.simulator.fail(Mode::ServerError, None);
    assert!(collector.span("poll", &[("outcome", "server_error")]).failed);
    assert!(collector.span("audit", &[("outcome", "unreachable")]).failed);
    world.simulator.heal();

    daemon.signal("HUP");
    assert!(!collector.span("reload", &[("trigger", "SIGHUP"), ("outcome", "reloaded")]).failed);
    world.edit(&[("sources:", "sauces:")]);
    daemon.signal("HUP");
    assert!(collector.span("reload", &[("outcome", "refused")]).failed);

    let log = daemon.stop();
    assert!(!log.contains("\"span\"") && !log.contains("key-of-the-collector"), "{log}");
    let requests = collector.requests();
    for Request { path, headers, body } in &requests {
        assert_eq!(path, "/v1/traces");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["api-key"], "key-of-the-collector");
        let body = String::from_utf8_lossy(body);
        for private in
            [OWNER, FALLBACK, "j.doe", "acme", "integrator.example", PASSWORD, world.folder().to_str().unwrap()]
        {
            assert!(!body.contains(private), "{private}: {body}");
        }
    }
    let resource = &collector.spans()[0].resource;
    assert_eq!((&*resource["service.name"], &*resource["service.version"]), ("driftwise", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_last_spans_are_exported_when_the_program_stops() {
    let (world, collector) = (World::new(1, &Setup::default()), Collector::start(Some(StatusCode::OK)));
    let mut command = driftwise(world.folder());
    command.arg("run").env("OTEL_BSP_SCHEDULE_DELAY", "3600000").env("OTEL_SERVICE_NAME", "shop-audits");
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/v1/traces", collector.address));
    let daemon = Daemon::begin(&mut command);
    daemon.first_poll();
    assert!(collector.requests().is_empty());
    daemon.stop();
    let audit = collector.span("audit", &[]);
    assert_eq!(audit.resource["service.name"], "shop-audits");
}

/// Asserts that everything else goes on without a collector, and that the log reports once that no traces are exported.
#[track_caller]
fn works_without(world: &World, daemon: Daemon, reason: &str) {
    daemon.first_poll();
    world.simulator.set(14, "import_orders_as", "j.doe");
    world.mail("drift", OWNER);
    let failed = "failed to export traces";
    eventually(failed, || daemon.said().contains(failed).then_some(()));
    for _ in 0..3 {
        daemon.poll();
    }
    let asked = Instant::now();
    let log = daemon.stop();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(log.matches(failed).count(), 1, "{log}");
    assert!(log.contains(reason), "{log}");
}

#[test]
fn a_collector_that_refuses_connections_is_logged_once_and_stops_nothing() {
    let world = World::new(1, &Setup::default());
    let closed = ClosedPort::hold();
    let address = ([127, 0, 0, 1], closed.number).into();
    works_without(&world, traced(&world, address), "refused");
}

#[test]
fn a_collector_that_never_answers_delays_neither_work_nor_the_stop() {
    let (world, collector) = (World::new(1, &Setup::default()), Collector::start(None));
    works_without(&world, traced(&world, collector.address), "did not answer within 10 s");
}

#[test]
fn a_collector_that_fails_for_a_time_is_logged_at_the_first_failure_and_when_it_takes_traces_again() {
    let (world, collector) =
        (World::new(1, &Setup::default()), Collector::start(Some(StatusCode::SERVICE_UNAVAILABLE)));
    let daemon = traced(&world, collector.address);
    let failed = "the collector answered with status 503";
    eventually(failed, || daemon.said().contains(failed).then_some(()));
    daemon.poll();
    *collector.taken.answer.lock().unwrap() = Some(StatusCode::OK);
    let again = "exporting traces again";
    eventually(again, || daemon.said().contains(again).then_some(()));
    let log = daemon.stop();
    assert_eq!((log.matches(failed).count(), log.matches(again).count()), (1, 1), "{log}");
}

#[test]
fn an_endpoint_that_cannot_be_used_is_an_error_in_the_log_and_the_daemon_runs() {
    let world = World::new(1, &Setup::default());
    let mut command = driftwise(world.folder());
    command.arg("run").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:key-of-the-collector@127.0.0.1:4318");
    let daemon = Daemon::begin(&mut command);
    daemon.first_poll();
    let log = daemon.stop();
    assert!(log.contains("cannot export traces") && log.contains("must not contain a user name or password"), "{log}");
    assert!(!log.contains("key-of-the-collector"), "{log}");
}
