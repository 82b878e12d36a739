//! The floor: a relay with TLS on both sides that copies bytes and knows nothing of what they mean.
//! Run as a process of its own by starting the bench with [`ARGUMENT`]; it ends when its standard input does.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve::net::tls_connect::client_config;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Failed;

/// The first argument by which the bench is the relay: then the server's port and CA, our certificate and key.
pub const ARGUMENT: &str = "relay";

/// SSLRequest: its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// As the gate reads: one TLS record at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Listens on a free port, says which on standard output, and relays until standard input ends.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Failed> {
    let mut next = || arguments.next().ok_or("the relay needs a port, a CA, a certificate and a key");
    let port: u16 = next()?.parse()?;
    let connector = TlsConnector::from(client_config(&PathBuf::from(next()?), None)?);
    let (chain, key) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let accepting = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                if let Err(error) = relay(client, port, acceptor, connector).await {
                    // Clients end as they like.
                    tracing::debug!(%error, "a relayed connection ended");
                }
            });
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    accepting.abort();
    Ok(())
}

async fn relay(
    mut client: TcpStream,
    port: u16,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
) -> Result<(), std::io::Error> {
    client.set_nodelay(true)?;
    client.read_exact(&mut [0; 8]).await?;
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.set_nodelay(true)?;
    server.write_all(&SSL_REQUEST).await?;
    server.read_exact(&mut [0; 1]).await?;
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let mut server = connector.connect(name, server).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
