//! The work of each fuzz target on its bytes, and the properties that must hold whatever the bytes are.
//!
//! Nothing panics, hangs or grows without bound; no reading depends on stray spaces; text for people has no control marks; a
//! header of a mail neither ends early nor begins another. The fuzzers (`fuzz_targets/`) run this with invented bytes, the gate
//! (`tests/corpus.rs`) with the files of `corpus/`.

use std::path::Path;
use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use driftwise::config::{self, Config};
use driftwise::domain::address::{Address, NamedAddress};
use driftwise::domain::alerting::{WorkingSet, evaluate};
use driftwise::domain::name::Name;
use driftwise::domain::observation::RawSnapshot;
use driftwise::domain::plan::{Due, SourcePlan};
use driftwise::domain::reading::{Kind, RawValue, read};
use driftwise::domain::reconcile::{PollOutcome, reconcile};
use driftwise::domain::schedule::Schedule;
use driftwise::domain::session::{SessionId, SessionKey};
use driftwise::domain::setting::{SettingKey, SettingPattern};
use driftwise::domain::snapshot::Snapshot;
use driftwise::domain::state::SourceState;
use driftwise::notify::Channel as _;
use driftwise::notify::email::{Delivery, Email, Options};
use driftwise::notify::render::render;
use driftwise::secret::{KnownSecret, Redactor};
use driftwise::source::{FetchError, file, http, json, orderwise};

/// The value of every environment variable: a secret. It may not be shown unless the configuration puts it into a plain text
/// itself.
const CANARY: &str = "canary-7f3a";

/// The path of a configuration that is not in a file: nothing relative to it exists.
const NOWHERE: &str = "/nowhere-at-all/driftwise.yaml";

/// Two sessions under the baseline and one under a policy that uses every kind of expectation.
const AUDITED: &str = r#"
sources: { erp: { type: file, path: grid.csv, kinds: { changed: time, odd: interval }, values: { transfer_type: { "3": Web Service } } } }
policies:
  every:
    rules:
      - { id: one-of, setting: transfer_type, expect: { one_of: [Web Service, { param: p }] } }
      - { id: not-one-of, setting: import_orders_as, expect: { not_one_of: [sa, admin] } }
      - { id: matches, setting: name, expect: { matches: "^[a-z]+$" } }
      - { id: every, setting: schedule, expect: { every: 5m } }
      - { id: at-most, setting: odd, expect: { at_most: 5m } }
      - { id: within, setting: changed, expect: { within: 2h } }
      - { id: unique, setting: name, expect: { unique: source } }
      - { id: includes, setting: notification_email, expect: { includes: { param: notification_email } } }
      - { id: group, setting: customer_validation_*, expect: { all_ticked: { count: 2 } } }
      - { id: rest, setting: "*", expect: unchanged, ignore: [last_*] }
sessions:
  - { source: erp, id: 14, params: { notification_email: it@acme.example, import_orders_as: Shopify_Orders } }
  - { source: erp, id: 15, name: shop, owners: [a@b.example] }
  - { source: erp, id: 16, policy: every, params: { p: v, notification_email: it@acme.example }, timezone: Europe/London }
alerts: { unreachable_after: 0, min_severity: info, fallback: [ops@integrator.example] }
"#;

/// An ordinary snapshot, for before and after the one that is tried.
const ORDINARY: &str = r#"[
  { "session_id": 14, "name": "shop", "export": false, "schedule": 5, "notification_email": "it@acme.example", "transfer_type": "Web Service" },
  { "session_id": 15, "name": "shop", "export": 1, "schedule": "often", "changed": "2026-11-23 08:00", "customer_validation_1": "Y" },
  { "session_id": 16, "name": "shop", "odd": "PT5M", "customer_validation_1": true, "customer_validation_2": 0, "last_run": "x" } ]"#;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_780) + TimeDelta::hours(9)
}

fn environment(name: &str) -> Option<String> {
    (name == "SECRET").then(|| CANARY.to_owned())
}

/// A configuration.
pub fn config(bytes: &[u8]) {
    if walks_the_disk(bytes) {
        return;
    }
    let said = match Config::read(Path::new(NOWHERE), bytes, &environment, now()) {
        Ok(config) => {
            config.plans.values().for_each(judge_ordinary);
            let warnings = config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            format!("{config:?}\n{}", warnings.join("\n"))
        }
        Err(problems) => {
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            problems.to_string()
        }
    };
    assert_plain(&said);
    // A secret in the file itself is hidden by its key, and the fuzzer breaks keys; slips have a test of their own.
    let written = bytes.contains(&b'$') || bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
    assert!(written || !said.contains(CANARY), "a secret is shown:\n{said}");
}

/// Whether the text has a pattern for the whole disk. That is not a fault of the reader, and takes as long as the disk is large.
fn walks_the_disk(bytes: &[u8]) -> bool {
    let anywhere = |pattern: &[u8]| bytes.windows(pattern.len()).any(|window| window == pattern);
    anywhere(b"include") && (anywhere(b"*") || anywhere(b"?"))
}

/// The body of a policy: the lines below its name.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let body = text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    let written = format!(
        "sources: {{ erp: {{ type: file, path: grid.csv }} }}\nsessions:\n  - {{ source: erp, id: 14, policy: fuzzed, \
         params: {{ p: v, notification_email: it@acme.example }} }}\n  - {{ source: erp, id: 15, policy: fuzzed, \
         owners: [a@b.example], params: {{ p: \"5\" }} }}\nalerts: {{ min_severity: info }}\npolicies:\n  fuzzed:\n{body}\n"
    );
    match Config::read(Path::new(NOWHERE), written.as_bytes(), &environment, now()) {
        Ok(config) => config.plans.values().for_each(judge_ordinary),
        Err(problems) => assert_plain(&problems.to_string()),
    }
}

/// A value of a setting, and every other text that people or systems write.
pub fn reading(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let padded = format!(" \u{a0}\t{text}\0\r\n");
    let forms: [fn(&str) -> RawValue; 3] =
        [|text| RawValue::text(text), |text| RawValue::Number(text.into()), |text| RawValue::Nested(text.into())];
    for (_, kind) in Kind::ALL {
        for zone in [Tz::UTC, Tz::Europe__London, Tz::Pacific__Apia] {
            for form in forms {
                let (raw, stray) = (form(&text), form(&padded));
                let (reading, other) = (read(&raw, kind, zone), read(&stray, kind, zone));
                assert_eq!(format!("{reading:?}"), format!("{other:?}"), "stray spaces matter to {kind:?}");
            }
            for raw in [RawValue::Null, RawValue::Repeated, RawValue::Flag(true), RawValue::Flag(false)] {
                let _ = format!("{:?}", read(&raw, kind, zone));
            }
        }
    }
    words(&text);
}

fn words(text: &str) {
    if let Ok(id) = SessionId::parse(text) {
        assert_eq!(SessionId::parse(id.as_str()).as_ref(), Ok(&id));
    }
    if let Some(key) = SessionKey::parse(text) {
        assert_eq!(SessionKey::parse(&key.to_string()), Some(key));
    }
    let key = SettingKey::new(text);
    assert_eq!(SettingKey::new(key.as_str()), key);
    let _ = SettingPattern::parse(text).matches(&key);
    let _ = Name::parse(text);
    match Address::parse(text) {
        Ok(address) => assert!(!address.as_str().contains(char::is_control)),
        Err(error) => assert_plain(&error.to_string()),
    }
    if let Err(error) = NamedAddress::parse(text) {
        assert_plain(&error.to_string());
    }
    let _ = (config::duration(text), config::size(text));
    match Schedule::parse(text, Tz::Europe__London, now()) {
        Ok(schedule) => {
            let next = schedule.next_after(now());
            assert!(next.is_some_and(|next| next > now()), "{text:?} is due at {next:?}");
            let _ = schedule.gap_after(now());
        }
        Err(error) => assert_plain(&error.to_string()),
    }
}

/// An answer of OrderWise: to the export, to a request for a token, or a page of errors.
pub fn answer(bytes: &[u8]) {
    for failed in [orderwise::check_token(bytes, now()).err(), judge(json::read(bytes))].into_iter().flatten() {
        let text = failed.to_string();
        assert_plain(&text);
        assert!(text.len() < 4096, "{} bytes of reason", text.len());
    }
    let redactor = Redactor::new(&[KnownSecret::password("Parameter"), KnownSecret::token("Shopify_Orders")]);
    if let Some(said) = http::said(bytes, &redactor) {
        assert_plain(&said.to_string());
        assert!(!said.to_string().contains("Parameter"), "{said}");
    }
    if let Ok(answer) = json::read_within(bytes, bytes.len() as u64, &redactor) {
        let texts = answer.rows.iter().flat_map(|row| &row.raw_values).filter_map(RawValue::as_text);
        texts.for_each(|text| assert!(!text.contains("Shopify_Orders"), "{text}"));
    }
}

/// An exported grid, as CSV.
pub fn grid(bytes: &[u8]) {
    if let Some(failed) = judge(file::csv(bytes)) {
        assert_plain(&failed.to_string());
    }
}

fn judge(fetched: Result<RawSnapshot, FetchError>) -> Option<FetchError> {
    match fetched {
        Ok(raw) => {
            poll_three_times(audited(), &raw);
            None
        }
        Err(error) => Some(error),
    }
}

fn judge_ordinary(plan: &SourcePlan) {
    poll_three_times(plan, ordinary());
}

/// A poll, another that sees what is ordinary, a third like the first; then the source is gone. Every mail is composed.
fn poll_three_times(plan: &SourcePlan, raw: &RawSnapshot) {
    let mut state = SourceState::default();
    let (mut known, channel) = (WorkingSet::default(), Name::parse("email").unwrap());
    let plans = [(plan.name.clone(), plan.clone())].into();
    for (hours, raw) in (0..).zip([Some(raw), Some(ordinary()), Some(raw), None]) {
        let at = now() + TimeDelta::hours(30 * hours);
        let poll = match raw.map(|raw| Snapshot::read(raw, &plan.mapping, at)) {
            Some(Ok(snapshot)) => PollOutcome::Snapshot(snapshot),
            Some(Err(error)) => {
                assert_plain(&error.to_string());
                PollOutcome::Unreachable(error.to_string())
            }
            None => PollOutcome::Unreachable("it does not answer".to_owned()),
        };
        let delta = reconcile(plan, &state, &poll, &Due::All, at);
        known.note(&delta);
        state.apply(delta);
        let evaluation = evaluate(&plans, &channel, &mut known, at);
        for notification in &evaluation.notifications {
            let page = render(notification, Some("https://d.example")).unwrap();
            assert!(!page.subject.contains(char::is_control), "{:?}", page.subject);
            assert_plain(&page.text.replace('\r', ""));
            assert!(!page.html.to_lowercase().contains("<script"));
            assert_mail(&email().compose(notification).raw);
        }
        known.apply(&evaluation);
    }
}

fn audited() -> &'static SourcePlan {
    static PLAN: OnceLock<SourcePlan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let config = Config::read(Path::new(NOWHERE), AUDITED.as_bytes(), &environment, now());
        config.unwrap_or_else(|problems| panic!("{problems}")).plans.into_values().next().unwrap()
    })
}

fn ordinary() -> &'static RawSnapshot {
    static SNAPSHOT: OnceLock<RawSnapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| json::read(ORDINARY.as_bytes()).unwrap())
}

fn email() -> &'static Email {
    static EMAIL: OnceLock<Email> = OnceLock::new();
    EMAIL.get_or_init(|| {
        let from = NamedAddress::parse("Driftwise <driftwise@integrator.example>").unwrap();
        Email::new(Options {
            from,
            delivery: Delivery::Spool("/nowhere-at-all".into()),
            public_url: Some("https://d.example".to_owned()),
        })
        .unwrap()
    })
}

/// Asserts that a terminal may show the text: no control marks, so no escape sequences.
fn assert_plain(text: &str) {
    let odd = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
    assert!(odd.is_none(), "{odd:?} stands in what people read: {text:?}");
}

/// Asserts that headers are known and come once, except those that list something; that no line is too long; and that CRLF is the
/// only line break.
fn assert_mail(raw: &[u8]) {
    const ONCE: [&str; 14] = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "X-Driftwise-Message-ID",
        "Auto-Submitted",
        "X-Driftwise-Kind",
        "Reply-To",
        "References",
        "In-Reply-To",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    /// Largest mail of one audit, in bytes; some servers would refuse a larger one.
    const LARGEST: usize = 4 << 20;
    assert!(raw.is_ascii() && raw.len() < LARGEST, "{} bytes", raw.len());
    let text = std::str::from_utf8(raw).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line:?}");
    }
    let mut seen = Vec::new();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}\n{head}"));
        if ["X-Driftwise-Session", "X-Driftwise-Source"].contains(&name) {
            continue;
        }
        assert!(ONCE.contains(&name) && !seen.contains(&name), "{line:?}\n{head}");
        seen.push(name);
    }
}
