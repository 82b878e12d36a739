//! Events on their way from an engine into the state. A few are folded where they are read; of many, one thread reads,
//! some examine, and one folds, in the order of the register.
//! Not here: what makes an event fit (`grant/`), and what it is held against (`fold`).

use std::ops::ControlFlow;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

use super::error::Error;
use super::fold::{Folded, Wanted};
use crate::grant::{State, Stored};
use crate::ids::Sequence;

/// So many events go together. A register of a million events is not held in memory besides its fold.
const BATCH: usize = 512;
/// How many batches may wait for each thread.
const WAITING: usize = 4;
/// More than so many examine no faster than one folds.
const EXAMINERS_MAX: usize = 4;

/// A place in the chain: its sequence and hash.
type At = (Sequence, [u8; 32]);

pub(super) struct Reading<'scope, 'env> {
    before: &'scope State,
    wanted: Wanted<'scope>,
    scope: &'scope Scope<'scope, 'env>,
    /// The event before the batch.
    behind: At,
    batch: Vec<Stored>,
    /// None: there were not that many yet.
    threads: Option<Threads<'scope>>,
    failed: Option<Error>,
}

impl<'scope, 'env> Reading<'scope, 'env> {
    /// What comes behind that state.
    pub(super) fn behind(
        before: &'scope State,
        wanted: Wanted<'scope>,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Reading<'scope, 'env> {
        let behind = (before.sequence(), before.head());
        Reading { before, wanted, scope, behind, batch: Vec::new(), threads: None, failed: None }
    }

    /// Takes the next event. Breaks off when one before it did not fit.
    pub(super) fn take(&mut self, stored: Stored) -> ControlFlow<()> {
        self.batch.push(stored);
        if self.batch.len() < BATCH {
            return ControlFlow::Continue(());
        }
        self.pass_on().unwrap_or_else(|fault| {
            self.failed = Some(fault);
            ControlFlow::Break(())
        })
    }

    /// Gives the batch to the threads, which are started for the first.
    fn pass_on(&mut self) -> Result<ControlFlow<()>, Error> {
        let (batch, behind) = (std::mem::take(&mut self.batch), self.behind);
        self.batch.reserve_exact(BATCH);
        self.behind = batch.last().map_or(behind, |last| (last.sequence, last.hash));
        let threads = match &mut self.threads {
            Some(threads) => threads,
            none => none.insert(Threads::start(self.before.clone(), self.wanted, self.scope)?),
        };
        Ok(threads.give((batch, behind)))
    }

    /// What became of them all.
    pub(super) fn end(mut self) -> Result<Folded, Error> {
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        if self.threads.is_none() {
            let mut folded = Folded::of(self.before.clone());
            // Why it broke off stands in it.
            let _ = folded.take(self.wanted.examine(&self.batch, self.behind), &self.wanted);
            return Ok(folded);
        }
        // Why it broke off is told by the thread that folds.
        let _ = self.pass_on()?;
        let Some(threads) = self.threads else { return Err(Error::Bug("threads that were started are gone")) };
        let folded = threads.join()?;
        let reached = folded.next.as_ref().map(State::sequence);
        if folded.outcome.is_ok() && reached != Some(self.behind.0) {
            return Err(Error::Bug("events were read and not folded"));
        }
        Ok(folded)
    }
}

/// Those that examine, in the order of whose turn it is, and the one that folds.
struct Threads<'scope> {
    examiners: Vec<SyncSender<(Vec<Stored>, At)>>,
    turn: usize,
    folder: ScopedJoinHandle<'scope, Folded>,
}

impl<'scope> Threads<'scope> {
    fn start<'env>(
        before: State,
        wanted: Wanted<'scope>,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<Threads<'scope>, Error> {
        let named = || Builder::new().name("register fold".to_owned());
        let (mut examiners, mut examined) = (Vec::new(), Vec::new());
        for _ in 0..available_parallelism().map_or(1, usize::from).min(EXAMINERS_MAX) {
            let (give, given) = mpsc::sync_channel::<(Vec<Stored>, At)>(WAITING);
            let (pass, passed) = mpsc::sync_channel(WAITING);
            let examine =
                move || given.iter().try_for_each(|(batch, behind)| pass.send(wanted.examine(&batch, behind)));
            named().spawn_scoped(scope, examine).map_err(Error::thread("examine events"))?;
            examiners.push(give);
            examined.push(passed);
        }
        let fold = move || {
            let mut folded = Folded::of(before);
            // Nothing more from whose turn it is: that was all.
            let mut batches = examined.iter().cycle().map_while(|passed| passed.recv().ok());
            // Why it broke off stands in it.
            let _ = batches.try_for_each(|batch| folded.take(batch, &wanted));
            folded
        };
        let folder = named().spawn_scoped(scope, fold).map_err(Error::thread("fold events"))?;
        Ok(Threads { examiners, turn: 0, folder })
    }

    fn give(&mut self, batch: (Vec<Stored>, At)) -> ControlFlow<()> {
        let examiner = self.examiners.get(self.turn);
        self.turn = (self.turn + 1) % self.examiners.len();
        // Nobody takes it any more once something did not fit.
        match examiner.map(|examiner| examiner.send(batch)) {
            Some(Ok(())) => ControlFlow::Continue(()),
            Some(Err(_)) | None => ControlFlow::Break(()),
        }
    }

    fn join(self) -> Result<Folded, Error> {
        drop(self.examiners);
        self.folder.join().map_err(|_| Error::Bug("the thread that folds the register panicked"))
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
