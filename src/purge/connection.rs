//! One connection of retention to a customers' database: over a socket as it is, over the network by TLS only.
//! Not here: what is done with it. A broken connection is an error; whoever purges begins again and finds its progress.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, SimpleQueryMessage};

use super::Error;
use crate::net::tls_connect::VerifiedTls;
use crate::secret::Secret;

/// So many warnings are kept between two looks.
const WARNINGS_MAX: usize = 100;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SETTINGS: &str = "-c search_path=pg_catalog -c lock_timeout=2s -c client_min_messages=warning -c jit=off \
                        -c idle_in_transaction_session_timeout=60s -c default_transaction_read_only=off \
                        -c row_security=off";
const NOT_A_DSN: &str = "cannot read the connection string; expected \"host=… port=… user=…\" without \
                         sslmode=verify-full";

/// How to reach a server: a connection string, and TLS where it is a network.
#[derive(Clone)]
pub struct Road {
    config: Config,
    tls: Option<VerifiedTls>,
    only: Option<String>,
}

/// A connection to one database.
pub struct Connection {
    pub(super) client: Client,
    database: String,
    warnings: Warnings,
}

/// What the server warned of, in its words; a statement's warnings are there before its end is.
type Warnings = Arc<Mutex<Vec<String>>>;

impl Road {
    /// Reads a libpq-style `dsn`; `tls` may be left out for a socket only.
    ///
    /// # Errors
    /// If it is none, or leads over a network without TLS.
    pub fn new(dsn: &Secret<String>, tls: Option<VerifiedTls>) -> Result<Road, Error> {
        // the parser's message may repeat a part of the text, which may hold a password
        let mut config: Config = dsn.expose().parse().map_err(|_| Error::Refused(NOT_A_DSN.to_owned()))?;
        config.options(SETTINGS).application_name("portreeve retention").connect_timeout(CONNECT_WITHIN);
        let socket = |host: &Host| matches!(host, Host::Unix(_));
        let is_local = config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(socket);
        if !is_local && tls.is_none() {
            let message = "connecting over the network needs the server's CA file; none was given";
            return Err(Error::Refused(message.to_owned()));
        }
        if !is_local {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Road { config, tls: tls.filter(|_| !is_local), only: None })
    }

    /// The same road, to that server only ([`Connection::server`]): another one may answer at its address by now.
    pub fn only(&self, server: &str) -> Road {
        Road { only: Some(server.to_owned()), ..self.clone() }
    }

    /// Connects to `database`.
    ///
    /// # Errors
    /// [`Error::Database`] with the server's words; [`Error::Refused`] if it is another server than the only one.
    pub async fn connect(&self, database: &str) -> Result<Connection, Error> {
        let mut config = self.config.clone();
        config.dbname(database);
        let failed = |error| Error::database(database, error);
        let warnings = Warnings::default();
        let client = match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
                drive(connection, Arc::clone(&warnings));
                client
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await.map_err(failed)?;
                drive(connection, Arc::clone(&warnings));
                client
            }
        };
        let connection = Connection { client, database: database.to_owned(), warnings };
        if let Some(only) = &self.only {
            let server = connection.server().await?;
            if server != *only {
                return Err(Error::Refused(format!(
                    "another server answers for database \"{database}\" (system identifier {server}) than the one that \
                     the purge was planned for ({only}): nothing is done there; let the address lead to that one"
                )));
            }
        }
        Ok(connection)
    }
}

/// Runs until the client is dropped or the server goes; the client sees the error.
fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, warnings: Warnings)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(sqlstate = notice.code().code(), "a notice of the server");
                    let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
                    if notice.parsed_severity() == Some(Severity::Warning) && warnings.len() < WARNINGS_MAX {
                        warnings.push(notice.message().to_owned());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection of retention broke");
                    return;
                }
                None => return,
            }
        }
    });
}

impl Connection {
    /// Which database it is.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The number that its server was given when it was made, and that its replicas share.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn server(&self) -> Result<String, Error> {
        let rows = self.texts("select system_identifier from pg_control_system()").await?;
        let server = rows.into_iter().flatten().flatten().next();
        server.ok_or_else(|| Error::Refused("the server does not say which it is".to_owned()))
    }

    pub(super) fn failed(&self, error: tokio_postgres::Error) -> Error {
        Error::database(&self.database, error)
    }

    /// What the server warned of since this was last asked.
    pub(super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one or several statements, for their effect.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(|error| self.failed(error))
    }

    /// The rows of one statement.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Row>, Error> {
        self.client.query_typed(sql, &[]).await.map_err(|error| self.failed(error))
    }

    /// The first column of the first row, a number.
    pub(super) async fn number(&self, sql: &str) -> Result<u64, Error> {
        let rows = self.rows(sql).await?;
        let number: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(|error| self.failed(error))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// The rows of one statement as text.
    pub(super) async fn texts(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let answer = self.client.simple_query(sql).await.map_err(|error| self.failed(error))?;
        let text = |message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(text).collect())
    }
}
