//! The hosts that a request may name: the guard against DNS rebinding while the pages are for this machine only.
//!
//! A website can point its own name at 127.0.0.1 and then read the pages there, because the browser takes both for one site. The
//! browser still sends the name in `Host`. So if the program listens on loopback, and has no sign-in, it answers only requests
//! for loopback names and for the host of `server.public_url`.
//!
//! The guard applies to all paths of that address, also to `/metrics` and the probes: metrics name sessions and customers, and a
//! program on this machine uses a loopback name anyway. `server.metrics_listen` answers to any name, because Prometheus and
//! kubelets use any; so does `server.listen` on any other address, which a website reaches without such a trick.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// The hosts that a request may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    Any,
    /// Loopback, and the host of `server.public_url` if it is set.
    Loopback {
        public: Option<String>,
    },
}

impl Hosts {
    /// For a server on `listen` without sign-in. `public_url` is an absolute URL; a port in it makes no difference.
    pub fn of(listen: SocketAddr, public_url: Option<&str>) -> Self {
        if !listen.ip().to_canonical().is_loopback() {
            return Self::Any;
        }
        let url = public_url.and_then(|url| url.parse::<Uri>().ok());
        Self::Loopback { public: url.and_then(|url| Some(plain(url.host()?))) }
    }

    /// Whether `authority`, as `HOST` or `HOST:PORT`, names an allowed host.
    fn allow(&self, authority: &str) -> bool {
        let Self::Loopback { public } = self else { return true };
        let Some(host) = host(authority) else { return false };
        is_loopback(&host) || public.as_ref() == Some(&host)
    }

    /// The refusal of a request that names another host; `None` if its host is allowed.
    fn objection(&self, version: Version, target: Option<&Authority>, headers: &HeaderMap) -> Option<Response> {
        let Self::Loopback { public } = self else { return None };
        let mut named = headers.get_all(header::HOST).iter();
        let (first, second) = (named.next(), named.next());
        // RFC 9112, 3.2. Only HTTP/1.0, which no browser uses, has requests without a host.
        if second.is_some() || (first.is_none() && version >= Version::HTTP_11) {
            return Some((StatusCode::BAD_REQUEST, "a request must name its host exactly once\n").into_response());
        }
        let first_is_fine = first.is_none_or(|host| host.to_str().is_ok_and(|host| self.allow(host)));
        if first_is_fine && target.is_none_or(|target| self.allow(target.as_str())) {
            return None;
        }
        let public = public.as_ref().map(|host| format!(", {host}")).unwrap_or_default();
        let text = format!(
            "This address answers only to requests for localhost, 127.0.0.0/8, [::1]{public}.\n\
             To use another name, set it as server.public_url. For Prometheus and probes, set server.metrics_listen.\n"
        );
        Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
    }
}

/// Refuses requests for other hosts.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match hosts.objection(request.version(), request.uri().authority(), request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// The host of `HOST` or `HOST:PORT`, as [`plain`] spells it; `None` if the text is neither.
fn host(authority: &str) -> Option<String> {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[end..].find(':') {
        Some(colon) => (&authority[..end + colon], &authority[end + colon + 1..]),
        None => (authority, ""),
    };
    let sound = port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    sound.then(|| plain(host))
}

/// The form of a host for comparisons: in lower case, without the dot that ends a full name.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match six {
        Some(six) => six.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Hosts {
        Hosts::of("127.0.0.1:9464".parse().unwrap(), Some("https://Drift.Example:8443/status"))
    }

    #[test]
    fn only_a_loopback_address_restricts_hosts() {
        for (listen, particular) in [
            ("127.0.0.1:9464", true),
            ("127.3.2.1:9464", true),
            ("[::1]:9464", true),
            ("[::ffff:127.0.0.1]:9464", true),
            ("0.0.0.0:9464", false),
            ("[::]:9464", false),
            ("10.0.0.7:9464", false),
        ] {
            assert_eq!(Hosts::of(listen.parse().unwrap(), None) != Hosts::Any, particular, "{listen}");
        }
        assert_eq!(loopback(), Hosts::Loopback { public: Some(String::from("drift.example")) });
    }

    #[test]
    fn loopback_and_the_public_host_are_allowed_in_every_spelling_and_nothing_else() {
        for host in [
            "localhost",
            "LocalHost:9464",
            "localhost.",
            "localhost.:1",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:9464",
            "127.255.0.3:80",
            "[::1]",
            "[::1]:9464",
            "[0:0:0:0:0:0:0:1]:9464",
            "[::ffff:127.0.0.1]",
            "drift.example",
            "DRIFT.example.:443",
        ] {
            assert!(loopback().allow(host), "{host}");
        }
        for host in [
            "",
            ":9464",
            ".",
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "evil.localhost",
            "localhost..",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0.0.0.0:9464",
            "10.0.0.7",
            "128.0.0.1",
            "::1",
            "::1:9464",
            "[::1",
            "[::1]x",
            "[::1]:9464:1",
            "[::1%25lo]",
            "[::2]",
            "[127.0.0.1]",
            "[localhost]",
            "localhost:9464:1",
            "localhost:port",
            "localhost:99999",
            "localhost:+1",
            "localhost, evil.example",
            "evil@localhost",
            "localhost@evil.example",
            "localhost/",
            "not-drift.example",
            "www.drift.example",
        ] {
            assert!(!loopback().allow(host), "{host}");
        }
        assert!(!Hosts::of("127.0.0.1:1".parse().unwrap(), None).allow("drift.example"));
        assert!(Hosts::Any.allow("evil.example"));
    }

    #[test]
    fn every_host_that_a_request_names_must_be_allowed() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, target, named, status) in [
            (new, None, &["localhost"][..], None),
            (new, None, &["evil.example"], Some(421)),
            (new, None, &[""], Some(421)),
            (new, None, &["caf\u{e9}.example"], Some(421)),
            (new, None, &[], Some(400)),
            (new, None, &["localhost", "localhost"], Some(400)),
            (new, None, &["localhost", "evil.example"], Some(400)),
            (old, None, &[], None),
            (old, None, &["localhost:9464"], None),
            (old, None, &["evil.example"], Some(421)),
            // In absolute form.
            (new, Some("127.0.0.1:9464"), &["127.0.0.1:9464"], None),
            (new, Some("evil.example"), &["localhost"], Some(421)),
            (new, Some("localhost"), &["evil.example"], Some(421)),
            (old, Some("evil.example"), &[], Some(421)),
        ] {
            let target = target.map(|target| target.parse::<Authority>().unwrap());
            let mut headers = HeaderMap::new();
            for host in named {
                headers.append(header::HOST, host.as_bytes().try_into().unwrap());
            }
            let objection = loopback().objection(version, target.as_ref(), &headers);
            assert_eq!(objection.map(|answer| answer.status().as_u16()), status, "{version:?} {target:?} {named:?}");
            assert!(Hosts::Any.objection(version, target.as_ref(), &headers).is_none());
        }
    }
}
