//! The house rules that a test can check: which modules a module may use, which modules may use an outside crate, and the form of
//! files.

#![expect(clippy::unwrap_used, reason = "a tree that cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/` with the modules that it may use.
const MODULES: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("secret", &[]),
    ("clock", &[]),
    ("release", &[]),
    ("spans", &[]),
    ("http", &["secret"]),
    ("source", &["domain", "secret", "http"]),
    ("notify", &["domain", "secret", "view", "http", "clock"]),
    ("view", &["domain"]),
    ("store", &["domain"]),
    (
        "metrics",
        &[
            "domain",
            "view",
            "telemetry",
            "release",
            "engine::published",
            "source::Failure",
            "notify::Obstacle",
            "store::Operation",
        ],
    ),
    ("engine", &["domain", "clock", "metrics", "store", "source", "notify", "spans"]),
    ("scheduler", &[]),
    ("web", &["domain", "clock", "view", "metrics", "engine::published"]),
    ("config", &["domain", "secret"]),
    ("telemetry", &["domain", "http", "spans"]),
    ("lifecycle", &[]),
    ("simulator", &[]),
    (
        "app",
        &[
            "domain",
            "clock",
            "secret",
            "http",
            "source",
            "notify",
            "store",
            "metrics",
            "engine",
            "scheduler",
            "web",
            "config",
            "lifecycle",
            "view",
            "spans",
        ],
    ),
    ("cli", &["app", "config", "telemetry", "lifecycle", "store", "domain", "view", "clock", "simulator", "release"]),
    ("main", &[]),
];

/// Adapters: the engine uses ports only.
const ADAPTERS: [&str; 7] = [
    "source::orderwise",
    "source::file",
    "source::http",
    "source::json",
    "source::cooldown",
    "notify::email",
    "notify::render",
];

/// Each outside crate with the modules that may use it.
const CRATES: [(&str, &[&str]); 32] = [
    (
        "tokio",
        &[
            "http",
            "source",
            "store",
            "notify",
            "engine",
            "scheduler",
            "web",
            "lifecycle",
            "simulator",
            "app",
            "cli",
            "telemetry",
        ],
    ),
    // `http` builds the one client; the others send requests with it.
    ("reqwest", &["http", "source", "notify", "telemetry"]),
    ("lettre", &["notify"]),
    ("hostname", &["notify"]),
    ("sd_notify", &["lifecycle"]),
    ("tokio_rustls", &["notify"]),
    ("x509_cert", &["http"]),
    ("rustls_platform_verifier", &["notify"]),
    ("sqlx", &["store"]),
    ("axum", &["web", "simulator", "app"]),
    ("hyper", &["web", "http"]),
    ("hyper_util", &["web"]),
    ("clap", &["cli", "telemetry"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("prometheus", &["metrics"]),
    ("tokio_cron_scheduler", &["scheduler"]),
    ("minijinja", &["notify", "web"]),
    ("saphyr_parser", &["config"]),
    ("url", &["config"]),
    ("csv", &["source"]),
    ("croner", &["domain"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("tracing", &["engine", "lifecycle", "scheduler", "notify", "app", "cli", "web", "telemetry", "spans"]),
    ("anyhow", &["app", "cli"]),
    ("rustls", &["http", "notify", "cli"]),
    ("secrecy", &["secret", "http", "source", "notify"]),
    ("nix", &["http", "source", "store", "lifecycle"]),
];

struct File {
    path: PathBuf,
    module: String,
    /// Compiled for tests only.
    test: bool,
    text: String,
}

/// Every Rust file under `src/`, with its module. Files for tests only are marked: they may use more.
fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut texts = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                texts.insert(path.strip_prefix(&src).unwrap().to_owned(), text);
            }
        }
    }
    assert!(texts.len() > 30, "the walk over src/ found only {} files", texts.len());
    let file = |(path, text): (&PathBuf, &String)| {
        let inside = path.with_extension("");
        let module = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        File { path: path.clone(), module, test: is_test(&inside, &texts), text: text.clone() }
    };
    texts.iter().map(file).collect()
}

/// Whether a module, or one that contains it, is compiled for tests only, as its parent declares it.
fn is_test(module: &Path, texts: &BTreeMap<PathBuf, String>) -> bool {
    let Some(parent) = module.parent().filter(|parent| *parent != Path::new("")) else { return false };
    let name = module.file_name().unwrap().to_string_lossy();
    let declares = |text: &String| {
        let lines = text.lines().collect::<Vec<_>>();
        let declared = |line: &str| line == format!("mod {name};") || line.ends_with(&format!(" mod {name};"));
        lines.windows(2).any(|pair| pair[0] == "#[cfg(test)]" && declared(pair[1]))
    };
    texts.get(&parent.with_extension("rs")).is_some_and(declares) || is_test(parent, texts)
}

/// The code of a file without comments and without its unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `crate::a::b` of a file, with one level of grouped imports expanded.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let path =
            |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect::<String>();
        let head = path(rest);
        match rest[head.len()..].strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default();
                let items = group.split(',').map(|item| format!("{head}{}", path(item.trim())));
                found.extend(items.filter(|item| !item.ends_with(':')));
            }
            None => found.push(head),
        }
    }
    found
}

#[test]
fn modules_use_only_the_modules_of_the_table() {
    let table: BTreeMap<&str, &[&str]> = MODULES.into_iter().collect();
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !file.test && file.module != "lib") {
        let Some(allowed) = table.get(file.module.as_str()) else {
            wrong.push(format!("{}: the module {} is not in the table", file.path.display(), file.module));
            continue;
        };
        for used in uses(&code(&file.text)) {
            let own = used == file.module || used.starts_with(&format!("{}::", file.module));
            let fits = |module: &str| used == module || used.starts_with(&format!("{module}::"));
            let adapter = ADAPTERS.iter().any(|adapter| fits(adapter)) && file.module != "app";
            if !own && (adapter || !allowed.iter().any(|module| fits(module))) {
                wrong.push(format!("{}: {} may not use crate::{used}", file.path.display(), file.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A table that permits more than the tree needs would let the next import pass unseen.
#[test]
fn every_entry_of_the_tables_exists_and_is_used() {
    let files = files();
    let exists =
        |path: &str| files.iter().any(|file| file.path.with_extension("") == Path::new(&path.replace("::", "/")));
    let code_of = |module: &str| {
        let of = files.iter().filter(|file| file.module == *module && !file.test);
        of.map(|file| code(&file.text)).collect::<Vec<_>>()
    };
    let mut idle = Vec::new();
    for (module, permitted) in MODULES {
        if !exists(module) {
            idle.push(format!("there is no module {module}"));
        }
        let used = code_of(module).iter().flat_map(|code| uses(code)).collect::<Vec<_>>();
        for other in permitted {
            if !used.iter().any(|used| used == other || used.starts_with(&format!("{other}::"))) {
                idle.push(format!("{module} does not use {other}"));
            }
        }
    }
    for adapter in ADAPTERS {
        if !exists(adapter) {
            idle.push(format!("there is no adapter {adapter}"));
        }
    }
    for (name, modules) in CRATES {
        for module in modules {
            if !code_of(module).iter().any(|code| names(code, name)) {
                idle.push(format!("{module} does not use the crate {name}"));
            }
        }
    }
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

/// Whether the code names an outside crate.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::"))
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn only_the_modules_of_the_table_use_an_outside_crate() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !file.test) {
        let code = code(&file.text);
        for (name, modules) in CRATES {
            if names(&code, name) && !modules.contains(&file.module.as_str()) {
                wrong.push(format!("{}: {name} belongs to {}", file.path.display(), modules.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_asks_no_clock_and_does_no_io() {
    let banned = ["Utc::now", "Instant::now", "SystemTime", "std::fs", "std::net", "std::env", "async fn", "println!"];
    for file in files().iter().filter(|file| file.module == "domain") {
        for word in banned {
            assert!(!code(&file.text).contains(word), "{}: {word}", file.path.display());
        }
    }
}

#[test]
fn files_begin_with_their_purpose_and_stay_small() {
    let mut wrong = Vec::new();
    for file in files() {
        let lines = file.text.lines().count();
        let longest = if file.path == Path::new("main.rs") { 40 } else { 400 };
        // Files for tests may be longer: a table of histories reads better whole.
        if lines > longest && !file.test {
            wrong.push(format!("{}: {lines} lines, more than {longest}", file.path.display()));
        }
        if !file.text.starts_with("//!") {
            wrong.push(format!("{}: does not say what it is for", file.path.display()));
        }
        let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
        if ["mod", "utils", "helpers", "manager", "data", "info"].contains(&&*name) {
            wrong.push(format!("{}: a name that says nothing", file.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_finds_every_form() {
    let code =
        "use crate::store::{Outgoing, Store};\nlet x = crate::source::Failure::Auth;\nuse crate::domain::{a, b::c};";
    let expected = ["store::Outgoing", "store::Store", "source::Failure::Auth", "domain::a", "domain::b::c"];
    assert_eq!(uses(code), expected);
}
