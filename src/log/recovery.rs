//! What a log holds when it is opened again: whole batches are accepted, an unacknowledged torn tail is dropped, and
//! anything else is refused.
//! Not here: a full verification (`verify.rs`): of a finished segment only its summary is read, or where there is none that
//! fits, its leaves.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;
use super::past::{Past, is_chained};
use super::segment::{
    BatchHeader, Depth, Found, SegmentHeader, batch_at, file_name, last_not_zero, next_header, number_of,
};
use super::summary::{self, Summary, Tags};
use super::upkeep::{CHECKPOINT, SPARE};
use super::verify::Verdict;
use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::record::Kind;
use crate::audit::tree::{Frontier, Hash};
use crate::disk::{BLOCK_BYTES, Blocks, Disk, ReadAt};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// The file name of the note that something was dropped.
pub const DROPPED: &str = "dropped";

/// What a log holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The checkpoint's size; none if the log is new.
    pub signed_size: Option<u64>,
    pub tree: Frontier,
    /// The number of the next batch.
    pub batch: u64,
    /// The digest of the last batch.
    pub previous: Hash,
    pub past: Past,
    /// The last segment that holds a batch.
    pub last: Option<Last>,
    /// Bytes of a torn tail that were dropped, and where.
    pub dropped: Option<(u64, String)>,
    /// The verifier key of the log that goes on where this one ended.
    pub continued: Option<String>,
    /// Finished segments that had to be read, without their tags.
    pub unsummed: Vec<Summary>,
}

/// The segment that is written further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    pub segment: u64,
    /// Where its last whole batch ends.
    pub end: u64,
    pub length: u64,
    /// Where that begins which the checkpoint does not cover: 0 if it covers no batch, for then nobody knows whether
    /// the header is on the medium.
    unsigned: u64,
}

/// Reads a log's directory, drops a torn tail, and makes what stays durable once more. The log must begin with the
/// `remembered` records; if it does not, nothing is touched.
pub fn recover(
    disk: &dyn Disk,
    dir: &Path,
    origin: &str,
    public: &[u8; 32],
    remembered: Option<(u64, Hash)>,
) -> Result<Recovered, Error> {
    let names = disk.names(dir).map_err(|error| Error::storage("list", dir, &error))?;
    let recovered = recovered(disk, dir, origin, public, remembered, &segments(&names))?;
    // What is refused is not touched.
    remove_left_overs(disk, dir, &names)?;
    Ok(recovered)
}

fn recovered(
    disk: &dyn Disk,
    dir: &Path,
    origin: &str,
    public: &[u8; 32],
    remembered: Option<(u64, Hash)>,
    segments: &[u64],
) -> Result<Recovered, Error> {
    let Some(checkpoint) = signed(disk, dir, origin, public)? else {
        if let Some(first) = segments.first() {
            let detail = format!("there is {} but no checkpoint", file_name(*first));
            return Err(Error::unsound(dir, Verdict::Missing, detail));
        }
        return match remembered {
            Some((size, _)) if size > 0 => {
                let detail = format!("there is no log, and the register remembers {size} records of it");
                Err(Error::not_remembered(dir, Verdict::Missing, detail))
            }
            _ => Ok(Recovered::default()),
        };
    };
    let found = Recovered { dropped: dropped(disk, dir)?, ..Recovered::default() };
    let mut scan = Scan { disk, dir, origin, public, checkpoint, remembered, found };
    for (expected, segment) in (0..).zip(segments) {
        if *segment != expected {
            return Err(Error::unsound(dir, Verdict::Missing, format!("there is no {}", file_name(expected))));
        }
        scan.segment(*segment, segment + 1 == segments.len() as u64)?;
    }
    scan.check_signed()?;
    if scan.found.last.as_ref().is_some_and(|last| last.segment < scan.found.past.begun()) {
        scan.found.past.reopen();
    }
    scan.found.signed_size = Some(scan.checkpoint.size);
    Ok(scan.found)
}

/// The numbers of the segments, in order.
fn segments(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// Removes the spare segment, and what a crash left behind before its file had a name.
fn remove_left_overs(disk: &dyn Disk, dir: &Path, names: &[String]) -> Result<(), Error> {
    for name in names.iter().filter(|name| *name == SPARE || name.ends_with(".new")) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| Error::storage("remove", &path, &error))?;
    }
    Ok(())
}

/// What a recovery dropped that was cut off before a record said so.
fn dropped(disk: &dyn Disk, dir: &Path) -> Result<Option<(u64, String)>, Error> {
    let path = dir.join(DROPPED);
    let note = match disk.read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::storage("read", &path, &error)),
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
    };
    // What somebody else wrote there is said as it is.
    let read = note.split_once(' ').and_then(|(bytes, place)| Some((bytes.parse().ok()?, place.to_owned())));
    Ok(Some(read.unwrap_or((0, note))))
}

/// The checkpoint, if there is one, its signature checked.
fn signed(disk: &dyn Disk, dir: &Path, origin: &str, public: &[u8; 32]) -> Result<Option<Checkpoint>, Error> {
    let path = dir.join(CHECKPOINT);
    let note = match disk.read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::storage("read", &path, &error)),
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
    };
    let checkpoint = Checkpoint::open(&note, origin, public).map_err(|error| {
        let verdict = match error {
            checkpoint::Error::WrongKey { .. } => Verdict::WrongKey,
            checkpoint::Error::Changed(_) => Verdict::Forked,
        };
        Error::unsound(dir, verdict, error)
    })?;
    Ok(Some(checkpoint))
}

struct Scan<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    origin: &'a str,
    public: &'a [u8; 32],
    checkpoint: Checkpoint,
    /// How many records are remembered elsewhere, and their root.
    remembered: Option<(u64, Hash)>,
    found: Recovered,
}

impl Scan<'_> {
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
        match SegmentHeader::parse(&block) {
            Some(header) => self.check_header(&path, &header, segment, length)?,
            None if is_last => return self.drop_unbegun(&path, file.as_ref(), length),
            None => return Err(self.corrupt(&path, 0, "the segment's header was changed")),
        }
        if !is_last && self.skip(segment, &block, length)? {
            return Ok(());
        }
        let mut last = Last { segment, end: BLOCK, length, unsigned: 0 };
        let depth = if is_last { Depth::Parts } else { Depth::Leaves };
        let bad = loop {
            match batch_at(file.as_ref(), last.end, length, depth).map_err(storage)? {
                Found::Batch(batch) => {
                    self.check_batch(&path, last.end, &batch.header)?;
                    self.accept(&path, segment, &batch)?;
                    last.end += batch.header.length;
                    if self.found.tree.size() <= self.checkpoint.size {
                        last.unsigned = last.end;
                    }
                }
                Found::Nothing => break None,
                Found::Bad(bad) => break Some(bad),
            }
        };
        match bad {
            Some(bad) if !is_last => return Err(self.corrupt(&path, bad.offset, bad.what)),
            Some(bad) => self.drop_torn(&path, file.as_ref(), &last, bad.header.as_ref())?,
            None if is_last => self.drop_torn(&path, file.as_ref(), &last, None)?,
            None => self.summarise(&last),
        }
        if last.end > BLOCK {
            self.found.last = Some(last);
        } else {
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Goes on behind a finished segment without reading it, if its summary and the next segment's header agree; what was
    /// signed or is remembered in the midst of it can be told from its leaves alone.
    fn skip(&mut self, segment: u64, block: &[u8], length: u64) -> Result<bool, Error> {
        let Some(summary) = summary::read(self.disk, self.dir, segment, block, self.public) else { return Ok(false) };
        let path = self.dir.join(file_name(segment + 1));
        let mut block = vec![0; BLOCK_BYTES];
        let next = self.disk.open_to_read(&path).and_then(|file| file.read_at(0, &mut block));
        if next.is_err() || !SegmentHeader::parse(&block).is_some_and(|next| summary.is_continued_by(&next)) {
            return Ok(false);
        }
        let (first, end) = (self.found.tree.size(), summary.tree.size());
        let known = [Some(self.checkpoint.size), self.remembered.map(|(size, _)| size)];
        if end <= first || known.into_iter().flatten().any(|size| first < size && size < end) {
            return Ok(false);
        }
        self.found.past.skip(summary.ends(), summary.tags);
        self.found.last = Some(Last { segment, end: summary.end, length, unsigned: summary.end });
        (self.found.tree, self.found.batch, self.found.previous) = (summary.tree, summary.batch, summary.previous);
        self.check_root()?;
        Ok(true)
    }

    /// Keeps what there is to say of a finished segment that had to be read.
    fn summarise(&mut self, &Last { segment, end, .. }: &Last) {
        let Recovered { tree, batch, previous, .. } = &self.found;
        let tags = Tags::new();
        let summary = Summary { segment, end, tree: tree.clone(), batch: *batch, previous: *previous, tags };
        self.found.past.finish(summary.ends());
        self.found.unsummed.push(summary);
    }

    fn check_header(&self, path: &Path, header: &SegmentHeader, segment: u64, length: u64) -> Result<(), Error> {
        let found = &self.found;
        let expected = SegmentHeader {
            segment,
            first_position: found.tree.size(),
            first_batch: found.batch,
            created: header.created,
            length,
            previous: found.previous,
            root: found.tree.root(),
            origin: self.origin.to_owned(),
        };
        if *header == expected {
            return Ok(());
        }
        Err(self.corrupt(path, 0, "the segment does not continue the one before"))
    }

    fn check_batch(&self, path: &Path, offset: u64, header: &BatchHeader) -> Result<(), Error> {
        let found = &self.found;
        let continues = header.batch == found.batch
            && header.first_position == found.tree.size()
            && header.previous == found.previous;
        if continues { Ok(()) } else { Err(self.corrupt(path, offset, "the batch does not continue the one before")) }
    }

    fn accept(&mut self, path: &Path, segment: u64, batch: &super::segment::Batch) -> Result<(), Error> {
        for leaf in &batch.leaves {
            let place = &leaf.descriptor.place;
            if place.segment != segment {
                return Err(self.corrupt(path, leaf.offset, "a leaf is of another segment"));
            }
            if self.found.continued.is_some() {
                return Err(self.corrupt(path, leaf.offset, "a leaf stands behind the one that ended the log"));
            }
            if place.kind == Kind::Continued {
                self.found.continued = Some(String::from_utf8_lossy(&leaf.values).into_owned());
            }
            let hash = leaf.descriptor.leaf_hash();
            self.found.tree.push(hash);
            if is_chained(&leaf.descriptor) {
                self.found.past.add(place.tag, hash);
            }
            self.check_root()?;
        }
        self.found.batch += 1;
        self.found.previous = batch.digest;
        Ok(())
    }

    /// Where the checkpoint was signed, or what is remembered ends, the tree must be that one.
    fn check_root(&self) -> Result<(), Error> {
        let tree = &self.found.tree;
        if tree.size() == self.checkpoint.size && tree.root() != self.checkpoint.root {
            let size = self.checkpoint.size;
            let detail = format!("its first {size} records are not those the checkpoint was signed for");
            return Err(Error::unsound(self.dir, Verdict::Forked, detail));
        }
        match self.remembered {
            Some((size, root)) if tree.size() == size && tree.root() != root => {
                let detail = format!("its first {size} records are not those the register remembers");
                Err(Error::not_remembered(self.dir, Verdict::Forked, detail))
            }
            _ => Ok(()),
        }
    }

    /// All that the checkpoint was signed for, and all that is remembered, must be there.
    fn check_signed(&self) -> Result<(), Error> {
        let (size, signed) = (self.found.tree.size(), &self.checkpoint);
        if size < signed.size {
            let detail = format!("its checkpoint was signed for {} records and {size} are there", signed.size);
            return Err(Error::unsound(self.dir, Verdict::RolledBack, detail));
        }
        if signed.size == 0 && signed.root != Frontier::new().root() {
            return Err(Error::unsound(self.dir, Verdict::Forked, "its checkpoint is of another empty log"));
        }
        match self.remembered {
            Some((known, _)) if size < known => {
                let detail = format!("the register remembers {known} records and {size} are there");
                Err(Error::not_remembered(self.dir, Verdict::RolledBack, detail))
            }
            _ => Ok(()),
        }
    }

    /// The last segment was never begun, or its first write was torn: then the header may be lost and the batch after
    /// it whole, but there is no second one.
    fn drop_unbegun(&mut self, path: &Path, file: &dyn ReadAt, length: u64) -> Result<(), Error> {
        let storage = |error| Error::storage("read", path, &error);
        if let Found::Batch(batch) = batch_at(file, BLOCK.min(length), length, Depth::Leaves).map_err(storage)? {
            self.check_batch(path, BLOCK, &batch.header)?;
        }
        if next_header(file, 2 * BLOCK, length).map_err(storage)?.is_some() {
            return Err(self.corrupt(path, 0, "the segment's header was changed"));
        }
        if let Some(end) = last_not_zero(file, 0, length).map_err(storage)? {
            // Before it is noted: what was signed must be there.
            self.check_signed()?;
            self.drops(end + 1, &format!("the first write to {}", name(path)))?;
        }
        self.remove(path)
    }

    /// What follows the last whole batch must be zeros, or one torn batch: not longer than its header says, and no
    /// batch after it. It is overwritten with zeros; what the checkpoint does not cover is written once more, for
    /// after a failed sync the page cache may show what the medium does not hold.
    fn drop_torn(
        &mut self,
        path: &Path,
        file: &dyn ReadAt,
        last: &Last,
        header: Option<&BatchHeader>,
    ) -> Result<(), Error> {
        let storage = |error| Error::storage("read", path, &error);
        let dirty = last_not_zero(file, last.end, last.length).map_err(storage)?;
        if let Some(dirty) = dirty {
            if let Some(later) = next_header(file, last.end + BLOCK, last.length).map_err(storage)? {
                let what = format!("a bad batch is followed by another at byte {later}");
                return Err(self.corrupt(path, last.end, &what));
            }
            if header.is_some_and(|header| dirty - last.end >= header.length) {
                return Err(self.corrupt(path, last.end, "a bad batch is followed by other bytes"));
            }
            // Before anything is overwritten: what was signed must be whole, or this is not a torn tail.
            self.check_signed()?;
            self.drops(dirty + 1 - last.end, &format!("{} from byte {}", name(path), last.end))?;
        }
        let end = dirty.map_or(last.end, |dirty| (dirty + 1).next_multiple_of(BLOCK));
        if last.unsigned < end {
            self.rewrite(path, file, last, end)?;
        }
        Ok(())
    }

    /// Says that something is dropped, before it is: until a record says so, a file does, for there may be no power by
    /// then.
    fn drops(&mut self, bytes: u64, place: &str) -> Result<(), Error> {
        let (bytes, place) = match self.found.dropped.take() {
            Some((before, places)) => (before.saturating_add(bytes), format!("{places}; {place}")),
            None => (bytes, place.to_owned()),
        };
        let path = self.dir.join(DROPPED);
        let note = format!("{bytes} {place}\n");
        self.disk.replace(&path, note.as_bytes(), 0o640).map_err(|error| Error::storage("write", &path, &error))?;
        self.found.dropped = Some((bytes, place));
        Ok(())
    }

    fn rewrite(&self, path: &Path, file: &dyn ReadAt, last: &Last, end: u64) -> Result<(), Error> {
        const STEP: u64 = 256 * BLOCK;
        let writer = self.disk.open(path).map_err(|error| Error::storage("open", path, &error))?;
        let mut blocks = Blocks::new();
        let mut at = last.unsigned;
        while at < end {
            let len = STEP.min(end - at);
            let bytes = blocks.reset(usize::try_from(len).unwrap_or(BLOCK_BYTES));
            let whole = usize::try_from(last.end.saturating_sub(at).min(len)).unwrap_or(0);
            let (keep, _) = bytes.split_at_mut(whole);
            file.read_at(at, keep).map_err(|error| Error::storage("read", path, &error))?;
            writer.write_durably(at, &blocks).map_err(|error| Error::storage("write", path, &error))?;
            at += len;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        // A segment without a whole batch held nothing that was acknowledged; if the checkpoint knows better, it stays.
        self.check_signed()?;
        self.disk.remove(path).map_err(|error| Error::storage("remove", path, &error))
    }

    fn corrupt(&self, path: &Path, offset: u64, what: &str) -> Error {
        let position = self.found.tree.size();
        let verdict = if position < self.checkpoint.size { Verdict::Forked } else { Verdict::Torn };
        let place = format!("{} at byte {offset}, after position {position}", name(path));
        Error::unsound(self.dir, verdict, format!("{what} ({place})"))
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
