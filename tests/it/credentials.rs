//! The ends of client secrets and certificates, as `doctor`, the metrics and the mails of the running daemon
//! show them.

use chrono::{DateTime, Days, NaiveDate, Utc};
use driftwise::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::certificate::{self, ending_on};
use crate::server::Server;
use crate::support::endpoint::issued;
use crate::world::{Setup, World};

const METRIC: &str = "driftwise_credential_expiry_timestamp_seconds";

/// The day that begins `days` days from now.
fn in_days(days: u64) -> NaiveDate {
    SystemClock.now().date_naive() + Days::new(days)
}

fn seconds(day: NaiveDate) -> f64 {
    f64::from(u32::try_from(day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()).unwrap())
}

fn checks(report: &Value) -> Vec<(String, String)> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["check"] == "credential");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks.map(|check| (text(&check["subject"]), text(&check["result"]))).collect()
}

#[test]
fn doctor_and_the_metrics_show_the_end_of_each_credential_and_no_secret() {
    let server =
        Server::start(json!({ "mode": "starttls", "auth": ["XOAUTH2"], "user": "driftwise", "tokens": ["good"] }));
    let mut setup = Setup { source: String::from("timeout: 5s, tls: { ca_file: ca.pem }"), ..Setup::default() };
    let world = World::new(1, &Setup::default());
    // The certificate that has ended does not count any more.
    let authorities = [ending_on(NaiveDate::from_ymd_opt(2020, 1, 1).unwrap()), ending_on(in_days(20))].concat();
    std::fs::write(world.path("ca.pem"), authorities).unwrap();
    let tokens = world.endpoint([issued("good")]);
    setup.email = format!(
        "smtp: {{ host: localhost, port: {}, ca_file: {}, username: driftwise, oauth2: {{ token_url: \"{}\", \
         client_id: app, client_secret: canary-7f3a, client_secret_expires: {} }} }}",
        server.port,
        certificate::ca_file().display(),
        tokens.url,
        in_days(40)
    );
    world.configure(&setup);
    let daemon = world.daemon();
    daemon.first_poll();
    let report = world.run(&["doctor", "--format", "json"]).expect(0);
    let of = |key: &str, result: &str| (key.to_owned(), result.to_owned());
    assert_eq!(
        checks(&report.json()),
        [
            of("sources.erp.tls.ca_file", "warning"),
            of("email.smtp.ca_file", "ok"),
            of("email.smtp.oauth2.client_secret", "ok"),
            of("email.smtp.host", "ok"),
        ]
    );
    let end = |key: &str| daemon.metric(METRIC, &[("credential", key)]);
    daemon.until(
        METRIC,
        &[("credential", "sources.erp.tls.ca_file"), ("kind", "ca_certificate")],
        seconds(in_days(20)),
    );
    assert_eq!(end("sources.erp.tls.ca_file"), Some(seconds(in_days(20))));
    assert_eq!(end("email.smtp.oauth2.client_secret"), Some(seconds(in_days(40))));
    assert_eq!(end("email.smtp.host"), None, "no mail has left yet");
    // Its mail is the first connection of the daemon to the mail server.
    world.simulator.set(14, "export", true);
    daemon.until(METRIC, &[("credential", "email.smtp.host"), ("kind", "server_certificate")], 4e9);

    // A secret that has ended needs an act; a reload changes the metric.
    world.edit(&[(&in_days(40).to_string(), "2026-01-01")]);
    let over = world.run(&["doctor"]).expect(3).out;
    assert!(over.contains("client secret expired") && over.contains("create a new client secret"), "{over}");
    daemon.signal("HUP");
    let ended = "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let what = || format!("end of the secret; there is {:?}", end("email.smtp.oauth2.client_secret"));
    crate::program::eventually_or(what, || {
        (end("email.smtp.oauth2.client_secret") == Some(seconds(ended.date_naive()))).then_some(())
    });
    let (metrics, said) = (daemon.get("/metrics").1, daemon.stop());
    for text in [&report.out, &over, &metrics, &said] {
        assert!(!text.contains("canary-7f3a") && !text.contains("BEGIN CERTIFICATE"), "{text}");
    }
}

#[test]
fn operators_are_notified_of_an_end_once_and_of_the_next_one_again() {
    const OPERATOR: &str = "run@integrator.example";
    let world = World::new(1, &Setup::default());
    let ends_in = |days| std::fs::write(world.path("ca.pem"), ending_on(in_days(days))).unwrap();
    world.configure(&Setup {
        source: String::from("timeout: 5s, tls: { ca_file: ca.pem }"),
        alerts: format!("operators: [{OPERATOR}]"),
        ..Setup::default()
    });
    let mailed = || world.notified().into_iter().filter(|(kind, _)| kind == "credential").collect::<Vec<_>>();
    let once = (String::from("credential"), OPERATOR.to_owned());

    ends_in(10);
    let daemon = world.daemon();
    let mail = world.mail("credential", OPERATOR);
    mail.says("The CA certificate for erp expires in 10 days");
    mail.says("sources.erp.tls.ca_file");
    assert_eq!(mail.header("X-Driftwise-Source"), "erp");
    daemon.stop();

    // The daemon reads all ends before it publishes the metric, so a repeat of the first mail would come before the second.
    let daemon = world.daemon();
    daemon.until(METRIC, &[("credential", "sources.erp.tls.ca_file")], seconds(in_days(10)));
    ends_in(5);
    daemon.signal("HUP");
    crate::program::eventually_or(|| format!("{:?}", world.notified()), || (mailed().len() > 1).then_some(()));
    daemon.stop();
    assert_eq!(mailed(), [once.clone(), once]);
}
