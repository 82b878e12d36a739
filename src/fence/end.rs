//! Ending what a grant opened: shut the role out, end its backends, see that they are gone, learn each transaction's
//! fate, drop the role. Design section 6, "Ending a session".
//! Not here: when, and what the client is told.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::Lane;
use super::{Error, Fence, external};

pub(super) const POLL_FIRST: Duration = Duration::from_millis(2);
pub(super) const POLL_MAX: Duration = Duration::from_millis(50);

/// Which server an answer came from: by when it started, to the microsecond. With a server that stops its backends go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started(pub(super) String);

/// A backend that was told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedBackend {
    /// Its process id.
    pub pid: i32,
    /// The 64-bit id of the transaction it was in, if that had changed something by then.
    pub xid: Option<String>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It left nothing behind.
    Aborted,
    /// It was durable before the end reached it.
    Committed,
    /// Still in progress, or too old for the server to know.
    InDoubt,
}

/// The end of all backends of a role, confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Every backend that was told to end, with its transaction's fate; `None` where it had changed nothing.
    pub backends: Vec<(EndedBackend, Option<Fate>)>,
}

impl Fence {
    /// Which server that is at which a session as `role` has the backend `pid`.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] if that is another than the one that is asked here; whatever else keeps it from being asked.
    pub async fn server_of(&self, database: &str, role: &str, pid: i32) -> Result<Started, Error> {
        const SQL: &str = "select extract(epoch from pg_postmaster_start_time())::text,
            exists (select from portreeve.pids($1) p where p = $2)";
        let sql = if self.is_external() { external::SERVER_OF } else { SQL };
        let rows = self.again(Lane::Control, database, sql, &[(&role, Type::TEXT), (&pid, Type::INT4)]).await?;
        let row = only(database, &rows)?;
        if field(database, row, 1)? { field(database, row, 0).map(Started) } else { Err(self.elsewhere()) }
    }

    /// Shuts `role` out of `database` (NOLOGIN) and tells all its backends to end, and at which server that was. They may live a
    /// moment longer: ask [`Fence::backends`], or use [`Fence::end`]. No such role: nothing.
    pub async fn end_backends(&self, database: &str, role: &str) -> Result<(Started, Vec<EndedBackend>), Error> {
        const SQL: &str = "select extract(epoch from pg_postmaster_start_time())::text, e.pid, e.xid
            from (select) s left join portreeve.end_backends($1) e on true";
        let rows = self.again(Lane::Control, database, SQL, &[(&role, Type::TEXT)]).await?;
        let server = Started(field(database, only(database, &rows)?, 0)?);
        let mut told = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(pid) = field(database, row, 1)? {
                told.push(EndedBackend { pid, xid: field(database, row, 2)? });
            }
        }
        Ok((server, told))
    }

    /// Tells the one backend of `role` with process id `pid` to end, and at which server that was; the role stays open. `None`:
    /// it had no such backend.
    pub async fn end_backend(
        &self,
        database: &str,
        role: &str,
        pid: i32,
    ) -> Result<(Started, Option<EndedBackend>), Error> {
        const SQL: &str = "select extract(epoch from pg_postmaster_start_time())::text, e.told is not null, e.xid
            from (select) s left join (select true as told, xid from portreeve.end_backend($1, $2)) e on true";
        let sql = if self.is_external() { external::END } else { SQL };
        let rows = self.again(Lane::Control, database, sql, &[(&role, Type::TEXT), (&pid, Type::INT4)]).await?;
        let row = only(database, &rows)?;
        let xid = field(database, row, 2)?;
        let told = field::<bool>(database, row, 1)?.then_some(EndedBackend { pid, xid });
        Ok((Started(field(database, row, 0)?), told))
    }

    /// How many backends work for `role` now.
    pub async fn backends(&self, database: &str, role: &str) -> Result<usize, Error> {
        let rows = self.again(Lane::Control, database, "select portreeve.backends($1)", &[(&role, Type::TEXT)]).await?;
        let count: i32 = field(database, only(database, &rows)?, 0)?;
        usize::try_from(count).map_err(|_| wrong(database, "a negative count"))
    }

    /// The backends that work for `role` now, and at which server.
    pub async fn pids(&self, database: &str, role: &str) -> Result<(Started, HashSet<i32>), Error> {
        const SQL: &str = "select extract(epoch from pg_postmaster_start_time())::text,
            array(select p from portreeve.pids($1) as p)";
        let rows = self.again(Lane::Control, database, SQL, &[(&role, Type::TEXT)]).await?;
        let row = only(database, &rows)?;
        let there: Vec<i32> = field(database, row, 1)?;
        Ok((Started(field(database, row, 0)?), there.into_iter().collect()))
    }

    /// What became of the transaction `xid` of an [`EndedBackend`]; final once its backend is gone.
    pub async fn fate(&self, database: &str, xid: &str) -> Result<Fate, Error> {
        const SQL: &str = "select pg_xact_status($1::text::xid8)";
        let rows = self.again(Lane::Control, database, SQL, &[(&xid, Type::TEXT)]).await?;
        let status: Option<String> = field(database, only(database, &rows)?, 0)?;
        match status.as_deref() {
            Some("aborted") => Ok(Fate::Aborted),
            Some("committed") => Ok(Fate::Committed),
            Some("in progress") | None => Ok(Fate::InDoubt),
            Some(other) => Err(wrong(database, other)),
        }
    }

    /// Ends all backends of `role`, again and again until none is left, and asks for each transaction's fate. An error
    /// after `within`: then nothing is known to be gone, and the role is shut out all the same.
    pub async fn end(&self, database: &str, role: &str, within: Duration) -> Result<Ended, Error> {
        let deadline = Instant::now() + within;
        let mut pause = POLL_FIRST;
        let mut told: Vec<EndedBackend> = Vec::new();
        loop {
            for backend in self.end_backends(database, role).await?.1 {
                remember(&mut told, backend);
            }
            if self.backends(database, role).await? == 0 {
                break;
            }
            if Instant::now() >= deadline {
                return Err(self.slow(database, within));
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
        let mut backends = Vec::with_capacity(told.len());
        for backend in told {
            let fate = match &backend.xid {
                Some(xid) => Some(self.fate(database, xid).await?),
                None => None,
            };
            backends.push((backend, fate));
        }
        Ok(Ended { backends })
    }

    /// Drops `role` and what it owns, but for the large objects of a writer, which go to the database's owner. Its
    /// backends must be gone. True if there was such a role.
    pub async fn close_grant(&self, database: &str, role: &str) -> Result<bool, Error> {
        let sql = "select portreeve.close_grant($1)";
        loop {
            let rows = self.again(Lane::Control, database, sql, &[(&role, Type::TEXT)]).await?;
            // Null: it has dealt with some large objects, and more are left.
            if let Some(existed) = field::<Option<bool>>(database, only(database, &rows)?, 0)? {
                let idle = if existed { self.0.open.lock().await.closed(database) } else { None };
                if let Some(idle) = idle {
                    self.let_go(&idle).await;
                }
                return Ok(existed);
            }
        }
    }
}

/// A backend may be seen several times before it is gone; a transaction id that was seen once counts.
fn remember(told: &mut Vec<EndedBackend>, backend: EndedBackend) {
    match told.iter_mut().find(|known| known.pid == backend.pid) {
        Some(known) => known.xid = backend.xid.or(known.xid.take()),
        None => told.push(backend),
    }
}

pub(super) fn only<'a>(database: &str, rows: &'a [Row]) -> Result<&'a Row, Error> {
    rows.first().ok_or_else(|| wrong(database, "no row"))
}

/// The value of a column.
pub(super) fn field<'a, T: tokio_postgres::types::FromSql<'a>>(
    database: &str,
    row: &'a Row,
    column: usize,
) -> Result<T, Error> {
    row.try_get(column).map_err(|error| wrong(database, &error.to_string()))
}

fn wrong(database: &str, reason: &str) -> Error {
    Error::Answer { database: database.to_owned(), reason: reason.to_owned() }
}
