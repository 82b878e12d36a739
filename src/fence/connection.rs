//! Control connections: one per database and lane, TLS only, opened when needed.
//! Not here: sessions of staff, which never share a connection with anything.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::{Error, Fence, Replica};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
const SETTINGS: &str = "-c search_path=pg_catalog -c statement_timeout=5s -c lock_timeout=2s \
                        -c client_min_messages=warning -c jit=off -c default_transaction_read_only=off";

/// Two connections per database, so that ending a session never queues behind a self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Opening, ending, closing.
    Control,
    /// The self-test.
    Test,
}

/// Whether a connection was there already; then it may have broken unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Kept,
    New,
}

/// Where a lane's connection is kept.
pub(super) type Slot = Arc<Mutex<Option<Arc<Client>>>>;

/// A parameter and its type: statements go in one round trip, unprepared.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Fence {
    /// The rows of one statement. Not tried again when the connection breaks meanwhile.
    pub(super) async fn once(
        &self,
        lane: Lane,
        database: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let (client, _) = self.client(lane, database).await?;
        self.answer(database, client.query_typed(sql, parameters)).await
    }

    /// The rows of one statement that may as well run twice: if a connection kept from earlier turns out to be
    /// broken, it is tried once more on a new one. Ending a session must not fail because the server restarted an
    /// hour ago.
    pub(super) async fn again(
        &self,
        lane: Lane,
        database: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let (client, age) = self.client(lane, database).await?;
        match (self.answer(database, client.query_typed(sql, parameters)).await, age) {
            (Err(Error::Unreachable { .. }), Age::Kept) => self.once(lane, database, sql, parameters).await,
            (answer, Age::Kept | Age::New) => answer,
        }
    }

    /// Waits for `work`, bounded, and names the culprit if it fails.
    pub(super) async fn answer<T>(
        &self,
        database: &str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(ANSWER_WITHIN, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failure(database, &error)),
            Err(_) => Err(self.slow(database, ANSWER_WITHIN)),
        }
    }

    /// Waits for `work`, bounded, that names its culprit itself.
    pub(super) async fn bounded<T>(
        &self,
        database: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(ANSWER_WITHIN, work).await.unwrap_or_else(|_| Err(self.slow(database, ANSWER_WITHIN)))
    }

    /// Closes the control connections to `database`, at its replicas too, where nothing is to be done for a while.
    pub async fn let_go(&self, database: &str) {
        for fence in [self].into_iter().chain(self.replicas().iter().map(Replica::fence)) {
            fence.0.slots.lock().await.retain(|(of, _), _| of != database);
        }
    }

    /// The lane's connection; a broken one is replaced. Cancel-safe: a connection that nobody waits for is dropped.
    pub(super) async fn client(&self, lane: Lane, database: &str) -> Result<(Arc<Client>, Age), Error> {
        let slot = Arc::clone(self.0.slots.lock().await.entry((database.to_owned(), lane)).or_default());
        let mut slot = slot.lock().await;
        match &*slot {
            Some(client) if !client.is_closed() => Ok((Arc::clone(client), Age::Kept)),
            Some(_) | None => {
                let client = Arc::new(self.connect(database).await?);
                *slot = Some(Arc::clone(&client));
                Ok((client, Age::New))
            }
        }
    }

    async fn connect(&self, database: &str) -> Result<Client, Error> {
        let upstream = &self.0.upstream;
        let mut config = Config::new();
        config
            .host(&upstream.host)
            .port(upstream.port)
            .user(&upstream.provisioner)
            .password(upstream.password.expose())
            .dbname(database)
            .options(SETTINGS)
            .application_name("portreeve fence")
            .ssl_mode(SslMode::Require)
            .connect_timeout(CONNECT_WITHIN)
            .keepalives_idle(Duration::from_secs(30));
        let connecting = timeout(CONNECT_WITHIN, config.connect(self.0.tls.clone())).await;
        let (client, connection) = connecting
            .map_err(|_| self.slow(database, CONNECT_WITHIN))?
            .map_err(|error| self.failure(database, &error))?;
        let place = self.place();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%place, error = %words(&error), "a control connection broke");
            }
        });
        Ok(client)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.0.upstream.host, self.0.upstream.port)
    }

    pub(super) fn slow(&self, database: &str, waited: Duration) -> Error {
        Error::Slow { database: database.to_owned(), place: self.place(), seconds: waited.as_secs() }
    }

    /// The error that says that a session is not at the server that is asked.
    pub fn elsewhere(&self) -> Error {
        Error::Elsewhere { place: self.place() }
    }

    fn failure(&self, database: &str, error: &tokio_postgres::Error) -> Error {
        match refusal(database, error) {
            Error::Unreachable { database, reason, .. } => Error::Unreachable { database, place: self.place(), reason },
            // What PgBouncer says of settings it does not know; PostgreSQL itself takes them.
            Error::Refused { message, .. } if message.contains("unsupported startup parameter") => {
                Error::Blocked(format!(
                    "a pooler answers at {}: point the cluster's host at PostgreSQL itself, for behind a pooler a session \
                     cannot be ended for sure",
                    self.place()
                ))
            }
            other => other,
        }
    }
}

/// What a server's error means to us.
pub(super) fn refusal(database: &str, error: &tokio_postgres::Error) -> Error {
    let database = database.to_owned();
    let sqlstate = error.code().map_or("XX000", |code| code.code()).to_owned();
    let message = words(error);
    if error.as_db_error().is_none() {
        return Error::Unreachable { database, place: "its server".to_owned(), reason: message };
    }
    match sqlstate.as_str() {
        // the connection ended: admin_shutdown, crash_shutdown, cannot_connect_now
        "57P01" | "57P02" | "57P03" => Error::Unreachable { database, place: "its server".to_owned(), reason: message },
        // undefined schema, function, table; no privilege on them
        "3F000" | "42883" | "42P01" | "42501" => Error::NotInstalled { database, message },
        _ => Error::Refused { database, sqlstate, message },
    }
}

/// An error with its causes, the server's message and hint first; tokio-postgres itself prints only "db error".
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return match server.hint() {
            Some(hint) => format!("{}; {hint}", server.message()),
            None => server.message().to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
