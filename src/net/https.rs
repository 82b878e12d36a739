//! The socket of a site: TLS 1.2 and 1.3 over TCP, with bounded connections, and a bound on how long each may dawdle.
//! Not here: HTTP, and the certificate (`net/tls.rs`). Handshakes run beside `accept`, so a slow one delays nobody.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The protocol that is offered in ALPN.
pub const ALPN: &[u8] = b"http/1.1";
/// Connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 512;
/// From connecting until the TLS handshake is done.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// From one byte of an answer (or the handshake) to the next: covers slow headers, slow bodies, idle connections
/// and clients that do not read.
const TURN: Duration = Duration::from_secs(60);
/// However busy, a connection ends after this.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Peer(stream.remote_addr().ip().to_canonical())
    }
}

/// Gives connections whose handshake is done.
pub struct Listener {
    address: SocketAddr,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Starts to accept on that socket,
    /// and takes at most so many connections from one address.
    pub fn start(socket: TcpListener, config: Arc<ServerConfig>, per_address: usize) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        let (done, ready) = mpsc::channel(64);
        let places = Places::new(per_address);
        let accepting = tokio::spawn(accept(socket, TlsAcceptor::from(config), places, done));
        Ok(Listener { address, ready, accepting })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Room for connections, altogether and per address.
struct Places {
    all: Arc<Semaphore>,
    per_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Room for one connection, given back when it is dropped.
struct Place {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _one: OwnedSemaphorePermit,
}

impl Places {
    fn new(per_address: usize) -> Places {
        Places { all: Arc::new(Semaphore::new(CONNECTIONS_MAX)), per_address, taken: Arc::default() }
    }

    /// Room for that address; none if it has its share.
    fn take(&self, address: IpAddr, one: OwnedSemaphorePermit) -> Option<Place> {
        let address = address.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { address, taken: Arc::clone(&self.taken), _one: one })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

async fn accept(
    socket: TcpListener,
    acceptor: TlsAcceptor,
    places: Places,
    done: mpsc::Sender<(Connection, SocketAddr)>,
) {
    loop {
        let Ok(one) = Arc::clone(&places.all).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, address)) => match places.take(address.ip(), one) {
                Some(place) => {
                    tokio::spawn(greet(stream, address, acceptor.clone(), place, done.clone()));
                }
                None => tracing::debug!(%address, "too many connections to this site from one address"),
            },
            // Out of file descriptors, or a client that left already: neither ends the site.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    place: Place,
    done: mpsc::Sender<(Connection, SocketAddr)>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => {
            // An error means that the site is stopping: the connection closes with it.
            let _stopping = done.send((Connection::new(tls, place), address)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, %address, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends only when this listener is dropped.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// One TLS connection, closed when its turn or its life is over.
pub struct Connection {
    tls: TlsStream<TcpStream>,
    until: Pin<Box<Sleep>>,
    end: Instant,
    _place: Place,
}

impl Connection {
    fn new(tls: TlsStream<TcpStream>, place: Place) -> Connection {
        let now = Instant::now();
        Connection { tls, until: Box::pin(sleep_until(now + TURN)), end: now + LIFE, _place: place }
    }

    fn late(&mut self, context: &mut Context<'_>) -> bool {
        self.until.as_mut().poll(context).is_ready()
    }

    fn wrote(&mut self, bytes: usize) {
        if bytes > 0 {
            let next = (Instant::now() + TURN).min(self.end);
            self.until.as_mut().reset(next);
        }
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the connection's turn is over")
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.late(cx) {
            return Poll::Ready(Err(too_late()));
        }
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.late(cx) {
            return Poll::Ready(Err(too_late()));
        }
        let written = Pin::new(&mut self.tls).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.wrote(count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.late(cx) {
            return Poll::Ready(Err(too_late()));
        }
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.late(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
