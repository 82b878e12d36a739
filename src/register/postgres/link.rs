//! One connection to the server that keeps the register: TLS only, checked before it is used, made anew when it broke.
//! Not here: the verbs of a register (`postgres/mod.rs`), and what the server must be like (`checks.rs`).

use std::error::Error as _;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row};

use super::checks;
use crate::config::{self, RegisterServer};
use crate::net::tls_connect::{self, Identity, VerifiedTls, client_config};
use crate::register::at::Place;
use crate::register::engine::Wake;
use crate::register::error::Error;

/// Within this a connection is made and checked.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Within this the server answers; it gives up a little earlier itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// So long after one that failed, no other connection is tried.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How long a connection may take to say goodbye.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);
/// What is asked for with the connection; [`checks`] looks whether it arrived.
const SETTINGS: &str = "-c search_path=pg_catalog -c synchronous_commit=on -c statement_timeout=2500 -c lock_timeout=2000 \
                        -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
                        -c client_min_messages=warning -c jit=off";

/// A parameter and its type: statements go in one round trip, unprepared.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The road to the server, and the connection if there is one.
pub(super) struct Link {
    server: RegisterServer,
    pub(super) place: Place,
    /// Whatever lets go of it ends what drives it, too: nothing that was not sent is sent later.
    open: Option<(Client, JoinSet<()>)>,
    /// Why no connection could be made, and when that was.
    failed: Option<(Instant, String)>,
    /// Whoever is woken when the server tells.
    wake: Arc<OnceLock<Wake>>,
}

impl Link {
    pub(super) fn new(server: RegisterServer) -> Link {
        Link { place: Place::of(&server), server, open: None, failed: None, wake: Arc::default() }
    }

    /// The rows of one statement, not tried again: whether it was done is unknown if the connection breaks.
    pub(super) async fn once(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.connect().await?;
        self.answer(doing, ANSWER_WITHIN, sql, parameters).await
    }

    /// The rows of one statement that may as well run twice: if a connection from earlier turns out to be broken, it is
    /// tried once more on a new one.
    pub(super) async fn again(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let was_open = self.is_open();
        match self.once(doing, sql, parameters).await {
            Err(_) if was_open && !self.is_open() => self.once(doing, sql, parameters).await,
            answer => answer,
        }
    }

    /// As [`Link::once`], with more time than usual on both sides; locks are waited for no longer than usual.
    pub(super) async fn slowly(
        &mut self,
        doing: &'static str,
        within: Duration,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.connect().await?;
        let limit = "select set_config('statement_timeout', $1, false)";
        let millis = within.as_millis().to_string();
        self.answer(doing, ANSWER_WITHIN, limit, &[(&millis, Type::TEXT)]).await?;
        let done = self.answer(doing, within + ANSWER_WITHIN, sql, parameters).await;
        // The usual limits come with a new connection.
        self.close().await;
        done
    }

    /// Whatever is read from it is as of one moment, over as many statements as it takes.
    pub(super) async fn snapshot(&mut self, doing: &'static str) -> Result<Snapshot<'_>, Error> {
        self.again(doing, "begin isolation level repeatable read read only", &[]).await?;
        Ok(Snapshot { link: self, is_over: false })
    }

    /// From now on the server tells of what is appended.
    pub(super) async fn listen(&mut self, wake: Wake) -> Result<(), Error> {
        if self.wake.set(wake).is_err() {
            return Err(Error::Bug("a register is watched twice"));
        }
        self.close().await;
        self.connect().await
    }

    /// Lets go of the connection.
    pub(super) async fn close(&mut self) {
        if let Some((client, mut driver)) = self.open.take() {
            drop(client);
            // One that does not say goodbye goes without.
            let _ended = timeout(CLOSED_WITHIN, driver.join_next()).await;
        }
    }

    fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|(client, _)| !client.is_closed())
    }

    fn fault(&self, doing: &'static str, said: String) -> Error {
        Error::Server { doing, place: self.place.clone(), said }
    }

    /// As [`Link::once`]; false, and nothing was done, if that unique constraint has what was to be inserted already.
    /// [`Error::Unfit`], and nothing was done, if the statement divides by zero: it found that not all was inserted.
    pub(super) async fn insert(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: &[Parameter<'_>],
        constraint: &str,
    ) -> Result<bool, Error> {
        self.connect().await?;
        match self.try_answer(ANSWER_WITHIN, sql, parameters).await {
            Ok(_) => Ok(true),
            Err(Unanswered::Said(fault)) if is_taken(&fault, constraint) => Ok(false),
            Err(Unanswered::Said(fault)) if fault.code() == Some(&SqlState::DIVISION_BY_ZERO) => Err(Error::Unfit {
                place: self.place.clone(),
                why:
                    "something there keeps back what is appended, so that nothing was: look for triggers and rules on \
                      its tables that are not its own, and drop them"
                        .to_owned(),
            }),
            Err(unanswered) => Err(self.fault(doing, unanswered.to_text())),
        }
    }

    async fn answer(
        &mut self,
        doing: &'static str,
        within: Duration,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let answer = self.try_answer(within, sql, parameters).await;
        answer.map_err(|unanswered| self.fault(doing, unanswered.to_text()))
    }

    /// What broke the connection lets go of it.
    async fn try_answer(
        &mut self,
        within: Duration,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Unanswered> {
        let Some((client, _)) = &self.open else { return Err(Unanswered::Silent(Duration::ZERO)) };
        match timeout(within, client.query_typed(sql, parameters)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(fault)) => {
                let ends = fault.as_db_error().and_then(DbError::parsed_severity);
                let is_over = client.is_closed()
                    || fault.as_db_error().is_none()
                    || matches!(ends, Some(Severity::Fatal | Severity::Panic));
                if is_over {
                    self.open = None;
                }
                Err(Unanswered::Said(fault))
            }
            Err(_elapsed) => {
                self.open = None;
                Err(Unanswered::Silent(within))
            }
        }
    }

    /// Makes a connection if there is none.
    async fn connect(&mut self) -> Result<(), Error> {
        if self.is_open() {
            return Ok(());
        }
        self.open = None;
        if let Some((_, why)) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < TRY_EVERY) {
            return Err(self.fault("connect to", why.clone()));
        }
        let made = match timeout(CONNECT_WITHIN, self.try_connect()).await {
            Ok(made) => made,
            Err(_elapsed) => Err(self.fault("connect to", format!("no answer within {} s", CONNECT_WITHIN.as_secs()))),
        };
        match made {
            Ok(open) => {
                (self.open, self.failed) = (Some(open), None);
                Ok(())
            }
            Err(fault) => {
                if let Error::Server { said, .. } = &fault {
                    self.failed = Some((Instant::now(), said.clone()));
                }
                Err(fault)
            }
        }
    }

    async fn try_connect(&self) -> Result<(Client, JoinSet<()>), Error> {
        let RegisterServer { host, port, database, role, password_file, .. } = &self.server;
        // Both anew each time: a password may be changed, and a certificate renewed, without a restart.
        let (password, tls) = (config::read_secret_line(password_file)?, tls(&self.server)?);
        let mut config = Config::new();
        config
            .host(host)
            .port(*port)
            .user(role)
            .password(password.expose())
            .dbname(database)
            .options(SETTINGS)
            .application_name("portreeve register")
            .ssl_mode(SslMode::Require)
            .connect_timeout(CONNECT_WITHIN);
        let failed = |fault: tokio_postgres::Error| self.fault("connect to", said(&fault));
        let (client, connection) = config.connect(tls).await.map_err(failed)?;
        let mut driver = JoinSet::new();
        driver.spawn(drive(connection, Arc::clone(&self.wake)));
        checks::check(&client, &self.place, role).await?;
        if self.wake.get().is_some() {
            client.batch_execute("listen portreeve_register").await.map_err(failed)?;
        }
        Ok((client, driver))
    }
}

/// One moment of what the server holds. One that is let go of before its end takes the connection with it, so that nothing
/// else is asked as of that moment.
pub(super) struct Snapshot<'l> {
    link: &'l mut Link,
    is_over: bool,
}

impl Snapshot<'_> {
    /// The rows of one statement, of that moment.
    pub(super) async fn rows(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.link.answer(doing, ANSWER_WITHIN, sql, parameters).await
    }

    /// What is asked from now on is of other moments.
    pub(super) async fn end(mut self, doing: &'static str) -> Result<(), Error> {
        self.link.answer(doing, ANSWER_WITHIN, "commit", &[]).await?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.link.open = None;
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    /// The server said why, or the connection broke.
    Said(tokio_postgres::Error),
    /// It said nothing for so long.
    Silent(Duration),
}

impl Unanswered {
    fn to_text(&self) -> String {
        match self {
            Unanswered::Said(fault) => said(fault),
            Unanswered::Silent(within) => format!("it did not answer within {} s", within.as_secs()),
        }
    }
}

fn is_taken(fault: &tokio_postgres::Error, constraint: &str) -> bool {
    let told = fault.as_db_error().filter(|told| *told.code() == SqlState::UNIQUE_VIOLATION);
    told.is_some_and(|told| told.constraint() == Some(constraint))
}

/// Runs until the client is dropped or the server goes. Whoever follows is woken by what the server tells, and by its end.
async fn drive<S, T>(mut connection: Connection<S, T>, wake: Arc<OnceLock<Wake>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let woken = || wake.get().into_iter().for_each(Wake::wake);
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => woken(),
            Some(Ok(_)) => {}
            Some(Err(fault)) => {
                tracing::debug!(fault = said(&fault), "a connection to the register broke");
                return woken();
            }
            None => return,
        }
    }
}

/// TLS that trusts the server's CA and verifies its name.
pub(super) fn tls(server: &RegisterServer) -> Result<VerifiedTls, tls_connect::Error> {
    let identity = server.certificate.as_ref().map(|(chain, key)| Identity { chain, key });
    VerifiedTls::new(client_config(&server.ca, identity)?, &server.host)
}

/// tokio-postgres prints only "db error"; the server's own words are inside.
pub(super) fn said(fault: &tokio_postgres::Error) -> String {
    match (fault.as_db_error(), fault.source()) {
        (Some(said), _) => said.to_string(),
        (None, Some(cause)) => format!("{fault}: {cause}"),
        (None, None) => fault.to_string(),
    }
}
