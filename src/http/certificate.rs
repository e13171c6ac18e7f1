//! The ends of certificates: of those in a PEM file, and of the one that a server presented last.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::Response;
use reqwest::tls::TlsInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::der::Decode as _;

/// The end of each certificate in a PEM text; `None` for one that cannot be read.
pub fn ends(pem: &[u8]) -> Vec<Option<DateTime<Utc>>> {
    CertificateDer::pem_slice_iter(pem).map(|certificate| end(&certificate.ok()?)).collect()
}

/// The end of a certificate in DER form.
fn end(der: &[u8]) -> Option<DateTime<Utc>> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    DateTime::from_timestamp(i64::try_from(end.as_secs()).ok()?, 0)
}

/// The end of the certificate that a server presented last.
#[derive(Debug, Default)]
pub struct Presented(Mutex<Option<DateTime<Utc>>>);

impl Presented {
    /// Takes a certificate in DER form. One that cannot be read leaves no end.
    pub fn note(&self, der: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end(der);
    }

    /// Takes the certificate of the connection that a response came over, if it was encrypted.
    pub fn note_of(&self, response: &Response) {
        if let Some(der) = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate) {
            self.note(der);
        }
    }

    /// `None` before the first connection, and without TLS.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn ending(year: i32) -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn each_certificate_of_a_file_has_its_end() {
        // The second form of a date in a certificate begins with the year 2050.
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let file = [ending(2027).pem().as_str(), damaged, &ending(2051).pem()].concat();
        let day = |text: &str| Some(format!("{text}T00:00:00Z").parse::<DateTime<Utc>>().unwrap());
        assert_eq!(ends(file.as_bytes()), [day("2027-01-31"), None, day("2051-01-31")]);
        assert_eq!(ends(b"no certificate"), []);
    }

    #[test]
    fn the_last_presented_certificate_counts() {
        let presented = Presented::default();
        assert_eq!(presented.end(), None);
        for year in [2027, 2028] {
            presented.note(ending(year).der());
            assert_eq!(presented.end().unwrap().to_rfc3339(), format!("{year}-01-31T00:00:00+00:00"));
        }
        presented.note(b"no certificate");
        assert_eq!(presented.end(), None);
    }
}
