//! Classifies an error of the HTTP client, and describes it in plain words.
//!
//! The client wraps the cause in several layers, and an I/O error hides the error within it from `source()`. So this walks the
//! whole chain and takes the most specific link: TLS, then a time-out, then the error of the operating system.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    Connect,
    /// The answer is not HTTP, or cannot be unpacked.
    Malformed,
    Timeout,
    Tls,
}

/// A failure between this program and a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub kind: FailureKind,
    /// For people, without text from outside.
    pub reason: String,
    /// Outside text, such as the names in a certificate.
    pub foreign: Option<String>,
}

impl Described {
    fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), foreign: None }
    }
}

/// Describes an error of the client.
pub fn of(error: &reqwest::Error) -> Described {
    let links = links(error);
    if let Some(error) = links.iter().find_map(|link| link.downcast_ref::<rustls::Error>()) {
        return tls(error);
    }
    if error.is_timeout() {
        return Described::new(FailureKind::Timeout, "no connection could be made in time");
    }
    if error.is_dns() {
        return Described::new(FailureKind::Connect, "its host name cannot be found");
    }
    if let Some(reason) = links.iter().find_map(|link| tunnel(&link.to_string())) {
        return Described::new(FailureKind::Connect, reason);
    }
    let io = links.iter().rev().find_map(|link| link.downcast_ref::<io::Error>()).map(io::Error::kind);
    if error.is_connect() {
        return Described::new(FailureKind::Connect, connect(io));
    }
    let carried = links.iter().find_map(|link| link.downcast_ref::<hyper::Error>());
    if let Some(error) = carried.filter(|error| error.is_parse()) {
        return Described::new(FailureKind::Malformed, head(error));
    }
    let in_body = error.is_decode() || error.is_body();
    match io.filter(|_| in_body) {
        // Reading the HTTP transfer and unpacking its content alternate: an error of the transfer has a `hyper` cause.
        Some(kind) if carried.is_some() && !lost(Some(kind)) => {
            Described::new(FailureKind::Malformed, "its answer came in malformed HTTP chunks")
        }
        Some(ErrorKind::UnexpectedEof) if carried.is_none() => {
            Described::new(FailureKind::Malformed, "its answer arrived, but the gzip data in it is cut off")
        }
        Some(kind) if carried.is_none() && !lost(Some(kind)) => {
            Described::new(FailureKind::Malformed, "its answer cannot be unpacked (gzip)")
        }
        _ => {
            let when = if in_body { "in the middle of its answer" } else { "before it answered" };
            Described::new(FailureKind::Connect, format!("the connection was closed {when}"))
        }
    }
}

/// Describes a malformed status line or header. Of an answer without a version of HTTP the client gives only a text.
fn head(error: &hyper::Error) -> &'static str {
    if error.is_parse_too_large() {
        "the headers of its answer are too large"
    } else if error.to_string().starts_with("invalid HTTP") {
        "its answer is not HTTP"
    } else {
        "the headers of its answer are malformed"
    }
}

/// Describes the reply of a proxy that did not connect to the source. The client gives it no type, only a text.
fn tunnel(text: &str) -> Option<&'static str> {
    Some(match text.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => "the proxy requires a sign-in, or refused the one that it received (407)",
        "failed to create underlying connection" => "the proxy cannot be reached",
        _ => "the proxy did not connect to it",
    })
}

/// Describes a failure to connect, by the error of the operating system.
fn connect(io: Option<ErrorKind>) -> &'static str {
    match io {
        Some(ErrorKind::ConnectionRefused) => "the connection was refused",
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => "its host cannot be reached",
        // A host without an address of a usable kind (IPv6 is off, say) is a more frequent cause than a lack of free ports, so
        // this counts against the source.
        Some(ErrorKind::AddrNotAvailable) => "this machine has no address or port to connect from",
        Some(ErrorKind::NetworkDown) => "the network is down",
        Some(kind) if lost(Some(kind)) => "the connection was closed while it was being made",
        _ => "no connection could be made",
    }
}

fn lost(io: Option<ErrorKind>) -> bool {
    matches!(
        io,
        Some(
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        )
    )
}

fn tls(error: &rustls::Error) -> Described {
    // A certificate holds any text that its owner wrote into it.
    let unknown = |error: &dyn std::fmt::Display| Some(error.to_string());
    let (reason, foreign) = match error {
        rustls::Error::InvalidCertificate(problem) => {
            let why = certificate(problem);
            let foreign = if why.is_none() { unknown(problem) } else { None };
            (
                format!("the certificate is not trusted{}", why.map(|why| format!(": {why}")).unwrap_or_default()),
                foreign,
            )
        }
        rustls::Error::InvalidMessage(_) => ("it does not speak TLS on this port".to_owned(), None),
        rustls::Error::AlertReceived(alert) => (format!("it refused the TLS connection ({alert:?})"), None),
        rustls::Error::PeerIncompatible(_) => ("it supports no TLS version or cipher that is safe".to_owned(), None),
        other => ("the TLS connection failed".to_owned(), unknown(other)),
    };
    Described { foreign, ..Described::new(FailureKind::Tls, reason) }
}

/// Describes a problem of a certificate; `None` if only the library has a description.
fn certificate(problem: &CertificateError) -> Option<&'static str> {
    Some(match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host name"
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted (ca_file can name a CA of your own)",
        CertificateError::Revoked => "it has been revoked",
        _ => return None,
    })
}

/// Every error of a chain, also those inside I/O errors.
pub fn links<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    /// The chains of the client are much shorter; this ends a loop.
    const LONGEST: usize = 32;
    let mut links = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next.filter(|_| links.len() < LONGEST) {
        links.push(error);
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| -> &(dyn Error + 'static) { inner }).or_else(|| error.source());
    }
    links
}
