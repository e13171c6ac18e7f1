//! Valid configurations and the values that they are read as.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::name::Name;
use crate::domain::plan::Breaker;
use crate::domain::reading::{Kind, RawValue};
use crate::domain::session::{Session, SessionId};
use crate::domain::setting::SettingKey;

use super::super::declaration::Status;
use super::super::{Adapter, Config, Credential, Delivery, Tls, keys};
use super::{CANARY, CANARY_HASH, load_text, load_text_with};

const GRID: &str = "sources: { grid: { type: file, path: a.csv } }\n";

fn session<'a>(config: &'a Config, source: &str, id: &str) -> &'a Session {
    &config.plans[&Name::parse(source).unwrap()].sessions[&SessionId::parse(id).unwrap()]
}

#[test]
fn the_smallest_configuration_gets_the_defaults() {
    let config = load_text(
        "sources:\n  erp: { type: orderwise, base_url: https://h/OWAPI/, username: u, password: p, export_definition: 61 }\n\
         sessions:\n  - { source: erp, id: 14, params: { notification_email: it@acme.example } }\n\
         email: { from: a@b.example, smtp: { host: mail.example } }\n",
    )
    .unwrap();
    let Adapter::OrderWise(erp) = &config.sources[0].adapter else { panic!("{config:?}") };
    assert_eq!((erp.base_url.as_str(), erp.export_definition), ("https://h/OWAPI", 61));
    assert_eq!((erp.timeout, erp.max_body), (Duration::from_mins(1), 16 << 20));
    assert!(matches!(&erp.credential, Credential::Password { username, .. } if username == "u"));
    let session = session(&config, "erp", "14");
    assert_eq!(format!("{:?}", session.schedule), "*/5 * * * * (UTC)");
    assert_eq!(session.policy.name.as_str(), "orderwise-shopify");
    assert_eq!(session.owners.iter().map(ToString::to_string).collect::<Vec<_>>(), ["it@acme.example"]);
    let Delivery::Smtp(smtp) = &config.require_email().unwrap().delivery else { panic!("{config:?}") };
    assert_eq!((smtp.port, smtp.tls, smtp.max_per_minute), (587, Tls::StartTls, 30));
    assert_eq!(config.store.retain, Duration::from_hours(730 * 24));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9464");
    assert!(config.store.path.ends_with("driftwise.db"));
    assert_eq!(config.max_polls, 64);
    assert_eq!(
        (config.alerts.alerts.confirm_polls, config.alerts.alerts.remind_every),
        (1, Some(Duration::from_hours(24)))
    );
}

#[test]
fn a_configuration_without_email_is_valid_until_mail_is_needed() {
    let config = load_text(&format!("{GRID}sessions: [{{ source: grid, id: 1, owners: [a@b.example] }}]\n")).unwrap();
    let problem = config.require_email().unwrap_err();
    assert!(problem.to_string().contains("there is no \"email\""), "{problem}");
}

#[test]
fn zero_turns_reminders_and_the_grace_period_off() {
    let config = load_text(&format!(
        "{GRID}sessions: [{{ source: grid, id: 1, owners: [a@b.example] }}]\nalerts: {{ remind_every: 0, unreachable_after: 0 }}\n"
    ))
    .unwrap();
    assert_eq!((config.alerts.alerts.remind_every, config.alerts.alerts.unreachable_after), (None, Duration::ZERO));
}

#[test]
fn max_polls_is_read_from_the_defaults() {
    let config = load_text(&format!(
        "{GRID}sessions: [{{ source: grid, id: 1, owners: [a@b.example] }}]\ndefaults: {{ max_polls: 8 }}\n"
    ))
    .unwrap();
    assert_eq!(config.max_polls, 8);
}

#[test]
fn a_session_has_its_own_zone_else_the_customers_else_the_default() {
    let config = load_text(
        "sources:\n  a: { type: file, path: a.csv, customer: acme }\n  b: { type: file, path: b.csv }\n\
         customers: { acme: { timezone: Europe/Paris, fallback: [it@acme.example], contact: Ring us } }\n\
         defaults: { session: { timezone: Europe/London, owners: [x@y.example] } }\n\
         sessions:\n  - { source: a, id: 1 }\n  - { source: a, id: 2, timezone: Asia/Tokyo }\n  - { source: b, id: 1 }\n\
         alerts: { fallback: [ops@integrator.example] }\n",
    )
    .unwrap();
    for (source, id, zone) in [("a", "1", "Europe/Paris"), ("a", "2", "Asia/Tokyo"), ("b", "1", "Europe/London")] {
        assert_eq!(session(&config, source, id).zone().name(), zone);
    }
    let fallback = |source| session(&config, source, "1").contacts.fallback[0].to_string();
    assert_eq!((fallback("a").as_str(), fallback("b").as_str()), ("it@acme.example", "ops@integrator.example"));
    assert_eq!(session(&config, "a", "1").owners[0].as_str(), "x@y.example");
}

#[test]
fn a_policy_replaces_in_place_adds_at_the_end_and_leaves_out() {
    let config = load_text(&format!(
        "{GRID}policies:\n  plus:\n    extends: orderwise-shopify\n    without: [name-is-clear]\n    rules:\n      \
         - {{ id: export-off, setting: export, expect: ticked, severity: info }}\n      \
         - {{ id: mine, setting: transfer_type, expect: {{ not_one_of: [Email, FTP] }} }}\n\
         sessions: [{{ source: grid, id: 1, policy: plus, owners: [a@b.example] }}]\n"
    ))
    .unwrap();
    let rules = &session(&config, "grid", "1").policy.rules();
    assert_eq!(rules.len(), 15);
    assert_eq!((rules[0].id.as_str(), rules[0].expect.to_string()), ("export-off", "ticked".to_owned()));
    assert_eq!(rules[14].expect.to_string(), "none of: Email, FTP");
    assert!(rules.iter().all(|rule| rule.id.as_str() != "name-is-clear"));
}

#[test]
fn every_expectation_can_be_written() {
    let expectations = [
        ("ticked", "ticked"),
        ("unticked", "unticked"),
        ("present", "any value"),
        ("unchanged", "unchanged"),
        ("{ equals: 5 }", "5"),
        ("{ equals: \"\" }", ""),
        ("{ equals: { param: p } }", "v"),
        ("{ one_of: [a, { param: p }] }", "one of: a, v"),
        ("{ one_of: { param: p } }", "one of: v"),
        ("{ not_one_of: [a, b] }", "none of: a, b"),
        ("{ matches: \"^a$\" }", "text that matches ^a$"),
        ("{ every: 5m }", "every 5 minutes"),
        ("{ at_most: 2h }", "at most 2 hours apart"),
        ("{ includes: it@acme.example }", "an address list that includes it@acme.example"),
        ("{ within: 2h }", "not older than 2 hours"),
        ("{ unique: source }", "a value that no other session of the source has"),
    ];
    for (written, described) in expectations {
        let text = format!(
            "{GRID}policies: {{ p: {{ rules: [{{ id: r, setting: some, expect: {written} }}] }} }}\n\
             sessions: [{{ source: grid, id: 1, policy: p, owners: [a@b.example], params: {{ p: v }} }}]\n"
        );
        let config = load_text(&text).unwrap_or_else(|report| panic!("{written}: {report}"));
        let session = session(&config, "grid", "1");
        assert_eq!(session.policy.rules()[0].expect.describe(&session.params), described, "{written}");
    }
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let config = load_text(&format!(
        "{GRID}sessions:\n  - &first {{ source: grid, id: 1, owners: [a@b.example], labels: {{ x: y }} }}\n  \
         - {{ <<: *first, id: 2 }}\n  - {{ <<: [{{ id: 3 }}, *first] }}\n"
    ))
    .unwrap();
    for id in ["1", "2", "3"] {
        assert_eq!(session(&config, "grid", id).labels["x"], "y");
    }
}

#[test]
fn variables_fill_numbers_and_texts() {
    let config = load_text(&format!(
        "{GRID}sessions: [{{ source: grid, id: 1, owners: [\"${{OWNER}}\"], labels: {{ price: $$5, n: \"${{PORT}}\" }} }}]\n\
         email: {{ from: a@b.example, smtp: {{ host: localhost, tls: none, port: \"${{PORT}}\" }} }}\n"
    ))
    .unwrap();
    let session = session(&config, "grid", "1");
    assert_eq!((session.labels["price"].as_str(), session.labels["n"].as_str()), ("$5", "2525"));
    assert!(matches!(&config.email.unwrap().delivery, Delivery::Smtp(smtp) if smtp.port == 2525));
}

#[test]
fn columns_values_and_kinds_become_the_mapping() {
    let config = load_text(
        "sources:\n  grid:\n    type: file\n    path: a.json\n    session_id_column: ID\n    columns: { transfer_type: TT }\n    \
         values: { transfer_type: { 3: Web Service, \"4\": Email } }\n    kinds: { paused: flag }\n\
         policies: { p: { rules: [{ id: r, setting: paused, expect: { equals: unticked } }] } }\n\
         sessions: [{ source: grid, id: 1, policy: p, owners: [a@b.example] }]\n",
    )
    .unwrap();
    let mapping = &config.plans.values().next().unwrap().mapping;
    assert_eq!(mapping.session_id_column, "ID");
    assert_eq!(mapping.columns[0].1, "TT");
    assert_eq!(mapping.values[&SettingKey::new("transfer_type")]["3"], RawValue::text("Web Service"));
    assert_eq!(mapping.kind(&SettingKey::new("PAUSED")), Kind::Flag);
}

#[test]
fn the_typed_configuration_does_not_show_a_secret() {
    let text = "sources:\n  a: { type: orderwise, base_url: https://h, username: u, password: canary-7f3a, export_definition: 1 }\n  \
         b: { type: orderwise, base_url: https://h, credential_hash: { env: ACME_OW_HASH }, export_definition: 1 }\n\
         sessions: [{ source: a, id: 1, owners: [a@b.example] }]\n\
         email: { from: a@b.example, smtp: { host: h.example, username: u, password: { env: SMTP_PASSWORD } } }\n";
    let config = load_text(text).unwrap();
    assert!(!format!("{config:?}").contains(CANARY) && !format!("{config:?}").contains(CANARY_HASH));
    assert!(config.warnings[0].to_string().contains("the source b has no audited session"));
}

#[test]
fn a_misspelled_param_is_refused_and_an_unused_one_is_a_warning() {
    let sessions = |params: &str| {
        format!("{GRID}sessions: [{{ source: grid, id: 1, owners: [a@b.example], params: {{ {params}: x }} }}]\n")
    };
    for (slip, meant) in [("import_order_as", "import_orders_as"), ("notifcation_email", "notification_email")] {
        let report = load_text(&sessions(slip)).unwrap_err();
        assert!(
            report.starts_with("driftwise.yaml:2:") && report.contains(&format!("did you mean {meant:?}?")),
            "{report}"
        );
    }
    let config = load_text(&sessions("colour")).unwrap();
    assert!(config.warnings[0].to_string().contains("compares with the param \"colour\""), "{:?}", config.warnings);
    // A param of another policy is no misspelling.
    let policies =
        "policies: { p: { rules: [{ id: r, setting: s, expect: { equals: { param: import_order_as } } }] } }\n";
    let config = load_text(&format!("{policies}{}", sessions("import_order_as"))).unwrap();
    assert!(config.warnings[0].to_string().contains("it has no effect"), "{:?}", config.warnings);
}

#[test]
fn included_files_add_to_the_main_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("sessions")).unwrap();
    write("driftwise.yaml", &format!("include: [sessions/*.yaml]\n{GRID}"));
    write("sessions/a.yaml", "sessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n");
    write(
        "sessions/b.yaml",
        "sources: { two: { type: file, path: two.csv } }\nsessions: [{ source: two, id: 1, owners: [a@b.example] }]\n",
    );
    let config = Config::load(&folder.path().join("driftwise.yaml"), &super::environment, super::now()).unwrap();
    assert_eq!((config.files.len(), config.plans.len()), (3, 2));
    assert_eq!(config.plans.values().map(|plan| plan.sessions.len()).sum::<usize>(), 2);
    let Adapter::File(two) = &config.sources[1].adapter else { panic!("{config:?}") };
    assert_eq!(two.path, folder.path().join("sessions/two.csv"));
}

#[test]
fn ten_thousand_sessions_load_quickly_and_share_equal_values() {
    let mut text = format!("{GRID}sessions:\n");
    for id in 0..10_000 {
        writeln!(
            text,
            "  - {{ source: grid, id: {id}, name: shop-{id}, timezone: Europe/London, params: {{ notification_email: s{id}@acme.example }} }}"
        )
        .unwrap();
    }
    let nothing = |_: &str| None;
    let started = Instant::now();
    let config = load_text_with(&text, &nothing).unwrap();
    let took = started.elapsed();
    // Several times what an unoptimised build needs on a busy machine; quadratic work would take minutes.
    assert!(took < Duration::from_secs(15), "{took:?}");
    let plan = config.plans.values().next().unwrap();
    assert_eq!(plan.sessions.len(), 10_000);
    let first = session(&config, "grid", "0");
    assert!(plan.sessions.values().all(|session| Arc::ptr_eq(&session.policy, &first.policy)));
    let expression = |session: &Session| session.schedule.expression().as_ptr();
    assert!(plan.sessions.values().all(|session| expression(session) == expression(first)), "a schedule is read once");
}

#[test]
fn a_param_may_be_a_list_for_a_rule_with_a_list() {
    let rule = |expect: &str| {
        format!(
            "{GRID}policies: {{ p: {{ rules: [{{ id: r, setting: user, expect: {expect} }}] }} }}\n\
             sessions: [{{ source: grid, id: 1, policy: p, owners: [a@b.example], params: {{ users: [Ann, Bob] }} }}]\n"
        )
    };
    let config = load_text(&rule("{ one_of: { param: users } }")).unwrap();
    let session = config.plans.values().flat_map(|plan| plan.sessions.values()).next().unwrap();
    assert_eq!(session.policy.rules()[0].expect.describe(&session.params), "one of: Ann, Bob");
    let problems = load_text(&rule("{ equals: { param: users } }")).unwrap_err();
    assert!(problems.contains("the param users has 2 values; rule r compares with one"), "{problems}");
}

#[test]
fn an_unencrypted_connection_is_valid_with_allow_insecure() {
    let audited = "sessions: [{ source: erp, id: 1, owners: [a@b.example] }]\n";
    let text = |allow: &str| {
        format!(
            "sources: {{ erp: {{ type: orderwise, base_url: \"http://erp.acme.example\", credential_hash: eA==, export_definition: 1{allow} }} }}\n\
             email: {{ from: a@b.example, smtp: {{ host: h.example, tls: none{allow} }} }}\n{audited}"
        )
    };
    let config = load_text(&text(", allow_insecure: true")).unwrap();
    let Adapter::OrderWise(erp) = &config.sources[0].adapter else { panic!("{config:?}") };
    assert_eq!(erp.base_url, "http://erp.acme.example");
    let Delivery::Smtp(smtp) = &config.require_email().unwrap().delivery else { panic!("{config:?}") };
    assert!((smtp.tls, smtp.allow_insecure) == (Tls::None, true));
    for allow in ["", ", allow_insecure: false"] {
        let report = load_text(&text(allow)).unwrap_err();
        assert!(report.contains("\"base_url\" is not encrypted") && report.ends_with("2 problems"), "{report}");
        assert!(report.contains("\"tls: none\" would send mails, and the password"), "{report}");
    }
}

/// The reader and the adapter check the URL independently.
#[test]
fn the_adapter_accepts_every_base_url_that_the_reader_accepts() {
    let urls = [
        "https://erp.acme.example/OWAPI",
        "HTTPS://ERP.Acme.Example:8443/OWAPI/",
        "https://erp.acme.example.",
        "https://10.0.0.1",
        "https://[2001:db8::1]:8443/OWAPI",
        "https://erp_1/a%20b",
        "https://xn--bcher-kva.example",
        "https://xn--a.example",
        "https://xn--.example",
        "https://a.xn--0.example",
        "https://h//OWAPI/./../x",
        "https://bücher.example",
        "https://1.2.3.256",
        "https://0x7f.1",
        "https://h:00443",
        "https://h:",
        "https://h/%",
        "https://h/ü",
        "https://h/\u{200B}",
        "https://a-.example",
        "https://*.example",
    ];
    let mut accepted = 0;
    for url in urls {
        let text = format!(
            "sources: {{ erp: {{ type: orderwise, base_url: \"{url}\", credential_hash: eA==, export_definition: 1 }} }}\n\
             sessions: [{{ source: erp, id: 1, owners: [a@b.example] }}]\n"
        );
        let Ok(config) = load_text(&text) else { continue };
        let Adapter::OrderWise(erp) = &config.sources[0].adapter else { panic!("{config:?}") };
        assert!(crate::http::base_url(&erp.base_url).is_ok(), "{url}");
        accepted += 1;
    }
    assert!(accepted > 8, "{accepted}");
}

#[test]
fn a_customer_replaces_keys_of_alerts_for_its_own_sources() {
    let config = load_text(
        "sources:\n  a: { type: file, path: a.csv, customer: acme }\n  b: { type: file, path: b.csv, customer: other }\n  \
         c: { type: file, path: c.csv }\n\
         customers:\n  acme: { confirm_polls: 3, remind_every: 0, min_severity: info, fallback: [it@acme.example] }\n  other:\n\
         defaults: { customer: { resolve_polls: 4 } }\n\
         alerts: { confirm_polls: 2, unreachable_after: 5m, fallback: [ops@integrator.example] }\n\
         sessions:\n  - { source: a, id: 1 }\n  - { source: b, id: 1 }\n  - { source: c, id: 1 }\n",
    )
    .unwrap();
    let of = |source: &str| {
        let plan = &config.plans[&Name::parse(source).unwrap()];
        let (alerts, fallback) = (&plan.alerts, plan.contacts.fallback[0].to_string());
        assert_eq!(alerts.unreachable_after, Duration::from_mins(5), "{source}");
        (
            alerts.confirm_polls,
            alerts.resolve_polls,
            alerts.remind_every.is_some(),
            alerts.min_severity.label(),
            fallback,
        )
    };
    assert_eq!(of("a"), (3, 4, false, "info", "it@acme.example".to_owned()));
    assert_eq!(of("b"), (2, 4, true, "warning", "ops@integrator.example".to_owned()));
    assert_eq!(of("c"), (2, 1, true, "warning", "ops@integrator.example".to_owned()));
}

#[test]
fn the_breaker_of_a_customer_replaces_that_of_alerts_and_each_part_has_a_default() {
    let read = |alerts: &str, customer: &str| {
        let text = format!(
            "sources: {{ a: {{ type: file, path: a.csv, customer: acme }} }}\ncustomers: {{ acme: {customer} }}\n\
             alerts: {alerts}\nsessions: [{{ source: a, id: 1, owners: [a@b.example] }}]\n"
        );
        load_text(&text).unwrap().plans[&Name::parse("a").unwrap()].alerts.breaker
    };
    let breaker = |share, at_least| Breaker { share, at_least };
    assert_eq!(read("{}", "{}"), Breaker::default());
    assert_eq!(read("{ breaker: {} }", "{}"), Breaker::default());
    assert_eq!(read("{ breaker: { share: 1% } }", "{}"), breaker(1, 5));
    assert_eq!(read("{ breaker: { share: 100%, at_least: 1 } }", "{}"), breaker(100, 1));
    assert_eq!(read("{ breaker: { share: 30% } }", "{ breaker: { at_least: 9 } }"), breaker(50, 9));
}

#[test]
fn keys_that_are_not_available_yet_are_declared_as_such() {
    let config = load_text(&format!("{GRID}sessions: [{{ source: grid, id: 1, owners: [a@b.example] }}]\n")).unwrap();
    assert_eq!((config.watch, config.alerts.operators.len()), (false, 0));
    assert_eq!(config.alerts.alerts.blind_after, Duration::from_hours(24));
    let refused = keys::all().filter(|key| key.status == Status::Later).map(|key| key.name).collect::<Vec<_>>();
    for name in ["waivers", "channels", "digest"] {
        assert!(refused.contains(&name), "{name}");
    }
    assert_eq!(
        keys::secrets().collect::<BTreeSet<_>>(),
        BTreeSet::from(["client_secret", "credential_hash", "password", "service_account"])
    );
}
