//! JSON bodies: rows without loss, and reasons for every other body.

use std::sync::Arc;

use super::{Failure, failed};
use crate::domain::reading::RawValue;
use crate::source::json::read;

fn raw_values(body: &str) -> Vec<RawValue> {
    read(body.as_bytes()).unwrap().rows.remove(0).raw_values
}

#[test]
fn every_raw_value_is_exactly_the_sent_one() {
    let number = |text: &str| RawValue::Number(text.into());
    let cases = [
        ("15.0", number("15.0")),
        ("-1", number("-1")),
        ("123456789012345678901234567890.10", number("123456789012345678901234567890.10")),
        ("1e999", number("1e999")),
        ("true", RawValue::Flag(true)),
        ("false", RawValue::Flag(false)),
        ("null", RawValue::Null),
        ("\"VP255R \"", RawValue::text("VP255R ")),
        ("\"\"", RawValue::text("")),
        (r#""a\"\\\u00e9\ud83d\ude00\n""#, RawValue::text("a\"\\é😀\n")),
        (r#"{ "a": [1, {}] }"#, RawValue::Nested(r#"{ "a": [1, {}] }"#.into())),
        ("[]", RawValue::Nested("[]".into())),
        (r#""[{\"a\":1}]""#, RawValue::text(r#"[{"a":1}]"#)),
    ];
    for (json, expected) in cases {
        assert_eq!(raw_values(&format!("[{{\"k\" : {json} }}]")), [expected], "{json}");
    }
}

#[test]
fn rows_of_one_shape_share_their_columns_and_others_do_not() {
    let body = r#"[{"a":1,"b":2},{"a":3,"b":4},{"b":5,"a":6},{"a":7},{"a":8,"b":9,"c":1},{"a":1,"b":2},{},{"A":1}]"#;
    let rows = read(body.as_bytes()).unwrap().rows;
    let names = rows.iter().map(|row| row.columns.join(",")).collect::<Vec<_>>();
    assert_eq!(names, ["a,b", "a,b", "b,a", "a", "a,b,c", "a,b", "", "A"]);
    assert!(rows.iter().all(|row| row.columns.len() == row.raw_values.len()));
    for (other, shared) in [(1, true), (2, false), (5, true)] {
        assert_eq!(Arc::ptr_eq(&rows[0].columns, &rows[other].columns), shared, "row {other}");
    }
}

#[test]
fn a_repeated_key_stays_repeated_and_escapes_in_keys_are_decoded() {
    let rows = read(br#"[{"a":1,"a":2,"\u0061":3},{"a":1,"a":2,"a":3}]"#).unwrap().rows;
    assert_eq!(rows[0].columns.join(","), "a,a,a");
    assert!(Arc::ptr_eq(&rows[0].columns, &rows[1].columns));
}

#[test]
fn a_response_without_a_list_of_sessions_is_described() {
    let malformed: [(&[u8], &str); 19] = [
        (b"<!DOCTYPE html><html>", "it answered with a web page (HTML) instead of data"),
        (b"{\"Notification\":\"no\"}", "a single object instead of a list of sessions: \"{\"Notification"),
        (b"\"text\"", "a single value instead of a list of sessions"),
        (b"12", "a single value"),
        (b"Access denied", "text that is not JSON: \"Access denied\""),
        (b"\"cut", "truncated text instead of data"),
        (b"[", "cut off"),
        (b"[{\"a\":1},", "its answer is cut off (line 1, column 9)"),
        (b"[{\"a\":\"x", "cut off"),
        (b"[{\"a\":1}", "cut off"),
        (b"[{\"a\":1}] x", "its answer is not valid JSON: trailing characters (line 1, column 11)"),
        (b"[{\"a\":01}]", "not valid JSON"),
        (b"[{\"a\":1,}]", "not valid JSON"),
        (b"[{\"a\":NaN}]", "not valid JSON"),
        (b"[{\"a\":1},2]", "entry 2 of its answer is a number instead of an object"),
        (b"[null]", "entry 1 of its answer is null"),
        (b"[[1]]", "entry 1 of its answer is a list"),
        (b"[\"a at line 3\"]", "entry 1 of its answer is a string instead of an object"),
        (b"[{\"a\":\"\\ud800\"}]", "a \\u escape that is not a character"),
    ];
    for (body, words) in malformed {
        failed(read(body), Failure::Malformed, words);
    }
    failed(read(b"[{\"a\":\"caf\xE9\"}]"), Failure::Malformed, "byte 11 cannot be read");
    for body in ["", " \r\n", "[]", " [ ] ", "null", "\u{FEFF}null\n", "\u{FEFF}[]"] {
        failed(read(body.as_bytes()), Failure::Empty, "it returned no sessions");
    }
    assert_eq!(read("\u{FEFF} [{\"a\":1}]\n".as_bytes()).unwrap().rows.len(), 1);
}

#[test]
fn deep_nesting_neither_overflows_the_stack_nor_takes_long() {
    const DEPTH: usize = 2_000_000;
    let nested = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    assert_eq!(raw_values(&format!("[{{\"a\":{nested}}}]")), [RawValue::Nested(nested.as_str().into())]);
    failed(read(nested.as_bytes()), Failure::Malformed, "entry 1 of its answer is a list");
    failed(read("{\"a\":".repeat(DEPTH).as_bytes()), Failure::Malformed, "a single object");
    failed(read(format!("[{}", "{\"a\":".repeat(DEPTH)).as_bytes()), Failure::Malformed, "cut off");
    failed(read(format!("[{{\"a\":{}", "[".repeat(DEPTH)).as_bytes()), Failure::Malformed, "cut off");
}

#[test]
fn fifty_thousand_columns_are_read() {
    let row = (0..50_000).map(|n| format!("\"column_{n}\":{n}")).collect::<Vec<_>>().join(",");
    let rows = read(format!("[{{{row}}},{{{row}}}]").as_bytes()).unwrap().rows;
    assert_eq!(rows[1].raw_values.len(), 50_000);
    assert!(Arc::ptr_eq(&rows[0].columns, &rows[1].columns));
}

#[test]
fn a_hundred_thousand_sessions_are_read_and_empty_rows_end_at_their_limit() {
    let raw_values = (0..23).map(|n| format!(",\"setting_{n}\":\"Yes\"")).collect::<Vec<_>>().concat();
    let row = |id| format!("{{\"session_id\":{id},\"name\":\"shop-{id}.example\"{raw_values}}}");
    let body = (0..100_000).map(row).collect::<Vec<_>>().join(",");
    assert_eq!(read(format!("[{body}]").as_bytes()).unwrap().rows.len(), 100_000);
    let empty = |rows: usize| format!("[{}{{}}]", "{},".repeat(rows - 1));
    assert_eq!(read(empty(250_000).as_bytes()).unwrap().rows.len(), 250_000);
    failed(read(empty(250_001).as_bytes()), Failure::TooLarge, "more than 250,000 rows");
}

#[test]
fn a_body_that_expands_in_memory_is_refused_before_it_fills_the_memory() {
    let many = |piece: fn(u32) -> String| (0..1_500_000).map(piece).collect::<Vec<_>>().join(",");
    let values = format!("[{{{}}}]", many(|n| format!("\"\":{}", n % 10)));
    let shapes = format!(
        "[{}]",
        (0..1200).map(|n| format!("{{{}\"{n}\":0}}", "\"\":0,".repeat(1000))).collect::<Vec<_>>().join(",")
    );
    for body in [values, shapes] {
        failed(read(body.as_bytes()), Failure::TooLarge, "its values take more than");
    }
}

#[test]
fn repeated_column_names_take_no_more_memory() {
    let row = |last: &str| format!("{{{}\"{last}\":0}}", "\"a name that is not short\":0,".repeat(1000));
    let body = (0..2000).map(|n| row(if n % 2 == 0 { "x" } else { "y" })).collect::<Vec<_>>().join(",");
    assert_eq!(read(format!("[{body}]").as_bytes()).unwrap().rows.len(), 2000);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
        let _ = read(&body);
        let _ = read(&[b"[{\"".as_slice(), &body, b"\":1}]"].concat());
    }

    #[test]
    fn any_rows_are_read_as_they_were_written(
        rows in proptest::collection::vec(proptest::collection::vec((".{0,4}", ".{0,9}", proptest::prelude::any::<i128>()), 0..5), 1..5)
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let raw = |(key, text, number): &(String, String, i128)| format!("{}:{},\"n\" : {number}", quoted(key), quoted(text));
        let row = |raw_values: &Vec<_>| format!("{{{}}}", raw_values.iter().map(raw).collect::<Vec<_>>().join(","));
        let read = read(format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(",")).as_bytes()).unwrap().rows;
        for (row, read) in rows.iter().zip(&read) {
            let keys = row.iter().flat_map(|(key, ..)| [key.as_str(), "n"]).collect::<Vec<_>>();
            proptest::prop_assert_eq!(read.columns.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), keys);
            let raw_values = row.iter().flat_map(|(_, text, n)| [RawValue::text(text.as_str()), RawValue::Number(n.to_string().into())]);
            proptest::prop_assert_eq!(&read.raw_values, &raw_values.collect::<Vec<_>>());
        }
        proptest::prop_assert_eq!(rows.len(), read.len());
    }
}
