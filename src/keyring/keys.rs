//! The keyring in memory: who has which private keys and tag keys, and what may be done with them.
//! Not here: the file they are kept in (`file.rs`) and who may ask (`server.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use minicbor::{Decode, Encode};

use super::Error;
use crate::audit::keys::{Part, Recipient, RecipientKey, SealedDataKey, TagKey, open_data_key};
use crate::clock::Timestamp;
use crate::entropy::{self, Entropy};
use crate::ids::EventId;
use crate::secret::Secret;

/// The next period's keys exist this long before it begins.
pub(super) const AHEAD: Duration = Duration::from_secs(30 * 86_400);

/// One private key's place: whose, for which part of a record, in which period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Slot {
    /// Whose records it opens.
    #[n(0)]
    pub recipient: Recipient,
    /// Which part of them.
    #[n(1)]
    pub part: Part,
    /// Which period: the year, or year × 100 + month for the vendor.
    #[n(2)]
    pub period: u32,
}

/// All keys, in memory; every one of them wiped when dropped.
#[derive(Debug)]
pub struct Keyring {
    /// Of the Ed25519 key that signs public keys; never changes.
    pub(super) seed: Secret<[u8; 32]>,
    /// Counts rewrites of the file.
    pub(super) revision: u64,
    /// Boxed: what a map moves about are not the keys, so that no copy of one is left in it.
    pub(super) private: BTreeMap<Slot, Box<Secret<[u8; 32]>>>,
    pub(super) tags: BTreeMap<Recipient, Box<Secret<[u8; 32]>>>,
    /// What was destroyed, oldest first; replayed at each start.
    pub(super) destroyed: Vec<Destroyed>,
}

/// A key that was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The register's event that wanted it.
    pub event: EventId,
    /// Whose records it opened.
    pub recipient: Recipient,
    /// Which part of them.
    pub part: Part,
    /// In which period; none: every one, those to come included.
    pub period: Option<u32>,
    /// When.
    pub at: Timestamp,
    /// Whether there was such a key; none: it says that there never will be.
    pub was_there: bool,
}

impl Keyring {
    /// A new keyring without any recipient's keys.
    pub fn generate(entropy: &dyn Entropy) -> Keyring {
        let seed = Secret::new(entropy::random(entropy));
        Keyring { seed, revision: 0, private: BTreeMap::new(), tags: BTreeMap::new(), destroyed: Vec::new() }
    }

    /// The Ed25519 public key that others pin.
    pub fn public_key(&self) -> Result<[u8; 32], Error> {
        let pair = self.signing_key()?;
        pair.public_key().as_ref().try_into().map_err(|_| Error::Bug("an Ed25519 public key has 32 bytes"))
    }

    /// The slots that these recipients should have at `now`, and up to 30 days ahead of it: half-way, too, for February is
    /// shorter than that.
    pub fn due(recipients: &[Recipient], now: Timestamp) -> Vec<Slot> {
        let mut slots: Vec<Slot> = recipients
            .iter()
            .flat_map(|recipient| {
                [now, now.plus(AHEAD / 2), now.plus(AHEAD)].map(|at| (*recipient, recipient.period(at)))
            })
            .flat_map(|(recipient, period)| Part::ALL.map(|part| Slot { recipient, part, period }))
            .collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The recipients that have a tag key, in order, behind `after`.
    pub fn known(&self, after: Option<Recipient>) -> impl Iterator<Item = Recipient> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.tags.range((start, Bound::Unbounded)).map(|(recipient, _)| *recipient)
    }

    /// The slots that have a key, in order, behind `after`.
    pub fn held(&self, after: Option<Slot>) -> impl Iterator<Item = Slot> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.private.range((start, Bound::Unbounded)).map(|(slot, _)| *slot)
    }

    /// Everybody who has keys.
    pub fn recipients(&self) -> Vec<Recipient> {
        let mut recipients: Vec<Recipient> = self.private.keys().map(|slot| slot.recipient).collect();
        recipients.dedup();
        recipients
    }

    /// Whether that slot has a key.
    pub fn holds(&self, slot: &Slot) -> bool {
        self.private.contains_key(slot)
    }

    /// Whether that recipient has a tag key.
    pub fn holds_tag(&self, recipient: Recipient) -> bool {
        self.tags.contains_key(&recipient)
    }

    /// Makes a key for a slot that has none; a key that exists stays.
    pub(super) fn make(&mut self, slot: Slot, entropy: &dyn Entropy) {
        self.private.entry(slot).or_insert_with(|| Box::new(Secret::new(entropy::random(entropy))));
    }

    /// Makes a tag key for a recipient that has none.
    pub(super) fn make_tag(&mut self, recipient: Recipient, entropy: &dyn Entropy) {
        self.tags.entry(recipient).or_insert_with(|| Box::new(Secret::new(entropy::random(entropy))));
    }

    /// Takes back what [`Keyring::make`] made and no file holds.
    pub(super) fn unmake(&mut self, slot: &Slot) {
        self.private.remove(slot);
    }

    /// Takes back what [`Keyring::make_tag`] made and no file holds.
    pub(super) fn unmake_tag(&mut self, recipient: Recipient) {
        self.tags.remove(&recipient);
    }

    /// The public key of a slot, signed; none if the slot has no key.
    pub fn public(&self, slot: &Slot) -> Result<Option<RecipientKey>, Error> {
        let Some(private) = self.private.get(slot) else { return Ok(None) };
        let refused = |_| Error::Bug("a stored X25519 key was refused");
        let private = agreement::PrivateKey::from_private_key(&agreement::X25519, private.expose()).map_err(refused)?;
        let public = private.compute_public_key().map_err(|_| Error::Bug("X25519 gave no public key"))?;
        let public = public.as_ref().try_into().map_err(|_| Error::Bug("an X25519 public key has 32 bytes"))?;
        Ok(Some(RecipientKey::sign(slot.recipient, slot.part, slot.period, public, &self.signing_key()?)))
    }

    /// The tag key of a recipient, for a writer's memory.
    pub fn tag(&self, recipient: Recipient) -> Option<TagKey> {
        self.tags.get(&recipient).map(|tag| TagKey(Secret::new(*tag.expose())))
    }

    /// Opens a sealed data key with the one private key it claims to be sealed to. Its place (log, position,
    /// recipient, part, period) is bound into it, so that a key of one recipient never opens as another's.
    pub fn open(&self, sealed: &SealedDataKey) -> Result<Secret<[u8; 32]>, Error> {
        let not_opened =
            |reason: String| Error::NotOpened { origin: sealed.origin.clone(), position: sealed.position, reason };
        let slot = Slot { recipient: sealed.recipient, part: sealed.part, period: sealed.period };
        let private = self.private.get(&slot).ok_or_else(|| not_opened(self.absent(&slot)))?;
        open_data_key(private, sealed).map_err(|_| {
            not_opened(format!("it was not sealed to {} for this place, or it is damaged", slot.recipient))
        })
    }

    fn signing_key(&self) -> Result<Ed25519KeyPair, Error> {
        Ed25519KeyPair::from_seed_unchecked(self.seed.expose())
            .map_err(|_| Error::Bug("a seed of 32 bytes was refused"))
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
