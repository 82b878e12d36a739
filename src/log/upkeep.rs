//! What a log needs once a second, on a thread of its own so that nobody waits for it: a signed checkpoint, a look at
//! the free space, the summaries, indexes and blocks of finished segments; and, as soon as it will be needed, a spare segment
//! filled with zeros.
//! Not here: records (`writer.rs`).

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::index::End;
use super::shared::Shared;
use super::summary::{self, Ended, Finished};
use super::writer::{FailsOnPanic, is_full};
use super::{Error, blocks, indexes};
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::disk::Disk;

/// How often there is upkeep.
pub const EVERY: Duration = Duration::from_secs(1);
/// How many segments' indexes are looked at in one turn, which takes a millisecond each.
const LOOKED_AT: usize = 64;
/// How many of them are made anew in one turn, which takes some tens of milliseconds each.
const MADE: usize = 8;
/// The file name of the checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The file name of the spare segment.
pub const SPARE: &str = "spare";

/// A segment of zeros that waits for its number.
pub struct Spare {
    path: PathBuf,
    bytes: u64,
    wanted: AtomicBool,
    /// Somebody waits for it.
    hurries: AtomicBool,
    /// Held while it is being made: who needs it then waits for it.
    is_there: Mutex<bool>,
}

impl Spare {
    pub fn new(dir: &Path, bytes: u64) -> Self {
        let (wanted, hurries, is_there) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(false));
        Spare { path: dir.join(SPARE), bytes, wanted, hurries, is_there }
    }

    /// Says whether a spare will be needed soon; true if that is new.
    pub fn wanted(&self, wanted: bool) -> bool {
        self.wanted.swap(wanted, Ordering::AcqRel) != wanted && wanted
    }

    /// Gives the spare that name; false if there is none.
    pub fn take(&self, disk: &dyn Disk, path: &Path) -> Result<bool, Error> {
        self.hurries.store(true, Ordering::Release);
        let mut is_there = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        self.hurries.store(false, Ordering::Release);
        if *is_there {
            disk.rename(&self.path, path)
                .map_err(|error| Error::storage("rename the spare segment to", path, &error))?;
        }
        Ok(mem::replace(&mut *is_there, false))
    }

    /// Makes one if it is wanted, is not there, and leaves the reserve free.
    fn make(&self, disk: &dyn Disk, free: u64, reserve: u64) -> Result<(), Error> {
        let mut is_there = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_there || !self.wanted.load(Ordering::Acquire) || free < reserve.saturating_add(self.bytes) {
            return Ok(());
        }
        match disk.allocate_for_later(&self.path, self.bytes, &self.hurries) {
            Ok(()) => *is_there = true,
            Err(error) if is_full(error.kind()) => {}
            Err(error) => return Err(Error::storage("allocate", &self.path, &error)),
        }
        Ok(())
    }
}

/// All that upkeep takes. Owned by one thread.
pub struct Upkeep {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub signing: SigningKey,
    pub reserve_bytes: u64,
    pub shared: Arc<Shared>,
    pub spare: Arc<Spare>,
    pub finished: Arc<Finished>,
    /// Segments that were finished before the start and whose indexes are still to be looked at, the newest last.
    pub unlooked: Vec<u64>,
    /// How long the log was at the last checkpoint.
    pub signed_size: u64,
    /// It was said that there is no space for the next one.
    pub is_short: bool,
    pub every: Duration,
}

impl Upkeep {
    /// Works until it is told to stop, when it writes a last checkpoint, or the log fails.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _told = FailsOnPanic(&shared, "the upkeep");
        loop {
            let stops = shared.upkeep_waits(self.every);
            if !self.turn(stops) || stops {
                return;
            }
        }
    }

    /// One turn; false if the log failed in it.
    pub fn turn(&mut self, stops: bool) -> bool {
        self.tick(stops).inspect_err(|error| self.shared.fail(&error.to_string())).is_ok()
    }

    fn tick(&mut self, stops: bool) -> Result<(), Error> {
        self.sign(stops)?;
        for Ended { summary, index, told } in self.finished.take() {
            let (disk, segment, end) = (self.disk.as_ref(), summary.segment, summary.ends());
            summary::write(disk, &self.dir, &summary, &self.signing)?;
            indexes::write(disk, &self.dir, segment, Some(end), index, &self.signing);
            blocks::write(disk, &self.dir, segment, end, told.sealed(), &self.signing);
        }
        self.look_at_indexes();
        if stops || self.shared.result().is_err() {
            return Ok(());
        }
        let free = free_bytes(self.disk.as_ref(), &self.dir)?;
        self.shared.set_room(free >= self.reserve_bytes);
        self.spare.make(self.disk.as_ref(), free, self.reserve_bytes)
    }
}

impl Upkeep {
    /// Signs how long the log is, if it has grown. Without space that waits: records still go into the segment that is there,
    /// and what is not signed is found by the next start. Only an orderly end must be signed.
    fn sign(&mut self, stops: bool) -> Result<(), Error> {
        let checkpoint = self.shared.checkpoint();
        if checkpoint.size == self.signed_size {
            return Ok(());
        }
        match put_checkpoint(self.disk.as_ref(), &self.dir, &checkpoint, &self.signing) {
            Ok(()) => (self.signed_size, self.is_short) = (checkpoint.size, false),
            Err(error) if is_full(error.kind()) && !stops => {
                if !mem::replace(&mut self.is_short, true) {
                    let (dir, signed) = (self.dir.display(), self.signed_size);
                    tracing::error!(%dir, signed, "no space for a checkpoint: what is recorded is not signed until there is");
                }
            }
            Err(error) => return Err(Error::storage("write", &self.dir.join(CHECKPOINT), &error)),
        }
        Ok(())
    }

    /// Looks at some of the indexes that were there at the start, the newest first, and makes those anew that nobody would
    /// believe.
    fn look_at_indexes(&mut self) {
        let (disk, public, mut made) = (self.disk.as_ref(), self.signing.public(), 0);
        for _ in 0..LOOKED_AT {
            if made == MADE {
                break;
            }
            let Some(segment) = self.unlooked.pop() else { break };
            if !indexes::is_there(disk, &self.dir, segment, &public) {
                let end = indexes::header(disk, &self.dir, segment + 1).map(|next| End::from(&next));
                indexes::write(disk, &self.dir, segment, end, None, &self.signing);
                made += 1;
            }
        }
    }
}

pub fn free_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, Error> {
    disk.free_bytes(dir).map_err(|error| Error::storage("ask the free space of", dir, &error))
}

/// Puts a signed checkpoint in place of the last.
pub fn write_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    checkpoint: &Checkpoint,
    signing: &SigningKey,
) -> Result<(), Error> {
    let written = put_checkpoint(disk, dir, checkpoint, signing);
    written.map_err(|error| Error::storage("write", &dir.join(CHECKPOINT), &error))
}

fn put_checkpoint(disk: &dyn Disk, dir: &Path, checkpoint: &Checkpoint, signing: &SigningKey) -> io::Result<()> {
    disk.replace(&dir.join(CHECKPOINT), checkpoint.sign(signing).as_bytes(), 0o640)
}
