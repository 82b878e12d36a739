//! HTTPS to somebody else: TLS that trusts the given authorities only, HTTP/1.1, answers of bounded size and time.
//! Not here: what is asked and what follows from an answer. No redirects are followed, no proxies used, nothing is kept
//! between connections.

use std::path::Path;
use std::sync::Arc;
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

use super::https::ALPN;
use super::tls_connect::client_config;

/// How long connecting, and each answer, may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The authorities that are trusted, ready for use. Cheap to clone.
#[derive(Clone)]
pub struct Authorities(TlsConnector);

impl Authorities {
    /// Those in the PEM file `ca`, and nobody else.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(ca: &Path) -> Result<Authorities, String> {
        let mut config = (*client_config(ca, None).map_err(|error| error.to_string())?).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Authorities(TlsConnector::from(Arc::new(config))))
    }
}

/// An address below which requests are made.
#[derive(Clone)]
pub struct Site {
    host: String,
    port: u16,
    /// Without a slash at its end.
    path: String,
    server: ServerName<'static>,
    trusted: Authorities,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}:{}{}", self.host, self.port, self.path)
    }
}

/// An answer: its status and its body.
pub type Answer = (StatusCode, String);

impl Site {
    /// The site at that address: https, a host, and perhaps a port and a path.
    ///
    /// # Errors
    /// That it is no such address.
    pub fn new(url: &str, trusted: Authorities) -> Result<Site, String> {
        let wrong = || format!("\"{url}\" is no address: expected https://, a host, and perhaps a port and a path");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host =
            uri.host().filter(|_| uri.scheme_str() == Some("https") && uri.query().is_none()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let (port, path) = (uri.port_u16().unwrap_or(443), uri.path().trim_end_matches('/').to_owned());
        Ok(Site { host, port, path, server, trusted })
    }

    /// Connects, for one request after the other.
    ///
    /// # Errors
    /// Why it is not reached.
    pub async fn connect(&self) -> Result<Connection, String> {
        let connecting = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
            let tls = self.trusted.0.connect(self.server.clone(), tcp).await.map_err(|error| error.to_string())?;
            handshake(TokioIo::new(tls)).await.map_err(|error| error.to_string())
        };
        let (sender, connection) = timeout(WITHIN, connecting).await.map_err(|_| late())??;
        // What ends it is seen by whoever sends next.
        let serving = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { site: self.clone(), sender, serving })
    }
}

fn late() -> String {
    format!("no answer within {} s", WITHIN.as_secs())
}

/// A connection to a site.
pub struct Connection {
    site: Site,
    sender: SendRequest<Full<Bytes>>,
    serving: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Connection {
    /// Sends one request for a path below the site's address, with these headers besides Host, and gives what is answered.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(
        &mut self,
        method: Method,
        below: &str,
        headers: &[(header::HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let Site { host, port, path, .. } = &self.site;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let path = Some(format!("{path}{below}")).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, format!("{host}:{port}"));
        for (name, value) in headers {
            let mut value = header::HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            value.set_sensitive(*name == header::AUTHORIZATION);
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| error.to_string())?;
        let sending = async {
            self.sender.ready().await.map_err(|error| error.to_string())?;
            let answer = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(WITHIN, sending).await.map_err(|_| late())?
    }
}
