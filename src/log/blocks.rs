//! The sealed blocks of a finished segment: for each recipient the words of its records there and the bits of their texts, so
//! that a search by staff, session, relation, SQLSTATE or text need not open what cannot match.
//! Not here: which words and bits there are (`audit/words.rs`, `audit/pieces.rs`), who gathers them (`gather.rs`) and what is
//! left out for them (`narrow.rs`). FORMAT.md, "Blocks".

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::index::End;
use super::reader::Reader;
use super::segment::{Fields, SegmentHeader};
use super::{Error, indexes};
use crate::audit::checkpoint::SigningKey;
use crate::audit::descriptor::{PLACE_BYTES, Place};
use crate::audit::keys::Part;
use crate::audit::pieces::Pieces;
use crate::audit::record::Kind;
use crate::audit::seal::{Binding, DataKey, SALT_BYTES, open, seal};
use crate::audit::tree::{Hash, sha256};
use crate::audit::words::{Word, from_content, to_content};
use crate::clock::Timestamp;
use crate::disk::Disk;
use crate::secret::wipe_stack;

const MAGIC: &[u8; 8] = b"PRTRBLK1";
/// What is signed begins with this, so that it is nothing else that the log signs.
const DOMAIN: &[u8] = b"portreeve segment blocks\0";
const SIGNATURE_BYTES: usize = 64;
const SIGNED_BYTES: usize = 136;
/// Bytes of the head, its signature included.
pub const HEAD_BYTES: usize = SIGNED_BYTES + SIGNATURE_BYTES;
const ENTRY_BYTES: usize = 48;

/// The file name of that segment's blocks.
pub fn file_name(segment: u64) -> String {
    format!("{segment:012}.blocks")
}

/// What blocks are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// SHA-256 of the segment's first block.
    pub block: Hash,
    /// The segment's number.
    pub segment: u64,
    /// Where the log goes on behind it.
    pub end: End,
}

/// One recipient's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The recipient's tag in the segment.
    pub tag: [u8; 16],
    /// Where the skeleton data key stands under which it is sealed.
    pub key: u64,
    /// It tells of the recipient's records from that position on.
    pub from: u64,
    /// The words.
    pub sealed: Vec<u8>,
    /// The bits of the texts, if there are some.
    pub texts: Option<SealedTexts>,
}

/// The bits of one recipient's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTexts {
    /// Where the values data key stands under which they are sealed.
    pub key: u64,
    /// The bits.
    pub sealed: Vec<u8>,
}

/// All blocks of one segment, in the order of their tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// What they are of.
    pub head: Head,
    blocks: Vec<Block>,
}

impl Blocks {
    /// Blocks in any order, one for each tag.
    pub fn new(head: Head, mut blocks: Vec<Block>) -> Blocks {
        blocks.sort_unstable_by_key(|block| block.tag);
        blocks.dedup_by_key(|block| block.tag);
        Blocks { head, blocks }
    }

    /// The file's bytes, signed.
    pub fn to_bytes(&self, key: &SigningKey) -> Vec<u8> {
        let (mut entries, mut sealed) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            entries.extend_from_slice(&block.tag);
            entries.extend_from_slice(&block.key.to_le_bytes());
            entries.extend_from_slice(&block.from.to_le_bytes());
            let length = |of: &[u8]| u32::try_from(of.len()).expect("a block has few words and bits").to_le_bytes();
            let (key, texts) = block.texts.as_ref().map_or((0, [].as_slice()), |texts| (texts.key, &texts.sealed));
            entries.extend_from_slice(&length(&block.sealed));
            entries.extend_from_slice(&key.to_le_bytes());
            entries.extend_from_slice(&length(texts));
            sealed.extend_from_slice(&block.sealed);
            sealed.extend_from_slice(texts);
        }
        let Head { block, segment, end } = &self.head;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(block);
        bytes.extend_from_slice(&segment.to_le_bytes());
        bytes.extend_from_slice(&end.position.to_le_bytes());
        bytes.extend_from_slice(&end.batch.to_le_bytes());
        bytes.extend_from_slice(&end.previous);
        bytes.extend_from_slice(&(self.blocks.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&sha256(&[&entries, &sealed]));
        let signature = key.sign_bytes(DOMAIN, &bytes);
        [bytes.as_slice(), &signature, &entries, &sealed].concat()
    }

    /// None: these are none that the log of this key signed.
    pub fn parse(bytes: &[u8], public: &[u8; 32]) -> Option<Blocks> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        let (signed, signature) = head.split_at_checked(SIGNED_BYTES)?;
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(&[DOMAIN, signed].concat(), signature).ok()?;
        let mut fields = Fields(signed);
        if fields.take::<8>()? != *MAGIC {
            return None;
        }
        let (block, segment) = (fields.take()?, u64::from_le_bytes(fields.take()?));
        let (position, batch) = (u64::from_le_bytes(fields.take()?), u64::from_le_bytes(fields.take()?));
        let end = End { position, batch, previous: fields.take()? };
        let count = usize::try_from(u64::from_le_bytes(fields.take()?)).ok()?;
        if fields.take::<32>()? != sha256(&[body]) {
            return None;
        }
        let (entries, mut rest) = body.split_at_checked(count.checked_mul(ENTRY_BYTES)?)?;
        let mut blocks = Vec::new();
        for entry in entries.as_chunks::<ENTRY_BYTES>().0 {
            let mut fields = Fields(entry);
            let tag = fields.take()?;
            let (key, from) = (u64::from_le_bytes(fields.take()?), u64::from_le_bytes(fields.take()?));
            let (sealed, behind) = rest.split_at_checked(u32::from_le_bytes(fields.take()?) as usize)?;
            let texts_key = u64::from_le_bytes(fields.take()?);
            let (texts, behind) = behind.split_at_checked(u32::from_le_bytes(fields.take()?) as usize)?;
            if texts.is_empty() && texts_key != 0 {
                return None;
            }
            let texts = (!texts.is_empty()).then(|| SealedTexts { key: texts_key, sealed: texts.to_vec() });
            blocks.push(Block { tag, key, from, sealed: sealed.to_vec(), texts });
            rest = behind;
        }
        let is_whole = rest.is_empty() && blocks.is_sorted_by(|a, b| a.tag < b.tag);
        is_whole.then_some(Blocks { head: Head { block, segment, end }, blocks })
    }

    /// The block of that tag.
    pub fn of(&self, tag: &[u8; 16]) -> Option<&Block> {
        let at = self.blocks.binary_search_by(|block| block.tag.cmp(tag)).ok()?;
        self.blocks.get(at)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether they are of the segment with that first block, which that of the next one goes on from.
    fn is_of(&self, segment: u64, block: &[u8], next: &SegmentHeader) -> bool {
        let Head { block: first, segment: of, end } = &self.head;
        *of == segment && next.segment == segment + 1 && End::from(next) == *end && *first == sha256(&[block])
    }
}

/// What a finished segment's blocks are made of: words with their keys, and what is sealed already.
#[derive(Debug, Default)]
pub struct Told {
    /// Words with their keys.
    pub to_seal: Vec<ToSeal>,
    /// What is sealed already.
    pub sealed: Vec<Block>,
    /// For all that is to be sealed.
    pub salt: [u8; SALT_BYTES],
}

impl Told {
    /// All blocks, sealed.
    pub fn sealed(self) -> Vec<Block> {
        let Told { to_seal, mut sealed, salt } = self;
        sealed.extend(to_seal.into_iter().map(|to_seal| to_seal.seal(&salt)));
        wipe_stack();
        sealed
    }
}

/// Words and bits that are still to be sealed, of a recipient's records from one position on.
#[derive(Debug)]
pub struct ToSeal {
    /// Where.
    pub place: InSegment,
    /// Under the skeleton data key.
    pub key: DataKeyAt,
    /// From where on.
    pub from: u64,
    /// The words.
    pub words: BTreeSet<Word>,
    /// The bits, if there are some.
    pub texts: Option<TextsToSeal>,
}

/// Whose, in which segment of which log.
#[derive(Clone, Debug)]
pub struct InSegment {
    /// The log.
    pub origin: String,
    /// The segment.
    pub segment: u64,
    /// The recipient's tag there.
    pub tag: [u8; 16],
}

/// A data key, and where it stands.
#[derive(Debug)]
pub struct DataKeyAt {
    /// The key.
    pub key: Box<DataKey>,
    /// The position of its leaf.
    pub position: u64,
}

/// Bits that are still to be sealed, under the values data key, or are sealed already.
#[derive(Debug)]
pub enum TextsToSeal {
    /// Still to be.
    Bits(DataKeyAt, Pieces),
    /// They are.
    Sealed(SealedTexts),
}

impl ToSeal {
    /// The block. The salt is fresh for all blocks that are sealed together.
    pub fn seal(self, salt: &[u8; SALT_BYTES]) -> Block {
        let ToSeal { place, key, from, words, texts } = self;
        let sealed = place.seal(&key, Part::Skeleton, &to_content(&words), salt);
        let texts = texts.map(|texts| texts.seal(&place, salt));
        Block { tag: place.tag, key: key.position, from, sealed, texts }
    }
}

impl TextsToSeal {
    /// The bits, sealed.
    pub fn seal(self, place: &InSegment, salt: &[u8; SALT_BYTES]) -> SealedTexts {
        match self {
            TextsToSeal::Sealed(sealed) => sealed,
            TextsToSeal::Bits(key, bits) => {
                let sealed = place.seal(&key, Part::Values, &bits.to_content(), salt);
                SealedTexts { key: key.position, sealed }
            }
        }
    }
}

impl InSegment {
    fn seal(&self, key: &DataKeyAt, part: Part, content: &[u8], salt: &[u8; SALT_BYTES]) -> Vec<u8> {
        let (place, mut sealed) = (place(self.segment, self.tag, key.position), Vec::new());
        seal(&key.key, &Binding::new(&self.origin, &place, part), salt, content, &mut sealed);
        sealed
    }
}

impl Block {
    /// The words. None: this key does not open it in that place, or what is in it are none.
    pub fn open(&self, origin: &str, segment: u64, key: &DataKey) -> Option<BTreeSet<Word>> {
        let place = place(segment, self.tag, self.key);
        from_content(&open(key, &Binding::new(origin, &place, Part::Skeleton), &self.sealed).ok()?)
    }

    /// The bits of the texts. None: there are none, or as above.
    pub fn open_texts(&self, origin: &str, segment: u64, key: &DataKey) -> Option<Pieces> {
        let SealedTexts { key: position, sealed } = self.texts.as_ref()?;
        let place = place(segment, self.tag, *position);
        Pieces::from_content(&open(key, &Binding::new(origin, &place, Part::Values), sealed).ok()?)
    }
}

/// A place that no record has: records are not of that kind.
fn place(segment: u64, tag: [u8; 16], position: u64) -> [u8; PLACE_BYTES] {
    Place { kind: Kind::DataKey, slot: 0, position, at: Timestamp(0), segment, tag, link: [0; 32] }.to_bytes()
}

/// Writes the blocks of a finished segment, which ends there. Nothing stops for want of them: then who searches reads.
pub fn write(disk: &dyn Disk, dir: &Path, segment: u64, end: End, blocks: Vec<Block>, key: &SigningKey) {
    if blocks.is_empty() {
        return;
    }
    let path = dir.join(file_name(segment));
    let Some(block) = indexes::first_block(disk, dir, segment) else {
        return tracing::warn!(path = %path.display(), "there are no blocks of a segment that cannot be read");
    };
    let head = Head { block: sha256(&[&block]), segment, end };
    if let Err(error) = disk.replace(&path, &Blocks::new(head, blocks).to_bytes(key), 0o640) {
        let why = Error::storage("write", &path, &error).to_string();
        tracing::warn!(
            why,
            "there are no blocks of a segment; searches by staff, session, table, SQLSTATE and text read it"
        );
    }
}

/// The blocks of one log's segments, for who asks of one segment after the other.
pub(super) struct InTurn<'a> {
    reader: &'a Reader,
    public: [u8; 32],
    last: Option<(u64, Option<Blocks>)>,
}

impl<'a> InTurn<'a> {
    /// Of the log whose pinned key is this.
    pub(super) fn of(reader: &'a Reader, public: [u8; 32]) -> InTurn<'a> {
        InTurn { reader, public, last: None }
    }

    /// Those of that segment.
    pub(super) fn of_segment(&mut self, segment: u64) -> Option<&Blocks> {
        let InTurn { reader, public, last } = self;
        if last.as_ref().is_none_or(|(of, _)| *of != segment) {
            *last = Some((segment, read(reader.disk.as_ref(), &reader.dir, segment, public)));
        }
        last.as_ref()?.1.as_ref()
    }
}

/// The blocks of that segment, if there are some that this log's key signed for it.
pub fn read(disk: &dyn Disk, dir: &Path, segment: u64, public: &[u8; 32]) -> Option<Blocks> {
    let path = dir.join(file_name(segment));
    let passed_over = |why: &str| tracing::debug!(path = %path.display(), why, "blocks are passed over");
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                passed_over(&error.to_string());
            }
            return None;
        }
    };
    let Some(blocks) = Blocks::parse(&bytes, public) else {
        tracing::warn!(path = %path.display(), "blocks are damaged or not the log's own; the segment's records are read");
        return None;
    };
    let (block, next) = (indexes::first_block(disk, dir, segment)?, indexes::header(disk, dir, segment + 1)?);
    if !blocks.is_of(segment, &block, &next) {
        passed_over("they are of another segment, or it went on");
        return None;
    }
    Some(blocks)
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
pub(super) mod tests;
