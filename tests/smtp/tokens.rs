//! Sign-in with a token (XOAUTH2) at a real mail server, with tokens from a token endpoint that has faults.

use driftwise::domain::address::NamedAddress;
use driftwise::notify::email::{Delivery, Email, Gates, Grant, HttpAccess, Options, SmtpOptions, Tls, TokenOptions};
use driftwise::notify::{Channel as _, Obstacle};
use driftwise::secret::Secret;
use serde_json::{Value, json};

use crate::script::Script;
use crate::script::Step::{Expect, Say};
use crate::support::endpoint::{Endpoint, Reply, issued};
use crate::support::port::ClosedPort;
use crate::support::server::Server;
use crate::{LONG, SHORT, email, outbound, to_port};

pub const SECRET: &str = "correct-horse-battery";
pub const USER: &str = "driftwise@integrator.example";

pub fn token_options(url: &str) -> TokenOptions {
    TokenOptions {
        url: format!("{url}/tenant/oauth2/v2.0/token"),
        grant: Grant::Secret { client_id: "app".to_owned(), secret: Secret::given(SECRET) },
        scope: "https://outlook.office365.com/.default".to_owned(),
        access: HttpAccess::default(),
    }
}

fn with_token(port: u16, tls: Tls, url: &str) -> SmtpOptions {
    SmtpOptions { username: Some(USER.to_owned()), oauth2: Some(token_options(url)), ..to_port(port, tls) }
}

fn server(more: &Value) -> Server {
    let mut options = json!({ "mode": "starttls", "auth": ["XOAUTH2"], "user": USER });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Server::start(options)
}

fn to(server: &Server, endpoint: &Endpoint) -> Email {
    email(with_token(server.port, Tls::StartTls, &endpoint.url))
}

#[tokio::test]
async fn one_token_signs_in_for_many_mails() {
    let server = server(&json!({ "tokens": ["first-token"] }));
    let endpoint = Endpoint::start([issued("first-token"), Reply::Text(500, "")]).await;
    let email = to(&server, &endpoint);
    let message = outbound(&email, "it@acme.example");
    let (one, two, three) = tokio::join!(email.send(&message), email.send(&message), email.send(&message));
    for sent in [one, two, three] {
        sent.unwrap();
    }
    email.probe().await.unwrap();
    for _ in 0..3 {
        let taken = server.taken();
        assert_eq!((taken.user.as_deref(), taken.raw == message.raw), (Some(USER), true));
    }
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/tenant/oauth2/v2.0/token");
    assert_eq!(asked[0].header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(
        asked[0].body,
        format!(
            "grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Foutlook.office365.com%2F.default\
             &client_secret={SECRET}"
        )
    );
}

#[tokio::test]
async fn a_token_that_has_expired_early_is_replaced_within_the_same_send() {
    let server = server(&json!({ "tokens": ["first-token", "second-token"], "uses": 1 }));
    let endpoint = Endpoint::start([issued("first-token"), issued("second-token")]).await;
    let email = to(&server, &endpoint);
    let message = outbound(&email, "it@acme.example");
    email.send(&message).await.unwrap();
    email.send(&message).await.unwrap();
    assert_eq!(endpoint.asked().len(), 2);
    // The second token is used up too: the client fetches one more, which is the same, and then no further one.
    let error = email.send(&message).await.unwrap_err();
    assert_eq!((error.obstacle, endpoint.asked().len()), (Obstacle::Auth, 3), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_explained_without_repeating_it() {
    let server = server(&json!({ "tokens": ["another"] }));
    let endpoint = Endpoint::start([issued("a-token-nobody-knows")]).await;
    let email = to(&server, &endpoint);
    let message = outbound(&email, "it@acme.example");
    for asked in 1..3 {
        let error = email.send(&message).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent, error.reply), (Obstacle::Auth, false, Some(535)), "{error}");
        assert!(!error.reason.contains("nobody-knows"), "{error}");
        assert!(error.reason.contains("and words that hold the token"), "{error}");
        // A new token that is refused is neither replaced at once nor kept.
        assert_eq!(endpoint.asked().len(), asked);
    }
}

#[tokio::test]
async fn the_explanation_of_a_refusal_is_decoded_and_shown_with_advice() {
    // {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
    let challenge =
        "334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==\r\n";
    let steps = vec![
        Say("220 hello\r\n"),
        Expect("EHLO "),
        Say("250-tiny\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n"),
        Expect("AUTH XOAUTH2 "),
        Say(challenge),
        Expect("\r\n"),
        Say("535 5.7.8 Username and Password not accepted\r\n"),
        Expect("QUIT"),
        Say("221 bye\r\n"),
    ];
    let server = Script::start(steps).await;
    let endpoint = Endpoint::start([issued("first-token")]).await;
    let email = email(with_token(server.port, Tls::None, &endpoint.url));
    let error = email.probe().await.unwrap_err();
    server.finish().await;
    assert_eq!((error.obstacle, error.reply), (Obstacle::Auth, Some(535)), "{error}");
    for words in ["535 \"5.7.8", "\"status\":\"400\"", "https://mail.google.com/", "What to do: "] {
        assert!(error.reason.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_server_may_ignore_the_initial_response_and_may_not_challenge_without_end() {
    let begin = |rest: &[crate::script::Step]| {
        let begin = [
            Say("220 hello\r\n"),
            Expect("EHLO "),
            Say("250-tiny\r\n250 AUTH XOAUTH2\r\n"),
            Expect("AUTH XOAUTH2 dXNlcj1"),
            Say("334 \r\n"),
            Expect("dXNlcj1"),
        ];
        [&begin, rest].concat()
    };
    let ends = [
        (vec![Say("235 fine\r\n"), Expect("QUIT"), Say("221 bye\r\n")], None),
        (
            vec![Say("334 e30=\r\n"), Expect("\r\n"), Say("334 e30=\r\n"), crate::script::Step::Gone],
            Some(Obstacle::Auth),
        ),
    ];
    for (rest, obstacle) in ends {
        let server = Script::start(begin(&rest)).await;
        let endpoint = Endpoint::start([issued("first-token")]).await;
        let probed = email(with_token(server.port, Tls::None, &endpoint.url)).probe().await;
        server.finish().await;
        assert_eq!(probed.as_ref().err().map(|error| error.obstacle), obstacle, "{probed:?}");
    }
}

#[tokio::test]
async fn a_token_is_never_sent_where_a_password_is_expected() {
    let server = server(&json!({ "auth": ["PLAIN", "LOGIN"], "tokens": ["first-token"] }));
    let endpoint = Endpoint::start([issued("first-token")]).await;
    let error = to(&server, &endpoint).probe().await.unwrap_err();
    assert_eq!((error.obstacle, error.permanent), (Obstacle::Auth, false), "{error}");
    assert!(error.reason.contains("does not offer AUTH XOAUTH2"), "{error}");
}

/// The faults of a token endpoint, and the obstacle of each.
pub fn faults() -> Vec<(Reply, Obstacle)> {
    vec![
        (Reply::Silence, Obstacle::Timeout),
        (Reply::Endless(200), Obstacle::Deferred),
        (Reply::Endless(400), Obstacle::Auth),
        (Reply::Text(200, "<html>sign in to the Wi-Fi</html>"), Obstacle::Auth),
        (Reply::Json(200, json!({ "access_token": ["x"] })), Obstacle::Auth),
        (Reply::Json(200, json!({ "access_token": "a b" })), Obstacle::Auth),
        (Reply::Text(202, ""), Obstacle::Auth),
        (
            Reply::With(302, ("location", "https://elsewhere.example/?s=correct-horse-battery"), json!({})),
            Obstacle::Auth,
        ),
        (Reply::Json(400, json!({ "error": "invalid_client", "error_description": SECRET })), Obstacle::Auth),
        (Reply::With(429, ("retry-after", "120"), json!({})), Obstacle::Deferred),
        (Reply::Text(503, "correct-horse-battery"), Obstacle::Deferred),
    ]
}

#[tokio::test]
async fn every_fault_of_the_token_endpoint_is_transient_and_bounded() {
    let down = ClosedPort::hold();
    let refused = with_token(1, Tls::StartTls, &format!("http://127.0.0.1:{}", down.number));
    let error = email(refused).probe().await.unwrap_err();
    assert_eq!((error.obstacle, error.permanent), (Obstacle::Connect, false), "{error}");
    for (reply, obstacle) in faults() {
        let endpoint = Endpoint::start([reply.clone()]).await;
        let timeout = if matches!(reply, Reply::Silence) { SHORT } else { LONG };
        // The client never connects to the mail server.
        let options = SmtpOptions { timeout, ..with_token(down.number, Tls::StartTls, &endpoint.url) };
        let error = email(options).probe().await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (obstacle, false), "{reply:?}: {error}");
        assert!(!error.reason.contains(SECRET) && error.reason.chars().count() < 600, "{reply:?}: {error}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_asks_to_wait_gets_no_earlier_request_for_another_recipient() {
    let server = server(&json!({ "tokens": ["first-token"] }));
    let endpoint = Endpoint::start([Reply::With(429, ("retry-after", "600"), json!({})), issued("first-token")]).await;
    let email = to(&server, &endpoint);
    for to in ["it@acme.example", "ops@acme.example"] {
        let error = email.send(&outbound(&email, to)).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (Obstacle::Deferred, false), "{to}: {error}");
        assert!(error.retry_after.is_some_and(|wait| (540..=600).contains(&wait.as_secs())), "{to}: {error:?}");
    }
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_asks_to_wait_is_not_asked_by_the_next_configuration_before() {
    let wait = Reply::With(429, ("retry-after", "600"), json!({}));
    let (endpoint, other) = (Endpoint::start([wait]).await, Endpoint::start([Reply::Text(500, "")]).await);
    let mut gates = Gates::default();
    for (url, wait) in [(&endpoint.url, true), (&endpoint.url, true), (&other.url, false)] {
        gates = gates.clone();
        let delivery = Delivery::Smtp(with_token(1, Tls::StartTls, url));
        let options = Options { from: NamedAddress::parse(USER).unwrap(), delivery, public_url: None };
        let error = Email::of(&mut gates, options).unwrap().probe().await.unwrap_err();
        assert_eq!((error.obstacle, error.retry_after.is_some()), (Obstacle::Deferred, wait), "{error}");
    }
    assert_eq!((endpoint.asked().len(), other.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_trial_says_what_succeeded_and_which_role_is_missing() {
    // {"aud":"x","roles":["Mail.Send"]}
    let token = "e30.eyJhdWQiOiJ4Iiwicm9sZXMiOlsiTWFpbC5TZW5kIl19.c2ln";
    let server = server(&json!({ "tokens": [token] }));
    let endpoint = Endpoint::start([issued(token)]).await;
    let email = to(&server, &endpoint);
    let trial = email.trial(&outbound(&email, "it@acme.example")).await;
    trial.outcome.unwrap();
    let steps = trial.steps.join("\n").replace(&server.port.to_string(), "PORT");
    insta::assert_snapshot!(steps);
    let refused = email.trial(&outbound(&email, "550-rcpt@acme.example")).await;
    assert_eq!((refused.steps.len(), refused.outcome.unwrap_err().permanent), (3, true));
}

#[tokio::test]
async fn a_client_secret_is_not_sent_to_another_machine_without_tls() {
    let options = with_token(1, Tls::StartTls, "http://login.example");
    let error = crate::build(options.clone()).err().unwrap();
    assert!(error.to_string().contains("without TLS"), "{error}");
    let mut allowed = options;
    allowed.oauth2.as_mut().unwrap().access.allow_insecure = true;
    assert!(crate::build(allowed).is_ok());
}
