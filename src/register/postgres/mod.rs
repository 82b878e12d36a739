//! The register in a database of PostgreSQL, for roles on several machines.
//! Not here: the connection (`link`), what the server must be like (`checks`), its tables (`prepare.sql`).
//! HOLE: what was erased is gone from the table's files; the server's write-ahead log, its backups and its standbys have it
//! until they are overwritten, and nobody here can see to that. What was only replaced (the verifiers of short-lived
//! passwords) is deleted, and gone from the files when something is erased.

mod checks;
mod link;
mod prepare;

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use link::{Link, Parameter};
pub use prepare::prepare;

use super::at::Place;
use super::engine::{Engine, Remembered, Wake};
use super::error::Error;
use crate::config::RegisterServer;
use crate::grant::{Proposal, Side, Stored};
use crate::ids::{EventId, Sequence};

/// How often the server is asked, besides being told by it: what is not told is known as soon as a change must be.
const POLL: Duration = Duration::from_millis(50);
/// How many events are read at once.
const BATCH: i64 = 1000;
/// How long the table of side rows may be written anew.
const REWRITE_WITHIN: Duration = Duration::from_secs(60);

/// Beside each event whether a standby says so, which may be behind; without an event in one row without a sequence.
const READ: &str = "
    select pg_is_in_recovery(), stored.* from (values (true)) as answer left join (
        select e.sequence, e.content, e.hash, e.signature, s.salt, s.body
        from portreeve_register.event e left join portreeve_register.side s using (sequence)
        where e.sequence >= $1 order by e.sequence limit $2) as stored on true order by sequence";

const VERSION: &str = "
    select pg_is_in_recovery(), (select hash from portreeve_register.event order by sequence desc limit 1)";

/// All of the events and their side rows, or none of them: a place that is taken, or just being taken, fails the statement.
/// A side row goes in after its event, so that a lost race shows at the event's place. Where something on the server keeps
/// a row back, the division fails the statement.
const APPEND: &str = "
    with given as (
        select * from unnest($1::int8[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
            as given (sequence, id, content, hash, signature, salt, body)),
    placed as (
        insert into portreeve_register.event select sequence, id, content, hash, signature from given returning sequence),
    beside as (
        insert into portreeve_register.side
        select sequence, salt, body from placed join given using (sequence) where salt is not null returning sequence)
    select 1 / ((select count(*) from placed) = cardinality($1)
        and (select count(*) from beside) = (select count(*) from given where salt is not null))::int";

const DELETE: &str = "
    with gone as (delete from portreeve_register.side where sequence = any($1) returning sequence)
    select count(*), pg_current_xact_id()::text from gone";

const REMEMBER: &str = "
    insert into portreeve_register.checkpoint as known values ($1, $2, $3)
    on conflict (log) do update set size = excluded.size, root = excluded.root
    where excluded.size > known.size or (excluded.size = known.size and excluded.root = known.root)
    returning size";

/// A register on a server. The connection has a thread of its own, since whoever asks may be on one that must not wait.
pub(super) struct Postgres {
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the table was written anew after all that was erased here; not known when it is opened.
    is_rewritten: bool,
}

type Job = Box<dyn for<'l> FnOnce(&'l mut Link) -> Pin<Box<dyn Future<Output = ()> + 'l>> + Send>;

impl Postgres {
    /// Connects, and checks that a register is there that can be used.
    pub(super) fn open(server: &RegisterServer) -> Result<Postgres, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::thread("keep a connection"))?;
        let (jobs, asked) = unbounded_channel();
        let link = Link::new(server.clone());
        let named = std::thread::Builder::new().name("register-server".to_owned());
        let thread =
            named.spawn(move || runtime.block_on(work(link, asked))).map_err(Error::thread("keep a connection"))?;
        let mut opened = Postgres { jobs: Some(jobs), thread: Some(thread), is_rewritten: false };
        opened.version()?;
        Ok(opened)
    }

    fn ask<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: AsyncFnOnce(&mut Link) -> Result<T, Error> + Send + 'static,
    {
        self.begin(job)?.recv().map_err(|_| lost())?
    }

    /// Where the answer will be.
    fn begin<T, F>(&self, job: F) -> Result<Receiver<Result<T, Error>>, Error>
    where
        T: Send + 'static,
        F: AsyncFnOnce(&mut Link) -> Result<T, Error> + Send + 'static,
    {
        let (reply, replied) = mpsc::sync_channel(1);
        // Whoever asked waits for it, unless they have seen enough.
        let job: Job = Box::new(move |link| Box::pin(async move { reply.send(job(link).await).unwrap_or_default() }));
        self.jobs.as_ref().ok_or_else(lost)?.send(job).map_err(|_| lost())?;
        Ok(replied)
    }
}

fn lost() -> Error {
    Error::Bug("the thread of a connection to the register panicked")
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("bug: the thread of a connection to the register panicked");
        }
    }
}

async fn work(mut link: Link, mut asked: UnboundedReceiver<Job>) {
    while let Some(job) = asked.recv().await {
        job(&mut link).await;
    }
    link.close().await;
}

impl Engine for Postgres {
    fn read(&mut self, from: Sequence, each: &mut dyn FnMut(Stored) -> ControlFlow<()>) -> Result<(), Error> {
        let (give, batches) = mpsc::sync_channel(1);
        let end = self.begin(async move |link| read(link, number(from), &give).await)?;
        if batches.iter().flatten().try_for_each(each).is_break() {
            return Ok(());
        }
        end.recv().map_err(|_| lost())?
    }

    fn append(&mut self, proposals: &[Proposal]) -> Result<bool, Error> {
        let proposals = proposals.to_vec();
        self.ask(async move |link| {
            let stored = || proposals.iter().map(|proposal| &proposal.stored);
            let sequences: Vec<i64> = stored().map(|stored| number(stored.sequence)).collect();
            let ids: Vec<&[u8]> = proposals.iter().map(|proposal| proposal.id.0.as_slice()).collect();
            let contents: Vec<&[u8]> = stored().map(|stored| stored.content.as_slice()).collect();
            let hashes: Vec<&[u8]> = stored().map(|stored| stored.hash.as_slice()).collect();
            let signatures: Vec<_> =
                stored().map(|stored| stored.signature.as_ref().map(<[u8; 64]>::as_slice)).collect();
            let salts: Vec<_> = stored().map(|stored| stored.side.as_ref().map(|side| side.salt.as_slice())).collect();
            let bodies: Vec<_> = stored().map(|stored| stored.side.as_ref().map(|side| side.body.as_slice())).collect();
            let parameters: [Parameter<'_>; 7] = [
                (&sequences, Type::INT8_ARRAY),
                (&ids, Type::BYTEA_ARRAY),
                (&contents, Type::BYTEA_ARRAY),
                (&hashes, Type::BYTEA_ARRAY),
                (&signatures, Type::BYTEA_ARRAY),
                (&salts, Type::BYTEA_ARRAY),
                (&bodies, Type::BYTEA_ARRAY),
            ];
            link.insert("write to", APPEND, &parameters, "event_pkey").await
        })
    }

    fn watch(&mut self, wake: Wake) -> Result<Duration, Error> {
        self.ask(async move |link| link.listen(wake).await)?;
        Ok(POLL)
    }

    /// A part of the last event's hash: what is told of here is that there is another, or that one is gone.
    fn version(&mut self) -> Result<Option<i64>, Error> {
        let last = self.ask(async move |link| {
            let rows = link.again("read", VERSION, &[]).await?;
            from_primary(&rows, &link.place)?;
            Ok(rows.first().and_then(|row| row.get::<_, Option<Vec<u8>>>(1)))
        })?;
        let part = last.as_ref().and_then(|hash| hash.first_chunk());
        Ok(Some(part.map_or(0, |part| i64::from_be_bytes(*part))))
    }

    fn find(&mut self, id: EventId) -> Result<Option<Sequence>, Error> {
        self.ask(async move |link| {
            let sql = "select portreeve_register.settle($1)";
            let rows = link.again("write to", sql, &[(&id.0.as_slice(), Type::BYTEA)]).await?;
            Ok(rows.first().and_then(|row| row.get::<_, Option<i64>>(0)).map(sequence))
        })
    }

    fn remembered(&mut self, log: &str) -> Result<Option<Remembered>, Error> {
        let log = log.to_owned();
        self.ask(async move |link| remembered(link, &log).await)
    }

    fn remember(&mut self, log: &str, now: Remembered) -> Result<Option<Remembered>, Error> {
        let size = i64::try_from(now.size).map_err(|_| Error::Bug("a log of more than 2^63 records"))?;
        let log = log.to_owned();
        self.ask(async move |link| {
            let parameters =
                [(&log as _, Type::TEXT), (&size as _, Type::INT8), (&now.root.as_slice() as _, Type::BYTEA)];
            let noted = link.again("write to", REMEMBER, &parameters).await?;
            if noted.is_empty() { remembered(link, &log).await } else { Ok(None) }
        })
    }

    /// Committed first, then the table written anew: in the same transaction the deleted rows would be copied.
    fn erase(&mut self, sides: &[Sequence]) -> Result<Option<u64>, Error> {
        let sides: Vec<i64> = sides.iter().copied().map(number).collect();
        self.is_rewritten = false;
        let erased = self.ask(async move |link| {
            let rows = link.once("write to", DELETE, &[(&sides, Type::INT8_ARRAY)]).await?;
            let Some((count, deleted)) = rows.first().map(|row| (row.get::<_, i64>(0), row.get::<_, String>(1))) else {
                return Err(Error::Bug("a count has no row"));
            };
            let rewrite = "select portreeve_register.rewrite($1::text::xid8)";
            let rows = link.slowly("write to", REWRITE_WITHIN, rewrite, &[(&deleted, Type::TEXT)]).await?;
            let is_rewritten = rows.first().is_some_and(|row| row.get(0));
            Ok(is_rewritten.then(|| u64::try_from(count).unwrap_or(0)))
        })?;
        self.is_rewritten = erased.is_some();
        Ok(erased)
    }

    /// The table is not written anew for it, which would lock out everybody each time.
    fn delete(&mut self, side: Sequence) -> Result<(), Error> {
        let sides = vec![number(side)];
        self.ask(async move |link| link.again("write to", DELETE, &[(&sides, Type::INT8_ARRAY)]).await.map(drop))
    }

    /// By a transaction that deletes nothing: whatever was deleted was so before it.
    fn overwrite(&mut self) -> Result<bool, Error> {
        Ok(self.is_rewritten || self.erase(&[])?.is_some())
    }
}

fn number(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).unwrap_or(i64::MAX)
}

fn sequence(number: i64) -> Sequence {
    Sequence(u64::try_from(number).unwrap_or(0))
}

/// What is behind must not pass for what is new: every answer with events, and that there are none, says whether a standby
/// gave it, since whatever is between here and there may lead elsewhere each time. What writes a standby refuses by itself;
/// what is remembered of a log does not say: from one that is behind it is less than it could be, until it is noted again.
fn from_primary(rows: &[Row], place: &Place) -> Result<(), Error> {
    if !rows.is_empty() && rows.iter().all(|row| !row.get::<_, bool>(0)) {
        return Ok(());
    }
    Err(Error::Unfit { place: place.clone(), why: checks::STANDBY.to_owned() })
}

/// None: the row is there for its first column.
fn stored(row: &Row, place: &Place) -> Result<Option<Stored>, Error> {
    let Some(sequence) = row.get::<_, Option<i64>>(1).map(sequence) else { return Ok(None) };
    // The tables' checks hold the lengths; without them it is not the register that was prepared.
    let odd = || Error::Unfit { place: place.clone(), why: format!("row {sequence} is not of the right lengths") };
    let (salt, body): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(5), row.get(6));
    let side = match (salt, body) {
        (Some(salt), Some(body)) => Some(Side { salt: salt.try_into().map_err(|_| odd())?, body }),
        (Some(_) | None, Some(_) | None) => None,
    };
    let signature: Option<Vec<u8>> = row.get(4);
    Ok(Some(Stored {
        sequence,
        content: row.get(2),
        hash: row.get::<_, Vec<u8>>(3).try_into().map_err(|_| odd())?,
        signature: signature.map(|signature| signature.try_into().map_err(|_| odd())).transpose()?,
        side,
    }))
}

/// All from there on as of one moment: else some side rows of what is just being forgotten would be seen, and others not.
async fn read(link: &mut Link, mut next: i64, give: &SyncSender<Vec<Stored>>) -> Result<(), Error> {
    let place = link.place.clone();
    let rows = link.again("read", READ, &[(&next, Type::INT8), (&BATCH, Type::INT8)]).await?;
    let all = batch(&rows, &place)?;
    if is_last(&all) {
        // Whoever does not listen any more has seen enough.
        give.send(all).unwrap_or_default();
        return Ok(());
    }
    // It takes several statements, and that one was of another moment.
    let mut snapshot = link.snapshot("read").await?;
    loop {
        let rows = snapshot.rows("read", READ, &[(&next, Type::INT8), (&BATCH, Type::INT8)]).await?;
        let batch = batch(&rows, &place)?;
        let is_last = is_last(&batch);
        next = batch.last().map_or(next, |stored| number(stored.sequence).saturating_add(1));
        if give.send(batch).is_err() || is_last {
            return snapshot.end("read").await;
        }
    }
}

fn batch(rows: &[Row], place: &Place) -> Result<Vec<Stored>, Error> {
    from_primary(rows, place)?;
    rows.iter().filter_map(|row| stored(row, place).transpose()).collect()
}

fn is_last(batch: &[Stored]) -> bool {
    batch.len() < usize::try_from(BATCH).unwrap_or(usize::MAX)
}

async fn remembered(link: &mut Link, log: &str) -> Result<Option<Remembered>, Error> {
    let sql = "select size, root from portreeve_register.checkpoint where log = $1";
    let rows = link.again("read", sql, &[(&log, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (size, root): (i64, Vec<u8>) = (row.get(0), row.get(1));
    let odd = |_| Error::Unfit { place: link.place.clone(), why: format!("the root of log {log} is no hash") };
    Ok(Some(Remembered { size: u64::try_from(size).unwrap_or(0), root: root.try_into().map_err(odd)? }))
}

#[cfg(test)]
#[path = "elsewhere_tests.rs"]
mod elsewhere;
#[cfg(test)]
#[path = "late_tests.rs"]
mod late;
#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "unfit_tests.rs"]
mod unfit;
