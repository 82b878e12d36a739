//! How a snapshot's bytes are sealed: in chunks whose number and being the last are part of the nonce, each bound to
//! the header; so a chunk that is missing, repeated, moved or from elsewhere does not open.
//! Not here: files and threads. STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM, HKDF-SHA-256
//! (RFC 5869), the data key by HPKE as in `audit/keys.rs`; FORMAT.md, "Keys" and "Chunks".

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::error::Error;
use super::header::{Header, Names};
use crate::audit::keys::{self, Part, Recipient, RecipientKey, SealedDataKey};
use crate::entropy::{Entropy, random};
use crate::ids::SnapshotId;
use crate::secret::Secret;

/// Bytes that sealing adds to a chunk.
pub(super) const TAG_BYTES: usize = 16;
/// Sealed names are padded to a multiple of this, so that their length tells less.
const NAMES_PAD_BYTES: usize = 256;

/// Whether a chunk is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Within,
    Last,
}

/// A snapshot's data key: never written down, never used for a second snapshot.
pub(super) struct DataKey(Secret<[u8; 32]>);

/// What seals or opens the chunks of one snapshot.
pub(super) struct Chunks {
    key: LessSafeKey,
    header_digest: [u8; 32],
}

impl DataKey {
    /// A fresh one, with itself sealed to the recipient: HPKE's encapsulated key and ciphertext.
    pub(super) fn fresh(
        id: SnapshotId,
        recipient: &[u8; 32],
        entropy: &dyn Entropy,
    ) -> Result<(DataKey, Vec<u8>, Vec<u8>), Error> {
        let key = Secret::new(random::<32>(entropy));
        // The same envelope as an audit record's, at a place where no record can be: no log's name has two `/`.
        let to = RecipientKey {
            recipient: Recipient::Vendor,
            part: Part::Values,
            period: 0,
            public: *recipient,
            signature: [0; 64],
        };
        let sealed = keys::seal_data_key(&to, &origin(id), 0, &key);
        let sealed = sealed.map_err(|_| {
            Error::Key("the snapshot recipient's public key cannot be sealed to: it is not an X25519 key".to_owned())
        })?;
        Ok((DataKey(key), sealed.enc, sealed.sealed))
    }

    /// The one in a header, with the recipient's private key.
    pub(super) fn open(header: &Header, private: &Secret<[u8; 32]>) -> Result<DataKey, Error> {
        let sealed = SealedDataKey {
            origin: origin(header.id()),
            position: 0,
            recipient: Recipient::Vendor,
            part: Part::Values,
            period: 0,
            enc: header.enc.clone(),
            sealed: header.sealed_key.clone(),
        };
        keys::open_data_key(private, &sealed).map(DataKey).map_err(|_| {
            let public = header.recipient.map(|byte| format!("{byte:02x}")).concat();
            Error::Key(format!(
                "snapshot {} does not open with that private key: give the one whose public key is {public}",
                header.id()
            ))
        })
    }

    /// What seals or opens the chunks under that header.
    pub(super) fn chunks(&self, header_digest: [u8; 32]) -> Chunks {
        Chunks { key: self.expand(&[b"portreeve/snapshot/chunks/v0\n", &header_digest]), header_digest }
    }

    pub(super) fn seal_names(&self, id: SnapshotId, names: &Names) -> Vec<u8> {
        let mut bytes = minicbor::to_vec(names).expect("memory takes what is written");
        bytes.push(0x80);
        bytes.resize(bytes.len().next_multiple_of(NAMES_PAD_BYTES), 0);
        self.names_key(id)
            .seal_in_place_append_tag(nonce(0, Place::Last), Aad::empty(), &mut bytes)
            .expect("names are far below what AES-GCM seals at once");
        bytes
    }

    pub(super) fn open_names(&self, header: &Header) -> Result<Names, Error> {
        let damaged = || Error::damaged(header.id(), "its sealed names do not open");
        let mut bytes = header.sealed_names.clone();
        let opened = self.names_key(header.id()).open_in_place(nonce(0, Place::Last), Aad::empty(), &mut bytes);
        let padded = opened.map_err(|_| damaged())?;
        let end = padded.iter().rposition(|byte| *byte != 0).ok_or_else(damaged)?;
        minicbor::decode(padded.get(..end).ok_or_else(damaged)?).map_err(|_| damaged())
    }

    fn names_key(&self, id: SnapshotId) -> LessSafeKey {
        self.expand(&[b"portreeve/snapshot/names/v0\n", &id.0])
    }

    fn expand(&self, info: &[&[u8]]) -> LessSafeKey {
        let mut okm = Zeroizing::new([0; 32]);
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, self.0.expose())
            .expand(info, hkdf::HKDF_SHA256)
            .and_then(|expanded| expanded.fill(okm.as_mut_slice()))
            .expect("32 bytes are within what HKDF-SHA-256 expands to");
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, okm.as_slice()).expect("an AES-256 key has 32 bytes"))
    }
}

impl Chunks {
    /// Seals chunk `number` into `sealed`, its tag at the end. Each number at most once.
    pub(super) fn seal(&self, number: u64, place: Place, chunk: &[u8], sealed: &mut Vec<u8>) {
        sealed.resize(chunk.len() + TAG_BYTES, 0);
        let (body, tag) = sealed.split_at_mut(chunk.len());
        self.key
            .seal_out_of_place_scatter(nonce(number, place), Aad::from(&self.header_digest), chunk, body, &[], tag)
            .expect("a chunk is far below what AES-GCM seals at once");
    }

    /// Opens chunk `number` in place; `None` if it is not that chunk of that snapshot.
    pub(super) fn open<'a>(&self, number: u64, place: Place, chunk: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.key.open_in_place(nonce(number, place), Aad::from(&self.header_digest), chunk).ok()
    }
}

/// What of a sealed chunk goes into the stored digest: its CRC-32C, which decay changes, and its tag.
pub(super) fn trace(sealed: &[u8]) -> [u8; 4 + TAG_BYTES] {
    let mut trace = [0; 4 + TAG_BYTES];
    let (sum, tag) = trace.split_at_mut(4);
    sum.copy_from_slice(&crc32c::crc32c(sealed).to_le_bytes());
    if let Some(last) = sealed.last_chunk::<TAG_BYTES>() {
        tag.copy_from_slice(last);
    }
    trace
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

/// Where the data key stands, for HPKE.
fn origin(id: SnapshotId) -> String {
    format!("portreeve/snapshot/{id}")
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
