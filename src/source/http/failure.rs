//! From an error of the HTTP client to a failure in plain words.
//!
//! The client wraps what happened several layers deep, and an I/O error hides the one within it from `source()`; so
//! the whole chain is walked and the most telling link wins: a shortage of this machine, TLS, then a time-out, then the
//! operating system's word.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

use crate::domain::reading::quote;
use crate::source::{Failure, FetchError, shortage};

/// What an error of the client means.
pub fn of(error: &reqwest::Error) -> FetchError {
    let links = links(error);
    if let Some(shortage) = links.iter().find_map(|link| shortage::of(link.downcast_ref()?)) {
        return shortage;
    }
    if let Some(error) = links.iter().find_map(|link| link.downcast_ref::<rustls::Error>()) {
        return tls(error);
    }
    if error.is_timeout() {
        return FetchError::new(Failure::Timeout, "no connection could be made in time");
    }
    if error.is_dns() {
        return FetchError::new(Failure::Connect, "its host name cannot be found");
    }
    let io = links.iter().rev().find_map(|link| link.downcast_ref::<io::Error>()).map(io::Error::kind);
    if error.is_connect() {
        return FetchError::new(Failure::Connect, connect(io));
    }
    if links.iter().any(|link| link.to_string().starts_with("invalid HTTP")) {
        return FetchError::new(Failure::Malformed, "what it answered is not HTTP");
    }
    if error.is_decode() && !lost(io) && io.is_some() {
        return FetchError::new(Failure::Malformed, "its answer cannot be unpacked (gzip)");
    }
    let when = if error.is_decode() || error.is_body() { "in the middle of its answer" } else { "before it answered" };
    FetchError::new(Failure::Connect, format!("the connection was closed {when}"))
}

/// What a failure to connect is called, by the operating system's word for it.
fn connect(io: Option<ErrorKind>) -> &'static str {
    match io {
        Some(ErrorKind::ConnectionRefused) => "the connection was refused",
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => "its host cannot be reached",
        // No address of the host's kind (IPv6 is off, say) more often than no free port, so it counts against the source.
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

fn tls(error: &rustls::Error) -> FetchError {
    let reason = match error {
        rustls::Error::InvalidCertificate(problem) => {
            format!("the certificate is not trusted: {}", certificate(problem))
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("it refused the TLS connection ({alert:?})"),
        rustls::Error::PeerIncompatible(_) => "it speaks no TLS version or cipher that is safe".to_owned(),
        other => format!("the TLS connection failed: {}", quote(&other.to_string())),
    };
    FetchError::new(Failure::Tls, reason)
}

fn certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host name".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "who issued it is not known here (tls.ca_file names a CA of your own)".to_owned()
        }
        CertificateError::Revoked => "it has been revoked".to_owned(),
        other => quote(&other.to_string()),
    }
}

/// Every error of a chain, with those that I/O errors carry inside.
fn links<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    /// No chain of the client's is near as long; a loop would end here.
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
