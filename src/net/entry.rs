//! How a client comes in: SSLRequest or direct TLS, GSSENCRequest declined, cancel requests, plaintext turned away.
//! Not here: who the client is (`proxy/sign_in.rs`).
//! [PostgreSQL 18, SSL session encryption](https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-SSL)

use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::wire::Fault;
use crate::wire::startup::{self, First, Startup};

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// The protocol's name in ALPN; without it a direct TLS connection could be another protocol's.
pub const ALPN: &[u8] = b"postgresql";

/// What came in.
#[derive(Debug)]
pub enum Entry {
    /// A start-up packet over TLS.
    Session(Box<TlsStream<TcpStream>>, Startup),
    /// A cancel request, over TLS or not.
    Cancel(Asking, CancelKey),
    /// A start-up packet without TLS: to be refused in the clear.
    Plaintext(TcpStream, Startup),
    /// A packet over TLS, in due form, that asks for what is not spoken here, such as protocol 4.0: to be refused in words.
    Unspoken(Box<TlsStream<TcpStream>>, Fault),
}

/// Whom a cancel request means.
#[derive(Debug)]
pub struct CancelKey {
    /// The process id it names.
    pub pid: i32,
    /// The secret it shows.
    pub secret: Bytes,
}

/// The connection of a cancel request. Its close is the only answer: the cancel was dealt with.
#[derive(Debug)]
pub enum Asking {
    /// As libpq 17 and newer do it.
    OverTls(Box<TlsStream<TcpStream>>),
    /// As older clients do it, the secret readable on the way.
    InTheClear(TcpStream),
}

impl Asking {
    /// Closes as PostgreSQL does, over TLS with close_notify: without it libpq takes the end for a broken connection.
    pub async fn close(self) -> io::Result<()> {
        match self {
            Asking::OverTls(mut stream) => stream.shutdown().await,
            Asking::InTheClear(mut stream) => stream.shutdown().await,
        }
    }
}

/// Why nothing came in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke or closed.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The bytes are not PostgreSQL's protocol.
    #[error("not a PostgreSQL client: {0}")]
    Garbage(String),
    /// Bytes stood in the connection before the TLS handshake: somebody in the middle may have put them there.
    #[error("received unencrypted data after the request for encryption")]
    EarlyData,
    /// Direct TLS without the protocol's name in ALPN.
    #[error("direct TLS without ALPN \"postgresql\"")]
    NoAlpn,
    /// The same request for encryption twice, or one inside TLS.
    #[error("an encryption request where none is due")]
    Repeated,
}

/// Takes one connection through its entry. Reads exactly what each step needs, so that no byte sent in the clear can
/// be taken for one sent over TLS.
pub async fn enter(mut tcp: TcpStream, tls: &TlsAcceptor) -> Result<Entry, Error> {
    let mut asked_for_gss = false;
    loop {
        let mut first = [0; 1];
        if tcp.peek(&mut first).await? == 0 {
            return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        if first == [TLS_HANDSHAKE] && !asked_for_gss {
            return over_tls(tcp, tls, Alpn::Required).await;
        }
        let first = first_packet(&mut tcp).await?;
        match first.map_err(|fault| Error::Garbage(fault.to_string()))? {
            First::SslRequest => {
                nothing_more(&tcp).await?;
                tcp.write_all(b"S").await?;
                return over_tls(tcp, tls, Alpn::IfOffered).await;
            }
            First::GssEncRequest if asked_for_gss => return Err(Error::Repeated),
            First::GssEncRequest => {
                nothing_more(&tcp).await?;
                tcp.write_all(b"N").await?;
                asked_for_gss = true;
            }
            First::CancelRequest { pid, secret } => {
                return Ok(Entry::Cancel(Asking::InTheClear(tcp), CancelKey { pid, secret }));
            }
            First::Startup(startup) => return Ok(Entry::Plaintext(tcp, startup)),
        }
    }
}

/// Whether the client must name the protocol in its handshake.
enum Alpn {
    Required,
    IfOffered,
}

async fn over_tls(tcp: TcpStream, tls: &TlsAcceptor, alpn: Alpn) -> Result<Entry, Error> {
    let mut stream = tls.accept(tcp).await?;
    let named = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    match (named.as_deref(), alpn) {
        (Some(ALPN), _) | (None, Alpn::IfOffered) => {}
        (Some(_) | None, _) => return Err(Error::NoAlpn),
    }
    match first_packet(&mut stream).await? {
        Ok(First::Startup(startup)) => Ok(Entry::Session(Box::new(stream), startup)),
        Ok(First::CancelRequest { pid, secret }) => {
            Ok(Entry::Cancel(Asking::OverTls(Box::new(stream)), CancelKey { pid, secret }))
        }
        Ok(First::SslRequest | First::GssEncRequest) => Err(Error::Repeated),
        Err(fault @ Fault::Refused(_)) => Ok(Entry::Unspoken(Box::new(stream), fault)),
        Err(fault) => Err(Error::Garbage(fault.to_string())),
    }
}

/// Reads one packet that has no type byte: its length first, then exactly the rest. The inner error is the packet's.
async fn first_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<Result<First, Fault>, Error> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let total = u32::from_be_bytes(length) as usize;
    if !(8..=startup::PACKET_BYTES_MAX).contains(&total) {
        return Err(Error::Garbage(format!("a first packet of {total} bytes")));
    }
    let mut packet = BytesMut::zeroed(total);
    let (head, body) = packet.split_at_mut(4);
    head.copy_from_slice(&length);
    stream.read_exact(body).await?;
    Ok(startup::parse(&packet.freeze()))
}

/// Refuses a connection that holds bytes its peer should not have sent yet.
async fn nothing_more(tcp: &TcpStream) -> Result<(), Error> {
    let mut byte = [0; 1];
    let mut peek = pin!(tcp.peek(&mut byte));
    let early = std::future::poll_fn(|cx| {
        Poll::Ready(match peek.as_mut().poll(cx) {
            Poll::Ready(Ok(count)) => Ok(count > 0),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        })
    })
    .await?;
    if early { Err(Error::EarlyData) } else { Ok(()) }
}
