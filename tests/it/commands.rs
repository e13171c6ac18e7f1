//! The commands: exit codes, standard output and standard error.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use driftwise::simulator::Mode;
use serde_json::{Value, json};

use crate::program::{ask, driftwise, eventually, run};
use crate::server::Server;
use crate::support::edit::replaced;
use crate::world::{FALLBACK, OWNER, Setup, World};

fn two() -> Setup {
    Setup { sessions: ["{ id: 14 }", "{ id: 15 }"].map(String::from).to_vec(), ..Setup::default() }
}

#[test]
fn check_polls_all_or_some_sessions_and_its_exit_code_is_the_result() {
    let world = World::new(2, &two());
    let fine = world.run(&["check"]).expect(0);
    let all_clear =
        "2 sessions: 2 compliant\nNot shown: 2 compliant sessions, 30 compliant findings; --all shows them\n";
    assert_eq!(fine.out, format!("{all_clear}30 of 30 rules could be checked\n"), "there is no table without a row");
    assert_eq!(fine.err, "");
    let all = world.run(&["check", "--all"]).expect(0).out;
    assert!(all.contains("erp/14") && all.contains("export-off") && !all.contains("Not shown"), "{all}");
    world.simulator.set(15, "import_orders_as", "j.doe");
    let drifted = world.run(&["check"]).expect(1);
    assert!(drifted.out.contains("j.doe, should be Shopify_Orders"), "{}", drifted.out);
    assert!(!drifted.out.contains("erp/14") && !drifted.out.contains("export-off"), "{}", drifted.out);
    let json = world.run(&["check", "--format", "json"]).expect(1).json();
    assert_eq!(json["sessions"].as_array().unwrap().len(), 2, "JSON has what is compliant too");
    assert!(json["sessions"][0]["findings"].as_array().unwrap().len() > 10);
    let junit = world.run(&["check", "--format", "junit"]).expect(1).out;
    assert!(junit.contains("failures=\"1\"") && junit.contains("warning: j.doe, should be Shopify_Orders"), "{junit}");
    let junit = world.run(&["check", "--format", "junit", "--fail-on", "critical"]).expect(0).out;
    assert!(junit.contains("failures=\"0\"") && junit.contains("(below --fail-on critical)"), "{junit}");
    let markdown = world.run(&["check", "--format", "markdown"]).expect(1).out;
    let row = "| import-orders-as-dedicated-user | import\\_orders\\_as | drifted | j.doe, should be Shopify\\_Orders | warning |\n";
    assert!(markdown.contains(row) && !markdown.contains("erp/14"), "{markdown}");
    world.run(&["check", "--fail-on", "critical"]).expect(0);
    world.run(&["check", "--fail-on", "warning"]).expect(1);
    world.run(&["check", "--session", "erp/14"]).expect(0);
    let both = world.run(&["check", "--session", "erp/14", "--session", "erp/15", "--format", "json"]).expect(1);
    assert_eq!(both.json()["sessions"].as_array().unwrap().len(), 2);
    world.simulator.set(15, "transfer_type", Value::Null);
    world.simulator.unset(15, "schedule");
    let partly = world.run(&["check", "--fail-on", "critical"]).expect(1);
    assert!(partly.out.contains("29 of 30 rules could be checked"), "{}", partly.out);
    assert!(partly.out.contains("erp/15: schedule-every-5-minutes"), "{}", partly.out);
    for session in [14, 15] {
        world.simulator.add_session(session);
        world.simulator.unset(session, "add_delivery_address");
    }
    let optional = world.run(&["check", "--session", "erp/14"]).expect(0);
    assert!(optional.out.contains("14 of 14 rules could be checked; 1 more does not apply\n"), "{}", optional.out);
    for wrong in ["erp/99", "nobody/14", "14"] {
        let refused = world.run(&["check", "--session", wrong]).expect(2);
        assert!(refused.err.contains(wrong) && refused.out.is_empty(), "{}", refused.err);
    }
    assert!(!world.path("driftwise.db").exists(), "check writes nothing");
}

#[test]
fn check_with_notify_records_and_mails_once() {
    let world = World::new(2, &two());
    world.simulator.set(15, "export", true);
    let first = world.run(&["check", "--notify", "--format", "json"]).expect(1);
    assert_eq!(first.json()["sessions"][0]["session"], "erp/15");
    assert!(first.err.contains("2 notifications recorded; 2 sent"), "{}", first.err);
    assert_eq!(world.notified().len(), 2);
    let second = world.run(&["check", "--notify"]).expect(1);
    assert!(second.err.contains("0 notifications recorded"), "{}", second.err);
    assert_eq!(world.notified().len(), 2);
    world.run(&["status"]).expect(1);
    let daemon = world.daemon();
    daemon.poll();
    assert_eq!(world.notified().len(), 2, "the daemon knows what the command recorded");
    let refused = world.run(&["check", "--notify"]).expect(4);
    assert!(refused.err.contains(&format!("process {}", daemon.pid())), "{}", refused.err);
    world.run(&["check"]).expect(1);
    world.run(&["notifications", "list"]).expect(0);
    daemon.stop();
    world.simulator.fail(Mode::Html, None);
    let unreachable = world.run(&["check", "--notify"]).expect(3);
    assert!(unreachable.err.contains("1 notification recorded; 1 sent"), "{}", unreachable.err);
    world.mail("unreachable", FALLBACK);
}

#[test]
fn validate_reports_every_problem_and_connects_only_with_online() {
    let world = World::new(1, &two());
    let fine = world.run(&["validate"]).expect(0);
    let weaker = "note: rule name-is-clear of policy orderwise-shopify asks only for some value in sessions without the \
                  param \"name\": erp/14, erp/15\n";
    assert_eq!(fine.out, format!("{weaker}The configuration is valid: 1 source, 2 sessions.\n"));
    assert!(world.simulator.requests().is_empty());
    let absent = world.run(&["validate", "--online"]).expect(3);
    assert!(
        absent.out.contains("source erp: ABSENT: returned 1 session; the audited session 15 is missing"),
        "{}",
        absent.out
    );
    assert!(absent.out.contains("mail: ready to take mail"), "{}", absent.out);
    world.simulator.add_session(15);
    let online = world.run(&["validate", "--online"]).expect(0);
    assert!(online.out.contains("returned 2 sessions, including all 2 audited ones"), "{}", online.out);
    assert!(world.mails().is_empty());
    let nowhere = "smtp: { host: 127.0.0.1, port: 9, tls: none }";
    world.edit(&[("spool: ./mail", nowhere)]);
    let no_mail = world.run(&["validate", "--online"]).expect(3);
    assert!(no_mail.out.contains("mail: FAILED: "), "{}", no_mail.out);
    world.edit(&[(nowhere, "spool: ./mail")]);
    let params = "import_orders_as: Shopify_Orders";
    world.edit(&[(&format!(", {params}"), "")]);
    let weaker = world.run(&["validate"]).expect(0).out;
    assert!(weaker.contains("sessions without the param \"import_orders_as\": erp/14, erp/15"), "{weaker}");
    world.simulator.fail(Mode::Forbidden, None);
    let refused = world.run(&["validate", "--online"]).expect(3);
    assert!(refused.out.contains("source erp: FAILED") && refused.out.contains("403"), "{}", refused.out);

    let sessions = vec![String::from("{ id: 14, polcy: x }"), String::from("{ id: 15, schedule: \"61 * * * *\" }")];
    world.configure(&Setup { sessions, alerts: String::from("confirm_polls: often"), ..Setup::default() });
    let wrong = world.run(&["validate"]).expect(2);
    assert!(wrong.out.is_empty() && wrong.err.contains("3 problems"), "{}", wrong.err);
    for words in ["driftwise.yaml:", "polcy", "policy", "61 * * * *", "confirm_polls"] {
        assert!(wrong.err.contains(words), "{words}: {}", wrong.err);
    }
    world.run(&["run"]).expect(2);
}

#[test]
fn sessions_lists_all_sessions_of_a_source() {
    let world = World::new(2, &Setup::default());
    let list = world.run(&["sessions", "--source", "erp"]).expect(0).out;
    let line = |id: &str| list.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(line("14").contains("acme-uk.myshopify.com") && !line("14").contains("not audited"), "{list}");
    assert!(line("15").contains("acme-us.myshopify.com") && line("15").contains("not audited"), "{list}");
    let json = world.run(&["sessions", "--source", "erp", "--format", "json"]).expect(0).json();
    let names = [("14", true), ("15", false)].map(|(id, audited)| (json!(id), json!(audited)));
    let listed = json["sessions"].as_array().unwrap();
    assert_eq!([0, 1].map(|at| (listed[at]["id"].clone(), listed[at]["audited"].clone())), names);
    assert_eq!(listed[1]["name"], "acme-us.myshopify.com");
    assert!(world.run(&["sessions", "--source", "nobody"]).expect(2).err.contains("the sources are: erp"));
    world.simulator.fail(Mode::Unauthorized, None);
    assert!(world.run(&["sessions", "--source", "erp"]).expect(3).err.contains("could not be read"));
}

#[test]
fn a_test_is_sent_and_the_notifications_that_were_recorded_are_listed_and_shown() {
    let world = World::new(2, &two());
    let test = world.run(&["notifications", "test", "--to", "it@acme.example"]).expect(0);
    let mail = world.mail("test", "it@acme.example");
    assert!(test.out.contains(mail.id()), "{}", test.out);
    world.run(&["notifications", "test", "--to", "nobody"]).expect(2);
    let unnamed = world.run(&["notifications", "test"]).expect(0).out;
    assert!(unnamed.contains(world.mail("test", FALLBACK).id()) && world.mails().len() == 2, "{unnamed}");
    world.edit(&[(
        &format!("fallback: [{FALLBACK}]"),
        &format!("fallback: [{FALLBACK}], operators: [ops@acme.example]"),
    )]);
    world.run(&["notifications", "test"]).expect(0);
    assert!(world.mail("test", "ops@acme.example").id() != mail.id() && world.mails().len() == 3);
    assert!(world.run(&["notifications", "list"]).expect(0).out.contains("No notification"));
    assert_eq!(
        world.run(&["notifications", "list", "--format", "json"]).expect(0).json(),
        json!({ "notifications": [] })
    );
    world.simulator.set(15, "export", true);
    world.run(&["check", "--notify"]).expect(1);
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    let message = &list["notifications"][0];
    let mail = world.mail("drift", message["to"].as_str().unwrap());
    assert_eq!((&message["message_id"], &message["subject"]), (&json!(mail.id()), &json!(mail.subject)));
    assert_eq!((&message["kind"], &message["sessions"]), (&json!("drift"), &json!(["erp/15"])));
    assert_eq!((&message["state"], &message["last_error"]), (&json!("sent"), &Value::Null));
    assert!(message["id"].is_i64() && message["attempts"].is_i64(), "{message}");
    assert_eq!(message["channel"], "email");
    let id = message["id"].to_string();
    let shown = world.run(&["notifications", "show", &id]).expect(0).out;
    assert!(
        shown.contains(mail.id()) && shown.contains("drift of export (rule export-off) in erp/15: opened"),
        "{shown}"
    );
    let stable = message["notification_id"].as_str().unwrap();
    assert_eq!(world.run(&["notifications", "show", stable]).expect(0).out, shown, "the log names it so");
    let unknown = world.run(&["notifications", "show", "7b1c4f0e-5d0c-5d2e-9d53-1f2f5d2b8c11"]).expect(2);
    assert!(unknown.err.contains("there is no notification 7b1c4f0e"), "{}", unknown.err);
    world.run(&["notifications", "show", "one"]).expect(2);
    let shown = world.run(&["notifications", "show", &id, "--format", "json"]).expect(0).json();
    assert_eq!(shown["reason"]["because"][0]["change"], "opened");
    let absent = world.run(&["notifications", "show", "99"]).expect(2);
    assert!(absent.err.contains("there is no notification 99"), "{}", absent.err);
    world.run(&["notifications", "test", "--to", "it@acme.example", "--channel", "fax"]).expect(2);
    let refused = world.run(&["notifications", "test", "--to", "it@acme.example", "-c", "absent.yaml"]).expect(2);
    assert!(refused.err.contains("absent.yaml"), "{}", refused.err);
}

#[test]
fn healthcheck_asks_the_daemon() {
    let world = World::new(1, &Setup::default());
    let daemon = world.daemon();
    daemon.first_poll();
    let address = daemon.address.to_string();
    assert_eq!(world.run(&["healthcheck", "--address", &address]).expect(0).out, "ready\n");
    // In the middle of an edit: a secret is missing, a key is misspelled, a bracket is still open.
    let sources = "sources: { erp: { type: orderwise, password: { env: NOT_SET_YET } } }";
    for edit in [format!("{sources}\nsesions: []"), format!("{sources}\nsessions: [")] {
        let config = format!("server: {{ listen: \"{address}\" }}\n{edit}\n");
        std::fs::write(world.path("driftwise.yaml"), &config).unwrap();
        world.run(&["validate"]).expect(2);
        assert_eq!(world.run(&["healthcheck"]).expect(0).out, "ready\n", "{config}");
    }
    daemon.stop();
    let down = world.run(&["healthcheck", "--address", &address]).expect(4);
    assert!(down.err.contains("no daemon answers"), "{}", down.err);
}

#[test]
fn the_stand_in_can_be_started_changed_over_http_and_stopped() {
    let world = World::new(1, &Setup::default());
    let mut command = driftwise(world.folder());
    command.args(["simulate", "--listen", "127.0.0.1:0", "--sessions", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "A stand-in for OrderWise with 2 sessions, IDs 14 to 15.");
    let base = lines.find_map(|line| Some(line.split_once("base_url: http://")?.1.to_owned())).unwrap();
    let address = base.split('/').next().unwrap().parse().unwrap();
    let text = std::fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let own = replaced(&text, &world.api.to_string(), base.split('/').next().unwrap());
    std::fs::write(world.path("own.yaml"), own).unwrap();
    world.run(&["check", "-c", "own.yaml"]).expect(0);
    let (status, _) = ask(address, "PATCH", "/_simulator/sessions/14", r#"{"export": true}"#).unwrap();
    assert_eq!(status, 204);
    world.run(&["check", "-c", "own.yaml"]).expect(1);
    ask(address, "PUT", "/_simulator/fault", r#"{"fault": "server_error"}"#).unwrap();
    world.run(&["check", "-c", "own.yaml"]).expect(3);
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(eventually("end of the stand-in", || child.try_wait().unwrap()).success());
}

#[test]
fn the_stand_in_refuses_more_sessions_than_it_can_hold() {
    let world = World::new(1, &Setup::default());
    let refused = world.run(&["simulate", "--sessions", "100001", "--listen", "127.0.0.1:0"]).expect(2);
    assert!(refused.err.contains("100001 is not in 0..=100000"), "{}", refused.err);
}

#[test]
fn commands_that_are_not_built_are_refused_as_such() {
    let world = World::new(1, &Setup::default());
    let commands: [&[&str]; 9] = [
        &["policy", "list"],
        &["accept", "--session", "erp/14"],
        &["waive", "--session", "erp/14"],
        &["silence", "add"],
        &["ack"],
        &["init"],
        &["columns", "--source", "erp"],
        &["adopt", "--session", "erp/14"],
        &["report", "--session", "erp/14"],
    ];
    for command in commands {
        let refused = world.run(command).expect(2);
        assert!(refused.err.contains("not available yet") && refused.out.is_empty(), "{command:?}: {}", refused.err);
    }
    let waiver = "{ id: 14, waivers: [{ rule: export-off, until: 2026-12-31 }] }";
    let http = "sources: { other: { type: http, url: \"https://h.example/\" } }";
    let postgres = "store: { url: \"postgres://h/d\" }\n";
    let setups = [
        Setup { sessions: vec![waiver.to_owned()], ..Setup::default() },
        Setup { alerts: String::from("digest: { schedule: \"0 8 * * MON\" }"), ..Setup::default() },
        Setup { more: postgres.to_owned(), ..Setup::default() },
    ];
    for setup in setups {
        world.configure(&setup);
        let refused = world.run(&["validate"]).expect(2);
        assert!(refused.err.contains("not available yet"), "{}", refused.err);
    }
    std::fs::write(world.path("http.yaml"), http).unwrap();
    assert!(world.run(&["check", "-c", "http.yaml"]).expect(2).err.contains("not available yet"));
}

#[test]
fn usage_errors_exit_with_2_and_a_configuration_is_found_where_it_should_be() {
    let world = World::new(1, &Setup::default());
    let wrong: [&[&str]; 5] = [&[], &["rnu"], &["check", "--nope"], &["check", "--format", "xml"], &["sessions"]];
    for arguments in wrong {
        let refused = world.run(arguments).expect(2);
        assert!(
            refused.out.is_empty() && (refused.err.contains("--help") || refused.err.contains("Usage")),
            "{arguments:?}: {}",
            refused.err
        );
    }
    assert!(run(world.folder(), &["--version"]).expect(0).out.contains(driftwise::release::TEXT.as_str()));
    let elsewhere = tempfile::tempdir().unwrap();
    let nowhere = run(elsewhere.path(), &["check"]).expect(2);
    assert!(nowhere.err.contains("DRIFTWISE_CONFIG"), "{}", nowhere.err);
    let with = |variable: &str, arguments: &[&str]| {
        let mut command = driftwise(elsewhere.path());
        command.env("DRIFTWISE_CONFIG", variable).args(arguments).output().unwrap().status.code()
    };
    let config = world.path("driftwise.yaml").display().to_string();
    assert_eq!(with(&config, &["check"]), Some(0));
    assert_eq!(with("absent.yaml", &["check", "-c", &config]), Some(0), "what is typed beats the environment");
    assert_eq!(with("absent.yaml", &["check"]), Some(2));
    world.run(&["check", "--config", "driftwise.yaml"]).expect(0);
}

#[test]
fn logs_go_to_standard_error_as_json_lines_without_a_terminal() {
    let world = World::new(1, &Setup::default());
    world.simulator.set(14, "export", true);
    let loud = world.run(&["check", "--format", "json", "--log-level", "trace"]).expect(1);
    assert_eq!(loud.json()["sessions"][0]["status"], "drifted");
    let daemon = world.daemon();
    daemon.first_poll();
    world.simulator.fail(Mode::ServerError, None);
    daemon.poll();
    let said = daemon.stop();
    for line in loud.err.lines().chain(said.lines()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    assert!(!said.contains(OWNER) && !said.contains(FALLBACK), "no addresses above debug: {said}");
    world.simulator.heal();
    let human = world.run(&["check", "--log-format", "human", "--log-level", "trace"]).expect(1);
    assert!(!human.err.starts_with('{'), "{}", human.err);
}

#[test]
fn the_reply_of_a_mail_server_with_an_address_is_in_results_and_not_in_the_log() {
    let server = Server::start(json!({ "mode": "none" }));
    let email = format!("smtp: {{ host: 127.0.0.1, port: {}, tls: none }}", server.port);
    let owners = ["550-rcpt@acme.example", "450-rcpt@acme.example"];
    let sessions = vec![format!("{{ id: 14, owners: [{}] }}", owners.join(", "))];
    let world = World::new(1, &Setup { sessions, email, ..Setup::default() });
    world.simulator.set(14, "notification_email", "unaudited@evil.example");
    let daemon = world.daemon();
    daemon.until("driftwise_notifications_total", &[("outcome", "dead")], 1.0);
    daemon.until("driftwise_notification_attempts_total", &[("outcome", "deferred")], 1.0);
    daemon.until("driftwise_notifications_total", &[("outcome", "sent")], 2.0);
    let said = daemon.stop();
    for (words, code) in [("mail is dead", 550), ("will retry", 450)] {
        let says = |line: &str| line.contains(words) && line.contains(&format!("\"reply\":{code}"));
        assert!(said.lines().any(says), "{words}: {said}");
    }
    for address in owners.into_iter().chain([OWNER, FALLBACK, "unaudited@evil.example"]) {
        assert!(!said.contains(address), "{address}: {said}");
    }
    let list = world.run(&["notifications", "list", "--format", "json"]).expect(0).json();
    for to in owners {
        let message = list["notifications"].as_array().unwrap().iter().find(|message| message["to"] == to).unwrap();
        // The store has the recipient in a column of its own; the error masks the address that the server repeated.
        let error = message["last_error"].as_str().unwrap();
        assert!(error.contains("<…@acme.example>: no rcpt for you") && !error.contains(to), "{message}");
    }
}

#[test]
fn the_schema_completions_and_the_manual_come_from_the_definitions() {
    let world = World::new(1, &Setup::default());
    let schema = world.run(&["schema"]).expect(0);
    assert_eq!(schema.out, std::fs::read_to_string("config/driftwise.schema.json").unwrap());
    assert_eq!(schema.json()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).expect(0).out;
        assert!(script.contains("validate") && script.contains("log-format"), "{shell}: {script}");
        assert!(!script.contains("accept"), "{shell} offers what is not built");
    }
    world.run(&["completions", "cmd"]).expect(2);
    let page = world.run(&["man"]).expect(0).out;
    assert!(page.contains(".TH driftwise 1") && page.contains("driftwise\\-validate(1)"), "{page}");
    assert!(!page.contains("driftwise\\-accept"), "{page}");
    assert!(world.run(&["man", "notifications", "test"]).expect(0).out.contains("Send a test message"));
    for unknown in ["accept", "nothing"] {
        assert!(world.run(&["man", unknown]).expect(2).err.contains("there is no command"));
    }
}
