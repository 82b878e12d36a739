//! Registers for tests, one for each engine, and what can be done to one behind its back.
//! Not here: what must hold of them (`conformance_tests.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{At, Error, Follower, Register};
use crate::clock::{Clock, SystemClock};
use crate::grant::world::{World, trust};
use crate::grant::{Event, Proposal, Stored};

/// The event as something to append.
pub(super) fn proposal(stored: Stored) -> Proposal {
    let id = Event::decode(&stored.content).expect("it is an event").id;
    Proposal { id, stored }
}

/// Waits for that to be so; what it takes in the end is the caller's to judge.
pub(super) fn wait_for(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < Duration::from_secs(20), "it never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A register with nothing in it yet.
pub(super) struct Kept {
    pub(super) at: At,
    behind: Behind,
    directory: TempDir,
}

/// What it is kept in.
enum Behind {
    File(PathBuf),
}

impl Kept {
    /// In a file.
    pub(super) fn file() -> Kept {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("register/register.sqlite");
        Kept { at: At::File(path.clone()), behind: Behind::File(path), directory }
    }

    pub(super) fn open(&self) -> Register {
        self.try_open().expect("it opens")
    }

    pub(super) fn try_open(&self) -> Result<Register, Error> {
        Register::open(self.at.clone(), trust())
    }

    /// Appends what that world was folded from.
    pub(super) fn holding(&self, world: &World) -> Register {
        let register = self.open();
        for event in &world.events {
            register.append(&proposal(event.clone())).expect("it applies");
        }
        register
    }

    /// What a role saw last.
    pub(super) fn seen(&self) -> PathBuf {
        self.directory.path().join("role/seen")
    }

    pub(super) fn follow(&self) -> Result<Follower, Error> {
        self.follow_by(Arc::new(SystemClock))
    }

    pub(super) fn follow_by(&self, clock: Arc<dyn Clock>) -> Result<Follower, Error> {
        Follower::start(self.at.clone(), trust(), &self.seen(), clock)
    }

    /// Bytes as its SQL says them.
    pub(super) fn bytes(&self, bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match &self.behind {
            Behind::File(_) => format!("x'{digits}'"),
        }
    }

    /// Writes an event there as whoever may write there can, past every check of ours.
    pub(super) fn forge(&self, event: &Stored) {
        let (id, content, hash) = (self.bytes(&[9; 16]), self.bytes(&event.content), self.bytes(&event.hash));
        self.alter(&format!("INSERT INTO event VALUES ({}, {id}, {content}, {hash}, NULL)", event.sequence.0));
    }

    /// Does to it what only whoever owns the machine can: nothing there is in the way.
    pub(super) fn alter(&self, sql: &str) {
        match &self.behind {
            Behind::File(path) => tamper(path, sql),
        }
    }

    /// Tries that as the roles of Portreeve could; the refusal.
    pub(super) fn refusal(&self, sql: &str) -> String {
        match &self.behind {
            Behind::File(path) => {
                let connection = rusqlite::Connection::open(path).expect("it opens");
                connection.execute(sql, []).expect_err("it is refused").to_string()
            }
        }
    }

    /// A newer Portreeve has made its tables anew.
    pub(super) fn upgrade(&self) {
        match &self.behind {
            Behind::File(_) => self.alter("PRAGMA user_version = 2"),
        }
    }

    /// It cannot be reached any more.
    pub(super) fn go_away(&mut self) {
        match &mut self.behind {
            Behind::File(path) => std::fs::rename(&*path, path.with_extension("aside")).expect("it is moved"),
        }
    }

    /// It can be reached again.
    pub(super) fn come_back(&mut self) {
        match &mut self.behind {
            Behind::File(path) => std::fs::rename(path.with_extension("aside"), &*path).expect("it is back"),
        }
    }

    /// Where it is, for another process; see [`at_of`].
    pub(super) fn name(&self) -> String {
        match &self.at {
            At::File(path) => path.display().to_string(),
        }
    }
}

/// The place that [`Kept::name`] named.
pub(super) fn at_of(name: &str) -> At {
    At::from(Path::new(name))
}

/// Writes to the file behind the register's back.
pub(super) fn tamper(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("it opens");
    connection
        .execute_batch("DROP TRIGGER IF EXISTS event_update; DROP TRIGGER IF EXISTS event_delete;")
        .and_then(|()| connection.execute_batch(sql))
        .expect("it is done");
}
