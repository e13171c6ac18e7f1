//! Secrets: read from each form, and never shown in a report.

use std::path::Path;

use secrecy::ExposeSecret as _;

use super::super::{Adapter, Config, Credential, Delivery};
use super::{CANARY, CANARY_HASH, now};

/// Every way to give a secret; `FILE` is one that holds it.
const PLACES: [&str; 6] =
    [CANARY, "\"canary-7f3a\"", "${CANARY}", "\"${NOT_SET:-canary-7f3a}\"", "{ env: CANARY }", "{ file: FILE }"];

fn environment(name: &str) -> Option<String> {
    match name {
        "CANARY" => Some(CANARY.to_owned()),
        "HASH" => Some(CANARY_HASH.to_owned()),
        _ => None,
    }
}

fn written(place: &str, more: &str) -> String {
    let hash = place.replace(CANARY, CANARY_HASH).replace("CANARY", "HASH").replace("FILE", "FILE.hash");
    format!(
        "sources:\n  a:\n    type: orderwise\n    base_url: https://h\n    export_definition: 1\n    username: u\n    \
         password: {place}\n  b:\n    type: orderwise\n    base_url: https://h\n    export_definition: 1\n    \
         credential_hash: {hash}\n{more}email:\n  from: a@b.example\n  smtp:\n    host: h.example\n    username: u\n    \
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
    std::fs::write(folder.path().join("FILE.hash"), format!("{CANARY_HASH}\n")).unwrap();
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
        for (secret, expected) in [(password, CANARY), (hash, CANARY_HASH), (smtp.password.as_ref().unwrap(), CANARY)] {
            assert_eq!(secret.value().unwrap().expose_secret(), expected, "{place}");
        }
        let report = format!("{config:?}{:?}", config.warnings);
        assert!(!report.contains(CANARY) && !report.contains(CANARY_HASH), "{place}");
    }
}

#[test]
fn no_problem_beside_a_secret_shows_it() {
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
        assert!(!report.contains(CANARY) && !report.contains(CANARY_HASH), "{place} before {more:?}:\n{report}");
    }
}

#[test]
fn an_invalid_secret_file_is_reported_at_its_key() {
    let folder = folder();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    std::fs::write(folder.path().join("large"), "x".repeat(70_000)).unwrap();
    for (path, words) in
        [("empty", "is empty"), ("large", "is larger than 64 KiB"), ("none", "cannot read"), (".", "cannot read")]
    {
        let report = load(folder.path(), &written(&format!("{{ file: {path} }}"), "")).expect_err(path);
        assert!(report.contains("driftwise.yaml:12:") && report.contains(words), "{path}: {report}");
    }
}

#[test]
fn a_credential_hash_that_is_no_base64_is_refused_and_not_shown() {
    let folder = folder();
    for hash in [CANARY, "Y2FuYXJ5LTdmM2E", "me:canary-7f3a", "{ env: CANARY }", "{ file: FILE }"] {
        let text = written(CANARY, "").replace(CANARY_HASH, hash);
        let report = load(folder.path(), &text).expect_err(hash);
        assert!(report.contains("driftwise.yaml:12:22: \"credential_hash\" is not base64"), "{hash}: {report}");
        assert!(!report.contains(CANARY) && !report.contains("Y2FuYXJ5"), "{hash}: {report}");
    }
}

/// A destroyed name may be near another key or absent, and the file may be invalid YAML.
#[test]
fn a_secret_behind_an_unknown_key_is_not_shown() {
    let folder = folder();
    let source = "sources:\n  a:\n    type: orderwise\n    export_definition: x\n";
    let sessions = "sessions: [{ source: a, id: 1, owners: [a@b.example] }]\n";
    for name in ["pat", "i", "ur", "xxxx", "pth", "usernam", "tl", "typ", "Xq7", "p w", "\"\"", "timeot", "url", "auth"]
    {
        for (before, after) in
            [("", ""), ("", "\n    : ["), ("", "${GONE}"), ("", " \""), ("\"", ""), ("[", ""), ("{ ", " : ")]
        {
            let text = format!("{source}    {name}: {before}{CANARY}{after}\n{sessions}");
            let report = load(folder.path(), &text).expect_err(&text);
            assert!(!report.contains(CANARY), "{text}\n{report}");
        }
        for flow in [
            format!("  b: {{ type: orderwise, {name}: {CANARY}, base_url: x, export_definition: y }}\n"),
            format!("  b: {{ type: http, {name}: {CANARY} }}\n"),
            format!("  b: {{ {name} {CANARY}, type: orderwise, base_url: x }}\n"),
            format!("  b: [{{ {name}: {CANARY} }}]\n"),
            format!("  b: {name} {CANARY}\n"),
        ] {
            let text = format!("{source}{flow}{sessions}");
            let report = load(folder.path(), &text).expect_err(&text);
            assert!(!report.contains(CANARY), "{text}\n{report}");
        }
    }
}

/// With a slash in the password, no pattern of a URL finds the sign-in.
#[test]
fn no_report_shows_a_sign_in_inside_a_url() {
    let folder = folder();
    for (key, scheme) in [("proxy", "http"), ("proxy", "socks5"), ("base_url", "https")] {
        let url = format!("{scheme}://me:{CANARY}/more@erp.acme.example:3128");
        for text in [
            format!("sources:\n  a:\n    type: orderwise\n    {key}: {url}\n    : [\n"),
            format!("sources: {{ a: {{ type: orderwise, {key}: {url}, path: [ }}\n"),
            format!("sources: {{ a: {{ type: orderwise, {key}: {url}, tiemout: 5s }} }}\n"),
            format!("sources: {{ a: {{ type: file, {key}: \"{url}\", path: a.csv }} }}\n"),
            format!("sources: {{ a: {{ type: http, {key}: \"{url}\", path: a.csv }} }}\n"),
            format!("sources: {{ a: {{ {key}: \"{url}\", path: a.csv }} }}\n"),
            format!("defaults: {{ source: {{ {key}: \"{url}\", tiemout: 5s }} }}\n"),
        ] {
            let report = load(folder.path(), &text).expect_err(&text);
            assert!(!report.contains(CANARY), "{text}\n{report}");
        }
    }
}
