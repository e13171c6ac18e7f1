//! Mail accounts that sign in with a token: a mail server over XOAUTH2, and Microsoft Graph, both on this machine.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use driftwise::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::certificate;
use crate::mailbox::Mail;
use crate::program::eventually;
use crate::reloads::reload;
use crate::server::Server;
use crate::support::endpoint::{Endpoint, Reply, issued};
use crate::world::{FALLBACK, OWNER, Setup, World};

const USER: &str = "driftwise@integrator.example";
const SECRET: &str = "canary-7f3a";

/// A mail server that accepts each of these tokens `uses` times.
fn mail_server(tokens: &[&str], uses: u32) -> Server {
    Server::start(json!({ "mode": "starttls", "auth": ["XOAUTH2"], "user": USER, "tokens": tokens, "uses": uses }))
}

fn smtp(server: &Server, token_url: &str) -> String {
    format!(
        "smtp: {{ host: localhost, port: {}, ca_file: {}, username: {USER}, oauth2: {{ token_url: \"{token_url}/token\", \
         client_id: app, client_secret: {SECRET} }} }}",
        server.port,
        certificate::ca_file().display()
    )
}

fn graph(graph: &Endpoint, tokens: &Endpoint) -> String {
    format!(
        "graph: {{ tenant: integrator.example, client_id: app, client_secret: {SECRET}, user: {USER}, \
         base_url: \"{}/v1.0\", token_url: \"{}/token\" }}",
        graph.url, tokens.url
    )
}

fn use_email(world: &World, email: String) {
    world.configure(&Setup { email, ..Setup::default() });
}

/// The next mail that the server takes.
fn taken(server: &Server) -> Mail {
    let taken = server.taken();
    assert_eq!((taken.user.as_deref(), taken.secure), (Some(USER), true));
    Mail::parse(taken.raw)
}

#[test]
fn a_drift_is_mailed_with_a_token_and_one_that_the_server_refuses_is_fetched_again() {
    let server = mail_server(&["first-token", "second-token"], 2);
    let world = World::new(1, &Setup::default());
    let tokens = world.endpoint([issued("first-token"), issued("second-token")]);
    use_email(&world, smtp(&server, &tokens.url));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    let mut drifts = [taken(&server), taken(&server)].map(|mail| (mail.kind().to_owned(), mail.to().to_owned()));
    drifts.sort();
    assert_eq!(drifts, [OWNER, FALLBACK].map(|to| (String::from("drift"), to.to_owned())));
    assert_eq!(tokens.asked().len(), 1, "one token for both mails");
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 2.0);

    // The server accepts the first token no longer.
    world.simulator.set(14, "export", false);
    for _ in 0..2 {
        assert_eq!(taken(&server).kind(), "resolved");
    }
    daemon.until("driftwise_notifications_total", &[("kind", "resolved"), ("outcome", "sent")], 2.0);
    assert_eq!(daemon.metric("driftwise_notification_attempts_total", &[("outcome", "auth")]), Some(0.0));
    let asked = tokens.asked();
    assert_eq!((asked.len(), asked[1].path.as_str()), (2, "/token"));
    assert!(asked[1].body.contains(&format!("client_secret={SECRET}")));
    let said = daemon.stop();
    assert!(!said.contains(SECRET) && !said.contains("-token"), "{said}");
}

#[test]
fn a_token_endpoint_that_is_down_is_transient_and_the_mail_arrives_when_it_is_back() {
    let server = mail_server(&["first-token"], 9);
    let world = World::new(1, &Setup::default());
    let port = world.closed_port();
    use_email(&world, smtp(&server, &format!("http://127.0.0.1:{}", port.number)));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.until("driftwise_notification_attempts_total", &[("outcome", "connect")], 2.0);
    let rows = listed(&world);
    assert!(rows.iter().all(|row| row["state"] == "retrying"), "{rows:#?}");
    assert!(rows[0]["last_error"].as_str().unwrap().contains("the token endpoint 127.0.0.1"), "{rows:#?}");
    let tokens = world.endpoint_at(port, [issued("first-token")]);
    for _ in 0..2 {
        assert_eq!(taken(&server).kind(), "drift");
    }
    daemon.until("driftwise_notifications_total", &[("outcome", "sent")], 2.0);
    assert_eq!(daemon.metric("driftwise_notifications_total", &[("outcome", "dead")]), Some(0.0));
    assert_eq!(tokens.asked().len(), 1);
    daemon.stop();
}

fn listed(world: &World) -> Vec<Value> {
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    list["notifications"].as_array().unwrap().clone()
}

#[test]
fn a_drift_is_mailed_over_microsoft_graph() {
    let world = World::new(1, &Setup::default());
    let tokens = world.endpoint([issued("first-token")]);
    let stand_in = world.endpoint([Reply::Text(202, "")]);
    use_email(&world, graph(&stand_in, &tokens));
    world.simulator.set(14, "export", true);
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("kind", "drift"), ("outcome", "sent")], 2.0);
    let asked = stand_in.asked();
    let mut to = asked.iter().map(|asked| {
        assert_eq!(asked.path, format!("/v1.0/users/{USER}/sendMail"));
        assert_eq!(asked.header("authorization"), "Bearer first-token");
        let mail = Mail::parse(BASE64_STANDARD.decode(&asked.body).unwrap());
        assert_eq!(mail.subject, "acme-uk.myshopify.com: Export is ticked");
        mail.to().to_owned()
    });
    let mut to = [to.next().unwrap(), to.next().unwrap()];
    to.sort();
    assert_eq!((to, asked.len(), tokens.asked().len()), ([OWNER, FALLBACK].map(str::to_owned), 2, 1));
    let said = daemon.stop();
    assert!(!said.contains(SECRET) && !said.contains("first-token"), "{said}");
}

#[test]
fn microsoft_graph_gets_no_request_before_the_time_that_it_named() {
    let world = World::new(1, &Setup::default());
    let tokens = world.endpoint([issued("first-token")]);
    let stand_in = world.endpoint([Reply::With(429, ("retry-after", "7200"), json!({})), Reply::Text(202, "")]);
    use_email(&world, graph(&stand_in, &tokens));
    world.simulator.set(14, "import_orders_as", "j.doe");
    let before = SystemClock.now();
    let daemon = world.daemon();
    daemon.until("driftwise_notification_attempts_total", &[("outcome", "deferred")], 1.0);
    assert_eq!(reload(&daemon).0, 200);
    // A warning goes to the owner alone. The mail to another recipient waits, too, also after a reload.
    world.simulator.set(14, "export", true);
    daemon.until("driftwise_notification_attempts_total", &[("outcome", "deferred")], 2.0);
    let rows = eventually("both waits", || {
        let retrying = listed(&world).into_iter().filter(|row| row["state"] == "retrying").collect::<Vec<_>>();
        (retrying.len() == 2).then_some(retrying)
    });
    assert_eq!([&rows[0]["to"], &rows[1]["to"]], [OWNER, FALLBACK]);
    for row in &rows {
        let next = row["next_attempt_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert!(next - before >= TimeDelta::seconds(7200 - 1), "{row:#}");
    }
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_notification_attempts_total", &[("outcome", "deferred")]), Some(2.0));
    daemon.stop();
    // The wait is in the store, so a restart does not shorten it.
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(daemon.metric("driftwise_notification_attempts_total", &[]), Some(0.0));
    assert_eq!(stand_in.asked().len(), 1);
    daemon.stop();
}

#[test]
fn a_test_message_names_each_step_and_the_one_that_failed() {
    let server = mail_server(&["first-token"], 9);
    let world = World::new(1, &Setup::default());
    // A refused token is fetched again, once.
    let replies = ["first-token", "unknown", "unknown", "first-token"];
    let tokens = world.endpoint(replies.map(issued));
    use_email(&world, smtp(&server, &tokens.url));
    let test = ["notifications", "test", "--to", "me@acme.example"];
    let done = world.run(&test).expect(0).out;
    let steps = done.lines().collect::<Vec<_>>();
    assert_eq!(steps[0], "Received a token from the token endpoint 127.0.0.1; it is used for 54 min.");
    let accepted = format!("The mail server localhost:{} accepted the sign-in with the token (XOAUTH2).", server.port);
    assert_eq!(steps[1..3], [accepted.as_str(), "The mail server accepted the message."]);
    assert!(steps[3].starts_with("A test message to me@acme.example was accepted: <") && steps.len() == 4, "{done}");
    assert_eq!(taken(&server).kind(), "test");

    let refused = world.run(&test).expect(4);
    assert_eq!(refused.out, "Received a token from the token endpoint 127.0.0.1; it is used for 54 min.\n");
    assert!(refused.err.contains("refused the sign-in (AUTH): 535"), "{}", refused.err);

    let stand_in = world.endpoint([Reply::Text(202, "")]);
    use_email(&world, graph(&stand_in, &tokens));
    let done = world.run(&test).expect(0).out;
    assert!(done.contains("\nMicrosoft Graph at 127.0.0.1 accepted the message.\n"), "{done}");
    for text in [&done, &refused.out, &refused.err] {
        assert!(!text.contains(SECRET) && !text.contains("first-token"), "{text}");
    }
    assert!(!world.path("driftwise.db").exists(), "a test is not recorded");
}
