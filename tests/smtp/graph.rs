//! Mail over a stand-in for Microsoft Graph.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use driftwise::domain::address::{Address, NamedAddress};
use driftwise::notify::email::{Delivery, Email, Gates, GraphOptions, Options, SmtpOptions};
use driftwise::notify::{Channel as _, Obstacle};
use serde_json::json;

use crate::outbound;
use crate::support::endpoint::{Endpoint, Reply, issued};
use crate::tokens::{SECRET, USER, faults, token_options};
use crate::{LONG, SHORT};

fn options(graph: &Endpoint, tokens: &Endpoint) -> GraphOptions {
    GraphOptions {
        base_url: format!("{}/v1.0", graph.url),
        user: Address::parse(USER).unwrap(),
        token: token_options(&tokens.url),
        timeout: SmtpOptions::TIMEOUT,
    }
}

fn email(options: GraphOptions) -> Email {
    behind(&mut Gates::default(), options)
}

fn behind(gates: &mut Gates, options: GraphOptions) -> Email {
    let from = NamedAddress::parse(USER).unwrap();
    Email::of(gates, Options { from, delivery: Delivery::Graph(options), public_url: None }).unwrap()
}

const ACCEPTED: Reply = Reply::Text(202, "");

fn refusal(status: u16, code: &str) -> Reply {
    Reply::Json(status, json!({ "error": { "code": code, "message": "for it@acme.example with first-token-of-all" } }))
}

#[tokio::test]
async fn a_mail_arrives_byte_for_byte() {
    let (graph, tokens) = (Endpoint::start([ACCEPTED]).await, Endpoint::start([issued("first-token-of-all")]).await);
    let email = email(options(&graph, &tokens));
    let message = outbound(&email, "it@acme.example");
    email.probe().await.unwrap();
    assert_eq!(graph.asked().len(), 0);
    email.send(&message).await.unwrap();
    email.send(&message).await.unwrap();
    let asked = graph.asked();
    assert_eq!((asked.len(), tokens.asked().len()), (2, 1));
    assert_eq!(asked[0].path, format!("/v1.0/users/{USER}/sendMail"));
    assert_eq!(asked[0].header("content-type"), "text/plain");
    assert_eq!(asked[0].header("authorization"), "Bearer first-token-of-all");
    assert!(BASE64_STANDARD.decode(&asked[0].body).unwrap() == message.raw);
}

#[tokio::test]
async fn only_a_message_that_can_never_be_sent_is_refused_for_good() {
    for (reply, obstacle, permanent) in [
        (refusal(400, "ErrorInvalidRecipients"), Obstacle::Rejected, true),
        (refusal(400, "ErrorMimeContentInvalidBase64String"), Obstacle::Rejected, true),
        (refusal(413, "ErrorMessageSizeExceeded"), Obstacle::Rejected, true),
        (Reply::Text(413, ""), Obstacle::Rejected, true),
        (refusal(400, "ErrorQuotaExceeded"), Obstacle::Deferred, false),
        (refusal(401, "InvalidAuthenticationToken"), Obstacle::Auth, false),
        (refusal(403, "ErrorAccessDenied"), Obstacle::Auth, false),
        (refusal(403, "ErrorSendAsDenied"), Obstacle::Auth, false),
        (refusal(404, "ErrorInvalidUser"), Obstacle::Auth, false),
        (refusal(429, "ApplicationThrottled"), Obstacle::Deferred, false),
        (refusal(500, "ErrorInternalServerError"), Obstacle::Deferred, false),
        (refusal(503, "ErrorInvalidRecipients"), Obstacle::Deferred, false),
        // Any other success than 202 does not count.
        (Reply::Text(200, "<html>"), Obstacle::Deferred, false),
        (Reply::Endless(200), Obstacle::Deferred, false),
        (Reply::Endless(403), Obstacle::Auth, false),
        (Reply::With(307, ("location", "https://elsewhere.example"), json!({})), Obstacle::Deferred, false),
        (Reply::Silence, Obstacle::Timeout, false),
    ] {
        let (graph, tokens) =
            (Endpoint::start([reply.clone()]).await, Endpoint::start([issued("first-token-of-all")]).await);
        let timeout = if matches!(reply, Reply::Silence) { SHORT } else { LONG };
        let email = email(GraphOptions { timeout, ..options(&graph, &tokens) });
        let error = email.send(&outbound(&email, "it@acme.example")).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent), (obstacle, permanent), "{reply:?}: {error}");
        assert!(!error.reason.contains("token-of-all") && !error.reason.contains("it@"), "{error}");
        assert_eq!(graph.asked().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn an_accepted_message_is_sent_whatever_follows() {
    let (graph, tokens) =
        (Endpoint::start([Reply::Endless(202)]).await, Endpoint::start([issued("first-token-of-all")]).await);
    let email = email(options(&graph, &tokens));
    email.send(&outbound(&email, "it@acme.example")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_to_wait_gets_no_earlier_request() {
    let asked_to_wait = [
        (Reply::With(429, ("retry-after", "120"), json!({})), 120),
        (Reply::With(503, ("retry-after", "120"), json!({})), 120),
        (Reply::With(429, ("retry-after", "999999999"), json!({})), 24 * 3600),
        (Reply::Text(429, ""), 30),
    ];
    for (reply, wait) in asked_to_wait {
        let (graph, tokens) =
            (Endpoint::start([reply, ACCEPTED]).await, Endpoint::start([issued("first-token-of-all")]).await);
        let mut gates = Gates::default();
        let email = behind(&mut gates, options(&graph, &tokens));
        let message = outbound(&email, "it@acme.example");
        let first = email.send(&message).await.unwrap_err();
        assert_eq!(first.retry_after.map(|wait| wait.as_secs()), Some(wait), "{first}");
        let second = email.send(&message).await.unwrap_err();
        assert_eq!((second.obstacle, second.permanent), (Obstacle::Deferred, false), "{second}");
        assert!(
            second.retry_after.is_some_and(|left| left.as_secs() <= wait && left.as_secs() + 20 > wait),
            "{second}"
        );
        // Nor after a reload, unless it names another mailbox.
        let mut gates = gates.clone();
        behind(&mut gates, options(&graph, &tokens)).send(&message).await.unwrap_err();
        assert_eq!(graph.asked().len(), 1);
        let user = Address::parse("other@integrator.example").unwrap();
        let other = behind(&mut gates, GraphOptions { user, ..options(&graph, &tokens) });
        other.send(&message).await.unwrap();
    }
    let no_wait = Endpoint::start([Reply::With(503, ("retry-after", "0"), json!({})), ACCEPTED]).await;
    let tokens = Endpoint::start([issued("first-token-of-all")]).await;
    let email = email(options(&no_wait, &tokens));
    let message = outbound(&email, "it@acme.example");
    email.send(&message).await.unwrap_err();
    email.send(&message).await.unwrap();
}

#[tokio::test]
async fn a_token_that_has_expired_early_is_replaced_within_the_same_send() {
    let expired = refusal(401, "InvalidAuthenticationToken");
    let graph = Endpoint::start([ACCEPTED, expired.clone(), ACCEPTED, expired]).await;
    let tokens = Endpoint::start([issued("first-token-of-all"), issued("second-token")]).await;
    let email = email(options(&graph, &tokens));
    let message = outbound(&email, "it@acme.example");
    email.send(&message).await.unwrap();
    email.send(&message).await.unwrap();
    assert_eq!((graph.asked().len(), tokens.asked().len()), (3, 2));
    assert_eq!(graph.asked()[2].header("authorization"), "Bearer second-token");
    assert_eq!(email.send(&message).await.unwrap_err().obstacle, Obstacle::Auth);
    assert_eq!((graph.asked().len(), tokens.asked().len()), (5, 3));
}

#[tokio::test]
async fn every_fault_of_the_token_endpoint_is_transient_and_graph_gets_no_request() {
    for (reply, obstacle) in faults() {
        let (graph, tokens) = (Endpoint::start([ACCEPTED]).await, Endpoint::start([reply.clone()]).await);
        let timeout = if matches!(reply, Reply::Silence) { SHORT } else { LONG };
        let email = email(GraphOptions { timeout, ..options(&graph, &tokens) });
        let error = email.send(&outbound(&email, "it@acme.example")).await.unwrap_err();
        assert_eq!((error.obstacle, error.permanent, graph.asked().len()), (obstacle, false, 0), "{reply:?}: {error}");
        assert!(!error.reason.contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn a_trial_names_the_policy_that_is_missing() {
    // {"aud":"x","roles":[]}
    let token = "e30.eyJhdWQiOiJ4Iiwicm9sZXMiOltdfQ.c2ln";
    let graph = Endpoint::start([refusal(403, "ErrorAccessDenied")]).await;
    let tokens = Endpoint::start([issued(token)]).await;
    let email = email(options(&graph, &tokens));
    let trial = email.trial(&outbound(&email, "it@acme.example")).await;
    let reason = trial.outcome.unwrap_err().reason;
    insta::assert_snapshot!([trial.steps.as_slice(), &[reason]].concat().join("\n"));
}
