//! Opening a log: the lock, recovery, the first records, the two threads; and ending them.
//! Not here: what recovery accepts (`recovery.rs`).

use std::io::ErrorKind;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::batch::{SealedBatch, Sealer};
use super::past::Files;
use super::recovery::{DROPPED, Recovered, recover};
use super::segment::{ORIGIN_BYTES_MAX, file_name};
use super::shared::Shared;
use super::summary::{self, Finished, Summary};
use super::upkeep::{EVERY, Spare, Upkeep, free_bytes, write_checkpoint};
use super::writer::{Current, Stopped, Writer};
use super::{Claim, Error, Handle, Log, Settings, item, public_item};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::keys::Recipients;
use crate::audit::public::Public;
use crate::audit::record::{Kind, Record};
use crate::clock::Clock;
use crate::disk::{BLOCK_BYTES, Blocks, Disk, Lock};
use crate::entropy::Entropy;

/// The file name of the lock.
pub const LOCK: &str = "lock";

impl Log {
    /// Opens a log, or begins one in an empty or missing directory. Takes the lock, recovers, and has written a record
    /// of the opening (and of what recovery dropped) when it returns. Needs the vendor's keys of this month.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Name`], [`Error::NoKey`], [`Error::Unsound`], [`Error::Full`], [`Error::Storage`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: Settings,
        recipients: Recipients,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Log, Error> {
        Ready::open(disk, dir, settings, recipients, clock, entropy)?.start()
    }
}

/// A log that is recovered and has written its first records, before its threads run.
pub(super) struct Ready {
    lock: Box<dyn Lock>,
    shared: Arc<Shared>,
    recipients: Recipients,
    clock: Arc<dyn Clock>,
    pub(super) writer: Writer,
    pub(super) upkeep: Upkeep,
}

impl Ready {
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: Settings,
        recipients: Recipients,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Ready, Error> {
        let origin = checked_origin(&settings)?;
        disk.make_directory(dir).map_err(|error| Error::storage("make", dir, &error))?;
        disk.check_own(dir).map_err(|error| Error::storage("use", dir, &error))?;
        let lock = take_lock(disk.as_ref(), dir)?;
        // Asked for before anything is touched: without keys nothing could be recorded.
        let opened = Record::new(clock.now(), Kind::Opened, None);
        let mut items = vec![item(&opened, None, Claim::NONE, &recipients, clock.as_ref())?];
        let mut recovered = recover(disk.as_ref(), dir, &origin, &settings.signing.public(), settings.remembered)?;
        if let Some(next) = recovered.continued {
            // Should its end not be signed yet, it is now: nothing comes behind it.
            let whole = Checkpoint { origin, size: recovered.tree.size(), root: recovered.tree.root() };
            write_checkpoint(disk.as_ref(), dir, &whole, &settings.signing)?;
            return Err(Error::Continued { dir: dir.to_owned(), next });
        }
        if recovered.signed_size.is_none() {
            let empty = Checkpoint { origin: origin.clone(), size: 0, root: recovered.tree.root() };
            write_checkpoint(disk.as_ref(), dir, &empty, &settings.signing)?;
        }
        if let Some((bytes, place)) = &recovered.dropped {
            let record = dropped(*bytes, place, clock.as_ref());
            items.insert(0, item(&record, None, Claim::NONE, &recipients, clock.as_ref())?);
        }
        if let Some(note) = settings.continues.filter(|_| recovered.tree.size() == 0) {
            items.insert(0, public_item(&Public::Continues(note), clock.now())?);
        }
        let is_finished =
            |summary: &&Summary| recovered.last.as_ref().is_some_and(|last| summary.segment < last.segment);
        let (mut past, files) = (mem::take(&mut recovered.past), Files::of(&disk, dir, &settings.signing));
        for summary in recovered.unsummed.iter().filter(is_finished) {
            // One at a time: there may be thousands, and all their tags together are more than fits.
            let tags = past.tags_of(summary.segment, &files)?.clone();
            summary::write(disk.as_ref(), dir, &Summary { tags, ..summary.clone() }, &settings.signing)?;
        }
        let finished = Arc::new(Finished::default());
        let current = current(disk.as_ref(), dir, &recovered)?;
        let sealer = Sealer::new(&origin, entropy, settings.epoch, past, files);
        let shared = Arc::new(Shared::new(origin.clone(), dir.to_owned(), recovered.tree.clone(), sealer));
        let segment_bytes = settings.segment_bytes.max(2 * BLOCK_BYTES as u64).next_multiple_of(BLOCK_BYTES as u64);
        let spare = Arc::new(Spare::new(dir, segment_bytes));
        shared.set_room(free_bytes(disk.as_ref(), dir)? >= settings.reserve_bytes);
        let signed_size = recovered.signed_size.unwrap_or(0);
        let unlooked = (0..recovered.last.as_ref().map_or(0, |last| last.segment)).collect();
        let mut writer = Writer {
            current,
            disk: Arc::clone(&disk),
            dir: dir.to_owned(),
            segment_bytes,
            heartbeat: settings.heartbeat,
            clock: Arc::clone(&clock),
            recipients: recipients.clone(),
            shared: Arc::clone(&shared),
            spare: Arc::clone(&spare),
            finished: Arc::clone(&finished),
            batch: recovered.batch,
            previous: recovered.previous,
            tree: recovered.tree,
            blocks: Blocks::new(),
            spare_batch: SealedBatch::default(),
        };
        writer.commit(items).map_err(|stopped| match stopped {
            Stopped::Full(_) => shared.full(),
            Stopped::Failed(why) => Error::Failed(why),
        })?;
        if recovered.dropped.is_some() {
            let path = dir.join(DROPPED);
            disk.remove(&path).map_err(|error| Error::storage("remove", &path, &error))?;
        }
        let (reserve_bytes, signing) = (settings.reserve_bytes, settings.signing);
        let upkeep = Upkeep {
            disk,
            dir: dir.to_owned(),
            signing,
            reserve_bytes,
            shared: Arc::clone(&shared),
            spare,
            finished,
            unlooked,
            signed_size,
            is_short: false,
            every: EVERY,
        };
        Ok(Ready { lock, shared, recipients, clock, writer, upkeep })
    }

    pub(super) fn start(self) -> Result<Log, Error> {
        let Ready { lock, shared, recipients, clock, writer, upkeep } = self;
        let threads = Threads::start(lock, writer, upkeep)?;
        Ok(Log(Arc::new(Handle { shared, recipients, clock, threads })))
    }

    /// A log whose threads do not run: who has these takes their turns.
    #[cfg(test)]
    pub(super) fn by_hand(self) -> (Log, Writer, Upkeep, Box<dyn Lock>) {
        let Ready { lock, shared, recipients, clock, writer, upkeep } = self;
        let threads = Threads(Mutex::new(None));
        (Log(Arc::new(Handle { shared, recipients, clock, threads })), writer, upkeep, lock)
    }
}

fn checked_origin(settings: &Settings) -> Result<String, Error> {
    if !is_name(&settings.writer) {
        return Err(Error::Name(settings.writer.clone()));
    }
    Ok(settings.origin())
}

/// Whether a log can be called that.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && super::origin(name).len() <= ORIGIN_BYTES_MAX && name.bytes().all(is_plain)
}

/// Takes the lock. Somebody who only looks whether it is taken holds it for an instant: so it is tried a few times.
fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Lock>, Error> {
    let path = dir.join(LOCK);
    let mut tries = 5;
    loop {
        tries -= 1;
        match disk.lock(&path) {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(Error::storage("lock", &path, &error)),
            Err(_) if tries == 0 => return Err(Error::Locked(dir.to_owned())),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The segment in which the log goes on.
fn current(disk: &dyn Disk, dir: &Path, recovered: &Recovered) -> Result<Option<Current>, Error> {
    let Some(last) = &recovered.last else { return Ok(None) };
    let path = dir.join(file_name(last.segment));
    let file = disk.open(&path).map_err(|error| Error::storage("open", &path, &error))?;
    Ok(Some(Current { file, segment: last.segment, offset: last.end, length: last.length, index: None }))
}

fn dropped(bytes: u64, place: &str, clock: &dyn Clock) -> Record {
    let mut record = Record::new(clock.now(), Kind::Recovered, None);
    record.skeleton.count = Some(bytes);
    record.values.message = Some(format!("an unacknowledged tail was dropped: {place}"));
    record
}

/// The log's threads and the lock that they hold.
pub struct Threads(Mutex<Option<Running>>);

struct Running {
    writer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    _lock: Box<dyn Lock>,
}

impl Threads {
    fn start(lock: Box<dyn Lock>, writer: Writer, upkeep: Upkeep) -> Result<Threads, Error> {
        let shared = Arc::clone(&writer.shared);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
            spawned.map_err(|error| Error::storage("start a thread for", &shared.dir, &error))
        };
        let writer = spawn("audit-writer", Box::new(move || writer.run()))?;
        let upkeep = spawn("audit-upkeep", Box::new(move || upkeep.run())).inspect_err(|_| shared.stop_writer())?;
        Ok(Threads(Mutex::new(Some(Running { writer, upkeep, _lock: lock }))))
    }

    /// Ends both threads, the writer first so that the last checkpoint covers all, then gives the lock back.
    pub fn stop(&self, shared: &Shared) {
        let Some(running) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        shared.stop_writer();
        // A thread that panicked has told `shared`.
        let _ = running.writer.join();
        shared.stop_upkeep();
        let _ = running.upkeep.join();
    }
}
