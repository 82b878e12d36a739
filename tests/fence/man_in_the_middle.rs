//! Somebody between the fence and its server: a pooler that invents process ids, and a server that would rather not
//! speak TLS.

use std::sync::Arc;

use portreeve::fence::{Error, Fence};
use portreeve::grant::Scope;
use portreeve::net::tls_connect::{Identity, client_config};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::ground::{Ground, upstream_of};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// BackendKeyData of protocol 3.0: tag and length.
const KEY_DATA: &[u8] = b"K\0\0\0\x0c";

/// Passes everything on but adds 1 to the process id in BackendKeyData.
async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let bytes = buffer.get_mut(..read).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        if let Some(at) = bytes.windows(KEY_DATA.len()).position(|window| window == KEY_DATA)
            && let Some(id) = bytes.get_mut(at + KEY_DATA.len()..).and_then(|rest| rest.first_chunk_mut::<4>())
        {
            *id = (i32::from_be_bytes(*id) + 1).to_be_bytes();
        }
        to.write_all(bytes).await?;
        to.flush().await?;
    }
}

async fn pooler(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    port: u16,
) -> std::io::Result<()> {
    loop {
        let (mut client, _) = listener.accept().await?;
        client.read_exact(&mut [0; 8]).await?;
        client.write_all(b"S").await?;
        let client = acceptor.accept(client).await?;
        let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
        server.write_all(&SSL_REQUEST).await?;
        server.read_exact(&mut [0; 1]).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let server = connector.connect(name, server).await?;
        let (client_reads, client_writes) = tokio::io::split(client);
        let (server_reads, server_writes) = tokio::io::split(server);
        tokio::spawn(pass_on(client_reads, server_writes));
        tokio::spawn(pass_on(server_reads, client_writes));
    }
}

#[tokio::test]
async fn a_pooler_is_recognised_by_the_process_ids_it_invents() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let own = ground.cluster.certificates();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&own.cluster.certificate).expect("a certificate")],
            PrivateKeyDer::from_pem_file(&own.cluster.key).expect("a key"),
        )
        .expect("they belong together");
    let identity = Identity { chain: &own.proxy.certificate, key: &own.proxy.key };
    let client = client_config(&own.cluster_ca, Some(identity)).expect("files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(pooler(
        listener,
        TlsAcceptor::from(Arc::new(server)),
        TlsConnector::from(client),
        ground.cluster.port(),
    ));

    let mut upstream = upstream_of(&ground.cluster);
    upstream.port = port;
    let fence = Fence::new(upstream).expect("a fence");
    let report = fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    let words: Vec<&str> = report.refusals.iter().map(|finding| finding.word.as_str()).collect();
    assert_eq!(words, ["pooler"], "{report:#?}");
}

#[tokio::test]
async fn a_server_without_tls_gets_no_byte_of_ours() {
    let ground = Ground::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut upstream = upstream_of(&ground.cluster);
    upstream.port = listener.local_addr().expect("an address").port();
    let heard = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut request = [0; 8];
        client.read_exact(&mut request).await.expect("a request");
        client.write_all(b"N").await.expect("an answer");
        let mut more = Vec::new();
        client.read_to_end(&mut more).await.expect("the end");
        (request, more)
    });
    let fence = Fence::new(upstream).expect("a fence");
    let refused = fence.fate("acme", "1").await;
    drop(fence);
    let (request, more) = heard.await.expect("no panic");
    assert_eq!((request, more), (SSL_REQUEST, Vec::new()));
    match refused.expect_err("no TLS") {
        Error::Unreachable { reason, .. } => assert!(reason.contains("does not support TLS"), "{reason}"),
        other => panic!("unreachable, not {other}"),
    }
}
