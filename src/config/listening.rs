//! The address on which the daemon listens, for a health check. The rest of the file may be invalid: an edit in progress must not
//! make the running daemon look ill.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::declaration::Declared as _;
use super::environment::Environment;
use super::fields::Fields;
use super::file;
use super::keys::ServerKeys;
use super::report::Report;
use super::tree::Place;

/// The value of `server.listen` in the file at `path` if it can be read, else its default.
pub(super) fn listen(path: &Path, environment: &dyn Environment) -> SocketAddr {
    // Its problems are not shown: `validate` reports them.
    let mut report = Report::new(environment);
    let text = file::text(path);
    let root = text.as_deref().and_then(|text| file::alone(&mut report, path, text, environment));
    if let Some(address) = text.as_deref().filter(|_| root.is_none()).and_then(in_broken_yaml) {
        return address;
    }
    let server = root.as_ref().and_then(|root| root.entry("server"));
    let nowhere = Place::file(report.add(path.to_owned(), ""));
    let fields = server
        .map_or(Fields::empty(nowhere, ServerKeys::SECTIONS), |server| Fields::of(&server.value, ServerKeys::SECTIONS));
    fields.read::<ServerKeys>(&mut report).listen.value
}

#[expect(clippy::expect_used, reason = "the expression is a constant, and a test compiles it")]
static LISTEN: LazyLock<Regex> = LazyLock::new(|| {
    // From the line of `server:` over lines that do not begin with a letter or digit.
    Regex::new(r#"(?m)^server:(?:.|\n+[^\w\n])*?\blisten:\s*["']?([^\s"',}]+)"#).expect("valid")
});

/// The first `listen:` in the section `server` of a text that is not valid YAML.
fn in_broken_yaml(text: &str) -> Option<SocketAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    LISTEN.captures(&lines.collect::<Vec<_>>().join("\n"))?.get(1)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("driftwise.yaml");
        std::fs::write(&path, text).unwrap();
        listen(&path, &|name: &str| (name == "PORT").then(|| "9999".to_owned())).to_string()
    }

    #[test]
    fn the_address_is_read_from_a_file_with_other_problems() {
        for (text, address) in [
            ("server: { listen: 127.0.0.1:1 }", "127.0.0.1:1"),
            ("server:\n  listen: \"127.0.0.1:${PORT}\"\nsources: { a: { password: { env: GONE } } }", "127.0.0.1:9999"),
            ("sources: { a: \"${GONE}\" }\nserver: { listen: \"[::]:7\", polcy: x }\nnonsense: 1", "[::]:7"),
            ("sources: {}", "127.0.0.1:9464"),
            ("server: { listen: nowhere }", "127.0.0.1:9464"),
            ("", "127.0.0.1:9464"),
            // Not valid YAML.
            ("sources: { a: [\nserver:\n  metrics_listen: 0.0.0.0:2\n  listen: 127.0.0.1:3 # here\n", "127.0.0.1:3"),
            ("sources: { a: [\nserver: { metrics_listen: 0.0.0.0:2, public_url: x }\n", "127.0.0.1:9464"),
            ("sources: { a: [\nserver: { listen: '127.0.0.1:4', metrics_listen: 0.0.0.0:2 }\n", "127.0.0.1:4"),
            ("sources: { a: [\nserver: { metrics_listen: 127.0.0.1:9999, listen: 127.0.0.1:7777 }\n", "127.0.0.1:7777"),
            ("server:\n  # listen: 127.0.0.1:5\nother:\n  listen: 127.0.0.1:6\n  - [\n", "127.0.0.1:9464"),
        ] {
            assert_eq!(reads(text), address, "{text}");
        }
        assert_eq!(listen(Path::new("/nowhere/driftwise.yaml"), &|_: &str| None).to_string(), "127.0.0.1:9464");
    }
}
