//! A log opened for reading, also while it is being written, and what its entries are. Needs no key: parts come out sealed.
//! Not here: going through them (`entries.rs`), opening parts (`open.rs`), or proving that nothing was changed (`verify.rs`).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::batch::DATA_KEY_BYTES;
use super::choice::Choice;
use super::entries::{Entries, Leaves};
use super::segment::{Depth, Leaf, SegmentHeader, file_name, number_of};
use super::upkeep::CHECKPOINT;
use super::verify::Verdict;
use crate::audit::checkpoint::{self, Checkpoint};
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
            Kind::DataKey => read_data_key(&values).filter(|_| is_no_record(&descriptor))?,
            kind if kind.is_public() => {
                let is_nobodys = is_no_record(&descriptor) && descriptor.place.tag == [0; 16];
                Some(Content::Public(values)).filter(|_| is_nobodys)?
            }
            _ => Content::Record { values, skeleton },
        };
        Some(Entry { descriptor, content })
    }
}

/// Whether a leaf is without link, data keys and skeleton, as all that are no records.
fn is_no_record(leaf: &Descriptor) -> bool {
    leaf.place.link == [0; 32] && leaf.values.key == 0 && leaf.skeleton == Sealed::default()
}

fn read_data_key(bytes: &Bytes) -> Option<Content> {
    let (part, rest) = bytes.split_first_chunk::<4>().filter(|_| bytes.len() == DATA_KEY_BYTES)?;
    let (period, _) = rest.split_first_chunk::<4>()?;
    let part = Part::from_number(u8::try_from(u32::from_le_bytes(*part)).ok()?)?;
    let (enc, sealed) = (bytes.slice(8..40), bytes.slice(40..DATA_KEY_BYTES));
    Some(Content::DataKey { part, period: u32::from_le_bytes(*period), enc, sealed })
}

/// A segment's file and how long it is.
pub(super) type OpenSegment = (Box<dyn ReadAt>, u64);

/// A log opened for reading.
pub struct Reader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
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

    /// The same of the log that the directory's name names, if that key signed its checkpoint under the origin of that name.
    ///
    /// # Errors
    /// As for [`Reader::open`]; [`Error::Unsound`] also if it did not.
    pub fn signed_by(dir: &Path, public: &[u8; 32]) -> Result<Reader, Error> {
        let reader = Reader::open(dir)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let signed = Checkpoint::open(&reader.note, &super::origin(&name), public);
        signed.map(|_| ()).map_err(|error| {
            let verdict = match error {
                checkpoint::Error::WrongKey { .. } => Verdict::WrongKey,
                checkpoint::Error::Changed(_) => Verdict::Forked,
            };
            Error::unsound(dir, verdict, error)
        })?;
        Ok(reader)
    }

    /// The same by the key that is pinned for it; where none is, as the log that its checkpoint claims to be.
    ///
    /// # Errors
    /// As for [`Reader::signed_by`].
    pub fn pinned(dir: &Path, keys: &BTreeMap<String, [u8; 32]>) -> Result<Reader, Error> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        match keys.get(&super::origin(&name)) {
            Some(public) => Reader::signed_by(dir, public),
            None => Reader::open(dir),
        }
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
        self.leaves_from(0)
    }

    /// The same from that position on.
    pub fn leaves_from(&self, position: u64) -> Leaves<'_> {
        Leaves(Entries::of(self, Depth::Leaves, position))
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> Entries<'_> {
        self.entries_from(0)
    }

    /// The entries from that position on.
    pub fn entries_from(&self, position: u64) -> Entries<'_> {
        Entries::of(self, Depth::Parts, position)
    }

    /// The entries from that position on that are of interest, where an index tells; else all.
    pub(super) fn chosen_from<'a>(&'a self, position: u64, choice: Choice<'a>) -> Entries<'a> {
        self.entries_from(position).chosen(choice)
    }

    /// Every data key whose recipient is in `tags`, for the keyring to open.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Unsound`] where whole records follow others that are not.
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
    pub(super) fn segment_of(&self, position: u64) -> Result<u64, Error> {
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

    pub(super) fn segment(&self, segment: u64) -> Result<Option<OpenSegment>, Error> {
        let path = self.dir.join(file_name(segment));
        match self.disk.open_to_read(&path).and_then(|file| file.len().map(|length| (file, length))) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage("open", &path, &error)),
        }
    }

    /// The segment's header; none if it is not begun yet.
    pub(super) fn header(&self, segment: u64, file: &dyn ReadAt, length: u64) -> Result<Option<SegmentHeader>, Error> {
        Ok(SegmentHeader::parse(&self.first_block(segment, file, length)?))
    }

    pub(super) fn first_block(&self, segment: u64, file: &dyn ReadAt, length: u64) -> Result<Vec<u8>, Error> {
        let mut block = vec![0; BLOCK_BYTES];
        if length >= BLOCK_BYTES as u64 {
            let path = self.dir.join(file_name(segment));
            file.read_at(0, &mut block).map_err(|error| Error::storage("read", &path, &error))?;
            Error::check_version(&path, &block)?;
        }
        Ok(block)
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
