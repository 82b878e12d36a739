//! TLS towards clients: what the gate and the portal present, and how a renewed certificate is taken up.
//! Not here: TLS towards the upstream (`net/tls_connect.rs`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use crate::clock::Timestamp;

/// The plaintext of one record towards a client: libpq's asynchronous calls stall on larger ones.
const RECORD_BYTES_MAX: usize = 8192;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate file cannot be read or holds no certificate.
    #[error("certificate {path}: {reason}; expected a PEM file with the certificate chain, leaf first")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key file cannot be read or does not belong to the certificate.
    #[error("private key {path}: {reason}; expected a PEM file with the certificate's private key")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The TLS library refuses the settings.
    #[error("TLS settings: {0}")]
    Settings(#[from] rustls::Error),
}

/// A certificate and its key, read again on demand without touching connections that are open.
pub struct Certificate {
    chain_path: PathBuf,
    key_path: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain_path", &self.chain_path).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Certificate>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(read(chain, key, &provider)?));
        Ok(Arc::new(Certificate { chain_path: chain.to_owned(), key_path: key.to_owned(), provider, current }))
    }

    /// Reads both files again; what was there before stays if they cannot be used.
    pub fn reload(&self) -> Result<(), Error> {
        let renewed = Arc::new(read(&self.chain_path, &self.key_path, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// TLS 1.2 and 1.3 with this certificate, naming `alpn` if a client asks.
    pub fn server_config(self: &Arc<Self>, alpn: &[u8]) -> Result<Arc<rustls::ServerConfig>, Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.max_fragment_size = Some(RECORD_BYTES_MAX);
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Whether the first certificate of that file is out of its time `at` then.
///
/// # Errors
/// If the file cannot be read, or holds no certificate.
pub fn is_over(chain: &Path, at: Timestamp) -> Result<bool, Error> {
    let failed = |reason: String| Error::Certificate { path: chain.to_owned(), reason };
    let certificates = chain_of(chain)?;
    let (leaf, rest) = certificates.split_first().ok_or_else(|| failed("it holds no certificate".to_owned()))?;
    let mut roots = RootCertStore::empty();
    // Trusted or not, what is asked is the time, which is looked at first.
    roots.add(leaf.clone())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let since_1970 = Duration::from_micros(u64::try_from(at.0).unwrap_or_default());
    let name = ServerName::try_from("localhost").map_err(|error| failed(error.to_string()))?;
    let verified = verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::since_unix_epoch(since_1970));
    Ok(matches!(
        verified,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ))
    ))
}

fn chain_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| Error::Certificate { path: path.to_owned(), reason: error.to_string() })
}

fn read(chain_path: &Path, key_path: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let certificate = |reason: String| Error::Certificate { path: chain_path.to_owned(), reason };
    let key = |reason: String| Error::Key { path: key_path.to_owned(), reason };
    let chain = chain_of(chain_path)?;
    if chain.is_empty() {
        return Err(certificate("it holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key_path).map_err(|error| key(error.to_string()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| key(error.to_string()))
}
