//! The register in a file: one SQLite database on this machine.
//! Not here: what events mean (`grant/`), folding them (`fold`) and following them (`follower`).
//! WAL, synchronous=FULL, secure_delete=ON; directory 2770, files 0660 (a read-only reader would fail once the last
//! writer has closed).

use std::fs::{self, OpenOptions, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};

use super::at::At;
use super::engine::{Engine, Remembered, Wake};
use super::error::Error;
use crate::grant::{Proposal, Side, Stored};
use crate::ids::{EventId, Sequence};

/// Marks the file as a register: "PRTV".
const APPLICATION_ID: i64 = 0x5052_5456;
/// The version of the tables.
const USER_VERSION: i64 = 1;
/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(5);
/// How long overwriting what was deleted waits for readers, if it is tried again anyway: other writers wait meanwhile.
const OVERWRITE_BUSY: Duration = Duration::from_millis(250);
/// How often the file is looked at: nobody tells.
pub(super) const POLL: Duration = Duration::from_millis(20);

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

/// An open file.
pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    inode: (u64, u64),
}

impl Sqlite {
    /// Opens the file; makes it, and its directory, if they are not there.
    pub(super) fn open(path: &Path) -> Result<Sqlite, Error> {
        let connection = connect(path)?;
        Ok(Sqlite { path: path.to_owned(), connection, inode: inode(path)? })
    }
}

impl Engine for Sqlite {
    fn read(&mut self, from: Sequence, each: &mut dyn FnMut(Stored) -> ControlFlow<()>) -> Result<(), Error> {
        let unread = |fault| Error::sqlite("read", &self.path)(fault);
        let mut statement = self.connection.prepare_cached(READ).map_err(unread)?;
        let mut rows = statement.query(params![number(from)]).map_err(unread)?;
        while let Some(row) = rows.next().map_err(unread)? {
            if each(stored(row).map_err(unread)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn append(&mut self, proposals: &[Proposal]) -> Result<bool, Error> {
        insert(&mut self.connection, proposals).map_err(Error::sqlite("write to", &self.path))
    }

    fn watch(&mut self, _wake: Wake) -> Result<Duration, Error> {
        Ok(POLL)
    }

    fn version(&mut self) -> Result<Option<i64>, Error> {
        if inode(&self.path)? != self.inode {
            return Err(Error::Replaced(self.path.clone()));
        }
        let version = self.connection.prepare_cached("PRAGMA data_version");
        let version = version.and_then(|mut pragma| pragma.query_row([], |row| row.get(0)));
        version.map(Some).map_err(Error::sqlite("read", &self.path))
    }

    fn find(&mut self, id: EventId) -> Result<Option<Sequence>, Error> {
        let found = self
            .connection
            .query_row("SELECT sequence FROM event WHERE id = ?1", params![id.0], |row| row.get::<_, i64>(0));
        let found = found.optional().map_err(Error::sqlite("read", &self.path))?;
        Ok(found.and_then(|sequence| u64::try_from(sequence).ok()).map(Sequence))
    }

    fn remembered(&mut self, log: &str) -> Result<Option<Remembered>, Error> {
        remembered(&self.connection, log).map_err(Error::sqlite("read", &self.path))
    }

    fn remember(&mut self, log: &str, now: Remembered) -> Result<Option<Remembered>, Error> {
        let write = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Error::sqlite("write to", &self.path))?;
        let known = remembered(&write, log).map_err(Error::sqlite("read", &self.path))?;
        if let Some(known) = known.filter(|known| !known.may_become(&now)) {
            return Ok(Some(known));
        }
        let size = i64::try_from(now.size).map_err(|_| Error::Bug("a log of more than 2^63 records"))?;
        write
            .execute("INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3)", params![log, size, now.root])
            .and_then(|_| write.commit())
            .map_err(Error::sqlite("write to", &self.path))?;
        Ok(None)
    }

    fn erase(&mut self, sides: &[Sequence]) -> Result<Option<u64>, Error> {
        erase(&mut self.connection, sides).map_err(Error::sqlite("write to", &self.path))
    }

    /// Readers keep nobody from it: the write-ahead log is emptied by [`Engine::overwrite`].
    fn delete(&mut self, side: Sequence) -> Result<(), Error> {
        delete(&mut self.connection, &[side]).map(drop).map_err(Error::sqlite("write to", &self.path))
    }

    fn overwrite(&mut self) -> Result<bool, Error> {
        let within = |busy| self.connection.busy_timeout(busy);
        let emptied = within(OVERWRITE_BUSY).and_then(|()| empty_log(&self.connection));
        within(BUSY).and(emptied).map_err(Error::sqlite("write to", &self.path))
    }
}

/// Opens the file with the settings every role uses; makes it, and its directory, if they are not there.
fn connect(path: &Path) -> Result<Connection, Error> {
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
            Ok(None) => return Err(Error::NotARegister(At::from(path).place())),
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

fn number(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).unwrap_or(i64::MAX)
}

/// False: another event stands there.
fn insert(connection: &mut Connection, proposals: &[Proposal]) -> rusqlite::Result<bool> {
    let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for proposal in proposals {
        let Stored { sequence, content, hash, signature, side } = &proposal.stored;
        let sequence = number(*sequence);
        let event = params![sequence, proposal.id.0, content, hash, signature];
        let into_event = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (sequence) DO NOTHING";
        if write.execute(into_event, event)? == 0 {
            return Ok(false);
        }
        if let Some(Side { salt, body }) = side {
            write.execute("INSERT INTO side VALUES (?1, ?2, ?3)", params![sequence, salt, body])?;
        }
    }
    write.commit()?;
    Ok(true)
}

fn remembered(connection: &Connection, log: &str) -> rusqlite::Result<Option<Remembered>> {
    let row = connection.query_row("SELECT size, root FROM checkpoint WHERE log = ?1", params![log], |row| {
        let size = row.get::<_, i64>(0)?;
        Ok(Remembered { size: u64::try_from(size).unwrap_or(0), root: row.get(1)? })
    });
    row.optional()
}

/// From the file, and from its write-ahead log too, which readers may keep from being emptied.
fn erase(connection: &mut Connection, sides: &[Sequence]) -> rusqlite::Result<Option<u64>> {
    let deleted = delete(connection, sides)?;
    Ok(empty_log(connection)?.then_some(deleted))
}

/// How many there were.
fn delete(connection: &mut Connection, sides: &[Sequence]) -> rusqlite::Result<u64> {
    let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut deleted = 0;
    for sequence in sides {
        deleted += write.execute("DELETE FROM side WHERE sequence = ?1", params![number(*sequence)])?;
    }
    write.commit()?;
    Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
}

/// What it holds goes to the file, where deleted rows are zeros. False: a reader or a writer was in the way.
fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

fn inode(path: &Path) -> Result<(u64, u64), Error> {
    let metadata = fs::metadata(path).map_err(Error::file("find", path))?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
pub(super) mod tests;
