//! The token endpoint and Microsoft Graph over HTTPS: the certificates that are trusted, and how the others are refused.

use std::sync::Arc;

use driftwise::domain::address::{Address, NamedAddress};
use driftwise::notify::email::{Delivery, Email, GraphOptions, HttpAccess, Options, SmtpOptions, TokenOptions};
use driftwise::notify::{Channel as _, Obstacle, SendError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::outbound;
use crate::support::certificate::{authority, ca_file};
use crate::support::endpoint::{Endpoint, Reply, issued};
use crate::tokens::{SECRET, USER, token_options};

const TOKEN: &str = "first-token-of-all";

/// An endpoint behind TLS.
struct Secured {
    url: String,
    plain: Endpoint,
    _tasks: JoinSet<()>,
}

impl Secured {
    /// `certificate`: one of the test authority, in PEM.
    async fn start(certificate: &str, reply: Reply) -> Self {
        let plain = Endpoint::start([reply]).await;
        let behind = plain.url.rsplit_once('/').unwrap().1.to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(authority().key.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that refuses the certificate ends the handshake.
                if let Ok(mut secured) = acceptor.accept(stream).await {
                    let mut onward = TcpStream::connect(&behind).await.unwrap();
                    let _ = copy_bidirectional(&mut secured, &mut onward).await;
                }
            }
        });
        Self { url, plain, _tasks: tasks }
    }
}

/// Sends one mail over Graph with tokens from `tokens`.
async fn send(graph: &str, tokens: &str, trusting: bool) -> Result<(), SendError> {
    let access = HttpAccess { ca_file: trusting.then(ca_file), ..HttpAccess::default() };
    let options = GraphOptions {
        base_url: format!("{graph}/v1.0"),
        user: Address::parse(USER).unwrap(),
        token: TokenOptions { access, ..token_options(tokens) },
        timeout: SmtpOptions::TIMEOUT,
    };
    let from = NamedAddress::parse(USER).unwrap();
    let email = Email::new(Options { from, delivery: Delivery::Graph(options), public_url: None }).unwrap();
    email.send(&outbound(&email, "it@acme.example")).await
}

/// Asserts a transient failure of TLS that names the server and the remedy, and none of the secrets.
fn refused(sent: Result<(), SendError>, server: &str, why: &str) {
    let error = sent.unwrap_err();
    assert_eq!((error.obstacle, error.permanent), (Obstacle::Tls, false), "{error}");
    assert!(error.reason.contains(server) && error.reason.contains(why), "{error}");
    let said = format!("{error} {error:?}");
    assert!(!said.contains(SECRET) && !said.contains(TOKEN), "{said}");
}

const UNKNOWN: &str = "its issuer is not trusted (ca_file can name a CA of your own)";
const EXPIRED: &str = "the certificate is not trusted: it has expired";

#[tokio::test]
async fn a_private_ca_is_trusted_by_both_if_the_configuration_names_it() {
    let tokens = Secured::start(&authority().cert, issued(TOKEN)).await;
    let graph = Secured::start(&authority().cert, Reply::Text(202, "")).await;
    send(&graph.url, &tokens.url, true).await.unwrap();
    assert_eq!((tokens.plain.asked().len(), graph.plain.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_token_endpoint_with_a_wrong_certificate_receives_no_secret() {
    let graph = Endpoint::start([Reply::Text(202, "")]).await;
    for (certificate, trusting, why) in [(&authority().cert, false, UNKNOWN), (&authority().expired, true, EXPIRED)] {
        let tokens = Secured::start(certificate, issued(TOKEN)).await;
        refused(send(&graph.url, &tokens.url, trusting).await, "the token endpoint localhost", why);
        assert_eq!((tokens.plain.asked().len(), graph.asked().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_graph_with_a_wrong_certificate_receives_no_token() {
    for (certificate, trusting, why) in [(&authority().cert, false, UNKNOWN), (&authority().expired, true, EXPIRED)] {
        let tokens = Endpoint::start([issued(TOKEN)]).await;
        let graph = Secured::start(certificate, Reply::Text(202, "")).await;
        refused(send(&graph.url, &tokens.url, trusting).await, "Microsoft Graph at localhost", why);
        assert_eq!((tokens.asked().len(), graph.plain.asked().len()), (1, 0));
    }
}
