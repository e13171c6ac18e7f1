//! How mail gets an access token: which endpoint, and which credential.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::domain::address::Address;
use crate::secret::Secret;

use super::declaration::Found;
use super::keys::{GoogleKeys, OAuth2Keys};
use super::proxy::ProxyConfig;
use super::report::Report;
use super::tree::Place;
use super::url::{WebAddress, is_loopback};

/// The source of access tokens.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The token endpoint.
    pub url: String,
    pub credential: TokenCredential,
    pub scope: String,
    pub allow_insecure: bool,
    /// PEM certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<ProxyConfig>,
}

/// What is exchanged for a token.
#[derive(Debug, Clone)]
pub enum TokenCredential {
    /// With the first time at which the secret may have ended, if that is known.
    Secret {
        client_id: String,
        secret: Secret,
        end: Option<DateTime<Utc>>,
    },
    Assertion {
        client_id: String,
        file: Secret,
    },
    Google {
        service_account: Secret,
        subject: Address,
    },
}

impl TokenConfig {
    /// The credential, and the URL of the proxy, which may hold a sign-in.
    pub fn secrets(&self) -> Vec<Secret> {
        let credential = match &self.credential {
            TokenCredential::Secret { secret, .. } => secret,
            TokenCredential::Assertion { file, .. } => file,
            TokenCredential::Google { service_account, .. } => service_account,
        };
        std::iter::once(credential).chain(self.proxy.as_ref().map(|proxy| &proxy.url)).cloned().collect()
    }
}

const MICROSOFT_SCOPE: &str = "https://outlook.office365.com/.default";
const GOOGLE_SCOPE: &str = "https://mail.google.com/";
const GOOGLE_URL: &str = "https://oauth2.googleapis.com/token";

/// Checks the keys of `oauth2`. `ca_file` is that of the mail server.
pub(super) fn understand(report: &mut Report, keys: OAuth2Keys, ca_file: Option<PathBuf>) -> Option<TokenConfig> {
    let allow_insecure = keys.allow_insecure.value;
    refuse_plain(report, "token_url", keys.token_url.value.as_ref(), keys.token_url.at, allow_insecure);
    let encrypted = keys.token_url.value.as_ref().is_none_or(|url| url.encrypted);
    let proxy = keys.proxy.value.and_then(|proxy| proxy.chosen(report, keys.proxy.at, encrypted));
    let is_google = keys.google.given;
    let client_keys = [
        ("client_id", keys.client_id.given, keys.client_id.key),
        ("client_secret", keys.client_secret.given, keys.client_secret.key),
        ("client_secret_expires", keys.client_secret_expires.given, keys.client_secret_expires.key),
        ("client_assertion_file", keys.client_assertion_file.given, keys.client_assertion_file.key),
    ];
    for (name, _, at) in client_keys.into_iter().filter(|(_, given, _)| is_google && *given) {
        report.problem(at, format!("\"oauth2\" has both \"google\" and {name:?}; remove one"));
    }
    let credential = if is_google {
        keys.google.value.and_then(google)
    } else {
        if keys.token_url.is_missing() {
            let help = "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token, with your tenant";
            report.problem(keys.place, ("\"oauth2\" needs the key \"token_url\"", help));
        }
        if keys.client_id.is_missing() {
            report.problem(keys.place, "\"oauth2\" needs the key \"client_id\"");
        }
        let client = Client {
            id: keys.client_id.value,
            secret: &keys.client_secret,
            end: &keys.client_secret_expires,
            assertion: &keys.client_assertion_file,
            of: "oauth2",
            place: keys.place,
        };
        client.understand(report)
    };
    let url = match keys.token_url.value {
        Some(url) => url.text,
        None if is_google && !keys.token_url.given => GOOGLE_URL.to_owned(),
        None => return None,
    };
    let default = if is_google { GOOGLE_SCOPE } else { MICROSOFT_SCOPE };
    let scope = keys.scope.value.unwrap_or_else(|| default.to_owned());
    Some(TokenConfig { url, credential: credential?, scope, allow_insecure, ca_file, proxy })
}

fn google(keys: GoogleKeys) -> Option<TokenCredential> {
    Some(TokenCredential::Google { service_account: keys.service_account.value?, subject: keys.subject.value? })
}

/// An app with one of two credentials.
pub(super) struct Client<'a> {
    /// `None`, and reported, if it is missing.
    pub id: Option<String>,
    pub secret: &'a Found<Option<Secret>>,
    pub end: &'a Found<Option<NaiveDate>>,
    pub assertion: &'a Found<Option<Secret>>,
    /// The mapping in messages.
    pub of: &'static str,
    pub place: Place,
}

impl Client<'_> {
    pub fn understand(self, report: &mut Report) -> Option<TokenCredential> {
        let Self { id, secret, end, assertion, of, place } = self;
        if secret.given && assertion.given {
            let message = format!("{of:?} has both \"client_secret\" and \"client_assertion_file\"; remove one");
            return report.refuse(assertion.key, message);
        }
        if end.given && secret.is_missing() {
            report.problem(end.key, "\"client_secret_expires\" is given without \"client_secret\"");
        }
        if secret.is_missing() && assertion.is_missing() {
            let message = format!("{of:?} needs a credential");
            return report.refuse(place, (message, "give client_secret, or client_assertion_file"));
        }
        let end = end.value.map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let client_id = id?;
        match (&secret.value, &assertion.value) {
            (Some(secret), _) => Some(TokenCredential::Secret { client_id, secret: secret.clone(), end }),
            (None, Some(file)) => Some(TokenCredential::Assertion { client_id, file: file.clone() }),
            (None, None) => None,
        }
    }
}

/// Reports a URL that would carry secrets in plain text.
pub(super) fn refuse_plain(report: &mut Report, key: &str, url: Option<&WebAddress>, at: Place, allow_insecure: bool) {
    if url.is_some_and(|url| !url.encrypted && !is_loopback(&url.host)) && !allow_insecure {
        let message = format!("{key:?} is not encrypted: secrets would cross the network in plain text");
        report.problem(at, (message, "use https://, or set allow_insecure: true where the network can be trusted"));
    }
}
