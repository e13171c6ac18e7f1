//! A source repeats the secrets of its requests, in every encoding and at every place: no output of the program shows them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde_json::json;

use crate::mailbox;
use crate::program::{Daemon, run};

const USER: &str = "driftwise-api";
const PASSWORD: &str = "c4n4ry/of+the \"source\"";
/// The token of each sign-in, and one that occurs only in a response.
const TOKEN: &str = "tk-c4n4ry-0123456789abcdef.ghijklmnopqrstuvwxyz";
const ISSUED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3N1ZWQiOiJjNG40cnkifQ.c4n4ry-of-the-issuer";

/// A spelling of a text.
type Spell = fn(&str) -> String;

fn percent(text: &str, all: bool) -> String {
    let plain = |byte: &u8| !all && byte.is_ascii_alphanumeric();
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

const SPELLINGS: [Spell; 14] = [
    str::to_owned,
    str::to_uppercase,
    |text| percent(text, false),
    |text| percent(text, false).to_lowercase(),
    |text| percent(text, true),
    |text| percent(text, true).replace('%', "%25"),
    |text| percent(text, false).replace("%20", "+"),
    |text| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat(),
    |text| text.chars().map(|c| format!("&#{};", u32::from(c))).collect::<Vec<_>>().concat(),
    |text| BASE64_STANDARD.encode(text),
    |text| BASE64_URL_SAFE.encode(format!("Basic {text}")),
    |text| BASE64_STANDARD.encode(format!("ab{text}")),
    |text| percent(&BASE64_STANDARD.encode(text), false),
    |text| text.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat(),
];

/// The place in which a source repeats a secret.
#[derive(Debug, Clone, Copy)]
enum Place {
    SignInRedirect,
    Redirect,
    Host,
    Text,
    Notification,
    Title,
    Object,
    Value,
    Name,
    Column,
    Id,
}

const PLACES: [Place; 11] = [
    Place::SignInRedirect,
    Place::Redirect,
    Place::Host,
    Place::Text,
    Place::Notification,
    Place::Title,
    Place::Object,
    Place::Value,
    Place::Name,
    Place::Column,
    Place::Id,
];

/// The text that each source repeats, by its number: pair, password and token in every encoding at every place.
fn cases() -> Vec<(Place, String)> {
    let pair = format!("{USER}:{PASSWORD}");
    let mut cases = Vec::new();
    for place in PLACES {
        for secret in [&pair, PASSWORD, TOKEN] {
            // A token is unknown before it is issued.
            if matches!(place, Place::SignInRedirect) && secret == TOKEN {
                continue;
            }
            cases.extend(SPELLINGS.map(|spell| (place, spell(secret))));
        }
    }
    for place in [Place::SignInRedirect, Place::Redirect, Place::Text, Place::Notification, Place::Object] {
        cases.push((place, format!("?token={ISSUED}")));
        cases.push((place, format!("{{\"access_token\":\"c4n4ry-opaque\",\"x\":\"{ISSUED}\"}}")));
    }
    cases
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn respond(place: Place, said: &str, signs_in: bool) -> String {
    // A header cannot hold the quotes of JSON, so it gets the text without them.
    let redirect = |to: String| answer("302 Found", &format!("Location: {to}\r\n"), "");
    let rows = |row: serde_json::Value| answer("200 OK", "", &json!([row]).to_string());
    match (place, signs_in) {
        (Place::SignInRedirect, _) => redirect(format!("/{said}")),
        (_, true) => answer("200 OK", "", &json!(TOKEN).to_string()),
        (Place::Redirect, _) => redirect(format!("/{said}")),
        (Place::Host, _) => redirect(format!("http://{said}.example/login")),
        (Place::Text, _) => answer("500 X", "", said),
        (Place::Notification, _) => answer("500 X", "", &json!({ "Notification": said }).to_string()),
        (Place::Title, _) => answer("500 X", "", &format!("<html><title>{said}</title></html>")),
        (Place::Object, _) => answer("200 OK", "", &json!({ "sent": said }).to_string()),
        (Place::Value, _) => rows(json!({ "session_id": 14, "import_orders_as": format!("as {said}") })),
        (Place::Name, _) => {
            rows(json!({ "session_id": 14, "name": said, "notification_email": format!("{said}@x.example") }))
        }
        (Place::Column, _) => rows(json!({ "session_id": 14, said: true })),
        (Place::Id, _) => answer("200 OK", "", &json!([{ "session_id": 14 }, { "session_id": said }]).to_string()),
    }
}

fn serve(cases: Vec<(Place, String)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cases = Arc::new(cases);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let cases = Arc::clone(&cases);
            std::thread::spawn(move || converse(stream, &cases));
        }
    });
    address
}

fn converse(mut stream: TcpStream, cases: &[(Place, String)]) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&request).contains("\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(len) if len > 0 => request.extend_from_slice(&buffer[..len]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let number = head.split('/').nth(1).and_then(|number| number.parse::<usize>().ok()).unwrap();
    let (place, said) = &cases[number];
    let _ = stream.write_all(respond(*place, said, head.contains("gettoken")).as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The configuration: a source and a session for each case, half of them with a hash.
fn configure(folder: &Path, api: SocketAddr, cases: usize) {
    use std::fmt::Write as _;
    let hash = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let mut text = String::from("sources:\n");
    for number in 0..cases {
        let sign_in = match number % 2 {
            0 => format!("username: {USER}, password: {{ file: password }}"),
            _ => "credential_hash: { file: hash }".to_owned(),
        };
        let base_url = format!("http://{api}/{number}/OWAPI");
        let rest = format!("{sign_in}, export_definition: 61");
        writeln!(text, "  s{number}: {{ type: orderwise, base_url: \"{base_url}\", {rest} }}").unwrap();
    }
    text += "sessions:\n";
    for number in 0..cases {
        writeln!(text, "  - {{ source: s{number}, id: 14 }}").unwrap();
    }
    text += "defaults: { session: { owners: [ops@integrator.example], schedule: \"0 0 1 1 *\", \
             params: { notification_email: ops@integrator.example, import_orders_as: Shopify_Orders } } }\n\
             alerts: { fallback: [ops@integrator.example], unreachable_after: 0 }\n\
             email: { from: Driftwise <driftwise@integrator.example>, spool: ./mail }\n\
             server: { listen: \"127.0.0.1:0\" }\n";
    std::fs::write(folder.join("driftwise.yaml"), text).unwrap();
    std::fs::create_dir(folder.join("mail")).unwrap();
    std::fs::write(folder.join("password"), PASSWORD).unwrap();
    std::fs::write(folder.join("hash"), hash).unwrap();
}

/// Parts of the secrets that no output may hold, in lower case. All secrets contain the same word.
fn needles() -> Vec<String> {
    const WORD: &str = "c4n4ry";
    let mut needles = SPELLINGS[..9].iter().map(|spell| spell(WORD).to_lowercase()).collect::<Vec<_>>();
    needles.push(SPELLINGS[13](WORD));
    for before in ["", "a", "ab"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}{WORD}"));
        // Only the characters that depend on the word alone.
        let alone = &encoded[(before.len() * 8).div_ceil(6)..];
        needles.push(alone.trim_end_matches('=')[..6].to_lowercase());
    }
    needles.retain(|needle| needle.len() >= 6);
    needles
}

#[track_caller]
fn clean(place: &str, bytes: impl AsRef<[u8]>) {
    // Removes the soft line breaks of quoted-printable text, and decodes its equals signs.
    let text = String::from_utf8_lossy(bytes.as_ref()).to_lowercase().replace("=\r\n", "").replace("=3d", "=");
    for needle in needles() {
        if let Some(at) = text.find(&needle) {
            let start = text.floor_char_boundary(at.saturating_sub(300));
            panic!("{place} holds {needle} after {}", &text[start..at]);
        }
    }
}

#[test]
fn a_secret_that_a_source_repeats_appears_nowhere() {
    let cases = cases();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, serve(cases.clone()), cases.len());
    for command in [&["check"][..], &["check", "--format", "json"], &["validate", "--online"]] {
        let done = run(folder, command);
        assert!(done.out.contains("[redacted]"), "{command:?}: {} {}", done.out, done.err);
        clean(&format!("{command:?}"), done.out + &done.err);
    }
    let mut command = crate::program::driftwise(folder);
    let daemon = Daemon::begin(command.arg("run").env("RUST_LOG", "trace,hyper=info,reqwest=debug"));
    daemon.until("driftwise_audits_total", &[], f64::from(u32::try_from(cases.len()).unwrap()));
    daemon.until("driftwise_notifications_total", &[("outcome", "sent")], 1.0);
    crate::program::eventually("empty outbox", || {
        daemon.metric("driftwise_outbox_notifications", &[]).filter(|left| *left == 0.0)
    });
    clean("/metrics", daemon.get("/metrics").1);
    let mut pages = daemon.get("/").1;
    for number in 0..cases.len() {
        pages += &daemon.get(&format!("/sessions/s{number}/14")).1;
    }
    assert!(pages.contains("[redacted]"));
    clean("a page", pages);
    // Which sources share a mail, and so a subject, depends on the timing.
    for (command, shows) in [
        (&["status"][..], "s0"),
        (&["status", "--format", "json"], "s0"),
        (&["notifications", "list", "--format", "json"], "could not be checked"),
    ] {
        let done = run(folder, command);
        assert!(done.out.contains(shows), "{command:?}: {} {}", done.out, done.err);
        clean(&format!("{command:?}"), done.out + &done.err);
    }
    clean("the log", daemon.stop());
    let mails = mailbox::in_folder(&folder.join("mail"));
    assert!(mails.iter().any(|mail| mail.text.contains("[redacted]")));
    for mail in mails {
        clean("a mail", mail.raw);
    }
    // An orderly stop leaves one file.
    let store = std::fs::read(folder.join("driftwise.db")).unwrap();
    assert!(store.windows(10).any(|bytes| bytes == b"[redacted]"), "the store does not hold what the sources returned");
    clean("the store", store);
    assert!(!folder.join("driftwise.db-wal").exists());
}
