//! One connection to the customers' database, opened for one session: TLS with verified name, SCRAM, start-up.
//! Not here: what is said over it (`proxy/relay.rs`); the provisioner's own connections (`fence/`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::secret::Secret;
use crate::wire::backend::{Backend, Walker};
use crate::wire::startup;

/// The server's messages before the first ReadyForQuery are small; more than this is not a PostgreSQL server.
const GREETING_BYTES_MAX: usize = 1 << 20;

/// Where the database is and how it proves to be itself.
#[derive(Clone)]
pub struct Target {
    /// Host name or address; the certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Roots, client certificate, versions.
    pub tls: Arc<rustls::ClientConfig>,
    /// How long connecting, encrypting and signing in may take together.
    pub within: Duration,
}

/// Why there is no connection. None of these texts holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there.
    #[error("cannot reach the database at {place}: {source}")]
    Unreachable {
        /// Host and port.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// It answers, but cannot prove to be itself, or does not speak TLS.
    #[error("the database at {place} cannot be trusted: {reason}")]
    Untrusted {
        /// Host and port.
        place: String,
        /// What is wrong with its proof.
        reason: String,
    },
    /// It refused the sign-in.
    #[error("the database at {place} refused the session's role: {message} (SQLSTATE {sqlstate})")]
    Refused {
        /// Host and port.
        place: String,
        /// The server's SQLSTATE.
        sqlstate: String,
        /// The server's primary message.
        message: String,
    },
    /// It said something that is not the protocol.
    #[error("the database at {place} broke the protocol: {reason}")]
    Protocol {
        /// Host and port.
        place: String,
        /// What it said.
        reason: String,
    },
    /// It took too long.
    #[error("the database at {place} did not answer within {within:?}")]
    Late {
        /// Host and port.
        place: String,
        /// The time it had.
        within: Duration,
    },
}

/// An open connection, signed in and ready.
#[derive(Debug)]
pub struct Connection {
    /// The encrypted stream.
    pub stream: TlsStream<TcpStream>,
    /// ParameterStatus and notices the server sent while signing in, as they came.
    pub greeting: BytesMut,
    /// The server's process id.
    pub backend: i32,
    /// The server's own cancel secret, which no client sees.
    pub secret: Bytes,
    /// Bytes read after ReadyForQuery.
    pub rest: BytesMut,
}

impl Target {
    /// Host and port, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Opens a connection as `role`. `parameters` are sent as they stand, user and database among them.
    pub async fn connect(&self, parameters: &[(&str, &str)], password: &Secret<String>) -> Result<Connection, Error> {
        let work = async {
            let stream = self.encrypted().await?;
            let mut greeter = Greeter { target: self, stream, buffer: BytesMut::with_capacity(4096) };
            let packet = startup::build_startup(startup::VERSION_3_0, parameters);
            let packet = packet.map_err(|fault| greeter.broke(fault.to_string()))?;
            greeter.send(&packet).await?;
            greeter.authenticate(password).await?;
            greeter.settle().await
        };
        tokio::time::timeout(self.within, work).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Asks the server, over TLS, to cancel what that backend runs. The server never answers; it closes.
    pub async fn cancel(&self, backend: i32, secret: &[u8]) -> Result<(), Error> {
        self.canceller().await?.cancel(backend, secret).await
    }

    /// An encrypted connection over which nothing was asked yet: what takes time when cancelling, done ahead.
    pub async fn canceller(&self) -> Result<Canceller, Error> {
        let until = Instant::now() + self.within;
        match timeout_at(until, self.encrypted()).await {
            Ok(stream) => Ok(Canceller { target: self.clone(), stream: stream?, until }),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Error {
        Error::Late { place: self.place(), within: self.within }
    }

    async fn encrypted(&self) -> Result<TlsStream<TcpStream>, Error> {
        let unreachable = |source| Error::Unreachable { place: self.place(), source };
        let untrusted = |reason: String| Error::Untrusted { place: self.place(), reason };
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        tcp.write_all(&startup::ssl_request()).await.map_err(unreachable)?;
        // Exactly one byte is read in the clear: whatever else stands there goes into the handshake and breaks it.
        let mut answer = [0; 1];
        tcp.read_exact(&mut answer).await.map_err(unreachable)?;
        if answer != *b"S" {
            return Err(untrusted("it does not offer TLS; set ssl = on in its postgresql.conf".to_owned()));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| untrusted(error.to_string()))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, tcp).await.map_err(|error| untrusted(error.to_string()))
    }
}

/// A connection over which one cancel can be sent.
pub struct Canceller {
    target: Target,
    stream: TlsStream<TcpStream>,
    until: Instant,
}

impl Canceller {
    /// Asks to cancel what that backend runs; answers when the server has signalled it, so that the backend's next
    /// statement is out of the cancel's reach.
    pub async fn cancel(self, backend: i32, secret: &[u8]) -> Result<(), Error> {
        let Canceller { target, mut stream, until } = self;
        let work = async {
            let broken = |source| Error::Unreachable { place: target.place(), source };
            let packet = startup::cancel_request_packet(backend, secret);
            let packet =
                packet.map_err(|fault| Error::Protocol { place: target.place(), reason: fault.to_string() })?;
            stream.write_all(&packet).await.map_err(broken)?;
            stream.flush().await.map_err(broken)?;
            // The server closes once it has signalled the backend. An abrupt close is as good as an orderly one.
            let mut end = [0; 1];
            match stream.read(&mut end).await {
                Ok(_) | Err(_) => Ok(()),
            }
        };
        timeout_at(until, work).await.unwrap_or_else(|_| Err(target.late()))
    }
}

/// A connection between the start-up packet and the first ReadyForQuery.
struct Greeter<'a> {
    target: &'a Target,
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Greeter<'_> {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let broken = |source| Error::Unreachable { place: self.target.place(), source };
        self.stream.write_all(bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The next whole message of the server, type byte and length included.
    async fn message(&mut self) -> Result<BytesMut, Error> {
        loop {
            if let Some((header, _)) = self.buffer.split_first_chunk::<5>() {
                let [_, length @ ..] = *header;
                let total = 1 + u32::from_be_bytes(length) as usize;
                if !(5..=GREETING_BYTES_MAX).contains(&total) {
                    return Err(self.broke(format!("a message of {total} bytes during sign-in")));
                }
                if self.buffer.len() >= total {
                    return Ok(self.buffer.split_to(total));
                }
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => return Err(self.broke("it closed the connection during sign-in".to_owned())),
                Ok(_) => {}
                Err(source) => return Err(Error::Unreachable { place: self.target.place(), source }),
            }
        }
    }

    /// The next message, if it is of one of the types awaited; an ErrorResponse becomes an error.
    async fn expect(&mut self, awaited: &str) -> Result<(u8, Bytes), Error> {
        let message = self.message().await?.freeze();
        let tag = message.first().copied().unwrap_or_default();
        let body = message.slice(5.min(message.len())..);
        if tag == b'E' {
            let (sqlstate, message) = self.said(&message)?;
            return Err(Error::Refused { place: self.target.place(), sqlstate, message });
        }
        if awaited.as_bytes().contains(&tag) {
            Ok((tag, body))
        } else {
            Err(self.broke(format!("message '{}' while one of \"{awaited}\" was due", char::from(tag))))
        }
    }

    /// The SQLSTATE and primary message of an ErrorResponse.
    fn said(&self, message: &[u8]) -> Result<(String, String), Error> {
        let mut said = (String::new(), String::new());
        let walked = Walker::new().walk(message, |message| {
            if let Backend::ErrorResponse(fields) = message {
                said = (fields.sqlstate(), fields.message());
            }
        });
        walked.map(|()| said).map_err(|fault| self.broke(fault.to_string()))
    }

    fn broke(&self, reason: String) -> Error {
        Error::Protocol { place: self.target.place(), reason }
    }

    /// SCRAM-SHA-256 and nothing less: a server that asks for a weaker proof is not given one.
    async fn authenticate(&mut self, password: &Secret<String>) -> Result<(), Error> {
        let offered = self.authentication(10).await?;
        if !offered.split(|byte| *byte == 0).any(|mechanism| mechanism == SCRAM_SHA_256.as_bytes()) {
            return Err(self.broke("it does not offer SCRAM-SHA-256".to_owned()));
        }
        let mut scram = ScramSha256::new(password.expose().as_bytes(), ChannelBinding::unsupported());
        let mut first = Vec::from(SCRAM_SHA_256.as_bytes());
        first.push(0);
        let length = u32::try_from(scram.message().len()).unwrap_or(u32::MAX);
        first.extend_from_slice(&length.to_be_bytes());
        first.extend_from_slice(scram.message());
        self.send(&password_message(&first)).await?;
        let challenge = self.authentication(11).await?;
        scram.update(&challenge).map_err(|error| self.broke(format!("SCRAM: {error}")))?;
        self.send(&password_message(scram.message())).await?;
        let proof = self.authentication(12).await?;
        scram.finish(&proof).map_err(|error| Error::Untrusted {
            place: self.target.place(),
            reason: format!("its SCRAM proof is wrong: {error}"),
        })?;
        self.authentication(0).await.map(|_| ())
    }

    /// The body of the next Authentication message, which must be of that kind.
    async fn authentication(&mut self, kind: u32) -> Result<Bytes, Error> {
        let (_, mut body) = self.expect("R").await?;
        let found = body.split_first_chunk::<4>().map(|(found, _)| u32::from_be_bytes(*found));
        if found == Some(kind) {
            Ok(body.split_off(4))
        } else {
            Err(self.broke(format!(
                "authentication request {found:?} while {kind} was due; the session's role must use SCRAM"
            )))
        }
    }

    /// Reads up to the first ReadyForQuery.
    async fn settle(mut self) -> Result<Connection, Error> {
        let mut greeting = BytesMut::new();
        let mut key: Option<(i32, Bytes)> = None;
        loop {
            let (tag, body) = self.expect("SNKZv").await?;
            match tag {
                b'K' => {
                    let (pid, _) = body.split_first_chunk::<4>().ok_or_else(|| self.broke("a short key".to_owned()))?;
                    key = Some((i32::from_be_bytes(*pid), body.slice(4..)));
                }
                b'Z' => {
                    let (backend, secret) = key.ok_or_else(|| {
                        self.broke("no BackendKeyData: is it a pooler? Statements there cannot be ended".to_owned())
                    })?;
                    return Ok(Connection { stream: self.stream, greeting, backend, secret, rest: self.buffer });
                }
                _ => append_message(&mut greeting, tag, &body),
            }
            if greeting.len() > GREETING_BYTES_MAX {
                return Err(self.broke("more than 1 MiB before ReadyForQuery".to_owned()));
            }
        }
    }
}

fn password_message(body: &[u8]) -> BytesMut {
    let mut message = BytesMut::new();
    append_message(&mut message, b'p', body);
    message
}

fn append_message(to: &mut BytesMut, tag: u8, body: &[u8]) {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    to.extend_from_slice(&[tag]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(body);
}
