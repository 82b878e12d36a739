//! How a file of one customer's own data is sealed: chunks under a data key that is sealed to the customer's public key.
//! Not here: what is in it (`purge/`), and files. Each chunk's number and being the last are part of its nonce, so that
//! one that is missing, moved or from elsewhere does not open. STREAM over AES-256-GCM, HKDF-SHA-256, HPKE (`keys.rs`).
//!
//! `"portreeve archive/1\n"`, the length of the next part (32 bits, little endian), a [`SealedDataKey`] in CBOR; then
//! chunks of [`CHUNK_BYTES`] and a tag each, the last one shorter.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::keys::{Error, RecipientKey, SealedDataKey, seal_data_key};
use crate::entropy::{Entropy, random};
use crate::secret::Secret;

/// What such a file begins with.
pub const MAGIC: &[u8] = b"portreeve archive/1\n";
/// Plain bytes of a chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds to a chunk.
pub const TAG_BYTES: usize = 16;
/// No header is longer.
pub const HEADER_BYTES_MAX: usize = 1024;

/// What stands before the chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The data key, to be opened by the keyring.
    pub key: SealedDataKey,
    digest: [u8; 32],
    length: usize,
}

impl Header {
    /// Reads the header at the beginning of a file; none if it is none, or is not whole in `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let length = MAGIC.len() + 4 + body.len();
        let key = minicbor::decode(body).ok()?;
        Some(Header { key, digest: sha256(bytes.get(..length)?), length })
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length as u64
    }

    /// How many chunks and plain bytes are in a file of so many bytes; none if a file cannot be so long.
    pub fn holds(&self, file_bytes: u64) -> Option<(u64, u64)> {
        let sealed = file_bytes.checked_sub(self.length())?;
        let chunks = sealed.div_ceil((CHUNK_BYTES + TAG_BYTES) as u64);
        let plain = sealed.checked_sub(chunks * TAG_BYTES as u64)?;
        (chunks > 0).then_some((chunks, plain))
    }
}

/// Seals bytes as they come.
pub struct Sealer {
    key: LessSafeKey,
    header: [u8; 32],
    number: u64,
    plain: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// Begins a file; answers its header too. `origin` and `position` name what is sealed, and must be unlike a log's.
    ///
    /// # Errors
    /// [`Error::NotSealed`].
    pub fn begin(
        to: &RecipientKey,
        origin: &str,
        position: u64,
        entropy: &dyn Entropy,
    ) -> Result<(Sealer, Vec<u8>), Error> {
        let key = Secret::new(random::<32>(entropy));
        let sealed = seal_data_key(to, origin, position, &key)?;
        let body = minicbor::to_vec(&sealed).expect("memory takes what is written");
        let length = u32::try_from(body.len()).expect("a sealed data key is short");
        let header = [MAGIC, &length.to_le_bytes(), &body].concat();
        let digest = sha256(&header);
        Ok((Sealer { key: chunk_key(&key, &digest), header: digest, number: 0, plain: Zeroizing::default() }, header))
    }

    /// Takes plain bytes and adds the chunks that became full to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.plain.len() == CHUNK_BYTES {
                self.seal(Place::Within, out);
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.plain.len()));
            self.plain.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Adds the last chunk.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.seal(Place::Last, out);
    }

    fn seal(&mut self, place: Place, out: &mut Vec<u8>) {
        let sealed = &mut *self.plain;
        let nonce = nonce(self.number, place);
        let done = self.key.seal_in_place_append_tag(nonce, Aad::from(&self.header), sealed);
        done.expect("a chunk is far below what AES-GCM seals at once");
        out.extend_from_slice(sealed);
        sealed.clear();
        self.number += 1;
    }
}

/// Opens chunks in their order.
pub struct Opener {
    key: LessSafeKey,
    header: [u8; 32],
    number: u64,
    chunks: u64,
}

impl Opener {
    /// With the data key that the keyring opened; `chunks` as [`Header::holds`] says.
    pub fn new(header: &Header, data_key: &Secret<[u8; 32]>, chunks: u64) -> Opener {
        Opener { key: chunk_key(data_key, &header.digest), header: header.digest, number: 0, chunks }
    }

    /// Whether the last chunk was opened.
    pub fn is_through(&self) -> bool {
        self.number >= self.chunks
    }

    /// Opens the next chunk in place; none if it is not that chunk of that file.
    pub fn open<'a>(&mut self, chunk: &'a mut [u8]) -> Option<&'a [u8]> {
        let place = if self.number + 1 == self.chunks { Place::Last } else { Place::Within };
        let nonce = nonce(self.number, place);
        self.number += 1;
        self.key.open_in_place(nonce, Aad::from(&self.header), chunk).ok().map(|plain| &*plain)
    }
}

/// Whether a chunk is the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Last,
}

fn chunk_key(data_key: &Secret<[u8; 32]>, header: &[u8; 32]) -> LessSafeKey {
    let mut okm = Zeroizing::new([0; 32]);
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, data_key.expose())
        .expand(&[b"portreeve/archive/chunks/v1\n", header], hkdf::HKDF_SHA256)
        .and_then(|expanded| expanded.fill(okm.as_mut_slice()))
        .expect("32 bytes are within what HKDF-SHA-256 expands to");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, okm.as_slice()).expect("an AES-256 key has 32 bytes"))
}

/// Three zeros, the chunk's number, and 1 if it is the last.
fn nonce(number: u64, place: Place) -> Nonce {
    let mut bytes = [0; 12];
    let (_, rest) = bytes.split_at_mut(3);
    let (counter, flag) = rest.split_at_mut(8);
    counter.copy_from_slice(&number.to_be_bytes());
    flag.fill(u8::from(place == Place::Last));
    Nonce::assume_unique_for_key(bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
