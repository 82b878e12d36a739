//! What stands around a snapshot in the clear: the header before its chunks, the foot after them, each with a tag.
//! Not here: the chunks (`seal.rs`). Nothing here names a customer or a database. FORMAT.md, "Header" and "Foot".

use aws_lc_rs::digest::{SHA256, digest};
use minicbor::{Decode, Encode};

use super::instance::{Instance, TAG_BYTES};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, SnapshotId};

const HEADER_MAGIC: &[u8; 8] = b"PRTRSNP0";
const FOOT_MAGIC: &[u8; 8] = b"PRTREND0";
const HEADER_LABEL: &[u8] = b"portreeve/snapshot/header/v0\n";
const FOOT_LABEL: &[u8] = b"portreeve/snapshot/foot/v0\n";
/// Bytes of magic and length.
pub(super) const LEAD_BYTES: usize = 12;
/// A header is never longer; most of it can be sealed customer ids.
pub(super) const HEADER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a foot.
pub(super) const FOOT_BYTES: usize = 136;

/// How a snapshot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// `pg_dump`, custom format: one database.
    #[n(1)]
    PgDump,
    /// `pg_basebackup`, tar: the whole cluster.
    #[n(2)]
    PgBaseBackup,
}

impl Kind {
    /// The number that stands for it in every byte format.
    pub(super) fn number(self) -> u8 {
        match self {
            Kind::PgDump => 1,
            Kind::PgBaseBackup => 2,
        }
    }
}

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// We took it.
    #[n(1)]
    Taken,
    /// It was there before us; its start is what an operator stated.
    #[n(2)]
    Adopted,
}

/// The checksums in a base backup's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Algorithm {
    /// SHA-256.
    #[n(1)]
    Sha256,
    /// CRC-32C: what `pg_basebackup` does when not asked.
    #[n(2)]
    Crc32c,
}

/// What stands before the chunks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// Whose snapshot it is.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub instance: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) id: [u8; 16],
    /// How it was made.
    #[n(2)]
    pub kind: Kind,
    /// What it is of; see [`Instance::series`].
    #[cbor(n(3), with = "minicbor::bytes")]
    pub series: [u8; 16],
    #[n(4)]
    pub(super) slot: Option<i64>,
    #[n(5)]
    pub(super) started: i64,
    #[n(6)]
    pub(super) source_started: Option<i64>,
    /// Whether we took it.
    #[n(7)]
    pub origin: Origin,
    /// The server's version, such as `15.18`.
    #[n(8)]
    pub server_version: String,
    /// The cluster's system identifier; a dump that was adopted does not say it.
    #[n(9)]
    pub system_identifier: Option<u64>,
    /// The checksums of a base backup's manifest.
    #[n(10)]
    pub checksums: Option<Algorithm>,
    /// The number of the lease under which it was begun.
    #[n(11)]
    pub token: u64,
    /// Plain bytes of each chunk but the last.
    #[n(12)]
    pub chunk_bytes: u32,
    /// The X25519 public key it is sealed to.
    #[cbor(n(13), with = "minicbor::bytes")]
    pub recipient: [u8; 32],
    #[cbor(n(14), with = "minicbor::bytes")]
    pub(super) enc: Vec<u8>,
    #[cbor(n(15), with = "minicbor::bytes")]
    pub(super) sealed_key: Vec<u8>,
    #[cbor(n(16), with = "minicbor::bytes")]
    pub(super) sealed_names: Vec<u8>,
}

impl Header {
    /// Its id.
    pub fn id(&self) -> SnapshotId {
        SnapshotId(self.id)
    }

    /// When it was begun, by our clock: its age counts from here.
    pub fn started(&self) -> Timestamp {
        Timestamp(self.started)
    }

    /// When it was begun by the database's clock, or by what stands in an adopted file.
    pub fn source_started(&self) -> Option<Timestamp> {
        self.source_started.map(Timestamp)
    }

    /// Which slot of the grid it is for.
    pub fn slot(&self) -> Option<Timestamp> {
        self.slot.map(Timestamp)
    }
}

/// What of a snapshot names somebody: sealed with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Names {
    /// The database of a dump; empty for a whole cluster.
    #[n(0)]
    pub database: String,
    #[n(1)]
    pub(super) customers: Vec<u64>,
}

impl Names {
    /// A database, and whose data is in it as far as the caller knows.
    pub fn new(database: &str, customers: &[CustomerId]) -> Names {
        Names { database: database.to_owned(), customers: customers.iter().map(|customer| customer.0).collect() }
    }

    /// Whose data is in it.
    pub fn customers(&self) -> impl Iterator<Item = CustomerId> {
        self.customers.iter().copied().map(CustomerId)
    }
}

/// A header as it stands in a file.
#[derive(Clone, Debug)]
pub(super) struct HeaderBytes {
    pub(super) header: Header,
    pub(super) bytes: Vec<u8>,
    pub(super) is_ours: bool,
}

impl HeaderBytes {
    pub(super) fn new(header: Header, instance: &Instance) -> HeaderBytes {
        let body = minicbor::to_vec(&header).expect("memory takes what is written");
        let mut bytes = HEADER_MAGIC.to_vec();
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&body);
        let tag = instance.tag(HEADER_LABEL, &[&bytes]);
        bytes.extend_from_slice(&tag);
        HeaderBytes { header, bytes, is_ours: true }
    }

    /// How long the header is that begins so, tag included; `None` if none does.
    pub(super) fn len_from(lead: &[u8; LEAD_BYTES]) -> Option<usize> {
        let (magic, len) = lead.split_at(HEADER_MAGIC.len());
        let len = usize::try_from(u32::from_le_bytes(len.try_into().ok()?)).ok()?;
        (magic == HEADER_MAGIC && len <= HEADER_BYTES_MAX).then_some(LEAD_BYTES + len + TAG_BYTES)
    }

    /// Reads a header of exactly these bytes; `None` if it is none.
    pub(super) fn parse(bytes: Vec<u8>, instance: &Instance) -> Option<HeaderBytes> {
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        let header: Header = minicbor::decode(signed.get(LEAD_BYTES..)?).ok()?;
        let is_ours = header.instance == instance.id() && instance.owns(HEADER_LABEL, &[signed], tag);
        (header.chunk_bytes > 0).then_some(HeaderBytes { header, bytes, is_ours })
    }

    /// What every chunk and the foot are bound to.
    pub(super) fn digest(&self) -> [u8; 32] {
        digest(&SHA256, &self.bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

/// What stands after the chunks: it is there only when the snapshot is whole and was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foot {
    /// When it was finished.
    pub finished: Timestamp,
    /// Bytes before sealing.
    pub plain_bytes: u64,
    /// How many chunks there are, at least one.
    pub chunks: u64,
    /// What was counted while verifying: files of a cluster, entries of a dump.
    pub parts: u64,
    /// SHA-256 of the dump, or of the cluster's manifest.
    pub content: [u8; 32],
    /// SHA-256 over the CRC-32C and the tag of each chunk as it is stored.
    pub stored: [u8; 32],
}

impl Foot {
    pub(super) fn to_bytes(&self, header_digest: &[u8; 32], instance: &Instance) -> [u8; FOOT_BYTES] {
        let mut bytes = FOOT_MAGIC.to_vec();
        bytes.extend_from_slice(&self.finished.0.to_le_bytes());
        for number in [self.plain_bytes, self.chunks, self.parts] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.content);
        bytes.extend_from_slice(&self.stored);
        let tag = instance.tag(FOOT_LABEL, &[header_digest, &bytes]);
        bytes.extend_from_slice(&tag);
        bytes.try_into().expect("8 + 4 * 8 + 3 * 32 bytes")
    }

    /// Reads a foot and checks that it is the one this instance wrote under that header.
    pub(super) fn parse(bytes: &[u8; FOOT_BYTES], header_digest: &[u8; 32], instance: &Instance) -> Option<Foot> {
        let (signed, tag) = bytes.split_at(FOOT_BYTES - TAG_BYTES);
        if !instance.owns(FOOT_LABEL, &[header_digest, signed], tag) {
            return None;
        }
        let mut rest = signed.strip_prefix(FOOT_MAGIC)?;
        let mut number = || {
            let (first, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(u64::from_le_bytes(*first))
        };
        let finished = Timestamp(number()?.cast_signed());
        let (plain_bytes, chunks, parts) = (number()?, number()?, number()?);
        let (content, stored) = rest.split_first_chunk::<32>()?;
        Some(Foot { finished, plain_bytes, chunks, parts, content: *content, stored: stored.try_into().ok()? })
    }
}
