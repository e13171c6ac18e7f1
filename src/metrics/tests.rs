//! The result of a scrape: counters at zero, series from the published state, and the check by promtool.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use chrono::TimeDelta;

use super::polled_state::{PolledState, SessionValues, troubled};
use super::*;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::world::{id, name, start};
use crate::engine::published::Published;

fn scrape(metrics: &Metrics, published: &Published) -> String {
    let mut text = String::new();
    metrics.encode(&mut text).unwrap();
    exposition::write(published, start(), &mut text);
    text
}

fn metrics() -> Metrics {
    Metrics::new(&[name("acme-erp"), name("erp-x")], "email").unwrap()
}

fn series(text: &str, start: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

#[test]
fn every_label_set_of_the_counters_is_there_at_zero() {
    let text = scrape(&metrics(), &PolledState::new(&[]).published());
    let counted = |name: &str, sets: usize| {
        let lines = series(&text, &format!("driftwise_{name}{{"));
        assert_eq!(lines.len(), sets, "{name}: {lines:#?}");
        assert!(lines.iter().all(|line| line.ends_with(" 0")), "{lines:#?}");
    };
    counted("incidents_opened_total", 15);
    counted("incidents_resolved_total", 15);
    counted("audits_total", 4);
    counted("audits_late_total", 4);
    counted("source_requests_total", 28);
    counted("notifications_total", 2 * NotificationKind::ALL.len());
    counted("notification_attempts_total", 7);
    counted("notifications_suppressed_total", 3);
    counted("store_errors_total", 6);
    counted("outbox_notifications", 3);
    // Three phases of an audit, two sources, one channel.
    for (histogram, sets) in
        [("audit_duration_seconds", 3), ("source_request_duration_seconds", 2), ("notification_delivery_seconds", 1)]
    {
        counted(&format!("{histogram}_count"), sets);
    }
    assert!(text.contains("driftwise_build_info{date=\""));
    assert!(text.contains("process_resident_memory_bytes"));
}

#[test]
fn timestamps_are_absent_until_there_is_one() {
    let metrics = metrics();
    let published = PolledState::new(&[("acme-erp", &["14"])]).published();
    let text = scrape(&metrics, &published);
    let absent =
        ["reload_success_timestamp", "oldest_pending", "last_verdict", "last_success", "source_up", "drift_open"];
    for absent in absent {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
    metrics.config_loaded(start(), None);
    metrics.outbox(2, 1, 0, Some(start()));
    let text = scrape(&metrics, &published);
    assert!(text.contains("driftwise_config_last_reload_success_timestamp_seconds 1795424400"), "{text}");
    assert!(text.contains("driftwise_outbox_oldest_pending_timestamp_seconds 1795424400"));
    metrics.outbox(0, 0, 0, None);
    assert!(!scrape(&metrics, &published).contains("oldest_pending"));
}

#[test]
fn counted_events_are_in_the_scrape() {
    let metrics = metrics();
    let source = name("acme-erp");
    metrics.audit(&source, true);
    metrics.request(&source, Some(Failure::TooLarge), Duration::from_millis(20));
    metrics.late(&source, Late::Downtime, 3);
    metrics.notification(NotificationKind::Drift, true);
    metrics.attempt(Some(Obstacle::Deferred));
    metrics.suppressed(SuppressionReason::BelowSeverity);
    metrics.suppressed(SuppressionReason::BelowSeverity);
    metrics.store_error(Operation::Record);
    metrics.incident_opened(IncidentKind::Missing, Severity::Critical);
    metrics.config_loaded(start(), None);
    metrics.config_refused();
    let text = scrape(&metrics, &PolledState::new(&[]).published());
    for line in [
        "driftwise_audits_total{outcome=\"ok\",source=\"acme-erp\"} 1",
        "driftwise_source_requests_total{outcome=\"too_large\",source=\"acme-erp\"} 1",
        "driftwise_audits_late_total{reason=\"downtime\",source=\"acme-erp\"} 3",
        "driftwise_notifications_total{channel=\"email\",kind=\"drift\",outcome=\"sent\"} 1",
        "driftwise_notification_attempts_total{channel=\"email\",outcome=\"deferred\"} 1",
        "driftwise_notifications_suppressed_total{reason=\"below_severity\"} 2",
        "driftwise_store_errors_total{operation=\"record\"} 1",
        "driftwise_incidents_opened_total{kind=\"missing\",severity=\"critical\"} 1",
        "driftwise_config_last_reload_successful 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn every_series_of_a_source_goes_with_it() {
    let metrics = metrics();
    let source = name("acme-erp");
    metrics.audit(&source, true);
    metrics.request(&source, Some(Failure::TooLarge), Duration::from_millis(20));
    metrics.late(&source, Late::Downtime, 3);
    let scrape = || scrape(&metrics, &PolledState::new(&[]).published());
    let before = scrape();
    metrics.source_removed(&source);
    assert!(before.contains("acme-erp") && !scrape().contains("acme-erp"), "{}", scrape());
    metrics.source_added(&source);
    assert_eq!(scrape().matches("acme-erp").count(), before.matches("acme-erp").count());
}

#[test]
fn sessions_and_sources_are_written_from_the_published_views() {
    let says: [SessionValues<'_>; 4] = [
        ("1", "one", "0", "5", "1"),
        ("2", "two", "1", "5", "1"),
        ("3", "three", "0", "?", "1"),
        ("99", "unaudited", "0", "5", "1"),
    ];
    let published = PolledState::new(&[("acme-erp", &["1", "2", "3", "4"]), ("erp-x", &["a\"b\\c"])])
        .returns("acme-erp", &says)
        .minutes_later(5)
        .unreachable("erp-x", "refused")
        .published();
    let mut text = String::new();
    exposition::write(&published, start(), &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn no_address_is_in_a_series_whatever_drifts() {
    let published = troubled().published();
    let mut text = String::new();
    exposition::write(&published, start(), &mut text);
    assert!(text.contains("rule=\"notification-email\",setting=\"notification_email\""), "{text}");
    assert!(!text.contains('@') && !text.contains("secret-"), "{text}");
}

#[test]
fn the_last_verdict_stays_while_a_session_cannot_be_seen() {
    let published = PolledState::new(&[("erp-x", &["1"])])
        .returns("erp-x", &[("1", "one", "yes", "5", "1")])
        .minutes_later(5)
        .unreachable("erp-x", "refused")
        .published();
    let mut text = String::new();
    exposition::write(&published, start(), &mut text);
    assert!(text.contains("driftwise_session_status{source=\"erp-x\",session=\"1\",status=\"drifted\"} 1\n"), "{text}");
    assert!(text.contains("driftwise_session_visible{source=\"erp-x\",session=\"1\"} 0\n"));
    assert!(text.contains("driftwise_drift_open{source=\"erp-x\",session=\"1\",rule=\"export-off\""));
    assert!(text.contains("driftwise_source_up{source=\"erp-x\"} 0\n"));
}

#[test]
fn a_session_takes_less_text_than_is_reserved_for_it() {
    let ids = (1..=10_000).map(|id: u32| id.to_string()).collect::<Vec<_>>();
    let ids = ids.iter().map(String::as_str).collect::<Vec<_>>();
    let says = ids.iter().map(|id| (*id, "shop", "0", "5", "1")).collect::<Vec<_>>();
    let published = PolledState::new(&[("acme-erp", &ids)]).returns("acme-erp", &says).published();
    let mut text = String::new();
    exposition::write(&published, start(), &mut text);
    assert_eq!(series(&text, "driftwise_session_info{").len(), 10_000);
    assert!(text.len() < 10_000 * exposition::BYTES_A_SESSION, "{} bytes", text.len());
}

#[test]
fn a_credential_is_a_series_from_when_its_end_is_known() {
    let published = PolledState::new(&[("erp-x", &["1"])]).published();
    let credential = |key: &str, kind, ends: &[i64]| Credential {
        source: None,
        key: key.to_owned(),
        kind,
        ends: ends.iter().map(|days| start() + TimeDelta::days(*days)).collect(),
    };
    published.write(|present| {
        present.credentials = vec![
            credential("email.graph.client_secret", CredentialKind::ClientSecret, &[]),
            credential("sources.erp-x.tls.ca_file", CredentialKind::CaCertificate, &[9, 3, -1]),
        ];
    });
    let mut text = String::new();
    exposition::write(&published, start(), &mut text);
    let end = (start() + TimeDelta::days(3)).timestamp();
    let labels = "credential=\"sources.erp-x.tls.ca_file\",kind=\"ca_certificate\"";
    let only = format!("driftwise_credential_expiry_timestamp_seconds{{{labels}}} {end}.000");
    assert_eq!(series(&text, "driftwise_credential_expiry_timestamp_seconds{"), [only]);
}

#[test]
fn a_verdict_older_than_three_periods_of_its_schedule_is_a_series() {
    let published = PolledState::new(&[("erp-x", &["1", "2"])])
        .returns("erp-x", &[("1", "one", "0", "5", "1"), ("2", "two", "0", "5", "1")])
        .published();
    let stale = |minutes| {
        let mut text = String::new();
        exposition::write(&published, start() + TimeDelta::minutes(minutes), &mut text);
        series(&text, "driftwise_session_stale{")
    };
    assert_eq!(stale(15), Vec::<String>::new());
    let series = ["1", "2"].map(|id| format!("driftwise_session_stale{{source=\"erp-x\",session=\"{id}\"}} 1"));
    assert_eq!(stale(16), series);
}

#[test]
fn the_clock_and_the_disk_use_are_shown() {
    let metrics = metrics();
    let published = PolledState::new(&[]).published();
    assert!(!scrape(&metrics, &published).contains("driftwise_store_size"), "absent until the first measurement");
    metrics.disk(4_096, 1_000_000);
    let text = scrape(&metrics, &published);
    for line in [
        "driftwise_clock_timestamp_seconds 1795424400.000",
        "driftwise_store_size_bytes 4096",
        "driftwise_store_free_bytes 1000000",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn promtool_accepts_the_exposition() {
    let metrics = metrics();
    metrics.config_loaded(start(), None);
    metrics.outbox(1, 0, 0, Some(start()));
    metrics.disk(4_096, 1_000_000);
    accepted(&scrape(&metrics, &troubled().published()));
}

#[test]
fn a_setting_with_invisible_characters_is_a_label_that_prometheus_reads() {
    let odd = "o\0d\u{1b}d \u{202E}\"\\ line\nbreak\u{200B}";
    let published = PolledState::new(&[("acme-erp", &["1"])])
        .with_column(odd, "unticked")
        .restarted(odd)
        .returns("acme-erp", &[("1", "one", "0", "5", "1")])
        .published();
    let text = scrape(&metrics(), &published);
    let setting = "setting=\"o\u{FFFD}d\u{FFFD}d \u{FFFD}\\\"\\\\ line\\nbreak\u{FFFD}\"";
    assert_eq!(
        series(&text, "driftwise_drift_open{").iter().filter(|line| line.contains(setting)).count(),
        1,
        "{text}"
    );
    accepted(&text);
}

fn accepted(text: &str) {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing: apt-get install prometheus");
        println!("NOT RUN: promtool is missing (apt-get install prometheus), so the metrics were not checked by it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(said, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn the_address_of_the_pages_follows_the_configuration() {
    let metrics = metrics();
    let pages = || series(&scrape(&metrics, &PolledState::new(&[]).published()), "driftwise_pages_info");
    metrics.config_loaded(start(), Some("https://driftwise.example/"));
    assert_eq!(pages(), ["driftwise_pages_info{url=\"https://driftwise.example\"} 1"]);
    metrics.config_loaded(start(), None);
    assert_eq!(pages(), [""; 0]);
}

#[test]
fn a_session_bears_its_configured_name_and_not_the_one_that_the_source_returns() {
    let returned = ["1", "2"].map(|id| (id, "outside", "false", "false", "false"));
    let published = PolledState::new(&[("erp-x", &["1", "2"])]).returns("erp-x", &returned).published();
    let mut plans = (*published.plans()).clone();
    let plan = plans.get_mut(&name("erp-x")).unwrap();
    plan.sessions.get_mut(&id("2")).unwrap().name = Some("Tea \"& \\Co".to_owned());
    published.replace_plans(Arc::new(plans), || ());
    let text = scrape(&metrics(), &published);
    let of = |id, name| {
        let labels = format!("source=\"erp-x\",session=\"{id}\",policy=\"orderwise-shopify\",customer=\"\"");
        format!("driftwise_session_info{{{labels},name=\"{name}\"}} 1")
    };
    assert_eq!(series(&text, "driftwise_session_info{"), [of(1, ""), of(2, r#"Tea \"& \\Co"#)]);
    assert!(!text.contains("outside"), "{text}");
}
