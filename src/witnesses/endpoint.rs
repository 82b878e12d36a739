//! A witness behind HTTPS.
//! Not here: the connection itself (`net/outgoing.rs`), what is asked and what follows from an answer (`submit.rs`).
//! C2SP tlog-witness v1.0.0 (<https://c2sp.org/tlog-witness>). What a witness remembers it is asked for as in what follows
//! that version: `GET <prefix>/<SHA-256 of the origin>/checkpoint`.

use std::path::Path;

use hyper::{Method, StatusCode};

use super::Trouble;
use crate::audit::note::VerifierKey;
use crate::audit::tree::sha256;
pub(super) use crate::net::outgoing::Answer;
use crate::net::outgoing::{self, Authorities, Site};

/// Where a witness is reached, and by what it is known.
#[derive(Clone)]
pub struct Endpoint {
    site: Site,
    /// By what its cosignatures are checked.
    pub key: VerifierKey,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.site.fmt(f)
    }
}

impl Endpoint {
    /// The witness with that submission prefix, known by its key, its certificate signed by the authority in `ca` (PEM).
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(url: &str, key: VerifierKey, ca: &Path) -> Result<Endpoint, String> {
        let site = Site::new(url, Authorities::load(ca)?)?;
        Ok(Endpoint { site, key })
    }

    /// Connects, for one request after the other.
    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        let connection = self.site.connect().await.map_err(|why| self.unreachable(&why))?;
        Ok(Connection { endpoint: self.clone(), connection })
    }

    /// The last checkpoint that it cosigned of the log of that origin, cosigned; none if it remembers none.
    pub(super) async fn last(&self, origin: &str) -> Result<Option<String>, Trouble> {
        let log: String = sha256(&[origin.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
        match self.connect().await?.send(Method::GET, &format!("/{log}/checkpoint"), String::new()).await? {
            (StatusCode::OK, note) => Ok(Some(note)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, said) => Err(Trouble::Unreachable(format!("{self:?} answers {status}: {}", said.trim_end()))),
        }
    }

    fn unreachable(&self, why: &str) -> Trouble {
        Trouble::Unreachable(format!("{self:?}: {why}"))
    }
}

/// A connection to a witness.
pub(super) struct Connection {
    endpoint: Endpoint,
    connection: outgoing::Connection,
}

impl Connection {
    /// Sends one request below the prefix, and gives what is answered.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: String) -> Result<Answer, Trouble> {
        let answer = self.connection.send(method, path, &[], body).await;
        answer.map_err(|why| self.endpoint.unreachable(&why))
    }
}
