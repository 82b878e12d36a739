//! Turns queued records into a batch: assigns positions, makes data keys where an epoch is over, seals both parts,
//! links each record to its recipient's previous one.
//! Not here: files and threads (`writer.rs`). FORMAT.md, "A batch".

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::segment::{BatchHeader, content_start, hash_of};
use super::{Claim, Error, Receipt};
use crate::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor, Place, Sealed};
use crate::audit::keys::{Part, Recipient, RecipientKey, SealTo, seal_data_key};
use crate::audit::record::Kind;
use crate::audit::seal::{Binding, DataKey, SALT_BYTES, seal, sealed_len};
use crate::audit::tag::Tagger;
use crate::audit::tree::{Hash, sha256};
use crate::clock::Timestamp;
use crate::disk::BLOCK_BYTES;
use crate::entropy::{Entropy, random};
use crate::secret::Secret;

/// Bytes of a data key's leaf content.
pub const DATA_KEY_BYTES: usize = 88;

/// Where the answer about one record goes.
pub type Waiter = oneshot::Sender<Result<Receipt, Error>>;

/// A record waiting for its batch, already in CBOR.
#[derive(Debug)]
pub struct Item {
    pub kind: Kind,
    pub at: Timestamp,
    pub to: SealTo,
    pub values: Vec<u8>,
    pub skeleton: Vec<u8>,
    pub claim: Claim,
    pub waiter: Option<Waiter>,
}

impl Item {
    /// How many bytes it takes in a batch, its leaf included.
    pub fn bytes(&self) -> usize {
        sealed_len(self.values.len()) + sealed_len(self.skeleton.len()) + DESCRIPTOR_BYTES
    }
}

/// How long one data key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// For at most this long.
    pub age: Duration,
    /// For at most this many sealed bytes (and what the batch under way adds).
    pub bytes: u64,
}

/// Per segment, newest last: each tag in it with the hash of its last record's leaf.
pub type Past = Vec<(u64, HashMap<[u8; 16], Hash>)>;

/// Seals records. Holds data keys in memory, made here and never read back.
pub struct Sealer {
    origin: String,
    entropy: Arc<dyn Entropy>,
    epoch: Epoch,
    keys: HashMap<(Recipient, Part), Used>,
    chains: HashMap<Recipient, Chain>,
    past: Past,
}

/// A data key in use.
struct Used {
    key: Arc<DataKey>,
    position: u64,
    period: u32,
    segment: u64,
    since: Instant,
    bytes: u64,
}

/// A recipient's records in this log.
struct Chain {
    tagger: Tagger,
    segment: u64,
    tag: [u8; 16],
    last: Option<Hash>,
}

/// A sealed batch, before it has a header.
#[derive(Debug, Default)]
pub struct SealedBatch {
    pub leaves: Vec<Descriptor>,
    pub content: Vec<u8>,
    /// For each item its position, or why it could not be sealed.
    pub positions: Vec<Result<u64, Error>>,
}

/// Where and when a batch will stand.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub segment: u64,
    pub first_position: u64,
    pub now: Timestamp,
}

impl Sealer {
    pub fn new(origin: &str, entropy: Arc<dyn Entropy>, epoch: Epoch, past: Past) -> Self {
        Sealer { origin: origin.to_owned(), entropy, epoch, keys: HashMap::new(), chains: HashMap::new(), past }
    }

    /// How many bytes a batch of these items takes at most, with all the data keys it could need.
    pub fn bytes_max(items: &[Item]) -> usize {
        let mut periods = HashMap::new();
        let needs_keys =
            |item: &&Item| periods.insert(item.to.recipient, item.to.values.period) != Some(item.to.values.period);
        let data_keys = 2 * items.iter().filter(needs_keys).count();
        let records: usize = items.iter().map(Item::bytes).sum();
        (content_start(0) + records + data_keys * (DESCRIPTOR_BYTES + DATA_KEY_BYTES)).next_multiple_of(BLOCK_BYTES)
    }

    /// Seals the items in their order.
    pub fn seal(&mut self, items: &[Item], spot: Spot) -> SealedBatch {
        let salt = random(self.entropy.as_ref());
        let mut batch = SealedBatch::default();
        batch.content.reserve(items.iter().map(Item::bytes).sum());
        for item in items {
            let sealed = self.seal_item(item, spot, &salt, &mut batch);
            batch.positions.push(sealed);
        }
        batch
    }

    /// Forgets data keys that are older than an epoch.
    pub fn retire(&mut self, now: Instant) {
        let age = self.epoch.age;
        self.keys.retain(|_, used| now.saturating_duration_since(used.since) < age);
    }

    /// Forgets everybody whom the writer has forgotten: their data keys, and what recognises their records.
    pub fn forget(&mut self, is_known: impl Fn(Recipient) -> bool) {
        self.keys.retain(|(recipient, _), _| is_known(*recipient));
        self.chains.retain(|recipient, _| is_known(*recipient));
    }

    fn seal_item(
        &mut self,
        item: &Item,
        spot: Spot,
        salt: &[u8; SALT_BYTES],
        batch: &mut SealedBatch,
    ) -> Result<u64, Error> {
        let (tag, link) = self.tag_and_link(&item.to, spot.segment);
        let values_key = self.data_key(&item.to.values, tag, spot, batch)?;
        let skeleton_key = self.data_key(&item.to.skeleton, tag, spot, batch)?;
        let place = place(item.kind, item.at, tag, link, spot, batch);
        let bytes = place.to_bytes();
        let mut part = |part, key: &(Arc<DataKey>, u64), content: &[u8]| {
            let start = batch.content.len();
            seal(&key.0, &Binding::new(&self.origin, &bytes, part), salt, content, &mut batch.content);
            described(batch.content.get(start..).unwrap_or(&[]), key.1)
        };
        let values = part(Part::Values, &values_key, &item.values);
        let skeleton = part(Part::Skeleton, &skeleton_key, &item.skeleton);
        let leaf = Descriptor { place, values, skeleton };
        batch.leaves.push(leaf);
        for (part, sealed) in [(Part::Values, values), (Part::Skeleton, skeleton)] {
            if let Some(used) = self.keys.get_mut(&(item.to.recipient, part)) {
                used.bytes += u64::from(sealed.len);
            }
        }
        if let Some(chain) = self.chains.get_mut(&item.to.recipient) {
            chain.last = Some(leaf.leaf_hash());
        }
        Ok(place.position)
    }

    /// The data key in use for that recipient and part, and the position of its leaf; made now if the epoch is over.
    fn data_key(
        &mut self,
        to: &RecipientKey,
        tag: [u8; 16],
        spot: Spot,
        batch: &mut SealedBatch,
    ) -> Result<(Arc<DataKey>, u64), Error> {
        let now = Instant::now();
        let epoch = self.epoch;
        let in_use = self.keys.get(&(to.recipient, to.part)).filter(|used| {
            used.period == to.period
                && used.segment == spot.segment
                && used.bytes < epoch.bytes
                && now.saturating_duration_since(used.since) < epoch.age
        });
        if let Some(used) = in_use {
            return Ok((Arc::clone(&used.key), used.position));
        }
        let secret = Secret::new(random(self.entropy.as_ref()));
        let place = place(Kind::DataKey, spot.now, tag, [0; 32], spot, batch);
        let sealed = seal_data_key(to, &self.origin, place.position, &secret)?;
        let start = batch.content.len();
        batch.content.extend_from_slice(&u32::from(to.part.number()).to_le_bytes());
        batch.content.extend_from_slice(&to.period.to_le_bytes());
        batch.content.extend_from_slice(&sealed.enc);
        batch.content.extend_from_slice(&sealed.sealed);
        let values = described(batch.content.get(start..).unwrap_or(&[]), 0);
        batch.leaves.push(Descriptor { place, values, skeleton: Sealed::default() });
        let (key, position) = (Arc::new(DataKey::new(&secret)), place.position);
        let used =
            Used { key: Arc::clone(&key), position, period: to.period, segment: spot.segment, since: now, bytes: 0 };
        self.keys.insert((to.recipient, to.part), used);
        Ok((key, position))
    }

    fn tag_and_link(&mut self, to: &SealTo, segment: u64) -> ([u8; 16], [u8; 32]) {
        let (origin, past) = (&self.origin, &self.past);
        let chain = self.chains.entry(to.recipient).or_insert_with(|| {
            let tagger = Tagger::new(&to.tag, origin);
            let last = past.iter().rev().find_map(|(segment, tags)| tags.get(&tagger.tag(*segment)).copied());
            Chain { segment, tag: tagger.tag(segment), tagger, last }
        });
        if chain.segment != segment {
            chain.segment = segment;
            chain.tag = chain.tagger.tag(segment);
        }
        (chain.tag, chain.tagger.link(chain.last.as_ref()))
    }
}

/// The next place in the batch.
fn place(kind: Kind, at: Timestamp, tag: [u8; 16], link: [u8; 32], spot: Spot, batch: &SealedBatch) -> Place {
    let slot = u32::try_from(batch.leaves.len()).expect("a batch has far fewer than 2^32 leaves");
    Place { kind, slot, position: spot.first_position + u64::from(slot), at, segment: spot.segment, tag, link }
}

fn described(part: &[u8], key: u64) -> Sealed {
    Sealed { hash: hash_of(part), len: u32::try_from(part.len()).expect("append refuses larger parts"), key }
}

impl SealedBatch {
    /// How many bytes the batch takes in the file.
    pub fn length(&self) -> usize {
        let leaves = u32::try_from(self.leaves.len()).expect("a batch has far fewer than 2^32 leaves");
        (content_start(leaves) + self.content.len()).next_multiple_of(BLOCK_BYTES)
    }

    /// Writes header, leaves, digest and content into `out`, which is zeroed and as long as [`Self::length`].
    /// Gives the digest.
    pub fn write(&self, header: &BatchHeader, out: &mut [u8]) -> Hash {
        let mut front = Vec::with_capacity(content_start(header.leaves));
        front.extend_from_slice(&header.to_bytes());
        self.leaves.iter().for_each(|leaf| front.extend_from_slice(&leaf.to_bytes()));
        let digest = sha256(&[&front]);
        front.extend_from_slice(&digest);
        let (here, rest) = out.split_at_mut_checked(front.len()).expect("the batch's length counts its leaves");
        here.copy_from_slice(&front);
        let (here, _) = rest.split_at_mut_checked(self.content.len()).expect("the batch's length counts its content");
        here.copy_from_slice(&self.content);
        digest
    }
}
