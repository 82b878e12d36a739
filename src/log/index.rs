//! The index of a finished segment: from when to when each batch is, and which leaves have which tag, so that a search
//! looks at a customer's own leaves only.
//! Not here: when it is believed (`indexes.rs`) and when it is made (`upkeep.rs`). It says nothing that the segment's
//! leaves do not say themselves. FORMAT.md, "An index".

use std::ops::Range;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::segment::{Batch, BatchHeader, Fields, SegmentHeader};
use crate::audit::checkpoint::SigningKey;
use crate::audit::tree::{Hash, sha256};
use crate::clock::Timestamp;
use crate::disk::BLOCK_BYTES;

/// How the file begins.
pub const MAGIC: &[u8; 8] = b"PRTRIDX1";
/// What is signed begins with this, so that it is nothing else that the log signs.
const DOMAIN: &[u8] = b"portreeve segment index\0";
const SIGNATURE_BYTES: usize = 64;
/// Bytes of the head, its signature included.
pub const HEAD_BYTES: usize = 160 + SIGNATURE_BYTES;
const SPAN_BYTES: usize = 24;
const TAG_BYTES: usize = 20;
const LEAF_BYTES: usize = 4;

/// The file name of that segment's index.
pub fn file_name(segment: u64) -> String {
    format!("{segment:012}.index")
}

/// What an index is of. It is signed, and names the rest by its hash: so it can be believed without reading that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// SHA-256 of the segment's first block.
    pub block: Hash,
    /// The segment's number.
    pub segment: u64,
    /// The position of its first leaf.
    pub first_position: u64,
    /// How many leaves it holds.
    pub leaves: u32,
    /// The number of the batch behind it.
    pub batch: u64,
    /// The digest of its last batch.
    pub previous: Hash,
    /// The time of its earliest leaf.
    pub earliest: Timestamp,
    /// The time of its latest leaf.
    pub latest: Timestamp,
    batches: u32,
    tags: u32,
    body: Hash,
}

/// A batch in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At which block of the file it begins.
    pub block: u32,
    /// How many leaves of the segment there are up to its end.
    pub end: u32,
    /// The time of its earliest leaf.
    pub earliest: Timestamp,
    /// The time of its latest leaf.
    pub latest: Timestamp,
}

/// A whole index. Leaves are counted within their segment, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What it is of.
    pub head: Head,
    spans: Vec<Span>,
    /// Each tag with how many of `leaves` there are up to the end of its own; in the order of the tags.
    tags: Vec<([u8; 16], u32)>,
    /// By their tags, and of each tag in order.
    leaves: Vec<u32>,
}

impl Head {
    /// None: it is not one that this key signed.
    pub fn parse(bytes: &[u8], public: &[u8; 32]) -> Option<Head> {
        let (signed, signature) = bytes.get(..HEAD_BYTES)?.split_at_checked(HEAD_BYTES - SIGNATURE_BYTES)?;
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(&[DOMAIN, signed].concat(), signature).ok()?;
        Head::read(signed)
    }

    fn read(signed: &[u8]) -> Option<Head> {
        let mut fields = Fields(signed);
        if fields.take::<8>()? != *MAGIC {
            return None;
        }
        Some(Head {
            block: fields.take()?,
            segment: u64::from_le_bytes(fields.take()?),
            first_position: u64::from_le_bytes(fields.take()?),
            batch: u64::from_le_bytes(fields.take()?),
            previous: fields.take()?,
            earliest: Timestamp(i64::from_le_bytes(fields.take()?)),
            latest: Timestamp(i64::from_le_bytes(fields.take()?)),
            leaves: u32::from_le_bytes(fields.take()?),
            batches: u32::from_le_bytes(fields.take()?),
            tags: u32::from_le_bytes(fields.take()?),
            body: {
                let _zeros = fields.take::<4>().filter(|zeros| *zeros == [0; 4])?;
                fields.take()?
            },
        })
    }

    fn to_bytes(&self, key: &SigningKey) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.block);
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.first_position.to_le_bytes());
        bytes.extend_from_slice(&self.batch.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&self.earliest.0.to_le_bytes());
        bytes.extend_from_slice(&self.latest.0.to_le_bytes());
        bytes.extend_from_slice(&self.leaves.to_le_bytes());
        bytes.extend_from_slice(&self.batches.to_le_bytes());
        bytes.extend_from_slice(&self.tags.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.body);
        let signature = key.sign_bytes(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    /// Whether it is of the segment with that first block, which that of the next one goes on from.
    pub fn is_of(&self, segment: u64, block: &[u8], next: &SegmentHeader) -> bool {
        self.segment == segment
            && next.segment == segment + 1
            && End::from(next) == self.end()
            && self.block == sha256(&[block])
    }

    /// The position behind its last leaf.
    pub fn end_position(&self) -> u64 {
        self.first_position.saturating_add(self.leaves.into())
    }

    /// Where the log goes on behind it.
    pub fn end(&self) -> End {
        End { position: self.end_position(), batch: self.batch, previous: self.previous }
    }

    /// How many bytes follow it in the file.
    pub fn body_bytes(&self) -> usize {
        self.batches as usize * SPAN_BYTES + self.tags as usize * TAG_BYTES + self.leaves as usize * LEAF_BYTES
    }
}

impl Index {
    /// None: it is not the body that the head names, or no index.
    pub fn parse(head: Head, body: &[u8]) -> Option<Index> {
        (sha256(&[body]) == head.body).then(|| Index::read(head, body)).flatten()
    }

    fn read(head: Head, body: &[u8]) -> Option<Index> {
        if body.len() != head.body_bytes() {
            return None;
        }
        let (spans, rest) = body.split_at_checked(head.batches as usize * SPAN_BYTES)?;
        let (tags, leaves) = rest.split_at_checked(head.tags as usize * TAG_BYTES)?;
        let spans = spans.as_chunks::<SPAN_BYTES>().0.iter().map(read_span).collect::<Option<_>>()?;
        let tags = tags.as_chunks::<TAG_BYTES>().0.iter().map(read_tag).collect::<Option<_>>()?;
        let leaves = leaves.as_chunks::<LEAF_BYTES>().0.iter().map(|leaf| u32::from_le_bytes(*leaf)).collect();
        let index = Index { head, spans, tags, leaves };
        index.is_sound().then_some(index)
    }

    /// Whether batches and tags come in order and each leaf of the segment once.
    fn is_sound(&self) -> bool {
        let ends = |ends: &mut dyn Iterator<Item = u32>| {
            let (mut last, mut rises) = (0, true);
            for end in ends {
                rises &= end > last;
                last = end;
            }
            rises && last == self.head.leaves
        };
        let reach =
            (self.spans.iter().map(|span| span.earliest).min(), self.spans.iter().map(|span| span.latest).max());
        let mut seen = vec![false; self.leaves.len()];
        let mut is_new = |leaf: &u32| seen.get_mut(*leaf as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        ends(&mut self.spans.iter().map(|span| span.end))
            && ends(&mut self.tags.iter().map(|(_, end)| *end))
            && self.spans.iter().all(|span| span.block > 0 && span.earliest <= span.latest)
            && self.spans.is_sorted_by(|a, b| a.block < b.block)
            && reach == (Some(self.head.earliest), Some(self.head.latest))
            && self.tags.is_sorted_by(|a, b| a.0 < b.0)
            && self.leaves.iter().all(&mut is_new)
            && self.tags.iter().all(|(tag, _)| self.leaves_of(tag).is_sorted())
    }

    /// A whole file. None: it is none that this key signed.
    pub fn from_file(bytes: &[u8], public: &[u8; 32]) -> Option<Index> {
        Index::parse(Head::parse(bytes, public)?, bytes.get(HEAD_BYTES..)?)
    }

    /// The file's bytes, signed.
    pub fn to_bytes(&self, key: &SigningKey) -> Vec<u8> {
        let mut bytes = self.head.to_bytes(key);
        bytes.extend_from_slice(&self.body());
        bytes
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.head.body_bytes());
        for span in &self.spans {
            body.extend_from_slice(&span.block.to_le_bytes());
            body.extend_from_slice(&span.end.to_le_bytes());
            body.extend_from_slice(&span.earliest.0.to_le_bytes());
            body.extend_from_slice(&span.latest.0.to_le_bytes());
        }
        for (tag, end) in &self.tags {
            body.extend_from_slice(tag);
            body.extend_from_slice(&end.to_le_bytes());
        }
        self.leaves.iter().for_each(|leaf| body.extend_from_slice(&leaf.to_le_bytes()));
        body
    }

    /// The leaves with that tag, in order.
    pub fn leaves_of(&self, tag: &[u8; 16]) -> &[u32] {
        let Ok(at) = self.tags.binary_search_by(|(other, _)| other.cmp(tag)) else { return &[] };
        let end = |at: usize| self.tags.get(at).map_or(0, |(_, end)| *end as usize);
        let range = at.checked_sub(1).map_or(0, end)..end(at);
        self.leaves.get(range).unwrap_or_default()
    }

    /// The batches, each with its leaves.
    pub fn batches(&self) -> impl Iterator<Item = (Span, Range<u32>)> {
        let begins = std::iter::once(0).chain(self.spans.iter().map(|span| span.end));
        self.spans.iter().zip(begins).map(|(span, begin)| (*span, begin..span.end))
    }
}

impl Span {
    /// Where it begins in the file.
    pub fn offset(&self) -> u64 {
        u64::from(self.block) * BLOCK_BYTES as u64
    }
}

fn read_span(bytes: &[u8; SPAN_BYTES]) -> Option<Span> {
    let mut fields = Fields(bytes);
    Some(Span {
        block: u32::from_le_bytes(fields.take()?),
        end: u32::from_le_bytes(fields.take()?),
        earliest: Timestamp(i64::from_le_bytes(fields.take()?)),
        latest: Timestamp(i64::from_le_bytes(fields.take()?)),
    })
}

fn read_tag(bytes: &[u8; TAG_BYTES]) -> Option<([u8; 16], u32)> {
    let mut fields = Fields(bytes);
    Some((fields.take()?, u32::from_le_bytes(fields.take()?)))
}

/// Where a log goes on: behind a segment, or behind one of its batches. The digest tells of all leaves before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The position of the next leaf.
    pub position: u64,
    /// The number of the next batch.
    pub batch: u64,
    /// The digest of the last one.
    pub previous: Hash,
}

impl From<&SegmentHeader> for End {
    /// Where that segment begins.
    fn from(header: &SegmentHeader) -> End {
        End { position: header.first_position, batch: header.first_batch, previous: header.previous }
    }
}

impl End {
    /// Where that batch begins.
    pub fn before(header: &BatchHeader) -> End {
        End { position: header.first_position, batch: header.batch, previous: header.previous }
    }
}

/// An index that is being made, from a segment's batches one after the other.
#[derive(Debug)]
pub struct Builder {
    spans: Vec<Span>,
    leaves: Vec<([u8; 16], u32)>,
    end: End,
}

impl Builder {
    /// Begins where the segment with that header does.
    pub fn new(header: &SegmentHeader) -> Builder {
        Builder { spans: Vec::new(), leaves: Vec::new(), end: header.into() }
    }

    /// Takes the next batch, which begins at that byte of the file. None: it does not continue the one before, by whose
    /// digest it names all leaves up to it; or there is more than an index can be of.
    pub fn add(&mut self, offset: u64, batch: &Batch) -> Option<()> {
        let leaves = batch.leaves.iter().map(|leaf| (leaf.descriptor.place.tag, leaf.descriptor.place.at));
        self.add_leaves(offset, &batch.header, batch.digest, leaves)
    }

    /// The same of a batch with that header and digest, whose leaves have these tags and times.
    pub fn add_leaves(
        &mut self,
        offset: u64,
        header: &BatchHeader,
        digest: Hash,
        leaves: impl Iterator<Item = ([u8; 16], Timestamp)> + Clone,
    ) -> Option<()> {
        if (End { position: header.first_position, batch: header.batch, previous: header.previous }) != self.end {
            return None;
        }
        let times = || leaves.clone().map(|(_, at)| at);
        for (tag, _) in leaves.clone() {
            self.leaves.push((tag, u32::try_from(self.leaves.len()).ok()?));
        }
        self.spans.push(Span {
            block: u32::try_from(offset / BLOCK_BYTES as u64).ok()?,
            end: u32::try_from(self.leaves.len()).ok()?,
            earliest: times().min()?,
            latest: times().max()?,
        });
        self.end = End { position: header.end_position(), batch: header.batch.checked_add(1)?, previous: digest };
        Some(())
    }

    /// The index of the segment with that first block and its header. None: there was no batch.
    pub fn finish(mut self, block: &[u8], header: &SegmentHeader) -> Option<Index> {
        let End { batch, previous, .. } = self.end;
        // Stable, so that those of one tag stay in order; and quick, for there are few tags.
        self.leaves.sort_by_key(|(tag, _)| *tag);
        let mut tags: Vec<([u8; 16], u32)> = Vec::new();
        for ((tag, _), end) in self.leaves.iter().zip(1..) {
            match tags.last_mut() {
                Some((last, ends)) if last == tag => *ends = end,
                _ => tags.push((*tag, end)),
            }
        }
        let head = Head {
            block: sha256(&[block]),
            segment: header.segment,
            first_position: header.first_position,
            leaves: u32::try_from(self.leaves.len()).ok()?,
            batch,
            previous,
            earliest: self.spans.iter().map(|span| span.earliest).min()?,
            latest: self.spans.iter().map(|span| span.latest).max()?,
            batches: u32::try_from(self.spans.len()).ok()?,
            tags: u32::try_from(tags.len()).ok()?,
            body: [0; 32],
        };
        let leaves = self.leaves.into_iter().map(|(_, leaf)| leaf).collect();
        let mut index = Index { head, spans: self.spans, tags, leaves };
        index.head.body = sha256(&[&index.body()]);
        Some(index)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
pub(super) mod tests;
