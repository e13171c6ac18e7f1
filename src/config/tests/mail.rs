//! The sign-ins of the mail account, as they are read.

use secrecy::ExposeSecret as _;

use super::super::{Delivery, GraphConfig, SmtpConfig, TokenConfig, TokenCredential};
use super::load_text;
use super::mappings::{AUDITED, GRID};

fn delivery(email: &str) -> Delivery {
    let text = format!("{GRID}{AUDITED}email:\n  from: a@b.example\n{email}");
    load_text(&text).unwrap_or_else(|problems| panic!("{problems}")).email.unwrap().delivery
}

fn smtp(keys: &str) -> SmtpConfig {
    match delivery(&format!("  smtp: {{ host: mail.example, {keys} }}\n")) {
        Delivery::Smtp(smtp) => smtp,
        other => panic!("{other:?}"),
    }
}

fn graph(keys: &str) -> GraphConfig {
    match delivery(&format!("  graph: {{ client_id: app, client_secret: s, user: a@b.example, {keys} }}\n")) {
        Delivery::Graph(graph) => graph,
        other => panic!("{other:?}"),
    }
}

fn token(keys: &str) -> TokenConfig {
    smtp(&format!("username: u, oauth2: {{ {keys} }}")).oauth2.unwrap()
}

#[test]
fn an_app_of_microsoft_has_the_scope_of_exchange() {
    let read = token("token_url: \"https://h/token\", client_id: app, client_secret: { env: SMTP_PASSWORD }");
    assert_eq!((read.url.as_str(), read.scope.as_str()), ("https://h/token", "https://outlook.office365.com/.default"));
    assert!(matches!(read.credential, TokenCredential::Secret { client_id, .. } if client_id == "app"));
    let read = token("token_url: \"https://h/t\", client_id: app, client_secret: s, client_secret_expires: 2027-01-31");
    let TokenCredential::Secret { end, .. } = read.credential else { panic!("{read:?}") };
    assert_eq!(end.unwrap().to_rfc3339(), "2027-01-31T00:00:00+00:00");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail/app.pem");
    let read = token(&format!("token_url: \"https://h/t\", client_id: app, client_assertion_file: {file}, scope: x"));
    let TokenCredential::Assertion { file, .. } = read.credential else { panic!("{read:?}") };
    assert!(file.value().unwrap().expose_secret().contains("PRIVATE KEY") && read.scope == "x");
}

#[test]
fn the_end_of_a_client_secret_needs_the_secret() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail/app.pem");
    let app = format!("tenant: t, client_id: app, user: a@b.example, client_assertion_file: {file}");
    let text = format!(
        "{GRID}{AUDITED}email:\n  from: a@b.example\n  graph: {{ {app}, client_secret_expires: 2027-01-31 }}\n"
    );
    let problems = load_text(&text).unwrap_err();
    assert!(problems.contains("\"client_secret_expires\" is given without \"client_secret\""), "{problems}");
}

#[test]
fn a_service_account_of_google_has_its_endpoint_and_its_user() {
    let read = smtp("oauth2: { google: { service_account: \"{}\", subject: g@b.example } }");
    let token = read.oauth2.unwrap();
    assert_eq!(read.username.as_deref(), Some("g@b.example"));
    assert_eq!(
        (token.url.as_str(), token.scope.as_str()),
        ("https://oauth2.googleapis.com/token", "https://mail.google.com/")
    );
}

#[test]
fn graph_has_the_token_endpoint_of_its_tenant_and_the_scope_of_its_cloud() {
    let read = graph("tenant: b.example");
    assert_eq!(read.base_url, "https://graph.microsoft.com/v1.0");
    assert_eq!(read.token.url, "https://login.microsoftonline.com/b.example/oauth2/v2.0/token");
    assert_eq!((read.token.scope.as_str(), read.max_per_minute), ("https://graph.microsoft.com/.default", 30));
    let read = graph("tenant: b.example, base_url: \"https://graph.microsoft.us/v1.0/\", token_url: \"https://h/t\"");
    assert_eq!((read.base_url.as_str(), read.token.url.as_str()), ("https://graph.microsoft.us/v1.0", "https://h/t"));
    assert_eq!(read.token.scope, "https://graph.microsoft.us/.default");
}

#[test]
fn an_address_without_tls_is_for_this_machine_or_for_those_who_allow_it() {
    let here = "base_url: \"http://127.0.0.1:9/v1.0\", token_url: \"http://localhost:9/t\"";
    assert!(!graph(&format!("tenant: t, {here}")).token.allow_insecure);
    let elsewhere = "base_url: \"http://h/v1.0\", token_url: \"http://h/t\", allow_insecure: true";
    assert!(graph(&format!("tenant: t, {elsewhere}")).token.allow_insecure);
}
