//! The writer: its own thread takes a batch, seals what is left of it, writes it durably, and only then answers those who
//! wait.
//! Not here: the queue (`shared.rs`), who else seals (`sealing.rs`). After the first error of the disk nothing is written again.

use std::io::ErrorKind;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Item, SealedBatch, Spot};
use super::index::End;
use super::indexes::Growing;
use super::sealing::{Room, Sealing};
use super::segment::{BatchHeader, SegmentHeader, file_name};
use super::shared::{Shared, Work};
use super::summary::{Ended, Finished, Summary};
use super::upkeep::Spare;
use super::{Claim, Error, item};
use crate::audit::keys::Recipients;
use crate::audit::record::{Kind, Record};
use crate::audit::tree::{Frontier, Hash};
use crate::clock::Clock;
use crate::disk::{BLOCK_BYTES, BlockFile, Blocks, Disk};

/// How often it is looked whether data keys are older than an epoch.
const RETIRE_EVERY: Duration = Duration::from_secs(10);

/// A spare segment is wanted behind this part of the one that is being written.
const SPARE_WANTED_BEHIND: u64 = 4;

/// The segment that is being written.
pub struct Current {
    pub file: Box<dyn BlockFile>,
    pub segment: u64,
    /// Where the next batch goes; 0: the header goes first.
    pub offset: u64,
    pub length: u64,
    /// Its index so far; none if it was begun by a process before.
    pub index: Option<Growing>,
}

impl Current {
    /// How many bytes go before the next batch: the header before the first one of all.
    fn front(&self) -> usize {
        if self.offset == 0 { BLOCK_BYTES } else { 0 }
    }

    /// How long the next batch may be.
    fn room(&self) -> u64 {
        self.length.saturating_sub(self.offset + self.front() as u64)
    }
}

/// All that writing a log takes. Owned by one thread.
pub struct Writer {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub segment_bytes: u64,
    pub heartbeat: Duration,
    pub clock: Arc<dyn Clock>,
    pub recipients: Recipients,
    pub shared: Arc<Shared>,
    pub spare: Arc<Spare>,
    pub finished: Arc<Finished>,
    /// None before the first batch of all.
    pub current: Option<Current>,
    /// The number of the next batch.
    pub batch: u64,
    /// The digest of the last batch.
    pub previous: Hash,
    pub tree: Frontier,
    pub blocks: Blocks,
    /// An empty batch, whose memory is used again.
    pub spare_batch: SealedBatch,
}

/// Why a batch was not written.
pub enum Stopped {
    /// There is no space; nothing was touched, and these were not written.
    Full(Vec<Item>),
    /// An error of the disk; nobody knows what is on it.
    Failed(String),
}

impl Stopped {
    /// These were to be written: they are kept, or who waits is told.
    fn unwritten(self, items: Vec<Item>) -> Stopped {
        match self {
            Stopped::Full(_) => Stopped::Full(items),
            Stopped::Failed(why) => fail(items, why),
        }
    }
}

impl Writer {
    /// Works until the log is closed or fails.
    pub fn run(mut self) {
        let _told = FailsOnPanic(&Arc::clone(&self.shared), "the writer");
        let shared = Arc::clone(&self.shared);
        let (mut retired, mut written) = (Instant::now(), Instant::now());
        loop {
            let work = shared.next_work(self.heartbeat.min(RETIRE_EVERY));
            if retired.elapsed() >= RETIRE_EVERY {
                retired = Instant::now();
                self.look_around(retired);
            }
            let more = match work {
                Work::Stop => return,
                Work::Write => Vec::new(),
                Work::Idle if written.elapsed() >= self.heartbeat => self.sign_of_life(),
                Work::Idle => continue,
            };
            if !self.turn(more) {
                return;
            }
            written = Instant::now();
        }
    }

    /// Forgets data keys that are older than an epoch, and everybody who is no longer known.
    fn look_around(&self, now: Instant) {
        // Should somebody have panicked while sealing, the next batch says so.
        if let Ok(mut sealing) = self.shared.sealing() {
            sealing.sealer.retire(now);
            sealing.sealer.forget(|recipient| self.recipients.tag(recipient).is_some());
        }
    }

    /// Writes one batch, of what is sealed and queued and `more` behind it; false if the log failed in it.
    pub fn turn(&mut self, more: Vec<Item>) -> bool {
        match self.commit(more) {
            Ok(()) => return true,
            Err(Stopped::Full(items)) => self.shared.refuse_full(items),
            Err(Stopped::Failed(why)) => self.shared.fail(&why),
        }
        self.shared.result().is_ok()
    }

    /// Seals what is left of one batch and writes it, then answers its waiters. On [`Stopped::Failed`] they are answered too.
    pub fn commit(&mut self, more: Vec<Item>) -> Result<(), Stopped> {
        let shared = Arc::clone(&self.shared);
        let mut sealing = match shared.sealing() {
            Ok(sealing) => sealing,
            Err(why) => return Err(fail(more, why.to_owned())),
        };
        let mut items = match shared.take(sealing.length()) {
            Ok(items) => items,
            Err(why) => return Err(fail(more, why)),
        };
        items.extend(more);
        if !items.is_empty() {
            if let Err(stopped) = self.make_room(&mut sealing, &items) {
                return Err(stopped.unwritten(items));
            }
            let (spot, now, mut rest) = (self.spot(0), Instant::now(), items.into_iter());
            while let Some(item) = rest.next() {
                if let Err(error) = sealing.seal(item, spot, now) {
                    return Err(fail(rest, error.to_string()));
                }
            }
        }
        let sealed = sealing.take(mem::take(&mut self.spare_batch));
        sealing.place(self.room_behind(&sealed));
        // From here on others may seal what comes next.
        drop(sealing);
        self.finish(sealed)
    }

    /// Sees to it that these fit into the segment behind what is sealed: what is sealed belongs to the segment it was sealed
    /// for, and so is written there by itself if they do not.
    fn make_room(&mut self, sealing: &mut Sealing, items: &[Item]) -> Result<(), Stopped> {
        if self.fits(sealing.length_max(items)) {
            return Ok(());
        }
        let sealed = sealing.take(SealedBatch::default());
        sealing.place(self.room_behind(&sealed));
        self.finish(sealed)?;
        let needed = sealing.length_max(items);
        if self.fits(needed) {
            return Ok(());
        }
        let next = self.roll(needed as u64).map_err(|error| Stopped::Failed(error.to_string()))?;
        let Some(next) = next else { return Err(Stopped::Full(Vec::new())) };
        if let Some(finished) = self.current.replace(next) {
            let told = sealing.sealer.told(finished.segment);
            let summary = self.summary(&finished, sealing);
            self.finished.add(Ended { summary, index: finished.index, told });
            self.shared.call_upkeep();
        }
        Ok(())
    }

    /// Whether a batch of that length fits into the segment.
    fn fits(&self, length: usize) -> bool {
        self.current.as_ref().is_some_and(|current| current.room() >= length as u64)
    }

    /// Where the next batch stands, or the one behind it if that has so many leaves.
    fn spot(&self, leaves: u32) -> Spot {
        let segment = self.current.as_ref().map_or(0, |current| current.segment);
        Spot { segment, first_position: self.tree.size() + u64::from(leaves), now: self.clock.now() }
    }

    /// Where the batch behind that one will stand, if this is to be written next.
    fn room_behind(&self, sealed: &SealedBatch) -> Option<Room> {
        let length = if sealed.leaves() == 0 { 0 } else { sealed.length() as u64 };
        let left = self.current.as_ref()?.room().checked_sub(length)?;
        Some(Room { spot: self.spot(sealed.leaves()), bytes: usize::try_from(left).unwrap_or(usize::MAX) })
    }

    /// Writes a sealed batch and answers its waiters.
    fn finish(&mut self, mut sealed: SealedBatch) -> Result<(), Stopped> {
        let written = self.write(&sealed);
        for answer in sealed.answers.drain(..) {
            match &written {
                Ok(()) => answer.tell(&self.shared.origin),
                Err(why) => answer.fail(&Error::Failed(why.clone())),
            }
        }
        sealed.clear();
        self.spare_batch = sealed;
        written.map_err(Stopped::Failed)
    }

    /// Writes a sealed batch where the last one ended, with the segment's header before it if it is the first.
    fn write(&mut self, sealed: &SealedBatch) -> Result<(), String> {
        let now = self.clock.now();
        let Some(current) = self.current.as_mut().filter(|_| sealed.leaves() > 0) else {
            return Ok(());
        };
        let length = sealed.length();
        let header = BatchHeader {
            batch: self.batch,
            first_position: self.tree.size(),
            leaves: sealed.leaves(),
            length: length as u64,
            written: now,
            previous: self.previous,
        };
        let front = current.front();
        let (first, rest) = self.blocks.resized(front + length).split_at_mut(front);
        if front > 0 {
            let begun = SegmentHeader {
                segment: current.segment,
                first_position: self.tree.size(),
                first_batch: self.batch,
                created: now,
                length: current.length,
                previous: self.previous,
                root: self.tree.root(),
                origin: self.shared.origin.clone(),
            };
            first.copy_from_slice(&begun.to_bytes());
            current.index = Some(Growing::new(begun, first));
        }
        let digest = sealed.write(&header, rest);
        current.file.write_durably(current.offset, &self.blocks).map_err(|error| {
            let path = self.dir.join(file_name(current.segment));
            format!("cannot write {}: {error}", path.display())
        })?;
        let offset = current.offset + front as u64;
        if current.index.as_mut().is_some_and(|index| index.add(offset, &header, digest, &sealed.tags).is_none()) {
            current.index = None;
        }
        current.offset = offset + length as u64;
        if self.spare.wanted(current.offset > current.length / SPARE_WANTED_BEHIND) {
            self.shared.call_upkeep();
        }
        (self.batch, self.previous) = (self.batch + 1, digest);
        sealed.hashes.iter().for_each(|hash| self.tree.push(*hash));
        self.shared.advance(self.tree.clone());
        Ok(())
    }

    /// What there is to say of the segment that ends here.
    fn summary(&self, &Current { segment, offset: end, .. }: &Current, sealing: &mut Sealing) -> Summary {
        let (tree, batch, previous) = (self.tree.clone(), self.batch, self.previous);
        let tags = sealing.sealer.finish(End { position: tree.size(), batch, previous });
        Summary { segment, end, tree, batch, previous, tags }
    }

    /// Begins the next segment, for a batch that needs this many bytes; none if there is no space.
    fn roll(&mut self, needed: u64) -> Result<Option<Current>, Error> {
        let segment = self.current.as_ref().map_or(0, |current| current.segment + 1);
        let path = self.dir.join(file_name(segment));
        let least = needed + BLOCK_BYTES as u64;
        let length = self.segment_bytes.max(least);
        if !(length == self.segment_bytes && self.spare.take(self.disk.as_ref(), &path)?) {
            let free =
                self.disk.free_bytes(&self.dir).map_err(|e| Error::storage("ask the free space of", &self.dir, &e))?;
            if free < length {
                return Ok(None);
            }
            match self.disk.allocate(&path, length) {
                Ok(()) => {}
                Err(error) if is_full(error.kind()) => return Ok(None),
                Err(error) => return Err(Error::storage("allocate", &path, &error)),
            }
        }
        let file = self.disk.open(&path).map_err(|error| Error::storage("open", &path, &error))?;
        Ok(Some(Current { file, segment, offset: 0, length, index: None }))
    }

    /// A sign of life. Without the vendor's keys of this month there is none, which is seen as silence.
    fn sign_of_life(&self) -> Vec<Item> {
        let record = Record::new(self.clock.now(), Kind::Heartbeat, None);
        match item(&record, None, Claim::NONE, &self.recipients, self.clock.as_ref()) {
            Ok(item) => vec![item],
            Err(error) => {
                tracing::error!(log = self.shared.origin, %error, "no heartbeat");
                Vec::new()
            }
        }
    }
}

/// Whether the error says that no space is left.
pub fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn fail(items: impl IntoIterator<Item = Item>, why: String) -> Stopped {
    super::shared::answer_all(items, &Error::Failed(why.clone()));
    Stopped::Failed(why)
}

/// Ends the log if its thread dies, so that nobody waits for ever.
pub struct FailsOnPanic<'a>(pub &'a Shared, pub &'static str);

impl Drop for FailsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&format!("{} of the audit log panicked: this is a bug", self.1));
        }
    }
}
