//! Credentials in words: what each is, what stops at its end, and what to do before.

use crate::domain::credential::CredentialKind;
use crate::domain::name::Name;

/// What a credential is: a noun without an article.
pub fn noun(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ClientSecret => "client secret",
        CredentialKind::ClientCertificate => "certificate of the app",
        CredentialKind::ClientAssertion => "client assertion",
        CredentialKind::CaCertificate => "CA certificate",
        CredentialKind::ServerCertificate => "certificate of the server",
    }
}

/// What stops at the end of a credential of `source`, or else of mail.
pub fn effect(source: Option<&Name>) -> String {
    match source {
        Some(source) => format!("after that Driftwise may no longer be able to check the sessions of {source}"),
        None => "after that Driftwise may no longer be able to send mail, so that no alert arrives".to_owned(),
    }
}

/// What replaces a credential.
pub fn act(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ClientSecret => {
            "make a new client secret in the app registration, replace the secret, set client_secret_expires to its end, and reload"
        }
        CredentialKind::ClientCertificate => {
            "add a new certificate to the app registration, then put it with its key into the file"
        }
        CredentialKind::ClientAssertion => {
            "find out why the program that renews the file, such as Kubernetes, does not"
        }
        CredentialKind::CaCertificate => {
            "ask the operator of the server for the certificate of the new authority, put it into the file, remove certificates \
             that are no longer needed, and reload"
        }
        CredentialKind::ServerCertificate => "ask the operator of the server to renew it",
    }
}
