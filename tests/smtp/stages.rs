//! Every stage at which a server refuses for now or for good, closes the connection, or falls silent: the obstacle, and whether a
//! retry makes sense.

use std::time::Duration;

use driftwise::notify::email::{SmtpOptions, Tls};
use driftwise::notify::{Obstacle, SendError};
use driftwise::secret::Secret;
use futures_util::future::join_all;
use serde_json::json;

use crate::script::Step::{Close, Expect, Gone, Hang, Protect, Say, Take};
use crate::script::{BlackHole, Script, Step};
use crate::support::server::Server;
use crate::{LONG, PASSWORD, SHORT, refused, send, signed_in, to_port};

/// The conversation up to a stage, and how it ends there.
pub struct Stage {
    pub name: &'static str,
    pub tls: Tls,
    account: bool,
    /// The client sends QUIT after a refusal, and waits for an answer.
    quits: bool,
    before: Vec<Step>,
}

impl Stage {
    pub fn new(name: &'static str, tls: Tls, before: &[&[Step]]) -> Self {
        Self { name, tls, account: false, quits: false, before: before.concat() }
    }

    pub fn signing_in(self) -> Self {
        Self { account: true, ..self }
    }

    fn quitting(self) -> Self {
        Self { quits: true, ..self }
    }

    /// Whether a yes here is a yes to the message.
    pub fn is_last(&self) -> bool {
        self.before.ends_with(WHOLE)
    }

    async fn ends(&self, end: Step) -> SendError {
        let farewell: &[Step] = if self.quits && matches!(end, Say(_)) { &[Expect("QUIT"), Close] } else { &[] };
        self.goes_on(&[&[end], farewell].concat()).await.expect_err(self.name)
    }

    /// The client must close the connection without another word.
    pub async fn ends_unheard(&self, end: Step) -> SendError {
        self.goes_on(&[end, Gone]).await.expect_err(self.name)
    }

    pub async fn goes_on(&self, rest: &[Step]) -> Result<(), SendError> {
        let server = Script::start([self.before.as_slice(), rest].concat()).await;
        let timeout = if matches!(rest, [Hang]) { SHORT } else { LONG };
        let options = SmtpOptions { timeout, ..to_port(server.port, self.tls) };
        let options = if self.account { signed_in(options, Secret::given(PASSWORD)) } else { options };
        let result = send(options, "it@acme.example").await;
        server.finish().await;
        result
    }

    /// Asserts obstacle, permanence and the code of the reply for each way in which the stage can end.
    async fn comes_to(&self, ends: &[(Step, Obstacle, bool)]) {
        let errors = join_all(ends.iter().map(|(end, ..)| self.ends(*end))).await;
        for ((end, obstacle, permanent), error) in ends.iter().zip(errors) {
            let case = format!("{}, {end:?}: {error}", self.name);
            assert_eq!((error.obstacle, error.permanent), (*obstacle, *permanent), "{case}");
            let code =
                if let Say(words) = end { words.get(..3).and_then(|code| code.parse::<u16>().ok()) } else { None };
            assert_eq!(error.reply, code.filter(|code| *code >= 400), "{case}");
        }
    }
}

pub const GREETED: &[Step] = &[Say("220 hello\r\n"), Expect("EHLO ")];
pub const PLAIN: &[Step] = &[Say("250-tiny\r\n250 AUTH PLAIN\r\n"), Expect("AUTH PLAIN")];
pub const LOGIN: &[Step] = &[Say("250-tiny\r\n250 AUTH LOGIN\r\n"), Expect("AUTH LOGIN")];
pub const LOGIN_NAMED: &[Step] = &[Say("334 VXNlcm5hbWU6\r\n"), Expect("ZHJpZnR3aXNl")];
pub const LOGIN_TOLD: &[Step] = &[Say("334 UGFzc3dvcmQ6\r\n"), Expect("Y29ycmVjdCBob3JzZQ==")];
pub const STARTTLS: &[Step] = &[Say("250-tiny\r\n250 STARTTLS\r\n"), Expect("STARTTLS")];
pub const PROTECTED: &[Step] = &[Say("220 go\r\n"), Protect, Expect("EHLO ")];
pub const PLAINLY: &[Step] = &[Say("250 tiny\r\n"), Expect("MAIL FROM:<driftwise@integrator.example>")];
pub const TO: &[Step] = &[Say("250 ok\r\n"), Expect("RCPT TO:<it@acme.example>")];
pub const DATA: &[Step] = &[Say("250 ok\r\n"), Expect("DATA")];
pub const WHOLE: &[Step] = &[Say("354 go on\r\n"), Take];

#[tokio::test]
async fn a_failure_before_the_first_mail_command_is_always_tried_again() {
    let begin = [
        Stage::new("greeting", Tls::None, &[]),
        Stage::new("EHLO", Tls::None, &[GREETED]).quitting(),
        Stage::new("greeting inside TLS", Tls::Implicit, &[&[Protect]]),
        Stage::new("EHLO inside TLS", Tls::Implicit, &[&[Protect], GREETED]).quitting(),
    ];
    let ends = [
        (Say("421 later\r\n"), Obstacle::Deferred, false),
        (Say("454 later\r\n"), Obstacle::Deferred, false),
        (Say("554 no\r\n"), Obstacle::Deferred, false),
        (Close, Obstacle::Connect, false),
        (Hang, Obstacle::Timeout, false),
    ];
    join_all(begin.iter().map(|stage| stage.comes_to(&ends))).await;
}

#[tokio::test]
async fn a_failure_to_set_up_tls_is_a_tls_obstacle_at_any_stage() {
    let asked = Stage::new("STARTTLS", Tls::StartTls, &[GREETED, STARTTLS]).quitting();
    let asked_ends = [
        (Say("454 no TLS just now\r\n"), Obstacle::Tls, false),
        (Say("554 no TLS\r\n"), Obstacle::Tls, false),
        (Close, Obstacle::Tls, false),
        (Hang, Obstacle::Timeout, false),
    ];
    let handshakes = [
        Stage::new("handshake after STARTTLS", Tls::StartTls, &[GREETED, STARTTLS, &[Say("220 go\r\n")]]),
        Stage::new("handshake", Tls::Implicit, &[]),
    ];
    let handshake_ends = [
        (Say("HTTP/1.1 400 Bad Request\r\n\r\n"), Obstacle::Tls, false),
        (Close, Obstacle::Tls, false),
        (Hang, Obstacle::Timeout, false),
    ];
    // The EHLO after the handshake is part of setting up TLS.
    let protected = Stage::new("EHLO after STARTTLS", Tls::StartTls, &[GREETED, STARTTLS, PROTECTED]).quitting();
    let protected_ends = [
        (Say("421 later\r\n"), Obstacle::Tls, false),
        (Say("554 no\r\n"), Obstacle::Tls, false),
        (Close, Obstacle::Tls, false),
        (Hang, Obstacle::Timeout, false),
    ];
    tokio::join!(
        asked.comes_to(&asked_ends),
        join_all(handshakes.iter().map(|stage| stage.comes_to(&handshake_ends))),
        protected.comes_to(&protected_ends),
    );
}

#[tokio::test]
async fn only_a_sign_in_that_is_refused_for_good_is_reported_as_a_wrong_password() {
    let mut stages = Vec::new();
    for (tls, begin) in [
        (Tls::None, vec![GREETED]),
        (Tls::StartTls, vec![GREETED, STARTTLS, PROTECTED]),
        (Tls::Implicit, vec![&[Protect][..], GREETED]),
    ] {
        let ways: [(_, &[&[Step]]); 4] = [
            ("AUTH PLAIN", &[PLAIN]),
            ("AUTH LOGIN", &[LOGIN]),
            ("AUTH LOGIN, user name", &[LOGIN, LOGIN_NAMED]),
            ("AUTH LOGIN, password", &[LOGIN, LOGIN_NAMED, LOGIN_TOLD]),
        ];
        stages.extend(ways.map(|(name, way)| Stage::new(name, tls, &[begin.as_slice(), way].concat()).signing_in()));
    }
    let ends = [
        (Say("421 closing\r\n"), Obstacle::Deferred, false),
        (Say("454 4.7.0 temporary authentication failure\r\n"), Obstacle::Deferred, false),
        (Say("534 use another way\r\n"), Obstacle::Auth, false),
        (Say("535 no\r\n"), Obstacle::Auth, false),
        (Close, Obstacle::Connect, false),
        (Hang, Obstacle::Timeout, false),
    ];
    join_all(stages.iter().map(|stage| stage.comes_to(&ends))).await;
}

#[tokio::test]
async fn a_server_that_challenges_without_end_is_a_failed_sign_in() {
    let stages = [
        Stage::new("AUTH LOGIN", Tls::None, &[GREETED, LOGIN, LOGIN_NAMED, LOGIN_TOLD]),
        // A server may ignore the credential in AUTH, once.
        Stage::new("AUTH PLAIN", Tls::None, &[GREETED, PLAIN, &[Say("334 \r\n"), Expect("AGRyaWZ0d2lzZQBj")]]),
    ];
    for stage in stages {
        let error = stage.signing_in().ends_unheard(Say("334 VXNlcm5hbWU6\r\n")).await;
        assert_eq!((error.obstacle, error.permanent, error.reply), (Obstacle::Auth, false, None), "{error}");
    }
}

#[tokio::test]
async fn a_real_server_that_cannot_ask_its_directory_is_tried_again() {
    for method in ["PLAIN", "LOGIN"] {
        let refusal =
            |code| json!({ "mode": "starttls", "user": "driftwise", "pass": "x", "auth": [method], "refusal": code });
        let expected = [(454, Obstacle::Deferred), (535, Obstacle::Auth)];
        for (code, obstacle) in expected {
            let server = Server::start(refusal(code));
            let options = signed_in(to_port(server.port, Tls::StartTls), Secret::given(PASSWORD));
            assert_eq!(refused(options, "it@acme.example").await, (obstacle, false), "{method} {code}");
        }
    }
}

#[tokio::test]
async fn only_the_recipient_and_the_message_can_be_refused_for_good() {
    let for_now = |obstacle, permanent| {
        [
            (Say("421 later\r\n"), Obstacle::Deferred, false),
            (Say("452 later\r\n"), Obstacle::Deferred, false),
            (Say("550 no\r\n"), obstacle, permanent),
            (Close, Obstacle::Connect, false),
            (Hang, Obstacle::Timeout, false),
        ]
    };
    Stage::new("MAIL", Tls::None, &[GREETED, PLAINLY]).comes_to(&for_now(Obstacle::Deferred, false)).await;
    let last = [
        Stage::new("RCPT", Tls::None, &[GREETED, PLAINLY, TO]),
        Stage::new("DATA", Tls::None, &[GREETED, PLAINLY, TO, DATA]),
        Stage::new("the message", Tls::None, &[GREETED, PLAINLY, TO, DATA, WHOLE]),
        Stage::new("the message inside TLS", Tls::StartTls, &[GREETED, STARTTLS, PROTECTED, PLAINLY, TO, DATA, WHOLE]),
    ];
    let ends = for_now(Obstacle::Rejected, true);
    join_all(last.iter().map(|stage| stage.comes_to(&ends))).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    for (mode, tls) in [("starttls", Tls::StartTls), ("implicit", Tls::Implicit)] {
        let server = Server::start(json!({ "mode": mode, "expired": true }));
        assert_eq!(refused(to_port(server.port, tls), "it@acme.example").await, (Obstacle::Tls, false), "{mode}");
    }
}

#[tokio::test]
async fn only_a_reason_without_text_of_the_server_is_logged() {
    let greeting = Stage::new("greeting", Tls::None, &[]);
    let recipient = Stage::new("RCPT TO", Tls::None, &[GREETED, PLAINLY, TO]);
    for said in
        [greeting.ends(Say("who is it@acme.example?\r\n")), recipient.ends(Say("450 it@acme.example later\r\n"))]
    {
        let error = said.await;
        assert_eq!(error.for_log(), None, "{error}");
    }
    let error = greeting.ends(Close).await;
    assert_eq!(error.for_log(), Some(error.reason.as_str()));
    let error = Stage::new("no STARTTLS", Tls::StartTls, &[GREETED]).ends(Say("250 tiny\r\n")).await;
    assert!(error.for_log().is_some_and(|reason| reason.contains("does not offer STARTTLS")), "{error}");
}

#[tokio::test]
async fn a_port_that_answers_no_connection_times_out() {
    let hole = BlackHole::open().await;
    let calls = [Tls::StartTls, Tls::Implicit, Tls::None].map(|tls| {
        let options = SmtpOptions { timeout: Duration::from_secs(1), ..to_port(hole.port, tls) };
        refused(options, "it@acme.example")
    });
    assert_eq!(join_all(calls).await, [(Obstacle::Timeout, false); 3]);
}

#[tokio::test]
async fn another_machine_gets_the_password_without_tls_only_if_that_is_allowed() {
    // An address of this machine that is not recognised as such.
    let elsewhere = |port| SmtpOptions { host: "0.0.0.0".to_owned(), ..to_port(port, Tls::None) };
    for method in ["PLAIN", "LOGIN"] {
        let server = Server::start(json!({ "mode": "none", "auth": [method], "user": "driftwise", "pass": PASSWORD }));
        let options = || signed_in(elsewhere(server.port), Secret::given(PASSWORD));
        assert!(crate::build(options()).is_err_and(|error| error.to_string().contains("without TLS")), "{method}");
        send(SmtpOptions { allow_insecure: true, ..options() }, "it@acme.example").await.unwrap();
        let taken = server.taken();
        assert_eq!((taken.user.as_deref(), taken.secure), (Some("driftwise"), false), "{method}");
    }
}
