//! Somebody between a client and the gate: no client that verifies is talked into plaintext or a false gate, and one
//! that does not insist is turned away by the gate itself.

use std::sync::Arc;

use portreeve::cli::demo::certificates::Authority;
use portreeve::cli::demo::stage::said;
use portreeve::net::tls_connect::VerifiedTls;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres::config::SslMode;
use tokio_rustls::TlsAcceptor;

use crate::ground::Ground;
use crate::middleman::{Middleman, Trick, is_broken_off};
use crate::packets::ssl_request;

/// What a server with a certificate of another authority, for the right name, presents.
pub(crate) fn false_server(ground: &Ground) -> TlsAcceptor {
    let directory = tempfile::tempdir().expect("a folder");
    let authority = Authority::create(directory.path(), "false-ca").expect("an authority");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pair =
        authority.issue(directory.path(), "false", names, ExtendedKeyUsagePurpose::ServerAuth).expect("a certificate");
    let provider = Arc::clone(ground.tls().crypto_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&pair.certificate).expect("a certificate")],
            PrivateKeyDer::from_pem_file(&pair.key).expect("a key"),
        )
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_talked_into_plaintext_or_a_false_gate() {
    let mut ground = Ground::with(&[], &[]).await;
    ground.open("acme", "read");
    let middle = Middleman::start("127.0.0.1", ground.stage.gate_port(), false_server(&ground)).await;
    let (gate, there) = (format!("port={}", ground.stage.gate_port()), format!("port={}", middle.port));
    let moved = ground.stage.conninfo("acme").replace(&gate, &there);
    let through = |mode: &str| moved.replace("sslmode=verify-full", &format!("sslmode={mode}"));
    // It does nothing yet: the way through it works.
    let output = ground.psql(&through("verify-full"), "select 'through'");
    assert!(output.status.success(), "{}", said(&output));

    for (trick, told) in [
        (Trick::Decline, "server does not support SSL, but SSL was required"),
        (Trick::Strip, "server does not support SSL, but SSL was required"),
        (Trick::Impersonate, "certificate verify failed"),
        (Trick::Inject, "received unencrypted data after SSL response"),
    ] {
        middle.play(trick);
        let output = ground.psql(&through("verify-full"), "select 'in the middle'");
        let text = said(&output);
        assert!(!output.status.success() && text.contains(told), "{trick:?}: {text}");
        let refused = tokio_postgres_through(&ground, middle.port).await;
        match trick {
            Trick::Impersonate | Trick::Inject => assert!(refused.contains("TLS"), "{trick:?}: {refused}"),
            Trick::Pass | Trick::Decline | Trick::Stall | Trick::Strip => {
                assert!(refused.contains("server does not support TLS"), "{trick:?}: {refused}");
            }
        }
        for (trick, heard) in middle.heard(trick, 2).await {
            assert!(heard.starts_with(&ssl_request()), "{trick:?}: {heard:?}");
            let more = heard.get(8..).unwrap_or_default();
            // No start-up packet, no name, no proof.
            let is_harmless = if trick == Trick::Inject { is_broken_off(more) } else { more.is_empty() };
            assert!(is_harmless && !contains(more, b"jane") && !contains(more, b"user"), "{trick:?}: {more:?}");
        }
    }
    // A client that does not insist is stripped, and the gate does not have it.
    ground.expect_more(1, "no TLS", "refused", "plaintext", "28000");
    middle.play(Trick::Strip);
    let output = ground.psql(&through("prefer"), "select 'in the clear'");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("the gate accepts encrypted connections only"), "{text}");
    // The right authority, another name.
    middle.play(Trick::Pass);
    let elsewhere = through("verify-full").replace("host=localhost", "host=gate.example hostaddr=127.0.0.1");
    let output = ground.psql(&elsewhere, "select 'elsewhere'");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("does not match host name \"gate.example\""), "{text}");
    ground.holds().await;
    for text in ["in the middle", "in the clear", "elsewhere"] {
        assert!(ground.records("statement", text).is_empty(), "{text}");
    }
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// tokio-postgres with TLS required, through whoever listens at that port; what it was refused with.
async fn tokio_postgres_through(ground: &Ground, port: u16) -> String {
    let mut config = tokio_postgres::Config::new();
    config.host("localhost").port(port).dbname("acme").user("jane").password(ground.password());
    config.ssl_mode(SslMode::Require);
    let tls = VerifiedTls::new(ground.tls(), "localhost").expect("a name");
    match config.connect(tls).await {
        Ok(_) => "nothing: it got in".to_owned(),
        Err(error) => format!("{error}: {error:?}"),
    }
}
