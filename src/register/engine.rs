//! The seam of the register: append at an expected place, read from a place, watch; and what is kept beside the events.
//! Not here: what events mean (`grant/`) and folding them (`fold`). Each engine has a file of its own.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use super::at::At;
use super::error::Error;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use crate::grant::{Proposal, Stored};
use crate::ids::{EventId, Sequence};

/// What the register remembers of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// How many leaves it had.
    pub size: u64,
    /// The root of its tree.
    pub root: [u8; 32],
}

/// What keeps events. Every verb blocks for a moment.
pub(super) trait Engine: Send {
    /// Shows every event from that sequence on, in order, until `each` breaks off.
    fn read(&mut self, from: Sequence, each: &mut dyn FnMut(Stored) -> ControlFlow<()>) -> Result<(), Error>;

    /// Appends events, each behind the one before, with their side rows, durably, all of them or none; false: another one
    /// stands at their place. After an error that [`Error::is_unsure`], [`Engine::find`] says of the last whether they are
    /// stored.
    fn append(&mut self, proposals: &[Proposal]) -> Result<bool, Error>;

    /// From now on `wake` is woken when something was appended, where the engine is told; how often to look besides.
    fn watch(&mut self, wake: Wake) -> Result<Duration, Error>;

    /// Other than it was when somebody else has committed since; none: only reading tells.
    fn version(&mut self) -> Result<Option<i64>, Error>;

    /// Where the event with that id stands. None: it is not there, and never will be, however late its append arrives.
    fn find(&mut self, id: EventId) -> Result<Option<Sequence>, Error>;

    /// How far the log of that origin had come when it was last noted.
    fn remembered(&mut self, log: &str) -> Result<Option<Remembered>, Error>;

    /// Notes how far a log has come, unless it went back or is another one: then what is remembered of it.
    fn remember(&mut self, log: &str, now: Remembered) -> Result<Option<Remembered>, Error>;

    /// Deletes these events' side rows, so that nothing of them is left where the engine keeps its rows: how many there
    /// were. None: readers were in the way, and something may be left.
    fn erase(&mut self, sides: &[Sequence]) -> Result<Option<u64>, Error>;

    /// Deletes the side row of an event that a later one has replaced, in a moment, whoever reads: it is never read again.
    /// Where the engine keeps its rows something of it may be left until the next [`Engine::erase`].
    fn delete(&mut self, side: Sequence) -> Result<(), Error>;

    /// Sees to what deleting left where the engine keeps its rows, without holding anybody up for long: a file has all of it
    /// overwritten, whoever deleted it; a server what an erasure here failed to, and when it is not known whether one did.
    /// False: readers were in the way, and something may be left.
    fn overwrite(&mut self) -> Result<bool, Error>;
}

/// Opens the register there; an empty file is made if there is none, a server was prepared before.
pub(super) fn open(at: &At) -> Result<Box<dyn Engine>, Error> {
    match at {
        At::File(path) => Ok(Box::new(Sqlite::open(path)?)),
        At::Server(server) => Ok(Box::new(Postgres::open(server)?)),
    }
}

impl Remembered {
    /// Whether a log that stood here may stand there now.
    pub(super) fn may_become(&self, now: &Remembered) -> bool {
        now.size > self.size || now == self
    }
}

/// Wakes whoever follows. However often it is woken before it looks, it looks once.
#[derive(Clone)]
pub(super) struct Wake(SyncSender<()>);

impl Wake {
    /// What wakes, and what is woken.
    pub(super) fn new() -> (Wake, Receiver<()>) {
        let (wake, woken) = mpsc::sync_channel(1);
        (Wake(wake), woken)
    }

    pub(super) fn wake(&self) {
        // Full: it will look. Nobody there: nobody looks any more.
        self.0.try_send(()).unwrap_or_default();
    }
}
