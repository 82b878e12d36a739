//! What the log's callers and its two threads share: the queue, what is sealed of the next batch, how far the log is
//! durable, whether it failed.
//! Not here: any file. Locks are held for moments only; what is sealed may be locked while the writer begins a segment, so
//! that nobody else waits for it. Who holds it may lock the queue, never the other way round.

use std::collections::VecDeque;
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Error;
use super::batch::{Item, SealedBatch, Sealer};
use super::sealing::Sealing;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::tree::Frontier;

/// A record that nobody waits for is written after this long at the latest.
const NOTE_AGE_MAX: Duration = Duration::from_millis(700);
/// How often an idle writer looks whether a note is due: it is not woken for one.
const TICK: Duration = Duration::from_millis(500);
/// A record that somebody may come to wait for is written after this long, if nobody does before.
const AHEAD_MAX: Duration = Duration::from_millis(2);
/// Whoever waits does so for this long at most before a write begins.
const GATHERING_MAX: Duration = Duration::from_millis(1);
/// As long as no more records than these are on their way at once, each is written at once: gathering would only cost
/// time.
const FEW: usize = 2;
/// A batch is cut after this many bytes, unless its only record is larger.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Who queues a record seals at most so many: their own, and what others have queued just before.
const AHEAD_MAX_AT_ONCE: usize = 8;
/// While the disk is full, notes are kept up to this many bytes.
const KEPT_BYTES_MAX: usize = 16 << 20;

pub struct Shared {
    pub origin: String,
    pub dir: PathBuf,
    queue: Mutex<Queue>,
    sealing: Mutex<Sealing>,
    /// Wakes the writer.
    wake: Condvar,
    durable: Mutex<Frontier>,
    failed: watch::Sender<bool>,
    /// Whether more than the reserve is free.
    room: AtomicBool,
    called: Mutex<Called>,
    /// Wakes the upkeep.
    upkeep: Condvar,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// How many more were queued since the last batch was taken, and are sealed.
    sealed: usize,
    /// How many of all these somebody waits for, or will.
    waiters: usize,
    /// How many of those that are being written.
    writing: usize,
    /// How many of the queued ones somebody waits for by now.
    hurried: usize,
    /// About how many were on their way at once lately: those who wait are this many if all of them come to wait.
    crowd: usize,
    /// Batches taken so far: the ticket of what is queued.
    taken: u64,
    /// What is queued is to be written now.
    urgent: bool,
    oldest_ahead: Option<Instant>,
    oldest_hurried: Option<Instant>,
    oldest_note: Option<Instant>,
    writer: Asleep,
    state: State,
}

/// What the upkeep is called for.
#[derive(Default)]
struct Called {
    to_work: bool,
    to_stop: bool,
}

/// Whether the writer sleeps, and for how long at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asleep {
    #[default]
    No,
    /// As long as what is queued can wait.
    Short,
    /// Until it is woken, or looks whether a note is due.
    Long,
}

/// How soon a record is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Somebody waits.
    AtOnce,
    /// Somebody may come to wait.
    Ahead,
}

#[derive(Clone, Default, PartialEq)]
enum State {
    #[default]
    Running,
    /// No new records; the writer writes what is queued and ends.
    Closing,
    /// Nothing more is written.
    Failed(String),
}

/// What the writer is to do next.
pub enum Work {
    /// Write what is sealed and what is queued.
    Write,
    /// Nothing happened for as long as it was ready to wait.
    Idle,
    /// End.
    Stop,
}

impl Shared {
    pub fn new(origin: String, dir: PathBuf, durable: Frontier, sealer: Sealer) -> Self {
        Shared {
            origin,
            dir,
            queue: Mutex::default(),
            sealing: Mutex::new(Sealing::new(sealer)),
            wake: Condvar::new(),
            durable: Mutex::new(durable),
            failed: watch::Sender::new(false),
            room: AtomicBool::new(true),
            called: Mutex::default(),
            upkeep: Condvar::new(),
        }
    }

    /// Queues a record that somebody waits for, or will; gives the ticket of its batch.
    pub fn push(&self, item: Item, pace: Pace) -> Result<u64, Error> {
        let mut queue = self.running()?;
        queue.waiters += 1;
        queue.crowd = queue.crowd.max(queue.waiters + queue.writing);
        queue.add(item);
        if pace == Pace::AtOnce || queue.crowd <= FEW {
            queue.urgent = true;
        } else if queue.oldest_ahead.is_none() {
            queue.oldest_ahead = Some(Instant::now());
        }
        let ticket = queue.taken;
        if queue.urgent || queue.writer == Asleep::Long {
            self.wake_writer(queue);
        } else {
            drop(queue);
        }
        self.seal_ahead();
        Ok(ticket)
    }

    /// Somebody waits for a record of that ticket, if it is not being written already; to be said once of each record.
    pub fn hurry(&self, ticket: u64) {
        let mut queue = lock(&self.queue);
        if ticket != queue.taken || queue.urgent || queue.is_empty() {
            return;
        }
        queue.hurry();
        if queue.urgent || queue.writer == Asleep::Long {
            self.wake_writer(queue);
        }
    }

    /// Queues a record that nobody waits for; never wakes the writer.
    pub fn push_note(&self, item: Item) -> Result<(), Error> {
        let mut queue = self.running()?;
        queue.oldest_note.get_or_insert_with(Instant::now);
        queue.add(item);
        drop(queue);
        self.seal_ahead();
        Ok(())
    }

    /// Seals what is queued, in its order, unless somebody is at that: the writer finds what is left.
    fn seal_ahead(&self) {
        let Ok(mut sealing) = self.sealing.try_lock() else { return };
        // Sealing so few takes microseconds: no data key grows old meanwhile.
        let now = Instant::now();
        for _ in 0..AHEAD_MAX_AT_ONCE {
            let mut queue = lock(&self.queue);
            let Some(spot) = queue.items.front().and_then(|item| sealing.spot_for(item, now)) else { return };
            let Some(item) = queue.next_to_seal() else { return };
            drop(queue);
            if let Err(error) = sealing.seal(item, spot, now) {
                drop(sealing);
                return self.fail(&error.to_string());
            }
        }
    }

    /// What is sealed, for the writer.
    ///
    /// # Errors
    /// Somebody panicked while sealing, so that nobody knows what is there.
    pub fn sealing(&self) -> Result<MutexGuard<'_, Sealing>, &'static str> {
        self.sealing.lock().map_err(|_| "somebody panicked while sealing a record: this is a bug")
    }

    /// Takes the batch: what is queued still, to go behind `sealed` bytes that are sealed; the counting begins anew.
    ///
    /// # Errors
    /// The log has failed: what was sealed is given up, and nothing may be written that goes on from it.
    pub fn take(&self, sealed: usize) -> Result<Vec<Item>, String> {
        let mut queue = lock(&self.queue);
        match &queue.state {
            State::Failed(why) => Err(why.clone()),
            State::Running | State::Closing => Ok(queue.take(sealed)),
        }
    }

    /// Queues the last record and lets no more in.
    pub fn push_last(&self, item: Item) -> Result<(), Error> {
        let mut queue = self.running()?;
        queue.add(item);
        queue.state = State::Closing;
        self.wake_writer(queue);
        Ok(())
    }

    /// Lets no more records in; what is queued is still written.
    pub fn stop_writer(&self) {
        let mut queue = lock(&self.queue);
        if queue.state == State::Running {
            queue.state = State::Closing;
        }
        self.wake_writer(queue);
    }

    /// Waits until there is something to write, for at most `idle` without a record.
    pub fn next_work(&self, idle: Duration) -> Work {
        let asked = Instant::now();
        let mut queue = lock(&self.queue);
        queue.writing = 0;
        loop {
            let closing = match &queue.state {
                State::Failed(_) => return Work::Stop,
                State::Closing => true,
                State::Running => false,
            };
            let left = |since: Option<Instant>, max: Duration| since.map(|since| max.saturating_sub(since.elapsed()));
            let note = left(queue.oldest_note, NOTE_AGE_MAX);
            let (ahead, hurried) = (left(queue.oldest_ahead, AHEAD_MAX), left(queue.oldest_hurried, GATHERING_MAX));
            let is_due = [note, ahead, hurried].contains(&Some(Duration::ZERO));
            if queue.urgent || is_due || (closing && !queue.is_empty()) {
                return Work::Write;
            }
            if closing {
                return Work::Stop;
            }
            if queue.is_empty() && asked.elapsed() >= idle {
                return Work::Idle;
            }
            // Where many come, the next one is soon there: it need not wake the writer.
            let soon = (queue.crowd > FEW).then_some(GATHERING_MAX);
            queue.writer = if soon.is_some() { Asleep::Short } else { Asleep::Long };
            let wait = [note, ahead, hurried, soon].into_iter().flatten().min().unwrap_or(idle).min(TICK);
            let (again, timeout) = self.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
            queue = again;
            queue.writer = Asleep::No;
            // Notes alone are nobody's wait.
            if timeout.timed_out() && queue.waiters == 0 {
                queue.crowd /= 2;
            }
        }
    }

    /// The batch is durable: the log is this long now.
    pub fn advance(&self, durable: Frontier) {
        *lock(&self.durable) = durable;
    }

    /// There was no space for these: who waits is told, what nobody waits for is kept for later.
    pub fn refuse_full(&self, items: Vec<Item>) {
        self.set_room(false);
        let (waiting, notes): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.waiter.is_some());
        let mut notes = VecDeque::from(notes);
        answer_all(waiting, &self.full());
        let mut queue = lock(&self.queue);
        let kept: usize = notes.iter().map(Item::bytes).sum();
        let too_much = queue.bytes + kept > KEPT_BYTES_MAX || queue.state == State::Closing;
        if !notes.is_empty() {
            queue.oldest_note = Some(Instant::now());
        }
        notes.append(&mut queue.items);
        queue.items = notes;
        queue.bytes += kept;
        drop(queue);
        if too_much {
            self.fail("its file system is full and records wait that cannot be kept any longer");
        }
    }

    /// Ends the log: everybody who waits is told, now and later.
    pub fn fail(&self, why: &str) {
        let mut queue = lock(&self.queue);
        if !matches!(queue.state, State::Failed(_)) {
            tracing::error!(log = self.origin, why, "the audit log failed");
            queue.state = State::Failed(why.to_owned());
        }
        let items = mem::take(&mut queue.items);
        let error = queue.error();
        self.wake_writer(queue);
        self.room.store(false, Ordering::Release);
        // Behind the queue's state: who seals now gets no more.
        let sealed = mem::take(&mut lock(&self.sealing).take(SealedBatch::default()).answers);
        sealed.into_iter().for_each(|answer| answer.fail(&error));
        answer_all(items, &error);
        self.failed.send_replace(true);
    }

    pub async fn failed(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.failed.subscribe().wait_for(|failed| *failed).await;
    }

    /// Why the log failed, if it did.
    pub fn result(&self) -> Result<(), Error> {
        let queue = lock(&self.queue);
        match queue.state {
            State::Running | State::Closing => Ok(()),
            State::Failed(_) => Err(queue.error()),
        }
    }

    pub fn has_room(&self) -> bool {
        self.room.load(Ordering::Acquire)
    }

    pub fn set_room(&self, room: bool) {
        if self.room.swap(room, Ordering::AcqRel) != room && !room {
            tracing::error!(dir = %self.dir.display(), "the audit log's file system is nearly full; new sessions are refused");
        }
    }

    pub fn full(&self) -> Error {
        Error::Full(self.dir.clone())
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let durable = lock(&self.durable).clone();
        Checkpoint { origin: self.origin.clone(), size: durable.size(), root: durable.root() }
    }

    /// Waits for `span`, until there is something to do, or until the upkeep is to stop; true then.
    pub fn upkeep_waits(&self, span: Duration) -> bool {
        let called = lock(&self.called);
        let nothing = |called: &mut Called| !called.to_stop && !called.to_work;
        let waited = self.upkeep.wait_timeout_while(called, span, nothing);
        let mut called = waited.unwrap_or_else(PoisonError::into_inner).0;
        called.to_work = false;
        called.to_stop
    }

    /// There is something to do for the upkeep before its time.
    pub fn call_upkeep(&self) {
        lock(&self.called).to_work = true;
        self.upkeep.notify_all();
    }

    pub fn stop_upkeep(&self) {
        lock(&self.called).to_stop = true;
        self.upkeep.notify_all();
    }

    fn running(&self) -> Result<MutexGuard<'_, Queue>, Error> {
        let queue = lock(&self.queue);
        match queue.state {
            State::Running => Ok(queue),
            State::Closing | State::Failed(_) => Err(queue.error()),
        }
    }

    /// Wakes the writer if it sleeps and nobody has woken it yet: each wake-up is a system call.
    fn wake_writer(&self, mut queue: MutexGuard<'_, Queue>) {
        let was = mem::take(&mut queue.writer);
        drop(queue);
        if was != Asleep::No {
            self.wake.notify_one();
        }
    }
}

impl Queue {
    fn add(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.items.push_back(item);
    }

    /// One more waits. Once half of those do who can be expected to, a write begins: with fewer it would carry little, with
    /// all of them the processors would have nothing left to do.
    fn hurry(&mut self) {
        self.hurried += 1;
        if self.hurried * 2 >= self.crowd.max(self.waiters) {
            self.urgent = true;
        } else if self.oldest_hurried.is_none() {
            self.oldest_hurried = Some(Instant::now());
        }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.sealed == 0
    }

    /// The oldest, to be sealed by whoever asks.
    fn next_to_seal(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes();
        self.sealed += 1;
        Some(item)
    }

    /// The rest of the next batch, of which so many bytes are sealed: everything, or the first so many bytes.
    fn take(&mut self, sealed: usize) -> Vec<Item> {
        let mut bytes = sealed;
        let fits = |item: &&Item| {
            bytes += item.bytes();
            bytes <= BATCH_BYTES_MAX
        };
        let least = usize::from(sealed == 0);
        let count = self.items.iter().take_while(fits).count().max(least).min(self.items.len());
        let taken = self.items.drain(..count).collect();
        let waiters = self.items.iter().filter(|item| item.waiter.is_some()).count();
        self.writing = self.waiters - waiters;
        self.waiters = waiters;
        (self.taken, self.sealed) = (self.taken + 1, 0);
        // What did not fit goes at once.
        (self.urgent, self.oldest_ahead) = (waiters > 0, None);
        (self.hurried, self.oldest_hurried) = (0, None);
        self.crowd = self.writing.max(self.crowd - self.crowd.div_ceil(8));
        self.bytes = self.items.iter().map(Item::bytes).sum();
        self.oldest_note = self.oldest_note.filter(|_| self.items.iter().any(|item| item.waiter.is_none()));
        taken
    }

    fn error(&self) -> Error {
        match &self.state {
            State::Running | State::Closing => Error::Closed,
            State::Failed(why) => Error::Failed(why.clone()),
        }
    }
}

/// Tells everybody who waits for these. A receiver that is gone no longer wants to know.
pub fn answer_all(items: impl IntoIterator<Item = Item>, error: &Error) {
    for item in items {
        if let Some(waiter) = item.waiter {
            let _ = waiter.send(Err(error.clone()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
