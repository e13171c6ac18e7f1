//! Files: CSV as spreadsheets write it, JSON, and files that cannot be used.

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use super::*;
use crate::domain::reading::RawValue;
use crate::source::file::{FileOptions, FileSource, csv};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, body: &[u8]) -> FileOptions {
        let path = self.0.path().join(name);
        std::fs::write(&path, body).unwrap();
        options(path)
    }
}

fn options(path: PathBuf) -> FileOptions {
    FileOptions { path, max_age: None, timeout: Duration::from_mins(1), max_body: 4096 }
}

async fn fetch(options: FileOptions, now: DateTime<Utc>) -> Result<RawSnapshot, FetchError> {
    FileSource::new(options).unwrap().fetch(now).await
}

#[tokio::test]
async fn csv_is_read_in_each_separator_and_encoding_of_spreadsheets() {
    let folder = Folder::new();
    let text = "session_id,Name,Export\r\n14,\"Café, \"\"UK\"\"\",\r\n15,b,True\r\n";
    let wide = |swap: bool| {
        let units = "\u{FEFF}session_id\tName\tExport\r\n14\t\"Café, \"\"UK\"\"\"\t\r\n15\tb\tTrue\r\n".encode_utf16();
        units.flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect::<Vec<u8>>()
    };
    let semicolons = "session_id;Name;Export\n14;\"Café, \"\"UK\"\"\";\n15;b;True";
    let forms = [
        text.as_bytes().to_vec(),
        format!("\u{FEFF}{text}").into_bytes(),
        semicolons.as_bytes().to_vec(),
        wide(false),
        wide(true),
    ];
    for body in forms {
        let answer = fetch(folder.file("grid.csv", &body), at(0)).await.unwrap();
        assert_eq!(answer.rows[0].columns.join("|"), "session_id|Name|Export");
        assert_eq!(
            answer.rows[0].raw_values,
            [RawValue::text("14"), RawValue::text("Café, \"UK\""), RawValue::text("")]
        );
        assert_eq!(answer.rows[1].raw_values[2], RawValue::text("True"));
        assert!(Arc::ptr_eq(&answer.rows[0].columns, &answer.rows[1].columns));
    }
}

#[tokio::test]
async fn an_untrustworthy_csv_is_refused_with_the_place() {
    let folder = Folder::new();
    let cases: [(&[u8], Failure, &str); 9] = [
        (b"", Failure::Empty, "it returned no sessions"),
        (b"\xEF\xBB\xBF\r\n", Failure::Empty, "it returned no sessions"),
        (b"id,name\n", Failure::Empty, "it returned no sessions"),
        (b"id,name\n1,a\n2\n", Failure::Malformed, "line 3 of the file has 1 fields where the header has 2"),
        (b"id,name\n1,a,b\n", Failure::Malformed, "line 2 of the file has 3 fields"),
        (b"id,name\n1,caf\xE9\n", Failure::Malformed, "not UTF-8 text (line 2)"),
        (b"\xFF\xFEa", Failure::Malformed, "not complete UTF-16"),
        (b"id,name\n1,\"a\n2,b\n", Failure::Malformed, "truncated: a quote is never closed"),
        (b"<html>", Failure::Malformed, "a web page (HTML)"),
    ];
    for (body, failure, words) in cases {
        failed(fetch(folder.file("grid.csv", body), at(0)).await, failure, words);
    }
}

#[tokio::test]
async fn json_files_are_read_like_responses() {
    let folder = Folder::new();
    let answer = fetch(folder.file("grid.JSON", b"\xEF\xBB\xBF[{\"a\":15.0}]"), at(0)).await.unwrap();
    assert_eq!(answer.rows[0].raw_values, [RawValue::Number("15.0".into())]);
    failed(fetch(folder.file("grid.json", b"[]"), at(0)).await, Failure::Empty, "it returned no sessions");
    failed(fetch(folder.file("grid.json", b"[{"), at(0)).await, Failure::Malformed, "cut off");
}

#[tokio::test]
async fn an_old_file_is_refused_and_one_from_the_future_is_not() {
    let folder = Folder::new();
    let limit = Some(Duration::from_hours(24));
    let options = FileOptions { max_age: limit, ..folder.file("grid.csv", b"id\n1\n") };
    let set = |now: DateTime<Utc>| {
        let file = File::options().write(true).open(&options.path).unwrap();
        file.set_modified(SystemTime::from(now)).unwrap();
    };
    set(at(0));
    for (age, fits) in [(0, true), (86_400, true), (-5_000, true), (86_401, false), (93_600, false)] {
        let outcome = fetch(options.clone(), at(age)).await;
        assert_eq!(outcome.is_ok(), fits, "{age}");
    }
    failed(fetch(options.clone(), at(93_600)).await, Failure::Refused, "the file is 1d 2h old; at most 1d is allowed");
    set(at(93_600));
    assert!(fetch(options.clone(), at(93_600)).await.is_ok());
}

#[tokio::test]
async fn a_file_is_read_up_to_its_limit() {
    let folder = Folder::new();
    for (len, fits) in [(4096, true), (4097, false)] {
        let body = format!("id\n{}\n", "1".repeat(len - 4));
        let outcome = fetch(folder.file("grid.csv", body.as_bytes()), at(0)).await;
        if fits {
            outcome.unwrap();
        } else {
            failed(outcome, Failure::TooLarge, "larger than 4 KiB");
        }
    }
}

#[test]
fn a_grid_of_a_hundred_thousand_sessions_is_read_and_one_that_would_fill_the_memory_is_not() {
    let header = format!("session_id,name{}\n", (0..23).map(|n| format!(",setting_{n}")).collect::<Vec<_>>().concat());
    let raw_values = ",True".repeat(23);
    let body = (0..100_000).fold(header, |body, id| body + &format!("{id},shop-{id}.example{raw_values}\n"));
    assert!(body.len() < 16 << 20);
    assert_eq!(csv(body.as_bytes()).unwrap().rows.len(), 100_000);
    let wide = format!("{}\n{}\n", vec!["name"; 50_000].join(","), vec!["x"; 50_000].join(","));
    assert_eq!(csv(wide.as_bytes()).unwrap().rows[0].raw_values.len(), 50_000);
    let ones = format!("id\n{}", "1\n".repeat(250_001));
    failed(csv(ones.as_bytes()), Failure::TooLarge, "more than 250,000 rows");
    let commas = format!("id\n{}\n", ",".repeat(250_000));
    failed(csv(commas.as_bytes()), Failure::TooLarge, "a line of more than 250,000 fields");
    let quoted = format!("id\n{}x\n", "\"\n\",".repeat(250_000));
    failed(csv(quoted.as_bytes()), Failure::TooLarge, "a line of more than 250,000 fields");
    let columns = vec!["c"; 100].join(",");
    let digits = (0..15_000)
        .map(|row| format!("{}\n", (0..100).map(|n| format!("{}", (row + n) % 10)).collect::<Vec<_>>().join(",")));
    let digits = format!("{columns}\n{}", digits.collect::<String>());
    failed(csv(digits.as_bytes()), Failure::TooLarge, "its values take more than");
}

#[tokio::test]
async fn an_unreadable_file_is_named_and_does_not_block() {
    let folder = Folder::new();
    let path = |name: &str| folder.0.path().join(name);
    failed(fetch(options(path("none.csv")), at(0)).await, Failure::NotFound, "there is no file");
    std::fs::create_dir(path("folder.csv")).unwrap();
    failed(fetch(options(path("folder.csv")), at(0)).await, Failure::Refused, "not a regular file");
    let made = std::process::Command::new("mkfifo").arg(path("pipe.csv")).status();
    if made.is_ok_and(|status| status.success()) {
        failed(fetch(options(path("pipe.csv")), at(0)).await, Failure::Refused, "not a regular file");
    }
    for name in ["grid.xlsx", "grid", "grid.pdf"] {
        assert!(FileSource::new(options(path(name))).is_err());
    }
}
