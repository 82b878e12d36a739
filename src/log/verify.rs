//! Checks a log's directory from its first byte to its last, without any private key.
//! Not here: whether a record tells the truth, and what only an outside memory can know, whether this is the newest state
//! of the log: a directory restored together with its old checkpoint reads `ok` here. `growth.rs` compares with memories.

mod ahead;
mod contents;
mod rest;

use std::collections::HashMap;
use std::path::Path;

use ahead::{Ahead, Hashed};

use super::Error;
use super::index::{self, Builder};
use super::open::DataKeys;
use super::reader::{Content, Entry};
use super::segment::{
    BatchHeader, Depth, Found, Leaf, SegmentHeader, file_name, last_not_zero, next_header, number_of,
};
use super::signed::read_checkpoint;
use super::start::LOCK;
use super::together::{Examined, Lost};
use super::upkeep::CHECKPOINT;
pub use super::verdict::{Finding, Verdict};
use super::{beside, indexes, summary};
use crate::audit::keys::{Part, Recipient, Recipients};
use crate::audit::public::Public;
use crate::audit::record::Kind;
use crate::audit::tag::Tags;
use crate::audit::tree::{Frontier, Hash};
use crate::clock::Timestamp;
use crate::disk::{BLOCK_BYTES, Disk, ReadAt, RealDisk};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// A shorter log is read by one thread: starting others would take longer.
const AHEAD_BYTES: u64 = 4 << 20;

/// What opens records while they are verified. All may be empty.
pub struct Opening<'a> {
    /// Tag keys, to recognise recipients and check the links between their records.
    pub recipients: &'a Recipients,
    /// Data keys, to open their parts.
    pub keys: &'a DataKeys,
}

/// Verifies the log in that directory against the public key of its signing key. With `opening`, also opens every
/// record there is a key for and checks the links. The log may be written at the same time.
///
/// # Errors
/// [`Error::Storage`] if a file cannot be read; whatever else is wrong is a finding.
pub fn verify(dir: &Path, public: &[u8; 32], opening: Option<&Opening<'_>>) -> Result<Vec<Finding>, Error> {
    Ok(remarked(examine(dir, public, opening, u64::MAX)?, opening))
}

/// The same on another disk, of which one thread reads: so the order of its calls is always the same.
///
/// # Errors
/// As for [`verify`].
pub fn verify_on(
    disk: &dyn Disk,
    dir: &Path,
    public: &[u8; 32],
    opening: Option<&Opening<'_>>,
) -> Result<Vec<Finding>, Error> {
    Ok(remarked(examine_on(disk, dir, public, opening, u64::MAX)?, opening))
}

fn remarked(mut examined: Examined, opening: Option<&Opening<'_>>) -> Vec<Finding> {
    let may_be_unclaimed = opening.is_some_and(|opening| opening.recipients.any_unclaimed());
    examined.findings.extend(examined.remarks(may_be_unclaimed));
    examined.findings
}

/// What that log is by itself, for [`together::judge`](super::together::judge) to compare with the others. Of the leaves
/// before `known` it is certain that their recipients are among those of `opening`, if there are keys of them at all.
///
/// # Errors
/// As for [`verify`].
pub fn examine(dir: &Path, public: &[u8; 32], opening: Option<&Opening<'_>>, known: u64) -> Result<Examined, Error> {
    let how = How { depth: Depth::Parts, ahead_from: AHEAD_BYTES };
    examine_to(how, &RealDisk, dir, public, opening, known)
}

/// What the leaves of that log are by themselves: the chain of its batches, its tree and the signature over it. What they
/// are leaves of is not looked at, but for what is open to everybody.
///
/// # Errors
/// As for [`verify`].
pub fn examine_tree(dir: &Path, public: &[u8; 32]) -> Result<Examined, Error> {
    let how = How { depth: Depth::Leaves, ahead_from: AHEAD_BYTES };
    examine_to(how, &RealDisk, dir, public, None, u64::MAX)
}

/// As [`examine`], on another disk, of which one thread reads.
///
/// # Errors
/// As for [`verify`].
pub fn examine_on(
    disk: &dyn Disk,
    dir: &Path,
    public: &[u8; 32],
    opening: Option<&Opening<'_>>,
    known: u64,
) -> Result<Examined, Error> {
    let how = How { depth: Depth::Parts, ahead_from: u64::MAX };
    examine_to(how, disk, dir, public, opening, known)
}

/// The same by several threads, however short the log is.
#[cfg(test)]
pub(super) fn examine_ahead(dir: &Path, public: &[u8; 32], opening: Option<&Opening<'_>>) -> Result<Examined, Error> {
    examine_to(How { depth: Depth::Parts, ahead_from: 0 }, &RealDisk, dir, public, opening, u64::MAX)
}

/// How deep is looked, and from how many bytes on with several threads.
#[derive(Clone, Copy)]
struct How {
    depth: Depth,
    ahead_from: u64,
}

fn examine_to(
    How { depth, ahead_from }: How,
    disk: &dyn Disk,
    dir: &Path,
    public: &[u8; 32],
    opening: Option<&Opening<'_>>,
    known: u64,
) -> Result<Examined, Error> {
    // First the checkpoint, then the segments: what is written meanwhile only makes the log longer.
    let mut findings = Vec::new();
    let checkpoint = read_checkpoint(disk, dir, public, &mut findings)?;
    let is_live =
        disk.is_locked(&dir.join(LOCK)).map_err(|error| Error::storage("look at", &dir.join(LOCK), &error))?;
    let names = disk.names(dir).map_err(|error| Error::storage("list", dir, &error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let origin = checkpoint.as_ref().map(|checkpoint| checkpoint.origin.clone());
    let tags = opening.zip(origin.as_ref()).map(|(opening, origin)| Tags::new(opening.recipients, origin));
    let mut check = Check {
        depth,
        disk,
        dir,
        public,
        origin,
        signed: checkpoint.map(|checkpoint| (checkpoint.size, checkpoint.root)),
        is_live,
        opening,
        tags,
        links: HashMap::new(),
        findings,
        tree: Frontier::new(),
        batch: 0,
        previous: [0; 32],
        is_whole: true,
        root_checked: false,
        index: None,
        ahead: Ahead::default(),
        key_positions: HashMap::new(),
        known,
        records: 0,
        lost: Lost::default(),
        open: Vec::new(),
    };
    std::thread::scope(|scope| {
        if bytes_of((disk, dir), &numbers, ahead_from) >= ahead_from {
            check.ahead = Ahead::start(scope, (disk, dir), depth, numbers.clone());
        }
        let expected = check.segments(&numbers)?;
        Ok(check.conclude(expected))
    })
}

/// How long the segments are together, as far as it matters whether that is so many bytes.
fn bytes_of((disk, dir): (&dyn Disk, &Path), segments: &[u64], enough: u64) -> u64 {
    let mut bytes = 0_u64;
    for segment in segments {
        if bytes >= enough || enough == u64::MAX {
            break;
        }
        // One that cannot be read is told of when it is read.
        let file = disk.open_to_read(&dir.join(file_name(*segment)));
        bytes = bytes.saturating_add(file.and_then(|file| file.len()).unwrap_or(0));
    }
    bytes
}

struct Check<'a> {
    depth: Depth,
    disk: &'a dyn Disk,
    dir: &'a Path,
    public: &'a [u8; 32],
    origin: Option<String>,
    /// Size and root that were signed.
    signed: Option<(u64, Hash)>,
    is_live: bool,
    opening: Option<&'a Opening<'a>>,
    tags: Option<Tags>,
    /// The last record's leaf of each recipient.
    links: HashMap<Recipient, Hash>,
    findings: Vec<Finding>,
    tree: Frontier,
    batch: u64,
    previous: Hash,
    /// Whether every leaf so far was there, so that the root can be compared.
    is_whole: bool,
    root_checked: bool,
    /// What this segment's index must be, as far as its batches are chained.
    index: Option<Builder>,
    /// What other threads have read by now.
    ahead: Ahead,
    /// The data keys seen so far in this segment: tag and part by position.
    key_positions: HashMap<u64, ([u8; 16], Part, u32)>,
    /// Leaves from here on may be of recipients who came later.
    known: u64,
    records: u64,
    /// Records that no living key claims, and parts whose keys were destroyed.
    lost: Lost,
    /// What is open to everybody.
    open: Vec<(u64, Timestamp, Public)>,
}

impl Check<'_> {
    /// All there are; gives the number of the one behind them.
    fn segments(&mut self, numbers: &[u64]) -> Result<u64, Error> {
        let mut expected = 0;
        for segment in numbers {
            if *segment != expected {
                self.find(Verdict::Missing, &file_name(expected), "the segment is not there");
                self.is_whole = false;
            }
            self.segment(*segment, Some(segment) == numbers.last())?;
            expected = segment + 1;
        }
        Ok(expected)
    }

    fn segment(&mut self, segment: u64, is_last: bool) -> Result<(), Error> {
        let path = self.dir.join(file_name(segment));
        let storage = |error| Error::storage("read", &path, &error);
        let file = self.disk.open_to_read(&path).map_err(storage)?;
        let length = file.len().map_err(storage)?;
        let mut block = vec![0; BLOCK_BYTES];
        if length >= BLOCK {
            file.read_at(0, &mut block).map_err(storage)?;
        }
        Error::check_version(&path, &block)?;
        self.key_positions.clear();
        let header = SegmentHeader::parse(&block);
        if header.is_none() && is_last && self.is_unbegun(file.as_ref(), length).map_err(storage)? {
            return Ok(());
        }
        if header.is_none() && is_last && self.is_first_write(file.as_ref(), length).map_err(storage)? {
            if !self.is_live {
                let dirty = last_not_zero(file.as_ref(), 0, length).map_err(storage)?.unwrap_or(0);
                self.find_at(Verdict::Torn, &file_name(segment), dirty, None, "the first write was cut off");
            }
            return Ok(());
        }
        self.check_header(segment, header.as_ref(), length);
        // What was added to the file is said by then, and no part of the segment.
        let length = header.as_ref().map_or(length, |header| length.min(header.length));
        self.index = header.as_ref().map(Builder::new);
        let mut offset = BLOCK;
        loop {
            let hashed = self.ahead.take((segment, offset));
            // Those who read ahead know the file, not where its segment ends.
            if let Some(hashed) = hashed.filter(|hashed| hashed.batch.header.length <= length.saturating_sub(offset)) {
                offset = self.check_batch(segment, offset, hashed);
                continue;
            }
            match ahead::read(file.as_ref(), offset, length, self.depth).map_err(storage)? {
                Found::Batch(batch) => offset = self.check_batch(segment, offset, Hashed::of(batch)),
                Found::Nothing => break,
                Found::Bad(bad) => match self.bad_batch(segment, offset, &bad, file.as_ref(), length, is_last)? {
                    Some(next) => offset = next,
                    None => return Ok(()),
                },
            }
        }
        if let Some(header) = header.filter(|_| !is_last) {
            self.check_index(&block, &header);
            self.look_beside(&block, segment);
        }
        self.check_rest(segment, offset, file.as_ref(), length, is_last)
    }

    /// A finished segment's index, if there is one that searches and counts would go by.
    fn check_index(&mut self, block: &[u8], header: &SegmentHeader) {
        let made = self.index.take().and_then(|builder| builder.finish(block, header));
        if made.is_some_and(|made| indexes::is_contradicted(self.disk, self.dir, &made, block, self.public)) {
            let detail = "the log's key signed it, and it says other than the segment's leaves: searches and counts by it \
                          are wrong";
            self.find(Verdict::Forked, &index::file_name(header.segment), detail);
        }
    }

    /// What lies beside a finished segment and is not as it was written: remarks, for the log does without. With a key that
    /// did not sign the log nothing fits, which is said already.
    fn look_beside(&mut self, block: &[u8], segment: u64) {
        if self.signed.is_none() {
            return;
        }
        let (disk, dir, public) = (self.disk, self.dir, self.public);
        let (summary, index) =
            (summary::look(disk, dir, segment, block, public), indexes::look(disk, dir, segment, block, public));
        for (name, beside) in [(summary::name(segment), summary), (index::file_name(segment), index)] {
            if let Some(detail) = beside::remark(beside) {
                self.find(Verdict::Unwitnessed, &name, &detail);
            }
        }
    }

    /// Whether the last segment holds nothing: it was allocated for a batch that never came.
    fn is_unbegun(&self, file: &dyn ReadAt, length: u64) -> std::io::Result<bool> {
        Ok(last_not_zero(file, 0, length)?.is_none() || (self.is_live && next_header(file, 0, length)?.is_none()))
    }

    /// Whether the last segment, whose header is not there, can hold a part of its first write, of which the header
    /// may have arrived last or never: one batch at most, and nothing of it signed.
    fn is_first_write(&self, file: &dyn ReadAt, length: u64) -> std::io::Result<bool> {
        let was_signed = self.signed.is_some_and(|(size, _)| self.tree.size() < size);
        Ok(self.is_whole && !was_signed && next_header(file, 2 * BLOCK, length)?.is_none())
    }

    fn check_header(&mut self, segment: u64, header: Option<&SegmentHeader>, length: u64) {
        let name = file_name(segment);
        let Some(header) = header else {
            return self.find_at(Verdict::Forked, &name, 0, None, "the segment's header was changed");
        };
        if self.is_whole {
            let expected = SegmentHeader {
                segment,
                first_position: self.tree.size(),
                first_batch: self.batch,
                created: header.created,
                length,
                previous: self.previous,
                root: self.tree.root(),
                origin: self.origin.clone().unwrap_or_else(|| header.origin.clone()),
            };
            if *header != expected {
                self.find_at(Verdict::Forked, &name, 0, None, "the segment does not continue the one before");
            }
        } else if header.segment != segment || header.length != length {
            self.find_at(Verdict::Forked, &name, 0, None, "the segment is another than its name, or was cut");
        }
    }

    /// Gives the offset behind it.
    fn check_batch(&mut self, segment: u64, offset: u64, Hashed { batch, leaves }: Hashed) -> u64 {
        let name = file_name(segment);
        let header = &batch.header;
        let continues =
            header.batch == self.batch && header.first_position == self.tree.size() && header.previous == self.previous;
        if !continues && self.is_whole {
            let position = Some(header.first_position);
            self.find_at(Verdict::Forked, &name, offset, position, "the batch does not continue the one before");
            self.is_whole = false;
        }
        self.index = self.index.take().and_then(|mut index| index.add(offset, &batch).map(|()| index));
        self.continue_after(header, batch.digest);
        let end = offset + header.length;
        for (leaf, hash) in batch.leaves.into_iter().zip(leaves) {
            self.check_leaf(segment, leaf, hash);
        }
        end
    }

    /// Goes on after this batch even if something before it was missing.
    fn continue_after(&mut self, header: &BatchHeader, digest: Hash) {
        (self.batch, self.previous) = (header.batch.saturating_add(1), digest);
    }

    fn check_leaf(&mut self, segment: u64, leaf: Leaf, hash: Hash) {
        let (place, offset) = (leaf.descriptor.place, leaf.offset);
        let wrong = |check: &mut Self, verdict, detail: &str| {
            check.find_at(verdict, &file_name(segment), offset, Some(place.position), detail);
        };
        self.tree.push(hash);
        if place.segment != segment {
            wrong(self, Verdict::Forked, "the leaf is of another segment");
        }
        self.check_root();
        if self.open.last().is_some_and(|(.., last)| last.kind() == Kind::Continued) {
            wrong(self, Verdict::Forked, "a leaf stands behind the one that ended the log");
        }
        if self.depth == Depth::Leaves && !place.kind.is_public() {
            self.records += u64::from(place.kind != Kind::DataKey);
            return;
        }
        let (values_key, skeleton_key) = (leaf.descriptor.values.key, leaf.descriptor.skeleton.key);
        let Some(entry) = Entry::of(leaf) else {
            return wrong(self, Verdict::Forked, "the leaf does not hold what its kind says");
        };
        if let Content::DataKey { part, period, .. } = entry.content {
            self.key_positions.insert(place.position, (place.tag, part, period));
            return;
        }
        if let Content::Public(bytes) = &entry.content {
            if let Err(detail) = self.check_open(&entry, bytes) {
                wrong(self, Verdict::Forked, detail);
            }
            return;
        }
        self.records += 1;
        for (key, part) in [(values_key, Part::Values), (skeleton_key, Part::Skeleton)] {
            let of = self.key_positions.get(&key).map(|(tag, part, _)| (*tag, *part));
            if self.is_whole && of != Some((place.tag, part)) {
                wrong(self, Verdict::Missing, &format!("the data key of its {part} is not at position {key}"));
            }
        }
        if let Err((verdict, detail)) = self.check_content(&entry) {
            wrong(self, verdict, &detail);
        }
    }

    fn check_root(&mut self) {
        let Some((size, root)) = self.signed else { return };
        if !self.is_whole || self.tree.size() != size {
            return;
        }
        self.root_checked = true;
        if self.tree.root() != root {
            let detail = format!("the first {size} leaves are not those it was signed for");
            self.find(Verdict::Forked, CHECKPOINT, &detail);
        }
    }

    fn conclude(mut self, segments: u64) -> Examined {
        let size = self.tree.size();
        match self.signed {
            Some((signed, _)) if self.is_whole && size < signed => {
                let detail = format!("it was signed for {signed} leaves and {size} are there");
                self.find(Verdict::RolledBack, CHECKPOINT, &detail);
            }
            Some((0, root)) if root != Frontier::new().root() => {
                self.find(Verdict::Forked, CHECKPOINT, "it is of another empty log");
            }
            Some((signed, _)) if self.is_whole && size > signed => {
                let detail = format!("the last {} leaves are not signed yet", size - signed);
                self.find(Verdict::Unwitnessed, CHECKPOINT, &detail);
            }
            Some(_) if !self.is_whole && !self.root_checked => {
                self.find(Verdict::Unwitnessed, CHECKPOINT, "its root cannot be compared, for leaves are not there");
            }
            Some(_) | None => {}
        }
        if !self.findings.iter().any(|finding| finding.verdict.is_alarm()) {
            let place = self.origin.clone().unwrap_or_default();
            let besides = if self.depth == Depth::Leaves { "; the records themselves were not looked at" } else { "" };
            let detail = format!("{size} leaves in {segments} segments are as they were signed{besides}");
            self.findings.insert(0, Finding { verdict: Verdict::Ok, place, detail });
        }
        Examined {
            public: *self.public,
            origin: self.origin.unwrap_or_default(),
            size,
            root: self.tree.root(),
            is_whole: self.is_whole,
            records: self.records,
            lost: self.opening.map(|_| self.lost),
            open: self.open,
            findings: self.findings,
        }
    }

    fn find(&mut self, verdict: Verdict, place: &str, detail: &str) {
        self.findings.push(Finding { verdict, place: place.to_owned(), detail: detail.to_owned() });
    }

    fn find_at(&mut self, verdict: Verdict, file: &str, offset: u64, position: Option<u64>, detail: &str) {
        let position = position.map_or_else(String::new, |position| format!(", position {position}"));
        self.find(verdict, &format!("{file} byte {offset}{position}"), detail);
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
