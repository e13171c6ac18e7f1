//! Certificates: which ones the client trusts, and how it describes the others.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A private CA, and the file with its certificate.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn certificate(&self, name: &str) -> TlsAcceptor {
        self.certificate_of(name, 2020, 2999)
    }

    /// Valid from the first of January of one year to that of another.
    fn certificate_of(&self, name: &str, from: i32, to: i32) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Polls a server with this certificate, as `localhost`.
async fn ask(acceptor: TlsAcceptor, ca_file: Option<&Path>) -> Result<RawSnapshot, FetchError> {
    ask_and_end(acceptor, ca_file).await.0
}

/// The same, with the end of the certificate as the source knows it afterwards.
async fn ask_and_end(
    acceptor: TlsAcceptor,
    ca_file: Option<&Path>,
) -> (Result<RawSnapshot, FetchError>, Option<DateTime<Utc>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, export(ok(b"[{\"a\":1}]"))).await;
            }
        }
    });
    let options = OrderWiseOptions {
        ca_file: ca_file.map(Path::to_owned),
        ..options(&format!("https://localhost:{port}/OWAPI"))
    };
    let source = OrderWise::new(options).unwrap();
    (source.fetch(at(0)).await, source.certificate_end())
}

#[tokio::test]
async fn a_poll_shows_when_the_certificate_of_the_server_ends() {
    let authority = Authority::new();
    let file = authority.file();
    let (answer, end) = ask_and_end(authority.certificate_of("localhost", 2020, 2090), Some(&file)).await;
    assert_eq!((answer.unwrap().rows.len(), end), (1, "2090-01-01T00:00:00Z".parse().ok()));
    let (refused, end) = ask_and_end(authority.certificate("localhost"), None).await;
    assert!(refused.is_err() && end.is_none(), "{end:?}");
}

#[tokio::test]
async fn a_private_ca_is_trusted_if_the_configuration_names_it() {
    let authority = Authority::new();
    let file = authority.file();
    assert_eq!(ask(authority.certificate("localhost"), Some(&file)).await.unwrap().rows.len(), 1);
    let unknown = ask(authority.certificate("localhost"), None).await;
    failed(unknown, Failure::Tls, "the certificate is not trusted: its issuer is not trusted");
}

#[tokio::test]
async fn reasons_distinguish_an_expired_a_future_and_a_foreign_certificate() {
    let authority = Authority::new();
    let file = authority.file();
    let expired = ask(authority.certificate_of("localhost", 2020, 2021), Some(&file)).await;
    failed(expired, Failure::Tls, "the certificate is not trusted: it has expired");
    let early = ask(authority.certificate_of("localhost", 2998, 2999), Some(&file)).await;
    failed(early, Failure::Tls, "the certificate is not trusted: it is not valid yet");
    let other = ask(authority.certificate("erp.acme.example"), Some(&file)).await;
    failed(other, Failure::Tls, "the certificate is not trusted: it is for another host name");
}

#[tokio::test]
async fn a_port_without_tls_is_named_as_the_reason() {
    let server = raw(|_| Vec::new()).await;
    let plain = serve(Simulator::new(1)).await;
    let url = plain.url().replace("http://", "https://");
    failed(orderwise(&url).fetch(at(0)).await, Failure::Tls, "it does not speak TLS on this port");
    drop(server);
}

#[test]
fn a_ca_file_that_holds_no_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let build = || OrderWise::new(OrderWiseOptions { ca_file: Some(path.clone()), ..options("https://localhost/") });
    assert!(build().err().unwrap().to_string().contains("cannot read the CA file"));
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, text).unwrap();
        assert!(build().is_err(), "{text:?}");
    }
}
