//! The shapes of single values with a grammar of their own: durations, sizes, addresses, names, time zones, URLs.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::{TZ_VARIANTS, Tz};
use regex::Regex;
use serde_json::{Value as Json, json};

use crate::domain::address::{Address, NamedAddress};
use crate::domain::name::Name;
use crate::domain::reading::{is_invisible, quote};
use crate::domain::session::SessionId;
use crate::domain::setting::SettingPattern;

use super::declaration::Shape;
use super::problem::Problem;
use super::report::{Report, nearest};
use super::shapes::{any_text, described, text_like};
use super::tree::Node;
use super::unit;
use super::url::{self, WebAddress};

/// Why a text is not such a value: words that go on after the name of the key. Empty: it is not written like one.
type Parsed<T> = Result<T, String>;

/// Declares shapes: `Type => Value, title with its article, schema, parse;`, and `help` for a text that cannot be parsed.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident => $value:ty, $title:literal, $schema:expr, |$text:ident| $parse:expr
       $(, help |$of:pat_param| $help:expr)? $(, const $constant:ident)?;)+) => {$(
        impl Shape for $name {
            type Value = $value;

            $(const $constant: bool = true;)?

            fn read(report: &mut Report, node: &Node, key: &str) -> Option<$value> {
                let parse: fn(&str) -> Parsed<$value> = |$text| $parse;
                read(report, node, key, $title, parse, |_text| words!(@help _text $(, |$of| $help)?))
            }

            fn schema() -> Json {
                let mut schema = $schema;
                schema["title"] = $title.split_once(' ').map_or($title, |(_, title)| title).into();
                schema
            }
        }
    )+};
    (@help $text:ident) => { None };
    (@help $text:ident, |$of:pat_param| $help:expr) => {{ let $of = $text; Some($help.into()) }};
}

fn read<T>(
    report: &mut Report,
    node: &Node,
    key: &str,
    title: &str,
    parse: fn(&str) -> Parsed<T>,
    help: fn(&str) -> Option<String>,
) -> Option<T> {
    let text = node.scalar().unwrap_or_default();
    let reason = match node.scalar().filter(|text| !text.trim().is_empty()).map(parse) {
        Some(Ok(value)) => return Some(value),
        Some(Err(reason)) if !reason.is_empty() => reason,
        _ => format!(" must be {title}, not {}", described(node)),
    };
    let message = format!("{}{reason}", quote(key));
    // The same mistake in a default of 10,000 sessions needs one search for the help.
    if !report.has_said(node.place, &message) {
        report.problem(node, Problem { at: None, message, help: help(text) });
    }
    None
}

/// A duration longer than 0.
pub(super) struct Span;

/// A duration, or `0`.
pub(super) struct SpanOrZero;

/// A size in bytes, larger than 0.
pub(super) struct Size;

/// A whole percentage from `1%` to `100%`.
pub(super) struct Percent;

/// A day of the calendar.
pub(super) struct Day;

/// The name or the address of a server, without the brackets of IPv6.
pub(super) struct Host;

/// The address of the OrderWise API.
pub(super) struct OrderWiseAddress;

words! {
    Span => Duration, "a duration", text_like(r"^0*[1-9][0-9]*\s*[smhd]$"),
        |text| unit::read_duration(text).and_then(not_zero(Duration::is_zero)),
        help |_| "such as 90s, 5m, 24h or 30d";
    SpanOrZero => Duration, "a duration, or 0", {
            let mut schema = text_like(r"^([0-9]+\s*[smhd]|0)$");
            schema["type"] = json!(["string", "integer"]);
            (schema["minimum"], schema["maximum"]) = (0.into(), 0.into());
            schema
        },
        |text| if text == "0" { Ok(Duration::ZERO) } else { unit::read_duration(text) },
        help |_| "such as 90s, 5m, 24h or 30d";
    Size => u64, "a size", text_like(r"^0*[1-9][0-9]*\s*(B|KiB|MiB|GiB)$"),
        |text| unit::read_size(text).and_then(not_zero(|size| *size == 0)),
        help |_| "such as 16MiB; units: B, KiB, MiB, GiB";
    Percent => u8, "a percentage from 1% to 100%", text_like("^(0*[1-9][0-9]?|0*100)%$"),
        |text| {
            let digits = text.strip_suffix('%').filter(|digits| !digits.starts_with('+')).unwrap_or_default();
            digits.parse().ok().filter(|number| (1..=100).contains(number)).ok_or_else(String::new)
        };
    Day => NaiveDate, "a date", text_like(r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*$"),
        |text| NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").map_err(|_| String::new()),
        help |_| "such as 2027-01-31";
    Address => Self, "a mail address", text_like("@"),
        |text| Self::parse(text).map_err(|error| format!(": {error}"));
    NamedAddress => Self, "a mail address, with or without a name", text_like("@"),
        |text| Self::parse(text).map_err(|error| format!(": {error}")),
        help |_| "write address@company.example or Name <address@company.example>";
    Name => Self, "a name", any_text(r"^[A-Za-z0-9._-]{1,64}$|\$\{"),
        |text| Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)));
    SessionId => Self, "a session ID", any_text(r"\S"),
        |text| Self::parse(text).map_err(|error| format!(" cannot be {}: {error}", quote(text)));
    SettingPattern => Self, "a setting, or a pattern with *", any_text(r"\S"),
        |text| {
            let visible = !text.chars().any(is_invisible);
            visible.then(|| Self::parse(text)).ok_or_else(|| " holds invisible characters".to_owned())
        };
    Regex => Self, "a regular expression", any_text(r"\S"),
        |text| Self::new(text).map_err(|error| {
            // The last line says what is wrong; those before it draw the expression.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!(" is not a regular expression: {reason}")
        }),
        help |text| format!("it reads {}", quote(text));
    Tz => Self, "a time zone", any_text(r"\S"),
        |text| text.trim().parse().map_err(|_| format!(": there is no time zone {}", quote(text.trim()))),
        help |text| zone_help(text.trim());
    SocketAddr => Self, "an IP address and port",
        text_like(r"^\s*(localhost|[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+\s*$"),
        |text| {
            let port = text.trim().strip_prefix("localhost:");
            let address = port.map_or_else(|| text.trim().to_owned(), |port| format!("127.0.0.1:{port}"));
            address.parse().map_err(|_| String::new())
        },
        help |_| "for example 127.0.0.1:9464, 0.0.0.0:9464 or \"[::]:9464\"";
    WebAddress => Self, "an http or https URL", text_like(r"^\s*[Hh][Tt][Tt][Pp][Ss]?://"),
        |text| Self::parse(text).map_err(|reason| format!(" {reason}")),
        help |_| "such as https://server.example", const MAY_HOLD_A_SIGN_IN;
    OrderWiseAddress => WebAddress, "an http or https URL", text_like(r"^\s*[Hh][Tt][Tt][Pp][Ss]?://"),
        |text| WebAddress::parse(text).map_err(|reason| format!(" {reason}")),
        help |_| "such as https://erp.acme.example/OWAPI", const MAY_HOLD_A_SIGN_IN;
    Host => String, "a host name or IP address", text_like(r"^\s*([A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?)\s*$"),
        |text| {
            let host = text.trim();
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let flag = matches!(host, "true" | "false");
            let fits = !flag && url::is_host(host) || address.parse::<Ipv6Addr>().is_ok();
            if fits { Ok(address.to_owned()) } else { Err(String::new()) }
        },
        help |_| "without a scheme and without a port, which has a key of its own";
}

fn not_zero<T>(is_zero: fn(&T) -> bool) -> impl Fn(T) -> Parsed<T> {
    move |value| if is_zero(&value) { Err(" must be more than 0".to_owned()) } else { Ok(value) }
}

fn zone_help(text: &str) -> String {
    /// Abbreviations in common use, which are no zones; a zone named after a place also follows the clock changes.
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
