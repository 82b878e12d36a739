//! A witness's signature under a log's checkpoint: that at a time this was the longest it had seen, and began with all it
//! had seen before.
//! Not here: when a witness may give one (`witnessing.rs`).
//! C2SP tlog-cosignature, `cosignature/v1` with Ed25519 (<https://c2sp.org/tlog-cosignature>).

use super::checkpoint::{Error, SigningKey};
use super::note::{Algorithm, Note, Signature, VerifierKey, lines};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Before the Ed25519 signature stand eight bytes of time.
const COSIGNATURE_BYTES: usize = 72;

/// A witness's name and key.
#[derive(Debug)]
pub struct Cosigner {
    name: String,
    key: SigningKey,
}

impl Cosigner {
    /// The witness of that name, whose Ed25519 key has that seed. The key must sign nothing else.
    pub fn new(name: &str, seed: &Secret<[u8; 32]>) -> Cosigner {
        Cosigner { name: name.to_owned(), key: SigningKey::from_seed(seed) }
    }

    /// By what others check.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), algorithm: Algorithm::CosignatureV1, public: self.key.public() }
    }

    /// The signature line for a note of that text. A time before 1970 counts as its first second: zero says that there is
    /// no time.
    pub fn cosign(&self, text: &str, at: Timestamp) -> String {
        let seconds = u64::try_from(at.0 / 1_000_000).unwrap_or(0).max(1);
        let mut signature = seconds.to_be_bytes().to_vec();
        signature.extend_from_slice(&self.key.sign(message(seconds, text).as_bytes()));
        self.verifier_key().line(&signature)
    }
}

/// The newest cosignature by `key` under this note, and when it was given; none if there is none.
///
/// # Errors
/// [`Error::Changed`] if it is no note, or a line by that key does not verify.
pub fn cosigned(note: &str, key: &VerifierKey) -> Result<Option<Timestamp>, Error> {
    let note = Note::read(note)?;
    newest(note.text, &note.signatures, key)
}

/// The same of signature lines that belong below a note of that text.
///
/// # Errors
/// As for [`cosigned`].
pub fn cosigned_by_lines(text: &str, signatures: &str, key: &VerifierKey) -> Result<Option<Timestamp>, Error> {
    newest(text, &lines(signatures)?, key)
}

fn newest(text: &str, signatures: &[Signature<'_>], key: &VerifierKey) -> Result<Option<Timestamp>, Error> {
    let mut newest = None;
    for signature in signatures.iter().filter(|signature| signature.is_by(key)) {
        newest = newest.max(Some(given(text, &signature.bytes, key)?));
    }
    Ok(newest)
}

fn given(text: &str, signature: &[u8], key: &VerifierKey) -> Result<Timestamp, Error> {
    let (time, signature) = signature
        .split_first_chunk::<8>()
        .filter(|_| signature.len() == COSIGNATURE_BYTES)
        .ok_or(Error::Changed("a cosignature has not 72 bytes"))?;
    let seconds = u64::from_be_bytes(*time);
    if !key.verifies(message(seconds, text).as_bytes(), signature) {
        return Err(Error::Changed("a cosignature does not verify"));
    }
    // Zero says that it is not of when the witness had seen no longer one.
    let micros = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let micros = micros.and_then(|seconds| seconds.checked_mul(1_000_000));
    micros.map(Timestamp).ok_or(Error::Changed("a cosignature is of no time that there is"))
}

/// What is signed.
fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

#[cfg(test)]
#[path = "cosignature_tests.rs"]
mod tests;
