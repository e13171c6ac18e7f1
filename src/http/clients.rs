//! Shares HTTP clients between sources that are reached alike: each client holds the certificate authorities of the platform,
//! which take milliseconds to read and some 85 kB of memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Url};
use secrecy::ExposeSecret;

use super::{CONNECT, HttpProxy, SetupError, client, is_this_machine};
use crate::secret::KnownSecret;

/// The clients of one configuration, each with the secrets of its proxy.
#[derive(Debug, Default)]
pub struct Clients {
    /// By a hash of everything that distinguishes one, which may include a sign-in at a proxy.
    shared: HashMap<u64, (Client, Vec<KnownSecret>)>,
    hasher: RandomState,
}

impl Clients {
    /// See [`client`].
    pub fn client(
        &mut self,
        url: &Url,
        ca_file: Option<&Path>,
        timeout: Duration,
        proxy: Option<&HttpProxy>,
    ) -> Result<(Client, Vec<KnownSecret>), SetupError> {
        let proxy = proxy.filter(|_| !is_this_machine(url));
        let through = proxy.map(|proxy| proxy.url.value()).transpose()?;
        let through = through.as_ref().map(ExposeSecret::expose_secret);
        let except = proxy.and_then(|proxy| proxy.except.as_deref());
        let key = self.hasher.hash_one((url.scheme(), ca_file, timeout.min(CONNECT), through, except));
        if let Some(known) = self.shared.get(&key) {
            return Ok(known.clone());
        }
        let new = client(url, ca_file, timeout, proxy)?;
        self.shared.insert(key, new.clone());
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    /// The way to a source (URL, CA file, time-out in seconds, proxy), and how many clients there are after it.
    type Case<'a> = (&'a str, Option<&'a Path>, u64, Option<&'a HttpProxy>, usize);

    #[test]
    fn sources_that_are_reached_alike_share_a_client() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, rcgen::generate_simple_self_signed(["one.example".to_owned()]).unwrap().cert.pem())
            .unwrap();
        let proxy =
            |url: &str, except: Option<&str>| HttpProxy { url: Secret::given(url), except: except.map(str::to_owned) };
        let (one, other) = (proxy("http://u:one@proxy.example:1", None), proxy("http://u:two@proxy.example:1", None));
        let excepting = proxy("http://u:one@proxy.example:1", Some("two.example"));
        let plain = proxy("http://proxy.example:1", None);
        let cases: [Case<'_>; 12] = [
            ("https://one.example/OWAPI", None, 60, None, 1),
            ("https://two.example/OWAPI", None, 90, None, 1),
            ("https://two.example/OWAPI", None, 5, None, 2),
            ("http://localhost/OWAPI", None, 60, None, 3),
            ("http://localhost/OWAPI", None, 60, Some(&one), 3),
            ("https://one.example/OWAPI", Some(&ca_file), 60, None, 4),
            ("https://one.example/OWAPI", None, 60, Some(&one), 5),
            ("https://one.example/OWAPI", None, 60, Some(&other), 6),
            ("https://one.example/OWAPI", None, 60, Some(&excepting), 7),
            ("https://one.example/OWAPI", None, 60, Some(&plain), 8),
            ("https://two.example/OWAPI", None, 60, Some(&one), 8),
            ("https://two.example/OWAPI", Some(&ca_file), 60, None, 8),
        ];
        let mut clients = Clients::default();
        for (url, ca_file, timeout, through, expected) in cases {
            let url = Url::parse(url).unwrap();
            let (_, known) = clients.client(&url, ca_file, Duration::from_secs(timeout), through).unwrap();
            assert_eq!(clients.shared.len(), expected, "{url} {ca_file:?} {timeout} {through:?}");
            let signs_in = through.is_some_and(|proxy| proxy.url.checked(|url| url.contains("u:")).unwrap());
            assert_eq!(known.is_empty(), !signs_in || url.scheme() == "http", "{url} {through:?}");
        }
    }
}
