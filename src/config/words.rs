//! The shapes of values that are one word of a grammar of their own: addresses, names, time zones, regular expressions.

use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use chrono_tz::{TZ_VARIANTS, Tz};
use regex::Regex;
use serde_json::Value as Json;

use crate::domain::address::{Address, Mailbox};
use crate::domain::name::Name;
use crate::domain::reading::{is_invisible, quote};
use crate::domain::session::SessionId;
use crate::domain::setting::SettingPattern;

use super::declaration::Shape;
use super::report::{Report, nearest};
use super::shapes::{FilePath, Text, described, text_like};
use super::tree::Node;
use super::url::{self, WebAddress};

/// A value that a text is parsed into.
pub(super) trait Word: Sized {
    /// For the reference, as in "mail address".
    const WHAT: &'static str;

    /// The error goes on after the name of the key.
    fn parse(text: &str) -> Result<Self, String>;

    fn help(_text: &str) -> Option<String> {
        None
    }

    /// As of a [`Shape`].
    const MAY_HOLD_A_SIGN_IN: bool = false;

    fn schema() -> Json {
        Text::schema()
    }
}

/// A text that is parsed into a `W`.
pub(super) struct Parsed<W>(PhantomData<W>);

impl<W: Word> Shape for Parsed<W> {
    type Value = W;

    const MAY_HOLD_A_SIGN_IN: bool = W::MAY_HOLD_A_SIGN_IN;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<W> {
        let text = Text::read(report, node, key)?;
        let reason = match W::parse(&text) {
            Ok(value) => return Some(value),
            Err(reason) => reason,
        };
        let message = format!("{}{reason}", quote(key));
        // The same mistake in a default of 10,000 sessions needs one search for what was meant.
        if !report.has_said(node.place, &message) {
            match W::help(&text) {
                Some(help) => report.problem_with(node.place, message, help),
                None => report.problem(node.place, message),
            }
        }
        None
    }

    fn schema() -> Json {
        W::schema()
    }

    fn words() -> String {
        W::WHAT.to_owned()
    }
}

impl Word for Address {
    const WHAT: &'static str = "mail address";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!(": {error}"))
    }

    fn schema() -> Json {
        text_like("@")
    }
}

impl Word for Mailbox {
    const WHAT: &'static str = "mail address, with or without a name";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!(": {error}"))
    }

    fn help(_: &str) -> Option<String> {
        Some("write address@company.example or Name <address@company.example>".to_owned())
    }

    fn schema() -> Json {
        text_like("@")
    }
}

impl Word for Name {
    const WHAT: &'static str = "name";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)))
    }

    fn schema() -> Json {
        let mut schema = Text::schema();
        schema["pattern"] = r"^[A-Za-z0-9._-]{1,64}$|\$\{".into();
        schema
    }
}

impl Word for SessionId {
    const WHAT: &'static str = "session ID";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)))
    }
}

impl Word for SettingPattern {
    const WHAT: &'static str = "setting, or a pattern with *";

    fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(is_invisible) {
            return Err(" holds characters that cannot be seen".to_owned());
        }
        Ok(Self::parse(text))
    }
}

impl Word for Regex {
    const WHAT: &'static str = "regular expression";

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| {
            // The last line says what is wrong; those before it draw the expression.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!(" is not a regular expression: {reason}")
        })
    }

    fn help(text: &str) -> Option<String> {
        Some(format!("it reads {}", quote(text)))
    }
}

impl Word for Tz {
    const WHAT: &'static str = "time zone";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!(": there is no time zone {}", quote(text.trim())))
    }

    fn help(text: &str) -> Option<String> {
        /// What people call the time where they live; a place says it, and follows the clock changes.
        const CALLED: [(&str, &str); 14] = [
            ("BST", "Europe/London"),
            ("UK", "Europe/London"),
            ("IST", "Europe/Dublin"),
            ("CEST", "Europe/Paris"),
            ("EEST", "Europe/Athens"),
            ("EDT", "America/New_York"),
            ("CST", "America/Chicago"),
            ("CDT", "America/Chicago"),
            ("MDT", "America/Denver"),
            ("PST", "America/Los_Angeles"),
            ("PDT", "America/Los_Angeles"),
            ("AEST", "Australia/Sydney"),
            ("AEDT", "Australia/Sydney"),
            ("NZDT", "Pacific/Auckland"),
        ];
        let text = text.trim();
        let called = CALLED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, zone)| *zone);
        let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
        let city = || known().find(|name| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text)));
        let near = called.or_else(city).or_else(|| nearest(text, known()));
        let meant = near.map_or_else(|| "zones".to_owned(), |near| format!("did you mean {near:?}? Zones"));
        Some(format!("{meant} have IANA names, such as Europe/London or UTC"))
    }
}

impl Word for SocketAddr {
    const WHAT: &'static str = "IP address and port";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let address =
            text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        address.parse().map_err(|_| format!(" must be an IP address and a port, not {}", quote(text)))
    }

    fn help(_: &str) -> Option<String> {
        Some("for example 127.0.0.1:9464, 0.0.0.0:9464 or \"[::]:9464\"".to_owned())
    }

    fn schema() -> Json {
        text_like(r"^\s*(localhost|[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+\s*$")
    }
}

impl Word for WebAddress {
    const WHAT: &'static str = "http or https URL";
    const MAY_HOLD_A_SIGN_IN: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|reason| format!(" {reason}"))
    }

    fn help(_: &str) -> Option<String> {
        Some("it is written like https://erp.acme.example/OWAPI".to_owned())
    }

    fn schema() -> Json {
        text_like(r"^\s*[Hh][Tt][Tt][Pp][Ss]?://")
    }
}

/// The name or the address of a server, without the brackets of IPv6.
#[derive(Debug, Clone)]
pub(super) struct Host(pub String);

impl Word for Host {
    const WHAT: &'static str = "host name or IP address";

    fn parse(text: &str) -> Result<Self, String> {
        let host = text.trim();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let flag = matches!(host, "true" | "false");
        if !flag && url::is_host(host) || address.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self(address.to_owned()));
        }
        Err(format!(" must be the name or address of a mail server, not {}", super::mask::user_info(&quote(text))))
    }

    fn help(_: &str) -> Option<String> {
        Some("without a scheme and without a port: the port has a key of its own".to_owned())
    }

    fn schema() -> Json {
        text_like(r"^\s*([A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?)\s*$")
    }
}

/// A file with certificates; looked at now, so that a wrong path shows here and not in the first audit.
pub(super) struct Certificates;

impl Shape for Certificates {
    type Value = PathBuf;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<PathBuf> {
        let path = FilePath::read(report, node, key)?;
        match certificates(&path) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Some(path),
            Ok(_) => {
                let message = format!("{key:?}: {} holds no certificate in PEM form", path.display());
                report.problem_with(node.place, message, "such a file has a line -----BEGIN CERTIFICATE-----");
            }
            Err(error) => report.problem(node.place, format!("{key:?}: {} cannot be read: {error}", path.display())),
        }
        None
    }

    fn schema() -> Json {
        Text::schema()
    }

    fn words() -> String {
        "path of a PEM file".to_owned()
    }
}

/// Not the whole file: a path that was mistyped may be a device without end.
fn certificates(path: &Path) -> io::Result<String> {
    /// All authorities of a system together take a fourth of it.
    const LARGEST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    // Asked before opening: to open a pipe waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The URL of the store, as the path that it names.
pub(super) struct StoreUrl;

impl Shape for StoreUrl {
    type Value = PathBuf;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<PathBuf> {
        let url = Text::read(report, node, key)?;
        if let Some(path) = url.strip_prefix("sqlite://").filter(|path| !path.is_empty() && !path.contains(['?', '#']))
        {
            return Some(report.folder(node.place.file).join(path));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // Not quoted: such a URL holds a password.
            report.hide(node);
            report.problem_with(node.place, "a postgres store is not available yet", "available: sqlite://PATH");
        } else {
            let message = format!("{key:?} of the store must be sqlite://PATH, not {}", described(node));
            let help = "for example sqlite://driftwise.db or sqlite:///var/lib/driftwise.db";
            report.problem_with(node.place, message, help);
        }
        None
    }

    fn schema() -> Json {
        text_like("^sqlite://[^?#]+$")
    }

    fn words() -> String {
        "`sqlite://PATH`".to_owned()
    }
}
