//! The register's file: append at an expected place, read from a place, in one SQLite database.
//! Not here: what events mean (`grant/`) and following them (`follower`).
//! WAL, synchronous=FULL, secure_delete=ON; directory 2770, files 0660 (a read-only reader would fail once the last
//! writer has closed).

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};

use super::error::Error;
use super::seen::{Seen, check_seen};
use crate::grant::{Fault, Proposal, Side, State, Stored, Trust, apply, apply_known};
use crate::ids::{EventId, Sequence};

/// Marks the file as a register: "PRTV".
const APPLICATION_ID: i64 = 0x5052_5456;
/// The version of the tables.
const USER_VERSION: i64 = 1;
/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE event (
        sequence  INTEGER PRIMARY KEY,
        id        BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        content   BLOB NOT NULL,
        hash      BLOB NOT NULL CHECK (length(hash) = 32),
        signature BLOB CHECK (length(signature) = 64)
    ) STRICT;
    CREATE TABLE side (
        sequence INTEGER PRIMARY KEY REFERENCES event,
        salt     BLOB NOT NULL CHECK (length(salt) = 32),
        body     BLOB NOT NULL
    ) STRICT;
    CREATE TABLE checkpoint (
        log  TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        root BLOB NOT NULL CHECK (length(root) = 32)
    ) STRICT;
    CREATE TRIGGER event_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'the register is append-only'); END;
    CREATE TRIGGER event_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'the register is append-only'); END;
";

const READ: &str = "
    SELECT event.sequence, event.content, event.hash, event.signature, side.salt, side.body
    FROM event LEFT JOIN side USING (sequence) WHERE event.sequence >= ?1 ORDER BY event.sequence";

/// What the register remembers of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// How many leaves it had.
    pub size: u64,
    /// The root of its tree.
    pub root: [u8; 32],
}

/// The register, open for appending. Clones share one connection; every verb blocks for a moment.
#[derive(Clone)]
pub struct Register {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    trust: Trust,
    open: Mutex<Open>,
}

struct Open {
    connection: Connection,
    state: Arc<State>,
}

impl Register {
    /// Opens the register, or makes an empty one, and folds and checks all of it.
    ///
    /// # Errors
    /// If the file cannot be used, is no register, or does not verify.
    pub fn open(path: &Path, trust: Trust) -> Result<Register, Error> {
        let mut open = Open { connection: connect(path)?, state: Arc::default() };
        open.catch_up(path, &trust)?;
        let inner = Inner { path: path.to_owned(), trust, open: Mutex::new(open) };
        Ok(Register { inner: Arc::new(inner) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Holds the register against a role's own note of what it saw last, then notes what it sees now. For roles that
    /// come and go; those that stay have a [`super::Follower`].
    ///
    /// # Errors
    /// [`Error::RolledBack`], [`Error::Different`], [`Error::SeenUnreadable`], and if either cannot be read or written.
    pub fn hold_against(&self, seen: &Path) -> Result<(), Error> {
        let mut open = self.lock();
        open.catch_up(&self.inner.path, &self.inner.trust)?;
        let before = Seen::read(seen)?;
        check_seen(&open.connection, &open.state, &self.inner.path, seen)?;
        let now = Seen::of(&open.state);
        if before == Some(now) { Ok(()) } else { now.write(seen) }
    }

    /// The fold of everything in it now.
    ///
    /// # Errors
    /// If it cannot be read or does not verify.
    pub fn state(&self) -> Result<Arc<State>, Error> {
        let mut open = self.lock();
        open.catch_up(&self.inner.path, &self.inner.trust)?;
        Ok(Arc::clone(&open.state))
    }

    /// Appends the event at the place it was made for, durably. An event that would not apply is never stored.
    ///
    /// # Errors
    /// [`Error::LostRace`] if another event stands there, [`Error::Refused`] if the rules forbid it. After
    /// [`Error::Sqlite`] it may or may not be stored: ask [`Register::find`].
    pub fn append(&self, proposal: &Proposal) -> Result<Sequence, Error> {
        let (path, trust) = (self.inner.path.as_path(), &self.inner.trust);
        let mut open = self.lock();
        let Open { connection, state } = &mut *open;
        let write = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Error::sqlite("write to", path))?;
        fold_new(&write, state, path, trust)?;
        if proposal.stored.sequence.0 != state.sequence().0.saturating_add(1) {
            return Err(Error::LostRace(state.sequence()));
        }
        let mut next = State::clone(state);
        apply(&mut next, &proposal.stored, trust).map_err(|fault| match fault {
            Fault::Rule(rule) => Error::from(rule),
            Fault::Gap { .. }
            | Fault::Chain(_)
            | Fault::Content(_)
            | Fault::Side(_)
            | Fault::Unsigned(_)
            | Fault::Signature(_) => Error::Refused(fault.to_string()),
        })?;
        insert(&write, proposal).map_err(Error::sqlite("write to", path))?;
        write.commit().map_err(Error::sqlite("write to", path))?;
        *state = Arc::new(next);
        Ok(proposal.stored.sequence)
    }

    /// Every event from that sequence on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_from(&self, sequence: Sequence) -> Result<Vec<Stored>, Error> {
        let open = self.lock();
        read_from(&open.connection, sequence).map_err(Error::sqlite("read", &self.inner.path))
    }

    /// Where the event with that id stands; none: it was never appended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn find(&self, id: EventId) -> Result<Option<Sequence>, Error> {
        let open = self.lock();
        let found = open
            .connection
            .query_row("SELECT sequence FROM event WHERE id = ?1", params![id.0], |row| row.get::<_, i64>(0));
        let found = found.optional().map_err(Error::sqlite("read", &self.inner.path))?;
        Ok(found.and_then(|sequence| u64::try_from(sequence).ok()).map(Sequence))
    }

    /// Remembers how far an audit log has come; outside the chain of events.
    ///
    /// # Errors
    /// [`Error::LogBehind`] if the register remembers a longer log, or another one of that length.
    pub fn note_checkpoint(&self, log: &str, size: u64, root: [u8; 32]) -> Result<(), Error> {
        let path = self.inner.path.as_path();
        let mut open = self.lock();
        let write = open
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Error::sqlite("write to", path))?;
        if let Some(known) = remembered(&write, log).map_err(Error::sqlite("read", path))?
            && (size < known.size || (size == known.size && root != known.root))
        {
            return Err(Error::LogBehind { log: log.to_owned(), found: size, known: known.size });
        }
        let stored = i64::try_from(size).map_err(|_| Error::Bug("a log of more than 2^63 records"))?;
        write
            .execute("INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3)", params![log, stored, root])
            .and_then(|_| write.commit())
            .map_err(Error::sqlite("write to", path))
    }

    /// How far the log of that writer had come, as its settings take it: how many leaves, and their root. Every writer
    /// notes its log under its origin.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn remembered(&self, writer: &str) -> Result<Option<(u64, [u8; 32])>, Error> {
        let remembered = self.last_checkpoint(&crate::log::origin(writer))?;
        Ok(remembered.map(|Remembered { size, root }| (size, root)))
    }

    /// How far the log of that origin had come when it was last noted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last_checkpoint(&self, log: &str) -> Result<Option<Remembered>, Error> {
        remembered(&self.lock().connection, log).map_err(Error::sqlite("read", &self.inner.path))
    }

    /// Changes side rows and folds everything anew; `None` says that readers were in the way.
    pub(super) fn changed(
        &self,
        change: impl FnOnce(&mut Connection) -> rusqlite::Result<Option<u64>>,
    ) -> Result<u64, Error> {
        let (path, trust) = (self.inner.path.as_path(), &self.inner.trust);
        let mut open = self.lock();
        let changed = change(&mut open.connection).map_err(Error::sqlite("write to", path))?;
        let mut state = Arc::default();
        fold_new(&open.connection, &mut state, path, trust)?;
        open.state = state;
        changed.ok_or_else(|| {
            let why = "somebody reads the register, so that what is deleted is still in its write-ahead log";
            Error::Refused(why.to_owned())
        })
    }

    /// The connection and the fold. A panic elsewhere leaves both whole: the fold changes in one assignment.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn catch_up(&mut self, path: &Path, trust: &Trust) -> Result<(), Error> {
        fold_new(&self.connection, &mut self.state, path, trust)
    }
}

/// Opens the file with the settings every role uses; makes it, and its directory, if they are not there.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    make_file(path)?;
    let configure = || -> rusqlite::Result<Option<Connection>> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let number = |pragma| write.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let tables = write.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        match (number("application_id")?, number("user_version")?, tables) {
            (0, 0, 0) => {
                write.execute_batch(TABLES)?;
                write.pragma_update(None, "application_id", APPLICATION_ID)?;
                write.pragma_update(None, "user_version", USER_VERSION)?;
                write.commit()?;
            }
            (APPLICATION_ID, USER_VERSION, _) => write.commit()?,
            (_, _, _) => return Ok(None),
        }
        Ok(Some(connection))
    };
    let since = Instant::now();
    loop {
        match configure() {
            // Turning WAL on does not wait for others who are just doing the same.
            Err(busy) if busy.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && since.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(Some(connection)) => return Ok(connection),
            Ok(None) => return Err(Error::NotARegister(path.to_owned())),
            Err(fault) => return Err(Error::sqlite("open", path)(fault)),
        }
    }
}

/// The modes do not depend on the umask: several users of one group share the register. SQLite gives the files it
/// makes beside this one the same mode.
fn make_file(path: &Path) -> Result<(), Error> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    {
        fs::create_dir_all(directory).map_err(Error::file("make", directory))?;
        fs::set_permissions(directory, Permissions::from_mode(0o2770))
            .map_err(Error::file("set the mode of", directory))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o660).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o660)).map_err(Error::file("set the mode of", path)),
        Err(exists) if exists.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(fault) => Err(Error::file("make", path)(fault)),
    }
}

/// Reads and folds what the file holds beyond the state, and checks that it still holds the state's last event.
/// After a fault the state is that of everything before it: what narrows there still counts.
pub(super) fn fold_new(
    connection: &Connection,
    state: &mut Arc<State>,
    path: &Path,
    trust: &Trust,
) -> Result<(), Error> {
    fold_behind(connection, state, path, trust, None)
}

/// The same from nothing, without the signatures up to where this role saw it last: by then it had verified them. That the
/// chain is the same there is looked at in what was folded.
pub(super) fn fold_seen(connection: &Connection, path: &Path, trust: &Trust, seen: &Path) -> Result<Arc<State>, Error> {
    let mut state = Arc::default();
    let known = Seen::read(seen)?.map(|known| (known, seen));
    fold_behind(connection, &mut state, path, trust, known)?;
    check_seen(connection, &state, path, seen)?;
    Ok(state)
}

fn fold_behind(
    connection: &Connection,
    state: &mut Arc<State>,
    path: &Path,
    trust: &Trust,
    known: Option<(Seen, &Path)>,
) -> Result<(), Error> {
    let unread = |fault| Error::sqlite("read", path)(fault);
    let last = state.sequence();
    let mut statement = connection.prepare_cached(READ).map_err(unread)?;
    // One row at a time: a register of a million events is not held in memory besides its fold.
    let mut rows = statement.query(params![i64::try_from(last.0).unwrap_or(i64::MAX)]).map_err(unread)?;
    let mut next_row = || rows.next().and_then(|row| row.map(stored).transpose()).map_err(unread);
    if last.0 > 0 {
        let same = next_row()?.is_some_and(|stored| stored.sequence == last && stored.hash == state.head());
        if !same {
            return Err(Error::fault(path)(Fault::Chain(last)));
        }
    }
    let Some(mut row) = next_row()? else { return Ok(()) };
    let mut next = State::clone(state);
    let folded = loop {
        let is_known = known.is_some_and(|(seen, _)| row.sequence <= seen.sequence);
        let applied = if is_known { apply_known(&mut next, &row) } else { apply(&mut next, &row, trust) };
        if let Err(fault) = applied {
            break Err(Error::fault(path)(fault));
        }
        // Here, of the very rows that were folded: whoever can write the file could show others to a second look.
        if let Some((seen, seen_path)) = known.filter(|(seen, _)| seen.sequence == next.sequence())
            && seen.hash != next.head()
        {
            let (path, seen_path) = (path.to_owned(), seen_path.to_owned());
            return Err(Error::Different { path, seen_path, sequence: seen.sequence });
        }
        match next_row() {
            Ok(Some(following)) => row = following,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        }
    };
    *state = Arc::new(next);
    folded
}

pub(super) fn read_from(connection: &Connection, sequence: Sequence) -> rusqlite::Result<Vec<Stored>> {
    let first = i64::try_from(sequence.0).unwrap_or(i64::MAX);
    connection.prepare_cached(READ)?.query_map(params![first], stored)?.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let sequence: i64 = row.get(0)?;
    let side = match (row.get(4)?, row.get(5)?) {
        (Some(salt), Some(body)) => Some(Side { salt, body }),
        (Some(_) | None, Some(_) | None) => None,
    };
    Ok(Stored {
        sequence: Sequence(u64::try_from(sequence).unwrap_or(0)),
        content: row.get(1)?,
        hash: row.get(2)?,
        signature: row.get(3)?,
        side,
    })
}

fn insert(write: &Connection, proposal: &Proposal) -> rusqlite::Result<()> {
    let Stored { sequence, content, hash, signature, side } = &proposal.stored;
    let sequence = i64::try_from(sequence.0).unwrap_or(i64::MAX);
    let event = params![sequence, proposal.id.0, content, hash, signature];
    write.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5)", event)?;
    if let Some(Side { salt, body }) = side {
        write.execute("INSERT INTO side VALUES (?1, ?2, ?3)", params![sequence, salt, body])?;
    }
    Ok(())
}

fn remembered(connection: &Connection, log: &str) -> rusqlite::Result<Option<Remembered>> {
    let row = connection.query_row("SELECT size, root FROM checkpoint WHERE log = ?1", params![log], |row| {
        let size = row.get::<_, i64>(0)?;
        Ok(Remembered { size: u64::try_from(size).unwrap_or(0), root: row.get(1)? })
    });
    row.optional()
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
pub(super) mod tests;
