//! The replies that each stage allows: every stage accepts only its own codes as a yes, and the client closes the connection to a
//! server that breaks the protocol, whatever it sends and however much.

use driftwise::notify::email::Tls;
use driftwise::notify::{Obstacle, SendError};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::script::Step::{Close, Drip, Expect, Flood, Gone, Hang, Protect, Raw, Say, Take};
use crate::script::{Script, Step};
use crate::stages::{
    DATA, GREETED, LOGIN, LOGIN_NAMED, LOGIN_TOLD, PLAIN, PLAINLY, PROTECTED, STARTTLS, Stage, TO, WHOLE,
};
use crate::{send, to_port};

/// Every stage, with the codes that it allows.
fn stages() -> Vec<(Stage, &'static [u16])> {
    let signing_in = |name, before: &[&[Step]]| Stage::new(name, Tls::None, before).signing_in();
    vec![
        (Stage::new("greeting", Tls::None, &[]), &[220]),
        (Stage::new("greeting inside TLS", Tls::Implicit, &[&[Protect]]), &[220]),
        (Stage::new("EHLO", Tls::None, &[GREETED]), &[250]),
        (Stage::new("STARTTLS", Tls::StartTls, &[GREETED, STARTTLS]), &[220]),
        (Stage::new("EHLO after STARTTLS", Tls::StartTls, &[GREETED, STARTTLS, PROTECTED]), &[250]),
        (signing_in("AUTH PLAIN", &[GREETED, PLAIN]), &[235, 334]),
        (signing_in("AUTH LOGIN", &[GREETED, LOGIN]), &[235, 334]),
        (signing_in("AUTH LOGIN, user name", &[GREETED, LOGIN, LOGIN_NAMED]), &[235, 334]),
        (signing_in("AUTH LOGIN, password", &[GREETED, LOGIN, LOGIN_NAMED, LOGIN_TOLD]), &[235, 334]),
        (Stage::new("MAIL", Tls::None, &[GREETED, PLAINLY]), &[250]),
        (Stage::new("RCPT", Tls::None, &[GREETED, PLAINLY, TO]), &[250, 251]),
        (Stage::new("DATA", Tls::None, &[GREETED, PLAINLY, TO, DATA]), &[354]),
        (Stage::new("the message", Tls::None, &[GREETED, PLAINLY, TO, DATA, WHOLE]), &[250]),
        (Stage::new("inside TLS", Tls::StartTls, &[GREETED, STARTTLS, PROTECTED, PLAINLY, TO, DATA, WHOLE]), &[250]),
    ]
}

fn said(words: String) -> &'static str {
    Box::leak(words.into_boxed_str())
}

/// Asserts that a broken protocol counts as an obstacle of the connection, or of TLS.
fn assert_broken(error: &SendError, stage: &Stage, case: &str) {
    let tls = stage.name.contains("STARTTLS");
    let obstacle = if tls { Obstacle::Tls } else { Obstacle::Connect };
    assert_eq!((error.obstacle, error.permanent), (obstacle, false), "{}, {case}: {error}", stage.name);
    assert!(error.reason.contains("broke the protocol"), "{}, {case}: {error}", stage.name);
}

#[tokio::test]
async fn each_stage_accepts_only_its_own_codes_as_a_yes() {
    let codes = [100, 200, 211, 214, 220, 221, 235, 250, 251, 252, 299, 300, 334, 354, 399];
    for (stage, allowed) in stages() {
        let wrong = codes.into_iter().filter(|code| !allowed.contains(code));
        let errors = wrong.map(async |code| {
            for reply in [format!("{code} yes\r\n"), format!("{code}-yes\r\n{code} yes\r\n")] {
                let error = stage.ends_unheard(Say(said(reply))).await;
                assert_broken(&error, &stage, &code.to_string());
                assert_eq!(error.reply, Some(code), "{}: {error}", stage.name);
            }
        });
        join_all(errors).await;
    }
}

#[tokio::test]
async fn a_recipient_that_was_moved_is_accepted() {
    let rest = [
        &[Say("251 user not local; will forward\r\n"), Expect("DATA")][..],
        WHOLE,
        &[Say("250 taken\r\n"), Expect("QUIT"), Say("221 bye\r\n"), Gone],
    ];
    Stage::new("RCPT", Tls::None, &[GREETED, PLAINLY, TO]).goes_on(&rest.concat()).await.unwrap();
}

#[tokio::test]
async fn a_malformed_reply_ends_the_session_at_every_stage() {
    let nonsense = [
        "hello\r\n",
        "\r\n",
        "25\r\n",
        "2500 ok\r\n",
        "650 ok\r\n",
        "250_ok\r\n",
        "250-ok\r\n550 no\r\n",
        "220-ok\r\n250 ok\r\n",
        "354-go\r\nahead\r\n354 on\r\n",
    ];
    for (stage, _) in stages() {
        join_all(nonsense.map(async |words| {
            let error = stage.ends_unheard(Say(words)).await;
            assert_broken(&error, &stage, words);
        }))
        .await;
    }
}

#[tokio::test]
async fn an_unasked_reply_ends_the_session_before_the_next_command() {
    for (stage, allowed) in stages().into_iter().filter(|(stage, _)| !stage.is_last()) {
        let code = allowed[0];
        for stray in ["250 ok\r\n", "354 go\r\n", "550 no\r\n", "250-ok\r\n", "2", "\r\n"] {
            let error = stage.ends_unheard(Say(said(format!("{code} yes\r\n{stray}")))).await;
            assert!(!error.permanent, "{}, {stray:?}: {error}", stage.name);
            assert!(error.reason.contains("broke the protocol"), "{}, {stray:?}: {error}", stage.name);
        }
        // A server may close the connection at any time, and announces that.
        let error = stage.ends_unheard(Say(said(format!("{code} yes\r\n421 idle for too long\r\n")))).await;
        let obstacle = if stage.name == "STARTTLS" { Obstacle::Tls } else { Obstacle::Deferred };
        assert_eq!((error.obstacle, error.permanent, error.reply), (obstacle, false, Some(421)), "{}", stage.name);
        assert!(error.reason.contains("\"idle for too long\""), "{error}");
    }
}

#[tokio::test]
async fn late_replies_are_not_taken_for_replies_to_later_commands() {
    // Each reply answers the command before; only the last one, a refusal, shows the shift.
    let shifted = [
        &[Say("250 ok\r\n"), Say("250 ok\r\n")][..],
        &[Say("250-ok\r\n250 ok\r\n250-ok\r\n250 ok\r\n")],
        &[Say("250 ok\r\n354 go\r\n250 taken\r\n")],
    ];
    for steps in shifted {
        // In packets of their own they may arrive before or after the next command: the message is not sent in either case.
        let rest = [steps, &[Hang]].concat();
        let error = Stage::new("RCPT", Tls::None, &[GREETED, PLAINLY, TO]).goes_on(&rest).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (Obstacle::Connect, false), "{error}");
    }
}

#[tokio::test]
async fn replies_after_the_acceptance_of_a_message_change_nothing() {
    let message = Stage::new("the message", Tls::None, &[GREETED, PLAINLY, TO, DATA, WHOLE]);
    for taken in ["250 ok\r\n250 ok\r\n", "250 ok\r\n421 closing\r\n", "250 ok\r\n\r\n", "250 ok\r\n500 no\r\n"] {
        message.goes_on(&[Say(taken), Gone]).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_whose_acceptance_was_lost_is_sent_again_unchanged() {
    let mut taken = Vec::new();
    for end in [Close, Say("250 taken\r\n")] {
        let server = Script::start([GREETED, PLAINLY, TO, DATA, WHOLE, &[end]].concat()).await;
        let result = send(to_port(server.port, Tls::None), "it@acme.example").await;
        taken.push(server.finish().await);
        match end {
            Close => {
                assert_eq!(result.map_err(|error| (error.obstacle, error.permanent)), Err((Obstacle::Connect, false)));
            }
            _ => result.unwrap(),
        }
    }
    assert!(taken[0].contains("\r\nMessage-ID: <") && taken[0] == taken[1], "{taken:?}");
}

#[tokio::test]
async fn text_in_another_encoding_changes_neither_a_yes_nor_a_no() {
    let steps = [
        Raw(b"220 Willkommen bei M\xfcller\r\n"),
        Expect("EHLO "),
        Raw(b"250-M\xfcller\r\n250 8BITMIME\r\n"),
        Expect("MAIL FROM:"),
        Raw(b"250 \xfc\xff\x00\x80\r\n"),
        Expect("RCPT TO:"),
        Raw(b"250 Empf\xe4nger angenommen\r\n"),
        Expect("DATA"),
        Raw(b"354 \xdcbertragung\r\n"),
        Take,
        Raw(b"250 f\xfcr Zustellung \xfcbernommen\r\n"),
        Expect("QUIT"),
        Raw(b"221 Tsch\xfcss\r\n"),
        Gone,
    ];
    let server = Script::start(steps.to_vec()).await;
    send(to_port(server.port, Tls::None), "it@acme.example").await.unwrap();
    server.finish().await;
    for (bytes, obstacle, permanent) in [
        (&b"550 unbekannter Empf\xe4nger\r\n"[..], Obstacle::Rejected, true),
        (b"450 unbekannter Empf\xe4nger\r\n", Obstacle::Deferred, false),
    ] {
        let recipient = Stage::new("RCPT", Tls::None, &[GREETED, PLAINLY, TO]);
        let error = recipient.goes_on(&[Raw(bytes), Expect("QUIT"), Close]).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (obstacle, permanent), "{error}");
        assert!(error.reason.ends_with("50 \"unbekannter Empf\u{FFFD}nger\""), "{error}");
    }
}

#[tokio::test]
async fn a_password_repeated_in_another_encoding_is_not_shown() {
    let secret = |password| driftwise::secret::Secret::given(password);
    for (password, reply) in
        [("pässwört", &b"535 no p\xe4ssw\xf6rt\r\n"[..]), ("pässwört", "535 no pässwört\r\n".as_bytes())]
    {
        let server = Script::start([GREETED, PLAIN, &[Raw(reply), Expect("QUIT"), Close]].concat()).await;
        let options = crate::signed_in(to_port(server.port, Tls::None), secret(password));
        let error = send(options, "it@acme.example").await.unwrap_err();
        server.finish().await;
        assert_eq!(error.obstacle, Obstacle::Auth);
        assert!(error.reason.ends_with("535 and words that hold the password"), "{error}");
    }
}

#[tokio::test]
async fn an_endless_reply_ends_the_connection() {
    let long = Box::leak(format!("250-{}\r\n", "x".repeat(2000)).into_boxed_str()).as_bytes();
    let floods = [&[b'2'; 1024][..], b"250-x\r\n250-y\r\n", long, b"250-x\r250-x\r", b"\0", b"x"];
    for (stage, allowed) in stages() {
        for flood in floods {
            let code = allowed[0].to_string();
            let flood = flood.to_vec();
            let flood = String::from_utf8(flood).unwrap().replace("250", &code);
            let error = stage.goes_on(&[Flood(said(flood.clone()).as_bytes())]).await.unwrap_err();
            assert_broken(&error, &stage, &flood);
        }
        // Or many replies instead of one.
        let flood = said(format!("{} ok\r\n", allowed[0])).as_bytes();
        let result = stage.goes_on(&[Flood(flood)]).await;
        match result {
            Ok(()) => assert!(stage.is_last(), "{}", stage.name),
            Err(error) => assert!(!error.permanent && !stage.is_last(), "{}: {error}", stage.name),
        }
    }
    // A flood of goodbyes does not change the outcome.
    let message = Stage::new("the message", Tls::None, &[GREETED, PLAINLY, TO, DATA, WHOLE]);
    for flood in [&[b'2'; 1024][..], b"221-x\r\n"] {
        message.goes_on(&[Say("250 taken\r\n"), Expect("QUIT"), Flood(flood)]).await.unwrap();
    }
}

#[tokio::test]
async fn no_address_that_a_server_repeats_is_in_the_reason() {
    for (stage, _) in stages() {
        for said in [
            "550 <it@acme.example>: no such user\r\n",
            "450-5.1.1 IT@ACME.EXAMPLE is\r\n450 driftwise@integrator.example\r\n",
            "299 it@acme.example\r\n",
            "who is it@acme.example?\r\n",
        ] {
            let error = stage.goes_on(&[Say(said), Close]).await.unwrap_err();
            let reason = error.reason.to_lowercase();
            assert!(!reason.contains("it@") && !reason.contains("driftwise@"), "{error}");
            assert!(reason.contains("…@acme.example"), "{}: {error}", stage.name);
        }
    }
}

/// The action of a server at one stage.
#[derive(Debug, Clone)]
enum Turn {
    Yes { lines: usize, latin: bool, dripped: bool },
    OtherYes(u16),
    No(u16),
    Nonsense(&'static str),
    Stray(&'static str),
    Hangup,
}

impl Turn {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            20 => (1..4_usize, any::<bool>(), any::<bool>())
                .prop_map(|(lines, latin, dripped)| Self::Yes { lines, latin, dripped }),
            1 => (100..400_u16).prop_map(Self::OtherYes),
            1 => (400..600_u16).prop_map(Self::No),
            1 => prop::sample::select(&["hello\r\n", "999 x\r\n", "250-a\r\n550 b\r\n"][..]).prop_map(Self::Nonsense),
            1 => prop::sample::select(&["250 ok\r\n", "354 go\r\n", "550 no\r\n", "2"][..]).prop_map(Self::Stray),
            1 => Just(Self::Hangup),
        ]
    }

    fn step(&self, code: u16) -> Step {
        let words = match self {
            Self::Yes { lines, latin, .. } => {
                let text: &[u8] = if *latin { b"\xe4\xf6\xfc" } else { b"ok" };
                let line = |mark: u8| [code.to_string().as_bytes(), &[mark], text, b"\r\n"].concat();
                [line(b'-').repeat(lines - 1), line(b' ')].concat()
            }
            Self::OtherYes(code) | Self::No(code) => format!("{code} words\r\n").into_bytes(),
            Self::Nonsense(words) => words.as_bytes().to_vec(),
            Self::Stray(stray) => format!("{code} yes\r\n{stray}").into_bytes(),
            Self::Hangup => return Close,
        };
        let words = Box::leak(words.into_boxed_slice());
        if matches!(self, Self::Yes { dripped: true, .. }) { Drip(words) } else { Raw(words) }
    }

    /// The expected outcome, if the session ends here.
    fn outcome(&self, allowed: &[u16], last_three: bool, last: bool) -> Option<Result<(), (Obstacle, bool)>> {
        match self {
            Self::Yes { .. } => last.then_some(Ok(())),
            Self::OtherYes(code) if allowed.contains(code) => last.then_some(Ok(())),
            Self::No(500..) if last_three => Some(Err((Obstacle::Rejected, true))),
            Self::No(_) => Some(Err((Obstacle::Deferred, false))),
            Self::Stray(_) if last => Some(Ok(())),
            Self::Stray("550 no\r\n") => Some(Err((Obstacle::Deferred, false))),
            Self::OtherYes(_) | Self::Nonsense(_) | Self::Stray(_) | Self::Hangup => {
                Some(Err((Obstacle::Connect, false)))
            }
        }
    }
}

#[test]
fn a_message_is_sent_only_if_every_reply_was_right() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let codes: [(&[u16], &[Step]); 6] = [
        (&[220], &[Expect("EHLO ")]),
        (&[250], &[Expect("MAIL ")]),
        (&[250], &[Expect("RCPT ")]),
        (&[250, 251], &[Expect("DATA")]),
        (&[354], &[Take]),
        (&[250], &[]),
    ];
    let turns = prop::collection::vec(Turn::any(), codes.len());
    let run = |turns: Vec<Turn>| {
        let (mut steps, mut expected) = (Vec::new(), None);
        for (at, (turn, (allowed, after))) in turns.iter().zip(codes).enumerate() {
            steps.push(turn.step(allowed[0]));
            // A missing sign-in has its own test.
            prop_assume!(!matches!(turn, Turn::No(530)));
            expected = turn.outcome(allowed, at >= 3, at == codes.len() - 1);
            if expected.is_some() {
                break;
            }
            steps.extend_from_slice(after);
        }
        let result = runtime.block_on(async {
            let server = Script::start(steps).await;
            let result = send(to_port(server.port, Tls::None), "it@acme.example").await;
            server.finish().await;
            result
        });
        let result = result.map_err(|error| (error.obstacle, error.permanent));
        prop_assert_eq!(Some(result), expected);
        Ok(())
    };
    runner.run(&turns, run).unwrap_or_else(|failed| panic!("{failed}"));
}
