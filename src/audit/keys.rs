//! Whose keys seal a record: public keys signed by the keyring, tag keys, and data keys sealed to a recipient.
//! Not here: where private keys live (`keyring/`), and how a data key seals a record (`seal.rs`).
//! HPKE (RFC 9180) base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Signatures are Ed25519.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use minicbor::{Decode, Encode};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

use crate::audit::tree::sha256;
use crate::clock::Timestamp;
use crate::ids::{ByNumber, CustomerId};
use crate::secret::Secret;

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The keyring's fault, or somebody else's key: the signature is not by the pinned keyring key.
    #[error(
        "the {part} key of {recipient} for {period} is not signed by the pinned keyring key; \
         compare the configured keyring public key with the keyring's own"
    )]
    NotSigned {
        /// Whose key.
        recipient: Recipient,
        /// For which part.
        part: Part,
        /// For which period.
        period: u32,
    },
    /// The public key cannot be sealed to: not a usable X25519 point.
    #[error("the {part} key of {recipient} for {period} cannot be sealed to")]
    NotSealed {
        /// Whose key.
        recipient: Recipient,
        /// For which part.
        part: Part,
        /// For which period.
        period: u32,
    },
    /// The private key does not open it: another key, another place, or changed bytes.
    #[error("the data key at position {position} of {origin} does not open with that key")]
    NotOpened {
        /// The log.
        origin: String,
        /// The position of the data key's leaf.
        position: u64,
    },
}

/// One of the two parts of a record. Each is sealed under keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Part {
    /// Texts, bind values, names, addresses.
    #[n(1)]
    Values,
    /// Who, when, what kind, how many.
    #[n(2)]
    Skeleton,
}

impl Part {
    /// Both parts, in the order of their numbers.
    pub const ALL: [Part; 2] = [Part::Values, Part::Skeleton];

    /// The number that stands for this part in every byte format.
    pub fn number(self) -> u8 {
        match self {
            Part::Values => 1,
            Part::Skeleton => 2,
        }
    }

    /// The part with that number.
    pub fn from_number(number: u8) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.number() == number)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Values => "values",
            Part::Skeleton => "skeleton",
        })
    }
}

/// To whom a record is sealed: the customer it concerns, or the vendor where it concerns none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// One customer. Its keys are made per calendar year (UTC), such as 2026.
    Customer(CustomerId),
    /// The vendor itself. Its keys are made per calendar month (UTC), such as 202611.
    Vendor,
}

impl Recipient {
    /// The period whose keys seal a record of this moment: the year (2026), for the vendor year × 100 + month (202611).
    pub fn period(self, at: Timestamp) -> u32 {
        let (year, month, _) = at.date();
        let period = match self {
            Recipient::Customer(_) => year,
            Recipient::Vendor => year * 100 + month,
        };
        u32::try_from(period).unwrap_or(0)
    }

    /// The recipient of a record of that customer, or of none.
    pub fn of(customer: Option<CustomerId>) -> Recipient {
        customer.map_or(Recipient::Vendor, Recipient::Customer)
    }

    /// The customer, where it is one.
    pub fn customer(self) -> Option<CustomerId> {
        match self {
            Recipient::Customer(customer) => Some(customer),
            Recipient::Vendor => None,
        }
    }

    /// 9 bytes: 1 and the customer's number (little endian), or 2 and zeros for the vendor.
    fn bytes(self) -> [u8; 9] {
        let (kind, number) = match self {
            Recipient::Customer(customer) => (1, customer.0),
            Recipient::Vendor => (2, 0),
        };
        let mut bytes = [kind; 9];
        let (_, rest) = bytes.split_at_mut(1);
        rest.copy_from_slice(&number.to_le_bytes());
        bytes
    }
}

/// `c7`, or `vendor`.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipient::Customer(customer) => customer.fmt(f),
            Recipient::Vendor => f.write_str("vendor"),
        }
    }
}

/// In CBOR: the customer's number, or null for the vendor.
impl<C> Encode<C> for Recipient {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.customer().map(|customer| customer.0).encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for Recipient {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Recipient::of(Option::<u64>::decode(d, context)?.map(CustomerId)))
    }
}

/// A public key to seal data keys to, as the keyring hands it out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecipientKey {
    /// Whose key.
    #[n(0)]
    pub recipient: Recipient,
    /// For which part.
    #[n(1)]
    pub part: Part,
    /// For which period; see [`Recipient::period`].
    #[n(2)]
    pub period: u32,
    /// The X25519 public key.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub public: [u8; 32],
    /// The keyring's Ed25519 signature over all of the above.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

impl RecipientKey {
    /// A key signed by the keyring.
    pub fn sign(recipient: Recipient, part: Part, period: u32, public: [u8; 32], keyring: &Ed25519KeyPair) -> Self {
        let mut key = RecipientKey { recipient, part, period, public, signature: [0; 64] };
        let signature = keyring.sign(&key.signed_bytes());
        key.signature.copy_from_slice(signature.as_ref());
        key
    }

    /// Checks the signature against the pinned Ed25519 public key of the keyring.
    ///
    /// # Errors
    /// [`Error::NotSigned`].
    pub fn verify(&self, keyring_key: &[u8; 32]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, keyring_key)
            .verify(&self.signed_bytes(), &self.signature)
            .map_err(|_| Error::NotSigned { recipient: self.recipient, part: self.part, period: self.period })
    }

    /// What the signature covers: a label, the recipient, the part, the period, the public key.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"portreeve/recipient-key/v1\n".to_vec();
        bytes.extend_from_slice(&self.recipient.bytes());
        bytes.push(self.part.number());
        bytes.extend_from_slice(&self.period.to_le_bytes());
        bytes.extend_from_slice(&self.public);
        bytes
    }
}

/// The key that makes a recipient's tags and links recognisable; kept in memory only.
#[derive(Debug)]
pub struct TagKey(pub Secret<[u8; 32]>);

impl TagKey {
    /// By which people compare it: 32 hexadecimal digits, from which it cannot be told.
    pub fn fingerprint(&self) -> String {
        let hash = sha256(&[b"portreeve/tag-fingerprint/v1\n", self.0.expose()]);
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A data key as it stands in a log, with what the keyring needs to open it. A log's leaf does not name the
/// recipient: whoever reads holds the tag keys ([`Recipients::set_tag`]) and recognises it by the leaf's tag.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SealedDataKey {
    /// The log's origin, such as `portreeve/proxy-gate-1`.
    #[n(0)]
    pub origin: String,
    /// The position of its leaf in that log.
    #[n(1)]
    pub position: u64,
    /// To whom it is sealed.
    #[n(2)]
    pub recipient: Recipient,
    /// Which part it seals.
    #[n(3)]
    pub part: Part,
    /// Which period's key it is sealed to.
    #[n(4)]
    pub period: u32,
    /// HPKE's encapsulated key, 32 bytes.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub enc: Vec<u8>,
    /// HPKE's ciphertext, 48 bytes.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

impl SealedDataKey {
    /// What the ciphertext is bound to: log, position, recipient, part, period.
    fn aad(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.origin.len() + 24);
        aad.extend_from_slice(&self.position.to_le_bytes());
        aad.extend_from_slice(&self.recipient.bytes());
        aad.push(self.part.number());
        aad.extend_from_slice(&self.period.to_le_bytes());
        aad.extend_from_slice(self.origin.as_bytes());
        aad
    }
}

/// HPKE's `info`: what these ciphertexts are for.
const INFO: &[u8] = b"portreeve/data-key/v1";

fn hpke() -> &'static dyn Hpke {
    DH_KEM_X25519_HKDF_SHA256_AES_256
}

/// A new X25519 key pair: (public, private), from the cryptographic library's generator.
///
/// # Panics
/// If the operating system has no randomness to give: nothing safe can be done without it.
pub fn generate_key_pair() -> ([u8; 32], Secret<[u8; 32]>) {
    let (public, private) = hpke().generate_key_pair().expect("the operating system gives random bytes");
    let public = public.0.as_slice().try_into().expect("an X25519 public key has 32 bytes");
    let private = private.secret_bytes().try_into().expect("an X25519 private key has 32 bytes");
    (public, Secret::new(private))
}

/// Seals a data key to its recipient, bound to the place where it will stand.
///
/// # Errors
/// [`Error::NotSealed`] if the public key is unusable.
pub fn seal_data_key(
    to: &RecipientKey,
    origin: &str,
    position: u64,
    data_key: &Secret<[u8; 32]>,
) -> Result<SealedDataKey, Error> {
    let (recipient, part, period) = (to.recipient, to.part, to.period);
    let mut sealed = SealedDataKey {
        origin: origin.to_owned(),
        position,
        recipient,
        part,
        period,
        enc: Vec::new(),
        sealed: Vec::new(),
    };
    let (EncapsulatedSecret(enc), ciphertext) = hpke()
        .seal(INFO, &sealed.aad(), data_key.expose(), &HpkePublicKey(to.public.to_vec()))
        .map_err(|_| Error::NotSealed { recipient, part, period })?;
    sealed.enc = enc;
    sealed.sealed = ciphertext;
    Ok(sealed)
}

/// Opens a data key with the private key of its recipient, part and period.
///
/// # Errors
/// [`Error::NotOpened`] if that is not the key, or anything it is bound to was changed.
pub fn open_data_key(private: &Secret<[u8; 32]>, sealed: &SealedDataKey) -> Result<Secret<[u8; 32]>, Error> {
    let opened = hpke()
        .open(
            &EncapsulatedSecret(sealed.enc.clone()),
            INFO,
            &sealed.aad(),
            &sealed.sealed,
            &HpkePrivateKey::from(private.expose().to_vec()),
        )
        .map(zeroize::Zeroizing::new)
        .ok();
    opened
        .and_then(|bytes| bytes.as_slice().try_into().ok())
        .map(Secret::new)
        .ok_or_else(|| Error::NotOpened { origin: sealed.origin.clone(), position: sealed.position })
}

/// The public keys and tag keys a writer seals with. Clones share one set.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<Recipient, Keys, ByNumber>,
    /// Keys that were destroyed; without a period: all of them.
    erased: HashSet<(Recipient, Part, Option<u32>)>,
}

/// What is known of one recipient.
#[derive(Debug, Default)]
struct Keys {
    public: HashMap<(Part, u32), Arc<RecipientKey>>,
    tag: Option<Arc<TagKey>>,
    /// For each period of which all is known, ready for use: each record asks for it.
    ready: Vec<(u32, Arc<SealTo>)>,
}

impl Keys {
    fn make_ready(&mut self, recipient: Recipient) {
        let Keys { public, tag, ready } = self;
        let whole = |period: u32| {
            let key = |part| public.get(&(part, period)).cloned();
            let (values, skeleton) = (key(Part::Values)?, key(Part::Skeleton)?);
            Some((period, Arc::new(SealTo { recipient, values, skeleton, tag: tag.clone()? })))
        };
        let periods = public.keys().filter(|(part, _)| *part == Part::Values).map(|(_, period)| *period);
        *ready = periods.filter_map(whole).collect();
    }
}

/// All that sealing one recipient's record takes.
#[derive(Clone, Debug)]
pub struct SealTo {
    /// Whose keys these are.
    pub recipient: Recipient,
    /// The key for the values part.
    pub values: Arc<RecipientKey>,
    /// The key for the skeleton part.
    pub skeleton: Arc<RecipientKey>,
    /// The tag key.
    pub tag: Arc<TagKey>,
}

impl Recipients {
    /// No keys yet.
    pub fn new() -> Self {
        Recipients::default()
    }

    /// Puts in a public key. Its signature must have been verified.
    pub fn set(&self, key: RecipientKey) {
        let recipient = key.recipient;
        self.change(recipient, |keys| {
            keys.public.insert((key.part, key.period), Arc::new(key));
        });
    }

    /// Puts in a recipient's tag key.
    pub fn set_tag(&self, recipient: Recipient, key: TagKey) {
        self.change(recipient, |keys| keys.tag = Some(Arc::new(key)));
    }

    /// Forgets a recipient whose keys were destroyed.
    pub fn forget(&self, recipient: Recipient) {
        self.write(|known| {
            known.of.remove(&recipient);
        });
    }

    /// Puts in that a recipient's keys of a part were destroyed: those of a period, or all.
    pub fn set_erased(&self, recipient: Recipient, part: Part, period: Option<u32>) {
        self.write(|known| {
            known.erased.insert((recipient, part, period));
        });
    }

    /// Whether the key of that recipient, part and period was destroyed.
    pub fn is_erased(&self, recipient: Recipient, part: Part, period: u32) -> bool {
        self.read(|known| [None, Some(period)].iter().any(|period| known.erased.contains(&(recipient, part, *period))))
    }

    /// Whether the keys of that recipient and part were destroyed for all time.
    pub fn is_gone(&self, recipient: Recipient, part: Part) -> bool {
        self.read(|known| known.erased.contains(&(recipient, part, None)))
    }

    /// Whether the recipient's records could not be told from others', though its keys were never destroyed: whoever gave
    /// out these keys is not who made those.
    pub fn is_stranger(&self, recipient: Recipient, part: Part) -> bool {
        self.tag(recipient).is_none() && !self.is_gone(recipient, part)
    }

    /// Whether there are recipients both of whose parts were erased: their records are claimed by no living key.
    pub fn any_unclaimed(&self) -> bool {
        self.read(|known| {
            let all = |whose: Recipient| Part::ALL.iter().all(|part| known.erased.contains(&(whose, *part, None)));
            known.erased.iter().any(|(whose, ..)| all(*whose))
        })
    }

    /// The public key of that recipient, part and period.
    pub fn get(&self, recipient: Recipient, part: Part, period: u32) -> Option<Arc<RecipientKey>> {
        self.read(|known| known.of.get(&recipient)?.public.get(&(part, period)).cloned())
    }

    /// The tag key of that recipient.
    pub fn tag(&self, recipient: Recipient) -> Option<Arc<TagKey>> {
        self.read(|known| known.of.get(&recipient)?.tag.clone())
    }

    /// Every recipient whose tag key is known, with that key.
    pub fn tags(&self) -> Vec<(Recipient, Arc<TagKey>)> {
        let tagged = |(recipient, keys): (&Recipient, &Keys)| Some((*recipient, keys.tag.clone()?));
        self.read(|known| known.of.iter().filter_map(tagged).collect())
    }

    /// Both public keys and the tag key in one look; none if any is missing.
    pub fn seal_to(&self, recipient: Recipient, period: u32) -> Option<Arc<SealTo>> {
        self.read(|known| {
            let ready = &known.of.get(&recipient)?.ready;
            ready.iter().find(|(of, _)| *of == period).map(|(_, to)| Arc::clone(to))
        })
    }

    fn change(&self, recipient: Recipient, change: impl FnOnce(&mut Keys)) {
        self.write(|known| {
            let keys = known.of.entry(recipient).or_default();
            change(keys);
            keys.make_ready(recipient);
        });
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
