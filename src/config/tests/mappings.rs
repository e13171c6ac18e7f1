//! Every mapping of the configuration with a valid value for each key, and wrong values to replace them.

use std::fmt::Write as _;
use std::path::Path;

use super::super::Config;
use super::{CANARY, environment, now};

/// One valid mapping, with a line for each key.
pub(super) struct Mapping {
    pub name: &'static str,
    /// The name of the mapping in messages.
    pub of: &'static str,
    pub before: &'static str,
    pub indent: &'static str,
    pub keys: &'static [(&'static str, &'static str)],
    pub after: &'static str,
}

/// A valid source and a valid session, in one line each.
pub(super) const GRID: &str = "sources: { grid: { type: file, path: a.csv } }\n";
pub(super) const AUDITED: &str = "sessions: [{ source: grid, id: 1, owners: [a@b.example] }]\n";

const MAPPINGS: [Mapping; 24] = [
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
        name: "email-graph",
        of: "\"email\"",
        before: "email:\n  from: a@b.example\n",
        indent: "  ",
        keys: &[("graph", "{ tenant: b.example, client_id: c, client_secret: s, user: a@b.example }")],
        after: AUDITED,
    },
    Mapping {
        name: "graph-assertion",
        of: "\"graph\"",
        before: "email:\n  from: a@b.example\n  graph:\n    tenant: b.example\n    client_id: c\n    user: a@b.example\n",
        indent: "    ",
        keys: &[("client_assertion_file", "tests/fixtures/contract/acme-ca.pem")],
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
        name: "smtp-oauth2",
        of: "\"smtp\"",
        before: "email:\n  from: a@b.example\n  smtp:\n    host: mail.example\n    username: u\n",
        indent: "    ",
        keys: &[("oauth2", "{ token_url: \"https://h/token\", client_id: c, client_secret: s }")],
        after: AUDITED,
    },
    Mapping {
        name: "oauth2",
        of: "\"oauth2\"",
        before: "email:\n  from: a@b.example\n  smtp:\n    host: mail.example\n    username: u\n    oauth2:\n",
        indent: "      ",
        keys: &[
            ("token_url", "https://h/token"),
            ("client_id", "c"),
            ("client_secret", "{ env: SMTP_PASSWORD }"),
            ("client_secret_expires", "2027-01-31"),
            ("scope", "https://outlook.office365.com/.default"),
            ("proxy", "http://proxy.acme.example:3128"),
            ("allow_insecure", "false"),
        ],
        after: AUDITED,
    },
    Mapping {
        name: "oauth2-assertion",
        of: "\"oauth2\"",
        before: "email:\n  from: a@b.example\n  smtp:\n    host: mail.example\n    username: u\n    oauth2:\n      \
                 token_url: https://h/token\n      client_id: c\n",
        indent: "      ",
        keys: &[("client_assertion_file", "tests/fixtures/contract/acme-ca.pem")],
        after: AUDITED,
    },
    Mapping {
        name: "oauth2-google",
        of: "\"oauth2\"",
        before: "email:\n  from: a@b.example\n  smtp:\n    host: mail.example\n    oauth2:\n",
        indent: "      ",
        keys: &[("google", "{ service_account: { env: SMTP_PASSWORD }, subject: a@b.example }")],
        after: AUDITED,
    },
    Mapping {
        name: "google",
        of: "\"google\"",
        before: "email:\n  from: a@b.example\n  smtp:\n    host: mail.example\n    oauth2:\n      google:\n",
        indent: "        ",
        keys: &[("service_account", "{ env: SMTP_PASSWORD }"), ("subject", "a@b.example")],
        after: AUDITED,
    },
    Mapping {
        name: "graph",
        of: "\"graph\"",
        before: "email:\n  from: a@b.example\n  graph:\n",
        indent: "    ",
        keys: &[
            ("tenant", "b.example"),
            ("client_id", "c"),
            ("client_secret", "{ env: SMTP_PASSWORD }"),
            ("client_secret_expires", "2027-01-31"),
            ("user", "a@b.example"),
            ("base_url", "https://graph.microsoft.com/v1.0"),
            ("token_url", "https://h/token"),
            ("ca_file", "tests/fixtures/contract/acme-ca.pem"),
            ("proxy", "http://proxy.acme.example:3128"),
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

/// Wrong for most keys.
pub(super) const VALUES: [&str; 14] = [
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

pub(super) fn mappings() -> impl Iterator<Item = &'static Mapping> {
    MAPPINGS.iter().chain(std::iter::once(&SERVER))
}

impl Mapping {
    /// The configuration with `written` in place of the line of the key, and the number of that line.
    pub fn with(&self, key: &str, written: &str) -> (String, usize) {
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

/// Every value of every key, wrong and valid, each in its own configuration.
pub(super) fn each_wrong_value() -> impl Iterator<Item = String> {
    mappings().flat_map(|mapping| {
        let keys = mapping
            .keys
            .iter()
            .flat_map(|(key, value)| VALUES.into_iter().chain([*value]).map(move |value| (*key, value)));
        keys.map(|(key, value)| mapping.with(key, &format!("{key}: {value}")).0)
    })
}

/// Relative paths start at the package, which holds the certificate.
pub(super) fn read(text: &str) -> Result<Config, Vec<(usize, usize, String)>> {
    let config = Config::read(Path::new("driftwise.yaml"), text.as_bytes(), &environment, now());
    config.map_err(|problems| {
        assert!(!problems.to_string().contains(CANARY), "{problems}");
        let read = problems.iter().map(|problem| {
            let at = problem.at.as_ref().unwrap_or_else(|| panic!("this problem has no place: {problem}"));
            let help = problem.help.as_ref().map(|help| format!(" [{help}]")).unwrap_or_default();
            (at.line, at.column, format!("{}{help}", problem.message))
        });
        read.collect()
    })
}
