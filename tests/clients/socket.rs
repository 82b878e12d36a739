//! A client of bare frames: it sends what it is told to, in one write, and reads messages without understanding them.

use std::time::Duration;

use bytes::BytesMut;
use portreeve::cli::demo::cluster::Cluster;
use portreeve::cli::demo::stage::{STAFF, Stage};
use postgres_protocol::IsNull;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::TlsConnect as _;

use super::ground::{CUSTOMER, tls, within};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Frames under way to the server.
#[derive(Default)]
pub(crate) struct Frames(pub(crate) BytesMut);

impl Frames {
    pub(crate) fn query(mut self, text: &str) -> Frames {
        frontend::query(text, &mut self.0).expect("a frame");
        self
    }

    pub(crate) fn parse(mut self, name: &str, text: &str) -> Frames {
        frontend::parse(name, text, [], &mut self.0).expect("a frame");
        self
    }

    /// Text values.
    pub(crate) fn bind(mut self, portal: &str, statement: &str, values: &[&str]) -> Frames {
        let put = |value: &&str, out: &mut BytesMut| {
            out.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        let bound = frontend::bind(portal, statement, [], values, put, [], &mut self.0);
        assert!(bound.is_ok(), "a frame");
        self
    }

    pub(crate) fn execute(mut self, portal: &str, rows: i32) -> Frames {
        frontend::execute(portal, rows, &mut self.0).expect("a frame");
        self
    }

    pub(crate) fn describe(mut self, target: u8, name: &str) -> Frames {
        frontend::describe(target, name, &mut self.0).expect("a frame");
        self
    }

    pub(crate) fn close(mut self, target: u8, name: &str) -> Frames {
        frontend::close(target, name, &mut self.0).expect("a frame");
        self
    }

    pub(crate) fn flush(mut self) -> Frames {
        frontend::flush(&mut self.0);
        self
    }

    pub(crate) fn sync(mut self) -> Frames {
        frontend::sync(&mut self.0);
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Frames {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A signed-in connection.
pub(crate) struct Socket {
    stream: Box<dyn Stream>,
}

impl Socket {
    /// Through the gate, as Jane.
    pub(crate) async fn at_the_gate(stage: &Stage) -> Socket {
        let mut tcp = TcpStream::connect(("127.0.0.1", stage.gate_port())).await.expect("a connection");
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.expect("sent");
        assert_eq!(tcp.read_u8().await.expect("an answer"), b'S');
        let mut socket = Socket { stream: Box::new(tls(stage).connect(tcp).await.expect("TLS")) };
        let parameters = [("user", STAFF), ("database", CUSTOMER), ("application_name", "frames")];
        let password = stage.secret(&format!("{STAFF}.password")).expect("a password");
        socket.start(&parameters).await;
        socket.prove(&password).await;
        socket.ready(1).await;
        socket
    }

    /// Past the gate, as superuser.
    pub(crate) async fn direct(cluster: &Cluster, database: &str) -> Socket {
        let path = cluster.directory().join("socket").join(format!(".s.PGSQL.{}", cluster.port()));
        let mut socket = Socket { stream: Box::new(UnixStream::connect(path).await.expect("a connection")) };
        socket.start(&[("user", "postgres"), ("database", database)]).await;
        socket.ready(1).await;
        socket
    }

    async fn start(&mut self, parameters: &[(&str, &str)]) {
        let mut startup = BytesMut::new();
        frontend::startup_message(parameters.iter().copied(), &mut startup).expect("a frame");
        self.send(Frames(startup)).await;
    }

    async fn prove(&mut self, password: &str) {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let (mut first, mut last) = (BytesMut::new(), BytesMut::new());
        self.message().await.expect("SASL");
        frontend::sasl_initial_response("SCRAM-SHA-256", scram.message(), &mut first).expect("a frame");
        self.send(Frames(first)).await;
        let challenge = self.message().await.expect("a challenge");
        scram.update(&challenge[9..]).expect("the gate knows the password");
        frontend::sasl_response(scram.message(), &mut last).expect("a frame");
        self.send(Frames(last)).await;
        let proof = self.message().await.expect("a proof");
        scram.finish(&proof[9..]).expect("the gate proves it");
    }

    /// In one write.
    pub(crate) async fn send(&mut self, frames: Frames) {
        self.stream.write_all(&frames.0).await.expect("sent");
        self.stream.flush().await.expect("sent");
    }

    /// The next message, header included; none when the other side has closed.
    pub(crate) async fn message(&mut self) -> Option<Vec<u8>> {
        let mut message = vec![0; 5];
        within(self.stream.read_exact(&mut message)).await.ok()?;
        let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
        message.resize(1 + length, 0);
        within(self.stream.read_exact(&mut message[5..])).await.expect("a whole message");
        Some(message)
    }

    /// Everything up to and with the `count`th message of that kind.
    pub(crate) async fn up_to(&mut self, tag: u8, count: usize) -> Vec<Vec<u8>> {
        let (mut messages, mut left) = (Vec::new(), count);
        while left > 0 {
            let message = self.message().await.expect("a message");
            left -= usize::from(message[0] == tag);
            messages.push(message);
        }
        messages
    }

    /// Everything up to and with the `count`th ReadyForQuery.
    pub(crate) async fn ready(&mut self, count: usize) -> Vec<Vec<u8>> {
        self.up_to(b'Z', count).await
    }

    /// Whether nothing more comes for a moment.
    pub(crate) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(1), self.stream.read_u8()).await.is_err()
    }

    /// Says goodbye and waits for the other side to close.
    pub(crate) async fn leave(mut self) {
        let mut terminate = BytesMut::new();
        frontend::terminate(&mut terminate);
        self.send(Frames(terminate)).await;
        assert_eq!(self.message().await, None);
    }
}
