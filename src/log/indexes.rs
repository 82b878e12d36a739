//! The indexes of a log's finished segments: made while a segment is written, or from its leaves, and believed only if the
//! log's key signed them for just that segment.
//! Not here: what is looked for in them (`choice.rs`). One that is missing or does not fit is passed over: then the
//! segment is read leaf by leaf, and its writer makes it anew and says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::beside::{self, Beside};
use super::index::{self, Builder, End, HEAD_BYTES, Head, Index, file_name};
use super::segment::{self, BatchHeader, Depth, Found, SegmentHeader, batch_at};
use crate::audit::checkpoint::SigningKey;
use crate::audit::tree::{Hash, sha256};
use crate::clock::Timestamp;
use crate::disk::{BLOCK_BYTES, Disk};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// The index of the segment that is being written, as far as it has come.
#[derive(Debug)]
pub struct Growing {
    builder: Builder,
    header: SegmentHeader,
    block: Vec<u8>,
}

impl Growing {
    /// Begins with the segment's first block, which holds that header.
    pub fn new(header: SegmentHeader, block: &[u8]) -> Growing {
        Growing { builder: Builder::new(&header), header, block: block.to_owned() }
    }

    /// The batch of these leaves, each with its tag and time, is durable.
    pub fn add(
        &mut self,
        offset: u64,
        header: &BatchHeader,
        digest: Hash,
        leaves: &[([u8; 16], Timestamp)],
    ) -> Option<()> {
        self.builder.add_leaves(offset, header, digest, leaves.iter().copied())
    }

    fn finish(self) -> Option<Index> {
        self.builder.finish(&self.block, &self.header)
    }
}

/// What lies where the index of that segment belongs. `block` is the segment's first.
pub fn look(disk: &dyn Disk, dir: &Path, segment: u64, block: &[u8], public: &[u8; 32]) -> Beside {
    let is_of = |index: &Index| index.head.segment == segment && index.head.block == sha256(&[block]);
    let is_whole = |bytes: &[u8]| Index::from_file(bytes, public).as_ref().is_some_and(is_of);
    beside::look(disk, &dir.join(file_name(segment)), index::MAGIC, is_whole)
}

/// Writes the index of a finished segment, which ends there, as it grew with it, or else made of its leaves. Of a segment
/// that cannot be read, or is not as it was written, there is none, and none if it cannot be written: then who searches
/// reads the segment, and who verifies finds what is wrong with it. It holds nothing that is not in the segment: so nothing
/// stops for want of it. One that a newer portreeve wrote is left as it is.
pub fn write(disk: &dyn Disk, dir: &Path, segment: u64, end: Option<End>, grown: Option<Growing>, key: &SigningKey) {
    let path = dir.join(file_name(segment));
    let missing = |why: &str| {
        tracing::warn!(path = %path.display(), why, "there is no index of a segment; searches read the segment");
    };
    let grown = grown.and_then(Growing::finish);
    let index = match grown.map_or_else(|| make(disk, dir, segment), |index| Ok(Some(index))) {
        // What is signed here is believed where the leaves themselves are not looked at: so they must be the log's.
        Ok(Some(index)) if Some(index.head.end()) == end => index,
        Ok(_) => return missing("the segment is not as it was written"),
        Err(error) => return missing(&error.to_string()),
    };
    let block = first_block(disk, dir, segment).unwrap_or_default();
    if !beside::may_be_written(&path, &look(disk, dir, segment, &block, &key.public())) {
        return;
    }
    if let Err(error) = disk.replace(&path, &index.to_bytes(key), 0o640) {
        missing(&Error::storage("write", &path, &error).to_string());
    }
}

/// The index of a finished segment, from its leaves; none if they are not chained from its header to its last batch.
pub fn make(disk: &dyn Disk, dir: &Path, segment: u64) -> Result<Option<Index>, Error> {
    let path = dir.join(segment::file_name(segment));
    let storage = |error| Error::storage("read", &path, &error);
    let file = disk.open_to_read(&path).map_err(storage)?;
    let length = file.len().map_err(storage)?;
    let mut block = vec![0; BLOCK_BYTES];
    file.read_at(0, &mut block).map_err(storage)?;
    let Some(header) = SegmentHeader::parse(&block).filter(|header| header.length == length) else { return Ok(None) };
    let (mut builder, mut offset) = (Builder::new(&header), BLOCK);
    loop {
        match batch_at(file.as_ref(), offset, length, Depth::Leaves).map_err(storage)? {
            Found::Nothing => return Ok(builder.finish(&block, &header)),
            Found::Bad(_) => return Ok(None),
            Found::Batch(batch) if builder.add(offset, &batch).is_none() => return Ok(None),
            Found::Batch(batch) => offset += batch.header.length,
        }
    }
}

/// Those of one log that can be believed.
#[derive(Debug)]
pub struct Indexes {
    /// By which the log signs; none: no index is believed.
    public: Option<[u8; 32]>,
    heads: Mutex<BTreeMap<u64, Option<Arc<Head>>>>,
    last: Mutex<Option<Arc<Index>>>,
}

impl Indexes {
    /// Of a log whose pinned key is this.
    pub fn of(public: Option<[u8; 32]>) -> Indexes {
        Indexes { public, heads: Mutex::default(), last: Mutex::default() }
    }

    /// The key by which they are.
    pub fn public(&self) -> Option<[u8; 32]> {
        self.public
    }

    /// Whether any is.
    pub fn are_believed(&self) -> bool {
        self.public.is_some()
    }

    /// What the index of that segment is of, if there is one that fits. `block` is the segment's first.
    pub fn head(&self, disk: &dyn Disk, dir: &Path, segment: u64, block: &[u8]) -> Option<Arc<Head>> {
        let public = self.public.as_ref()?;
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(head)) = heads.get(&segment) {
            return Some(Arc::clone(head));
        }
        let head = read_head(disk, dir, segment, public).filter(|head| {
            let next = header(disk, dir, segment + 1);
            next.is_some_and(|next| head.is_of(segment, block, &next))
        });
        let head = head.map(Arc::new);
        heads.insert(segment, head.clone());
        head
    }

    /// The whole index that this is the head of; none if the rest of it was changed.
    pub fn whole(&self, disk: &dyn Disk, dir: &Path, head: &Head) -> Option<Arc<Index>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = last.as_ref().filter(|index| index.head == *head) {
            return Some(Arc::clone(index));
        }
        // One that cannot be read is like none: then the segment itself is.
        let file = disk.open_to_read(&dir.join(file_name(head.segment))).ok()?;
        if file.len().ok()? != (HEAD_BYTES + head.body_bytes()) as u64 {
            return None;
        }
        let mut body = vec![0; head.body_bytes()];
        file.read_at(HEAD_BYTES as u64, &mut body).ok()?;
        let index = Arc::new(Index::parse(head.clone(), &body)?);
        *last = Some(Arc::clone(&index));
        Some(index)
    }
}

/// Whether there is an index that a reader will believe, of that finished segment.
pub fn is_there(disk: &dyn Disk, dir: &Path, segment: u64, public: &[u8; 32]) -> bool {
    let Some(block) = first_block(disk, dir, segment) else { return false };
    let indexes = Indexes::of(Some(*public));
    indexes.head(disk, dir, segment, &block).is_some_and(|head| indexes.whole(disk, dir, &head).is_some())
}

/// Whether there is an index that a reader will go by, and that is another than `made`, which was made of the leaves of a
/// finished segment with that first block.
pub fn is_contradicted(disk: &dyn Disk, dir: &Path, made: &Index, block: &[u8], public: &[u8; 32]) -> bool {
    let segment = made.head.segment;
    let Some(next) = header(disk, dir, segment + 1) else { return false };
    // Should the segment have gone on meanwhile, neither is `made` that of all its leaves.
    let fits = |head: &Head| head.is_of(segment, block, &next);
    fits(&made.head) && read_head(disk, dir, segment, public).is_some_and(|head| fits(&head) && head != made.head)
}

fn read_head(disk: &dyn Disk, dir: &Path, segment: u64, public: &[u8; 32]) -> Option<Head> {
    let file = disk.open_to_read(&dir.join(file_name(segment))).ok()?;
    let mut bytes = [0; HEAD_BYTES];
    file.read_at(0, &mut bytes).ok()?;
    Head::parse(&bytes, public)
}

/// The header of that segment, if it is begun.
pub fn header(disk: &dyn Disk, dir: &Path, segment: u64) -> Option<SegmentHeader> {
    SegmentHeader::parse(&first_block(disk, dir, segment)?)
}

/// The first block of that segment.
pub fn first_block(disk: &dyn Disk, dir: &Path, segment: u64) -> Option<Vec<u8>> {
    let file = disk.open_to_read(&dir.join(segment::file_name(segment))).ok()?;
    let mut block = vec![0; BLOCK_BYTES];
    file.read_at(0, &mut block).ok()?;
    Some(block)
}

#[cfg(test)]
#[path = "indexes_tests.rs"]
mod tests;
