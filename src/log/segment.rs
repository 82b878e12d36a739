//! A segment file, byte by byte: its header, and the batches in it.
//! Not here: who writes batches (`batch.rs`, `writer.rs`) and what to do about bytes that are none (`recovery.rs`).
//! FORMAT.md, "A segment" and "A batch".

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::PART_BYTES_MAX;
use crate::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::audit::tree::{Hash, sha256};
use crate::clock::Timestamp;
use crate::disk::{BLOCK_BYTES, ReadAt};

/// What a segment begins with in every version; one more byte is the version's digit.
const SEGMENT_NAME: &[u8; 7] = b"PRTRSEG";
const SEGMENT_MAGIC: &[u8; 8] = b"PRTRSEG1";
const BATCH_MAGIC: &[u8; 8] = b"PRTRBAT1";
/// Bytes of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 128;
const BATCH_CHECKED_BYTES: usize = 112;
/// Bytes of the digest behind a batch's leaves.
pub const DIGEST_BYTES: usize = 32;
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
const SEGMENT_CHECKED_BYTES: usize = BLOCK_BYTES - 32;
/// Bytes of an origin, at most.
pub const ORIGIN_BYTES_MAX: usize = 200;
/// No batch is longer, in bytes, and none that says so is read: a writer cuts its batches after few MiB, unless there is
/// but one record in it, of two parts.
const BATCH_BYTES_MAX: u64 = 2 * PART_BYTES_MAX as u64 + (64 << 20);

/// The file name of that segment.
pub fn file_name(segment: u64) -> String {
    format!("{segment:012}.segment")
}

/// The number of the segment with that file name.
pub fn number_of(file_name: &str) -> Option<u64> {
    let number = file_name.strip_suffix(".segment")?.parse().ok()?;
    (self::file_name(number) == file_name).then_some(number)
}

/// The first block of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's number, from 0 without gaps.
    pub segment: u64,
    /// The position of its first leaf.
    pub first_position: u64,
    /// The number of its first batch.
    pub first_batch: u64,
    /// When it was begun, by the writer's clock.
    pub created: Timestamp,
    /// How long the file is, in bytes.
    pub length: u64,
    /// The digest of the last batch before; zeros in the first segment.
    pub previous: Hash,
    /// The root over all leaves before.
    pub root: Hash,
    /// Which log.
    pub origin: String,
}

impl SegmentHeader {
    /// The block's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.first_position.to_le_bytes());
        bytes.extend_from_slice(&self.first_batch.to_le_bytes());
        bytes.extend_from_slice(&self.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&(self.origin.len() as u64).to_le_bytes());
        bytes.extend_from_slice(self.origin.as_bytes());
        bytes.resize(SEGMENT_CHECKED_BYTES, 0);
        let check = sha256(&[&bytes]);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// The version of a whole header that another version wrote: every version has its digit and its check at the same
    /// place. None: it is of this version, or it is none.
    pub fn other_version(block: &[u8]) -> Option<char> {
        let (checked, check) = block.split_at_checked(SEGMENT_CHECKED_BYTES)?;
        let [version, ..] = *checked.strip_prefix(SEGMENT_NAME)? else { return None };
        let is_other = version.is_ascii_alphanumeric() && !checked.starts_with(SEGMENT_MAGIC);
        (is_other && sha256(&[checked]) == *check).then_some(version.into())
    }

    /// Reads the first block; none if it is not a whole, unchanged header.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let (checked, check) = block.split_at_checked(SEGMENT_CHECKED_BYTES)?;
        let mut fields = Fields(checked);
        if sha256(&[checked]) != *check || fields.take::<8>()? != *SEGMENT_MAGIC {
            return None;
        }
        let header = SegmentHeader {
            segment: u64::from_le_bytes(fields.take()?),
            first_position: u64::from_le_bytes(fields.take()?),
            first_batch: u64::from_le_bytes(fields.take()?),
            created: Timestamp(i64::from_le_bytes(fields.take()?)),
            length: u64::from_le_bytes(fields.take()?),
            previous: fields.take()?,
            root: fields.take()?,
            origin: {
                let len = usize::try_from(u64::from_le_bytes(fields.take()?)).ok()?;
                String::from_utf8(fields.0.get(..len)?.to_vec()).ok()?
            },
        };
        (header.to_bytes() == block).then_some(header)
    }
}

/// What a batch says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The batch's number in the log, from 0 without gaps.
    pub batch: u64,
    /// The position of its first leaf.
    pub first_position: u64,
    /// How many leaves; at least one.
    pub leaves: u32,
    /// How many bytes it takes in the file; a multiple of [`BLOCK_BYTES`].
    pub length: u64,
    /// When it was written, by the writer's clock.
    pub written: Timestamp,
    /// The digest of the batch before.
    pub previous: Hash,
}

impl BatchHeader {
    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut checked = Vec::with_capacity(BATCH_HEADER_BYTES);
        checked.extend_from_slice(BATCH_MAGIC);
        checked.extend_from_slice(&self.batch.to_le_bytes());
        checked.extend_from_slice(&self.first_position.to_le_bytes());
        checked.extend_from_slice(&u64::from(self.leaves).to_le_bytes());
        checked.extend_from_slice(&self.length.to_le_bytes());
        checked.extend_from_slice(&self.written.0.to_le_bytes());
        checked.extend_from_slice(&self.previous);
        checked.resize(BATCH_CHECKED_BYTES, 0);
        let check = sha256(&[&checked]);
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes.iter_mut().zip(checked.iter().chain(&check)).for_each(|(byte, from)| *byte = *from);
        bytes
    }

    /// Reads the header at the start of these bytes; none if it is not a whole, unchanged header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<BATCH_HEADER_BYTES>()?;
        let mut fields = Fields(bytes);
        if fields.take::<8>()? != *BATCH_MAGIC {
            return None;
        }
        let header = BatchHeader {
            batch: u64::from_le_bytes(fields.take()?),
            first_position: u64::from_le_bytes(fields.take()?),
            leaves: u32::try_from(u64::from_le_bytes(fields.take()?)).ok()?,
            length: u64::from_le_bytes(fields.take()?),
            written: Timestamp(i64::from_le_bytes(fields.take()?)),
            previous: fields.take()?,
        };
        let is_sound = header.leaves > 0
            && header.length.is_multiple_of(BLOCK_BYTES as u64)
            && content_start(header.leaves) as u64 <= header.length
            && header.first_position.checked_add(header.leaves.into()).is_some()
            && header.to_bytes() == *bytes;
        is_sound.then_some(header)
    }

    /// The position after its last leaf.
    pub fn end_position(&self) -> u64 {
        self.first_position.saturating_add(self.leaves.into())
    }
}

/// Where the sealed parts start in a batch of that many leaves.
pub fn content_start(leaves: u32) -> usize {
    BATCH_HEADER_BYTES + leaves as usize * DESCRIPTOR_BYTES + DIGEST_BYTES
}

/// One leaf of a batch, with its sealed parts.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The leaf.
    pub descriptor: Descriptor,
    /// The sealed values part, or the sealed data key.
    pub values: Bytes,
    /// The sealed skeleton part.
    pub skeleton: Bytes,
    /// Where its parts start in the file.
    pub offset: u64,
}

/// A whole batch, as read from a file.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it says of itself.
    pub header: BatchHeader,
    /// The digest over header and leaves, which the next batch names.
    pub digest: Hash,
    /// Its leaves.
    pub leaves: Vec<Leaf>,
}

/// What stands at an offset of a segment.
#[derive(Debug)]
pub enum Found {
    /// A whole batch.
    Batch(Batch),
    /// A block of zeros, or the end of the file.
    Nothing,
    /// Something else.
    Bad(Bad),
}

/// Bytes that are not a whole batch.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Where in the file the first wrong bytes are, as well as can be told.
    pub offset: u64,
    /// The position they belong to, if that can be told.
    pub position: Option<u64>,
    /// The header, if that much is whole.
    pub header: Option<BatchHeader>,
    /// What is wrong.
    pub what: &'static str,
}

/// How much of a batch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Header and leaves; the parts come out empty and unchecked.
    Leaves,
    /// Everything, every hash checked.
    Parts,
}

/// Reads the batch at that offset of a file of that length.
///
/// # Errors
/// Of reading the file.
pub fn batch_at(file: &dyn ReadAt, offset: u64, file_length: u64, depth: Depth) -> io::Result<Found> {
    if offset >= file_length {
        return Ok(Found::Nothing);
    }
    if file_length - offset < BLOCK_BYTES as u64 {
        let what = "the file ends within a block";
        return Ok(Found::Bad(Bad { offset, position: None, header: None, what }));
    }
    let mut bytes = vec![0; BLOCK_BYTES];
    file.read_at(offset, &mut bytes)?;
    let Some(header) = BatchHeader::parse(&bytes) else {
        if is_zero(&bytes) {
            return Ok(Found::Nothing);
        }
        let what = "there is no whole batch header";
        return Ok(Found::Bad(Bad { offset, position: None, header: None, what }));
    };
    let bad = |header: BatchHeader, what| {
        let position = Some(header.first_position);
        Ok(Found::Bad(Bad { offset, position, header: Some(header), what }))
    };
    if header.length > file_length - offset {
        return bad(header, "the batch is longer than the file");
    }
    let Some(length) = usize::try_from(header.length).ok().filter(|_| header.length <= BATCH_BYTES_MAX) else {
        return bad(header, "the batch is longer than any that is written");
    };
    let wanted = match depth {
        Depth::Leaves => content_start(header.leaves).max(BLOCK_BYTES),
        Depth::Parts => length,
    };
    bytes.resize(wanted, 0);
    let (_, rest) = bytes.split_at_mut(BLOCK_BYTES);
    file.read_at(offset + BLOCK_BYTES as u64, rest)?;
    Ok(read_batch(&Bytes::from(bytes), header, offset, depth))
}

/// Reads the batch at that offset, but of its parts those alone whose leaves are wanted; the other leaves are left out.
///
/// # Errors
/// Of reading the file.
pub fn chosen_at(
    file: &dyn ReadAt,
    offset: u64,
    file_length: u64,
    wants: impl Fn(&Descriptor) -> bool,
) -> io::Result<Found> {
    let mut batch = match batch_at(file, offset, file_length, Depth::Leaves)? {
        Found::Batch(batch) => batch,
        other => return Ok(other),
    };
    let bad = |leaf: &Leaf, what| {
        let (position, header) = (Some(leaf.descriptor.place.position), Some(batch.header.clone()));
        Found::Bad(Bad { offset: leaf.offset, position, header, what })
    };
    let (mut at, end) = (offset + content_start(batch.header.leaves) as u64, offset + batch.header.length);
    let mut wanted = Vec::new();
    for mut leaf in std::mem::take(&mut batch.leaves) {
        leaf.offset = at;
        at = at.saturating_add(parts_bytes(&leaf));
        if at > end {
            return Ok(bad(&leaf, "the sealed parts do not fit in the batch"));
        }
        if wants(&leaf.descriptor) {
            wanted.push(leaf);
        }
    }
    for row in wanted.chunk_by_mut(|a, b| a.offset + parts_bytes(a) == b.offset) {
        let start = row.first().map_or(0, |leaf| leaf.offset);
        let length = row.iter().map(parts_bytes).sum::<u64>();
        // Not more than the batch is long, which is bounded.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_at(start, &mut bytes)?;
        let (bytes, mut at) = (Bytes::from(bytes), 0);
        for leaf in row {
            let Descriptor { values, skeleton, .. } = leaf.descriptor;
            leaf.values = part(&bytes, &mut at, values.len).unwrap_or_default();
            leaf.skeleton = part(&bytes, &mut at, skeleton.len).unwrap_or_default();
            if hash_of(&leaf.values) != values.hash || hash_of(&leaf.skeleton) != skeleton.hash {
                return Ok(bad(leaf, "a sealed part does not match its leaf"));
            }
        }
    }
    batch.leaves = wanted;
    Ok(Found::Batch(batch))
}

/// Reads the batch at that offset, but of its parts only those that are open to everybody.
///
/// # Errors
/// Of reading the file.
pub fn tree_at(file: &dyn ReadAt, offset: u64, file_length: u64) -> io::Result<Found> {
    let mut found = batch_at(file, offset, file_length, Depth::Leaves)?;
    let is_open = |leaf: &Descriptor| leaf.place.kind.is_public();
    if let Found::Batch(batch) = &mut found
        && batch.leaves.iter().any(|leaf| is_open(&leaf.descriptor))
    {
        let open = match chosen_at(file, offset, file_length, is_open)? {
            Found::Batch(open) => open.leaves,
            other => return Ok(other),
        };
        let places = batch.leaves.iter_mut().filter(|leaf| is_open(&leaf.descriptor));
        places.zip(open).for_each(|(place, leaf)| *place = leaf);
    }
    Ok(found)
}

/// How many bytes its parts take together.
fn parts_bytes(leaf: &Leaf) -> u64 {
    u64::from(leaf.descriptor.values.len) + u64::from(leaf.descriptor.skeleton.len)
}

fn read_batch(bytes: &Bytes, header: BatchHeader, offset: u64, depth: Depth) -> Found {
    let bad = |at: usize, position, what| {
        Found::Bad(Bad { offset: offset + at as u64, position: Some(position), header: Some(header.clone()), what })
    };
    let first = header.first_position;
    let start = content_start(header.leaves);
    let Some((front, digest)) = bytes.get(..start).and_then(|front| front.split_last_chunk::<DIGEST_BYTES>()) else {
        return bad(0, first, "the batch is shorter than its leaves");
    };
    if sha256(&[front]) != *digest {
        return bad(BATCH_HEADER_BYTES, first, "the leaves do not match the batch's digest");
    }
    let (mut leaves, mut at) = (Vec::new(), start);
    let descriptors = front.get(BATCH_HEADER_BYTES..).unwrap_or(&[]).as_chunks::<DESCRIPTOR_BYTES>().0;
    for (slot, (descriptor, position)) in descriptors.iter().zip(first..).enumerate() {
        let Ok(descriptor) = Descriptor::parse(descriptor) else {
            return bad(BATCH_HEADER_BYTES + slot * DESCRIPTOR_BYTES, position, "the leaf is of a newer version");
        };
        if descriptor.place.position != position || u64::from(descriptor.place.slot) != slot as u64 {
            return bad(BATCH_HEADER_BYTES + slot * DESCRIPTOR_BYTES, position, "the leaf stands in another place");
        }
        let leaf_at = at;
        let mut leaf = Leaf { descriptor, values: Bytes::new(), skeleton: Bytes::new(), offset: offset + at as u64 };
        if depth == Depth::Leaves {
            leaves.push(leaf);
            continue;
        }
        let (Some(values), Some(skeleton)) =
            (part(bytes, &mut at, descriptor.values.len), part(bytes, &mut at, descriptor.skeleton.len))
        else {
            return bad(leaf_at, position, "the sealed parts do not fit in the batch");
        };
        if hash_of(&values) != descriptor.values.hash || hash_of(&skeleton) != descriptor.skeleton.hash {
            return bad(leaf_at, position, "a sealed part does not match its leaf");
        }
        (leaf.values, leaf.skeleton) = (values, skeleton);
        leaves.push(leaf);
    }
    let padding = if depth == Depth::Parts { bytes.get(at..).unwrap_or(&[]) } else { &[] };
    if !is_zero(padding)
        && let Some(within) = padding.iter().position(|byte| *byte != 0)
    {
        return bad(at + within, header.end_position() - 1, "the padding after the batch is not zero");
    }
    Found::Batch(Batch { header, digest: *digest, leaves })
}

/// What a leaf says of a part of these bytes: its SHA-256, or zeros if there are none.
pub fn hash_of(part: &[u8]) -> Hash {
    if part.is_empty() { [0; 32] } else { sha256(&[part]) }
}

fn part(bytes: &Bytes, at: &mut usize, len: u32) -> Option<Bytes> {
    let range: Range<usize> = *at..at.checked_add(len as usize)?;
    bytes.get(range.clone())?;
    *at = range.end;
    Some(bytes.slice(range))
}

/// The offset of the last byte that is not zero, from `offset` on.
///
/// # Errors
/// Of reading the file.
pub fn last_not_zero(file: &dyn ReadAt, offset: u64, file_length: u64) -> io::Result<Option<u64>> {
    let mut last = None;
    each_block(file, offset, file_length, |at, block| {
        if !is_zero(block)
            && let Some(within) = block.iter().rposition(|byte| *byte != 0)
        {
            last = Some(at + within as u64);
        }
    })?;
    Ok(last)
}

/// The offset of the first block from `offset` on that starts with a whole batch header.
///
/// # Errors
/// Of reading the file.
pub fn next_header(file: &dyn ReadAt, offset: u64, file_length: u64) -> io::Result<Option<u64>> {
    let mut first = None;
    each_block(file, offset, file_length, |at, block| {
        if first.is_none() && BatchHeader::parse(block).is_some() {
            first = Some(at);
        }
    })?;
    Ok(first)
}

/// Whether all are zero, at most a block of them.
fn is_zero(bytes: &[u8]) -> bool {
    ZEROS.get(..bytes.len()) == Some(bytes)
}

/// How many blocks are read at a time when looking through them.
const CHUNK_BYTES: usize = 256 * BLOCK_BYTES;

fn each_block(file: &dyn ReadAt, offset: u64, file_length: u64, mut see: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = offset;
    while at < file_length {
        let len = usize::try_from(file_length - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        chunk.truncate(len);
        file.read_at(at, &mut chunk)?;
        for (block, at) in chunk.chunks(BLOCK_BYTES).zip((at..).step_by(BLOCK_BYTES)) {
            see(at, block);
        }
        at += len as u64;
    }
    Ok(())
}

/// Reads fields one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
