//! A client that sends whatever it is told to, and reads what comes, message by message, each wait bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ground::{Ground, PATIENCE};
use crate::packets::{frame, ssl_request, start_up, strings};

/// A message of the server.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse; empty if it is not there.
    pub(crate) fn field(&self, code: u8) -> String {
        let fields = self.body.split(|byte| *byte == 0);
        let found = fields.filter_map(|field| field.split_first()).find(|(first, _)| **first == code);
        found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    pub(crate) fn sqlstate(&self) -> String {
        self.field(b'C')
    }

    /// Whether this is an Authentication message of that kind.
    pub(crate) fn asks(&self, kind: u32) -> bool {
        self.tag == b'R' && self.body.starts_with(&kind.to_be_bytes())
    }
}

/// The tags of messages, to compare.
pub(crate) fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// The last message, which must be a FATAL error.
pub(crate) fn fatal(messages: &[Message]) -> &Message {
    let last = messages.last().expect("a message");
    assert_eq!((last.tag, last.field(b'V').as_str()), (b'E', "FATAL"), "{messages:?}");
    last
}

#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) address: SocketAddr,
    buffer: BytesMut,
}

pub(crate) type Encrypted = Wire<TlsStream<TcpStream>>;

/// A client that has said nothing yet.
pub(crate) async fn connect(port: u16) -> Wire<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
    stream.set_nodelay(true).expect("a socket option");
    let address = stream.local_addr().expect("an address");
    Wire { stream, address, buffer: BytesMut::new() }
}

/// A client that asked for TLS and has it.
pub(crate) async fn encrypted(ground: &Ground) -> Encrypted {
    let mut plain = connect(ground.stage.gate_port()).await;
    plain.send(&ssl_request()).await;
    assert_eq!(plain.byte().await, Some(b'S'));
    plain.handshake(ground.tls()).await.expect("a handshake")
}

impl Wire<TcpStream> {
    pub(crate) async fn handshake(self, tls: Arc<ClientConfig>) -> io::Result<Encrypted> {
        let name = ServerName::try_from("localhost").expect("a name");
        let handshake = TlsConnector::from(tls).connect(name, self.stream);
        let stream = timeout(PATIENCE, handshake).await.expect("a handshake in time")?;
        Ok(Wire { stream, address: self.address, buffer: BytesMut::new() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Sends in one piece. If the gate has closed already, that is seen when reading.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(PATIENCE, sent).await.expect("the gate reads") {
            Ok(()) => {}
            Err(error) => assert!(is_closed(&error), "{error}"),
        }
    }

    async fn read(&mut self) -> bool {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("the gate answers or closes") {
            Ok(count) => count > 0,
            Err(error) => {
                assert!(is_closed(&error), "{error}");
                false
            }
        }
    }

    /// One byte; none at the end.
    pub(crate) async fn byte(&mut self) -> Option<u8> {
        while self.buffer.is_empty() {
            if !self.read().await {
                return None;
            }
        }
        Some(self.buffer.get_u8())
    }

    /// All bytes to the end.
    pub(crate) async fn bytes(&mut self) -> Bytes {
        while self.read().await {}
        self.buffer.split().freeze()
    }

    /// The next message; none at the end.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some((header, rest)) = self.buffer.split_first_chunk::<5>() {
                let [tag, length @ ..] = *header;
                let body = usize::try_from(u32::from_be_bytes(length)).expect("a length") - 4;
                if rest.len() >= body {
                    self.buffer.advance(5);
                    return Some(Message { tag, body: self.buffer.split_to(body).freeze() });
                }
            }
            if !self.read().await {
                assert!(self.buffer.is_empty(), "half a message: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// All messages up to one with that tag, or to the end.
    pub(crate) async fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            let is_last = message.tag == tag;
            messages.push(message);
            if is_last {
                break;
            }
        }
        messages
    }

    /// All messages to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }

    /// Answers the SCRAM exchange after the start-up packet; all messages up to ReadyForQuery or the end.
    pub(crate) async fn prove(&mut self, password: &str) -> Vec<Message> {
        let mut messages = self.until(b'R').await;
        if !messages.last().is_some_and(|message| message.asks(10)) {
            return messages;
        }
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        self.send(&frame(b'p', &initial_response(scram.message()))).await;
        let challenge = self.until(b'R').await;
        let is_challenge = challenge.last().is_some_and(|message| message.asks(11));
        let data = challenge.last().and_then(|message| message.body.get(4..)).unwrap_or_default().to_vec();
        messages.extend(challenge);
        if !is_challenge {
            return messages;
        }
        scram.update(&data).expect("a challenge");
        self.send(&frame(b'p', scram.message())).await;
        messages.extend(self.until(b'Z').await);
        messages
    }
}

/// A SASLInitialResponse's body.
pub(crate) fn initial_response(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&strings(&["SCRAM-SHA-256"]), length.to_be_bytes().as_slice(), message].concat()
}

/// The peer is gone: orderly, abruptly, with unread bytes of ours, or with a TLS alert.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | InvalidData | UnexpectedEof)
}

/// A session that is open.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) wire: Encrypted,
    pub(crate) greeting: Vec<Message>,
}

impl Session {
    /// The process id and the secret for cancelling.
    pub(crate) fn key(&self) -> (i32, Bytes) {
        let key = self.greeting.iter().find(|message| message.tag == b'K').expect("BackendKeyData");
        let mut body = key.body.clone();
        (body.get_i32(), body)
    }

    /// Runs a statement; all messages up to ReadyForQuery or the end.
    pub(crate) async fn query(&mut self, text: &str) -> Vec<Message> {
        self.wire.send(&crate::packets::query(text)).await;
        self.wire.until(b'Z').await
    }
}

/// Sends that start-up packet over TLS and signs in; all messages up to ReadyForQuery or the end.
pub(crate) async fn start(ground: &Ground, packet: &[u8], password: &str) -> (Encrypted, Vec<Message>) {
    let mut wire = encrypted(ground).await;
    wire.send(packet).await;
    let messages = wire.prove(password).await;
    (wire, messages)
}

/// Signs in as the member of staff, which must succeed.
pub(crate) async fn session(ground: &Ground, customer: &str) -> Session {
    let packet = start_up(3, 0, &[("user", "jane"), ("database", customer)]);
    let (wire, greeting) = start(ground, &packet, &ground.password()).await;
    assert!(greeting.last().is_some_and(|message| message.tag == b'Z'), "{greeting:?}");
    Session { wire, greeting }
}
