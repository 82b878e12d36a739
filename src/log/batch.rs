//! Turns queued records into a batch: assigns positions, makes data keys where an epoch is over, seals both parts,
//! links each record to its recipient's previous one.
//! Not here: who seals when (`sealing.rs`), files and threads (`writer.rs`). FORMAT.md, "A batch".

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::blocks::{Block, DataKeyAt, InSegment, TextsToSeal, ToSeal, Told};
use super::gather::{Gathered, Room, Stands};
use super::index::End;
use super::past::{Files, Past};
use super::segment::{BATCH_HEADER_BYTES, BatchHeader, DIGEST_BYTES, content_start, hash_of};
use super::summary::Tags;
use super::{Claim, Error, Receipt};
use crate::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor, Place, Sealed};
use crate::audit::keys::{Part, Recipient, RecipientKey, SealTo, seal_data_key};
use crate::audit::record::Kind;
use crate::audit::seal::{Binding, DataKey, SALT_BYTES, seal, sealed_len};
use crate::audit::tag::Tagger;
use crate::audit::tree::{Hash, leaf_hash, sha256};
use crate::audit::words::Words;
use crate::clock::Timestamp;
use crate::disk::BLOCK_BYTES;
use crate::entropy::{Entropy, random};
use crate::ids::ByNumber;
use crate::secret::Secret;

/// Bytes of a data key's leaf content.
pub const DATA_KEY_BYTES: usize = 88;

/// The memory of a batch with at most so much content is used for the next one.
const KEPT_BYTES: usize = 1 << 20;

/// Where the answer about one record goes.
pub type Waiter = oneshot::Sender<Result<Receipt, Error>>;

/// A record waiting for its batch, already in CBOR.
#[derive(Debug)]
pub struct Item {
    pub kind: Kind,
    pub at: Timestamp,
    /// To whom it is sealed; none: to nobody, its values stand in the log as they are, and it has no skeleton.
    pub to: Option<Arc<SealTo>>,
    pub values: Vec<u8>,
    pub skeleton: Vec<u8>,
    /// What a search may ask of the skeleton.
    pub words: Words,
    /// What of the values reads otherwise than it stands there.
    pub shown: Vec<u8>,
    pub claim: Claim,
    pub waiter: Option<Waiter>,
}

impl Item {
    /// How many bytes it takes in a batch, its leaf included.
    pub fn bytes(&self) -> usize {
        sealed_len(self.values.len()) + sealed_len(self.skeleton.len()) + DESCRIPTOR_BYTES
    }
}

/// A record that is sealed, or could not be: who is told of it once its batch is durable.
#[derive(Debug)]
pub struct Answer {
    kind: Kind,
    claim: Claim,
    waiter: Option<Waiter>,
    position: Result<u64, Error>,
}

impl Answer {
    /// Its batch is durable.
    pub fn tell(self, origin: &str) {
        let receipt = self.position.map(|position| Receipt { claim: self.claim, position });
        match self.waiter {
            // A waiter that is gone no longer wants to know.
            Some(waiter) => drop(waiter.send(receipt)),
            None => {
                if let Err(error) = receipt {
                    tracing::error!(log = origin, kind = self.kind.word(), %error, "not recorded");
                }
            }
        }
    }

    /// Nobody knows whether its batch is.
    pub fn fail(self, error: &Error) {
        if let Some(waiter) = self.waiter {
            drop(waiter.send(Err(error.clone())));
        }
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

/// Seals records. Holds data keys in memory, made here and never read back.
pub struct Sealer {
    origin: String,
    entropy: Arc<dyn Entropy>,
    epoch: Epoch,
    chains: HashMap<Recipient, Chain, ByNumber>,
    pub(super) past: Past,
    files: Files,
    /// How much more may be gathered in this segment.
    room: Room,
}

/// A data key in use.
struct Used {
    /// In one place, as it is handed on.
    key: Box<DataKey>,
    position: u64,
    period: u32,
    segment: u64,
    since: Instant,
    bytes: u64,
}

impl Used {
    fn serves(&self, to: &RecipientKey, segment: u64, epoch: Epoch, now: Instant) -> bool {
        self.period == to.period
            && self.segment == segment
            && self.bytes < epoch.bytes
            && now.saturating_duration_since(self.since) < epoch.age
    }
}

/// A recipient's records in this log.
struct Chain {
    tagger: Tagger,
    segment: u64,
    tag: [u8; 16],
    last: Option<Hash>,
    values: Option<Used>,
    skeleton: Option<Used>,
    gathered: Option<Gathered>,
}

/// A sealed batch, before it has a header.
#[derive(Debug, Default)]
pub struct SealedBatch {
    /// Fresh for the batch.
    salt: Option<[u8; SALT_BYTES]>,
    /// Each leaf's bytes.
    leaves: Vec<[u8; DESCRIPTOR_BYTES]>,
    /// Each leaf's hash in the tree.
    pub hashes: Vec<Hash>,
    /// Each leaf's tag and time.
    pub tags: Vec<([u8; 16], Timestamp)>,
    content: Vec<u8>,
    /// Who is told, in the order of the records.
    pub answers: Vec<Answer>,
}

/// Where and when a batch will stand.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub segment: u64,
    pub first_position: u64,
    pub now: Timestamp,
}

impl Sealer {
    pub fn new(origin: &str, entropy: Arc<dyn Entropy>, epoch: Epoch, past: Past, files: Files) -> Self {
        let (origin, chains, room) = (origin.to_owned(), HashMap::default(), Room::default());
        Sealer { origin, entropy, epoch, chains, past, files, room }
    }

    /// How many bytes these items take in a batch at most, with all the data keys they could need.
    pub fn bytes_max(&self, items: &[Item]) -> usize {
        let mut periods = HashMap::new();
        let needs_keys = |item: &&Item| {
            let to = item.to.as_ref();
            to.is_some_and(|to| periods.insert(to.recipient, to.values.period) != Some(to.values.period))
        };
        let records: usize = items.iter().map(Item::bytes).sum();
        // Within the batch a key may be used up as well; or grow old, where an epoch is no longer than sealing takes.
        let is_short = self.epoch.age < Duration::from_secs(60);
        let used_up = usize::try_from(records as u64 / self.epoch.bytes.max(1)).unwrap_or(usize::MAX);
        let more = if is_short { items.len() } else { used_up };
        let data_keys = 2 * items.iter().filter(needs_keys).count().saturating_add(more).min(items.len());
        records + data_keys * (DESCRIPTOR_BYTES + DATA_KEY_BYTES)
    }

    /// Whether that item can be sealed in that segment without a new data key.
    pub fn is_ready(&self, item: &Item, segment: u64, now: Instant) -> bool {
        let Some(to) = &item.to else { return true };
        let serves = |used: &Option<Used>, to: &RecipientKey| {
            used.as_ref().is_some_and(|used| used.serves(to, segment, self.epoch, now))
        };
        self.chains.get(&to.recipient).is_some_and(|chain| {
            chain.segment == segment && serves(&chain.values, &to.values) && serves(&chain.skeleton, &to.skeleton)
        })
    }

    /// Seals the item into the batch, behind what is in it.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unsound`]: of a finished segment it cannot be told whose records are in it. Then no record
    /// can be linked to the one before: none may be written, and the log must be opened anew.
    pub fn seal(&mut self, item: Item, spot: Spot, now: Instant, batch: &mut SealedBatch) -> Result<(), Error> {
        let salt = *batch.salt.get_or_insert_with(|| random(self.entropy.as_ref()));
        let (position, sealed) = match self.seal_item(&item, spot, now, &salt, batch) {
            Err(Unsealed::Batch(error)) => (Err(error.clone()), Err(error)),
            Err(Unsealed::Item(error)) => (Err(error), Ok(())),
            Ok(position) => (Ok(position), Ok(())),
        };
        batch.answers.push(Answer { kind: item.kind, claim: item.claim, waiter: item.waiter, position });
        sealed
    }

    /// The segment that is being written ends there. Gives each tag in it, with the hash of its last record's leaf.
    pub fn finish(&mut self, end: End) -> Tags {
        let Sealer { chains, past, .. } = self;
        chains.values().for_each(|chain| chain.leave(past));
        past.finish(end).clone()
    }

    /// Forgets data keys that are older than an epoch. What was gathered under them is sealed before.
    pub fn retire(&mut self, now: Instant) {
        let age = self.epoch.age;
        let is_old = |used: &mut Used| now.saturating_duration_since(used.since) >= age;
        let mut salt = None;
        for chain in self.chains.values_mut() {
            let (values, skeleton) = (chain.values.take_if(is_old), chain.skeleton.take_if(is_old));
            let place = InSegment { origin: self.origin.clone(), segment: chain.segment, tag: chain.tag };
            let Some(gathered) = chain.gathered.as_mut().filter(|had| had.is_of(place.segment)) else { continue };
            if values.is_none() && skeleton.is_none() {
                continue;
            }
            let salt = salt.get_or_insert_with(|| random(self.entropy.as_ref()));
            if let (Some(used), Some(texts)) = (values, &gathered.texts) {
                let bits = TextsToSeal::Bits(used.into(), texts.pieces().clone());
                gathered.sealed_texts = Some(bits.seal(&place, salt));
            }
            if let (Some(used), Some(words)) = (skeleton, gathered.words.clone()) {
                let (key, from) = (used.into(), gathered.from);
                gathered.sealed = Some(ToSeal { place, key, from, words, texts: None }.seal(salt));
            }
        }
    }

    /// What was gathered of that segment, which is finished. Its data keys go with it.
    pub fn told(&mut self, segment: u64) -> Told {
        self.room = Room::default();
        let mut told = Told { salt: random(self.entropy.as_ref()), ..Told::default() };
        for chain in self.chains.values_mut() {
            let Some(gathered) = chain.gathered.take_if(|had| had.is_of(segment)) else { continue };
            let Gathered { from, words, texts, sealed, sealed_texts, .. } = gathered;
            let is_its = |used: &mut Used| used.segment == segment;
            let (values, skeleton) = (chain.values.take_if(is_its), chain.skeleton.take_if(is_its));
            let place = InSegment { origin: self.origin.clone(), segment, tag: chain.tag };
            let bits = || Some(TextsToSeal::Bits(values?.into(), texts?.into_pieces()));
            let texts = sealed_texts.map(TextsToSeal::Sealed).or_else(bits);
            match (skeleton, words) {
                (Some(used), Some(words)) => told.to_seal.push(ToSeal { place, key: used.into(), from, words, texts }),
                (Some(_), None) => {}
                (None, _) => told.sealed.extend(sealed.map(|block| {
                    let texts = texts.map(|texts| texts.seal(&place, &told.salt));
                    Block { texts, ..block }
                })),
            }
        }
        told
    }

    /// Forgets everybody whom the writer has forgotten: their data keys, and what recognises their records.
    pub fn forget(&mut self, is_known: impl Fn(Recipient) -> bool) {
        let Sealer { chains, past, .. } = self;
        chains.retain(|recipient, chain| {
            let stays = is_known(*recipient);
            if !stays {
                // Should it be known again, its chain goes on. It is dropped where it stands: moved out of the map, its data
                // keys would be left there.
                chain.leave(past);
            }
            stays
        });
    }

    fn seal_item(
        &mut self,
        item: &Item,
        spot: Spot,
        now: Instant,
        salt: &[u8; SALT_BYTES],
        batch: &mut SealedBatch,
    ) -> Result<u64, Unsealed> {
        let Some(to) = &item.to else { return Ok(open_item(item, spot, batch)) };
        let Sealer { origin, entropy, epoch, chains, past, files, room } = self;
        let chain = match chains.entry(to.recipient) {
            Entry::Occupied(begun) => begun.into_mut(),
            Entry::Vacant(new) => new.insert(Chain::new(to, origin, past, files).map_err(Unsealed::Batch)?),
        };
        if chain.segment != spot.segment {
            chain.segment = spot.segment;
            chain.tag = chain.tagger.tag(spot.segment);
        }
        let link = chain.tagger.link(chain.last.as_ref());
        let maker = Maker { origin, entropy: entropy.as_ref(), epoch: *epoch, tag: chain.tag, spot, now };
        let values_key = maker.data_key(&mut chain.values, &to.values, batch).map_err(Unsealed::Item)?;
        let skeleton_key = maker.data_key(&mut chain.skeleton, &to.skeleton, batch).map_err(Unsealed::Item)?;
        let place = place(item.kind, item.at, chain.tag, link, spot, batch);
        let stands = Stands { segment: spot.segment, period: skeleton_key.period, position: place.position };
        Gathered::note(&mut chain.gathered, item, stands, room);
        let mut part = |binding: &Binding, used: &mut Used, content: &[u8]| {
            let start = batch.content.len();
            seal(&used.key, binding, salt, content, &mut batch.content);
            let sealed = described(batch.content.get(start..).unwrap_or(&[]), used.position);
            used.bytes += u64::from(sealed.len);
            sealed
        };
        let binding = Binding::new(origin, &place.to_bytes(), Part::Values);
        let values = part(&binding, values_key, &item.values);
        let skeleton = part(&binding.of(Part::Skeleton), skeleton_key, &item.skeleton);
        chain.last = Some(batch.add(&Descriptor { place, values, skeleton }));
        Ok(place.position)
    }
}

impl Chain {
    /// What is known of a recipient's records when the first of them is written.
    fn new(to: &SealTo, origin: &str, past: &mut Past, files: &Files) -> Result<Chain, Error> {
        let (tagger, segment) = (Tagger::new(&to.tag, origin), past.begun());
        let last = past.last_of(&tagger, files)?;
        let (tag, values, skeleton, gathered) = (tagger.tag(segment), None, None, None);
        Ok(Chain { segment, tag, tagger, last, values, skeleton, gathered })
    }

    /// Leaves behind what the next one of that recipient goes on from.
    fn leave(&self, past: &mut Past) {
        if let Some(last) = self.last.filter(|_| self.segment == past.begun()) {
            past.add(self.tag, last);
        }
    }
}

impl From<Used> for DataKeyAt {
    fn from(used: Used) -> DataKeyAt {
        DataKeyAt { key: used.key, position: used.position }
    }
}

/// Why an item was not sealed.
enum Unsealed {
    /// It cannot be; the others can.
    Item(Error),
    /// None can be.
    Batch(Error),
}

/// What making a data key takes.
struct Maker<'a> {
    origin: &'a str,
    entropy: &'a dyn Entropy,
    epoch: Epoch,
    tag: [u8; 16],
    spot: Spot,
    now: Instant,
}

impl Maker<'_> {
    /// The data key in use for that recipient and part; made now if the epoch is over.
    fn data_key<'u>(
        &self,
        in_use: &'u mut Option<Used>,
        to: &RecipientKey,
        batch: &mut SealedBatch,
    ) -> Result<&'u mut Used, Error> {
        if !in_use.as_ref().is_some_and(|used| used.serves(to, self.spot.segment, self.epoch, self.now)) {
            *in_use = None;
        }
        match in_use {
            Some(used) => Ok(used),
            None => Ok(in_use.insert(self.make(to, batch)?)),
        }
    }

    fn make(&self, to: &RecipientKey, batch: &mut SealedBatch) -> Result<Used, Error> {
        let secret = Secret::new(random(self.entropy));
        let place = place(Kind::DataKey, self.spot.now, self.tag, [0; 32], self.spot, batch);
        let sealed = seal_data_key(to, self.origin, place.position, &secret)?;
        let start = batch.content.len();
        batch.content.extend_from_slice(&u32::from(to.part.number()).to_le_bytes());
        batch.content.extend_from_slice(&to.period.to_le_bytes());
        batch.content.extend_from_slice(&sealed.enc);
        batch.content.extend_from_slice(&sealed.sealed);
        let values = described(batch.content.get(start..).unwrap_or(&[]), 0);
        batch.add(&Descriptor { place, values, skeleton: Sealed::default() });
        Ok(Used {
            key: Box::new(DataKey::new(&secret)),
            position: place.position,
            period: to.period,
            segment: self.spot.segment,
            since: self.now,
            bytes: 0,
        })
    }
}

/// Adds what is open to everybody: nobody's tag, no link, no key.
fn open_item(item: &Item, spot: Spot, batch: &mut SealedBatch) -> u64 {
    let place = place(item.kind, item.at, [0; 16], [0; 32], spot, batch);
    let values = described(&item.values, 0);
    batch.content.extend_from_slice(&item.values);
    batch.add(&Descriptor { place, values, skeleton: Sealed::default() });
    place.position
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
    /// Adds a leaf, and gives its hash.
    fn add(&mut self, leaf: &Descriptor) -> Hash {
        let bytes = leaf.to_bytes();
        let hash = leaf_hash(&bytes);
        self.leaves.push(bytes);
        self.hashes.push(hash);
        self.tags.push((leaf.place.tag, leaf.place.at));
        hash
    }

    /// Whether nothing was sealed into it, and nobody is to be told anything.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// How many leaves there are.
    pub fn leaves(&self) -> u32 {
        u32::try_from(self.leaves.len()).expect("a batch has far fewer than 2^32 leaves")
    }

    /// How many bytes the batch takes in the file.
    pub fn length(&self) -> usize {
        self.length_with(0)
    }

    /// The same with so many bytes more of leaves and content.
    pub fn length_with(&self, more: usize) -> usize {
        (content_start(self.leaves()) + self.content.len() + more).next_multiple_of(BLOCK_BYTES)
    }

    /// Writes header, leaves, digest, content, and zeros behind it into `out`, which is as long as [`Self::length`].
    /// Gives the digest.
    pub fn write(&self, header: &BatchHeader, out: &mut [u8]) -> Hash {
        let (front, rest) = out.split_at_mut(content_start(header.leaves) - DIGEST_BYTES);
        let (head, leaves) = front.split_at_mut(BATCH_HEADER_BYTES);
        head.copy_from_slice(&header.to_bytes());
        leaves.copy_from_slice(self.leaves.as_flattened());
        let hash = sha256(&[front]);
        let (digest, rest) = rest.split_at_mut(DIGEST_BYTES);
        digest.copy_from_slice(&hash);
        let (content, zeros) = rest.split_at_mut(self.content.len());
        content.copy_from_slice(&self.content);
        zeros.fill(0);
        hash
    }

    /// Empties it, to be filled again without allocating; what was very large is given back.
    pub fn clear(&mut self) {
        if self.content.capacity() > KEPT_BYTES {
            *self = SealedBatch::default();
        }
        self.salt = None;
        self.leaves.clear();
        self.hashes.clear();
        self.tags.clear();
        self.content.clear();
        self.answers.clear();
    }
}
