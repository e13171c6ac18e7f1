//! Where the daemon listens, for whoever only wants to ask it: a health check must not call a daemon ill because somebody is
//! in the middle of an edit. So nothing else of the file has to be right, nor any of its secrets there.

use std::net::SocketAddr;
use std::path::Path;

use super::declaration::Declared as _;
use super::environment::Environment;
use super::fields::{Fields, absent};
use super::file;
use super::keys::ServerKeys;
use super::report::Report;
use super::tree::{Node, Place};

/// What `server.listen` says in the file at `path`, as far as it can be made out, else what holds without it.
pub(super) fn listen(path: &Path, environment: &dyn Environment) -> SocketAddr {
    // What is wrong is for `validate` to say.
    let mut report = Report::new(environment);
    let text = file::text(path);
    let root = text.as_deref().and_then(|text| file::alone(&mut report, path, text, environment));
    let server = root.as_ref().and_then(server).and_then(|node| Fields::new(&mut report, node, ServerKeys::SECTIONS));
    let glimpsed = || text.as_deref().filter(|_| root.is_none()).and_then(glimpsed);
    let written = server.map(|fields| fields.read::<ServerKeys>(&mut report).listen.value).or_else(glimpsed);
    written.unwrap_or_else(|| {
        let nowhere = Place { file: report.add(path.to_owned(), ""), line: 0, column: 0 };
        absent::<ServerKeys>(&mut report, nowhere).listen.value
    })
}

fn server(root: &Node) -> Option<&Node> {
    root.entry("server").map(|entry| &entry.value)
}

/// The first address after `listen:` in the section `server`, in a text that is not YAML at the moment.
fn glimpsed(text: &str) -> Option<SocketAddr> {
    const KEY: &str = "listen:";
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default());
    let mut section = lines.skip_while(|line| !line.starts_with("server:"));
    let first = section.next()?;
    let rest = section.take_while(|line| !line.starts_with(|c: char| c.is_alphanumeric()));
    std::iter::once(first).chain(rest).find_map(|line| {
        // Other keys end in the same word.
        let own_word = |at: &usize| *at == 0 || line[..*at].ends_with([' ', '{', ',', ':']);
        let at = line.match_indices(KEY).map(|(at, _)| at).find(own_word)?;
        let after = line[at + KEY.len()..].trim_start();
        after.split([' ', ',', '}']).next()?.trim_matches(['"', '\'']).parse().ok()
    })
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
    fn the_address_is_read_whatever_else_is_wrong() {
        for (text, address) in [
            ("server: { listen: 127.0.0.1:1 }", "127.0.0.1:1"),
            ("server:\n  listen: \"127.0.0.1:${PORT}\"\nsources: { a: { password: { env: GONE } } }", "127.0.0.1:9999"),
            ("sources: { a: \"${GONE}\" }\nserver: { listen: \"[::]:7\", polcy: x }\nnonsense: 1", "[::]:7"),
            ("sources: {}", "127.0.0.1:9464"),
            ("server: { listen: nowhere }", "127.0.0.1:9464"),
            ("", "127.0.0.1:9464"),
            // Not YAML at the moment.
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
