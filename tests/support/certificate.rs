//! One authority of our own for a test run, and a certificate for `localhost` signed by it.

use std::path::PathBuf;
use std::sync::OnceLock;

use chrono::{Datelike as _, NaiveDate};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

pub struct Authority {
    folder: TempDir,
    /// The certificate of `localhost`, in PEM.
    pub cert: String,
    /// One that has expired.
    pub expired: String,
    pub key: String,
}

pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "driftwise tests");
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = || CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let mut over = leaf();
        (over.not_before, over.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        let [cert, expired] = [leaf(), over].map(|params| params.signed_by(&key, &issuer).unwrap().pem());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Authority { folder, cert, expired, key: key.serialize_pem() }
    })
}

/// A self-signed certificate that ends at the beginning of a day in UTC, in PEM.
pub fn ending_on(day: NaiveDate) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (month, day_of_month) = (u8::try_from(day.month()).unwrap(), u8::try_from(day.day()).unwrap());
    params.not_after = date_time_ymd(day.year(), month, day_of_month);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// The certificate that clients must trust.
pub fn ca_file() -> PathBuf {
    authority().folder.path().join("ca.pem")
}
