//! Reads a log's batches ahead of whoever checks them in order, and hashes their leaves, on several threads.
//! Not here: what is checked. A batch that is not whole, or too long to be held beside others, is not given: who checks looks
//! at the file itself, as if nothing had been read ahead.

use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{Builder, Scope, available_parallelism};

use crate::audit::tree::Hash;
use crate::disk::{BLOCK_BYTES, Disk, ReadAt};
use crate::log::segment::{BATCH_HEADER_BYTES, Batch, BatchHeader, Depth, Found, batch_at, file_name, tree_at};

/// How many batches may wait for each thread, and how many it may have done.
const WAITING: usize = 4;
/// More than so many hash no faster than one checks.
const THREADS_MAX: usize = 4;

/// A longer batch is left to whoever checks: so many of them are held at once that a few would exhaust the memory.
const BYTES_MAX: u64 = 16 << 20;

/// The segment and the byte of its file at which a batch begins.
type Place = (u64, u64);

/// A whole batch, and the hashes of its leaves.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) batch: Batch,
    pub(super) leaves: Vec<Hash>,
}

impl Hashed {
    pub(super) fn of(batch: Batch) -> Hashed {
        let leaves = batch.leaves.iter().map(|leaf| leaf.descriptor.leaf_hash()).collect();
        Hashed { batch, leaves }
    }
}

/// What was read ahead, in order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// By whose turn it is; nobody's: nothing is read ahead.
    hashed: Vec<Receiver<(Place, Option<Hashed>)>>,
    turn: usize,
    next: Option<(Place, Option<Hashed>)>,
}

impl Ahead {
    /// Begins with the first of these segments. Without threads, nothing is read ahead.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        (disk, dir): (&'env dyn Disk, &'env Path),
        depth: Depth,
        segments: Vec<u64>,
    ) -> Ahead {
        let (mut places, mut hashed) = (Vec::new(), Vec::new());
        for _ in 0..available_parallelism().map_or(1, usize::from).min(THREADS_MAX) {
            let (give, given) = mpsc::sync_channel(WAITING);
            let (pass, passed) = mpsc::sync_channel(WAITING);
            let hash = move || hash_batches((disk, dir), depth, &given, &pass);
            if named().spawn_scoped(scope, hash).is_err() {
                return Ahead::default();
            }
            places.push(give);
            hashed.push(passed);
        }
        match named().spawn_scoped(scope, move || tell_places((disk, dir), &segments, &places)) {
            Ok(_) => Ahead { hashed, turn: 0, next: None },
            Err(_) => Ahead::default(),
        }
    }

    /// The batch that begins there, if it was read ahead and is whole.
    pub(super) fn take(&mut self, place: Place) -> Option<Hashed> {
        loop {
            let next = self.next.take().or_else(|| self.receive())?;
            if next.0 == place {
                return next.1;
            }
            if next.0 > place {
                self.next = Some(next);
                return None;
            }
            // The rest of a segment that was left.
        }
    }

    fn receive(&mut self) -> Option<(Place, Option<Hashed>)> {
        let received = self.hashed.get(self.turn)?.recv().ok()?;
        self.turn = (self.turn + 1) % self.hashed.len();
        Some(received)
    }
}

/// Reads the batch that begins there, as deep as it is looked into.
pub(super) fn read(file: &dyn ReadAt, offset: u64, length: u64, depth: Depth) -> io::Result<Found> {
    match depth {
        Depth::Leaves => tree_at(file, offset, length),
        Depth::Parts => batch_at(file, offset, length, depth),
    }
}

fn named() -> Builder {
    Builder::new().name("log read ahead".to_owned())
}

/// Tells each thread in turn where the next batch begins, as far as the headers tell.
fn tell_places((disk, dir): (&dyn Disk, &Path), segments: &[u64], threads: &[SyncSender<Place>]) {
    let mut threads = threads.iter().cycle();
    for segment in segments {
        let Ok(file) = disk.open_to_read(&dir.join(file_name(*segment))) else { continue };
        let mut offset = BLOCK_BYTES as u64;
        while let Some(header) = header_at(file.as_ref(), offset) {
            let place = (*segment, offset);
            offset = offset.saturating_add(header.length);
            if header.length > BYTES_MAX {
                continue;
            }
            // Nobody takes it any more once who checks has given up.
            let Some(Ok(())) = threads.next().map(|thread| thread.send(place)) else { return };
        }
    }
}

fn header_at(file: &dyn ReadAt, offset: u64) -> Option<BatchHeader> {
    let mut bytes = [0; BATCH_HEADER_BYTES];
    file.read_at(offset, &mut bytes).ok()?;
    BatchHeader::parse(&bytes)
}

fn hash_batches(
    (disk, dir): (&dyn Disk, &Path),
    depth: Depth,
    places: &Receiver<Place>,
    pass: &SyncSender<(Place, Option<Hashed>)>,
) {
    let mut file = None;
    for place in places {
        let (segment, offset) = place;
        if file.as_ref().is_none_or(|(of, _)| *of != segment) {
            file = disk.open_to_read(&dir.join(file_name(segment))).ok().map(|opened| (segment, opened));
        }
        let hashed = file.as_ref().and_then(|(_, file)| {
            let length = file.len().ok()?;
            match read(file.as_ref(), offset, length, depth).ok()? {
                Found::Batch(batch) => Some(Hashed::of(batch)),
                Found::Nothing | Found::Bad(_) => None,
            }
        });
        if pass.send((place, hashed)).is_err() {
            return;
        }
    }
}
