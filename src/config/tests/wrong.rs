//! Every key of every mapping, wrong in every way in which a value can be wrong: each way with what people are told.
//!
//! One snapshot a mapping. What is "accepted" in one of them means something there: a text may look like a number.

use std::fmt::Write as _;
use std::path::Path;

use super::super::{Config, keys};
use super::{CANARY, environment, now};

/// One mapping, valid as it stands, each key on a line of its own.
struct Mapping {
    name: &'static str,
    /// How the keys of the mapping are named in the reader.
    of: &'static str,
    before: &'static str,
    indent: &'static str,
    keys: &'static [(&'static str, &'static str)],
    after: &'static str,
}

/// A source and a session that nothing is wrong with, in one line each.
const GRID: &str = "sources: { grid: { type: file, path: a.csv } }\n";
const AUDITED: &str = "sessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n";

const MAPPINGS: [Mapping; 16] = [
    Mapping {
        name: "main",
        of: "the configuration",
        before: "",
        indent: "",
        keys: &[
            ("sources", "{ grid: { type: file, path: a.csv } }"),
            ("policies", "{ p: { extends: orderwise-shopify } }"),
            ("sessions", "[{ source: grid, id: 1, owners: [a@b.example] }]"),
            ("customers", "{ acme: { contact: us } }"),
            ("defaults", "{ session: { timezone: UTC } }"),
            ("email", "{ from: a@b.example, spool: mail }"),
            ("alerts", "{ confirm_polls: 2 }"),
            ("store", "{ retain: 30d }"),
            ("server", "{ listen: 127.0.0.1:9464 }"),
            ("include", "[sessions/*.yaml]"),
            ("reload", "watch"),
        ],
        after: "",
    },
    Mapping {
        name: "defaults",
        of: "\"defaults\"",
        before: "defaults:\n",
        indent: "  ",
        keys: &[
            ("source", "{ timeout: 60s }"),
            ("session", "{ timezone: UTC }"),
            ("customer", "{ contact: us }"),
            ("max_polls", "64"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "source-orderwise",
        of: "a source",
        before: "customers: { acme: { contact: us } }\nsources:\n  grid:\n",
        indent: "    ",
        keys: &[
            ("type", "orderwise"),
            ("customer", "acme"),
            ("base_url", "https://erp.acme.example/OWAPI"),
            ("username", "u"),
            ("password", "{ env: ACME_OW_PASSWORD }"),
            ("export_definition", "61"),
            ("export_parameters", "{ \"@since\": \"2026-01-01\" }"),
            ("session_id_column", "session_id"),
            ("columns", "{ transfer_type: T }"),
            ("values", "{ transfer_type: { \"3\": Web Service } }"),
            ("kinds", "{ paused: flag }"),
            ("timeout", "60s"),
            ("max_body", "16MiB"),
            ("renamed_from", "former"),
            ("tls", "{ ca_file: tests/fixtures/contract/acme-ca.pem }"),
            ("proxy", "http://proxy.acme.example:3128"),
            ("allow_insecure", "false"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "source-credential-hash",
        of: "a source",
        before: "sources:\n  grid:\n    type: orderwise\n    base_url: https://h\n    export_definition: 1\n",
        indent: "    ",
        keys: &[("credential_hash", "aGk6aG8=")],
        after: AUDITED,
    },
    Mapping {
        name: "source-file",
        of: "a source",
        before: "sources:\n  grid:\n    type: file\n",
        indent: "    ",
        keys: &[("path", "a.csv"), ("max_age", "24h"), ("timeout", "60s"), ("max_body", "16MiB")],
        after: AUDITED,
    },
    Mapping {
        name: "tls",
        of: "\"tls\" of a source",
        before: "sources:\n  grid:\n    type: orderwise\n    base_url: https://h\n    credential_hash: eA==\n    \
                 export_definition: 1\n    tls:\n",
        indent: "      ",
        keys: &[("ca_file", "tests/fixtures/contract/acme-ca.pem")],
        after: AUDITED,
    },
    Mapping {
        name: "policy",
        of: "a policy",
        before: "policies:\n  p:\n",
        indent: "    ",
        keys: &[
            ("extends", "orderwise-shopify"),
            ("rules", "[{ id: r, setting: s, expect: ticked }]"),
            ("without", "[export-off]"),
        ],
        after: "sources: { grid: { type: file, path: a.csv } }\nsessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n",
    },
    Mapping {
        name: "rule",
        of: "a rule",
        before: "policies:\n  p:\n    rules:\n      -\n",
        indent: "        ",
        keys: &[
            ("id", "r"),
            ("setting", "\"*\""),
            ("expect", "unchanged"),
            ("severity", "info"),
            ("why", "words"),
            ("fix", "words"),
            ("optional", "true"),
            ("stops_orders", "false"),
            ("ignore", "[last_*]"),
        ],
        after: "sources: { grid: { type: file, path: a.csv } }\nsessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n",
    },
    Mapping {
        name: "session",
        of: "a session",
        before: "sources: { grid: { type: file, path: a.csv } }\nsessions:\n  -\n",
        indent: "    ",
        keys: &[
            ("source", "grid"),
            ("id", "14"),
            ("name", "shop"),
            ("policy", "orderwise-shopify"),
            ("schedule", "\"*/5 * * * *\""),
            ("timezone", "Europe/London"),
            ("params", "{ notification_email: it@acme.example }"),
            ("owners", "[it@acme.example]"),
            ("labels", "{ region: uk }"),
        ],
        after: "",
    },
    Mapping {
        name: "customer",
        of: "a customer",
        before: "customers:\n  acme:\n",
        indent: "    ",
        keys: &[
            ("fallback", "[it@acme.example]"),
            ("contact", "Ring us"),
            ("reply_to", "a@b.example"),
            ("timezone", "Europe/London"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "email",
        of: "\"email\"",
        before: "email:\n",
        indent: "  ",
        keys: &[("from", "Driftwise <a@b.example>"), ("smtp", "{ host: mail.example }")],
        after: AUDITED,
    },
    Mapping {
        name: "email-spool",
        of: "\"email\"",
        before: "email:\n  from: a@b.example\n",
        indent: "  ",
        keys: &[("spool", "mail")],
        after: AUDITED,
    },
    Mapping {
        name: "smtp",
        of: "\"smtp\"",
        before: "email:\n  from: a@b.example\n  smtp:\n",
        indent: "    ",
        keys: &[
            ("host", "mail.example"),
            ("port", "587"),
            ("tls", "starttls"),
            ("username", "u"),
            ("password", "{ env: SMTP_PASSWORD }"),
            ("ca_file", "tests/fixtures/contract/acme-ca.pem"),
            ("max_per_minute", "30"),
            ("allow_insecure", "false"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "alerts",
        of: "\"alerts\"",
        before: "alerts:\n",
        indent: "  ",
        keys: &[
            ("confirm_polls", "1"),
            ("resolve_polls", "1"),
            ("remind_every", "24h"),
            ("min_severity", "warning"),
            ("unreachable_after", "1h"),
            ("fallback", "[ops@b.example]"),
            ("operators", "[run@b.example]"),
            ("blind_after", "24h"),
            ("breaker", "{ share: 50%, at_least: 5 }"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "breaker",
        of: "\"breaker\"",
        before: "alerts:\n  breaker:\n",
        indent: "    ",
        keys: &[("share", "50%"), ("at_least", "5")],
        after: AUDITED,
    },
    Mapping {
        name: "store-and-server",
        of: "\"store\"",
        before: "server: { listen: 127.0.0.1:1, metrics_listen: 127.0.0.1:2, public_url: https://d }\nstore:\n",
        indent: "  ",
        keys: &[("url", "sqlite://driftwise.db"), ("retain", "730d")],
        after: AUDITED,
    },
];

const SERVER: Mapping = Mapping {
    name: "server",
    of: "\"server\"",
    before: "server:\n",
    indent: "  ",
    keys: &[("listen", "127.0.0.1:9464"), ("metrics_listen", "0.0.0.0:9465"), ("public_url", "https://d.example")],
    after: AUDITED,
};

/// What is written where something else should stand.
const VALUES: [&str; 14] = [
    "",
    "true",
    "0",
    "-1",
    "1.5",
    "99999999999999999999",
    "no such key",
    "\"\"",
    "\" \"",
    "[]",
    "[a, 1]",
    "[[a], { b: c }, null]",
    "{}",
    "{ a: b }",
];

fn mappings() -> impl Iterator<Item = &'static Mapping> {
    MAPPINGS.iter().chain(std::iter::once(&SERVER))
}

impl Mapping {
    /// The configuration with `written` in the place of the key and its value, and the line on which that stands.
    fn with(&self, key: &str, written: &str) -> (String, usize) {
        let mut text = self.before.to_owned();
        let mut line = 0;
        for (known, value) in self.keys {
            if *known == key {
                line = text.lines().count() + 1;
                writeln!(text, "{}{written}", self.indent).unwrap();
            } else {
                writeln!(text, "{}{known}: {value}", self.indent).unwrap();
            }
        }
        text.push_str(self.after);
        if !text.contains("sources:") {
            text.push_str(GRID);
        }
        (text, line)
    }
}

/// Every value of every key, wrong and right, each in a configuration of its own.
pub(super) fn each_wrong_value() -> impl Iterator<Item = String> {
    mappings().flat_map(|mapping| {
        let keys = mapping
            .keys
            .iter()
            .flat_map(|(key, value)| VALUES.into_iter().chain([*value]).map(move |value| (*key, value)));
        keys.map(|(key, value)| mapping.with(key, &format!("{key}: {value}")).0)
    })
}

/// Relative paths lead from the package, where the certificate is.
fn read(text: &str) -> Result<Config, Vec<(usize, usize, String)>> {
    let config = Config::read(Path::new("driftwise.yaml"), text.as_bytes(), &environment, now());
    config.map_err(|problems| {
        assert!(!problems.to_string().contains(CANARY), "{problems}");
        let told = problems.iter().map(|problem| {
            let at = problem.at.as_ref().unwrap_or_else(|| panic!("this problem has no place: {problem}"));
            let help = problem.help.as_ref().map(|help| format!(" [{help}]")).unwrap_or_default();
            (at.line, at.column, format!("{}{help}", problem.message))
        });
        told.collect()
    })
}

#[test]
fn each_mapping_is_valid_as_it_stands() {
    for mapping in mappings() {
        let (text, _) = mapping.with("", "");
        assert!(read(&text).is_ok(), "{}:\n{text}{:#?}", mapping.name, read(&text).unwrap_err());
    }
}

#[test]
fn every_key_of_the_reader_is_tried() {
    for keys in keys::sections() {
        // What a rule expects is exactly one of its keys: `tests/fixtures/config/expectations.yaml` tries each.
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
fn each_wrong_value_is_refused_where_it_stands_with_what_is_allowed() {
    let mut unsaid = Vec::new();
    for mapping in mappings() {
        let mut told = String::new();
        for (key, value) in mapping.keys.iter().flat_map(|(key, _)| VALUES.map(|value| (*key, value))) {
            let (text, line) = mapping.with(key, &format!("{key}: {value}"));
            writeln!(told, "{key}: {value}").unwrap();
            let Err(problems) = read(&text) else {
                writeln!(told, "    accepted").unwrap();
                continue;
            };
            let mut here = problems.iter().filter(|(at, ..)| *at == line);
            // What is empty is nothing: it is told where it is missed. Of a rule's setting, what watches more is told.
            let elsewhere = ["[]", "{}"].contains(&value) || (mapping.of, key) == ("a rule", "setting");
            if !elsewhere && !here.any(|(_, _, words)| names(mapping, key, words)) {
                unsaid.push(format!("{}: {key}: {value}: {problems:#?}", mapping.name));
            }
            for (at, column, words) in &problems {
                let place = if *at == line { "here".to_owned() } else { format!("line {at}") };
                writeln!(told, "    {place}, column {column}: {words}").unwrap();
            }
        }
        insta::assert_snapshot!(format!("wrong-{}", mapping.name), told);
    }
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n"));
}

/// Whether the words name the key, what it holds, or the mapping.
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
fn a_key_with_a_slip_in_it_is_told_with_the_one_that_was_meant() {
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
fn a_key_that_stands_twice_is_refused() {
    for mapping in mappings() {
        for (key, value) in mapping.keys {
            let (text, line) = mapping.with(key, &format!("{key}: {value}\n{}{key}: {value}", mapping.indent));
            let problems = read(&text).unwrap_err();
            let (at, _, words) = &problems[0];
            assert!(*at == line + 1 && words.contains("is given twice"), "{key}: {words}");
        }
    }
}

#[test]
fn an_address_of_the_pages_is_refused_with_what_is_wrong() {
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
        let [(1, 23, told)] = problems.as_slice() else { panic!("{url}: {problems:?}") };
        assert!(told.starts_with("\"public_url\"") && told.contains(words), "{url}: {told}");
    }
}

/// A slip in the name of a secret, and what stands there is still in no report: neither as a value nor in a line that is no YAML.
#[test]
fn a_secret_behind_a_name_that_is_destroyed_is_not_shown() {
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
                let told = config.unwrap_err().to_string();
                assert!(!told.contains(CANARY), "{name}:\n{told}");
                tried += 1;
            }
        }
    }
    assert!(tried > 3000, "{tried}");
}

/// A letter left out, doubled, swapped with the next, or another.
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
