//! A witness behind HTTPS: TLS that trusts the configured authority only, HTTP/1.1, answers of bounded size and time.
//! Not here: what is asked and what follows from an answer (`submit.rs`).
//! C2SP tlog-witness (<https://c2sp.org/tlog-witness>). It leaves open how a witness is asked for what it remembers: that is
//! `GET <prefix>/checkpoint/<SHA-256 of the origin>` at `portreeve witness`.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Trouble;
use crate::audit::note::VerifierKey;
use crate::audit::tree::sha256;
use crate::net::https::ALPN;
use crate::net::tls_connect::client_config;

/// How long connecting, and each answer, may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where a witness is reached, and by what it is known.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// Without a slash at its end.
    prefix: String,
    tls: TlsConnector,
    server: ServerName<'static>,
    /// By what its cosignatures are checked.
    pub key: VerifierKey,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}:{}{}", self.host, self.port, self.prefix)
    }
}

/// An answer: its status and its body.
pub(super) type Answer = (StatusCode, String);

impl Endpoint {
    /// The witness with that submission prefix, known by its key, its certificate signed by the authority in `ca` (PEM).
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(url: &str, key: VerifierKey, ca: &Path) -> Result<Endpoint, String> {
        let wrong = || {
            format!("\"{url}\" is no address of a witness: expected https://, a host, and perhaps a port and a path")
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host =
            uri.host().filter(|_| uri.scheme_str() == Some("https") && uri.query().is_none()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let mut config = (*client_config(ca, None).map_err(|error| error.to_string())?).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let (port, prefix) = (uri.port_u16().unwrap_or(443), uri.path().trim_end_matches('/').to_owned());
        Ok(Endpoint { host, port, prefix, tls: TlsConnector::from(std::sync::Arc::new(config)), server, key })
    }

    /// Connects, for one request after the other.
    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        let unreachable = |why: String| Trouble::Unreachable(format!("{self:?}: {why}"));
        let connecting = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
            let tls = self.tls.connect(self.server.clone(), tcp).await.map_err(|error| error.to_string())?;
            handshake(TokioIo::new(tls)).await.map_err(|error| error.to_string())
        };
        let (sender, connection) =
            timeout(WITHIN, connecting).await.map_err(|_| unreachable(late()))?.map_err(unreachable)?;
        // What ends it is seen by whoever sends next.
        let serving = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { endpoint: self.clone(), sender, serving })
    }

    /// The last checkpoint that it cosigned of the log of that origin, cosigned; none if it remembers none.
    pub(super) async fn last(&self, origin: &str) -> Result<Option<String>, Trouble> {
        let log: String = sha256(&[origin.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
        match self.connect().await?.send(Method::GET, &format!("/checkpoint/{log}"), String::new()).await? {
            (StatusCode::OK, note) => Ok(Some(note)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, said) => Err(Trouble::Unreachable(format!("{self:?} answers {status}: {}", said.trim_end()))),
        }
    }
}

fn late() -> String {
    format!("no answer within {} s", WITHIN.as_secs())
}

/// A connection to a witness.
pub(super) struct Connection {
    endpoint: Endpoint,
    sender: SendRequest<Full<Bytes>>,
    serving: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Connection {
    /// Sends one request below the prefix, and gives what is answered.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: String) -> Result<Answer, Trouble> {
        let endpoint = self.endpoint.clone();
        let unreachable = |why: String| Trouble::Unreachable(format!("{endpoint:?}: {why}"));
        let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", endpoint.prefix))
            .header(header::HOST, format!("{host}:{}", endpoint.port))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreachable(error.to_string()))?;
        let sending = async {
            self.sender.ready().await.map_err(|error| error.to_string())?;
            let answer = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(WITHIN, sending).await.map_err(|_| unreachable(late()))?.map_err(unreachable)
    }
}
