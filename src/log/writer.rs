//! The writer: its own thread seals a batch, writes it durably, and only then answers those who wait.
//! Not here: the queue (`shared.rs`). After the first error of the disk nothing is written again.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Item, SealedBatch, Sealer, Spot};
use super::index::End;
use super::segment::{BatchHeader, SegmentHeader, file_name};
use super::shared::{Shared, Work};
use super::summary::{Finished, Summary};
use super::upkeep::Spare;
use super::{Claim, Error, Receipt, item};
use crate::audit::keys::Recipients;
use crate::audit::record::{Kind, Record};
use crate::audit::tree::{Frontier, Hash};
use crate::clock::Clock;
use crate::disk::{BLOCK_BYTES, BlockFile, Blocks, Disk};

/// How often it is looked whether data keys are older than an epoch.
const RETIRE_EVERY: Duration = Duration::from_secs(10);

/// The segment that is being written.
pub struct Current {
    pub file: Box<dyn BlockFile>,
    pub segment: u64,
    /// Where the next batch goes; 0: the header goes first.
    pub offset: u64,
    pub length: u64,
}

/// All that writing a log takes. Owned by one thread.
pub struct Writer {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub segment_bytes: u64,
    pub heartbeat: Duration,
    pub clock: Arc<dyn Clock>,
    pub recipients: Recipients,
    pub sealer: Sealer,
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
}

/// Why a batch was not written.
pub enum Stopped {
    /// There is no space; nothing was touched, and these were not written.
    Full(Vec<Item>),
    /// An error of the disk; nobody knows what is on it.
    Failed(String),
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
                self.sealer.retire(retired);
                let recipients = &self.recipients;
                self.sealer.forget(|recipient| recipients.tag(recipient).is_some());
            }
            let items = match work {
                Work::Stop => return,
                Work::Write(items) => items,
                Work::Idle if written.elapsed() >= self.heartbeat => self.sign_of_life(),
                Work::Idle => continue,
            };
            if !self.turn(items) {
                return;
            }
            written = Instant::now();
        }
    }

    /// Writes one batch; false if the log failed in it.
    pub fn turn(&mut self, items: Vec<Item>) -> bool {
        match self.commit(items) {
            Ok(()) => return true,
            Err(Stopped::Full(items)) => self.shared.refuse_full(items),
            Err(Stopped::Failed(why)) => self.shared.fail(&why),
        }
        self.shared.result().is_ok()
    }

    /// Seals and writes one batch, then answers its waiters. On [`Stopped::Failed`] they are answered too.
    pub fn commit(&mut self, items: Vec<Item>) -> Result<(), Stopped> {
        if items.is_empty() {
            return Ok(());
        }
        let needed = self.sealer.bytes_max(&items) as u64;
        // The header goes before the first batch: one that sealed nothing has left that to the next.
        let front = |current: &Current| if current.offset == 0 { BLOCK_BYTES as u64 } else { 0 };
        let fits = |current: &Current| current.length - current.offset >= needed + front(current);
        if !self.current.as_ref().is_some_and(fits) {
            match self.roll(needed) {
                Ok(Some(current)) => {
                    if let Some(finished) = self.current.replace(current) {
                        let summary = self.summary(&finished);
                        self.finished.add(summary);
                    }
                }
                Ok(None) => return Err(Stopped::Full(items)),
                Err(error) => return Err(fail(items, error.to_string())),
            }
        }
        let Some(current) = &self.current else {
            return Err(Stopped::Full(items));
        };
        let (segment, first_position, now) = (current.segment, self.tree.size(), self.clock.now());
        let sealed = match self.sealer.seal(&items, Spot { segment, first_position, now }) {
            Ok(sealed) => sealed,
            Err(error) => return Err(fail(items, error.to_string())),
        };
        if let Err(why) = self.write(&sealed, now.to_owned()) {
            return Err(fail(items, why));
        }
        for (item, position) in items.into_iter().zip(sealed.positions) {
            let receipt = position.map(|position| Receipt { claim: item.claim, position });
            match item.waiter {
                // A waiter that is gone no longer wants to know.
                Some(waiter) => drop(waiter.send(receipt)),
                None => {
                    if let Err(error) = receipt {
                        tracing::error!(log = self.shared.origin, kind = item.kind.word(), %error, "not recorded");
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a sealed batch where the last one ended, with the segment's header before it if it is the first.
    fn write(&mut self, sealed: &SealedBatch, now: crate::clock::Timestamp) -> Result<(), String> {
        let Some(current) = self.current.as_mut().filter(|_| !sealed.leaves.is_empty()) else {
            return Ok(());
        };
        let length = sealed.length();
        let header = BatchHeader {
            batch: self.batch,
            first_position: self.tree.size(),
            leaves: u32::try_from(sealed.leaves.len()).map_err(|_| "the batch has too many leaves")?,
            length: length as u64,
            written: now,
            previous: self.previous,
        };
        let front = if current.offset == 0 { BLOCK_BYTES } else { 0 };
        let (first, rest) = self.blocks.reset(front + length).split_at_mut(front);
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
        }
        let digest = sealed.write(&header, rest);
        current.file.write_durably(current.offset, &self.blocks).map_err(|error| {
            let path = self.dir.join(file_name(current.segment));
            format!("cannot write {}: {error}", path.display())
        })?;
        current.offset += (front + length) as u64;
        self.spare.wanted(current.offset > current.length / 2);
        (self.batch, self.previous) = (self.batch + 1, digest);
        sealed.hashes.iter().for_each(|hash| self.tree.push(*hash));
        self.shared.advance(self.tree.clone());
        Ok(())
    }

    /// What there is to say of the segment that ends here.
    fn summary(&mut self, &Current { segment, offset: end, .. }: &Current) -> Summary {
        let (tree, batch, previous) = (self.tree.clone(), self.batch, self.previous);
        let tags = self.sealer.finish(End { position: tree.size(), batch, previous });
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
        Ok(Some(Current { file, segment, offset: 0, length }))
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

fn fail(items: Vec<Item>, why: String) -> Stopped {
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
