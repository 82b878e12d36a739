//! `portreeve witness`: remembers elsewhere, for a customer or an auditor, how long the vendor's logs were, and cosigns only
//! what begins with that.
//! Not here: what the logs hold; a witness sees origins, sizes and roots. It needs no configuration file.
//! C2SP tlog-witness v1.0.0 (<https://c2sp.org/tlog-witness>), and the monitors' `<origin hash>/checkpoint` of what follows it.

mod memory;
mod site;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub use memory::{Error as MemoryError, Memory, create};

use crate::clock::{Clock, SystemClock};
use crate::disk::RealDisk;
use crate::net::https::{ALPN, Listener};
use crate::net::tls::{self, Certificate};

/// Connections from one address at once.
const PER_ADDRESS: usize = 64;

/// How a witness runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its folder: its key, the keys of the logs it watches (`logs/`), what it remembers (`checkpoints/`).
    pub state: PathBuf,
    /// Where logs reach it, HTTPS only.
    pub listen: SocketAddr,
    /// Its certificate chain (PEM).
    pub certificate: PathBuf,
    /// That certificate's private key (PEM).
    pub key: PathBuf,
}

/// Why it does not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it remembers, or its keys.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
    /// A socket or a signal.
    #[error("{what}: {source}")]
    System {
        /// What was tried, and where.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StartError {
    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
        let what = what.into();
        move |source| StartError::System { what, source }
    }

    /// Whether a file that was named must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            StartError::Memory(_) | StartError::Certificate(_) => true,
            StartError::System { .. } => false,
        }
    }
}

/// Runs until SIGTERM or SIGINT. SIGHUP has the certificate and the logs' keys read again.
///
/// # Errors
/// Any [`StartError`].
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::system("listen for SIGINT"))?;
    let listen = settings.listen;
    let socket = TcpListener::bind(listen).await.map_err(StartError::system(format!("listen on {listen}")))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run_on(&settings, socket, Arc::new(SystemClock), stop).await
}

/// Runs on a socket that is bound already, until `stop` is over.
///
/// # Errors
/// Any [`StartError`].
pub async fn run_on(
    settings: &Settings,
    socket: TcpListener,
    clock: Arc<dyn Clock>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::system("listen for SIGHUP"))?;
    let memory = Arc::new(Memory::open(Arc::new(RealDisk), &settings.state)?);
    let certificate = Certificate::load(&settings.certificate, &settings.key)?;
    let unusable = "the witness's socket";
    let address = socket.local_addr().map_err(StartError::system(unusable))?;
    let listener =
        Listener::start(socket, certificate.server_config(ALPN)?, PER_ADDRESS).map_err(StartError::system(unusable))?;
    tracing::info!(%address, key = memory.verifier_key().text(), logs = ?memory.origins(), "the witness is open");
    let again = {
        let memory = Arc::clone(&memory);
        async move {
            while hangup.recv().await.is_some() {
                match memory.read_logs().map_err(StartError::from).and_then(|()| Ok(certificate.reload()?)) {
                    Ok(()) => tracing::info!(logs = ?memory.origins(), "certificate and logs' keys read again"),
                    Err(error) => tracing::error!(%error, "certificate and keys in use stay"),
                }
            }
        }
    };
    let again = tokio::spawn(again);
    let served = axum::serve(listener, site::router(memory, clock)).with_graceful_shutdown(stop).await;
    again.abort();
    served.map_err(StartError::system(unusable))
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
