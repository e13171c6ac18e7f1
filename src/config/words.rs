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

use super::declaration::{Shape, shape};
use super::report::{Report, nearest};
use super::shapes::{FilePath, Text, any_text, described, text_like};
use super::tree::Node;
use super::url::{self, WebAddress};

/// A value that a text is parsed into.
pub(super) trait Word: Sized {
    const MAY_HOLD_A_SIGN_IN: bool = false;

    /// The error goes on after the name of the key.
    fn parse(text: &str) -> Result<Self, String>;

    /// What to do where the text cannot be parsed.
    fn help(text: &str) -> Option<String>;

    fn schema() -> Json;
}

/// A text that is parsed into a `W`.
pub(super) struct Parsed<W>(PhantomData<W>);

impl<W: Word> Shape for Parsed<W> {
    type Value = W;

    const MAY_HOLD_A_SIGN_IN: bool = W::MAY_HOLD_A_SIGN_IN;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<W> {
        let text = Text::read(report, node, key)?;
        match W::parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = format!("{}{reason}", quote(key));
                // The same mistake in a default of 10,000 sessions needs one search for what was meant.
                if !report.has_said(node.place, &message) {
                    report.say(node.place, message, W::help(&text));
                }
                None
            }
        }
    }

    fn schema() -> Json {
        W::schema()
    }
}

/// `Type, schema, parse;`, and `help` where there is any.
macro_rules! words {
    ($($name:ty, $schema:expr, |$text:ident| $parse:expr $(, help |$of:pat_param| $help:expr)? $(, const $constant:ident)?;)+) => {$(
        impl Word for $name {
            $(const $constant: bool = true;)?

            fn parse($text: &str) -> Result<Self, String> {
                $parse
            }

            fn help(_text: &str) -> Option<String> {
                words!(@help _text $(, |$of| $help)?)
            }

            fn schema() -> Json {
                $schema
            }
        }
    )+};
    (@help $text:ident) => { None };
    (@help $text:ident, |$of:pat_param| $help:expr) => {{ let $of = $text; Some($help.into()) }};
}

words! {
    Address, text_like("mail address", "@"),
        |text| Self::parse(text).map_err(|error| format!(": {error}"));
    Mailbox, text_like("mail address, with or without a name", "@"),
        |text| Self::parse(text).map_err(|error| format!(": {error}")),
        help |_| "write address@company.example or Name <address@company.example>";
    Name, text_of("name", r"^[A-Za-z0-9._-]{1,64}$|\$\{"),
        |text| Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)));
    SessionId, any_text("session ID"),
        |text| Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)));
    SettingPattern, any_text("setting, or a pattern with *"),
        |text| {
            let visible = !text.chars().any(is_invisible);
            visible.then(|| Self::parse(text)).ok_or_else(|| " holds characters that cannot be seen".to_owned())
        };
    Regex, any_text("regular expression"),
        |text| Self::new(text).map_err(|error| {
            // The last line says what is wrong; those before it draw the expression.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!(" is not a regular expression: {reason}")
        }),
        help |text| format!("it reads {}", quote(text));
    Tz, any_text("time zone"),
        |text| text.trim().parse().map_err(|_| format!(": there is no time zone {}", quote(text.trim()))),
        help |text| zone_help(text.trim());
    SocketAddr, text_like("IP address and port", r"^\s*(localhost|[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+\s*$"),
        |text| {
            let port = text.trim().strip_prefix("localhost:");
            let address = port.map_or_else(|| text.trim().to_owned(), |port| format!("127.0.0.1:{port}"));
            address.parse().map_err(|_| format!(" must be an IP address and a port, not {}", quote(text.trim())))
        },
        help |_| "for example 127.0.0.1:9464, 0.0.0.0:9464 or \"[::]:9464\"";
    WebAddress, text_like("http or https URL", r"^\s*[Hh][Tt][Tt][Pp][Ss]?://"),
        |text| Self::parse(text).map_err(|reason| format!(" {reason}")),
        help |_| "it is written like https://erp.acme.example/OWAPI", const MAY_HOLD_A_SIGN_IN;
    Host, text_like("host name or IP address", r"^\s*([A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?)\s*$"),
        |text| {
            let host = text.trim();
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let flag = matches!(host, "true" | "false");
            if !flag && url::is_host(host) || address.parse::<Ipv6Addr>().is_ok() {
                return Ok(Self(address.to_owned()));
            }
            Err(format!(" must be the name or address of a mail server, not {}", super::mask::user_info(&quote(text))))
        },
        help |_| "without a scheme and without a port: the port has a key of its own";
}

/// The name or the address of a server, without the brackets of IPv6.
#[derive(Debug, Clone)]
pub(super) struct Host(pub String);

/// As [`any_text`], with a pattern that numbers need not match.
fn text_of(title: &str, pattern: &str) -> Json {
    let mut schema = any_text(title);
    schema["pattern"] = pattern.into();
    schema
}

fn zone_help(text: &str) -> String {
    /// What people call the time where they live; a place says it, and follows the clock changes.
    const CALLED: [(&[&str], &str); 10] = [
        (&["BST", "UK"], "Europe/London"),
        (&["IST"], "Europe/Dublin"),
        (&["CEST"], "Europe/Paris"),
        (&["EEST"], "Europe/Athens"),
        (&["EDT"], "America/New_York"),
        (&["CST", "CDT"], "America/Chicago"),
        (&["MDT"], "America/Denver"),
        (&["PST", "PDT"], "America/Los_Angeles"),
        (&["AEST", "AEDT"], "Australia/Sydney"),
        (&["NZDT"], "Pacific/Auckland"),
    ];
    let same = |name: &&str| name.eq_ignore_ascii_case(text);
    let called = CALLED.iter().find(|(names, _)| names.iter().any(same)).map(|(_, zone)| *zone);
    let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = || known().find(|name| name.rsplit('/').next().as_ref().is_some_and(same));
    let near = called.or_else(city).or_else(|| nearest(text, known()));
    let meant = near.map_or_else(|| "zones".to_owned(), |near| format!("did you mean {near:?}? Zones"));
    format!("{meant} have IANA names, such as Europe/London or UTC")
}

/// A file with certificates, read now to check it: a wrong path is a problem of the configuration, not of the first audit.
pub(super) struct Certificates;

shape!(Certificates, PathBuf, any_text("path of a PEM file"), |report, node, key| {
    let path = FilePath::read(report, node, key)?;
    report.inputs.file(&path);
    match certificates(&path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Some(path),
        Ok(_) => {
            let message = format!("{key:?}: {} holds no certificate in PEM form", path.display());
            report.refuse_with(node, message, "such a file has a line -----BEGIN CERTIFICATE-----")
        }
        Err(error) => report.refuse(node, format!("{key:?}: {} cannot be read: {error}", path.display())),
    }
});

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

shape!(StoreUrl, PathBuf, text_like("`sqlite://PATH`", "^sqlite://[^?#]+$"), |report, node, key| {
    let url = Text::read(report, node, key)?;
    let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty() && !path.contains(['?', '#']));
    if let Some(path) = path {
        return Some(report.folder(node.place.file).join(path));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        // Not quoted: such a URL holds a password.
        report.hide(node);
        return report.refuse_with(node, "a postgres store is not available yet", "available: sqlite://PATH");
    }
    let message = format!("{key:?} of the store must be sqlite://PATH, not {}", described(node));
    report.refuse_with(node, message, "for example sqlite://driftwise.db or sqlite:///var/lib/driftwise.db")
});
