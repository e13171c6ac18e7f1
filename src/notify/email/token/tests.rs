//! Tokens as they are read and signed for; `tests/smtp/tokens.rs` fetches them over HTTP.

use rustls::SignatureScheme;

use super::assertion::{Algorithm, sign};
use super::*;
use crate::clock::ManualClock;
use crate::notify::email::{Grant, HttpAccess};
use crate::secret::Secret;

const KEY: &str = include_str!("../../../../tests/fixtures/mail/app.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("../../../../tests/fixtures/mail/app.pub.der");

fn now() -> DateTime<Utc> {
    "2026-11-23T09:10:00Z".parse().unwrap()
}

fn tokens(grant: Grant) -> Tokens {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = TokenOptions {
        url: "http://localhost/token".to_owned(),
        grant,
        scope: "https://outlook.office365.com/.default".to_owned(),
        access: HttpAccess::default(),
    };
    Tokens::new(options, &mut Gates::default(), Arc::new(ManualClock::new(now()))).unwrap()
}

fn by_secret() -> Tokens {
    tokens(Grant::Secret { client_id: "app".to_owned(), secret: Secret::given("correct horse") })
}

#[test]
fn a_token_is_replaced_five_minutes_before_its_end_or_after_three_quarters_of_a_short_life() {
    for (stated, kept) in [
        ("3599", 3299),
        ("\"3599\"", 3299),
        ("1200", 900),
        ("60", 45),
        ("0", 0),
        ("-5", 0),
        ("1e99", 450),
        ("null", 450),
        ("9223372036854775807", 86_100),
    ] {
        let answer = format!(r#"{{ "access_token": "t0ken", "token_type": "bearer", "expires_in": {stated} }}"#);
        let token = by_secret().parse(answer.as_bytes(), Vec::new()).unwrap();
        let kept = TimeDelta::seconds(kept);
        assert_eq!(token.remaining(now()), kept, "{stated}");
        let before_its_end = now() + kept - TimeDelta::milliseconds(1);
        assert_eq!((token.is_fresh(before_its_end), token.is_fresh(now() + kept)), (kept > TimeDelta::zero(), false));
    }
}

#[test]
fn an_answer_that_is_not_a_token_is_refused() {
    let long = format!(r#"{{ "access_token": "{}" }}"#, "x".repeat(LONGEST + 1));
    for answer in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{ "access_token": null }"#,
        r#"{ "access_token": "" }"#,
        r#"{ "access_token": "a b" }"#,
        r#"{ "access_token": "a\u0001auth=x" }"#,
        r#"{ "access_token": "a\r\nMAIL FROM:<x@y>" }"#,
        r#"{ "access_token": "t", "token_type": "mac" }"#,
        &long,
    ] {
        assert!(by_secret().parse(answer.as_bytes(), Vec::new()).is_err(), "{answer}");
    }
}

#[test]
fn the_roles_of_a_token_are_read_if_it_names_them() {
    let roles = |claims: &str| {
        let token = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
        let answer = serde_json::json!({ "access_token": token }).to_string();
        by_secret().parse(answer.as_bytes(), Vec::new()).unwrap().roles()
    };
    assert_eq!(roles(r#"{ "aud": "x", "roles": ["SMTP.SendAsApp"] }"#), Some(vec!["SMTP.SendAsApp".to_owned()]));
    assert_eq!(roles(r#"{ "aud": "x" }"#), Some(Vec::new()));
    assert_eq!(roles("opaque"), None);
}

#[test]
fn a_refusal_is_quoted_without_the_secret_and_with_advice() {
    let description = "AADSTS7000215: Invalid client secret provided: correct horse. it@acme.example";
    let body = serde_json::json!({ "error": "invalid_client", "error_description": description }).to_string();
    let answer = |status: u16, body: &str| Answer {
        status: reqwest::StatusCode::from_u16(status).unwrap(),
        retry_after: Some(Duration::from_secs(7)),
        body: body.as_bytes().to_owned(),
    };
    let redactor = Redactor::new(&[KnownSecret::password(SecretString::from("correct horse"))]);
    let refused = by_secret().refusal(&answer(401, &body), &redactor);
    assert!(!refused.reason.contains("correct horse") && !refused.reason.contains("it@"), "{refused}");
    assert!(refused.reason.contains("AADSTS7000215") && refused.reason.contains("What to do:"), "{refused}");
    assert_eq!(refused.for_log(), None);
    for (status, obstacle, wait) in [
        (301, Obstacle::Auth, None),
        (400, Obstacle::Auth, None),
        (401, Obstacle::Auth, None),
        (429, Obstacle::Deferred, Some(7)),
        (500, Obstacle::Deferred, Some(7)),
        (503, Obstacle::Deferred, Some(7)),
    ] {
        let error = by_secret().refusal(&answer(status, "no JSON"), &redactor);
        assert_eq!((error.obstacle, error.permanent, error.reply), (obstacle, false, Some(status)), "{error}");
        assert_eq!(error.retry_after.map(|wait| wait.as_secs()), wait, "{error}");
    }
}

/// The header and the claims of an assertion whose signature is valid.
fn verified(assertion: &str, scheme: SignatureScheme) -> (Json, Json) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, known) = algorithms.mapping.iter().find(|(known, _)| *known == scheme).unwrap();
    let signature = decode(signature);
    assert!(known.iter().any(|known| known.verify_signature(PUBLIC_KEY, signed.as_bytes(), &signature).is_ok()));
    let (header, claims) = signed.split_once('.').unwrap();
    (serde_json::from_slice(&decode(header)).unwrap(), serde_json::from_slice(&decode(claims)).unwrap())
}

/// The pairs of the form that a grant sends.
fn form(grant: Grant) -> std::collections::BTreeMap<String, String> {
    let request = grant::request(&tokens(grant).options, now()).unwrap();
    let url = reqwest::Url::parse(&format!("http://form/?{}", request.form.expose_secret())).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

#[test]
fn a_service_account_signs_its_assertion_with_rs256() {
    let account = serde_json::json!({ "client_email": "bot@x.iam", "private_key": KEY, "private_key_id": "k1" });
    let subject = crate::domain::address::Address::parse("driftwise@acme.example").unwrap();
    let sent = form(Grant::Google { service_account: Secret::given(account.to_string()), subject });
    assert_eq!(sent["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (header, claims) = verified(&sent["assertion"], SignatureScheme::RSA_PKCS1_SHA256);
    assert_eq!(header, serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!((&claims["iss"], &claims["sub"]), (&"bot@x.iam".into(), &"driftwise@acme.example".into()));
    assert_eq!((&claims["aud"], &claims["iat"]), (&"http://localhost/token".into(), &now().timestamp().into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}

#[test]
fn a_client_assertion_is_signed_with_the_key_in_the_file_or_taken_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let sent = |content: &str| {
        std::fs::write(&path, content).unwrap();
        form(Grant::Assertion { client_id: "app".to_owned(), file: Secret::File(path.clone()) })
    };
    let signed = sent(KEY);
    assert_eq!(signed["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let (header, claims) = verified(&signed["client_assertion"], SignatureScheme::RSA_PSS_SHA256);
    assert_eq!((&header["alg"], header["x5t#S256"].as_str().unwrap().len()), (&"PS256".into(), 43));
    assert_eq!((&claims["iss"], &claims["sub"]), (&"app".into(), &"app".into()));
    let federated = sent("e30.e30.c2ln\n");
    assert_eq!((federated["client_assertion"].as_str(), federated["client_id"].as_str()), ("e30.e30.c2ln", "app"));
}

#[test]
fn a_credential_that_cannot_be_used_is_a_transient_failure_that_does_not_quote_it() {
    let subject = || crate::domain::address::Address::parse("driftwise@acme.example").unwrap();
    let google = |text: &str| Grant::Google { service_account: Secret::given(text), subject: subject() };
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let elliptic = serde_json::json!({ "client_email": "x", "private_key": key }).to_string();
    let missing = || Secret::File("/nonexistent/app.pem".into());
    for grant in [
        google("canary-7f3a"),
        google("{}"),
        google(r#"{ "client_email": "x", "private_key": "canary-7f3a" }"#),
        google(&elliptic),
        Grant::Assertion { client_id: "app".to_owned(), file: missing() },
        Grant::Assertion { client_id: "app".to_owned(), file: Secret::given("canary-7f3a") },
        Grant::Secret { client_id: "app".to_owned(), secret: missing() },
    ] {
        let error = grant::request(&tokens(grant).options, now()).err().unwrap();
        assert_eq!((error.obstacle, error.permanent), (Obstacle::Auth, false), "{error}");
        assert!(!error.reason.contains("canary") && !error.reason.contains("BEGIN"), "{error}");
    }
    let signed = sign(Algorithm::Rs256, &[], &Json::Null, "no key");
    assert!(signed.is_err());
}
