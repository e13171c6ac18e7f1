//! The HTTP client of all network sources, and its failures in plain words.
//!
//! Each exchange has its own connection. Audits are minutes apart, by which time most servers have closed an idle
//! connection, and a request on a connection that is just closing fails for no good reason. The client follows no
//! redirects, because they would carry the credential to another host. It counts the bytes of a body after unpacking, while
//! it streams, so that a small response that unpacks to gigabytes ends at the limit.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::ExposeSecret as _;

use super::{Failure, FetchError, Quoted};
use crate::secret::{KnownSecret, Redactor, Secret, SecretError};

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
    #[error("a user name may not hold a colon or a control character")]
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
    /// Hosts that are asked without it, in the form of the variable `NO_PROXY`.
    pub except: Option<String>,
}

/// A client that trusts the platform's roots and those of `ca_file`, and the secrets of its proxy. For `http://` it loads no
/// roots, because a system may have none. It uses `proxy` for all hosts but this machine, and ignores the proxy variables of
/// the environment.
///
/// The process must have installed a rustls provider before; `main` does.
fn client(
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
fn is_this_machine(url: &Url) -> bool {
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
        return Err(SetupError::Url("must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SetupError::Url("must not hold a ? or #"));
    }
    Ok(url)
}

/// Identifies the system behind a base URL: one text for all spellings of the same URL.
pub fn system(base: &Url) -> String {
    let (host, port) = (base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or_default());
    let path = base.path().trim_end_matches('/').to_ascii_lowercase();
    format!("{}://{host}:{port}{path}", base.scheme())
}

/// The URL of `path` below a base URL, with or without a slash at its end.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Sends a request and waits for status and headers.
pub async fn send(request: RequestBuilder, redactor: &Redactor) -> Result<Response, FetchError> {
    request.send().await.map_err(|error| failure::of(&error, redactor))
}

/// The whole body, unpacked, or a failure as soon as it exceeds the limit.
pub async fn body(mut response: Response, limit: u64, redactor: &Redactor) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::new(Failure::TooLarge, format!("its answer is larger than {}", size(limit)));
    let announced = response.content_length().unwrap_or_default();
    if announced > limit {
        return Err(too_large());
    }
    // A false Content-Length can reserve no more memory than this.
    let mut body = Vec::with_capacity(usize::try_from(announced.min(1 << 20)).unwrap_or_default());
    while let Some(chunk) = response.chunk().await.map_err(|error| failure::of(&error, redactor))? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
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

/// The failure of a status that is not a success, without its body.
pub fn refusal(status: StatusCode, headers: &HeaderMap, redactor: &Redactor) -> FetchError {
    let failure = match status.as_u16() {
        401 | 407 => Failure::Auth,
        403 => Failure::Forbidden,
        404 => Failure::NotFound,
        429 => Failure::RateLimited,
        408 => Failure::Timeout,
        500..=599 => Failure::ServerError,
        _ => Failure::Refused,
    };
    let reason = format!("it answered {}", named(status));
    if !status.is_redirection() {
        return FetchError::new(failure, reason);
    }
    let to = headers.get(LOCATION).map(|to| Quoted::of(&place(&String::from_utf8_lossy(to.as_bytes())), redactor));
    FetchError::new(failure, format!("{reason}, a redirect, which is never followed")).quoting(to)
}

/// The target of a redirect, without parts that may hold secrets: sign-in and parameters.
fn place(location: &str) -> String {
    let (path, parameters) = match location.find(['?', '#', ';']) {
        Some(end) => (&location[..end], "?…"),
        None => (location, ""),
    };
    let (scheme, rest) = path.split_at(path.find("//").map_or(0, |at| at + 2));
    let end = if scheme.is_empty() { 0 } else { rest.find('/').unwrap_or(rest.len()) };
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}{host}{}{parameters}", &rest[end..])
}

/// The explanation in a body: the message of a JSON object, the title of a web page, else its beginning.
pub fn said(body: &[u8], redactor: &Redactor) -> Option<Quoted> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if text.starts_with('<') {
        return title(text).map(|title| Quoted::of(title, redactor));
    }
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        let is_message = |key: &str| ["message", "exceptionmessage", "error", "detail"].contains(&key);
        let message = object.iter().find(|(key, value)| is_message(&key.to_ascii_lowercase()) && value.is_string());
        return message.and_then(|(_, value)| value.as_str()).map(|message| Quoted::of(message, redactor));
    }
    (!text.is_empty()).then(|| Quoted::of(text, redactor))
}

/// The title of a web page.
fn title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(page[start..end].trim()).filter(|title| !title.is_empty())
}

fn named(status: StatusCode) -> String {
    let name = status.canonical_reason().unwrap_or_default();
    format!("{} {name}", status.as_u16()).trim_end().to_owned()
}

/// A size as it is written in the configuration.
pub fn size(bytes: u64) -> String {
    match bytes {
        n if n > 0 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n > 0 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        1 => "1 byte".to_owned(),
        n => format!("{n} bytes"),
    }
}
