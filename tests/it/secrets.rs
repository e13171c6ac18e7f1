//! Promise 6: no secret appears in a log, a page, a metric, a mail, an error or the store.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use driftwise::simulator::{Mode, USERNAME};
use serde_json::json;

use crate::program::{driftwise, run};
use crate::server::Server;
use crate::world::{OWNER, Setup, World};

const CANARY: &str = "c4n4ry-of-the-source";
const MAIL_CANARY: &str = "c4n4ry-of-the-mail";
/// How every token of the stand-in begins.
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

#[test]
fn no_secret_is_seen_anywhere_at_the_loudest() {
    let server = Server::start(json!({ "mode": "none", "user": "driftwise", "pass": MAIL_CANARY }));
    let email = format!(
        "smtp: {{ host: 127.0.0.1, port: {}, tls: none, username: driftwise, password: {MAIL_CANARY} }}",
        server.port
    );
    let setup = Setup { password: CANARY.to_owned(), email, ..Setup::default() };
    let world = World::new(1, &setup);
    world.simulator.set(14, "import_orders_as", "j.doe");
    let commands: [&[&str]; 7] = [
        &["check", "--notify"],
        &["check", "--format", "json"],
        &["validate", "--online"],
        &["sessions", "--source", "erp"],
        &["status", "--format", "json"],
        &["mail", "test", "--to", OWNER],
        &["mail", "list", "--format", "json"],
    ];
    for fault in [None, Some(Mode::Unauthorized), Some(Mode::ServerError)] {
        match &fault {
            Some(mode) => world.simulator.fail(mode.clone(), None),
            None => world.simulator.heal(),
        }
        for command in commands {
            let done = world.run(&[command, &["--log-level", "trace"]].concat());
            clean(&format!("{command:?}"), done.out + &done.err);
            let loudest = driftwise(world.folder()).args(command).env("RUST_LOG", "trace").output().unwrap();
            clean(&format!("{command:?} with RUST_LOG=trace"), [loudest.stdout, loudest.stderr].concat());
        }
    }
    world.simulator.heal();
    world.simulator.set(14, "export", true);
    let daemon = crate::program::Daemon::start(world.folder(), &["--log-level", "trace"]);
    daemon.until("driftwise_messages_total", &[("outcome", "sent")], 1.0);
    world.simulator.set_password("another");
    world.simulator.revoke_tokens();
    daemon.until("driftwise_source_requests_total", &[("outcome", "auth")], 1.0);
    for page in ["/", "/sessions/erp/14", "/metrics", "/readyz", "/nothing"] {
        clean(page, daemon.get(page).1);
    }
    clean("log of the daemon", daemon.stop());
    clean("mail", server.taken().raw);
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("driftwise.yaml") {
            clean(&path.display().to_string(), std::fs::read(&path).unwrap());
        }
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
