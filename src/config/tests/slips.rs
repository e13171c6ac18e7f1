//! Misspelled and repeated keys, in every mapping.

use std::path::Path;

use super::super::Config;
use super::mappings::{AUDITED, mappings, read};
use super::{CANARY, environment, now};

#[test]
fn a_misspelled_key_is_reported_with_the_nearest_known_one() {
    for mapping in mappings() {
        for (key, value) in mapping.keys.iter().filter(|(key, _)| key.len() > 2) {
            let slip = format!("{}{}", &key[..key.len() - 2], &key[key.len() - 1..]);
            let (text, line) = mapping.with(key, &format!("{slip}: {value}"));
            let problems = read(&text).unwrap_err();
            let (_, _, words) = problems.iter().find(|(at, ..)| *at == line).unwrap();
            assert!(words.contains(&format!("{key:?}")) || words.contains("known: "), "{slip}: {words}");
        }
    }
}

#[test]
fn a_repeated_key_is_refused() {
    for mapping in mappings() {
        for (key, value) in mapping.keys {
            let (text, line) = mapping.with(key, &format!("{key}: {value}\n{}{key}: {value}", mapping.indent));
            let problems = read(&text).unwrap_err();
            let (at, _, words) = &problems[0];
            assert!(*at == line + 1 && words.contains("is given twice"), "{key}: {words}");
        }
    }
}

/// No report shows the value behind a misspelled name of a secret, also if the file is not valid YAML.
#[test]
fn a_secret_behind_a_misspelled_key_is_not_shown() {
    let mappings = [
        ("sources:\n  a:\n    type: orderwise\n    ", "password"),
        ("sources:\n  a:\n    type: orderwise\n    ", "credential_hash"),
        ("email:\n  from: a@b.example\n  smtp:\n    host: h.example\n    ", "password"),
    ];
    let mut tried = 0;
    for (before, key) in mappings {
        for name in
            slips(key).iter().flat_map(|once| std::iter::once(once.clone()).chain(slips(once).into_iter().step_by(7)))
        {
            for after in ["", "\n    [", " \"", "\n     : x"] {
                let text = format!("{before}{name}: {CANARY}{after}\n{AUDITED}");
                let config = Config::read(Path::new("driftwise.yaml"), text.as_bytes(), &environment, now());
                let report = config.unwrap_err().to_string();
                assert!(!report.contains(CANARY), "{name}:\n{report}");
                tried += 1;
            }
        }
    }
    assert!(tried > 3000, "{tried}");
}

/// Each letter omitted, doubled, swapped with the next, or replaced.
fn slips(word: &str) -> Vec<String> {
    let mut slips = Vec::new();
    for at in 0..word.len() {
        let (before, after) = word.split_at(at);
        let (outbound, rest) = after.split_at(1);
        slips.extend([format!("{before}{rest}"), format!("{before}{outbound}{after}"), format!("{before}x{rest}")]);
        if let Some(next) = rest.get(..1) {
            slips.push(format!("{before}{next}{outbound}{}", &rest[1..]));
        }
    }
    slips
}
