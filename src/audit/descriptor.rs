//! The leaf of the tree: a descriptor of fixed size that says where a record stands and what its sealed parts hash to.
//! Deliberately without content, customer, staff or table: it stays when the content goes, and names nobody.
//! Byte layout: FORMAT.md, "The leaf".

use crate::audit::keys::Part;
use crate::audit::record::Kind;
use crate::audit::tree::{Hash, leaf_hash};
use crate::clock::Timestamp;

/// The size of a descriptor in bytes.
pub const DESCRIPTOR_BYTES: usize = 168;

/// The size of the fields that a sealed part is bound to: all before the parts' own hashes.
pub const PLACE_BYTES: usize = 80;

/// The version of the format that this code reads and writes: FORMAT.md.
pub const VERSION: u8 = 1;

/// Bytes that are not a descriptor this version reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version, a kind this version does not know, or reserved bytes that are not zero.
    #[error(
        "the descriptor at position {position} has an unknown {field} ({value}); a newer version may have written it"
    )]
    Unknown {
        /// The position the descriptor gives.
        position: u64,
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// Where a record stands. Every sealed part is bound to all of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What kind of record.
    pub kind: Kind,
    /// Which leaf of its batch this is, from 0.
    pub slot: u32,
    /// Which leaf of the log this is, from 0.
    pub position: u64,
    /// When the act happened, by the writer's clock; clocks step, so positions order the log and times do not.
    pub at: Timestamp,
    /// The number of the segment it was written in.
    pub segment: u64,
    /// Whose record, recognisable with the tag key only; changes per segment. See `tag.rs`.
    pub tag: [u8; 16],
    /// The keyed link to the same recipient's previous record; zeros for a data key. See `tag.rs`.
    pub link: [u8; 32],
}

/// What is known of one sealed part without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sealed {
    /// SHA-256 of the sealed bytes; zeros if there are none.
    pub hash: Hash,
    /// How many bytes.
    pub len: u32,
    /// The position of the leaf that holds the data key.
    pub key: u64,
}

/// A leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Where the record stands.
    pub place: Place,
    /// Its values part; in a data key's leaf: the sealed data key.
    pub values: Sealed,
    /// Its skeleton part.
    pub skeleton: Sealed,
}

impl Place {
    /// The first bytes of the descriptor.
    pub fn to_bytes(&self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        let mut out = Fields(&mut bytes);
        out.put(&[VERSION, self.kind as u8, 0, 0]);
        out.put(&self.slot.to_le_bytes());
        out.put(&self.position.to_le_bytes());
        out.put(&self.at.0.to_le_bytes());
        out.put(&self.segment.to_le_bytes());
        out.put(&self.tag);
        out.put(&self.link);
        bytes
    }
}

impl Descriptor {
    /// The leaf's bytes.
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let mut out = Fields(&mut bytes);
        out.put(&self.place.to_bytes());
        out.put(&self.values.hash);
        out.put(&self.skeleton.hash);
        out.put(&self.values.len.to_le_bytes());
        out.put(&self.skeleton.len.to_le_bytes());
        out.put(&self.values.key.to_le_bytes());
        out.put(&self.skeleton.key.to_le_bytes());
        bytes
    }

    /// Reads a leaf's bytes. Whatever is accepted encodes back to the same bytes.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn parse(bytes: &[u8; DESCRIPTOR_BYTES]) -> Result<Self, Error> {
        let mut fields = Bytes(bytes);
        let [version, kind, reserved @ ..]: [u8; 4] = fields.take();
        let slot = u32::from_le_bytes(fields.take());
        let position = u64::from_le_bytes(fields.take());
        let unknown = |field, value| Error::Unknown { position, field, value };
        if version != VERSION {
            return Err(unknown("version", version.into()));
        }
        if reserved != [0, 0] {
            return Err(unknown("reserved byte", u16::from_le_bytes(reserved).into()));
        }
        let kind = Kind::from_number(kind).ok_or_else(|| unknown("kind", kind.into()))?;
        let place = Place {
            kind,
            slot,
            position,
            at: Timestamp(i64::from_le_bytes(fields.take())),
            segment: u64::from_le_bytes(fields.take()),
            tag: fields.take(),
            link: fields.take(),
        };
        let hashes = (fields.take(), fields.take());
        let lens = (u32::from_le_bytes(fields.take()), u32::from_le_bytes(fields.take()));
        let keys = (u64::from_le_bytes(fields.take()), u64::from_le_bytes(fields.take()));
        Ok(Descriptor {
            place,
            values: Sealed { hash: hashes.0, len: lens.0, key: keys.0 },
            skeleton: Sealed { hash: hashes.1, len: lens.1, key: keys.1 },
        })
    }

    /// The hash of this leaf in the tree.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.to_bytes())
    }

    /// What is known of that part.
    pub fn part(&self, part: Part) -> &Sealed {
        match part {
            Part::Values => &self.values,
            Part::Skeleton => &self.skeleton,
        }
    }
}

/// Writes fields one after the other; what does not fit is a mistake the tests would show.
pub(super) struct Fields<'a>(pub(super) &'a mut [u8]);

impl Fields<'_> {
    pub(super) fn put(&mut self, field: &[u8]) {
        let rest = std::mem::take(&mut self.0);
        let (here, rest) = rest.split_at_mut_checked(field.len()).expect("there is room for all fields");
        here.copy_from_slice(field);
        self.0 = rest;
    }
}

/// Reads fields one after the other.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the fields fill the descriptor exactly");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
