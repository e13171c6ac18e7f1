//! The result of each response of OrderWise.

use std::time::Duration;

use super::*;
use crate::domain::observation::{Mapping, RowMatch};
use crate::domain::reading::{Kind, Reading};
use crate::domain::session::SessionId;
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::simulator::{FIRST_SESSION, Mode, RequestKind};

#[tokio::test]
async fn the_rows_of_all_sessions_are_returned_unchanged() {
    let served = serve(Simulator::new(3)).await;
    served.simulator.set(FIRST_SESSION, "export", true);
    let answer = orderwise(&served.url()).fetch(at(0)).await.unwrap();
    assert_eq!(answer.rows.len(), 3);
    assert!(Arc::ptr_eq(&answer.rows[0].columns, &answer.rows[2].columns));
    assert_eq!(answer.rows[0].columns[0].as_ref(), "session_id");
    let requests = served.simulator.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].body, r#"[{"name":"","value":null}]"#);
}

#[tokio::test]
async fn every_failure_has_its_label_and_a_reason() {
    let cases = [
        (Mode::Unauthorized, Failure::Auth, "the sign-in was refused (401)"),
        (Mode::TokenExpired, Failure::Auth, "refused a new token (401)"),
        (Mode::Forbidden, Failure::Forbidden, "lacks the right API Export Definitions"),
        (Mode::NotFound, Failure::NotFound, "/OWAPI/system/export-definition/61 (404)"),
        (Mode::RateLimited(None), Failure::RateLimited, "429 Too Many Requests"),
        (Mode::ServerError, Failure::ServerError, "500 Internal Server Error: \"Invalid column name"),
        (Mode::BadRequest, Failure::Refused, "400 Bad Request: \"Parameter count mismatch\""),
        (Mode::Redirect, Failure::Refused, "302 Found, a redirect, which is never followed: \"/Account/Login\""),
        (Mode::Html, Failure::Malformed, "a web page (HTML)"),
        (Mode::EmptyArray, Failure::Empty, "it returned no sessions"),
        (Mode::Null, Failure::Empty, "it returned no sessions"),
        (Mode::NoContent, Failure::Empty, "it returned no sessions"),
        (Mode::Truncated, Failure::Malformed, "cut off"),
        (Mode::NotUtf8, Failure::Malformed, "not UTF-8"),
        (Mode::TooLarge, Failure::TooLarge, "larger than 1 MiB"),
        (Mode::GzipBomb, Failure::TooLarge, "larger than 1 MiB"),
        (Mode::Drop, Failure::Connect, "in the middle of its answer"),
        (Mode::ArrayOfNumbers, Failure::Malformed, "a number instead of an object"),
        (Mode::Object, Failure::Malformed, "a single object instead of a list"),
    ];
    let served = serve(Simulator::new(2)).await;
    for (mode, failure, words) in cases {
        served.simulator.fail(mode, None);
        let error = failed(orderwise(&served.url()).fetch(at(0)).await, failure, words);
        assert!(error.asked);
    }
    assert_eq!(served.simulator.count(RequestKind::Other), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_slow_response_succeeds_within_the_time_out_only() {
    let served = serve(Simulator::new(2)).await;
    served.simulator.fail(Mode::Slow(Duration::from_millis(2)), Some(1));
    assert_eq!(orderwise(&served.url()).fetch(at(0)).await.unwrap().rows.len(), 2);
    let impatient =
        || OrderWise::new(OrderWiseOptions { timeout: Duration::from_millis(300), ..options(&served.url()) }).unwrap();
    for mode in [Mode::Slow(Duration::from_millis(100)), Mode::Stall] {
        served.simulator.fail(mode, None);
        failed(impatient().fetch(at(0)).await, Failure::Timeout, "within 0.3 s");
    }
}

#[tokio::test]
async fn reasons_distinguish_a_wrong_base_url_definition_and_password() {
    let served = serve(Simulator::new(1)).await;
    let wrong_base = orderwise(&format!("{}/api", served.root)).fetch(at(0)).await;
    failed(wrong_base, Failure::NotFound, "/api/token/gettoken (404): base_url is wrong");
    let wrong_id =
        OrderWise::new(OrderWiseOptions { export_definition: 7, ..options(&served.url()) }).unwrap().fetch(at(0)).await;
    failed(wrong_id, Failure::NotFound, "/export-definition/7 (404): base_url or export_definition is wrong");
    served.simulator.set_password("another");
    failed(orderwise(&served.url()).fetch(at(0)).await, Failure::Auth, "the user name or the password is wrong");
}

#[tokio::test]
async fn base_urls_in_any_case_with_a_slash_or_of_a_sandbox_work() {
    let served = serve(Simulator::new(1)).await;
    for base in ["/owapi", "/OWAPI/", "/OWAPISB", "/OWAPItest//"] {
        assert!(orderwise(&format!("{}{base}", served.root)).fetch(at(0)).await.is_ok(), "{base}");
    }
}

#[tokio::test]
async fn parameters_are_sent_in_order_and_a_hash_signs_in_too() {
    let served = serve(Simulator::new(1)).await;
    let parameters = vec![("@since".to_owned(), "2026-01-01".into()), ("@all".to_owned(), serde_json::Value::Null)];
    // printf driftwise-api:simulated | base64
    let credential = ApiCredential::Hash(Secret::given("ZHJpZnR3aXNlLWFwaTpzaW11bGF0ZWQ="));
    let source = OrderWise::new(OrderWiseOptions { credential, parameters, ..options(&served.url()) }).unwrap();
    source.fetch(at(0)).await.unwrap();
    let body = served.simulator.requests()[1].body.clone();
    assert_eq!(body, r#"[{"name":"@since","value":"2026-01-01"},{"name":"@all","value":null}]"#);
}

#[tokio::test]
async fn faulty_rows_reach_the_domain_unchanged() {
    let served = serve(Simulator::new(2)).await;
    let mapping = Mapping { session_id_column: "Session_ID".to_owned(), ..Mapping::default() };
    let first = SessionId::parse(&FIRST_SESSION.to_string()).unwrap();
    let poll = async |mode: Mode| {
        served.simulator.fail(mode, Some(1));
        let answer = orderwise(&served.url()).fetch(at(0)).await.unwrap();
        Snapshot::read(&answer, &mapping, at(0)).unwrap().row_match(&first)
    };
    assert!(matches!(poll(Mode::DuplicateRows).await, RowMatch::Duplicate(reason) if reason.contains("2 rows")));
    assert!(matches!(poll(Mode::MissingSession).await, RowMatch::Missing));
    let RowMatch::Seen(seen) = poll(Mode::MissingColumn("export".to_owned())).await else { panic!() };
    assert_eq!(seen.reading(&SettingKey::new("export"), &mapping, Kind::Flag, chrono_tz::UTC), Reading::Missing);
    let RowMatch::Seen(seen) = poll(Mode::RepeatedKey("export".to_owned())).await else { panic!() };
    let twice = seen.reading(&SettingKey::new("EXPORT"), &mapping, Kind::Flag, chrono_tz::UTC);
    assert!(matches!(twice, Reading::Unreadable(_)));
}

/// Without the column that identifies sessions, no other column has a meaning.
#[test]
fn a_missing_or_repeated_id_column_is_named() {
    let mapping = Mapping { session_id_column: "session_id".to_owned(), ..Mapping::default() };
    let cases = [
        (r#"[{"session_id":14,"name":"a","session_id":15}]"#, "have the column session_id more than once"),
        (r#"[{"session_id":14,"name":"a","Session_ID":14}]"#, "have the column session_id more than once"),
        (r#"[{"id":14,"name":"a"}]"#, "have no column session_id; the columns are: \"id\", \"name\""),
        (r"[{}]", "have no column session_id; the columns are: none"),
    ];
    for (body, words) in cases {
        let answer = super::super::json::read(body.as_bytes()).unwrap();
        let error = Snapshot::read(&answer, &mapping, at(0)).unwrap_err().to_string();
        assert!(error.contains(words), "{body}: {error}");
    }
}

#[test]
fn an_id_of_many_digits_is_equal_in_each_form() {
    let mapping = Mapping { session_id_column: "session_id".to_owned(), ..Mapping::default() };
    let (twenty, forty) = ("12345678901234567890", "1234567890123456789012345678901234567890");
    let forms = [
        (twenty, format!("{twenty}.0")),
        (twenty, format!("\"{twenty}\"")),
        (twenty, format!("\" 0{twenty}.00 \"")),
        (forty, forty.to_owned()),
        (forty, format!("\"{forty}\"")),
    ];
    for (configured, sent) in forms {
        let answer = super::super::json::read(format!("[{{\"session_id\":{sent}}}]").as_bytes()).unwrap();
        let snapshot = Snapshot::read(&answer, &mapping, at(0)).unwrap();
        let id = SessionId::parse(configured).unwrap();
        assert!(
            matches!(snapshot.row_match(&id), RowMatch::Seen(_)),
            "{sent}: {:?}",
            snapshot.ids().collect::<Vec<_>>()
        );
        let other = SessionId::parse(&configured.replace("890", "891")).unwrap();
        assert!(matches!(snapshot.row_match(&other), RowMatch::Missing), "{sent}");
    }
}

#[test]
fn a_reason_for_the_log_has_no_text_of_the_source() {
    let quoted = Quoted::of("no \"j.doe\" here", &Redactor::default());
    let repeated =
        FetchError { again: Some(at(5)), ..FetchError::new(Failure::Refused, "it answered 500").quoting(Some(quoted)) };
    let until = "; next attempt not before 2027-01-15 08:00:05 UTC";
    assert_eq!(repeated.to_string(), format!("it answered 500: \"no \"j.doe\" here\"{until}"));
    assert_eq!(repeated.for_log(), format!("it answered 500{until}"));
    let mapping = Mapping { session_id_column: "session_id".to_owned(), ..Mapping::default() };
    let answer = super::super::json::read(b"[{\"j.doe\":1}]").unwrap();
    let error = FetchError::of_rows(Failure::Malformed, &Snapshot::read(&answer, &mapping, at(0)).unwrap_err());
    assert_eq!(error.to_string(), "its rows have no column session_id; the columns are: \"j.doe\"");
    assert_eq!(error.for_log(), "its rows have no column session_id; the columns are");
}
