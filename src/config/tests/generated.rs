//! Files generated from the declarations: the schema, which must reach the same verdict as the reader, and the reference.
//! `UPDATE_DOCS=1 cargo test --lib config` rewrites both.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;

use super::super::declaration::{Key, Section, Status};
use super::super::report::Report;
use super::super::schema::{description, schema_text};
use super::super::tree::{Node, Place};
use super::super::{Config, keys, yaml};
use super::mappings::each_wrong_value;
use super::{environment, fixtures, now};

/// Compares a generated file with the one that is checked in.
fn hold(path: &str, generated: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == generated, "{path} differs from the declarations: run UPDATE_DOCS=1 cargo test --lib config");
}

#[test]
fn the_schema_is_checked_in() {
    hold("config/driftwise.schema.json", &schema_text());
}

#[test]
fn the_reference_is_checked_in() {
    hold("docs/configuration.md", &reference());
}

fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Every key, generated from the declarations in `src/config/keys.rs`. `config/driftwise.example.yaml` shows them together, and\n\
         `driftwise schema` prints a JSON Schema for editors. The file is YAML 1.2, and strict: an unknown key is an error.\n\n\
         - **Variables.** `${NAME}` and `${NAME:-default}` in any text come from the environment; `$$` is a dollar.\n\
         - **Durations** are a whole number of `s`, `m`, `h` or `d`: `90s`, `5m`, `24h`, `30d`. **Sizes** have `B`, `KiB`, `MiB` or `GiB`.\n\
         - **Names** of sources, policies, customers and rules have 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.\n\
         - **A secret** is the text itself, `{ env: NAME }` or `{ file: PATH }`.\n\
         - **A path** is relative to the file that names it.\n\
         - **Inheritance.** A session takes what it lacks from `defaults.session`, a source from `defaults.source`. A customer takes it\n  \
         from `defaults.customer` and then from `alerts`, and may have each key of `alerts` for its own sources.\n",
    );
    for section in keys::sections() {
        writeln!(text, "\n## {}\n", title(section)).unwrap();
        writeln!(text, "{}\n", description(section.about)).unwrap();
        text.push_str("| Key | Value | Default | Meaning | Example |\n|---|---|---|---|---|\n");
        section.known().for_each(|key| text.push_str(&row(key)));
        let later = section.keys.iter().filter(|key| key.status == Status::Later);
        let later =
            later.map(|key| format!("`{}` ({})", key.name, without_stop(&description(key.about)))).collect::<Vec<_>>();
        if !later.is_empty() {
            writeln!(text, "\nNot available yet: {}.", later.join("; ")).unwrap();
        }
    }
    text
}

fn title(section: &Section) -> String {
    let title = section.of.replace('"', "`");
    let title = title.trim_start_matches("a ");
    format!("{}{}", title[..1].to_uppercase(), &title[1..])
}

/// The heading of a section, as GitHub links to it.
fn link(section: &Section) -> String {
    let title = title(section);
    format!("[{title}](#{})", title.to_lowercase().replace('`', "").replace(' ', "-"))
}

fn row(key: &Key) -> String {
    let raw = |text: &str| text.replace('|', "\\|");
    let default = match (key.default, key.status) {
        (Some(default), _) => format!("`{default}`"),
        (None, Status::Required) => "required".to_owned(),
        (None, _) => String::new(),
    };
    let links = (key.sections)().iter().map(|section| link(section)).collect::<Vec<_>>().join(", ");
    let schema = (key.schema)();
    let words = schema["title"].as_str().unwrap_or_default();
    let words = if links.is_empty() { words.to_owned() } else { format!("{words}: {links}") };
    let about = description(key.about);
    format!("| `{}` | {} | {} | {} | `{}` |\n", key.name, raw(&words), raw(&default), raw(&about), raw(key.example))
}

/// A description inside a sentence; an abbreviation keeps its capitals.
fn without_stop(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let word = text.chars().nth(1).is_some_and(char::is_lowercase);
    if word { format!("{}{}", text[..1].to_lowercase(), &text[1..]) } else { text.to_owned() }
}

/// Words of the problems that a schema cannot express: references, repeated names, combinations of keys or files, contents of
/// files, environment variables, and the grammars of single values.
const SEMANTIC: [&str; 64] = [
    // YAML and files.
    "is given twice",
    "is defined twice",
    "there is no file",
    "has an invalid pattern",
    "only allowed in the main file",
    "an included file has no key",
    "this is a folder",
    "nothing is configured",
    "nothing is audited",
    "nothing can be audited",
    "must be a mapping or a list of mappings",
    "is not the name of an environment variable",
    "has no closing",
    "the environment variable",
    "the secret file",
    "cannot read ",
    "holds no certificate",
    // References.
    "\"renamed_from\" names",
    "there is no customer",
    "there is no source",
    "there is no policy",
    "there is no rule",
    "is the name of the built-in baseline",
    "extend each other in a circle",
    // Keys that `defaults` may supply, and combinations of keys.
    "a source needs the key",
    "a source of type orderwise needs",
    "a source of type file needs",
    "a session needs the key",
    "cannot be combined with username or password",
    "is given without",
    "; remove one",
    "\"oauth2\" needs the key",
    "needs a credential",
    "\"email\" needs a way to send",
    "is not encrypted",
    "would send mails, and the password",
    "as \"listen\" is",
    "no one would be notified",
    "needs the param",
    "the param ",
    "is already the setting",
    "is the one that holds the session ID",
    "has no rules, so it would find nothing",
    "\"rules\" is empty",
    "leaves no rule at all",
    "is both given and left out",
    "only allowed together with",
    "\"all_ticked\" is for a group",
    // Grammars.
    "which export is",
    "which schedule is",
    "is not a mail address",
    "is invalid: ",
    "there is no time zone",
    "is not a regular expression",
    "\"id\" cannot be ",
    "holds invisible characters",
    "no valid host name or port",
    "must not ",
    "must be a host name or IP address",
    "must be an IP address and port",
    "must end in .csv or .json",
    ".xlsx is not available yet",
    "is not base64",
    "is longer than the ten years allowed",
];

/// A text as JSON for the schema; `None`: it is not valid YAML.
fn as_json(text: &str) -> Option<Json> {
    let mut report = Report::new(&environment);
    let file = report.add("x.yaml".into(), text);
    yaml::parse(&mut report, file, text, &environment).map(|node| node.to_json())
}

#[test]
fn schema_and_reader_agree() {
    let schema = serde_json::from_str(&schema_text()).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let written = |path: &Path| (path.to_owned(), std::fs::read(path).unwrap());
    let mut cases = fixtures().iter().map(|path| written(path)).collect::<Vec<_>>();
    let accepted =
        ["config/driftwise.example.yaml", "config/quickstart.yaml", "tests/fixtures/contract/driftwise.yaml"];
    cases.extend(accepted.map(|path| written(Path::new(path))));
    cases.extend(each_wrong_value().map(|text| ("driftwise.yaml".into(), text.into_bytes())));
    let (mut different, mut used, mut refused) = (Vec::new(), BTreeSet::new(), 0);
    for (path, text) in &cases {
        let read = Config::read(path, text, &environment, now());
        let Some(json) = std::str::from_utf8(text).ok().and_then(as_json) else {
            assert!(read.is_err(), "{}", path.display());
            continue;
        };
        let of_schema = schema.iter_errors(&json).map(|e| format!("{}: {e}", e.instance_path())).collect::<Vec<_>>();
        refused += usize::from(!of_schema.is_empty());
        let problems = read.err().map(|problems| problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>());
        let problems = problems.unwrap_or_default();
        let semantic = |message: &&String| SEMANTIC.iter().position(|words| message.contains(words));
        used.extend(problems.iter().filter_map(|message| semantic(&message)));
        let structural = problems.iter().filter(|message| semantic(message).is_none()).collect::<Vec<_>>();
        if structural.is_empty() != of_schema.is_empty() && (problems.is_empty() || !structural.is_empty()) {
            let text = String::from_utf8_lossy(text);
            different.push(format!("{}:\n{text}reader: {problems:#?}\nschema: {of_schema:#?}", path.display()));
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), cases.len(), different.join("\n\n"));
    assert!(refused > 400, "{refused}");
    let idle = SEMANTIC.iter().enumerate().filter(|(at, _)| !used.contains(at)).map(|(_, words)| words);
    assert_eq!(idle.collect::<Vec<_>>(), Vec::<&&str>::new(), "no case shows these");
}

#[test]
fn every_default_and_example_fits_its_schema() {
    let schema = |key: &Key| jsonschema::draft202012::new(&(key.schema)()).unwrap();
    for key in keys::all().filter(|key| key.status != Status::Later) {
        assert!(schema(key).is_valid(&as_json(key.example).unwrap()), "{}: {}", key.name, key.example);
    }
    let schema: Json = serde_json::from_str(&schema_text()).unwrap();
    let alerts = &schema["properties"]["alerts"]["properties"];
    assert_eq!(
        (&alerts["confirm_polls"]["default"], &alerts["min_severity"]["default"]),
        (&1.into(), &"warning".into())
    );
    for key in keys::all().filter(|key| key.default.is_some()) {
        let default = Node::plain(key.default.unwrap(), Place { file: 0, line: 0, column: 0 }).to_json();
        assert!(jsonschema::draft202012::new(&(key.schema)()).unwrap().is_valid(&default), "{}: {default}", key.name);
    }
    // Reads every default of a section that may be absent.
    let minimal =
        "sources: { a: { type: file, path: a.csv } }\nsessions: [{ source: a, id: 1, owners: [a@b.example] }]\n";
    assert!(Config::read(Path::new("x.yaml"), minimal.as_bytes(), &environment, now()).is_ok());
}

#[test]
fn every_key_has_a_description_and_an_example() {
    let names = |section: &Section| section.keys.iter().map(|key| key.name).collect::<Vec<_>>();
    for section in keys::sections() {
        let unique = names(section).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(unique.len(), section.keys.len(), "{}", section.of);
        for key in section.keys {
            assert!(key.status == Status::Later || (key.schema)()["title"].is_string(), "{}", key.name);
            assert!(description(key.about).ends_with('.') && !key.example.is_empty(), "{}", key.name);
        }
    }
}

/// An editor sees `${NAME}` as text.
#[test]
fn a_variable_fits_the_schema_wherever_a_single_value_does() {
    let schema: Json = serde_json::from_str(&schema_text()).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let text = std::fs::read_to_string("tests/fixtures/config/unset.yaml").unwrap();
    // `$$` is a dollar, so that the tree holds the variable as an editor sees it.
    assert!(text.contains("${"), "{text}");
    let json = as_json(&text.replace("${", "$${")).unwrap();
    let errors = schema.iter_errors(&json).map(|e| e.to_string()).collect::<Vec<_>>();
    assert_eq!(errors, Vec::<String>::new());
}
