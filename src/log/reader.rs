//! Reads a log's entries in order, also while it is being written. Needs no key: parts come out sealed.
//! Not here: opening parts (`open.rs`), or proving that nothing was changed (`verify.rs`).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::batch::DATA_KEY_BYTES;
use super::choice::{self, ByLeaves, Choice, Visits};
use super::segment::{
    Bad, Batch, BatchHeader, Depth, Found, Leaf, SegmentHeader, batch_at, chosen_at, file_name, next_header, number_of,
};
use super::upkeep::CHECKPOINT;
use super::verify::Verdict;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::descriptor::{Descriptor, Sealed};
use crate::audit::keys::{Part, Recipient, SealedDataKey};
use crate::audit::record::Kind;
use crate::audit::tag::Tags;
use crate::disk::{BLOCK_BYTES, Disk, ReadAt, RealDisk};

/// One leaf of a log with what it is a leaf of.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The leaf: position, time, kind, tag.
    pub descriptor: Descriptor,
    /// The record's sealed parts, or a data key.
    pub content: Content,
}

/// What an entry holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A record.
    Record {
        /// The sealed values part.
        values: Bytes,
        /// The sealed skeleton part.
        skeleton: Bytes,
    },
    /// A data key, sealed to whoever the tag stands for.
    DataKey {
        /// Which part it seals.
        part: Part,
        /// Which period's key it is sealed to.
        period: u32,
        /// HPKE's encapsulated key.
        enc: Bytes,
        /// HPKE's ciphertext.
        sealed: Bytes,
    },
    /// What is open to everybody, see `audit/public.rs`.
    Public(Bytes),
}

impl Entry {
    /// Which leaf of the log this is, from 0.
    pub fn position(&self) -> u64 {
        self.descriptor.place.position
    }

    /// What kind of record.
    pub fn kind(&self) -> Kind {
        self.descriptor.place.kind
    }

    /// Whose entry it is; none if no tag key that was given makes its tag.
    pub fn recipient(&self, tags: &mut Tags) -> Option<Recipient> {
        tags.recognise(self.descriptor.place.segment, &self.descriptor.place.tag)
    }

    /// The data key for the keyring to open, if this entry is one.
    pub fn data_key(&self, origin: &str, recipient: Recipient) -> Option<SealedDataKey> {
        match &self.content {
            Content::Record { .. } | Content::Public(_) => None,
            Content::DataKey { part, period, enc, sealed } => Some(SealedDataKey {
                origin: origin.to_owned(),
                position: self.position(),
                recipient,
                part: *part,
                period: *period,
                enc: enc.to_vec(),
                sealed: sealed.to_vec(),
            }),
        }
    }

    /// The entry of a leaf; none if it does not hold what its kind says.
    pub fn of(leaf: Leaf) -> Option<Entry> {
        let Leaf { descriptor, values, skeleton, .. } = leaf;
        let content = match descriptor.place.kind {
            Kind::DataKey => read_data_key(&values).filter(|_| skeleton.is_empty())?,
            kind if kind.is_public() => Content::Public(values).filter_nobodys(&descriptor)?,
            _ => Content::Record { values, skeleton },
        };
        Some(Entry { descriptor, content })
    }
}

impl Content {
    /// It, if the leaf is nobody's: without tag, link, keys and skeleton.
    fn filter_nobodys(self, leaf: &Descriptor) -> Option<Content> {
        let place = &leaf.place;
        let is_nobodys = place.tag == [0; 16] && place.link == [0; 32] && leaf.values.key == 0;
        (is_nobodys && leaf.skeleton == Sealed::default()).then_some(self)
    }
}

fn read_data_key(bytes: &Bytes) -> Option<Content> {
    let (part, rest) = bytes.split_first_chunk::<4>().filter(|_| bytes.len() == DATA_KEY_BYTES)?;
    let (period, _) = rest.split_first_chunk::<4>()?;
    let part = Part::from_number(u8::try_from(u32::from_le_bytes(*part)).ok()?)?;
    let (enc, sealed) = (bytes.slice(8..40), bytes.slice(40..DATA_KEY_BYTES));
    Some(Content::DataKey { part, period: u32::from_le_bytes(*period), enc, sealed })
}

/// A segment's file and how long it is.
type OpenSegment = (Box<dyn ReadAt>, u64);

/// A log opened for reading.
pub struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    origin: String,
    /// The checkpoint's signed note, unchecked.
    note: String,
    /// How many leaves the checkpoint says there are.
    claimed: u64,
}

impl Reader {
    /// Opens the log in that directory, which may be written at the same time.
    ///
    /// # Errors
    /// [`Error::Storage`] if it cannot be read, [`Error::Unsound`] if there is no log.
    pub fn open(dir: &Path) -> Result<Reader, Error> {
        Reader::open_on(Arc::new(RealDisk), dir)
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Reader, Error> {
        let path = dir.join(CHECKPOINT);
        let note = disk.read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::unsound(dir, Verdict::Missing, "there is no checkpoint"),
            _ => Error::storage("read", &path, &error),
        })?;
        let note = String::from_utf8_lossy(&note).into_owned();
        let origin = Checkpoint::claimed_origin(&note)
            .ok_or_else(|| Error::unsound(dir, Verdict::Forked, "its checkpoint names no log"))?;
        let claimed = Checkpoint::claimed_size(&note)
            .ok_or_else(|| Error::unsound(dir, Verdict::Forked, "its checkpoint names no size"))?;
        Ok(Reader { origin: origin.to_owned(), disk, dir: dir.to_owned(), claimed, note })
    }

    /// The log's origin, as its checkpoint claims it; seals open under the right one only.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The checkpoint's signed note, as it was when the log was opened for reading; its signature is not checked here.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// How many leaves the checkpoint claims, as it was when the log was opened for reading.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// All leaves without what they are leaves of, oldest first.
    pub fn leaves(&self) -> Leaves<'_> {
        Leaves(Entries { depth: Depth::Leaves, ..self.entries() })
    }

    /// The same from that position on.
    pub fn leaves_from(&self, position: u64) -> Leaves<'_> {
        Leaves(Entries { depth: Depth::Leaves, ..self.entries_from(position) })
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> Entries<'_> {
        self.entries_from(0)
    }

    /// The entries from that position on.
    pub fn entries_from(&self, position: u64) -> Entries<'_> {
        let (depth, read) = (Depth::Parts, VecDeque::new());
        let (choice, visits, by_leaves) = (None, None, None);
        let (segment, file, offset, behind) = (None, None, 0, position);
        Entries { reader: self, depth, position, segment, file, offset, read, behind, choice, visits, by_leaves }
    }

    /// The entries from that position on that are of interest, where an index tells; else all.
    pub(super) fn chosen_from<'a>(&'a self, position: u64, choice: Choice<'a>) -> Entries<'a> {
        Entries { choice: Some(choice), ..self.entries_from(position) }
    }

    /// Every data key whose recipient is in `tags`, for the keyring to open.
    ///
    /// # Errors
    /// As for [`Entries::next`].
    pub fn sealed_data_keys(&self, tags: &mut Tags) -> Result<Vec<SealedDataKey>, Error> {
        let mut keys = Vec::new();
        for entry in self.entries() {
            let entry = entry?;
            if let Content::DataKey { .. } = entry.content
                && let Some(recipient) = entry.recipient(tags)
            {
                keys.extend(entry.data_key(&self.origin, recipient));
            }
        }
        Ok(keys)
    }

    /// The segment that holds the position, or is the last one that could.
    fn segment_of(&self, position: u64) -> Result<u64, Error> {
        let names = self.disk.names(&self.dir).map_err(|error| Error::storage("list", &self.dir, &error))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        if let Some(segment) = self.halved(&numbers, position)? {
            return Ok(segment);
        }
        for segment in numbers.into_iter().rev() {
            if self.first_position(segment)?.is_some_and(|first| first <= position) {
                return Ok(segment);
            }
        }
        Ok(0)
    }

    /// The same by halving, for which every header that is looked at must be there.
    fn halved(&self, numbers: &[u64], position: u64) -> Result<Option<u64>, Error> {
        let (mut low, mut high) = (0, numbers.len());
        while low < high {
            let middle = low.midpoint(high);
            let Some(segment) = numbers.get(middle) else { return Ok(None) };
            match self.first_position(*segment)? {
                None => return Ok(None),
                Some(first) if first <= position => low = middle + 1,
                Some(_) => high = middle,
            }
        }
        Ok(low.checked_sub(1).and_then(|last| numbers.get(last)).copied())
    }

    /// The position of a segment's first leaf; none if it is not begun.
    fn first_position(&self, segment: u64) -> Result<Option<u64>, Error> {
        let Some((file, length)) = self.segment(segment)? else { return Ok(None) };
        Ok(self.header(segment, file.as_ref(), length)?.map(|header| header.first_position))
    }

    fn segment(&self, segment: u64) -> Result<Option<OpenSegment>, Error> {
        let path = self.dir.join(file_name(segment));
        match self.disk.open_to_read(&path).and_then(|file| file.len().map(|length| (file, length))) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage("open", &path, &error)),
        }
    }

    /// The segment's header; none if it is not begun yet.
    fn header(&self, segment: u64, file: &dyn ReadAt, length: u64) -> Result<Option<SegmentHeader>, Error> {
        Ok(SegmentHeader::parse(&self.first_block(segment, file, length)?))
    }

    fn first_block(&self, segment: u64, file: &dyn ReadAt, length: u64) -> Result<Vec<u8>, Error> {
        let mut block = vec![0; BLOCK_BYTES];
        if length >= BLOCK_BYTES as u64 {
            let path = self.dir.join(file_name(segment));
            file.read_at(0, &mut block).map_err(|error| Error::storage("read", &path, &error))?;
            Error::check_version(&path, &block)?;
        }
        Ok(block)
    }
}

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
}

/// The leaves of a log, as [`Entries`] gives its entries.
pub struct Leaves<'a>(Entries<'a>);

impl Iterator for Leaves<'_> {
    type Item = Result<Descriptor, Error>;

    /// Errors: as for [`Entries::next`].
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

    /// Reads the next batch; false if there is none yet.
    fn read_batch(&mut self) -> Result<bool, Error> {
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
                chosen_at(file, self.offset, length, wants)
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
        let claimed = self.reader.claimed;
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
