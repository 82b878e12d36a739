//! Reads what a query asks for as a stream, in bounded memory however much there is: records in the order of time,
//! each statement with what became of it.
//! Not here: a limit on how many (`search.rs` keeps the newest).

use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Error;
use super::open::DataKeys;
use super::plan::{Plan, Records};
use super::search::{self, Found, OUTCOME_WITHIN, Query};
use crate::audit::keys::{Recipients, SealedDataKey};
use crate::audit::record::{Kind, Record};
use crate::ids::SessionId;
use crate::secret::{Secret, wipe_stack};

/// How far reading has come, and whether it shall stop; shared by whoever reads and whoever watches.
#[derive(Debug, Default)]
pub struct Watch {
    read: AtomicU64,
    of: AtomicU64,
    is_stopped: AtomicBool,
}

impl Watch {
    /// Leaves read or passed over, of how many; those are 0 as long as nobody knows.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }

    /// Reading ends soon, with [`Error::Stopped`].
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// One leaf was read.
    pub(super) fn count(&self) -> Result<(), Error> {
        self.pass(1)
    }

    /// So many leaves were read, or need not be.
    pub(super) fn pass(&self, leaves: u64) -> Result<(), Error> {
        self.read.fetch_add(leaves, Ordering::Relaxed);
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Error> {
        if self.is_stopped.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    fn begin_again(&self, of: u64) {
        self.read.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }
}

/// How much of one log is held back, so that outcomes find their statements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// More is held only of a single record that is larger.
const WINDOW: Window = Window { records: 4096, bytes: 8 << 20 };

/// An outcome that is too late tells that no more are to be looked for only if as many follow that are: a clock can have
/// been ahead for a while.
const LATE_IN_A_ROW: usize = 4096;

/// Logs that were read once to know which data keys are needed, and those, opened.
pub struct Prepared {
    pub(super) logs: Vec<(Plan, DataKeys)>,
    query: Query,
    recipients: Recipients,
    watch: Arc<Watch>,
    pub(super) window: Window,
}

/// Reads what the logs of `dirs` hold for the query once and has the data keys opened that the answer needs, all in one
/// request; where sealed blocks tell what cannot be of the answer, those that open their words in one before. Memory: some
/// 300 bytes for each, of which a customer has two per 15 minutes or 64 MiB.
///
/// # Errors
/// [`search::Error`].
pub async fn prepare<O, F, E>(
    dirs: &[PathBuf],
    query: &Query,
    recipients: &Recipients,
    watch: &Arc<Watch>,
    opener: O,
) -> Result<Prepared, search::Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    prepared(dirs, query, recipients, watch, opener, true).await
}

/// The same, in one request whatever blocks tell.
pub(super) async fn prepare_whole<O, F, E>(
    dirs: &[PathBuf],
    query: &Query,
    recipients: &Recipients,
    watch: &Arc<Watch>,
    opener: O,
) -> Result<Prepared, search::Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    prepared(dirs, query, recipients, watch, opener, false).await
}

async fn prepared<O, F, E>(
    dirs: &[PathBuf],
    query: &Query,
    recipients: &Recipients,
    watch: &Arc<Watch>,
    mut opener: O,
    by_blocks: bool,
) -> Result<Prepared, search::Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    let (dirs, query, recipients, watch) = (dirs.to_vec(), query.clone(), recipients.clone(), Arc::clone(watch));
    let planned = tokio::task::spawn_blocking(move || -> Result<Prepared, Error> {
        let plan = |dir: &PathBuf| Ok((Plan::make(dir, &query, &recipients, &watch, by_blocks)?, DataKeys::new()));
        let logs = dirs.iter().map(plan).collect::<Result<_, Error>>()?;
        Ok(Prepared { logs, query, recipients, watch, window: WINDOW })
    });
    let mut prepared = planned.await.map_err(|_| search::Error::Stopped)??;
    have_opened(&mut prepared.logs, &mut opener).await?;
    if prepared.logs.iter().any(|(plan, _)| plan.is_narrowed()) {
        let narrowed = tokio::task::spawn_blocking(move || {
            let narrowed = prepared.narrow();
            wipe_stack();
            narrowed.map(|()| prepared)
        });
        prepared = narrowed.await.map_err(|_| search::Error::Stopped)??;
        have_opened(&mut prepared.logs, &mut opener).await?;
    }
    let leaves = prepared.logs.iter().map(|(plan, _)| plan.end.saturating_sub(plan.start));
    prepared.watch.begin_again(leaves.sum());
    Ok(prepared)
}

/// Has the data keys opened that the logs ask for, all in one request; none if they ask for none.
async fn have_opened<O, F, E>(logs: &mut [(Plan, DataKeys)], opener: &mut O) -> Result<(), search::Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    let sealed: Vec<SealedDataKey> = logs.iter().flat_map(|(plan, _)| plan.sealed().cloned()).collect();
    let asked = sealed.len();
    let opened = if sealed.is_empty() { Vec::new() } else { opener(sealed).await.map_err(search::Error::Opener)? };
    if opened.len() != asked {
        return Err(search::Error::Keys { asked, given: opened.len() });
    }
    let mut opened = opened.into_iter();
    logs.iter_mut().for_each(|(plan, keys)| plan.take_opened(&mut opened, keys));
    Ok(())
}

impl Prepared {
    fn narrow(&mut self) -> Result<(), Error> {
        let Prepared { logs, query, recipients, watch, .. } = self;
        logs.iter_mut().try_for_each(|(plan, keys)| plan.narrow(query, recipients, keys, watch))
    }

    /// The records of one of the logs, statements and outcomes apart.
    pub(super) fn records<'a>(&'a self, (plan, keys): &'a (Plan, DataKeys)) -> Records<'a> {
        plan.records(&self.query, &self.recipients, keys, &self.watch, plan.start)
    }

    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// Everything that was asked for, oldest first. (Within one log in its order: a clock that was set back does not
    /// change that.) It reads files: not for the threads that serve sessions.
    pub fn stream(&self) -> Stream<'_> {
        let joined = |log| Joined::new(self, log).peekable();
        Stream { logs: self.logs.iter().map(joined).collect() }
    }
}

/// The records of several logs as one.
pub struct Stream<'a> {
    logs: Vec<Peekable<Joined<'a>>>,
}

impl Iterator for Stream<'_> {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Result<Found, Error>> {
        let mut oldest = None;
        for (number, log) in self.logs.iter_mut().enumerate() {
            match log.peek() {
                None => {}
                Some(Err(_)) => return log.next(),
                Some(Ok(found)) => {
                    let at = (found.record.at, number);
                    if oldest.is_none_or(|oldest| at < oldest) {
                        oldest = Some(at);
                    }
                }
            }
        }
        self.logs.get_mut(oldest?.1)?.next()
    }
}

/// Which statement of which session.
type Key = (SessionId, u64);

/// One log's records, each statement with its outcome, which is awaited within the window and else looked for ahead. An
/// outcome whose statement was given with another, or before the period, has a row of its own.
struct Joined<'a> {
    prepared: &'a Prepared,
    log: &'a (Plan, DataKeys),
    records: Records<'a>,
    held: VecDeque<Held>,
    bytes: usize,
    /// How many were given.
    given: usize,
    /// Statements that are held: the how-manieth they are.
    statements: HashMap<Key, usize>,
    /// Statements that have an outcome which is still to be read.
    ahead: HashSet<Key>,
    is_over: bool,
}

struct Held {
    found: Found,
    bytes: usize,
    awaits: bool,
}

impl Iterator for Joined<'_> {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Result<Found, Error>> {
        loop {
            let Window { records, bytes } = self.prepared.window;
            let is_full = self.held.len() >= records || self.bytes >= bytes;
            let step = match self.held.front() {
                None if self.is_over => return None,
                Some(held) if is_full && held.awaits && !self.is_over => self.look_ahead(),
                Some(_) if is_full || self.is_over => match self.give() {
                    Some(found) if !self.prepared.query.matches_with_outcome(&found) => Ok(()),
                    found => return found.map(Ok),
                },
                Some(_) | None => self.read(),
            };
            if let Err(error) = step {
                self.held.clear();
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }
}

impl<'a> Joined<'a> {
    fn new(prepared: &'a Prepared, log: &'a (Plan, DataKeys)) -> Self {
        Joined {
            prepared,
            log,
            records: prepared.records(log),
            held: VecDeque::new(),
            bytes: 0,
            given: 0,
            statements: HashMap::new(),
            ahead: HashSet::new(),
            is_over: false,
        }
    }

    fn read(&mut self) -> Result<(), Error> {
        match self.records.next().transpose()? {
            Some(found) => self.take(found),
            None => self.is_over = true,
        }
        Ok(())
    }

    fn take(&mut self, found: Found) {
        let key = key(&found.record);
        if let Some(key) = key.filter(|_| found.record.kind == Kind::Outcome) {
            let was_ahead = self.ahead.remove(&key);
            match self.join(&key, found.record) {
                None => return,
                Some(_) if was_ahead => return,
                // Its statement is not here: it stands for itself.
                Some(record) => return self.hold(Found { record, ..found }),
            }
        }
        self.hold(found);
    }

    /// Gives an outcome to its statement, or back if that is not held.
    fn join(&mut self, key: &Key, outcome: Record) -> Option<Record> {
        let index = self.statements.get(key).and_then(|number| number.checked_sub(self.given));
        let Some(held) = index.and_then(|index| self.held.get_mut(index)) else { return Some(outcome) };
        let more = weight(&outcome);
        held.found.outcome = Some(outcome);
        held.awaits = false;
        held.bytes += more;
        self.bytes += more;
        None
    }

    fn hold(&mut self, found: Found) {
        if found.fault.is_none() && !self.prepared.query.matches(&found) {
            return;
        }
        let key = key(&found.record).filter(|_| found.record.awaits_outcome());
        if let Some(key) = key {
            self.statements.insert(key, self.given + self.held.len());
        }
        let bytes = weight(&found.record);
        self.bytes += bytes;
        self.held.push_back(Held { found, bytes, awaits: key.is_some() });
    }

    fn give(&mut self) -> Option<Found> {
        let Held { found, bytes, .. } = self.held.pop_front()?;
        if let Some(key) = key(&found.record)
            && self.statements.get(&key) == Some(&self.given)
        {
            self.statements.remove(&key);
        }
        self.bytes -= bytes;
        self.given += 1;
        Some(found)
    }

    /// Looks for the outcomes of all that is held and has none; what is not found then has none at all.
    fn look_ahead(&mut self) -> Result<(), Error> {
        let awaiting = self.held.iter().filter(|held| held.awaits);
        let mut pending: HashSet<Key> = awaiting.clone().filter_map(|held| key(&held.found.record)).collect();
        let until = awaiting.map(|held| held.found.record.at).max().map(|at| at.plus(OUTCOME_WITHIN));
        let mut late = 0;
        let Prepared { query, recipients, watch, .. } = self.prepared;
        let (plan, keys) = self.log;
        let from = self.records.position;
        for found in plan.records(query, recipients, keys, watch, from).only(Kind::Outcome) {
            let found = found?;
            late = if until.is_some_and(|until| found.record.at > until) { late + 1 } else { 0 };
            if pending.is_empty() || late > LATE_IN_A_ROW {
                break;
            }
            if let Some(key) = key(&found.record).filter(|key| pending.remove(key)) {
                self.join(&key, found.record);
                self.ahead.insert(key);
            }
        }
        self.held.iter_mut().for_each(|held| held.awaits = false);
        Ok(())
    }
}

fn key(record: &Record) -> Option<Key> {
    record.skeleton.session.zip(record.skeleton.frame)
}

/// Roughly how many bytes of memory it takes.
fn weight(record: &Record) -> usize {
    let values = &record.values;
    let binds = values.binds.iter().flatten().map(|bind| 64 + bind.value.as_ref().map_or(0, Vec::len));
    let texts = [&values.text, &values.statement, &values.portal].into_iter().flatten().map(Vec::len);
    1024 + binds.chain(texts).sum::<usize>() + values.message.as_ref().map_or(0, String::len)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
