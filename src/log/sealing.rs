//! The batch that is being sealed: by whoever queues a record, as long as the one before it is being written; what is left
//! by the writer, when it comes for it.
//! Not here: what waits to be sealed (`shared.rs`), how it is (`batch.rs`), when it is written and where (`writer.rs`).

use std::mem;
use std::time::Instant;

use super::Error;
use super::batch::{Item, SealedBatch, Sealer, Spot};

/// Larger records are sealed by the writer: nobody else has that much time.
const AHEAD_BYTES_MAX: usize = 32 << 10;
/// No batch that is sealed ahead grows longer.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What is sealed of the next batch, and what sealing takes.
pub struct Sealing {
    pub sealer: Sealer,
    batch: SealedBatch,
    room: Option<Room>,
}

/// Where the next batch will stand, and how many bytes of the segment there are from there on.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub spot: Spot,
    pub bytes: usize,
}

impl Sealing {
    /// Nothing is sealed, and nothing is to be until it is known where.
    pub fn new(sealer: Sealer) -> Self {
        Sealing { sealer, batch: SealedBatch::default(), room: None }
    }

    /// The next batch will stand there.
    pub fn place(&mut self, room: Option<Room>) {
        self.room = room;
    }

    /// Where that item can be sealed now, with neither a new data key nor another segment; none: the writer must.
    pub fn spot_for(&self, item: &Item, now: Instant) -> Option<Spot> {
        let (room, bytes) = (self.room?, item.bytes());
        let fits = bytes <= AHEAD_BYTES_MAX && self.batch.length_with(bytes) <= room.bytes.min(BATCH_BYTES_MAX);
        (fits && self.sealer.is_ready(item, room.spot.segment, now)).then_some(room.spot)
    }

    /// Seals the item behind what is sealed.
    ///
    /// # Errors
    /// As for [`Sealer::seal`]: then the log has failed.
    pub fn seal(&mut self, item: Item, spot: Spot, now: Instant) -> Result<(), Error> {
        self.sealer.seal(item, spot, now, &mut self.batch)
    }

    /// How long the batch is so far.
    pub fn length(&self) -> usize {
        if self.batch.is_empty() { 0 } else { self.batch.length() }
    }

    /// How long it is at most with these behind what is sealed.
    pub fn length_max(&self, items: &[Item]) -> usize {
        self.batch.length_with(self.sealer.bytes_max(items))
    }

    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Gives what is sealed, to be written; `next` is an empty batch to go on with.
    pub fn take(&mut self, next: SealedBatch) -> SealedBatch {
        mem::replace(&mut self.batch, next)
    }
}

#[cfg(test)]
#[path = "sealing_tests.rs"]
mod tests;
