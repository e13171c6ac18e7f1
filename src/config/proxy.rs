//! The proxy of a source: its URL, or `env` for the one in environment variables; none by default.

use serde_json::{Value as Json, json};

use crate::secret::Secret;

use super::declaration::Shape;
use super::environment::Environment;
use super::report::Report;
use super::secret::Hidden;
use super::tree::{Node, Place};
use super::url;

/// A proxy between Driftwise and a source.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// `http://host:port`, with a sign-in if the proxy needs one.
    pub url: Secret,
    /// Hosts that are reached directly, in the form of the variable `NO_PROXY`.
    pub except: Option<String>,
}

/// Matches every value that the reader accepts.
const SCHEMA: &str = r"^env$|^\s*[Hh][Tt][Tt][Pp]://|\$\{";

const FORMS: &str = "such as http://proxy.example:3128, or env to use HTTPS_PROXY and similar variables";

/// `env`, or a secret that is the URL of a proxy.
pub(super) enum Proxy {
    /// The one in environment variables.
    Environment,
    Url(Secret),
}

impl Shape for Proxy {
    type Value = Self;

    const MAY_HOLD_A_SIGN_IN: bool = true;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Self> {
        if node.scalar() == Some("env") {
            return Some(Self::Environment);
        }
        let url = Hidden::read(report, node, key)?;
        match url.checked(check).ok()? {
            Ok(()) => Some(Self::Url(url)),
            Err(reason) => report.refuse(node, (format!("{key:?} {reason}"), FORMS)),
        }
    }

    fn schema() -> Json {
        let mut schema = Hidden::schema();
        schema["title"] = "`env`, or `http://[user:password@]host:port` as a secret".into();
        schema["anyOf"][0] = json!({ "type": "string", "pattern": SCHEMA });
        schema
    }
}

impl Proxy {
    /// The proxy for a source with or without TLS (`encrypted`).
    pub fn chosen(self, report: &mut Report, at: Place, encrypted: bool) -> Option<ProxyConfig> {
        match self {
            Self::Url(url) => Some(ProxyConfig { url, except: None }),
            Self::Environment => match of_environment(encrypted, report.environment)? {
                Ok(proxy) => Some(proxy),
                Err((name, reason)) => {
                    let message = format!("\"proxy\": the environment variable {name} {reason}");
                    report.refuse(at, (message, FORMS))
                }
            },
        }
    }
}

/// The proxy in environment variables; `None`: there is none. The error has the name of the variable.
fn of_environment(
    encrypted: bool,
    environment: &dyn Environment,
) -> Option<Result<ProxyConfig, (&'static str, &'static str)>> {
    let variable = |name: &str| environment.variable(name).filter(|value| !value.trim().is_empty());
    let names: &[&str] = match encrypted {
        true => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        // Under CGI, HTTP_PROXY is a header that any client can send.
        false if variable("REQUEST_METHOD").is_some() => &["http_proxy", "ALL_PROXY", "all_proxy"],
        false => &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let (name, value) = names.iter().find_map(|name| Some((*name, variable(name)?)))?;
    let value = value.trim();
    let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let except = variable("NO_PROXY").or_else(|| variable("no_proxy"));
    Some(match check(&url) {
        Ok(()) => Ok(ProxyConfig { url: Secret::given(url), except }),
        Err(reason) => Err((name, reason)),
    })
}

/// Checks the URL of a proxy. The error never quotes it: it may hold a password.
fn check(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    let Some(rest) = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &text[7..]) else {
        return Err("must begin with http:// (no other kind of proxy is supported)");
    };
    if rest.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("must not contain spaces or backslashes");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("must end after the port; in a sign-in, / ? # and @ are written %2F %3F %23 and %40");
    }
    let (sign_in, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    if sign_in.contains('@') {
        return Err("has more than one @; in a sign-in, it is written %40");
    }
    url::host(address).map(|_| ()).ok_or("has no valid host name or port")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_with_or_without_a_sign_in() {
        for good in
            ["http://p:3128", "HTTP://p", "http://u:p%40%2Fss@p.example:80/", "http://[::1]:8080", " http://p:1 "]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "p:3128",
            "https://p:1",
            "socks5://p:1",
            "http://",
            "http://p:0",
            "http://p:3128/x",
            "http://p?x",
            "http://u:a/b@p:1",
            "http://u:a@b@p:1",
            "http://p q:1",
            "http://u:p@",
            "éé://aaaaa",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_environment_is_read_by_the_scheme_of_the_source() {
        let all = [
            ("HTTPS_PROXY", "http://secure:1"),
            ("http_proxy", "plain:2"),
            ("ALL_PROXY", "http://all:3"),
            ("no_proxy", ".acme.example"),
        ];
        let read = |encrypted: bool, without: &[&str], with: &[(&str, &str)]| {
            let environment = |name: &str| {
                let known = all.iter().filter(|(name, _)| !without.contains(name)).chain(with);
                known.clone().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            of_environment(encrypted, &environment)
                .map(|proxy| proxy.map(|proxy| (proxy.url.value().unwrap().expose_secret().to_owned(), proxy.except)))
        };
        let proxy = |url: &str| Some(Ok((url.to_owned(), Some(".acme.example".to_owned()))));
        assert_eq!(read(true, &[], &[]), proxy("http://secure:1"));
        assert_eq!(read(false, &[], &[]), proxy("http://plain:2"));
        assert_eq!(read(true, &["HTTPS_PROXY"], &[]), proxy("http://all:3"));
        assert_eq!(read(false, &["http_proxy", "ALL_PROXY"], &[]), None);
        assert_eq!(read(false, &[], &[("HTTP_PROXY", " ")]), proxy("http://plain:2"));
        assert_eq!(
            read(false, &[], &[("HTTP_PROXY", "http://header:9"), ("REQUEST_METHOD", "GET")]),
            proxy("http://plain:2")
        );
        let refused = read(true, &["HTTPS_PROXY"], &[("HTTPS_PROXY", "socks5://u:p@s:1")]);
        assert!(matches!(refused, Some(Err(("HTTPS_PROXY", reason))) if reason.contains("http://")));
    }
}
