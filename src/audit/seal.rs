//! How one part of a record is sealed under a data key: with a key of its own, a commitment to that key, and a
//! binding to the place where it stands.
//! Not here: how the data key reaches its recipient (`keys.rs`).
//! HKDF-SHA-256 (RFC 5869, expand only: a data key is uniformly random), AES-256-GCM; FORMAT.md, "A sealed part".

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::audit::descriptor::{Fields, PLACE_BYTES};
use crate::audit::keys::Part;
use crate::audit::mac::MacKey;
use crate::secret::{Secret, wipe};

/// Bytes of the salt.
pub const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const LABEL: &[u8; 18] = b"portreeve/part/v1\n";
/// Bytes of what is expanded to key and commitment: label, salt, position, part.
const INFO_BYTES: usize = LABEL.len() + SALT_BYTES + 8 + 1;
const TAG_BYTES: usize = 16;
/// How much longer a sealed part is than its padded content.
const OVERHEAD_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES + TAG_BYTES;
/// Content is padded to a multiple of this at least, so that lengths tell less.
const PAD_BYTES: usize = 64;

/// A sealed part that does not open: another key, another place, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed part does not open: another data key, another place, or changed bytes")]
pub struct NotOpened;

/// A data key made ready for use.
pub struct DataKey(MacKey);

impl DataKey {
    /// Takes 32 random bytes as a data key.
    pub fn new(key: &Secret<[u8; 32]>) -> Self {
        DataKey(MacKey::new(key))
    }

    /// The record key and commitment for that salt, part and position: HKDF-Expand to two blocks, written out.
    fn expand(&self, salt: &[u8; SALT_BYTES], binding: &Binding) -> Expanded {
        let mut expanded = Expanded { key: [0; KEY_BYTES], commitment: [0; COMMITMENT_BYTES] };
        // The first block, the info, the number of the block that is made next.
        let mut message = [0; KEY_BYTES + INFO_BYTES + 1];
        let (before, first) = message.split_at_mut(KEY_BYTES);
        let mut info = Fields(first);
        info.put(LABEL);
        info.put(salt);
        info.put(binding.position());
        info.put(&[binding.part.number(), 1]);
        self.0.mac(first, &mut expanded.key);
        before.copy_from_slice(&expanded.key);
        if let Some(number) = first.last_mut() {
            *number = 2;
        }
        self.0.mac(&message, &mut expanded.commitment);
        wipe(&mut message);
        expanded
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(***)")
    }
}

/// A record's key and the commitment to it.
struct Expanded {
    key: [u8; KEY_BYTES],
    commitment: [u8; COMMITMENT_BYTES],
}

impl Drop for Expanded {
    fn drop(&mut self) {
        wipe(&mut self.key);
    }
}

impl Expanded {
    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.key).expect("an AES-256 key has 32 bytes");
        LessSafeKey::new(key)
    }

    /// Each key seals one part, once: no other nonce is ever used with it.
    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; 12])
    }
}

/// What a sealed part is bound to.
#[derive(Clone, Debug)]
pub struct Binding {
    part: Part,
    bytes: Vec<u8>,
}

impl Binding {
    /// The log, the place (see [`Place::to_bytes`](crate::audit::descriptor::Place::to_bytes)) and the part.
    pub fn new(origin: &str, place: &[u8; PLACE_BYTES], part: Part) -> Self {
        let mut bytes = Vec::with_capacity(PLACE_BYTES + 1 + origin.len());
        bytes.extend_from_slice(place);
        bytes.push(part.number());
        bytes.extend_from_slice(origin.as_bytes());
        Binding { part, bytes }
    }

    /// The same for another part.
    #[must_use]
    pub fn of(mut self, part: Part) -> Self {
        self.part = part;
        if let Some(number) = self.bytes.get_mut(PLACE_BYTES) {
            *number = part.number();
        }
        self
    }

    /// The position within the place.
    fn position(&self) -> &[u8] {
        self.bytes.get(8..16).expect("a place holds its position")
    }
}

/// How long a content of that many bytes is once padded: the next multiple of an eighth of the power of two at or below
/// it, and of 64 bytes. So a length tells at most which eighth of an octave it is in, for an eighth more bytes at most.
pub fn padded_len(content_len: usize) -> usize {
    let marked = content_len + 1;
    marked.next_multiple_of(PAD_BYTES.max(1 << marked.ilog2() >> 3))
}

/// How long the sealed part of a content of that many bytes is.
pub fn sealed_len(content_len: usize) -> usize {
    padded_len(content_len) + OVERHEAD_BYTES
}

/// Appends the sealed part to `out`: salt ‖ commitment ‖ ciphertext ‖ tag. The salt must be fresh for the batch;
/// data keys are never used by two processes, so that a repeated salt alone repeats no key.
pub fn seal(key: &DataKey, binding: &Binding, salt: &[u8; SALT_BYTES], content: &[u8], out: &mut Vec<u8>) {
    let expanded = key.expand(salt, binding);
    out.reserve(sealed_len(content.len()));
    out.extend_from_slice(salt);
    out.extend_from_slice(&expanded.commitment);
    let start = out.len();
    out.extend_from_slice(content);
    out.push(0x80);
    out.resize(start + sealed_len(content.len()) - OVERHEAD_BYTES, 0);
    let (_, plain) = out.split_at_mut(start);
    let tag = expanded
        .cipher()
        .seal_in_place_separate_tag(Expanded::nonce(), Aad::from(binding.bytes.as_slice()), plain)
        .expect("content is far below what AES-GCM seals at once");
    out.extend_from_slice(tag.as_ref());
}

/// Opens a sealed part.
///
/// # Errors
/// [`NotOpened`].
pub fn open(key: &DataKey, binding: &Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    let (salt, rest) = sealed.split_first_chunk().ok_or(NotOpened)?;
    let (commitment, ciphertext) = rest.split_first_chunk::<COMMITMENT_BYTES>().ok_or(NotOpened)?;
    let expanded = key.expand(salt, binding);
    verify_slices_are_equal(&expanded.commitment, commitment).map_err(|_| NotOpened)?;
    let mut content = Zeroizing::new(ciphertext.to_vec());
    let padded = expanded
        .cipher()
        .open_in_place(Expanded::nonce(), Aad::from(binding.bytes.as_slice()), content.as_mut_slice())
        .map_err(|_| NotOpened)?;
    let end = padded.iter().rposition(|byte| *byte != 0).filter(|end| padded.get(*end) == Some(&0x80));
    // As long as it must be: else a writer could tell by it what its content does not say.
    let end = end.filter(|end| padded.len() == padded_len(*end)).ok_or(NotOpened)?;
    content.truncate(end);
    Ok(content)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
