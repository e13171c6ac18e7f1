//! Secrets: from each place in which one can stand, and never in anything that the configuration says.

use std::path::Path;

use secrecy::ExposeSecret as _;

use super::super::{Adapter, Config, Credential, Delivery};
use super::{CANARY, now};

/// Every way to give a secret; `FILE` is one that holds it.
const PLACES: [&str; 6] =
    [CANARY, "\"canary-7f3a\"", "${CANARY}", "\"${NOT_SET:-canary-7f3a}\"", "{ env: CANARY }", "{ file: FILE }"];

fn environment(name: &str) -> Option<String> {
    (name == "CANARY").then(|| CANARY.to_owned())
}

fn written(place: &str, more: &str) -> String {
    format!(
        "sources:\n  a:\n    type: orderwise\n    base_url: https://h\n    export_definition: 1\n    username: u\n    \
         password: {place}\n  b:\n    type: orderwise\n    base_url: https://h\n    export_definition: 1\n    \
         credential_hash: {place}\n{more}email:\n  from: a@b.example\n  smtp:\n    host: h.example\n    username: u\n    \
         password: {place}\nsessions: [{{ source: a, id: 1, owners: [a@b.example] }}]\n"
    )
}

fn load(folder: &Path, text: &str) -> Result<Config, String> {
    let path = folder.join("driftwise.yaml");
    Config::read(&path, text.as_bytes(), &environment, now()).map_err(|problems| format!("{problems}\n{problems:?}"))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("FILE"), format!("{CANARY}\n")).unwrap();
    folder
}

#[test]
fn a_secret_is_read_from_each_place_and_not_shown() {
    let folder = folder();
    for place in PLACES {
        let text = written(place, "");
        let config = load(folder.path(), &text).unwrap_or_else(|report| panic!("{place}: {report}"));
        let Adapter::OrderWise(a) = &config.sources[0].adapter else { panic!("{config:?}") };
        let Adapter::OrderWise(b) = &config.sources[1].adapter else { panic!("{config:?}") };
        let Credential::Password { password, .. } = &a.credential else { panic!("{config:?}") };
        let Credential::Hash(hash) = &b.credential else { panic!("{config:?}") };
        let Delivery::Smtp(smtp) = &config.require_email().unwrap().delivery else { panic!("{config:?}") };
        for secret in [password, hash, smtp.password.as_ref().unwrap()] {
            assert_eq!(secret.value().unwrap().expose_secret(), CANARY, "{place}");
        }
        assert!(!format!("{config:?}{:?}", config.warnings).contains(CANARY), "{place}");
    }
}

#[test]
fn a_secret_is_not_shown_by_what_is_wrong_around_it() {
    let folder = folder();
    let wrong = [
        "    timeout: soon\n",
        "    username: u\n",
        "    credential_hash: again\n",
        "    : {\n",
        "    unknown: [\n",
        "    \"\n",
        "    max_body\n",
        "  b: {}\n",
    ];
    for (place, more) in PLACES.iter().flat_map(|place| wrong.map(|more| (place, more))) {
        let report = load(folder.path(), &written(place, more)).expect_err(more);
        assert!(!report.contains(CANARY), "{place} before {more:?}:\n{report}");
    }
}

#[test]
fn a_secret_file_that_is_no_secret_is_refused_where_it_is_named() {
    let folder = folder();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    std::fs::write(folder.path().join("large"), "x".repeat(70_000)).unwrap();
    for (path, words) in
        [("empty", "is empty"), ("large", "is larger than 64 KiB"), ("none", "cannot be read"), (".", "cannot be read")]
    {
        let report = load(folder.path(), &written(&format!("{{ file: {path} }}"), "")).expect_err(path);
        assert!(report.contains("driftwise.yaml:12:") && report.contains(words), "{path}: {report}");
    }
}
