//! Every key of every mapping with every wrong value, and the problems that are reported for it.
//!
//! One snapshot a mapping. "accepted" means that the value has a meaning there: a text may look like a number.

use std::fmt::Write as _;

use super::super::keys;
use super::mappings::{AUDITED, GRID, Mapping, VALUES, mappings, read};

#[test]
fn each_mapping_is_valid() {
    for mapping in mappings() {
        let (text, _) = mapping.with("", "");
        assert!(read(&text).is_ok(), "{}:\n{text}{:#?}", mapping.name, read(&text).unwrap_err());
    }
}

#[test]
fn every_key_of_the_reader_is_tried() {
    for keys in keys::sections() {
        // "expect" has exactly one of its keys: `tests/fixtures/config/expectations.yaml` tries each.
        if ["\"expect\"", "\"all_ticked\"", "a value that comes from a param"].contains(&keys.of) {
            continue;
        }
        let of = if keys.of == "an included file" { "the configuration" } else { keys.of };
        let tried =
            |key: &&str| mappings().filter(|m| of.starts_with(m.of)).any(|m| m.keys.iter().any(|(k, _)| k == key));
        let forgotten = keys.known().map(|key| key.name).filter(|key| !tried(key)).collect::<Vec<_>>();
        assert!(forgotten.is_empty(), "{}: {forgotten:?}", keys.of);
    }
}

#[test]
fn each_wrong_value_is_reported_at_its_line() {
    let mut unsaid = Vec::new();
    for mapping in mappings() {
        let mut report = String::new();
        for (key, value) in mapping.keys.iter().flat_map(|(key, _)| VALUES.map(|value| (*key, value))) {
            let (text, line) = mapping.with(key, &format!("{key}: {value}"));
            writeln!(report, "{key}: {value}").unwrap();
            let Err(problems) = read(&text) else {
                writeln!(report, "    accepted").unwrap();
                continue;
            };
            let mut here = problems.iter().filter(|(at, ..)| *at == line);
            // An empty list or mapping is reported where its content is needed, and a setting of a rule at the key that needs a *.
            let elsewhere = ["[]", "{}"].contains(&value) || (mapping.of, key) == ("a rule", "setting");
            if !elsewhere && !here.any(|(_, _, words)| names(mapping, key, words)) {
                unsaid.push(format!("{}: {key}: {value}: {problems:#?}", mapping.name));
            }
            for (at, column, words) in &problems {
                let place = if *at == line { "here".to_owned() } else { format!("line {at}") };
                writeln!(report, "    {place}, column {column}: {words}").unwrap();
            }
        }
        insta::assert_snapshot!(format!("wrong-{}", mapping.name), report);
    }
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n"));
}

/// Whether the words name the key, its content, or the mapping.
fn names(mapping: &Mapping, key: &str, words: &str) -> bool {
    let singular = key.strip_suffix("ies").map_or_else(|| key.trim_end_matches('s').to_owned(), |s| format!("{s}y"));
    let held = match key {
        "timezone" => "time zone",
        "include" => "file",
        "without" => "rule",
        _ => singular.as_str(),
    };
    words.contains(key) || words.contains(held) || words.contains(mapping.of)
}

#[test]
fn an_invalid_public_url_is_refused_with_the_reason() {
    let cases = [
        ("https://drift wise.example", "spaces or backslashes"),
        ("https://driftwise.example\\\\pages", "spaces or backslashes"),
        ("https://-driftwise.example", "no valid host name or port"),
        ("https://driftwise.example:0", "no valid host name or port"),
        ("https://driftwise.example:65536", "no valid host name or port"),
        ("driftwise.example", "must begin with https:// or http://"),
        ("https://driftwise.example/?page=1", "a query (?) or a fragment (#)"),
    ];
    for (url, words) in cases {
        let problems = read(&format!("server: {{ public_url: \"{url}\" }}\n{GRID}{AUDITED}")).unwrap_err();
        let [(1, 23, report)] = problems.as_slice() else { panic!("{url}: {problems:?}") };
        assert!(report.starts_with("\"public_url\"") && report.contains(words), "{url}: {report}");
        assert!(!report.contains("OWAPI"), "{url}: {report}");
    }
}
