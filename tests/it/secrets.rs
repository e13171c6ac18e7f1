//! Promise 6: no secret appears in a log, a page, a metric, a mail, an error or the store.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use driftwise::simulator::{Mode, USERNAME};
use serde_json::json;

use crate::program::{Daemon, driftwise, run};
use crate::server::Server;
use crate::world::{OWNER, Setup, World};

const CANARY: &str = "c4n4ry-of-the-source";
const MAIL_CANARY: &str = "c4n4ry-of-the-mail";
/// The beginning of every token of the stand-in.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.simulated";

#[track_caller]
fn clean(place: &str, bytes: impl AsRef<[u8]>) {
    let encoded = BASE64_STANDARD.encode(format!("{USERNAME}:{CANARY}"));
    let mail_encoded = BASE64_STANDARD.encode(MAIL_CANARY);
    let plain = BASE64_STANDARD.encode(format!("\0driftwise\0{MAIL_CANARY}"));
    for secret in
        [CANARY, MAIL_CANARY, TOKEN, encoded.trim_end_matches('='), mail_encoded.trim_end_matches('='), &plain]
    {
        let found = bytes.as_ref().windows(secret.len()).position(|window| window == secret.as_bytes());
        if let Some(at) = found {
            let around = &bytes.as_ref()[at.saturating_sub(200)..at];
            panic!("{place} shows a secret after {}", String::from_utf8_lossy(around));
        }
    }
}

/// Log levels and formats.
const LOUDEST: [(&[&str], Option<&str>); 3] = [
    (&["--log-level", "trace"], None),
    (&[], Some("trace")),
    (&["--log-format", "human"], Some("trace,hyper=trace,reqwest=trace,lettre=trace,sqlx=trace,rustls=trace")),
];

/// The forms of a secret in the configuration: for the sign-in of the stand-in, and for the password for mail.
fn ways() -> [(&'static str, String, String); 4] {
    let hash = BASE64_STANDARD.encode(format!("{USERNAME}:{CANARY}"));
    [
        ("inline", format!("username: {USERNAME}, password: \"{CANARY}\""), MAIL_CANARY.to_owned()),
        ("env", format!("username: {USERNAME}, password: {{ env: ERP_SECRET }}"), "{ env: MAIL_SECRET }".to_owned()),
        ("file", "credential_hash: { file: secrets/erp-hash }".to_owned(), "{ file: secrets/mail-secret }".to_owned()),
        ("hash", format!("credential_hash: \"{hash}\""), "\"${MAIL_SECRET}\"".to_owned()),
    ]
}

/// A world whose secrets are given in one of the [`ways`], and whose mail goes to `server`.
fn world(server: &Server, owners: &str, source: &str, mail: &str) -> World {
    let email =
        format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none, username: driftwise, password: {mail} }}", server.port);
    let sessions = vec![format!("{{ id: 14, owners: [{owners}] }}")];
    let world = World::new(1, &Setup { sessions, password: CANARY.to_owned(), email, ..Setup::default() });
    world.edit(&[(&format!("username: {USERNAME}, password: \"{CANARY}\""), source)]);
    let hash = BASE64_STANDARD.encode(format!("{USERNAME}:{CANARY}"));
    std::fs::create_dir(world.path("secrets")).unwrap();
    for (name, secret) in [("erp-hash", hash.as_str()), ("mail-secret", MAIL_CANARY)] {
        std::fs::write(world.path("secrets").join(name), format!("{secret}\n")).unwrap();
    }
    world
}

fn loud(world: &World, command: &[&str], (arguments, rust_log): (&[&str], Option<&str>)) -> Command {
    let mut loud = driftwise(world.folder());
    loud.args(command).args(arguments).env("ERP_SECRET", CANARY).env("MAIL_SECRET", MAIL_CANARY);
    if let Some(rust_log) = rust_log {
        loud.env("RUST_LOG", rust_log);
    }
    loud
}

/// Asserts that no file of the program has a secret.
fn clean_files(world: &World) {
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("driftwise.yaml") {
            clean(&path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
}

const COMMANDS: [&[&str]; 14] = [
    &["check", "--notify"],
    &["check"],
    &["check", "--format", "json"],
    &["check", "--session", "erp/14"],
    &["validate"],
    &["validate", "--online"],
    &["sessions", "--source", "erp"],
    &["status"],
    &["status", "--format", "json"],
    &["notifications", "test", "--to", OWNER],
    &["notifications", "list"],
    &["notifications", "list", "--format", "json"],
    &["healthcheck", "--address", "127.0.0.1:9"],
    &["notifications", "preview", "drift"],
];

#[test]
fn no_command_shows_a_secret_at_the_loudest() {
    let server = Server::start(json!({ "mode": "none", "user": "driftwise", "pass": MAIL_CANARY }));
    for (at, (way, source, mail)) in ways().into_iter().enumerate() {
        let world = world(&server, OWNER, &source, &mail);
        world.simulator.set(14, "import_orders_as", "j.doe");
        for fault in [None, Some(Mode::Unauthorized), Some(Mode::ServerError)] {
            match &fault {
                Some(mode) => world.simulator.fail(mode.clone(), None),
                None => world.simulator.heal(),
            }
            for (number, command) in COMMANDS.into_iter().enumerate() {
                // Each command in each form, but not in each combination.
                let loudest = LOUDEST[(number + at) % LOUDEST.len()];
                let done = loud(&world, command, loudest).output().unwrap();
                assert_ne!(done.status.code(), Some(101), "{command:?} panicked");
                clean(&format!("{command:?} {loudest:?} {way}"), [done.stdout, done.stderr].concat());
            }
        }
        clean_files(&world);
    }
}

#[test]
fn a_daemon_shows_no_secret_at_the_loudest() {
    for ((way, source, mail), loudest) in ways().into_iter().zip(LOUDEST.into_iter().cycle()) {
        let server = Server::start(json!({ "mode": "none", "user": "driftwise", "pass": MAIL_CANARY }));
        let world = world(&server, OWNER, &source, &mail);
        world.simulator.set(14, "import_orders_as", "j.doe");
        let daemon = Daemon::begin(&mut loud(&world, &["run"], loudest));
        daemon.until("driftwise_notifications_total", &[("outcome", "sent")], 1.0);
        let address = daemon.address.to_string();
        let healthy = loud(&world, &["healthcheck", "--address", &address], loudest).output().unwrap();
        clean("healthcheck", [healthy.stdout, healthy.stderr].concat());
        world.simulator.set_password("another");
        world.simulator.revoke_tokens();
        daemon.until("driftwise_source_requests_total", &[("outcome", "auth")], 1.0);
        for page in ["/", "/sessions/erp/14", "/metrics", "/readyz", "/healthz", "/nothing"] {
            clean(page, daemon.get(page).1);
        }
        let said = daemon.stop();
        assert!(said.contains("TRACE") || said.contains("DEBUG"), "it is loud: {way}");
        clean(&format!("log of the daemon {loudest:?} {way}"), said);
        clean("mail", server.taken().raw);
        clean_files(&world);
    }
}

#[test]
fn a_mail_server_that_repeats_the_password_is_not_quoted() {
    let forms = [
        MAIL_CANARY.to_owned(),
        BASE64_STANDARD.encode(MAIL_CANARY),
        BASE64_STANDARD.encode(format!("\0driftwise\0{MAIL_CANARY}")),
    ];
    let owners = format!("550-rcpt@acme.example, 450-rcpt@acme.example, 552-data@acme.example, {OWNER}");
    let (_, source, mail) = &ways()[0];
    for (signs_in, adds) in
        [true, false].into_iter().flat_map(|signs_in| forms.iter().map(move |form| (signs_in, form)))
    {
        let pass = if signs_in { MAIL_CANARY } else { "another" };
        let server = Server::start(json!({ "mode": "none", "user": "driftwise", "pass": pass, "adds": adds }));
        let world = world(&server, &owners, source, mail);
        world.simulator.set(14, "import_orders_as", "j.doe");
        let daemon = Daemon::begin(&mut loud(&world, &["run"], LOUDEST[1]));
        let outcomes: &[(&str, f64)] =
            if signs_in { &[("rejected", 2.0), ("deferred", 1.0), ("accepted", 1.0)] } else { &[("auth", 4.0)] };
        for (outcome, least) in outcomes {
            daemon.until("driftwise_notification_attempts_total", &[("outcome", outcome)], *least);
        }
        for command in [
            &["notifications", "list"][..],
            &["notifications", "list", "--format", "json"],
            &["status"],
            &["validate", "--online"],
        ] {
            let done = world.run(command);
            clean(&format!("{command:?}"), done.out + &done.err);
        }
        let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).out;
        assert!(list.contains("words that hold the password"), "{list}");
        for page in ["/", "/sessions/erp/14", "/metrics"] {
            clean(page, daemon.get(page).1);
        }
        clean("log", daemon.stop());
        let test = world.run(&["notifications", "test", "--to", "550-rcpt@acme.example"]).expect(4);
        clean("notifications test", test.out + &test.err);
        clean_files(&world);
    }
}

#[test]
fn a_problem_with_the_configuration_does_not_quote_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let broken = [
        format!("sources: {{ erp: {{ type: orderwise, username: u, pasword: {CANARY} }} }}"),
        format!("sources: {{ erp: {{ type: orderwise, username: u, password: [{CANARY}] }} }}"),
        format!("sources: {{ erp: {{ type: orderwise, credential_hash: {CANARY}, base_url: 7 }} }}"),
        format!("sources:\n  erp:\n    password: {CANARY}\n   username: u\n"),
        format!("sources:\n  erp:\n    password: \"{CANARY}\n"),
        format!("sources: {{ erp: {{ type: orderwise, base_url: \"https://u:{CANARY}@h/OWAPI\", username: u }} }}"),
        format!("store: {{ url: \"postgres://u:{CANARY}@h/d\" }}"),
        format!("email: {{ from: a@b.example, smtp: {{ host: h, username: u, password: {{ plain: {CANARY} }} }} }}"),
    ];
    for text in broken {
        std::fs::write(folder.path().join("driftwise.yaml"), &text).unwrap();
        for command in ["validate", "check", "run"] {
            let refused = run(folder.path(), &[command, "--log-level", "trace"]).expect(2);
            clean(&text, refused.out + &refused.err);
        }
    }
}
