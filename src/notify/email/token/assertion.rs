//! Signed assertions (JWT, RFC 7523), which take the place of a secret at a token endpoint.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use serde_json::{Value as Json, json};

/// How an assertion is signed. Both need an RSA key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    fn scheme(self) -> SignatureScheme {
        match self {
            Self::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            Self::Ps256 => SignatureScheme::RSA_PSS_SHA256,
        }
    }
}

/// Signs `claims` with a private key in PEM; `header` is added to the header. The error never quotes the key.
pub(super) fn sign(
    algorithm: Algorithm,
    header: &[(&str, String)],
    claims: &Json,
    key: &str,
) -> Result<SecretString, &'static str> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "it holds no private key in PEM form")?;
    let key = any_supported_type(&key).map_err(|_| "its private key is of an unknown kind")?;
    let signer = key.choose_scheme(&[algorithm.scheme()]).ok_or("its private key is not an RSA key")?;
    let mut full = json!({ "alg": algorithm.name(), "typ": "JWT" });
    for (name, value) in header {
        full[*name] = value.as_str().into();
    }
    let encode = |json: &Json| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let content = format!("{}.{}", encode(&full), encode(claims));
    let signature = signer.sign(content.as_bytes()).map_err(|_| "its private key cannot sign")?;
    Ok(SecretString::from(format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
}
