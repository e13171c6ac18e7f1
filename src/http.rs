//! The HTTP client of sources and of mail: its limits, and its failures in plain words.
//!
//! Each exchange has its own connection. Exchanges are minutes apart, by which time most servers have closed an idle
//! connection, and a request on a connection that is just closing fails for no good reason. The client follows no
//! redirects, because they would carry the credential to another host. It counts the bytes of a body after unpacking, while
//! it streams, so that a small response that unpacks to gigabytes ends at the limit.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::{Certificate, Client, Response, Url};
use secrecy::ExposeSecret as _;

use crate::secret::{KnownSecret, Secret, SecretError};

pub mod certificate;
mod clients;
pub mod failure;
mod resolver;

pub use clients::Clients;

/// Longest wait for a connection; a shorter time-out of the whole exchange wins.
const CONNECT: Duration = Duration::from_secs(15);

/// Most bytes read of the body of a response that is not a success.
const EXCERPT: u64 = 8 * 1024;

/// Longest wait for such a body: the status is known already, and the body only adds words.
const EXCERPT_WAIT: Duration = Duration::from_secs(2);

/// Why the client cannot be built from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("cannot read the CA file {path}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("the CA file {path} holds no certificate in PEM form")]
    CaCertificates { path: PathBuf },
    #[error("cannot set up the TLS client")]
    Client(#[source] reqwest::Error),
    #[error("the base URL {0}")]
    Url(&'static str),
    #[error("a user name must not contain a colon or a control character")]
    Username,
    #[error("cannot read the secret of the proxy")]
    ProxySecret(#[from] SecretError),
    /// Without its cause, which may repeat the sign-in that the URL holds.
    #[error("the proxy is not a URL such as http://proxy.example:3128")]
    Proxy,
}

/// A proxy that requests pass through.
#[derive(Debug, Clone)]
pub struct HttpProxy {
    /// Such as `http://proxy.example:3128`; a secret, because it may hold a sign-in.
    pub url: Secret,
    /// Hosts that are reached without it, in the form of the variable `NO_PROXY`.
    pub except: Option<String>,
}

/// A client that trusts the platform's roots and those of `ca_file`, and the secrets of its proxy. For `http://` it loads no
/// roots, because a system may have none. It uses `proxy` for all hosts but this machine, and ignores the proxy variables of
/// the environment.
///
/// The process must have installed a rustls provider before; `main` does.
pub fn client(
    url: &Url,
    ca_file: Option<&Path>,
    timeout: Duration,
    proxy: Option<&HttpProxy>,
) -> Result<(Client, Vec<KnownSecret>), SetupError> {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(CONNECT))
        .pool_max_idle_per_host(0)
        .gzip(true)
        .tls_info(true)
        .referer(false)
        .dns_resolver(resolver::Resolver)
        .user_agent(concat!("driftwise/", env!("CARGO_PKG_VERSION")));
    let certificates = ca_file.map(certificates).transpose()?;
    let builder = match certificates {
        Some(certificates) => builder.tls_certs_merge(certificates),
        None if url.scheme() == "http" => builder.tls_certs_only([]),
        None => builder,
    };
    let (builder, known) = match proxy.filter(|_| !is_this_machine(url)) {
        Some(proxy) => {
            let (proxy, known) = through(proxy)?;
            (builder.proxy(proxy), known)
        }
        None => (builder, Vec::new()),
    };
    Ok((builder.build().map_err(SetupError::Client)?, known))
}

/// Requests to this machine need no proxy, and may be plain text because they never leave it.
pub fn is_this_machine(url: &Url) -> bool {
    let is_here = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_here)
}

fn through(proxy: &HttpProxy) -> Result<(reqwest::Proxy, Vec<KnownSecret>), SetupError> {
    let text = proxy.url.value()?;
    let url = Url::parse(text.expose_secret().trim()).map_err(|_| SetupError::Proxy)?;
    if url.scheme() != "http" || !url.has_host() {
        return Err(SetupError::Proxy);
    }
    let known = url.password().map(|password| KnownSecret::sign_in_of_url(url.username(), password).to_vec());
    let except = proxy.except.as_deref().and_then(reqwest::NoProxy::from_string);
    let proxy = reqwest::Proxy::all(url).map_err(|_| SetupError::Proxy)?;
    Ok((proxy.no_proxy(except), known.unwrap_or_default()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = std::fs::read(path).map_err(|source| SetupError::CaFile { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(SetupError::CaCertificates { path: path.to_owned() }),
    }
}

/// Parses a base URL: absolute, http or https, without a sign-in, query or fragment.
pub fn base_url(text: &str) -> Result<Url, SetupError> {
    let url = Url::parse(text.trim()).map_err(|_| SetupError::Url("is not a URL such as https://host/OWAPI"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(SetupError::Url("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SetupError::Url("must not contain a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SetupError::Url("must not contain ? or #"));
    }
    Ok(url)
}

/// The URL of `path` below a base URL, with or without a slash at its end.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Why a body was not read.
#[derive(Debug)]
pub enum BodyError {
    /// It exceeds the limit.
    TooLarge,
    Broken(reqwest::Error),
}

/// The whole body, unpacked, or an error as soon as it exceeds the limit, in bytes.
pub async fn body(mut response: Response, limit: u64) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or_default();
    if announced > limit {
        return Err(BodyError::TooLarge);
    }
    // A false Content-Length can reserve no more memory than this.
    let mut body = Vec::with_capacity(usize::try_from(announced.min(1 << 20)).unwrap_or_default());
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(BodyError::TooLarge);
        }
        if body.len() + chunk.len() > body.capacity() {
            body.reserve_exact(growth(body.len(), chunk.len(), limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Bytes to reserve for a body that has `len` bytes. Reserved memory that is never written costs nothing, and a body that moves
/// to a larger buffer exists twice meanwhile: so it moves once, unless it is very large.
fn growth(len: usize, chunk: usize, limit: u64) -> usize {
    const AT_ONCE: usize = 64 << 20;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    chunk.max(AT_ONCE.max(len).min(limit.saturating_sub(len)))
}

/// The beginning of a body that explains a failure, or the part that arrived within [`EXCERPT_WAIT`].
pub async fn excerpt(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() as u64 >= EXCERPT {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(EXCERPT_WAIT, read).await;
    body
}

/// Reads `Retry-After`: seconds, or a date in any of the three forms that HTTP knows.
pub fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = date(text)?;
    Some((at - now).to_std().unwrap_or_default())
}

/// A time in one of the three forms of RFC 9110, 5.6.7.
pub fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).map(|at| at.to_utc()).ok().or_else(|| {
        ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|at| at.and_utc())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let cases = [
            ("120", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Fri, 15 Jan 2027 08:02:00 GMT", Some(120)),
            ("Friday, 15-Jan-27 08:02:00 GMT", Some(120)),
            ("Fri Jan 15 08:02:00 2027", Some(120)),
            ("Fri, 15 Jan 2027 07:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(retry_after(text, now).map(|wait| wait.as_secs()), expected, "{text:?}");
        }
    }
}
