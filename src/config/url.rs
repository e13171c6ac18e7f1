//! Web addresses and host names.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An `http` or `https` address, without a sign-in, a query or a fragment; a slash at its end is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebAddress {
    pub text: String,
    pub encrypted: bool,
    pub host: String,
}

impl WebAddress {
    /// The error goes on after the name of the key, and never quotes the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let (encrypted, rest) = match (lower.starts_with("https://"), lower.starts_with("http://")) {
            (true, _) => (true, &text["https://".len()..]),
            (_, true) => (false, &text["http://".len()..]),
            _ => return Err("must begin with https:// or http://"),
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err("must not contain spaces or backslashes");
        }
        if rest.contains(['?', '#']) {
            return Err("must not have a query (?) or a fragment (#)");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not hold a sign-in; give it under keys of its own");
        }
        let host = host(authority).ok_or("has no valid host name or port")?;
        Ok(Self { text: text.trim_end_matches('/').to_owned(), encrypted, host: host.to_owned() })
    }
}

impl WebAddress {
    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let start = self.text.find("://").map_or(0, |at| at + "://".len());
        let end = self.text[start..].find('/').map_or(self.text.len(), |at| start + at);
        &self.text[..end]
    }
}

/// Whether a text may be a misspelled address with a sign-in.
pub(super) fn may_hold_a_sign_in(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.contains('@') || rest.split(':').skip(1).any(|part| !part.starts_with(|c: char| c.is_ascii_digit()))
}

/// The host of a valid `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn host(authority: &str) -> Option<&str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, after)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        is_host(host).then_some((host, port))?
    };
    let port_is_valid = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok_and(|port| port > 0);
    port_is_valid.then_some(host)
}

/// Whether `host` can be the name or the IPv4 address of a machine.
pub(super) fn is_host(host: &str) -> bool {
    let part_ok = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(plain)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let parts = host.strip_suffix('.').unwrap_or(host);
    // No domain ends in a number: such a host is an IPv4 address or a misspelling.
    let ends_in_number = parts.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    // The `url` crate reads the address later, and also checks names in Punycode.
    host.len() <= 253
        && parts.split('.').all(part_ok)
        && (!ends_in_number || host.parse::<Ipv4Addr>().is_ok())
        && url::Host::parse(host).is_ok()
}

/// Whether `host` is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_are_plain_and_lose_their_last_slash() {
        let address = WebAddress::parse("https://erp.acme.example:8443/OWAPI/").unwrap();
        assert_eq!(address.text, "https://erp.acme.example:8443/OWAPI");
        assert!(address.encrypted);
        assert_eq!(WebAddress::parse("HTTP://[::1]:80").unwrap().host, "::1");
        let bad =
            ["erp.acme.example", "ftp://x", "https://", "https:///x", "https://u:p@x/", "https://x?y", "https://x#y"];
        for bad in bad.into_iter().chain([
            "https://x y",
            "https://x:0",
            "https://x:99999",
            "https://-x",
            "https://[::1",
            "https://1.5",
            "https://0",
            "https://xn--a.example",
        ]) {
            assert!(WebAddress::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "127.0.0.1.example", "::2"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
