//! What a finished segment leaves for the next start, so that its leaves need not be read again: the tree and the chain of
//! batches behind it, and the last leaf of each tag in it.
//! Not here: when it is believed (`recovery.rs`) and when it is written (`upkeep.rs`). FORMAT.md, "A summary".

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::Error;
use super::beside::{self, Beside};
use super::blocks::Told;
use super::index::End;
use super::indexes::Growing;
use super::segment::{Fields, SegmentHeader, file_name};
use super::writer::is_full;
use crate::audit::checkpoint::SigningKey;
use crate::audit::tree::{Frontier, Hash, sha256};
use crate::disk::{BLOCK_BYTES, Disk};

const MAGIC: &[u8; 8] = b"PRTRSUM1";
/// What is signed begins with this, so that it is nothing else that the log signs.
const DOMAIN: &[u8] = b"portreeve segment summary\0";
const SIGNATURE_BYTES: usize = 64;

/// Each tag of a segment, with the hash of its last record's leaf.
pub type Tags = HashMap<[u8; 16], Hash>;

/// A segment that is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its number.
    pub segment: u64,
    /// Where its last batch ends in the file.
    pub end: u64,
    /// All leaves up to its end.
    pub tree: Frontier,
    /// The number of the batch behind it.
    pub batch: u64,
    /// The digest of its last batch.
    pub previous: Hash,
    /// The last leaf of each tag in it.
    pub tags: Tags,
}

impl Summary {
    /// Whether that segment, the next one, begins where this one ends.
    pub fn is_continued_by(&self, next: &SegmentHeader) -> bool {
        next.segment == self.segment + 1 && End::from(next) == self.ends() && next.root == self.tree.root()
    }

    /// Where the log goes on behind it.
    pub fn ends(&self) -> End {
        End { position: self.tree.size(), batch: self.batch, previous: self.previous }
    }

    /// The file's bytes, signed. `block`: the segment's first one.
    pub fn to_bytes(&self, block: &[u8], key: &SigningKey) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&sha256(&[block]));
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(&self.batch.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&self.tree.size().to_le_bytes());
        self.tree.peaks().iter().for_each(|peak| bytes.extend_from_slice(peak));
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_unstable();
        for (tag, last) in tags {
            bytes.extend_from_slice(tag);
            bytes.extend_from_slice(last);
        }
        let signature = key.sign_bytes(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    /// None: it is not one that this log's key signed for a segment with that first block.
    pub fn parse(bytes: &[u8], block: &[u8], public: &[u8; 32]) -> Option<Summary> {
        let (signed, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(&[DOMAIN, signed].concat(), signature).ok()?;
        let mut fields = Fields(signed);
        if fields.take::<8>()? != *MAGIC || fields.take::<32>()? != sha256(&[block]) {
            return None;
        }
        let segment = u64::from_le_bytes(fields.take()?);
        let end = u64::from_le_bytes(fields.take()?);
        let batch = u64::from_le_bytes(fields.take()?);
        let previous = fields.take()?;
        let size = u64::from_le_bytes(fields.take()?);
        let peaks = (0..size.count_ones()).map(|_| fields.take()).collect::<Option<Vec<Hash>>>()?;
        let mut tags = Tags::new();
        while !fields.0.is_empty() {
            tags.insert(fields.take()?, fields.take()?);
        }
        Some(Summary { segment, end, tree: Frontier::of(size, peaks)?, batch, previous, tags })
    }
}

/// The summary of that segment, if there is one that this log's key signed for it. `block` is the segment's first.
pub fn read(disk: &dyn Disk, dir: &Path, segment: u64, block: &[u8], public: &[u8; 32]) -> Option<Summary> {
    // One that cannot be read is like none: then the segment itself is.
    let bytes = disk.read(&dir.join(name(segment))).ok()?;
    Summary::parse(&bytes, block, public).filter(|summary| summary.segment == segment)
}

/// What lies where the summary of that segment belongs.
pub fn look(disk: &dyn Disk, dir: &Path, segment: u64, block: &[u8], public: &[u8; 32]) -> Beside {
    let is_whole = |bytes: &[u8]| Summary::parse(bytes, block, public).is_some_and(|found| found.segment == segment);
    beside::look(disk, &dir.join(name(segment)), MAGIC, is_whole)
}

/// Writes it, but not over one that a newer portreeve wrote. Without space there is none, and the next start takes longer.
///
/// # Errors
/// [`Error::Storage`].
pub fn write(disk: &dyn Disk, dir: &Path, summary: &Summary, key: &SigningKey) -> Result<(), Error> {
    let segment = dir.join(file_name(summary.segment));
    let mut block = vec![0; BLOCK_BYTES];
    disk.open_to_read(&segment)
        .and_then(|file| file.read_at(0, &mut block))
        .map_err(|error| Error::storage("read", &segment, &error))?;
    let path = dir.join(name(summary.segment));
    if !beside::may_be_written(&path, &look(disk, dir, summary.segment, &block, &key.public())) {
        return Ok(());
    }
    match disk.replace(&path, &summary.to_bytes(&block, key), 0o640) {
        Err(error) if is_full(error.kind()) => {
            tracing::warn!(path = %path.display(), "no space for a segment's summary; the next start reads the segment");
            Ok(())
        }
        written => written.map_err(|error| Error::storage("write", &path, &error)),
    }
}

/// The file name of that segment's summary.
pub fn name(segment: u64) -> String {
    format!("{segment:012}.summary")
}

/// Segments that were finished and whose summaries and blocks are not written yet.
#[derive(Debug, Default)]
pub struct Finished(Mutex<Vec<Ended>>);

/// A segment that was finished.
#[derive(Debug)]
pub struct Ended {
    /// What the next start needs of it.
    pub summary: Summary,
    /// Its index, if that grew with it from its beginning.
    pub index: Option<Growing>,
    /// What its blocks are made of.
    pub told: Told,
}

/// Of so many at most the blocks' words are kept, should writing take long.
const TOLD_MAX: usize = 4;

impl Finished {
    /// Adds one.
    pub fn add(&self, ended: Ended) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = if waiting.len() < TOLD_MAX { ended.told } else { Told::default() };
        waiting.push(Ended { told, ..ended });
    }

    /// Takes all of them.
    pub fn take(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
