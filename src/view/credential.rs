//! Credentials in words: the kind of each, the effect of its end, and what to do before.

use crate::domain::credential::CredentialKind;
use crate::domain::name::Name;

/// The kind of a credential: a noun without an article.
pub fn noun(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ClientSecret => "client secret",
        CredentialKind::ClientCertificate => "app certificate",
        CredentialKind::ClientAssertion => "client assertion",
        CredentialKind::CaCertificate => "CA certificate",
        CredentialKind::ServerCertificate => "server certificate",
    }
}

/// What stops once a credential of `source`, or else of mail, has expired.
pub fn effect(source: Option<&Name>) -> String {
    match source {
        Some(source) => format!("Driftwise may be unable to check the sessions of {source}"),
        None => "Driftwise may be unable to send mail, and then no alert arrives".to_owned(),
    }
}

/// How to replace a credential.
pub fn act(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ClientSecret => {
            "create a new client secret in the app registration, replace the old one with it, set client_secret_expires to its expiry date, and reload"
        }
        CredentialKind::ClientCertificate => {
            "add a new certificate to the app registration, then put it with its key into the file"
        }
        CredentialKind::ClientAssertion => {
            "find out why the program that renews the file, such as Kubernetes, has not renewed it"
        }
        CredentialKind::CaCertificate => {
            "ask the operator of the server for the certificate of the new authority, put it into the file, remove certificates \
             that are no longer needed, and reload"
        }
        CredentialKind::ServerCertificate => "ask the operator of the server to renew it",
    }
}
