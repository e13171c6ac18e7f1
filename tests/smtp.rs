//! Mail over SMTP against a server that others wrote (npm `smtp-server`), with faults at every stage, and against a tiny one of
//! our own for things that no honest server does: silence, broken connections, replies smuggled in before TLS.
//!
//! Needs node and npm; without them these tests fail and say so.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "smtp/graph.rs"]
mod graph;
#[path = "smtp/https.rs"]
mod https;
#[path = "smtp/replies.rs"]
mod replies;
#[path = "smtp/script.rs"]
mod script;
#[path = "smtp/stages.rs"]
mod stages;
mod support;
#[path = "smtp/tokens.rs"]
mod tokens;

use std::time::Duration;

use driftwise::domain::address::{Address, NamedAddress};
use driftwise::domain::name::Name;
use driftwise::domain::notification::Notification;
use driftwise::notify::email::{BuildError, Delivery, Email, Options, SmtpOptions, Tls};
use driftwise::notify::{Channel as _, Obstacle, Outbound, SendError};
use driftwise::secret::Secret;
use script::Step::{Close, Expect, Hang, Say, Take};
use serde_json::json;
use support::certificate;
use support::port::ClosedPort;
use support::server::Server;

const PASSWORD: &str = "correct horse";

fn email(options: SmtpOptions) -> Email {
    email_from("driftwise@integrator.example", options)
}

fn email_from(from: &str, options: SmtpOptions) -> Email {
    let from = NamedAddress::parse(from).unwrap();
    Email::new(Options { from, delivery: Delivery::Smtp(options), public_url: None }).unwrap()
}

fn build(options: SmtpOptions) -> Result<Email, BuildError> {
    let from = NamedAddress::parse("driftwise@integrator.example").unwrap();
    Email::new(Options { from, delivery: Delivery::Smtp(options), public_url: None })
}

/// To `port` of this machine by name, so that the name in the certificate is checked.
fn to_port(port: u16, tls: Tls) -> SmtpOptions {
    SmtpOptions { tls, ca_file: Some(certificate::ca_file()), ..SmtpOptions::new("localhost", port) }
}

fn signed_in(options: SmtpOptions, password: Secret) -> SmtpOptions {
    SmtpOptions { username: Some("driftwise".to_owned()), password: Some(password), ..options }
}

fn outbound(email: &Email, to: &str) -> Outbound {
    let at = "2026-11-23T09:10:00Z".parse().unwrap();
    let channel = Name::parse(email.label()).unwrap();
    let message = Notification::test(channel, Address::parse(to).unwrap(), at, chrono_tz::UTC);
    let composed = email.compose(&message);
    Outbound { message_id: composed.message_id, to: message.to, raw: composed.raw }
}

async fn send(options: SmtpOptions, to: &str) -> Result<(), SendError> {
    let email = email(options);
    email.send(&outbound(&email, to)).await
}

async fn refused(options: SmtpOptions, to: &str) -> (Obstacle, bool) {
    let error = send(options, to).await.unwrap_err();
    assert!(!error.reason.contains(PASSWORD) && !error.reason.is_empty(), "{error}");
    (error.obstacle, error.permanent)
}

#[tokio::test]
async fn a_mail_arrives_byte_for_byte_over_each_kind_of_connection() {
    for (mode, tls) in [("starttls", Tls::StartTls), ("implicit", Tls::Implicit), ("none", Tls::None)] {
        for method in ["PLAIN", "LOGIN"] {
            let server =
                Server::start(json!({ "mode": mode, "auth": [method], "user": "driftwise", "pass": PASSWORD }));
            let email = email(signed_in(to_port(server.port, tls), Secret::given(PASSWORD)));
            let outbound = outbound(&email, "it@acme.example");
            email.probe().await.unwrap();
            email.send(&outbound).await.unwrap();
            let taken = server.taken();
            assert_eq!(taken.from, "driftwise@integrator.example");
            assert_eq!(taken.to, ["it@acme.example"]);
            assert_eq!(taken.user.as_deref(), Some("driftwise"));
            assert_eq!(taken.secure, tls != Tls::None, "{mode}");
            assert!(taken.raw == outbound.raw, "{mode} {method}: {}", String::from_utf8_lossy(&taken.raw));
        }
    }
}

#[tokio::test]
async fn only_a_5xx_to_the_recipient_or_the_message_is_permanent() {
    let server = Server::start(json!({ "mode": "starttls" }));
    for (to, expected) in [
        ("450-rcpt@acme.example", (Obstacle::Deferred, false)),
        ("421-rcpt@acme.example", (Obstacle::Deferred, false)),
        ("550-rcpt@acme.example", (Obstacle::Rejected, true)),
        ("452-data@acme.example", (Obstacle::Deferred, false)),
        ("552-data@acme.example", (Obstacle::Rejected, true)),
    ] {
        assert_eq!(refused(to_port(server.port, Tls::StartTls), to).await, expected, "{to}");
    }
    for (from, obstacle) in [
        ("451-mail@x.example", Obstacle::Deferred),
        ("550-mail@x.example", Obstacle::Deferred),
        ("530-mail@x.example", Obstacle::Auth),
    ] {
        let email = email_from(from, to_port(server.port, Tls::StartTls));
        let error = email.send(&outbound(&email, "it@acme.example")).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (obstacle, false), "{from}: {error}");
    }
    // The server still works.
    send(to_port(server.port, Tls::StartTls), "it@acme.example").await.unwrap();
}

#[tokio::test]
async fn the_reason_names_server_stage_and_reply() {
    let server = Server::start(json!({ "mode": "starttls" }));
    let error = send(to_port(server.port, Tls::StartTls), "550-rcpt@acme.example").await.unwrap_err();
    let expected = format!(
        "the mail server localhost:{} refused the recipient (RCPT TO): 550 \"<…@acme.example>: no rcpt for you\"",
        server.port
    );
    assert_eq!(error.reason, expected);
}

#[tokio::test]
async fn a_refused_sign_in_is_transient_and_does_not_repeat_the_password() {
    let server = Server::start(json!({ "mode": "starttls", "user": "driftwise", "pass": "another" }));
    let options = || signed_in(to_port(server.port, Tls::StartTls), Secret::given(PASSWORD));
    assert_eq!(refused(options(), "it@acme.example").await, (Obstacle::Auth, false));
    let probed = email(options()).probe().await.unwrap_err();
    assert_eq!((probed.obstacle, probed.permanent), (Obstacle::Auth, false));
    // Without a sign-in, the server asks for one.
    assert_eq!(refused(to_port(server.port, Tls::StartTls), "it@acme.example").await, (Obstacle::Auth, false));
}

#[tokio::test]
async fn a_rotated_password_is_picked_up() {
    let server = Server::start(json!({ "mode": "starttls", "user": "driftwise", "pass": PASSWORD }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let email = email(signed_in(to_port(server.port, Tls::StartTls), Secret::File(path.clone())));
    let outbound = outbound(&email, "it@acme.example");
    let missing = email.send(&outbound).await.unwrap_err();
    assert_eq!((missing.obstacle, missing.permanent), (Obstacle::Auth, false));
    std::fs::write(&path, "old\n").unwrap();
    assert_eq!(email.send(&outbound).await.unwrap_err().obstacle, Obstacle::Auth);
    std::fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    email.send(&outbound).await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_known_way_to_sign_in_is_an_auth_obstacle() {
    let server = Server::start(json!({ "mode": "starttls", "auth": ["CRAM-MD5"] }));
    let options = signed_in(to_port(server.port, Tls::StartTls), Secret::given(PASSWORD));
    assert_eq!(refused(options, "it@acme.example").await, (Obstacle::Auth, false));
}

#[tokio::test]
async fn starttls_is_never_downgraded() {
    let server = Server::start(json!({ "mode": "none", "user": "driftwise", "pass": PASSWORD }));
    let options = signed_in(to_port(server.port, Tls::StartTls), Secret::given(PASSWORD));
    assert_eq!(refused(options, "it@acme.example").await, (Obstacle::Tls, false));
    let options = to_port(server.port, Tls::Implicit);
    assert_eq!(refused(options, "it@acme.example").await, (Obstacle::Tls, false));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_or_for_another_name_is_refused() {
    for (mode, tls) in [("starttls", Tls::StartTls), ("implicit", Tls::Implicit)] {
        let server = Server::start(json!({ "mode": mode }));
        let unaudited = SmtpOptions { ca_file: None, ..to_port(server.port, tls) };
        assert_eq!(refused(unaudited, "it@acme.example").await, (Obstacle::Tls, false), "{mode}");
        let other_name = SmtpOptions { host: "127.0.0.1".to_owned(), ..to_port(server.port, tls) };
        assert_eq!(refused(other_name, "it@acme.example").await, (Obstacle::Tls, false), "{mode}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_tried_again() {
    for (greeting, tls, mode) in
        [(421, Tls::StartTls, "starttls"), (554, Tls::StartTls, "starttls"), (554, Tls::Implicit, "implicit")]
    {
        let server = Server::start(json!({ "mode": mode, "greeting": greeting }));
        let expected = (Obstacle::Deferred, false);
        assert_eq!(refused(to_port(server.port, tls), "it@acme.example").await, expected, "{greeting}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connection_failure() {
    let port = ClosedPort::hold();
    for tls in [Tls::StartTls, Tls::Implicit, Tls::None] {
        assert_eq!(refused(to_port(port.number, tls), "it@acme.example").await, (Obstacle::Connect, false));
    }
    let nowhere = SmtpOptions::new("no-such-host.invalid", 25);
    assert_eq!(refused(nowhere, "it@acme.example").await, (Obstacle::Connect, false));
}

/// The outcome of a send to a server that follows `steps`.
async fn against(steps: Vec<script::Step>, timeout: Duration) -> Result<(), SendError> {
    let server = script::Script::start(steps).await;
    let result = send(SmtpOptions { timeout, ..to_port(server.port, Tls::None) }, "it@acme.example").await;
    server.finish().await;
    result
}

const LONG: Duration = Duration::from_secs(20);
/// Long enough for a loaded machine to reach the silence.
const SHORT: Duration = Duration::from_secs(4);

fn until_data() -> Vec<script::Step> {
    vec![
        Say("220 hello\r\n"),
        Expect("EHLO "),
        Say("250-tiny\r\n250 8BITMIME\r\n"),
        Expect("MAIL FROM:<driftwise@integrator.example>"),
        Say("250 ok\r\n"),
        Expect("RCPT TO:<it@acme.example>"),
        Say("250 ok\r\n"),
        Expect("DATA"),
    ]
}

fn then(steps: &[script::Step]) -> Vec<script::Step> {
    [until_data().as_slice(), steps].concat()
}

#[tokio::test]
async fn a_session_that_breaks_at_any_stage_is_tried_again() {
    let all = then(&[Say("354 go on\r\n"), Take]);
    for breaks_at in 0..=all.len() {
        let steps = [&all[..breaks_at], &[Close]].concat();
        let error = against(steps, LONG).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (Obstacle::Connect, false), "{breaks_at}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_at_any_stage_times_out() {
    let all = then(&[Say("354 go on\r\n"), Take]);
    let silences = (0..=all.len()).map(|silent_at| against([&all[..silent_at], &[Hang]].concat(), SHORT));
    for (silent_at, result) in futures_util::future::join_all(silences).await.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (Obstacle::Timeout, false), "{silent_at}: {error}");
    }
}

#[tokio::test]
async fn an_accepted_message_is_sent_also_if_the_connection_fails_later() {
    let accepted = |last| then(&[Say("354 go on\r\n"), Take, Say("250 taken\r\n"), last]);
    against(accepted(Close), LONG).await.unwrap();
    against(accepted(Hang), LONG).await.unwrap();
    against(accepted(Say("500 never heard of QUIT\r\n")), LONG).await.unwrap();
}

#[tokio::test]
async fn refusals_of_data_itself_count_as_of_the_message() {
    let permanent = against(then(&[Say("554 no\r\n")]), LONG).await.unwrap_err();
    assert_eq!((permanent.obstacle, permanent.permanent), (Obstacle::Rejected, true));
    let transient = against(then(&[Say("421 later\r\n")]), LONG).await.unwrap_err();
    assert_eq!((transient.obstacle, transient.permanent), (Obstacle::Deferred, false));
}

#[tokio::test]
async fn nonsense_and_a_refused_ehlo_are_tried_again() {
    let nonsense = against(vec![Say("HTTP/1.1 400 Bad Request\r\n\r\n")], LONG).await.unwrap_err();
    assert_eq!((nonsense.obstacle, nonsense.permanent), (Obstacle::Connect, false), "{nonsense}");
    let refused = against(vec![Say("220 hello\r\n"), Expect("EHLO "), Say("502 no\r\n"), Expect("QUIT"), Close], LONG)
        .await
        .unwrap_err();
    assert_eq!((refused.obstacle, refused.permanent), (Obstacle::Deferred, false), "{refused}");
    let hostile = format!("{}\u{1b}[31m", "x".repeat(400));
    let line: &'static str = Box::leak(format!("554 {hostile}\r\n").into_boxed_str());
    let reason = against(then(&[Say(line)]), LONG).await.unwrap_err().reason;
    assert!(reason.chars().count() < 330 && !reason.contains('\u{1b}'), "{reason}");
}

#[tokio::test]
async fn replies_smuggled_in_before_tls_are_not_accepted() {
    // Every reply that a careless client would need to believe that its message was accepted.
    let smuggled = "220 go ahead\r\n250 smuggled\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n";
    let steps = vec![
        Say("220 hello\r\n"),
        Expect("EHLO "),
        Say("250-tiny\r\n250 STARTTLS\r\n"),
        Expect("STARTTLS"),
        Say(smuggled),
    ];
    let server = script::Script::start(steps).await;
    let error = send(to_port(server.port, Tls::StartTls), "it@acme.example").await.unwrap_err();
    assert_eq!((error.obstacle, error.permanent), (Obstacle::Tls, false), "{error}");
    server.finish().await;
}
