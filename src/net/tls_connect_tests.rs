use super::*;
use crate::cli::demo::certificates::{Authority, Certificates};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

fn server(chain: &Path, key: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions")
        .with_no_client_auth()
        .with_single_cert(
            certificates("a certificate", chain).expect("just written"),
            PrivateKeyDer::from_pem_file(key).expect("just written"),
        )
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn handshake(ca: &Path, name: &str, chain: &Path, key: &Path) -> Result<(), String> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let acceptor = server(chain, key);
    let accepted = tokio::spawn(async move { acceptor.accept(theirs).await.map(drop) });
    let tls = VerifiedTls::new(client_config(ca, None).expect("a CA"), name).expect("a name");
    let connected = TlsConnect::connect(tls, ours).await.map(drop).map_err(|error| error.to_string());
    drop(accepted.await);
    connected
}

#[tokio::test]
async fn only_the_right_name_signed_by_the_right_ca_is_believed() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = Certificates::create(directory.path()).expect("certificates");
    let elsewhere = Authority::create(directory.path(), "elsewhere").expect("another CA");
    let false_one = elsewhere
        .issue(directory.path(), "false", vec!["localhost".to_owned()], ExtendedKeyUsagePurpose::ServerAuth)
        .expect("signed by another CA");

    let (ca, right) = (&own.cluster_ca, &own.cluster);
    assert_eq!(handshake(ca, "localhost", &right.certificate, &right.key).await, Ok(()));
    assert_eq!(handshake(ca, "127.0.0.1", &right.certificate, &right.key).await, Ok(()));
    for (name, chain, key, why) in [
        ("db.example.org", &right.certificate, &right.key, "not valid for name"),
        ("localhost", &false_one.certificate, &false_one.key, "UnknownIssuer"),
        ("localhost", &own.gate.certificate, &own.gate.key, "UnknownIssuer"),
        ("localhost", &own.proxy.certificate, &own.proxy.key, "invalid peer certificate"),
    ] {
        let refused = handshake(ca, name, chain, key).await.expect_err("must be refused");
        assert!(refused.contains(why), "{name}: {refused}");
    }
}

#[test]
fn what_is_not_a_certificate_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing here").expect("a file");
    let error = client_config(&empty, None).expect_err("no certificate").to_string();
    assert!(error.contains("empty.pem") && error.contains("expected PEM"), "{error}");
    let absent = client_config(&directory.path().join("absent.pem"), None).expect_err("no file").to_string();
    assert!(absent.contains("absent.pem"), "{absent}");
}

#[test]
fn channel_binding_is_the_digest_of_the_certificate() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = Certificates::create(directory.path()).expect("certificates");
    let certificate = CertificateDer::from_pem_file(&own.cluster.certificate).expect("a certificate");
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
    assert_eq!(server_end_point(&certificate).as_deref(), Some(sha256.as_ref()));
    for cut in 0..certificate.len().min(600) {
        let part = certificate.get(..cut).expect("shorter");
        assert!(server_end_point(part).is_none(), "a certificate of {cut} bytes has no signature");
    }
}
