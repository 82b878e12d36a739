//! Somebody in the middle: listens, passes connections on or plays a trick on them, and remembers what it heard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::ground::PATIENCE;
use crate::packets::{frame, ssl_request};

/// What it does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trick {
    /// Passes every byte on.
    Pass,
    /// Answers `N` to SSLRequest and listens.
    Decline,
    /// Takes SSLRequest and never answers.
    Stall,
    /// Answers `N` to SSLRequest and passes on whatever then comes in the clear.
    Strip,
    /// Answers `S` and shows a certificate of its own.
    Impersonate,
    /// Puts a message in the clear between the server's `S` and its handshake: the sign-in succeeded.
    Inject,
}

pub(crate) struct Middleman {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Trick, Vec<u8>)>>,
}

struct Shared {
    server: u16,
    trick: Mutex<Trick>,
    identity: TlsAcceptor,
    heard: mpsc::UnboundedSender<(Trick, Vec<u8>)>,
}

impl Middleman {
    /// Listens at `address` and stands before the server at 127.0.0.1 on that port. At first it only passes on.
    pub(crate) async fn start(address: &str, server: u16, identity: TlsAcceptor) -> Middleman {
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let port = listener.local_addr().as_ref().map(SocketAddr::port).expect("an address");
        let (sender, heard) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { server, trick: Mutex::new(Trick::Pass), identity, heard: sender });
        let each = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((victim, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&each).meet(victim));
            }
        });
        Middleman { port, shared, heard: tokio::sync::Mutex::new(heard) }
    }

    /// What it does with connections from now on.
    pub(crate) fn play(&self, trick: Trick) {
        *self.shared.trick.lock().unwrap_or_else(PoisonError::into_inner) = trick;
    }

    /// What it heard on the next so many connections it played that trick on, each from its first byte to its end; and on
    /// those that ended meanwhile, of tricks before.
    pub(crate) async fn heard(&self, trick: Trick, count: usize) -> Vec<(Trick, Vec<u8>)> {
        let (mut all, mut of_it) = (Vec::new(), 0);
        let mut heard = self.heard.lock().await;
        while of_it < count {
            let next = timeout(PATIENCE, heard.recv()).await.expect("somebody was tricked").expect("it listens");
            of_it += usize::from(next.0 == trick);
            all.push(next);
        }
        all
    }
}

/// A victim or a server that closes the connection is none of this one's business: results of writes are not looked at.
impl Shared {
    async fn meet(self: Arc<Shared>, mut victim: TcpStream) {
        let trick = *self.trick.lock().unwrap_or_else(PoisonError::into_inner);
        if trick == Trick::Pass {
            let mut server = self.server().await;
            // Either side may close as it likes.
            copy_bidirectional(&mut victim, &mut server).await.map(drop).unwrap_or_default();
            return;
        }
        let mut request = vec![0; 8];
        if victim.read_exact(&mut request).await.is_err() {
            return;
        }
        let more = match trick {
            Trick::Pass => Vec::new(),
            Trick::Decline => answer(victim, b"N").await,
            Trick::Stall => answer(victim, b"").await,
            Trick::Strip => self.strip(victim).await,
            Trick::Impersonate => self.impersonate(victim).await,
            Trick::Inject => self.inject(victim).await,
        };
        request.extend(more);
        // The test may be over.
        self.heard.send((trick, request)).unwrap_or_default();
    }

    async fn server(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.server)).await.expect("the server listens")
    }

    /// Whatever the victim says in the clear goes to the server, and is remembered.
    async fn strip(&self, mut victim: TcpStream) -> Vec<u8> {
        victim.write_all(b"N").await.unwrap_or_default();
        let mut heard = vec![0; 64 * 1024];
        let count = victim.read(&mut heard).await.unwrap_or_default();
        heard.truncate(count);
        if !heard.is_empty() {
            let mut server = self.server().await;
            server.write_all(&heard).await.unwrap_or_default();
            copy_bidirectional(&mut victim, &mut server).await.map(drop).unwrap_or_default();
        }
        heard
    }

    /// What follows is encrypted from end to end; the victim must find the message that was not.
    async fn inject(&self, mut victim: TcpStream) -> Vec<u8> {
        let mut server = self.server().await;
        server.write_all(&ssl_request()).await.unwrap_or_default();
        server.read_exact(&mut [0; 1]).await.map(drop).unwrap_or_default();
        let ready = [b"S", &frame(b'R', &[0; 4])[..], &frame(b'Z', b"I")].concat();
        victim.write_all(&ready).await.unwrap_or_default();
        let (mut from_victim, mut to_victim) = victim.split();
        let (mut from_server, mut to_server) = server.split();
        let mut heard = Vec::new();
        let listen = async {
            let mut piece = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_victim.read(&mut piece).await {
                heard.extend_from_slice(piece.get(..count).unwrap_or_default());
                to_server.write_all(piece.get(..count).unwrap_or_default()).await.unwrap_or_default();
            }
            to_server.shutdown().await.unwrap_or_default();
        };
        // The server's part of the handshake, which nobody should wait for.
        let pass_on = async {
            copy(&mut from_server, &mut to_victim).await.map(drop).unwrap_or_default();
            to_victim.shutdown().await.unwrap_or_default();
        };
        tokio::join!(listen, pass_on);
        heard
    }

    /// Everything the victim says to a false server beside the handshake: nothing, unless it takes the certificate.
    async fn impersonate(&self, mut victim: TcpStream) -> Vec<u8> {
        victim.write_all(b"S").await.unwrap_or_default();
        let mut first = vec![0; 1024];
        let count = victim.peek(&mut first).await.unwrap_or_default();
        first.truncate(count);
        if first.first().is_some_and(|kind| *kind != HANDSHAKE) {
            return first;
        }
        match self.identity.accept(victim).await {
            Ok(mut stream) => {
                // In TLS 1.3 a server may be done before the client has refused it.
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.map(drop).unwrap_or_default();
                heard
            }
            Err(_) => Vec::new(),
        }
    }
}

/// Types of TLS records (RFC 8446, section 5.1).
const CHANGE_CIPHER_SPEC: u8 = 0x14;
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const ENCRYPTED: u8 = 0x17;

/// Whether these bytes are a handshake that was begun and broken off: a ClientHello and an alert. libpq looks for what came
/// in the clear only when the handshake is over: of it there are its Finished and an alert besides, encrypted, and known by
/// their sizes. A start-up packet would be one record more.
pub(crate) fn is_broken_off(bytes: &[u8]) -> bool {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some(([kind, _, _, length @ ..], after)) = rest.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(after) = after.get(length..) else { return false };
        records.push((*kind, length));
        rest = after;
    }
    // The digest of the Finished is of 32 or 48 bytes.
    let finished = [(CHANGE_CIPHER_SPEC, 1), (ENCRYPTED, 4 + 32 + 1 + 16), (ENCRYPTED, 4 + 48 + 1 + 16)];
    let is_refusal = match records.as_slice() {
        [(HANDSHAKE, _)] | [(HANDSHAKE, _), (ALERT, 2)] => true,
        [(HANDSHAKE, _), said @ .., (ENCRYPTED, 19)] | [(HANDSHAKE, _), said @ ..] => {
            said.len() <= 2 && said.iter().all(|record| finished.contains(record))
        }
        _ => false,
    };
    is_refusal && rest.is_empty()
}

/// Answers, and listens to the end.
async fn answer(mut victim: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    victim.write_all(bytes).await.unwrap_or_default();
    victim.read_to_end(&mut heard).await.map(drop).unwrap_or_default();
    heard
}
