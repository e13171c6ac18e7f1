//! TLS to a mail server: the trusted authorities, and the name that the server's certificate must have.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::super::BuildError;
use super::super::refusal::cause;
use crate::http::certificate::Presented;

/// Everything that a handshake with one server needs.
pub(super) struct Protection {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
    pub presented: Presented,
}

impl Protection {
    /// Trusts the authorities of the system and those in `ca_file` (PEM).
    pub fn new(host: &str, ca_file: Option<&Path>) -> Result<Self, BuildError> {
        let failed = |reason: String| BuildError::Tls { host: host.to_owned(), reason };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(cause(&error)))?;
        let extra = ca_file.map(authorities).transpose()?.unwrap_or_default();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider));
        let verifier = verifier.map_err(|error| failed(cause(&error)))?;
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| failed(cause(&error)))?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, presented: Presented::default() })
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let pem = std::fs::read(path).map_err(|source| BuildError::CaFile { path: path.to_owned(), source })?;
    let format = || BuildError::CaFormat { path: path.to_owned() };
    let authorities = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|_| format())?;
    if authorities.is_empty() { Err(format()) } else { Ok(authorities) }
}
