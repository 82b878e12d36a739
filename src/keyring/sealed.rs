//! The bytes of a keyring file: its header, the key-encryption key, the keyring as CBOR.
//! Not here: where they are kept and how they are replaced (`file.rs`).
//! Bytes: `portreeve keyring v1\n` (21) | generation u64 | nonce (12) | AES-256-GCM of CBOR, its tag (16) last. Integers
//! are big endian; everything before the ciphertext is its associated data. The key is HKDF-SHA-256(salt: generation
//! secret, input: credential, info: `portreeve keyring kek v0` and the generation). In a v0 file the generation secret
//! (32) stands before the nonce; such a file is read once, and rewritten.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, Zeroizing};

use super::Error;
use super::generation::Generation;
use super::keys::{Destroyed, Keyring, Slot};
use crate::audit::keys::{Part, Recipient};
use crate::clock::Timestamp;
use crate::entropy::{self, Entropy};
use crate::ids::EventId;
use crate::secret::Secret;

const MAGIC: &[u8; 21] = b"portreeve keyring v1\n";
const MAGIC_V0: &[u8; 21] = b"portreeve keyring v0\n";

/// What stands before the version's number.
const NAME: &[u8] = b"portreeve keyring v";
/// The version that is written here.
const VERSION: u32 = 1;

/// The version of a keyring file that a newer portreeve wrote, and the one that is read here.
pub(super) fn newer_version(file: &[u8]) -> Option<(u32, u32)> {
    Some((version_behind(file, NAME)?, VERSION)).filter(|(version, known)| version > known)
}

/// The version in a file's first line, which begins with that name.
pub(super) fn version_behind(file: &[u8], name: &[u8]) -> Option<u32> {
    let line = file.strip_prefix(name)?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// What stands before the ciphertext.
pub(super) struct Header {
    pub(super) generation: u64,
    /// In a v0 file only.
    pub(super) secret: Option<Secret<[u8; 32]>>,
    nonce: [u8; NONCE_LEN],
    /// All of it, as it stands there.
    bytes: Zeroizing<Vec<u8>>,
}

impl Header {
    /// Reads it, and gives what follows it; none if it is no keyring file of a version known here.
    pub(super) fn parse(file: &[u8]) -> Option<(Header, &[u8])> {
        let (rest, is_old) = match file.strip_prefix(MAGIC) {
            Some(rest) => (rest, false),
            None => (file.strip_prefix(MAGIC_V0)?, true),
        };
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (secret, rest) = match rest.split_first_chunk::<32>() {
            Some((secret, rest)) if is_old => (Some(Secret::new(*secret)), rest),
            Some(_) | None if is_old => return None,
            Some(_) | None => (None, rest),
        };
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        let bytes = Zeroizing::new(file.strip_suffix(ciphertext)?.to_vec());
        Some((Header { generation: u64::from_be_bytes(*generation), secret, nonce: *nonce, bytes }, ciphertext))
    }

    fn new(generation: u64, nonce: [u8; NONCE_LEN]) -> Header {
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.extend_from_slice(&nonce);
        Header { generation, secret: None, nonce, bytes }
    }
}

/// The whole file, sealed under that generation.
pub(super) fn seal(
    keyring: &Keyring,
    credential: &Secret<[u8; 32]>,
    generation: &Generation,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Error> {
    let header = Header::new(generation.number, entropy::random(entropy));
    let mut body = encode(keyring)?;
    let nonce = Nonce::assume_unique_for_key(header.nonce);
    let tag = kek(credential, generation.number, &generation.secret)?
        .seal_in_place_separate_tag(nonce, Aad::from(header.bytes.as_slice()), &mut body)
        .map_err(|_| Error::Bug("AES-256-GCM refused to seal the keyring"))?;
    let mut sealed = header.bytes.to_vec();
    sealed.extend_from_slice(&body);
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// What is in a file; `None` if these do not open it, an error in words if what they open cannot be read.
pub(super) fn open(
    header: &Header,
    ciphertext: &[u8],
    credential: &Secret<[u8; 32]>,
    secret: &Secret<[u8; 32]>,
) -> Result<Option<Result<Keyring, String>>, Error> {
    let mut body = Zeroizing::new(ciphertext.to_vec());
    let nonce = Nonce::assume_unique_for_key(header.nonce);
    let kek = kek(credential, header.generation, secret)?;
    let Ok(plain) = kek.open_in_place(nonce, Aad::from(header.bytes.as_slice()), &mut body) else { return Ok(None) };
    Ok(Some(decode(plain).map_err(|error| error.to_string())))
}

/// The key-encryption key of a generation.
fn kek(credential: &Secret<[u8; 32]>, generation: u64, secret: &Secret<[u8; 32]>) -> Result<LessSafeKey, Error> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let refused = |_| Error::Bug("HKDF-SHA-256 refused 32 bytes");
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, secret.expose());
    salt.extract(credential.expose())
        .expand(&[b"portreeve keyring kek v0", &generation.to_be_bytes()], Length)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(refused)?;
    UnboundKey::new(&AES_256_GCM, &*key).map(LessSafeKey::new).map_err(refused)
}

/// The file's content, as CBOR.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    revision: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    seed: [u8; 32],
    #[n(2)]
    private: Vec<Private>,
    #[n(3)]
    tags: Vec<Tag>,
    /// None in files from before keys could be destroyed.
    #[n(4)]
    destroyed: Option<Vec<Gone>>,
}

#[derive(Encode, Decode)]
struct Private {
    #[n(0)]
    recipient: Recipient,
    #[n(1)]
    part: Part,
    #[n(2)]
    period: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    key: [u8; 32],
}

#[derive(Encode, Decode)]
struct Tag {
    #[n(0)]
    recipient: Recipient,
    #[cbor(n(1), with = "minicbor::bytes")]
    key: [u8; 32],
}

#[derive(Encode, Decode)]
struct Gone {
    #[cbor(n(0), with = "minicbor::bytes")]
    event: [u8; 16],
    #[n(1)]
    recipient: Recipient,
    #[n(2)]
    part: Part,
    #[n(3)]
    period: Option<u32>,
    #[n(4)]
    at: i64,
    #[n(5)]
    was_there: bool,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.private.iter_mut().for_each(|private| private.key.zeroize());
        self.tags.iter_mut().for_each(|tag| tag.key.zeroize());
    }
}

fn encode(keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>, Error> {
    let private = keyring.private.iter().map(|(Slot { recipient, part, period }, key)| Private {
        recipient: *recipient,
        part: *part,
        period: *period,
        key: *key.expose(),
    });
    let tags = keyring.tags.iter().map(|(recipient, key)| Tag { recipient: *recipient, key: *key.expose() });
    let destroyed = keyring.destroyed.iter().map(|Destroyed { event, recipient, part, period, at, was_there }| Gone {
        event: event.0,
        recipient: *recipient,
        part: *part,
        period: *period,
        at: at.0,
        was_there: *was_there,
    });
    let content = Content {
        revision: keyring.revision,
        seed: *keyring.seed.expose(),
        private: private.collect(),
        tags: tags.collect(),
        destroyed: Some(destroyed.collect()),
    };
    // Enough room from the start: a vector that grows leaves copies of keys behind.
    let room = 128 + 64 * (content.private.len() + content.tags.len() + keyring.destroyed.len());
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    minicbor::encode(&content, &mut *body).map_err(|_| Error::Bug("CBOR refused the keyring"))?;
    Ok(body)
}

fn decode(plain: &[u8]) -> Result<Keyring, minicbor::decode::Error> {
    let content: Content = minicbor::decode(plain)?;
    let slot = |private: &Private| Slot { recipient: private.recipient, part: private.part, period: private.period };
    let secret = |key: &[u8; 32]| Box::new(Secret::new(*key));
    let destroyed =
        content.destroyed.iter().flatten().map(|Gone { event, recipient, part, period, at, was_there }| Destroyed {
            event: EventId(*event),
            recipient: *recipient,
            part: *part,
            period: *period,
            at: Timestamp(*at),
            was_there: *was_there,
        });
    Ok(Keyring {
        seed: Secret::new(content.seed),
        revision: content.revision,
        private: content.private.iter().map(|private| (slot(private), secret(&private.key))).collect(),
        tags: content.tags.iter().map(|tag| (tag.recipient, secret(&tag.key))).collect(),
        destroyed: destroyed.collect(),
    })
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
