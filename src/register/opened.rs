//! The register, open for appending: what its engine keeps, and the fold of it.
//! Not here: where and how it is kept (the engines), what events mean (`grant/`) and following them (`follower`).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::at::{At, Place};
use super::engine::{self, Engine, Remembered};
use super::error::Error;
use super::fold::{fold_new, fold_seen};
use super::seen::{Seen, check_seen};
use crate::grant::{Fault, Proposal, State, Stored, Trust, apply_made};
use crate::ids::{EventId, Sequence};
use crate::log::vouched::Vouched;

/// The register, open for appending. Clones share one connection; every verb blocks for a moment.
#[derive(Clone)]
pub struct Register {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    trust: Trust,
    open: Mutex<Open>,
}

struct Open {
    engine: Box<dyn Engine>,
    state: Arc<State>,
}

impl Register {
    /// Opens the register, or makes an empty file, and folds and checks all of it.
    ///
    /// # Errors
    /// If it cannot be used, is no register, or does not verify.
    pub fn open(at: impl Into<At>, trust: Trust) -> Result<Register, Error> {
        let at = at.into();
        let (engine, place) = (engine::open(&at)?, at.place());
        let inner = Inner { place, trust, open: Mutex::new(Open { engine, state: Arc::default() }) };
        inner.lock().catch_up(&inner)?;
        Ok(Register { inner: Arc::new(inner) })
    }

    /// The same for a role with a note of its own of what it saw last: signatures up to there were verified then, and are
    /// not verified again. The note stays as it is.
    ///
    /// # Errors
    /// As [`Register::open`]; [`Error::RolledBack`], [`Error::Different`] and [`Error::SeenUnreadable`].
    pub fn open_seen(at: impl Into<At>, trust: Trust, seen: &Path) -> Result<Register, Error> {
        let at = at.into();
        let (mut engine, place, mut state) = (engine::open(&at)?, at.place(), Arc::default());
        fold_seen(engine.as_mut(), &mut state, &place, &trust, seen)?;
        let inner = Inner { place, trust, open: Mutex::new(Open { engine, state }) };
        Ok(Register { inner: Arc::new(inner) })
    }

    /// What messages call it.
    pub fn place(&self) -> &Place {
        &self.inner.place
    }

    /// Holds the register against a role's own note of what it saw last, then notes what it sees now. For roles that
    /// come and go; those that stay have a [`super::Follower`].
    ///
    /// # Errors
    /// [`Error::RolledBack`], [`Error::Different`], [`Error::SeenUnreadable`], and if either cannot be read or written.
    pub fn hold_against(&self, seen: &Path) -> Result<(), Error> {
        let mut open = self.inner.lock();
        let known = Seen::read(seen)?;
        open.catch_up(&self.inner)?;
        let Open { engine, state } = &mut *open;
        check_seen(engine.as_mut(), state, &self.inner.place, (known, seen))?;
        let now = Seen::of(state);
        if known == Some(now) { Ok(()) } else { now.note(seen) }
    }

    /// The fold of everything in it now.
    ///
    /// # Errors
    /// If it cannot be read or does not verify.
    pub fn state(&self) -> Result<Arc<State>, Error> {
        let mut open = self.inner.lock();
        open.catch_up(&self.inner)?;
        Ok(Arc::clone(&open.state))
    }

    /// Appends the event at the place it was made for, durably. An event that would not apply is never stored.
    ///
    /// # Errors
    /// [`Error::LostRace`] if another event stands there, [`Error::Refused`] if the rules forbid it. After
    /// [`Error::Unsure`] it may or may not be stored: ask [`Register::find`]; after any other it is not.
    pub fn append(&self, proposal: &Proposal) -> Result<Sequence, Error> {
        self.append_all(std::slice::from_ref(proposal))
    }

    /// Appends these events, each made for the place behind the one before: all of them stand there, or none. The place
    /// of the last.
    ///
    /// # Errors
    /// As [`Register::append`]; ask for the last.
    pub fn append_all(&self, proposals: &[Proposal]) -> Result<Sequence, Error> {
        let mut open = self.inner.lock();
        open.catch_up(&self.inner)?;
        let first = proposals.first().map(|proposal| proposal.stored.sequence.0);
        if first != Some(open.state.sequence().0.saturating_add(1)) {
            return Err(Error::LostRace(open.state.sequence()));
        }
        let mut next = State::clone(&open.state);
        for proposal in proposals {
            apply_made(&mut next, &proposal.stored, &self.inner.trust).map_err(|fault| match fault {
                Fault::Rule(rule) => Error::from(rule),
                Fault::Gap { .. }
                | Fault::Chain(_)
                | Fault::Content(_)
                | Fault::Side(_)
                | Fault::Unsigned(_)
                | Fault::Signature(_) => Error::Refused(fault.to_string()),
            })?;
        }
        let appended = open.engine.append(proposals);
        if !appended.map_err(|fault| if fault.is_unsure() { Error::Unsure(Box::new(fault)) } else { fault })? {
            open.catch_up(&self.inner)?;
            return Err(Error::LostRace(open.state.sequence()));
        }
        open.state = Arc::new(next);
        Ok(open.state.sequence())
    }

    /// Every event from that sequence on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_from(&self, sequence: Sequence) -> Result<Vec<Stored>, Error> {
        let mut events = Vec::new();
        self.inner.lock().engine.read(sequence, &mut |stored| {
            events.push(stored);
            ControlFlow::Continue(())
        })?;
        Ok(events)
    }

    /// Where the event with that id stands; none: it was not appended, and is not any more.
    ///
    /// # Errors
    /// If it cannot be read, or the id not be given up.
    pub fn find(&self, id: EventId) -> Result<Option<Sequence>, Error> {
        self.inner.lock().engine.find(id)
    }

    /// Remembers how far an audit log has come; outside the chain of events.
    ///
    /// # Errors
    /// [`Error::LogBehind`] if the register remembers a longer log, or another one of that length.
    pub fn note_checkpoint(&self, log: &str, size: u64, root: [u8; 32]) -> Result<(), Error> {
        match self.inner.lock().engine.remember(log, Remembered { size, root })? {
            None => Ok(()),
            Some(known) => Err(Error::LogBehind { log: log.to_owned(), found: size, known: known.size }),
        }
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

    /// Checks that all of the logs with these names are among `logs`, those of `audit`, of which records are remembered.
    ///
    /// # Errors
    /// [`Error::Log`] of the first that is gone; as for [`Register::remembered`].
    pub fn check_there(&self, audit: &Path, names: &[String], logs: &Vouched) -> Result<(), Error> {
        for name in names {
            let leaves = self.remembered(name)?.map_or(0, |(leaves, _)| leaves);
            logs.check_remembered(audit, name, leaves)?;
        }
        Ok(())
    }

    /// How far the log of that origin had come when it was last noted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last_checkpoint(&self, log: &str) -> Result<Option<Remembered>, Error> {
        self.inner.lock().engine.remembered(log)
    }

    /// Deletes the side row of an event that a later one has replaced, so that nothing need be folded anew. Whoever appends
    /// does not wait for it: something of it may be left in a file until [`Register::overwrite`], and in the files of a
    /// server's table until the next row is forgotten.
    pub(super) fn erase_replaced(&self, side: Sequence) -> Result<(), Error> {
        self.inner.lock().engine.delete(side)
    }

    /// Erases such side rows so that nothing of them is left.
    ///
    /// # Errors
    /// Also where somebody reads at that moment, and something may be left.
    pub(super) fn erase_all_replaced(&self, sides: &[Sequence]) -> Result<(), Error> {
        gone(self.inner.lock().engine.erase(sides)?).map(drop)
    }

    /// Sees to what deleting, or an erasure that failed, left where the rows are kept.
    ///
    /// # Errors
    /// Also where somebody reads at that moment, and something may be left: then it must be tried again.
    pub(super) fn overwrite(&self) -> Result<(), Error> {
        let is_gone = self.inner.lock().engine.overwrite()?;
        gone(is_gone.then_some(0)).map(drop)
    }

    /// Erases side rows and folds everything anew: how many there were.
    pub(super) fn erase(&self, sides: &[Sequence]) -> Result<u64, Error> {
        let mut open = self.inner.lock();
        let erased = open.engine.erase(sides)?;
        let mut state = Arc::default();
        fold_new(open.engine.as_mut(), &mut state, &self.inner.place, &self.inner.trust)?;
        open.state = state;
        gone(erased)
    }
}

/// How many side rows are gone, if nothing of them is left.
fn gone(erased: Option<u64>) -> Result<u64, Error> {
    let why = "somebody reads the register, or its server keeps deleted rows (vacuum_defer_cleanup_age), so that what was \
               deleted may still be in its files";
    erased.ok_or_else(|| Error::Refused(why.to_owned()))
}

impl Inner {
    /// The engine and the fold. A panic elsewhere leaves both whole: the fold changes in one assignment.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn catch_up(&mut self, inner: &Inner) -> Result<(), Error> {
        fold_new(self.engine.as_mut(), &mut self.state, &inner.place, &inner.trust)
    }
}

#[cfg(test)]
#[path = "opened_tests.rs"]
pub(super) mod tests;
