//! The request for a token, by the kind of credential. Files are read at each request, so that a rotated credential takes effect.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::super::refusal::{cause, transient};
use super::super::{Grant, TokenOptions};
use super::assertion::{Algorithm, sign};
use crate::notify::{Obstacle, SendError};
use crate::secret::{KnownSecret, Secret};

/// How long an assertion is valid. A clock that is a few minutes wrong does no harm; Google permits an hour.
const VALID: TimeDelta = TimeDelta::minutes(10);

/// A request for a token.
pub(super) struct Request {
    /// The body, as a form.
    pub form: SecretString,
    /// The secrets in it.
    pub known: Vec<KnownSecret>,
}

/// The part of a service account's key file that is used here.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
}

pub(super) fn request(options: &TokenOptions, now: DateTime<Utc>) -> Result<Request, SendError> {
    const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let client = |client_id: &str, more: &[(&str, &str)]| {
        let common = [("grant_type", "client_credentials"), ("client_id", client_id), ("scope", &options.scope)];
        form(common.iter().chain(more))
    };
    match &options.grant {
        Grant::Secret { client_id, secret } => {
            let secret = read("the client secret", secret)?;
            let form = client(client_id, &[("client_secret", secret.expose_secret())]);
            Ok(Request { form, known: vec![KnownSecret::password(secret)] })
        }
        Grant::Assertion { client_id, file } => {
            let (assertion, mut known) = client_assertion(options, client_id, file, now)?;
            let more = [("client_assertion_type", ASSERTION), ("client_assertion", assertion.expose_secret())];
            let form = client(client_id, &more);
            known.push(KnownSecret::token(assertion));
            Ok(Request { form, known })
        }
        Grant::Google { service_account, subject } => {
            let what = "the key of the service account";
            let secret = read(what, service_account)?;
            let account = serde_json::from_str::<ServiceAccount>(secret.expose_secret())
                .map_err(|_| unusable(what, "it is not the JSON file that Google issues"))?;
            let header = account.private_key_id.map(|id| ("kid", id));
            let claims = json!({
                "iss": account.client_email, "sub": subject.as_str(), "scope": options.scope, "aud": options.url,
                "iat": now.timestamp(), "exp": (now + VALID).timestamp(),
            });
            let assertion = sign(Algorithm::Rs256, header.as_slice(), &claims, &account.private_key);
            let assertion = assertion.map_err(|why| unusable(what, why))?;
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            let form = form([grant, ("assertion", assertion.expose_secret())].iter());
            Ok(Request { form, known: vec![KnownSecret::token(account.private_key), KnownSecret::token(assertion)] })
        }
    }
}

/// An assertion from a file: one that the file holds (a federated token, which Kubernetes renews), or one that the private
/// key in it signs, with its certificate named in the form that Microsoft asks for.
fn client_assertion(
    options: &TokenOptions,
    client_id: &str,
    file: &Secret,
    now: DateTime<Utc>,
) -> Result<(SecretString, Vec<KnownSecret>), SendError> {
    let what = "the client assertion";
    let content = read(what, file)?;
    let text = content.expose_secret();
    if !text.contains("-----BEGIN") {
        let parts = text.trim().split('.').collect::<Vec<_>>();
        if parts.len() != 3 || !text.trim().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(unusable(what, "it is neither a token (JWT) nor a private key and certificate in PEM form"));
        }
        return Ok((SecretString::from(text.trim()), Vec::new()));
    }
    let certificate = CertificateDer::from_pem_slice(text.as_bytes());
    let certificate = certificate.map_err(|_| unusable(what, "it holds no certificate in PEM form"))?;
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": options.url, "jti": id(client_id, now),
        "iat": now.timestamp(), "nbf": now.timestamp(), "exp": (now + VALID).timestamp(),
    });
    let assertion = sign(Algorithm::Ps256, &[("x5t#S256", thumbprint)], &claims, text);
    Ok((assertion.map_err(|why| unusable(what, why))?, vec![KnownSecret::token(content)]))
}

/// The id of an assertion; it need not be hard to guess.
fn id(client_id: &str, now: DateTime<Utc>) -> String {
    let name = format!("{client_id} {}", now.timestamp_micros());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

fn read(what: &str, secret: &Secret) -> Result<SecretString, SendError> {
    secret.value().map_err(|error| transient(Obstacle::Auth, format!("cannot read {what}: {}", cause(&error))))
}

fn unusable(what: &str, why: &str) -> SendError {
    transient(Obstacle::Auth, format!("cannot use {what}: {why}"))
}

fn form<'a>(pairs: impl Iterator<Item = &'a (&'a str, &'a str)>) -> SecretString {
    // The query of a URL has the encoding of a form.
    let url = Url::parse_with_params("http://form/", pairs).ok();
    SecretString::from(url.as_ref().and_then(Url::query).unwrap_or_default())
}
