//! TLS towards PostgreSQL servers: rustls for tokio-postgres, always with the server's name and chain verified.
//! Not here: a plaintext fallback; callers set `SslMode::Require`, and a configuration without a CA cannot be built.
//! Channel binding `tls-server-end-point` follows RFC 5929 section 4.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// Why no TLS configuration towards a server could be made. All of them are faults of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file could not be read or holds nothing of the expected kind.
    #[error("cannot read {what} from {}: {reason}; expected PEM", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The reader's words.
        reason: String,
    },
    /// Certificate, key or chain do not fit together.
    #[error("cannot use {} for TLS: {source}", path.display())]
    Unusable {
        /// The file that was being used.
        path: PathBuf,
        /// rustls' reason.
        source: rustls::Error,
    },
    /// The name to verify is neither a DNS name nor an address.
    #[error("\"{0}\" is neither a DNS name nor an IP address; set the server name as it stands in the certificate")]
    Name(String),
}

/// The certificate with which we identify ourselves, and its key: PEM files.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Chain, our own certificate first.
    pub chain: &'a Path,
    /// Private key (PKCS #8, PKCS #1 or SEC1).
    pub key: &'a Path,
}

/// A client configuration that trusts the CAs in the PEM file `ca` and nothing else, offers TLS 1.2 and 1.3 and ALPN
/// `postgresql`, and shows `identity` where a server asks for it.
pub fn client_config(ca: &Path, identity: Option<Identity<'_>>) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Unusable { path, source }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("a CA certificate", ca)? {
        roots.add(certificate).map_err(unusable(ca))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable(ca))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| Error::Pem {
                what: "a private key",
                path: key.to_owned(),
                reason: error.to_string(),
            })?;
            builder
                .with_client_auth_cert(certificates("a client certificate", chain)?, private)
                .map_err(unusable(chain))?
        }
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = |reason: String| Error::Pem { what, path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(error.to_string()))?;
    if found.is_empty() { Err(pem("no certificate in it".to_owned())) } else { Ok(found) }
}

/// Makes TLS connections for tokio-postgres. The name that is verified is fixed here, whatever host is dialled.
#[derive(Clone)]
pub struct VerifiedTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl VerifiedTls {
    /// TLS by `config` towards a server whose certificate must be valid for `server_name` (DNS name or address).
    pub fn new(config: Arc<ClientConfig>, server_name: &str) -> Result<Self, Error> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| Error::Name(server_name.to_owned()))?;
        Ok(VerifiedTls { connector: TlsConnector::from(config), name })
    }
}

impl<S> MakeTlsConnect<S> for VerifiedTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = VerifiedStream<S>;
    type TlsConnect = VerifiedTls;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _host: &str) -> Result<VerifiedTls, io::Error> {
        Ok(self.clone())
    }
}

impl<S> TlsConnect<S> for VerifiedTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = VerifiedStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<VerifiedStream<S>, io::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, stream).await.map(VerifiedStream) })
    }
}

/// An established TLS connection to a server that proved its name.
pub struct VerifiedStream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for VerifiedStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        session
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| server_end_point(certificate))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for VerifiedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for VerifiedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The `tls-server-end-point` binding of a certificate in DER: its digest under the hash of its own signature, where
/// MD5 and SHA-1 count as SHA-256. `None` where the signature names no single known hash (Ed25519, RSASSA-PSS).
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let algorithm = match signature_algorithm(certificate)? {
        // 1.2.840.113549.1.1: md5, sha1, sha256, sha384, sha512 WithRSAEncryption
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11] => &SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] => &SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13] => &SHA512,
        // 1.2.840.10045.4: ecdsa-with-SHA1, ecdsa-with-SHA256, -384, -512
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2] => &SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 3] => &SHA384,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 4] => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, … }, … }`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_, after_tbs) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(after_tbs, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(oid, _)| oid)
}

/// One DER element with `tag`: its content and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = digits.iter().try_fold(0_usize, |sum, &digit| {
            sum.checked_mul(256).and_then(|sum| sum.checked_add(usize::from(digit)))
        })?;
        (length, rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
#[path = "tls_connect_tests.rs"]
mod tests;
