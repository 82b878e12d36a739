//! Goes through a log's leaves in order, all of them or those of interest, also while the log is being written.
//! Not here: which are of interest (`choice.rs`), and what an entry is (`reader.rs`).

use std::collections::VecDeque;

use super::Error;
use super::choice::{self, ByLeaves, Choice, Visits};
use super::reader::{Entry, OpenSegment, Reader};
use super::segment::{
    Bad, Batch, BatchHeader, Depth, Found, Leaf, SegmentHeader, batch_at, chosen_at, file_name, next_header,
};
use super::stream::Watch;
use super::verify::Verdict;
use crate::audit::descriptor::Descriptor;
use crate::disk::{BLOCK_BYTES, ReadAt};

/// The entries of a log. After the last it gives none; asked again, it looks whether more were written.
pub struct Entries<'a> {
    reader: &'a Reader,
    depth: Depth,
    /// The next position to give.
    position: u64,
    segment: Option<u64>,
    file: Option<OpenSegment>,
    offset: u64,
    read: VecDeque<Leaf>,
    /// The position behind the batch that `read` is of.
    behind: u64,
    /// Leaves that it leaves out are not given, where an index tells which.
    choice: Option<Choice<'a>>,
    /// What is still to be read of a segment that has an index.
    visits: Option<Visits>,
    /// How leaves are chosen in a segment that has none.
    by_leaves: Option<ByLeaves>,
    watched: Option<Watched<'a>>,
}

/// Who may stop it, and up to where they were told that all is read or passed over; none: somebody else tells them.
struct Watched<'a> {
    watch: &'a Watch,
    told: Option<u64>,
}

/// The leaves of a log, as [`Entries`] gives its entries.
pub struct Leaves<'a>(pub(super) Entries<'a>);

impl Iterator for Leaves<'_> {
    type Item = Result<Descriptor, Error>;

    /// Errors: as for an entry.
    fn next(&mut self) -> Option<Result<Descriptor, Error>> {
        self.0.next_leaf().map(|leaf| leaf.map(|leaf| leaf.descriptor))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, Error>;

    /// Errors: [`Error::Storage`]; [`Error::Unsound`] where whole records follow others that are not.
    fn next(&mut self) -> Option<Result<Entry, Error>> {
        let leaf = match self.next_leaf()? {
            Ok(leaf) => leaf,
            Err(error) => return Some(Err(error)),
        };
        let position = leaf.descriptor.place.position;
        let wrong = || self.unsound(&format!("the leaf at position {position} does not hold what its kind says"));
        Some(Entry::of(leaf).ok_or_else(wrong))
    }
}

impl<'a> Entries<'a> {
    pub(super) fn of(reader: &'a Reader, depth: Depth, position: u64) -> Entries<'a> {
        let (choice, visits, by_leaves, watched) = (None, None, None, None);
        let (segment, file, offset, read, behind) = (None, None, 0, VecDeque::new(), position);
        Entries { reader, depth, position, segment, file, offset, read, behind, choice, visits, by_leaves, watched }
    }

    /// Those of interest, where an index tells; else all.
    pub(super) fn chosen(self, choice: Choice<'a>) -> Entries<'a> {
        Entries { choice: Some(choice), ..self }
    }

    /// Ends with [`Error::Stopped`] soon after `watch` says so, however long no entry of interest comes. If it is to tell,
    /// whoever watches is told how far it is.
    pub(super) fn watched(self, watch: &'a Watch, tells: bool) -> Entries<'a> {
        let told = tells.then_some(self.position);
        Entries { watched: Some(Watched { watch, told }), ..self }
    }
}

impl Entries<'_> {
    fn next_leaf(&mut self) -> Option<Result<Leaf, Error>> {
        loop {
            if let Some(leaf) = self.read.pop_front() {
                let position = leaf.descriptor.place.position;
                if position < self.position {
                    continue;
                }
                self.position = position + 1;
                return Some(Ok(leaf));
            }
            self.position = self.position.max(self.behind);
            match self.read_batch() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Up to which position all is read, or was left out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn tell(&mut self) -> Result<(), Error> {
        let Some(Watched { watch, told }) = &mut self.watched else { return Ok(()) };
        let before = told.as_mut().map(|told| std::mem::replace(told, self.position));
        watch.pass(before.map_or(0, |before| self.position.saturating_sub(before)))
    }

    /// Reads the next batch; false if there is none yet.
    fn read_batch(&mut self) -> Result<bool, Error> {
        self.tell()?;
        if self.visits.is_some() {
            return self.visit().map(|()| true);
        }
        let segment = match self.segment {
            Some(segment) => segment,
            None => *self.segment.insert(self.reader.segment_of(self.position)?),
        };
        if self.file.is_none() {
            let Some((file, length)) = self.reader.segment(segment)? else {
                return Ok(false);
            };
            let block = self.reader.first_block(segment, file.as_ref(), length)?;
            let Some(header) = SegmentHeader::parse(&block) else {
                return Ok(false);
            };
            if header.length != length {
                let is = format!("{} has {length} bytes, and says {}", file_name(segment), header.length);
                return Err(self.unsound(&is));
            }
            (self.file, self.offset) = (Some((file, length)), BLOCK_BYTES as u64);
            let Reader { disk, dir, .. } = self.reader;
            let at = choice::Segment { disk: disk.as_ref(), dir, number: segment, block: &block };
            self.visits = self.choice.as_mut().and_then(|choice| choice.visits(&at, self.position));
            if self.visits.is_some() {
                return Ok(true);
            }
            self.by_leaves = self.choice.as_ref().and_then(|choice| choice.by_leaves(segment));
        }
        let Some((file, length)) = &self.file else {
            return Ok(false);
        };
        let path = self.reader.dir.join(file_name(segment));
        let storage = |error| Error::storage("read", &path, &error);
        let found = self.batch(file.as_ref(), *length).map_err(storage)?;
        // Looked at only after the batch was: if it is there, this segment gets no more batches.
        let next_exists = match found {
            Found::Batch(_) => false,
            Found::Nothing | Found::Bad(_) => self.next_is_begun(segment)?,
        };
        match found {
            Found::Batch(batch) => {
                self.offset += batch.header.length;
                self.read.extend(batch.leaves);
                self.follow(&batch.header)
            }
            Found::Nothing if next_exists => {
                // A batch may have come between the two looks.
                let again = batch_at(file.as_ref(), self.offset, *length, Depth::Leaves).map_err(storage)?;
                if matches!(again, Found::Nothing) {
                    (self.segment, self.file) = (Some(segment + 1), None);
                }
                Ok(true)
            }
            Found::Nothing => Ok(false),
            Found::Bad(bad) => {
                let later = next_header(file.as_ref(), self.offset + BLOCK_BYTES as u64, *length).map_err(storage)?;
                let still = self.batch(file.as_ref(), *length).map_err(storage)?;
                match still {
                    Found::Bad(_) if later.is_some() || next_exists => {
                        Err(self.unsound(&format!("{} ({} at byte {})", bad.what, file_name(segment), bad.offset)))
                    }
                    // Being written just now, or torn: not acknowledged.
                    Found::Bad(_) => Ok(false),
                    Found::Batch(_) | Found::Nothing => Ok(true),
                }
            }
        }
    }

    /// The next batch of a segment that is read batch by batch.
    fn batch(&self, file: &dyn ReadAt, length: u64) -> std::io::Result<Found> {
        match (&self.choice, &self.by_leaves) {
            (Some(choice), Some(by)) => {
                let wants = |leaf: &Descriptor| leaf.place.position >= self.position && choice.wants_by(by, leaf);
                match chosen_at(file, self.offset, length, wants)? {
                    // Nothing of it was signed yet: it counts only if it is there with every part, else it is a torn end,
                    // in whose place others will be written.
                    Found::Batch(batch) if batch.header.end_position() > self.reader.claimed() => {
                        batch_at(file, self.offset, length, self.depth)
                    }
                    found => Ok(found),
                }
            }
            _ => batch_at(file, self.offset, length, self.depth),
        }
    }

    /// Goes on behind that batch, which must follow the one before.
    fn follow(&mut self, header: &BatchHeader) -> Result<bool, Error> {
        let (expected, first) = (self.position.max(self.behind), header.first_position);
        self.behind = header.end_position();
        if first <= expected {
            return Ok(true);
        }
        self.position = first;
        Err(self.unsound(&format!("positions {expected} to {} are not there", first - 1)))
    }

    /// Reads the next batch of a segment that has an index, or goes on to the next segment.
    fn visit(&mut self) -> Result<(), Error> {
        let (Some(visits), Some(choice), Some(segment), Some((file, length))) =
            (&mut self.visits, &self.choice, self.segment, &self.file)
        else {
            return Ok(());
        };
        let Some(visit) = visits.batches.pop_front() else {
            self.position = self.position.max(visits.end);
            (self.segment, self.file, self.visits) = (Some(segment + 1), None, None);
            return Ok(());
        };
        let found = chosen_at(file.as_ref(), visit.offset, *length, |leaf| choice.wants(&visit, leaf))
            .map_err(|error| Error::storage("read", &self.reader.dir.join(file_name(segment)), &error))?;
        let wrong = |what: &str, offset| self.unsound(&format!("{what} ({} at byte {offset})", file_name(segment)));
        match found {
            Found::Batch(Batch { header, leaves, .. })
                if (header.first_position, header.leaves) == (visit.first, visit.leaves) =>
            {
                self.read.extend(leaves);
                Ok(())
            }
            Found::Batch(_) | Found::Nothing => Err(wrong("the batch is not the one that was indexed", visit.offset)),
            Found::Bad(Bad { offset, what, .. }) => Err(wrong(what, offset)),
        }
    }

    fn next_is_begun(&self, segment: u64) -> Result<bool, Error> {
        let Some((file, length)) = self.reader.segment(segment + 1)? else {
            return Ok(false);
        };
        Ok(self.reader.header(segment + 1, file.as_ref(), length)?.is_some())
    }

    /// Holds the end that reading came to against the checkpoint, which was read before: what is damaged at the end is
    /// no torn tail if it was signed.
    pub(super) fn check_end(&self, end: u64) -> Result<(), Error> {
        let claimed = self.reader.claimed();
        if end >= claimed {
            return Ok(());
        }
        let (file, offset) = (file_name(self.segment.unwrap_or(0)), self.offset);
        let detail = format!("{claimed} leaves are signed, {end} can be read ({file} at byte {offset})");
        Err(Error::unsound(&self.reader.dir, Verdict::Missing, detail))
    }

    fn unsound(&self, detail: &str) -> Error {
        Error::unsound(&self.reader.dir, Verdict::Forked, detail)
    }
}
